"""What recipe authors import: a recipe is data first, then one function that yields steps.

    RECIPE = Recipe(name="leveldb", summary=..., licence=..., sources=..., libraries=..., patches=..., steps=steps)

The function is pure: it sees a `Context` (facts, options, texts) and yields `devsetup.steps`. It opens no file, starts
no process and reads no environment; a test runs every recipe on every declared host with all of that forbidden.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from devsetup import patching
from devsetup.errors import InvalidInput
from devsetup.facts import Facts
from devsetup.proofs import Check, Import, LinkClosure, Proof, Workload
from devsetup.steps import ApplyPatch, Fetch, Source, Step, Unpack
from devsetup.when import Verdict, When

__all__ = [
    "Check",
    "Context",
    "Generation",
    "Import",
    "LinkClosure",
    "Option",
    "Patch",
    "Recipe",
    "SystemLibrary",
    "When",
    "Workload",
    "identify",
]


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Patch(_Data, frozen=True, kw_only=True):
    """A patch file of the recipe, with its condition, reason and origin.

    Attributes:
        name: file name under `patches/<recipe>/`.
        when: on which machines it is needed.
        why: one line: what breaks without it.
        upstream: URL of the issue or pull request that explains it.
    """

    name: str
    why: str
    when: When = When()
    upstream: str = ""


class Generation(_Data, frozen=True, kw_only=True):
    """A generation of upstream's tree that needs patches of its own, told by a literal in one of its files.

    Attributes:
        file: relative to the tree.
        contains: a literal that the file has.
        lacks: a literal that it has not, where `contains` alone does not tell.
    """

    id: str
    about: str
    file: str
    contains: str
    lacks: str = ""


def identify(generations: tuple[Generation, ...], read: Callable[[str], str | None]) -> str:
    """Which generation a tree is: the first whose marks are all there; empty when none is.

    Args:
        generations: of the recipe, in its order.
        read: a file of the tree by relative name to its text, or None when it is not there.
    """
    for generation in generations:
        text = read(generation.file)
        if text is None or generation.contains not in text:
            continue
        if not generation.lacks or generation.lacks not in text:
            return generation.id
    return ""


class Option(_Data, frozen=True, kw_only=True):
    """A choice that the user has: `--option NAME=VALUE`.

    Attributes:
        choices: the values allowed.
        default: the value when nothing is said, unless an entry of `defaults` holds.
        defaults: (condition, value): the first that holds on the machine wins.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    default: str
    defaults: tuple[tuple[When, str], ...] = ()

    def value(self, facts: Facts) -> str:
        """The default on a machine."""
        return next((value for when, value in self.defaults if when.verdict(facts).holds), self.default)


class SystemLibrary(_Data, frozen=True, kw_only=True):
    """What a library is called by each package manager; an entry of `hosts/libraries.toml`.

    Attributes:
        apt, dnf, brew, pacman: package names. The first one's version counts as the library's version.
        pkg_config: the pkg-config module that knows the version where no package manager does.
    """

    apt: tuple[str, ...] = ()
    dnf: tuple[str, ...] = ()
    brew: tuple[str, ...] = ()
    pacman: tuple[str, ...] = ()
    pkg_config: str = ""

    def names(self, manager: str) -> tuple[str, ...]:
        """Package names for a manager (`apt`, `dnf`, `brew`, `pacman`); empty when there are none."""
        return {"apt": self.apt, "dnf": self.dnf, "brew": self.brew, "pacman": self.pacman}.get(manager, ())


class Context(_Data, frozen=True, kw_only=True):
    """What a recipe's function may look at; `forced` names patches that a remedy asks for whatever the facts say."""

    recipe: Recipe
    facts: Facts
    options: dict[str, str]
    sources: tuple[Source, ...]
    texts: dict[str, str]
    forced: frozenset[str] = frozenset()

    @property
    def generation(self) -> str:
        """The generation of the sources; empty when the recipe has none or the tree is of no known one."""
        return self.sources[0].generation if self.sources else ""

    def verdict(self, patch: Patch) -> Verdict:
        """Whether a patch is needed here, and why."""
        if patch.name in self.forced:
            return Verdict(holds=True, because="a remedy asks for it")
        return patch.when.verdict(self.facts, self.options, self.generation)

    def pins(self, table: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
        """The packages of the first entry, (version specifier, packages), that the distribution's Python meets."""
        return next(pins for spec, pins in table if When(libraries={"python": spec}).verdict(self.facts).holds)

    def text(self, name: str) -> str:
        """A text file that ships with the recipe, such as `workloads/caffe/lenet.py`."""
        if name not in self.texts:
            raise InvalidInput(f"recipe {self.recipe.name} uses {name}, which does not ship with it")
        return self.texts[name]

    def source(self, into: str) -> Iterator[Step]:
        """Fetch one of the recipe's sources and unpack it."""
        yield Fetch(name=self.recipe.name, sources=self.sources)
        yield Unpack(name=self.recipe.name, into=into)

    def patches(self, tree: str) -> Iterator[Step]:
        """Apply, in order, the recipe's patches whose condition holds here.

        Raises:
            InvalidInput: a patch is malformed or unsafe (see `patching.check`).
        """
        values = {"facts": self.facts, "options": self.options}
        for patch in self.recipe.patches:
            if not self.verdict(patch).holds:
                continue
            name = f"patches/{self.recipe.name}/{patch.name}"
            diff = patching.check(patching.render(self.text(name), values, name=name), name=name)
            yield ApplyPatch(name=patch.name, tree=tree, text=diff.text, why=patch.why, upstream=patch.upstream)


class Recipe(_Data, frozen=True, kw_only=True):
    """How to install one thing, and how to prove that it works.

    Attributes:
        version: what is installed, in upstream's words.
        licence: SPDX identifier.
        sources: alternatives, tried in order, each pinned by sha256, all of one generation.
        option_sources: (condition, sources): the first whose condition holds stands in for `sources`.
        generations: of upstream's tree, where patches differ between them.
        needs: names of other recipes.
        option_needs: (condition, names): further recipes that depend on options or the machine.
        provides: facts and options to the facts of a machine on which this is installed; what needs it is planned with
            those. Paths in them hold the place `@PREFIX:NAME@` of this recipe.
        libraries: logical names in `hosts/libraries.toml`, whose packages the plan installs first.
        option_libraries: (condition, logical names): further libraries that depend on options or the machine.
        shares: names of folders in `workloads/` whose texts this recipe uses beside those of its own.
        supports: facts and options to None, or the sentence that says why this machine cannot do it.
        steps: yields the steps.
        option_proofs: (condition, proofs): the first whose condition holds stands in for `proofs`.
        memory_per_job_mb: peak memory of one compile job.
        disk_mb: room that building takes at its peak, build tree and prefix together.
        seen: (platform, status, what was seen): status is `run`, `simulated` or `untried`.
    """

    name: str
    version: str
    summary: str
    homepage: str
    licence: str
    steps: Callable[[Context], Iterator[Step]]
    sources: tuple[Source, ...] = ()
    option_sources: tuple[tuple[When, tuple[Source, ...]], ...] = ()
    generations: tuple[Generation, ...] = ()
    options: tuple[Option, ...] = ()
    needs: tuple[str, ...] = ()
    option_needs: tuple[tuple[When, tuple[str, ...]], ...] = ()
    provides: Callable[[Facts, Mapping[str, str]], Facts] | None = None
    libraries: tuple[str, ...] = ()
    option_libraries: tuple[tuple[When, tuple[str, ...]], ...] = ()
    patches: tuple[Patch, ...] = ()
    proofs: tuple[Proof, ...] = ()
    option_proofs: tuple[tuple[When, tuple[Proof, ...]], ...] = ()
    shares: tuple[str, ...] = ()
    supports: Callable[[Facts, Mapping[str, str]], str | None] | None = None
    memory_per_job_mb: int = 0
    disk_mb: int = 0
    keywords: tuple[str, ...] = ()
    seen: tuple[tuple[str, str, str], ...] = ()

    def choices(self, facts: Facts, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """The value of every option on a machine: as given, or its default there."""
        chosen = given or {}
        return {option.name: chosen.get(option.name, option.value(facts)) for option in self.options}

    @property
    def possible_needs(self) -> tuple[str, ...]:
        """Names of the recipes that this one may need, whatever the options and the machine."""
        return tuple(dict.fromkeys((*self.needs, *(name for _, names in self.option_needs for name in names))))

    def needs_with(self, facts: Facts, options: Mapping[str, str]) -> tuple[str, ...]:
        """Names of the recipes that this one needs on a machine with these options."""
        some = (names for when, names in self.option_needs if when.verdict(facts, options).holds)
        return tuple(dict.fromkeys((*self.needs, *itertools.chain.from_iterable(some))))

    def sources_with(self, facts: Facts, options: Mapping[str, str]) -> tuple[Source, ...]:
        """Where the files come from on a machine with these options."""
        return next((given for when, given in self.option_sources if when.verdict(facts, options).holds), self.sources)

    @property
    def possible_sources(self) -> tuple[Source, ...]:
        """The sources that this may use, whatever the options and the machine."""
        return tuple(dict.fromkeys((*self.sources, *(each for _, given in self.option_sources for each in given))))

    def proofs_with(self, facts: Facts, options: Mapping[str, str]) -> tuple[Proof, ...]:
        """What must hold on a machine with these options."""
        return next((proofs for when, proofs in self.option_proofs if when.verdict(facts, options).holds), self.proofs)

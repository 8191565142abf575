"""Writes docs/recipes/: an index, and the tables of each recipe's page.

`pytest tests/test_recipe_pages.py --refresh` calls it. Everything comes from data that has its own tests: the recipes,
the declared hosts, `symptoms/*.toml` where there are any, and `docs/recipes/measured.toml`. What is claimed of a
platform is the `seen` of the recipe's own file, and nothing else. Of a page, only what follows the mark is made; the
text before it is written by hand.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from devsetup.app.catalogue import patch_hosts
from devsetup.console import views
from devsetup.console.blocks import Table
from devsetup.errors import Refused
from devsetup.loader import Loader, default_root
from devsetup.planner import Wish, make_plan
from devsetup.steps import PythonEnv, SystemPackages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.plan import Plan
    from devsetup.recipe import Recipe
    from devsetup.steps import Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BEGIN = "<!-- made by docs/recipe_pages.py from here to the end; change what it reads -->"
HERE = Path(__file__).resolve().parent / "recipes"
# Hosts whose packages a page lists: those that are run, and one for each other package manager.
LISTED = ("debian-12", "debian-13", "fedora-42", "macos-26-arm64")
STATUSES = {
    "run": "on that system, for real",
    "simulated": "planned from declared facts, with nothing executed there",
    "untried": "not even that",
}


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What something was measured on."""

    cpu: str
    cores: int
    memory_gb: int
    os: str


class Measurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure that was read off a real run.

    Attributes:
        figure: with its unit, and whatever belongs to it.
        command: what was run.
        machine: a name in `machines`.
        note: what the figure depends on, such as other load.
    """

    recipe: str
    what: str
    figure: str
    command: str
    date: dt.date
    machine: str
    note: str = ""


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`docs/recipes/measured.toml`."""

    machines: dict[str, Machine]
    measured: tuple[Measurement, ...]


def pages(root: Path | None = None) -> dict[Path, str]:
    """Every page, by its path, as it should be; of our own catalogue, or of the one at `root`."""
    catalogue = _Catalogue(Loader(root or default_root({})))
    found = {HERE / f"{recipe.name}.md": _page(recipe, catalogue) for recipe in catalogue.recipes}
    return {HERE / "README.md": _index(catalogue), **found}


class _Catalogue:
    """The recipes, their plans on every declared host, the symptoms and the measurements."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.recipes = loader.recipes()
        self.hosts = loader.hosts()
        self.measured = msgspec.convert(tomllib.loads((HERE / "measured.toml").read_text("utf-8")), Measured)
        self.symptoms = loader.symptoms()
        self.plans = {
            recipe.name: {host: self._plan(recipe.name, host) for host in self.hosts} for recipe in self.recipes
        }

    def _plan(self, name: str, host: str) -> Plan | str:
        """The plan, or the reason why there is none."""
        try:
            return make_plan(Wish(names=(name,)), self.loader.host(host), self.loader.catalogue())
        except Refused as refused:
            return refused.message.removeprefix(f"{name} cannot be installed here: ")

    def planned(self, name: str) -> tuple[str, ...]:
        """The declared hosts on which a recipe can be planned."""
        return tuple(host for host, made in self.plans[name].items() if not isinstance(made, str))


def _index(catalogue: _Catalogue) -> str:
    rows = []
    for recipe in catalogue.recipes:
        by_status = {status: [p for p, s, _ in recipe.seen if s == status] for status in STATUSES}
        rows.append(
            (
                f"[{recipe.name}]({recipe.name}.md)",
                recipe.summary,
                *("; ".join(platforms) or "-" for platforms in by_status.values()),
            )
        )
    plans = [
        (
            f"[{recipe.name}]({recipe.name}.md)",
            views.host_names(catalogue.planned(recipe.name), catalogue.hosts),
            views.host_names(_refused(catalogue, recipe.name), catalogue.hosts),
        )
        for recipe in catalogue.recipes
    ]
    return "\n".join(
        (
            "# What devsetup installs, and where\n",
            "Made by `docs/recipe_pages.py`: change what it reads, then run `./dev test tests/test_recipe_pages.py",
            "--refresh`. How a recipe is written is another page: [recipes.md](../recipes.md).\n",
            "## Seen to work\n",
            *_legend(),
            *_table(("recipe", "what it is", *STATUSES), rows),
            "## Planned on the declared hosts\n",
            "`devsetup plan NAME --on HOST` says what would happen there, with every option at its default. The",
            "recipe's page has the reason of each refusal. A plan alone is no claim that it works.\n",
            *_table(("recipe", "planned", "refused"), plans),
        )
    )


def _refused(catalogue: _Catalogue, name: str) -> tuple[str, ...]:
    return tuple(host for host, made in catalogue.plans[name].items() if isinstance(made, str))


def _legend() -> Iterator[str]:
    yield "; ".join(f"*{status}*: {meaning}" for status, meaning in STATUSES.items()) + "."
    yield "A platform's status is the `seen` of the recipe's own file, where it is reviewed; no other list is kept.\n"


def _page(recipe: Recipe, catalogue: _Catalogue) -> str:
    """The text by hand that is there, or a title and the summary; then the tables."""
    path = HERE / f"{recipe.name}.md"
    by_hand = (
        path.read_text("utf-8").partition(BEGIN)[0] if path.exists() else f"# {recipe.name}\n\n{recipe.summary}.\n"
    )
    shown = views.recipe(recipe, patch_hosts(catalogue.loader, recipe), catalogue.hosts, "")
    tables = {block.title: block for block in shown if isinstance(block, Table)}
    blocks = (
        *_head(recipe, catalogue.loader),
        *_platforms(recipe, catalogue),
        *_contents(recipe, catalogue),
        *_options(recipe),
        *_patches(recipe, tables),
        "### Proofs\n",
        *_table(tables["Proofs"].columns, tables["Proofs"].rows),
        *_failures(recipe, catalogue),
        *_measured(recipe, catalogue.measured),
    )
    return f"{by_hand.rstrip()}\n\n{BEGIN}\n\n" + "\n".join(blocks)


def _head(recipe: Recipe, loader: Loader) -> Iterator[str]:
    file = loader.recipe_file(recipe.name).relative_to(loader.root)
    more = HERE.parent / f"{recipe.name}.md"
    yield "## The recipe in tables\n"
    yield from _table(
        ("", f"{recipe.name} {recipe.version}"),
        (
            ("what", recipe.summary),
            ("home page", f"<{recipe.homepage}>"),
            ("licence", recipe.licence),
            ("recipe", f"[{file}](../../{file})"),
            ("commands", f"`devsetup install {recipe.name}`, `devsetup plan {recipe.name} --on HOST`"),
            *((("more", f"[{more.name}](../{more.name})"),) if more.exists() else ()),
        ),
    )


def _platforms(recipe: Recipe, catalogue: _Catalogue) -> Iterator[str]:
    yield "### Platforms\n"
    yield from _legend()
    if recipe.seen:
        yield from _table(("platform", "status", "what was seen"), recipe.seen)
    else:
        yield "Untried everywhere.\n"
    planned = catalogue.planned(recipe.name)
    yield f"Planned from declared facts: {views.host_names(planned, catalogue.hosts)}.\n"
    reasons: dict[str, list[str]] = {}
    for host, made in catalogue.plans[recipe.name].items():
        if isinstance(made, str):
            reasons.setdefault(made, []).append(host)
    rows = [(views.host_names(tuple(hosts), catalogue.hosts), reason) for reason, hosts in reasons.items()]
    if rows:
        yield from _table(("refused on", "for this reason"), rows)


def _contents(recipe: Recipe, catalogue: _Catalogue) -> Iterator[str]:
    yield "### What it installs, and from where\n"
    rows = [row for when, sources in _source_groups(recipe) for row in _source_rows(recipe, when, sources)]
    if rows:
        yield "Sources; of those for the same choice, the first that can be had:\n"
        yield from _table(("source", "when", "from", "sha256"), rows)
    rows = [*_packages(recipe.name, catalogue), *_environments(recipe.name, catalogue)]
    if recipe.possible_needs:
        rows.append(("other recipes", "may need", ", ".join(f"[{n}]({n}.md)" for n in recipe.possible_needs)))
    if recipe.disk_mb:
        rows.append(("room", "while building", f"{recipe.disk_mb} MB"))
    if recipe.memory_per_job_mb:
        rows.append(("memory", "of one compile job", f"{recipe.memory_per_job_mb} MB"))
    yield from _table(("", "on", "what"), rows)


def _source_groups(recipe: Recipe) -> Iterator[tuple[str, tuple[Source, ...]]]:
    """Sources with the condition under which they are tried, in the order in which conditions are asked."""
    for when, sources in recipe.option_sources:
        yield f"`{when}`", sources
    yield "otherwise" if recipe.option_sources else "always", recipe.sources


def _source_rows(recipe: Recipe, when: str, sources: tuple[Source, ...]) -> Iterator[tuple[str, ...]]:
    """As `devsetup info` shows them, with the whole hash."""
    alone = structs.replace(recipe, sources=sources, option_sources=())
    for block in views.recipe(alone, {}, (), ""):
        if isinstance(block, Table) and block.columns[0] == "source":
            for row, source in zip(block.rows, sources, strict=True):
                yield row[0], when, row[1], f"`{source.sha256}`"


def _packages(name: str, catalogue: _Catalogue) -> Iterator[tuple[str, str, str]]:
    """System packages, hosts with the same ones in one row."""
    hosts: dict[str, list[str]] = {}
    for host in LISTED:
        for step in _steps(catalogue.plans[name][host], name):
            if isinstance(step, SystemPackages):
                hosts.setdefault(f"{step.manager}: {' '.join(step.names)}", []).append(host)
    return (("system packages", ", ".join(where), what) for what, where in hosts.items())


def _environments(name: str, catalogue: _Catalogue) -> Iterator[tuple[str, str, str]]:
    """Pinned Python packages, hosts with the same ones in one row."""
    hosts: dict[str, list[str]] = {}
    for host in LISTED:
        for step in _steps(catalogue.plans[name][host], name):
            if isinstance(step, PythonEnv):
                hosts.setdefault(" ".join(step.requirements), []).append(host)
    return (("Python packages, by pip", ", ".join(where), what) for what, where in hosts.items())


def _steps(made: Plan | str, name: str) -> Iterator[object]:
    if not isinstance(made, str):
        yield from next(part.steps for part in made.parts if part.name == name)


def _patches(recipe: Recipe, tables: dict[str, Table]) -> Iterator[str]:
    if not recipe.patches:
        return
    yield "### Patches\n"
    rows = [
        (f"[{name}](../../patches/{recipe.name}/{name})", f"`{when}`", where, why, f"[link]({patch.upstream})")
        for (name, when, where, why), patch in zip(tables["Patches"].rows, recipe.patches, strict=True)
    ]
    yield from _table(("patch", "condition", "holds on", "why", "upstream"), rows)


def _options(recipe: Recipe) -> Iterator[str]:
    if not recipe.options:
        return
    yield "### Options\n"
    rows = []
    for option in recipe.options:
        elsewhere = "".join(f"; `{value}` where {when}" for when, value in option.defaults)
        choices = ", ".join(f"`{choice}`" for choice in option.choices)
        rows.append((f"`{option.name}`", f"`{option.default}`{elsewhere}", choices, option.help))
    yield from _table(("option", "default", "choices", "meaning"), rows)


def _failures(recipe: Recipe, catalogue: _Catalogue) -> Iterator[str]:
    """The symptoms of the file that is named like the recipe, and of those that name it in what they affect."""
    word = re.compile(rf"\b{re.escape(recipe.name)}\b", re.IGNORECASE if len(recipe.name) > 1 else 0)
    rows = [
        (f"[{each.id}](../symptoms.md#{each.id})", _plain(each.title), each.where)
        for each in catalogue.symptoms
        if each.stack == recipe.name or word.search(each.affects)
    ]
    if rows:
        yield "### Known failures\n"
        yield "`devsetup diagnose LOG` tells them in a log, with the cause and what to do:\n"
        yield from _table(("symptom", "what", "when"), rows)


def _plain(text: str) -> str:
    """A title without its holes: `<%= seen.header %>` becomes HEADER."""
    return re.sub(r"<%=\s*(?:\w+\.)*(\w+)[^%]*%>", lambda hole: hole[1].upper(), text)


def _measured(recipe: Recipe, measured: Measured) -> Iterator[str]:
    mine = [each for each in measured.measured if each.recipe == recipe.name]
    if not mine:
        return
    yield "### Measured\n"
    rows = [
        (each.what, each.figure, f"`{each.command}`", f"{each.date.isoformat()}, {_machine(measured, each)}")
        for each in mine
    ]
    yield from _table(("what", "figure", "with", "when and where"), rows)


def _machine(measured: Measured, each: Measurement) -> str:
    machine = measured.machines[each.machine]
    where = f"{machine.os}, {machine.cores} cores ({machine.cpu}), {machine.memory_gb} GB"
    return f"{where}; {each.note}" if each.note else where


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = tuple(columns)
    yield _row(head)
    yield "|" + "---|" * len(head)
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """What Markdown would take for the end of a cell or for HTML stays text; links and code are meant."""
    marked = text if text.startswith(("`", "<https:")) else text.replace("<", "&lt;")
    return marked.replace("|", r"\|").replace("\n", " ")

"""Steps that recipe authors yield, guards as data, and the primitives that steps lower to.

Three closed unions of frozen structs. Commands are argv tuples, never shell strings; quoting happens once, in the
renderers. Paths and texts may hold places that are known only when the plan runs:

    @PREFIX@        where this install lives
    @BUILD@         a scratch directory, removed after success
    @JOBS@          how many compile jobs to run
    @PREFIX:NAME@   the prefix of another recipe that this one needs
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "@PREFIX@"
BUILD = "@BUILD@"
JOBS = "@JOBS@"

_PLACE = re.compile(r"@(PREFIX(?::[a-z0-9_-]+)?|BUILD|JOBS|ARTIFACTS)@")


def substitute(text: str, places: Mapping[str, str]) -> str:
    """Fill the places of a text.

    Args:
        text: anything; only the places listed in the module's docstring are touched.
        places: place name without the at-signs (`PREFIX`, `PREFIX:cuda`) to its value.

    Raises:
        InvalidInput: the text names a place that has no value here.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in places:
            raise InvalidInput(f"a step uses @{name}@, which has no meaning there")
        return places[name]

    return _PLACE.sub(value, text)


def has_places(text: str) -> bool:
    """Whether a text holds a place."""
    return _PLACE.search(text) is not None


class _Data(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    pass


# Sources: where a recipe's files come from. Each is pinned by sha256 and tried in order. `generation` says which of the
# recipe's generations of upstream's tree it holds, where that matters (see recipe.Generation).


class UrlSource(_Data, frozen=True, kw_only=True):
    """A file at an upstream project's own URL.

    Attributes:
        id: which source this is (`1.0`); the receipt records it.
        strip: how many leading path components its members carry.
    """

    id: str
    url: str
    sha256: str
    strip: int = 1
    generation: str = ""


class DebianSource(_Data, frozen=True, kw_only=True):
    """One file of a Debian source package, fetched by name with apt through the machine's own mirror."""

    id: str
    package: str
    version: str
    suite: str
    file: str
    sha256: str
    strip: int = 0
    generation: str = ""


class PyPISource(_Data, frozen=True, kw_only=True):
    """One sdist, fetched by name with pip from the index that the machine's pip is configured for.

    Its own code is not run while it is fetched, if setuptools builds it; another backend must be in pip's environment.

    Attributes:
        file: the sdist's file name, of which the index may hold several.
        python: the interpreter whose pip is asked, made by an earlier step of the recipe; may hold places.
    """

    id: str
    package: str
    version: str
    file: str
    sha256: str
    python: str
    strip: int = 1
    generation: str = ""


class LocalSource(_Data, frozen=True, kw_only=True):
    """A tarball or a tree that the user named with `--source`.

    Attributes:
        sha256: of the file; of a tree, the digest that `fetch.tree_digest` computes.
        tree: the path is a directory, to be copied.
    """

    id: str
    path: str
    sha256: str
    strip: int = 0
    tree: bool = False
    generation: str = ""


Source = UrlSource | DebianSource | PyPISource | LocalSource

# Guards: questions that only the running plan can answer. A guarded step is left out when the answer is yes.


class PathExists(_Data, frozen=True, kw_only=True):
    """A file or directory is there."""

    path: str


class PatchApplied(_Data, frozen=True, kw_only=True):
    """The tree already holds what the patch would do (it reverses cleanly)."""

    patch: str
    tree: str


class PackagesInstalled(_Data, frozen=True, kw_only=True):
    """The package manager has every one of these packages installed."""

    manager: str
    names: tuple[str, ...]


Guard = PathExists | PatchApplied | PackagesInstalled

# Rich steps: what recipe authors yield.


class SystemPackages(_Data, frozen=True, kw_only=True):
    """Packages of the machine's own package manager, by its own names."""

    manager: str
    names: tuple[str, ...]


class Fetch(_Data, frozen=True, kw_only=True):
    """Obtain one of several equivalent sources and verify its sha256."""

    name: str
    sources: tuple[Source, ...]


class Unpack(_Data, frozen=True, kw_only=True):
    """Extract what `Fetch` of the same name obtained, or copy it when it is a tree."""

    name: str
    into: str


class ApplyPatch(_Data, frozen=True, kw_only=True):
    """Apply a unified diff strictly: exact context, dry run first, a success when the tree already has it."""

    name: str
    tree: str
    text: str
    why: str
    upstream: str = ""


class WriteFile(_Data, frozen=True, kw_only=True):
    """Write a text file, creating its directories. Both a step and a primitive."""

    path: str
    content: str
    executable: bool = False


class Run(_Data, frozen=True, kw_only=True):
    """Run a command, and further ones of the same step after it.

    Attributes:
        title: what progress shows.
        env: added to the plan's clean environment.
    """

    argv: tuple[str, ...]
    title: str
    then: tuple[tuple[str, ...], ...] = ()
    cwd: str = BUILD
    env: tuple[tuple[str, str], ...] = ()
    unless: Guard | None = None


class PythonEnv(_Data, frozen=True, kw_only=True):
    """A virtual environment with pinned packages.

    Attributes:
        python: the base interpreter.
        requirements: pip requirements, pinned.
        paths: directories to add to `sys.path`, relative to site-packages so that the prefix stays self-contained.
        site_packages: the environment's site-packages, relative to `path` (`lib/python3.11/site-packages`).
    """

    path: str
    python: str
    requirements: tuple[str, ...]
    site_packages: str
    paths: tuple[str, ...] = ()


class Env(_Data, frozen=True, kw_only=True):
    """A variable that using the install needs: replaced, or prepended to with a colon. Both a step and a primitive."""

    name: str
    value: str
    mode: Literal["set", "prepend"] = "prepend"


Step = SystemPackages | Fetch | Unpack | ApplyPatch | WriteFile | Run | PythonEnv | Env


def title(step: Step) -> str:
    """What progress shows for a step, and what a failure names."""
    match step:
        case SystemPackages(manager=manager, names=names):
            return f"system packages ({manager}): {len(names)}"
        case Fetch(name=name):
            return f"fetch {name}"
        case Unpack(name=name):
            return f"unpack {name}"
        case ApplyPatch(name=name, why=why):
            return f"patch {name}: {why}"
        case WriteFile(path=path):
            return f"write {path.rpartition('/')[2]}"
        case Run(title=text):
            return text
        case PythonEnv(requirements=requirements):
            return f"Python environment: {len(requirements)} packages"
        case Env(name=name):
            return f"activation sets {name}"


# Primitives: what the local runner and every renderer consume.


class Command(_Data, frozen=True, kw_only=True):
    """One process. `privileged` commands need root and are shown, with consent asked, before anything else runs."""

    argv: tuple[str, ...]
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    privileged: bool = False


class Obtain(_Data, frozen=True, kw_only=True):
    """Have one of the sources as a verified local file (or tree) under a name."""

    name: str
    sources: tuple[Source, ...]


class Extract(_Data, frozen=True, kw_only=True):
    """Extract the obtained source of that name into a new directory, refusing unsafe members."""

    name: str
    into: str


class Guarded(_Data, frozen=True, kw_only=True):
    """Do `then` unless the guard already holds."""

    unless: Guard
    then: tuple[Command | Obtain | Extract | WriteFile, ...]


Primitive = Command | Obtain | Extract | WriteFile | Env | Guarded

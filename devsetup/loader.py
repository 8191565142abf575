"""The catalogue on disk: recipes, patches, workloads, declared hosts. Works from a wheel and from a checkout.

Recipes are loaded by file path, never imported by name: an editable install would otherwise make `recipes` a
top-level module of the user's Python.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup import facts as facts_module
from devsetup.errors import InvalidInput, UsageError
from devsetup.planner import Catalogue
from devsetup.recipe import Recipe, SystemLibrary

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.facts import Facts, OperatingSystem


def default_root(environ: Mapping[str, str]) -> Path:
    """Where the catalogue lies: inside the wheel, or beside the package in a checkout.

    DEVSETUP_CATALOGUE names another one instead: for writing and testing recipes.
    """
    elsewhere = environ.get("DEVSETUP_CATALOGUE")
    if elsewhere:
        return Path(elsewhere)
    package = Path(__file__).resolve().parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent


def suggest(name: str, known: tuple[str, ...]) -> str:
    """A hint for a misspelt name: the nearest known one, or the whole list when it is short."""
    import difflib  # noqa: PLC0415 - only after a mistake

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


class Loader:
    """Reads one catalogue.

    Attributes:
        root: the directory that holds `recipes/`, `patches/`, `workloads/` and `hosts/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Every recipe's name, sorted."""
        return tuple(sorted(path.stem for path in (self.root / "recipes").glob("[a-z]*.py")))

    def recipe(self, name: str) -> Recipe:
        """Load a recipe.

        Raises:
            UsageError: no such recipe; the hint names the nearest.
            InvalidInput: the file does not define a valid RECIPE.
        """
        path = self.root / "recipes" / f"{name}.py"
        if name not in self.names():
            raise UsageError(f"no recipe named {name!r}", suggest(name, self.names()))
        spec = importlib.util.spec_from_file_location(f"devsetup_recipe_{name}", path)
        if spec is None or spec.loader is None:
            raise InvalidInput(f"{path} cannot be loaded as Python")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise InvalidInput(f"recipe {path} does not load: {type(error).__name__}: {error}") from error
        found = getattr(module, "RECIPE", None)
        if not isinstance(found, Recipe) or found.name != name:
            raise InvalidInput(f"recipe {path} must define RECIPE = Recipe(name={name!r}, ...)")
        return found

    def recipes(self) -> tuple[Recipe, ...]:
        """Every recipe, by name."""
        return tuple(self.recipe(name) for name in self.names())

    def texts(self, recipe: Recipe) -> dict[str, str]:
        """The text files that ship with a recipe: `patches/<name>/*` and `workloads/<name>/*`."""
        found = {}
        for kind in ("patches", "workloads"):
            for path in sorted((self.root / kind / recipe.name).glob("*")):
                if path.is_file():
                    found[f"{kind}/{recipe.name}/{path.name}"] = path.read_bytes().decode("utf-8")
        return found

    def libraries(self) -> dict[str, SystemLibrary]:
        """The package names of `hosts/libraries.toml`.

        Raises:
            InvalidInput: the file is malformed.
        """
        path = self.root / "hosts" / "libraries.toml"
        try:
            return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, SystemLibrary])
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise InvalidInput(f"{path}: {error}") from error

    def hosts(self) -> tuple[str, ...]:
        """Every declared host's name, sorted."""
        return tuple(sorted(path.stem for path in (self.root / "hosts").glob("*.json")))

    def host(self, name: str) -> Facts:
        """Facts of a declared host: one of the catalogue's by name, or a JSON file by path.

        Raises:
            UsageError: neither a known host nor a file; the hint names the nearest.
            InvalidInput: the file is malformed.
        """
        path = self.root / "hosts" / f"{name}.json" if name in self.hosts() else Path(name)
        try:
            return facts_module.from_json(path.read_bytes(), str(path))
        except OSError as error:
            raise UsageError(
                f"no declared host or file named {name!r}",
                f"{suggest(name, self.hosts())} (or give a path to a JSON file)",
            ) from error

    def declared(self, system: OperatingSystem) -> Facts | None:
        """The declared host of the same OS release, if there is one: `10.10` stands for 10.10.5, `12` for 12.7."""
        numbers = system.version.split(".")
        for count in range(len(numbers), 0, -1):
            name = f"{system.id}-{'.'.join(numbers[:count])}"
            if name in self.hosts():
                return self.host(name)
        return None

    def catalogue(self) -> Catalogue:
        """What the planner needs."""
        return Catalogue(recipe=self.recipe, texts=self.texts, libraries=self.libraries())

"""The catalogue on disk: recipes, patches, workloads, declared hosts, symptoms. Works from a wheel and from a checkout.

Recipes are loaded by file path, never imported by name: an editable install would otherwise make `recipes` a
top-level module of the user's Python.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput, UsageError
from devsetup.loader.hosts import Hosts
from devsetup.loader.spelling import suggest
from devsetup.planner import Catalogue
from devsetup.recipe import Recipe, SystemLibrary
from devsetup.symptom import Symptom, SymptomFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.facts import Facts, OperatingSystem

__all__ = ["Loader", "default_root", "suggest"]


def default_root(environ: Mapping[str, str]) -> Path:
    """Where the catalogue lies: inside the wheel, or beside the package in a checkout.

    DEVSETUP_CATALOGUE names another one instead: for writing and testing recipes.
    """
    elsewhere = environ.get("DEVSETUP_CATALOGUE")
    if elsewhere:
        return Path(elsewhere)
    package = Path(__file__).resolve().parent.parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent


class Loader:
    """Reads one catalogue.

    Attributes:
        root: the directory that holds `recipes/`, `patches/`, `workloads/`, `hosts/` and `symptoms/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hosts = Hosts(root / "hosts")

    def names(self) -> tuple[str, ...]:
        """Every recipe's name, sorted."""
        here = self.root / "recipes"
        files = [path.stem for path in here.glob("[a-z]*.py")]
        return tuple(sorted((*files, *(path.parent.name for path in here.glob("[a-z]*/__init__.py")))))

    def recipe_file(self, name: str) -> Path:
        """Where a recipe is: `recipes/NAME.py`, or `recipes/NAME/__init__.py` for one that outgrew a file."""
        package = self.root / "recipes" / name / "__init__.py"
        return package if package.exists() else self.root / "recipes" / f"{name}.py"

    def recipe(self, name: str) -> Recipe:
        """Load a recipe.

        Raises:
            UsageError: no such recipe; the hint names the nearest.
            InvalidInput: the file does not define a valid RECIPE.
        """
        if name not in self.names():
            raise UsageError(f"no recipe named {name!r}", suggest(name, self.names()))
        path = self.recipe_file(name)
        try:
            found = _executed(path, f"devsetup_recipe_{name}")
        except Exception as error:
            raise InvalidInput(f"recipe {path} does not load: {type(error).__name__}: {error}") from error
        if not isinstance(found, Recipe) or found.name != name:
            raise InvalidInput(f"recipe {path} must define RECIPE = Recipe(name={name!r}, ...)")
        return found

    def recipes(self) -> tuple[Recipe, ...]:
        """Every recipe, by name."""
        return tuple(self.recipe(name) for name in self.names())

    def texts(self, recipe: Recipe) -> dict[str, str]:
        """The text files that ship with a recipe: `patches/<name>/*`, `workloads/<name>/*`, and workloads it shares.

        Raises:
            InvalidInput: one is not UTF-8.
        """
        found = {}
        folders = ("patches", recipe.name), *(("workloads", name) for name in (recipe.name, *recipe.shares))
        for kind, name in folders:
            for path in sorted((self.root / kind / name).glob("*")):
                if path.is_file():
                    try:
                        found[f"{kind}/{name}/{path.name}"] = path.read_bytes().decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise InvalidInput(f"{path} is not UTF-8: {error}") from error
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

    def symptoms(self) -> tuple[Symptom, ...]:
        """Every symptom of `symptoms/*.toml`, by file and in the file's order.

        Raises:
            InvalidInput: a file is malformed, or an id is used twice.
        """
        from devsetup.diagnosis import development  # noqa: PLC0415  most commands need no symptom

        found: dict[str, Symptom] = {}
        for path in sorted((self.root / "symptoms").glob("*.toml")):
            try:
                file = msgspec.convert(tomllib.loads(path.read_text("utf-8")), SymptomFile)
            except (OSError, ValueError, msgspec.ValidationError) as error:
                raise InvalidInput(f"{path}: {error}", "`devsetup symptoms show ID` prints a valid entry") from error
            for symptom in (*file.symptom, *map(development.symptom, file.library)):
                if symptom.id in found:
                    raise InvalidInput(f"{path}: symptom {symptom.id} is in {found[symptom.id].stack}.toml already")
                found[symptom.id] = msgspec.structs.replace(symptom, stack=path.stem)
        return tuple(found.values())

    def hosts(self) -> tuple[str, ...]:
        """Every declared host's name, by system and release."""
        return self._hosts.names()

    def host(self, text: str) -> Facts:
        """Facts of a declared host: `BASE` or `BASE+PART...`, where BASE is a name, a later release, or a JSON file.

        Raises:
            UsageError: no such host or part; the hint says what is allowed.
            InvalidInput: the file is malformed.
        """
        return self._hosts.resolve(text, self.libraries)

    def declared(self, system: OperatingSystem) -> Facts | None:
        """The declared host of the same OS release, or the nearest older one; None when none is older."""
        return self._hosts.declared(system)

    def catalogue(self) -> Catalogue:
        """What the planner needs; it loads each recipe once."""
        return Catalogue(recipe=functools.cache(self.recipe), texts=self.texts, libraries=self.libraries())


def _executed(path: Path, module_name: str) -> object:
    """The RECIPE of a file, or None. A package's own modules find it by name while it runs, and only then.

    No bytecode is written: reading the catalogue changes nothing, and a recipe that is edited twice within a second is
    never taken from a stale file. What is shipped was compiled when it was installed.
    """
    folder = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=folder)
    if spec is None or spec.loader is None:
        raise ImportError("it is not Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
        for name in [each for each in sys.modules if each.partition(".")[0] == module_name]:
            del sys.modules[name]
    return getattr(module, "RECIPE", None)

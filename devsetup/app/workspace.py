"""What every use case works with: a home, a catalogue, this machine."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from devsetup.errors import UsageError
from devsetup.loader import Loader, default_root
from devsetup.receipts import Receipts
from devsetup.runner import Runner
from devsetup.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devsetup.facts import Facts
    from devsetup.plan import Plan
    from devsetup.planner import Wish
    from devsetup.recipe import Recipe
    from devsetup.results import Machine
    from devsetup.settings import Settings
    from devsetup.steps import LocalSource

_OVERLAY = "declare the toolkit with the host instead, for example --on debian-12+cuda-12.4"


class Workspace:
    """A devsetup home on this machine.

    Attributes:
        home: holds the store, receipts, downloads and logs; created by the first install, not before.
        environ: the environment that the user started us with.
        cuda: root of the CUDA toolkit that the user named for this run; empty goes by the settings.
    """

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None, *, cuda: str = "") -> None:
        self.home = home
        self.cuda = cuda
        self.environ = dict(os.environ if environ is None else environ)
        self.loader = Loader(default_root(self.environ))
        self.runner = Runner()
        self.receipts = Receipts(home)
        self.store = Store(home)

    @functools.cached_property
    def settings(self) -> Settings:
        """The user's settings.

        Raises:
            InvalidInput: their file is malformed.
        """
        from devsetup.settings import read_settings, settings_path

        return read_settings(settings_path(self.environ))

    def facts(self, on: str | None = None) -> Facts:
        """This machine as recipes see it, or a declared host by name or path.

        Raises:
            UsageError: no such host, or `--cuda` with `--on`.
            InvalidInput: its file is malformed; the toolkit that was named is none.
        """
        if on is not None:
            if self.cuda:
                raise UsageError("--cuda names a toolkit of this machine, and --on another machine", _OVERLAY)
            return self.loader.host(on)
        from devsetup import probe

        return probe.machine(
            self.runner,
            self.loader.libraries(),
            self.loader.declared,
            environ=self.environ,
            toolkit=self.cuda or self.settings.cuda,
        )

    def measured_on(self) -> Machine:
        """What must stand beside every figure that is measured here."""
        from devsetup import probe

        return probe.measured_on(self.runner, environ=self.environ)

    def plan(self, wish: Wish, on: str | None = None) -> Plan:
        """What would be done for a wish, here or on a declared host. Runs nothing.

        Raises:
            UsageError, InvalidInput, Refused: see `planner.make_plan`.
        """
        from devsetup.planner import make_plan

        catalogue = self.loader.catalogue()
        for name in wish.names:
            catalogue.recipe(name)  # a misspelt name is told before the machine is looked at
        return make_plan(wish, self.facts(on), catalogue)

    def local_source(self, name: str, path: Path) -> LocalSource:
        """What the user named with `--source`, for a recipe, with the generation of upstream's tree that it is.

        Raises:
            UsageError: no such recipe.
            SourceError: nothing is there, or it is no source.
        """
        from msgspec import structs

        from devsetup import fetch

        recipe = self.loader.recipe(name)
        source = fetch.local_source(path)
        if source.tree:
            return structs.replace(source, generation=self.generation(recipe, path))
        from devsetup.recipe import identify

        found = identify(recipe.generations, lambda file: fetch.member_text(path, file, source.strip))
        return structs.replace(source, generation=found)

    def generation(self, recipe: Recipe, tree: Path) -> str:
        """Which of a recipe's generations an unpacked tree is; empty when none is known. No link is followed."""
        from devsetup.execute import treechange
        from devsetup.recipe import identify

        def text(file: str) -> str | None:
            data = None if treechange.obstacle(tree, file) else treechange.read(tree, file)
            return None if data is None else data.decode("utf-8", "replace")

        return identify(recipe.generations, text)

    def absent(self, manager: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """Which of these system packages are not installed now."""
        from devsetup import probe

        return probe.missing_packages(self.runner, manager, names)

    def clean_env(self, facts: Facts) -> dict[str, str]:
        """The environment for builds and proofs."""
        from devsetup.environment import clean

        return clean(self.environ, macos=facts.os.id == "macos")

    def git(self, directory: Path, *argv: str) -> str:
        """What git says of a repository; empty where there is none, or no git."""
        from devsetup.runner import MissingProgram

        try:
            done = self.runner.capture(("git", "-C", str(directory), *argv))
        except MissingProgram:
            return ""
        return done.output.strip() if done.returncode == 0 else ""

    def default_branch(self, directory: Path) -> str:
        """The branch that a repository's origin calls its default, or else the one at hand, or `main`."""
        origin = self.git(directory, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").partition("/")[2]
        return origin or self.git(directory, "symbolic-ref", "--short", "HEAD") or "main"

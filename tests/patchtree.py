"""A recipe with patches of a test's choosing, and a source tree to put them on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Hello

from devsetup.app import trees
from devsetup.app.workspace import Workspace
from devsetup.execute.patch_records import TreeReport

RECIPE = """
from devsetup.recipe import Generation, Option, Patch, Recipe, When

RECIPE = Recipe(
    name="demo",
    version="1",
    summary="patches on a tree",
    homepage="https://example.org",
    licence="MIT",
    steps=lambda ctx: ctx.patches(tree="@BUILD@"),
    options=(Option(name="colour", help="which", choices=("red", "blue"), default="red"),),
    generations=(
        Generation(id="new", about="since 2.0", file="VERSION", contains="2."),
        Generation(id="old", about="before", file="VERSION", contains="1.", lacks="beta"),
    ),
    supports=lambda facts, options: "no machine can build this",
    patches=({patches}),
)
"""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory where there is one: syncing a disk takes long, and shows nothing more here."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as made:
        yield Path(made)


SECRET = "the canary's own words\n"


class Canary:
    """Something outside the tree that must be neither read nor written."""

    def __init__(self, root: Path) -> None:
        self.root = root / "outside"
        self.root.mkdir()
        self.secret = self.root / "secret"
        self.secret.write_text(SECRET)
        self._reset()
        self.secret.read_text()
        assert self._was_read(), "this file system does not say what was read: the check below could not fail"
        self._reset()
        self._before = snapshot(root)
        self._reset()

    def _reset(self) -> None:
        os.utime(self.secret, (1, self.secret.stat().st_mtime))

    def _was_read(self) -> bool:
        return self.secret.stat().st_atime != 1

    def check(self, tree: Path) -> None:
        """Nothing outside the tree was touched, and no word of it came in."""
        assert not self._was_read()
        assert sorted(path.name for path in self.root.iterdir()) == ["secret"]
        files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
        assert not [
            path for path in files if path.parent.name != ".devsetup" and SECRET.strip() in path.read_text("latin-1")
        ]
        assert self.secret.read_text() == SECRET


class Demo:
    """A tree, and a recipe `demo` with the patches added."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.tree = hello.root / "tree"
        self.tree.mkdir()
        self.workspace = Workspace(hello.home, hello.env())
        self._patches: list[str] = []
        (hello.catalogue / "patches/demo").mkdir()
        self._write()

    def patch(self, name: str, text: str, when: str = "When()") -> None:
        """Add a patch to the recipe, or give one another text."""
        path = self.hello.catalogue / "patches/demo" / name
        if not path.exists():
            self._patches.append(f"Patch(name={name!r}, why='it breaks', when={when}), ")
        path.write_bytes(text.encode())
        self._write()

    def _write(self) -> None:
        recipe = self.hello.catalogue / "recipes/demo.py"
        recipe.write_text(RECIPE.format(patches="".join(self._patches)))
        # A recipe rewritten within one second, with as many bytes, must not come from Python's cache.
        shutil.rmtree(recipe.parent / "__pycache__", ignore_errors=True)

    def write(self, **files: str) -> None:
        """Write files of the tree; `__` in a keyword stands for `/`, `_` for a dot."""
        for name, text in files.items():
            self.file(name.replace("__", "/").replace("_", "."), text)

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def target(self, **options: str) -> trees.Target:
        return trees.Target(name="demo", tree=self.tree, on="debian-12", options=options)

    def check(self, *, reverse: bool = False) -> dict[str, str]:
        return statuses(trees.check(self.workspace, self.target(), reverse=reverse))

    def report(self, *, reverse: bool = False) -> TreeReport:
        return trees.check(self.workspace, self.target(), reverse=reverse)

    def apply(self, *, reverse: bool = False) -> dict[str, str]:
        return statuses(trees.apply(self.workspace, self.target(), reverse=reverse))

    def reason(self, name: str = "1.patch") -> str:
        return next(each.because for each in self.report().patches if each.name == name)


def statuses(report: TreeReport) -> dict[str, str]:
    return {each.name: each.status for each in report.patches}


def diff(name: str, old: str, new: str, context: str = "") -> str:
    """A patch of one line of a file, after a line of context."""
    if context:
        return f"--- a/{name}\n+++ b/{name}\n@@ -1,2 +1,2 @@\n {context}\n-{old}\n+{new}\n"
    return f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def created(name: str, line: str) -> str:
    return f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+{line}\n"


def deleted(name: str, line: str) -> str:
    return f"--- a/{name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-{line}\n"


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every path below a directory: its mode, and its bytes or where it leads."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(root))] = (path.lstat().st_mode, content)
    return found


@pytest.fixture
def canary(demo: Demo) -> Iterator[Canary]:
    """A canary beside the test module's own `demo`, looked after when the test has ended."""
    made = Canary(demo.hello.root)
    yield made
    made.check(demo.tree)

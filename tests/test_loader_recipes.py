"""Recipes of one file and of several, loaded by path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Hello

from devsetup.app.authoring.lint import lint
from devsetup.errors import InvalidInput
from devsetup.loader import Loader

DATA = '"""Data."""\n\nSUMMARY = "A greeting, from two files"\n'


@pytest.fixture
def package(hello: Hello) -> Path:
    """The hello recipe as a package: its summary comes from a module beside it."""
    file = hello.catalogue / "recipes/hello.py"
    folder = hello.catalogue / "recipes/hello"
    folder.mkdir()
    text = file.read_text().replace('summary="A greeting, from source"', "summary=SUMMARY")
    (folder / "__init__.py").write_text(f'"""Two files."""\n\nfrom .data import SUMMARY\n{text}')
    (folder / "data.py").write_text(DATA)
    file.unlink()
    return folder


def test_modules_of_a_package_import_each_other(hello: Hello, package: Path) -> None:
    loader = Loader(hello.catalogue)
    assert loader.names() == ("hello",)
    assert loader.recipe("hello").summary == "A greeting, from two files"
    assert not [name for name in sys.modules if name.startswith("devsetup_recipe")]


def test_a_package_installs_like_a_file(hello: Hello, package: Path) -> None:
    assert hello.run("install", "hello", "-y").returncode == 0


def test_a_module_that_does_not_load_is_told(hello: Hello, package: Path) -> None:
    (package / "data.py").write_text("SUMMARY = 1/0\n")
    with pytest.raises(InvalidInput, match="ZeroDivisionError"):
        Loader(hello.catalogue).recipe("hello")
    (package / "data.py").write_text(DATA)
    assert Loader(hello.catalogue).recipe("hello").summary == "A greeting, from two files"


def test_lint_reads_every_file_of_a_package(hello: Hello, package: Path) -> None:
    assert "impure" not in {finding.rule for finding in lint(Loader(hello.catalogue), ("hello",))}
    (package / "data.py").write_text(f"{DATA}\nimport os\n")
    found = [finding for finding in lint(Loader(hello.catalogue), ("hello",)) if finding.rule == "impure"]
    assert [(finding.path, finding.line) for finding in found] == [("recipes/hello/data.py", 5)]


def test_a_text_that_is_not_utf8_is_told(hello: Hello) -> None:
    (hello.catalogue / "patches/hello/0001-spelling.patch").write_bytes(b"\xff\xfe")
    done = hello.run("plan", "hello")
    assert done.returncode == 1
    assert "0001-spelling.patch is not UTF-8" in done.stderr


def test_reading_the_catalogue_writes_nothing_and_is_never_stale(hello: Hello) -> None:
    loader = Loader(hello.catalogue)
    file = hello.catalogue / "recipes/hello.py"
    before = hello.snapshot()
    for licence in ("MIT", "ISC", "BSD"):  # of the same length, and within one second
        file.write_text(file.read_text().replace(f'"{loader.recipe("hello").licence}"', f'"{licence}"'))
        assert loader.recipe("hello").licence == licence
    assert hello.snapshot() == before


def test_workloads_of_another_folder_are_shared(hello: Hello) -> None:
    path = hello.catalogue / "recipes/hello.py"
    shared = hello.catalogue / "workloads/common"
    shared.mkdir()
    (shared / "job.sh").write_text("true\n")
    assert "workloads/common/job.sh" not in Loader(hello.catalogue).texts(Loader(hello.catalogue).recipe("hello"))
    path.write_text(path.read_text().replace("    steps=steps,\n", '    steps=steps,\n    shares=("common",),\n'))
    found = Loader(hello.catalogue).texts(Loader(hello.catalogue).recipe("hello"))
    assert found["workloads/common/job.sh"] == "true\n"
    assert "workloads/hello/work.sh" in found

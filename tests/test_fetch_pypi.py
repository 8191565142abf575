"""Sdists by name: real pip against a simple index on 127.0.0.1, by devsetup and by the shell form."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from badserver import BadServer, page, running, served, status
from conftest import Hello
from rendering import check, plan_of, prefix_of, run_plan

from devsetup.app import authoring
from devsetup.errors import CannotRender, SourceError
from devsetup.events import Event, Note, silent
from devsetup.execute import Built, Site, build
from devsetup.fetch import obtain
from devsetup.loader import Loader
from devsetup.render.ansible import ansible
from devsetup.render.containerfile import containerfile
from devsetup.render.shell import shell
from devsetup.runner import Runner
from devsetup.steps import BUILD, PREFIX, Fetch, PyPISource, Run, Unpack, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.plan import Plan

FILE = "Toy_Kit-1.0.tar.gz"


def sdist(marker: Path) -> bytes:
    """An sdist whose setup.py must not run: it would leave `marker`, and fails."""
    files = {
        "PKG-INFO": "Metadata-Version: 1.0\nName: Toy-Kit\nVersion: 1.0\n",
        "setup.py": f"open({str(marker)!r}, 'w').close()\nraise SystemExit('too old for this Python')\n",
        "toy.py": "answer = 42\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"Toy-Kit-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Index:
    """A simple index that holds one package."""

    def __init__(self, server: BadServer, root: Path) -> None:
        self.server = server
        self.ran = root / "setup.py-ran"
        self.body = sdist(self.ran)
        self.downloads = root / "downloads"
        self.notes: list[str] = []
        server.on("/simple/toy-kit/", page(f'<a href="/files/{FILE}">{FILE}</a>'))
        server.on(f"/files/{FILE}", served(self.body))

    @property
    def source(self) -> PyPISource:
        return PyPISource(
            id="1.0",
            package="Toy-Kit",
            version="1.0",
            file=FILE,
            sha256=hashlib.sha256(self.body).hexdigest(),
            python=sys.executable,
        )

    def obtain(self, **changed: str) -> Path:
        source = msgspec.structs.replace(self.source, **changed)
        return Path(obtain("toy", (source,), self.downloads, Runner().capture, self._emit).path)

    def reason(self, **changed: str) -> str:
        """Why it could not be had."""
        with pytest.raises(SourceError) as caught:
            self.obtain(**changed)
        assert "no source of toy could be had" in caught.value.message
        assert FILE in str(caught.value.hint)
        assert "--source PATH" in str(caught.value.hint)
        assert not [path for path in self.downloads.rglob("*") if not path.is_dir()]
        (reason,) = caught.value.detail
        return reason

    def _emit(self, event: Event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running() as server:
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT", "PIP_NO_INDEX"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield Index(server, tmp_path)


def test_it_is_had_verified_and_kept_without_running_any_of_its_code(index: Index) -> None:
    place = index.obtain()
    assert place == index.downloads / index.source.sha256 / FILE
    assert place.read_bytes() == index.body
    assert place.stat().st_mode & 0o777 == 0o644
    assert index.notes == ["toy: using 1.0 from pip, as Toy-Kit 1.0"]
    assert not index.ran.exists()
    assert [each.name for each in place.parent.iterdir()] == [FILE]


def test_plain_pip_would_have_run_it(index: Index, tmp_path: Path) -> None:
    """What the stand-in is for: the sdist's own code runs, and fails, before pip keeps the file."""
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--dest", tmp_path / "got"]
    done = subprocess.run([*argv, "Toy-Kit==1.0"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert index.ran.exists() or "setuptools" in done.stderr
    assert not list((tmp_path / "got").glob("*"))


def test_the_cache_answers_without_an_index(index: Index) -> None:
    index.obtain()
    index.server.requests.clear()
    assert index.obtain(python="/nowhere/python").read_bytes() == index.body
    assert index.server.requests == []
    assert index.notes[-1] == "toy: using 1.0 from the cache"


def test_another_hash_is_refused_before_anything_is_unpacked(index: Index) -> None:
    wrong = "0" * 64
    assert index.reason(sha256=wrong) == f"1.0: {FILE} has another sha256: expected {wrong}, got {index.source.sha256}"
    assert not index.ran.exists()


def test_a_version_that_the_index_lacks_is_told_with_those_that_it_has(index: Index) -> None:
    reason = index.reason(version="9.9")
    assert "Toy-Kit==9.9" in reason
    assert "(the index has 1.0)" in reason


def test_a_package_that_the_index_lacks(index: Index) -> None:
    assert "Nothing==1.0" in index.reason(package="Nothing")


def test_another_file_name_than_the_one_pinned(index: Index) -> None:
    with pytest.raises(SourceError) as caught:
        index.obtain(file="other.zip")
    assert caught.value.detail == (f"1.0: pip brought {FILE}, not other.zip",)


def test_a_python_that_is_not_there(index: Index) -> None:
    assert index.reason(python="/nowhere/python") == "1.0: /nowhere/python was not found"


def test_a_python_without_pip(index: Index, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = str(tmp_path / "bare/bin/python")
    assert index.reason(python=python) == f"1.0: {python} has no pip"


def test_offline_it_says_so_in_one_sentence(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        gone = server.url("/simple").replace("//", "//user:secret@")
    monkeypatch.setenv("PIP_INDEX_URL", gone)
    reason = index.reason()
    assert "pip cannot reach its index: [Errno" in reason
    assert "refused" in reason
    assert "secret" not in reason


def test_an_index_that_is_broken(index: Index) -> None:
    index.server.on("/simple/toy-kit/", status(403))
    assert "Toy-Kit==1.0" in index.reason()


def fetching(index: Index, **changed: str) -> Plan:
    """A plan that asks the pip of its own prefix's Python, which stands for an environment made by an earlier step."""
    python = f"{PREFIX}/env/bin/python"
    source = msgspec.structs.replace(index.source, python=python, **changed)
    return plan_of(
        WriteFile(path=python, content=f'#!/bin/sh\nexec {sys.executable} "$@"\n', executable=True),
        Fetch(name="toy", sources=(source,)),
        Unpack(name="toy", into=f"{BUILD}/toy"),
        Run(argv=("cp", f"{BUILD}/toy/toy.py", f"{PREFIX}/toy.py"), title="install"),
    )


def test_a_build_asks_the_python_of_its_prefix_and_records_the_sdist(index: Index, tmp_path: Path) -> None:
    (part,) = fetching(index).parts
    places = {"PREFIX": str(tmp_path / "prefix"), "BUILD": str(tmp_path / "build"), "JOBS": "1"}
    log = tmp_path / "log"
    with log.open("wb") as file:
        site = Site(
            runner=Runner(),
            places=places,
            env=dict(os.environ),
            downloads=index.downloads,
            log=log,
            log_file=file,
            absent=lambda _manager, _names: (),
        )
        (tmp_path / "build").mkdir()
        built = Built()
        build(part, site, silent, built)
    (used,) = built.sources.values()
    assert (tmp_path / "prefix/toy.py").read_text() == "answer = 42\n"
    assert used.origin == f"{FILE} of the Python package Toy-Kit 1.0, by pip"
    assert not index.ran.exists()


def test_the_script_has_it_too_without_running_its_code(index: Index, tmp_path: Path) -> None:
    plan = fetching(index)
    (tmp_path / "check.sh").write_text(shell(plan))
    check(tmp_path / "check.sh")
    done = run_plan(plan, tmp_path, **pip(index))
    assert done.returncode == 0, done.stderr
    assert (prefix_of(plan, tmp_path) / "toy.py").read_text() == "answer = 42\n"
    assert not index.ran.exists()
    kept = tmp_path / "home/downloads" / index.source.sha256
    assert [path.name for path in kept.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"version": "9.9"}, "(the index has 1.0)"), ({"sha256": "0" * 64}, "Got        ")],
    ids=["version", "hash"],
)
def test_the_script_says_why_not(index: Index, tmp_path: Path, changed: dict[str, str], said: str) -> None:
    done = run_plan(fetching(index, **changed), tmp_path, **pip(index))
    assert done.returncode == 1
    assert "no source of toy could be had" in done.stderr
    assert said in done.stderr
    assert f"download {FILE} of the Python package Toy-Kit to " in done.stderr
    assert not list((tmp_path / "home/store").rglob("toy.py"))
    assert not index.ran.exists()


def test_what_tar_cannot_unpack_is_refused(index: Index) -> None:
    with pytest.raises(CannotRender, match="zip archive"):
        shell(fetching(index, file="toy.zip"))


def test_the_script_offline(index: Index, tmp_path: Path) -> None:
    with running() as server:
        gone = server.url("/simple").replace("//", "//user:secret@")
    done = run_plan(fetching(index), tmp_path, **{**pip(index), "PIP_INDEX_URL": gone})
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert "secret" not in done.stderr


def pip(index: Index) -> dict[str, str]:
    """How the script is told of the index."""
    return {"PIP_INDEX_URL": index.server.url("/simple"), "PIP_CONFIG_FILE": "/dev/null", "no_proxy": "127.0.0.1"}


def test_the_other_forms_ask_the_python_of_the_prefix(index: Index) -> None:
    plan = fetching(index)
    in_image = containerfile(plan)
    assert f'from_pypi 1.0 {index.source.sha256} {FILE} 1 Toy-Kit 1.0 "$PREFIX/env/bin/python"' in in_image
    playbook = ansible(plan)
    assert '- "obtain_pypi"' in playbook
    assert "{{ PREFIX }}/env/bin/python" in playbook
    assert "from_pypi() {" in playbook


def test_a_plan_without_sdists_carries_none_of_it() -> None:
    assert "from_pypi" not in shell(plan_of(Run(argv=("true",), title="nothing")))


@pytest.mark.parametrize(
    ("python", "rules"), [("/usr/bin/python3", ["source-python"]), (f"{PREFIX}/env/bin/python", [])]
)
def test_lint_wants_the_recipes_own_python(hello: Hello, python: str, rules: list[str]) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    sdist = f'PyPISource(id="1", package="hello", version="1", file="hello-1.tar.gz", python={python!r}, '
    text = re.sub(r"UrlSource\(id=\"1.0\", url='[^']*', ", sdist, recipe.read_text())
    recipe.write_text(text.replace("Run, UrlSource, WriteFile", "PyPISource, Run, WriteFile"))
    sources = [each for each in authoring.lint(Loader(hello.catalogue), ("hello",)) if each.rule.startswith("source")]
    assert [each.rule for each in sources] == rules
    assert all("PythonEnv" in each.fix for each in sources)

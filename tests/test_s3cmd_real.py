"""s3cmd for real: both versions installed and proven, patches on the real sdists, and the note's own errno."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import ROOT
from makefiles.harness import LOADER
from test_real import Home

from devsetup.planner import Wish, make_plan
from devsetup.steps import PythonEnv

RECIPE = LOADER.recipe("s3cmd")
TEXTS = LOADER.texts(RECIPE)
WORKLOAD = ROOT / "workloads/s3cmd"
VERSIONS = {"2.0.0": "0002-get-force-2.0.patch", "2.4.0": "0003-get-force-2.2.patch"}
SMALL = "0.05"

pytestmark = pytest.mark.real


class Installed(Home):
    """`devsetup install s3cmd`, for real."""

    def __init__(self, path: Path, version: str) -> None:
        super().__init__(path)
        self.version = version

    @property
    def prefix(self) -> Path:
        (found,) = (self.path / "store").iterdir()
        return found

    def rows(self) -> dict[str, object]:
        (path,) = (self.path / "receipts").glob("s3cmd-2-*/result.json")
        return {row["what"]: row["here"] for row in json.loads(path.read_text())["rows"]}

    def tree(self, into: Path) -> Path:
        """The sdist, unpacked."""
        (archive,) = (self.path / "downloads").glob(f"*/s3cmd-{self.version}.tar.gz")
        return unpacked(archive, into)

    def workload(self, out: Path, program: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """The installed workload with another program in s3cmd's place."""
        python, share = self.prefix / "server/bin/python", self.prefix / "share/devsetup"
        words = ["--server", python, "--patch", share / "get-force.patch", "--s3cmd", program, "--out", out, *options]
        return subprocess.run(
            [python, share / "sync.py", "--scale", SMALL, *words], capture_output=True, text=True, check=False
        )


def unpacked(archive: Path, into: Path) -> Path:
    into.mkdir()
    subprocess.run(["tar", "-xzf", archive, "--strip-components=1", "-C", into], check=True)
    return into


def applied(tree: Path, diff: str, *flags: str) -> bool:
    strict = ["patch", "-p1", "--unified", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]
    done = subprocess.run([*strict, *flags, "-d", tree], input=diff, capture_output=True, text=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module", params=VERSIONS)
def s3cmd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("home"), request.param)
    made.run("install", "s3cmd", "--option", f"version={request.param}", "-y")
    yield made
    shutil.rmtree(made.path)


def test_every_phase_passed_and_the_errno_was_there_before_the_patch(s3cmd: Installed) -> None:
    asked = ("install", "s3cmd", "--option", f"version={s3cmd.version}", "--json")
    (receipt,) = json.loads(s3cmd.run(*asked).stdout)["receipts"]
    assert {proof["status"] for proof in receipt["proofs"]} == {"ok"}
    (source,) = receipt["sources"]
    assert source["id"] == s3cmd.version
    statuses = {patch["name"]: patch["status"] for patch in receipt["patches"]}
    assert statuses[VERSIONS[s3cmd.version]] == "applied"
    assert statuses["0001-sync-append.patch"] == "not needed here"
    rows = s3cmd.rows()
    assert rows["files"] == 62
    assert rows["temporary files that the killed sync left"] == 1
    # 2.0.0 went on as if nothing had happened.
    before = str(rows["truncation refused: get --force, without the patch"])
    assert re.search(r"Invalid argument.*; exit status " + ("0$" if s3cmd.version == "2.0.0" else "[1-9]"), before)
    for what in ("get --force, with the patch", "sync, without the patch", "sync, with the patch"):
        assert rows[f"truncation refused: {what}"] == "content replaced"
    (picture,) = (s3cmd.path / "receipts").glob("s3cmd-2-*/sync.svg")
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_patches_apply_alone_once_and_come_off_again(s3cmd: Installed, tmp_path: Path) -> None:
    tree = s3cmd.tree(tmp_path / "tree")
    names = [patch.name for patch in RECIPE.patches if (patch.when.source == "2.0") is (s3cmd.version == "2.0.0")]
    diffs = {name: TEXTS[f"patches/s3cmd/{name}"] for name in names if not name.startswith("0001")}
    assert len(diffs) == {"2.0.0": 6, "2.4.0": 1}[s3cmd.version]
    for name, text in diffs.items():
        assert applied(tree, text, "--dry-run"), f"{name} does not apply to the sdist as it is"
    for name, text in diffs.items():
        assert applied(tree, text), f"{name} does not apply after those before it"
    for name, text in diffs.items():
        assert applied(tree, text, "--reverse", "--dry-run"), f"{name} cannot be told to be there"
        assert not applied(tree, text, "--dry-run"), f"{name} would apply twice"


def test_the_patch_command_tells_the_tree_by_its_source(s3cmd: Installed, tmp_path: Path) -> None:
    tree = str(s3cmd.tree(tmp_path / "tree"))
    shown = s3cmd.run("patch", "s3cmd", "--tree", tree, "--check").stdout
    assert f"generation {'2.0' if s3cmd.version == '2.0.0' else '2.2'}" in shown
    s3cmd.run("patch", "s3cmd", "--tree", tree)
    shown = s3cmd.run("patch", "s3cmd", "--tree", tree, "--check").stdout
    assert re.search(rf"{VERSIONS[s3cmd.version]} +applied", shown)
    assert "needs rebase" not in shown


# Programs in s3cmd's place that do one thing wrong after the real one did it right.
LIES = {
    "content appended to": ('*"/empty/") printf x >> "$last/plain.txt" ;;', "files differ; the first: 'plain.txt'"),
    "a file left out": ('*"/empty/") rm "$last/-rf" ;;', "1 of 24 files differ; the first: '-rf', missing"),
    "a failure": ('*"/empty/") echo ERROR: gone >&2; exit 7 ;;', "exit status 7: ERROR: gone"),
}


@pytest.mark.parametrize("name", LIES)
def test_the_workload_can_fail(name: str, s3cmd: Installed, tmp_path: Path) -> None:
    lie, words = LIES[name]
    program, out = tmp_path / "liar", tmp_path / "out"
    program.write_text(
        f'#!/bin/sh\n"{s3cmd.prefix}/env/bin/s3cmd" "$@" || exit\nfor last; do :; done\ncase "$last" in\n{lie}\nesac\n'
    )
    program.chmod(0o755)
    done = s3cmd.workload(out, program)
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert not list(out.iterdir())


def test_without_a_compiler_the_errno_is_said_to_be_untried(s3cmd: Installed, tmp_path: Path) -> None:
    python, share = s3cmd.prefix / "server/bin/python", s3cmd.prefix / "share/devsetup"
    for name in ("patch", "sh"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    words = ["--server", python, "--patch", share / "get-force.patch", "--s3cmd", s3cmd.prefix / "env/bin/s3cmd"]
    argv = [python, share / "sync.py", "--scale", SMALL, *words, "--out", tmp_path / "out"]
    subprocess.run(argv, env={"PATH": str(tmp_path)}, check=True, capture_output=True)
    rows = {row["what"]: row["here"] for row in json.loads((tmp_path / "out/result.json").read_text())["rows"]}
    assert rows["where truncation is refused"] == "not run: there is no C compiler"


def test_verify_takes_a_size_and_uninstall_leaves_nothing(s3cmd: Installed) -> None:
    s3cmd.run("verify", "s3cmd", "--workload", "--scale", SMALL)
    assert s3cmd.rows()["files"] == 24
    assert s3cmd.version in s3cmd.run("run", "s3cmd", "--", "s3cmd", "--config=/dev/null", "--version").stdout
    s3cmd.run("uninstall", "s3cmd", "-y")
    assert not list((s3cmd.path / "store").iterdir())


# The note's own: s3cmd 1.0, which needs Python 2.


@pytest.fixture(scope="module")
def python2() -> list[str]:
    for words in (["python2.7"], ["env", "PYENV_VERSION=2.7.18", "python2.7"]):
        if (
            shutil.which(words[-1])
            and subprocess.run([*words, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return words
    pytest.skip("there is no Python 2.7, without which s3cmd 1.0 does not run")


def test_the_notes_errno_with_the_notes_s3cmd(
    python2: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3cmd 1.0.1's sync fails as the note has it on a layer that refuses to truncate, and with the patch does not."""
    sdist = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", tmp_path, "s3cmd==1.0.1"]
    subprocess.run([*python2, *sdist], check=True, capture_output=True)
    tree = unpacked(tmp_path / "s3cmd-1.0.1.tar.gz", tmp_path / "tree")
    server = tmp_path / "server"
    subprocess.run([sys.executable, "-m", "venv", server], check=True)
    (part,) = make_plan(Wish(names=("s3cmd",)), LOADER.host("debian-12"), LOADER.catalogue()).parts
    pins = next(step.requirements for step in part.steps if isinstance(step, PythonEnv) and "server" in step.path)
    subprocess.run([server / "bin/pip", "install", "-q", *pins], check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(WORKLOAD))
    import layer  # type: ignore[import-not-found]
    import tool  # type: ignore[import-not-found]

    place = layer.Layer(layer.compiled(WORKLOAD / "refuse.c", tmp_path), tmp_path)
    place.require_refusal()
    with tool.serving(str(server / "bin/python"), 0, tmp_path / "log") as (_, port):
        runner = tmp_path / "s3cmd"
        runner.write_text(f'#!/bin/sh\nexec {" ".join(python2)} {tree}/s3cmd "$@"\n')
        runner.chmod(0o755)
        s3cmd = tool.S3cmd(str(runner), port, tmp_path)
        s3cmd.env["PYENV_ROOT"] = os.environ.get("PYENV_ROOT", "")
        bucket = "s3://note_b"  # no host's name, so that s3cmd 1.0 puts it into the path
        subprocess.run(["curl", "-sf", "-X", "PUT", f"http://{tool.HOST}:{port}/note_b"], check=True)
        (tmp_path / "new").write_bytes(layer.NEW)
        s3cmd.must("put", str(tmp_path / "new"), f"{bucket}/{layer.KEY}")
        replaced, said = place.sync(s3cmd, bucket)
        assert not replaced
        assert "Problem: OSError: [Errno 22] Invalid argument" in said
        assert applied(tree, TEXTS["patches/s3cmd/0001-sync-append.patch"])
        assert place.sync(s3cmd, bucket)[0], "with the note's fix it must be replaced, and not appended to"

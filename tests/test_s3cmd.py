"""s3cmd: planned for each version and host, its trees told apart, and the workload's parts that need no install."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from homes import ROOT
from makefiles.harness import LOADER
from msgspec.structs import replace

from devsetup.errors import Refused
from devsetup.facts import Facts, Library
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.proofs import Check, Workload
from devsetup.recipe import identify
from devsetup.steps import Fetch, PyPISource, PythonEnv, WriteFile

CATALOGUE = LOADER.catalogue()
RECIPE = LOADER.recipe("s3cmd")
TEXTS = LOADER.texts(RECIPE)
WORKLOAD = ROOT / "workloads/s3cmd"


def machine(host: str, python: str = "") -> Facts:
    facts = LOADER.host(host)
    if not python:
        return facts
    return replace(facts, libraries={**facts.libraries, "python": Library(version=python)})


def plan(facts: Facts, **options: str) -> Part:
    (part,) = make_plan(Wish(names=("s3cmd",), options=options), facts, CATALOGUE).parts
    return part


def needed(part: Part) -> set[str]:
    return {patch.name[:4] for patch in part.patches if patch.needed}


def test_each_version_has_its_source_its_patches_and_its_proof() -> None:
    for version, patches in (("2.4.0", {"0003"}), ("2.0.0", {"0002", "0004", "0005", "0007"})):
        part = plan(machine("debian-12"), version=version)
        (source,) = next(step for step in part.steps if isinstance(step, Fetch)).sources
        assert isinstance(source, PyPISource)
        assert (source.version, part.sources) == (version, (source,))
        assert needed(part) == patches
        (check,) = (proof for proof in part.proofs if isinstance(proof, Check))
        assert check.expect == rf"^s3cmd version {version.replace('.', '[.]')}$"
    assert plan(machine("debian-12")).options == {"version": "2.4.0"}


def test_what_python_3_12_took_away_is_patched_from_there_on() -> None:
    new = {"0006", "0008"}
    assert needed(plan(machine("debian-13"), version="2.0.0")) == {"0002", "0004", "0005", "0007"} | new
    assert needed(plan(machine("debian-13"))) == {"0003"}


@pytest.mark.parametrize(
    ("line", "generation"),
    [
        ('\t\t\t\tdst_stream = open(dst_file, "wb")\n', "by-name"),
        ('\t\t\t\tdst_stream = open(dst_file, "ab")\n', "by-name"),
        ("    dst_stream = io.open(deunicodise(destination), mode='ab')\n", "2.0"),
        ("    dst_stream = io.open(destination_bytes, mode='ab')\n", "2.2"),
        ("    with io.open(chkptfd, mode='wb') as dst_stream:\n", ""),
    ],
)
def test_a_tree_is_told_by_how_it_opens_files(line: str, generation: str) -> None:
    assert identify(RECIPE.generations, {"s3cmd": line}.get) == generation


def test_the_patch_of_the_note_is_for_trees_that_open_by_name() -> None:
    (patch,) = (patch for patch in RECIPE.patches if patch.name.startswith("0001"))
    facts = machine("debian-12")
    assert patch.when.verdict(facts, {}, "by-name").holds
    verdict = patch.when.verdict(facts, {}, "2.0")
    assert (verdict.holds, verdict.because) == (False, "the source is of generation 2.0")


def test_the_workload_gets_the_patch_that_was_applied() -> None:
    for version, name in (("2.0.0", "0002-get-force-2.0.patch"), ("2.4.0", "0003-get-force-2.2.patch")):
        written = {
            step.path.rpartition("/")[2]: step.content
            for step in plan(machine("debian-13"), version=version).steps
            if isinstance(step, WriteFile)
        }
        assert written.pop("get-force.patch") == TEXTS[f"patches/s3cmd/{name}"]
        assert set(written) == {path.name for path in WORKLOAD.iterdir() if path.is_file()}


def test_the_server_has_an_environment_of_its_own() -> None:
    own, server = (step for step in plan(machine("debian-13")).steps if isinstance(step, PythonEnv))
    assert not any(each.startswith("moto") for each in own.requirements)
    assert any(each.startswith("moto==") for each in server.requirements)
    assert own.path != server.path
    (workload,) = (proof for proof in plan(machine("debian-13")).proofs if isinstance(proof, Workload))
    assert workload.bench


@pytest.mark.parametrize(
    ("host", "reason"),
    [("macos-15", "no plan for s3cmd on macOS yet"), ("debian-11", r"needs Python 3\.10, and this is 3\.9\.2")],
)
def test_a_machine_that_cannot_is_told_why(host: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(machine(host))


def test_every_patch_says_why_and_where_upstream_explains_it() -> None:
    for patch in RECIPE.patches:
        lines = TEXTS[f"patches/s3cmd/{patch.name}"].splitlines()
        assert lines[0].startswith("Why: ")
        assert lines[1] == f"Upstream: {patch.upstream}"


# The workload's parts.


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of the workload, whose names are short and must not stay."""
    monkeypatch.syspath_prepend(str(WORKLOAD))
    for name in ("layer", "picture", "sync", "tool", "tree"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return load


def seeded() -> random.Random:
    return random.Random(1)  # noqa: S311 - test data


def test_the_tree_is_the_same_each_time_and_tells_a_changed_byte(
    part: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    tree = part("tree")
    for name in ("one", "two"):
        assert tree.make(tmp_path / name, seeded(), 0.01) == len(tree.ODD) + 2
    assert tree.digests(tmp_path / "one") == tree.digests(tmp_path / "two")
    sizes = {path.stat().st_size for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert {0, 1, 5 * tree.MIB} <= sizes
    with (tmp_path / "two" / "-rf").open("r+b") as file:
        file.seek(7)
        file.write(b"?")
    one, two = tree.digests(tmp_path / "one"), tree.digests(tmp_path / "two")
    assert [name for name in one if one[name] != two[name]] == ["-rf"]


def test_the_largest_file_is_of_64_mib_and_no_larger(part: Callable[[str], ModuleType]) -> None:
    tree = part("tree")
    for scale, size in ((0.5, 32 * tree.MIB), (1, 64 * tree.MIB), (9, 64 * tree.MIB)):
        assert dict(tree.contents(seeded(), scale))["largest.bin"] == size


def test_control_characters_are_expected_in_caret_notation(part: Callable[[str], ModuleType]) -> None:
    assert part("sync").stored("new\nline\tand caf\u00e9") == "new^Jline^Iand caf\u00e9"


SYNC_OF_1_0 = "os.close(os.open(path, os.O_CREAT | os.O_TRUNC)); open(path, 'wb').write(b'new')"
SYNC_OF_THE_NOTE = "os.unlink(path); open(path, 'ab').write(b'new')"
SYNC_OF_2_0 = (
    "fd, new = tempfile.mkstemp('.tmp', '.s3cmd.', os.path.dirname(path)); f = open(fd, 'wb'); f.write(b'new'); "
    "f.close(); os.rename(new, path)"
)
GET_FORCE = "f = open(path, 'ab'); f.seek(0); f.truncate(); f.write(b'new'); f.close()"


@pytest.mark.skipif(not shutil.which("cc") and not shutil.which("gcc"), reason="there is no C compiler")
@pytest.mark.parametrize(
    ("how", "works"), [(SYNC_OF_1_0, False), (SYNC_OF_THE_NOTE, True), (SYNC_OF_2_0, True), (GET_FORCE, False)]
)
def test_who_meets_the_errno_where_truncation_is_refused(
    how: str, works: bool, part: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """The calls of each version, on the layer: what the note met, its remedy, and what is so since."""
    layer = part("layer")
    library = layer.compiled(WORKLOAD / "refuse.c", tmp_path)
    place = layer.Layer(library, tmp_path)
    place.require_refusal()
    path = place.place / "file"
    path.write_bytes(b"old and longer")
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import os, sys, tempfile; path = sys.argv[1]; {how}", path],
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("OSError: [Errno 22] Invalid argument" in done.stderr) is not works
    assert path.read_bytes() == (b"new" if works else b"old and longer")
    outside = tmp_path / "outside"
    outside.write_bytes(b"old and longer")
    subprocess.run(
        [sys.executable, "-I", "-c", "import sys; open(sys.argv[1], 'wb')", outside], env=place.env, check=True
    )
    assert outside.read_bytes() == b""


def test_a_layer_that_refuses_nothing_is_no_proof(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    layer = part("layer")
    (tmp_path / "other").mkdir()
    place = layer.Layer(tmp_path / "nothing.so", tmp_path)
    with pytest.raises(part("tool").WorkloadError, match="does not refuse to truncate"):
        place.require_refusal()


def workload(out: Path, *options: str) -> str:
    """What a run says that cannot do its work; it must leave nothing."""
    words = ["--s3cmd", "/nonexistent/s3cmd", "--patch", "/nonexistent/patch", "--out", str(out), *options]
    done = subprocess.run([sys.executable, WORKLOAD / "sync.py", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.iterdir())
    return done.stderr


def test_a_taken_port_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = workload(tmp_path, "--server", sys.executable, "--port", port)
    assert f"port {port} of 127.0.0.1 cannot be had: [Errno 98] Address already in use" in said
    assert "leave --port out to take a free one" in said


def test_a_missing_server_is_told_with_what_to_do(tmp_path: Path) -> None:
    said = workload(tmp_path, "--server", "/nonexistent/python")
    assert "the S3 server cannot be started: [Errno 2] No such file or directory: '/nonexistent/python'" in said
    assert "`devsetup install --rebuild s3cmd` makes it anew" in said
    bare = tmp_path.parent / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    said = workload(tmp_path, "--server", str(bare / "bin/python"))
    assert "the S3 server did not start: ModuleNotFoundError: No module named 'moto'" in said


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "big"])
def test_a_scale_that_is_no_size_is_a_wrong_command_line(scale: str, tmp_path: Path) -> None:
    words = ["--s3cmd=x", "--server=x", "--patch=x", f"--out={tmp_path}", f"--scale={scale}"]
    done = subprocess.run([sys.executable, WORKLOAD / "sync.py", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--scale" in done.stderr


def test_a_server_that_is_killed_lets_nobody_wait(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    tool = part("tool")
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho port 1\nexec sleep 600\n")
    script.chmod(0o755)
    with tool.serving(str(script), 0, tmp_path / "log") as (server, port):
        assert port == 1
        os.kill(server.process.pid, 9)
        with pytest.raises(tool.WorkloadError, match="ended with exit status -9"):
            server.wait_for("begin", 60)

"""Caffe for real on this machine: built from source, proven by training, used, verified, removed.

Run with `./dev test --all` or `-m real`; takes a few minutes and installs system packages. The install is also what
test_forms_real.py compares its script's with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytestmark = pytest.mark.real


class Home:
    """A home in which real things are installed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
        return {**kept, "DEVSETUP_HOME": str(self.path)}

    def run(self, *argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "devsetup", *argv],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr[-4000:]
        return done

    def json(self, *argv: str) -> dict[str, object]:
        found = json.loads(self.run(*argv, "--json").stdout)
        assert found["schema"] == 1
        return found  # type: ignore[no-any-return]


def receipt(home: Home) -> dict[str, object]:
    (found,) = home.json("install", "caffe")["receipts"]  # type: ignore[misc]
    return found


def test_every_proof_passed_and_every_patch_is_accounted_for(caffe: Home) -> None:
    found = receipt(caffe)
    assert [proof["status"] for proof in found["proofs"]] == ["ok", "ok", "ok", "ok"]  # type: ignore[attr-defined]
    statuses = {patch["status"] for patch in found["patches"]}  # type: ignore[attr-defined]
    assert statuses <= {"applied", "already upstream", "not needed here"}
    assert sum(patch["status"] == "applied" for patch in found["patches"]) >= 3  # type: ignore[attr-defined]


def test_python_of_the_install_imports_caffe(caffe: Home) -> None:
    done = caffe.run("run", "caffe", "--", "python", "-c", "import caffe; print(caffe.__version__)")
    assert done.stdout == "1.0.0\n"


def test_tools_run_without_any_library_path(caffe: Home) -> None:
    prefix = Path(str(receipt(caffe)["prefix"]))
    done = subprocess.run([prefix / "bin/caffe"], env={}, capture_output=True, text=True, check=False)
    assert "usage: caffe <command>" in done.stdout + done.stderr


def test_nothing_points_into_the_build_tree(caffe: Home) -> None:
    prefix = Path(str(receipt(caffe)["prefix"]))
    build = str(caffe.path / "build").encode()
    binaries = [*prefix.glob("bin/*"), *prefix.glob("lib/*.so*"), *prefix.glob("python/caffe/*.so")]
    assert len(binaries) >= 9
    assert not [path for path in binaries if build in path.read_bytes()]
    assert not list((caffe.path / "build").iterdir())


def test_training_passed_its_bar_and_left_a_curve(caffe: Home) -> None:
    artifacts = caffe.path / "receipts" / str(receipt(caffe)["key"])
    result = json.loads((artifacts / "result.json").read_text())
    assert result["accuracy"] >= result["bar"] > result["linear_accuracy"]
    assert result["loss"][0][1] > 3 * result["loss"][-1][1]
    assert ET.parse(artifacts / "curve.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_the_workload_can_fail(caffe: Home, tmp_path: Path) -> None:
    prefix = Path(str(receipt(caffe)["prefix"]))
    python, train = prefix / "env/bin/python", prefix / "share/devsetup/train.py"
    done = subprocess.run(
        [python, train, "--out", tmp_path, "--shuffle-labels"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "below" in done.stderr or "bar" in done.stderr


def test_a_second_install_builds_nothing(caffe: Home) -> None:
    assert "already installed" in caffe.run("install", "caffe").stderr


def test_verify_repeats_the_training(caffe: Home) -> None:
    (verified,) = caffe.json("verify", "caffe", "--workload")["verified"]  # type: ignore[misc]
    assert [finding["status"] for finding in verified["findings"]] == ["ok", "ok", "ok", "ok"]  # type: ignore[index]


def test_a_library_that_goes_away_is_noticed(caffe: Home) -> None:
    prefix = Path(str(receipt(caffe)["prefix"]))
    library = prefix / "lib/libcaffe.so.1.0.0"
    library.rename(prefix / "away")
    try:
        done = caffe.run("verify", "caffe", code=1)
        assert "libcaffe.so.1.0.0" in done.stdout
    finally:
        (prefix / "away").rename(library)
    caffe.run("verify", "caffe")


def test_the_unpatched_tree_does_not_build(caffe: Home, tmp_path: Path) -> None:
    """What the patches are for: without them, the compiler stops at the first file that needs one."""
    source = next(path for path in (caffe.path / "downloads").glob("*/*.tar.gz"))
    tree = tmp_path / "caffe"
    tree.mkdir()
    subprocess.run(["tar", "-xzf", source, "-C", tree], check=True)
    steps = json.loads(caffe.run("plan", "caffe", "--json").stdout)["plan"]["parts"][0]["steps"]
    config = next(step for step in steps if step.get("path", "").endswith("Makefile.config"))
    prefix = str(receipt(caffe)["prefix"])
    (tree / "Makefile.config").write_text(config["content"].replace("@PREFIX@", prefix))
    done = subprocess.run(
        ["make", ".build_release/src/caffe/util/io.o"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr  # the Makefile collects warnings in a file, and prints that on failure
    assert "CV_LOAD_IMAGE" in said or "SetTotalBytesLimit" in said or "highgui" in said


def test_uninstall_leaves_nothing_but_history(caffe: Home) -> None:
    caffe.run("uninstall", "caffe", "-y")
    assert not list((caffe.path / "store").iterdir())
    events = [entry["event"] for entry in caffe.json("log", "caffe")["history"]]  # type: ignore[attr-defined]
    assert events[0] == "installed"
    assert events[-1] == "uninstalled"

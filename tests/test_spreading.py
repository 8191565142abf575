"""How the tests are spread over workers, on small suites that note where and when each test ran."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CONFTEST = """
import os, pathlib
def pytest_configure(config):
    for name in ("real", "chroot"):
        config.addinivalue_line("markers", name)
def pytest_runtest_call(item):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    with (pathlib.Path(__file__).parent / worker).open("a") as file:
        file.write(f"{item.path.stem}.{item.name}\\n")
"""
TWO = "def test_a(): pass\ndef test_b(): pass\n"


def run(place: Path, modules: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    (place / "conftest.py").write_text(CONFTEST)
    for name, marks in modules.items():
        (place / f"{name}.py").write_text(f"import os, time, pytest\n{marks}\n{TWO}")
    flags = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-p", "spreading", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "--basetemp", place / "base", *options, place],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )


def ran(place: Path) -> dict[str, list[str]]:
    """Worker to the tests that it ran, in order."""
    return {path.name: path.read_text().split() for path in place.glob("gw*")}


REAL, CHROOT = "pytestmark = pytest.mark.real", "pytestmark = pytest.mark.chroot"
OWN = "pytestmark = [pytest.mark.chroot, pytest.mark.xdist_group('shared')]"


def test_groups_stay_together_and_begin_before_quick_tests(tmp_path: Path) -> None:
    quick = {f"test_{letter}": "" for letter in "ef"}
    heavy = {"test_g": REAL, "test_h": CHROOT, "test_i": OWN, "test_j": OWN, "test_k": REAL}
    done = run(tmp_path, quick | heavy)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].strip("= ").startswith("14 passed")
    where = {test: worker for worker, tests in ran(tmp_path).items() for test in tests}
    for together in (("test_g", "test_k"), ("test_i", "test_j"), ("test_h",), ("test_e",), ("test_f",)):
        assert len({where[f"{module}.test_{letter}"] for module in together for letter in "ab"}) == 1
    for tests in ran(tmp_path).values():
        modules = [test.partition(".")[0] for test in tests]
        assert modules == sorted(modules, key=lambda name: (name in quick, modules.index(name))), "quick ones last"
        assert all(modules.count(name) == 2 for name in modules)


def test_the_longest_groups_begin_first(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_a": CHROOT, "test_self_repair": CHROOT, "test_z": REAL}, "-v")
    assert done.returncode == 0, done.stdout
    assert {tests[0] for tests in ran(tmp_path).values()} == {"test_z.test_a", "test_self_repair.test_a"}


@pytest.mark.parametrize("marks", ["", REAL])
def test_a_worker_that_dies_fails_the_run_and_the_others_go_on(tmp_path: Path, marks: str) -> None:
    dies = f"{marks}\ndef test_0(): os.kill(os.getpid(), 9)\n"
    done = run(tmp_path, {"test_a": dies, "test_b": "", "test_c": ""})
    assert done.returncode == 1, done.stdout
    assert "crashed while running" in done.stdout
    assert done.stdout.splitlines()[-1].strip("= ").startswith("1 failed, 6 passed")

"""R: planned on every kind of host, its comparison told what it cannot use, and the real thing installed and proven."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import ROOT, mounted
from msgspec.structs import replace
from test_real import Home

from devsetup.errors import Refused
from devsetup.facts import Facts, Library
from devsetup.loader import Loader, default_root
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.proofs import Workload
from devsetup.steps import PythonEnv, SystemPackages, WriteFile

LOADER = Loader(default_root({}))
CATALOGUE = LOADER.catalogue()
PROGRAM = ROOT / "workloads/r/onehot.py"


def machine(host: str, **libraries: str) -> Facts:
    facts = LOADER.host(host)
    changed = {name: Library(version=version) for name, version in libraries.items()}
    return replace(facts, libraries={**facts.libraries, **changed})


def plan(facts: Facts) -> Part:
    (part,) = make_plan(Wish(names=("r",)), facts, CATALOGUE).parts
    return part


@pytest.mark.parametrize(
    ("host", "python", "pandas"),
    [
        ("debian-11", "3.9.2", "2.3.3"),
        ("ubuntu-22.04", "3.10.6", "2.3.3"),
        ("debian-12", "3.11.2", "3.1.1"),
        ("debian-13", "3.13.5", "3.1.1"),
    ],
)
def test_each_python_has_its_newest_pandas(host: str, python: str, pandas: str) -> None:
    (env,) = (step for step in plan(machine(host)).steps if isinstance(step, PythonEnv))
    assert f"pandas=={pandas}" in env.requirements
    assert env.python == f"/usr/bin/python{'.'.join(python.split('.')[:2])}"
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", each) for each in env.requirements)


def test_r_comes_from_the_distribution_and_brings_no_compilers() -> None:
    def packages(host: str) -> tuple[str, ...]:
        return next(step.names for step in plan(machine(host)).steps if isinstance(step, SystemPackages))

    assert packages("debian-12") == ("python3-dev", "python3-venv", "r-base-core")
    assert packages("fedora-42") == ("R-core", "python3-devel")


def test_all_of_the_program_is_installed() -> None:
    written = {
        step.path.rpartition("/")[2]: step for step in plan(machine("debian-12")).steps if isinstance(step, WriteFile)
    }
    assert set(written) == {path.name for path in PROGRAM.parent.iterdir() if path.is_file()} | {"onehot"}
    assert written["onehot"].executable


def test_the_job_has_a_size() -> None:
    (workload,) = (proof for proof in plan(machine("debian-12")).proofs if isinstance(proof, Workload))
    assert "@SCALE@" in workload.argv
    assert "result.json" in workload.artifacts


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (machine("macos-15"), "no plan for R on macOS yet"),
        (machine("ubuntu-20.04"), r"r-base is 3\.6\.3, and the comparison is for R 4"),
        (machine("debian-12", python="3.8.2"), r"python is 3\.8\.2"),
    ],
)
def test_a_machine_that_cannot_is_told_why(facts: Facts, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(facts)


def onehot(out: Path, *options: object, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    argv = [str(python), str(PROGRAM), "--out", str(out), *map(str, options)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def refusal(done: subprocess.CompletedProcess[str], out: Path) -> str:
    """What a run that could not do its work said; it must have left nothing."""
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert list(out.iterdir()) == []
    return done.stderr


BROKEN = {
    "no such column": (b"a,b\n1,2\n", "column 'user_state' is not there; its first line names: a, b; choose one"),
    "the column twice": (b"user_state,user_state\nAL,AK\n", "is twice or more"),
    "an empty file": (b"", "its first line names: nothing"),
    "a short line": (b"user_state,n\nAL,1\nAK\n", "line 3: 1 fields, and the header has 2"),
    "a long line": (b"user_state,n\nAL,1,2\nAK,1\n", "line 2: 3 fields, and the header has 2"),
    "an open quote": (b'user_state,n\nAL,1\n"AK,1\n', "line 3: unexpected end of data"),
    "another encoding": (b"user_state\n\xcele\n", "line 2: byte 0xce is not UTF-8"),
    "a NUL byte": (b"user_state\nA\0\n", "line 2: a NUL byte"),
    "one level": (b"user_state\nAL\nAL\n\nNA\n", "user_state has 1 different value in 3 rows"),
    "only gaps": (b'user_state\n""\nNA\n', "user_state has 0 different values in 2 rows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    content, words = BROKEN[name]
    data = tmp_path / "data.csv"
    data.write_bytes(content)
    out = tmp_path / "out"
    said = refusal(onehot(out, "--data", data), out)
    assert words in said
    assert str(data) in said


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "nowhere.csv cannot be read: No such file" in refusal(onehot(out, "--data", tmp_path / "nowhere.csv"), out)
    assert f"{tmp_path} cannot be read: Is a directory" in refusal(onehot(out, "--data", tmp_path), out)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    data = tmp_path / "data.csv"
    data.write_text("user_state\nAL\nAK\n")
    return data


def test_a_machine_without_r_is_told_what_to_install(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = refusal(onehot(out, "--data", good, "--rscript", tmp_path / "Rscript"), out)
    assert "Rscript cannot be started: No such file" in said
    assert "r-base-core" in said


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Error: cannot allocate vector of size 4 Gb' >&2; exit 1", ("status 1", "cannot allocate vector")),
        ("kill -9 $$", ("by signal 9", "(nothing)")),
        ("exit 0", ("left no results",)),
        ('for last; do :; done; printf "version\\tzz\\n" > "$last/facts"', ("left no results",)),
    ],
)
def test_an_r_that_fails_is_told_in_its_own_words(
    script: str, words: tuple[str, ...], good: Path, tmp_path: Path
) -> None:
    rscript = tmp_path / "Rscript"
    rscript.write_text(f"#!/bin/sh\n{script}\n")
    rscript.chmod(0o755)
    out = tmp_path / "out"
    said = refusal(onehot(out, "--data", good, "--rscript", rscript), out)
    for each in words:
        assert each in said


def test_what_memory_would_not_hold_is_not_begun(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert re.search(
        r"levels take about \d+\.\d GB at the peak, and \d+\.\d GB of memory are free",
        refusal(onehot(out, "--scale", "999999"), out),
    )


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "big"])
def test_a_scale_that_is_no_size_is_a_wrong_command_line(scale: str, tmp_path: Path) -> None:
    done = onehot(tmp_path / "out", f"--scale={scale}")
    assert done.returncode == 2
    assert "--scale" in done.stderr


class Installed(Home):
    """`devsetup install r`, for real."""

    @property
    def python(self) -> Path:
        (prefix,) = (self.path / "store").iterdir()
        return prefix / "env/bin/python"

    def result(self) -> dict[str, object]:
        (path,) = (self.path / "receipts").glob("r-4-*/result.json")
        rows = json.loads(path.read_text())["rows"]
        return {row["what"]: row["here"] for row in rows}


@pytest.fixture(scope="module")
def r(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("home"))
    made.run("install", "r", "-y")
    return made


@pytest.mark.real
def test_the_note_holds_in_all_three(r: Installed) -> None:
    found = r.result()
    assert found["levels"] == found["indicator columns of ~ 0 + column"] == 51
    assert found["least and greatest sum of a row"] == "1 and 1"
    assert found["columns of ~ column: intercept and the rest"] == "1 + 50"
    rows, gaps = found["rows of the table"], found["rows without a value, which R drops"]
    assert (rows, found["pairs of cells compared with R's"]) == (100_000, 2 * 51 * (100_000 - gaps))  # type: ignore[operator]
    assert gaps > 2  # type: ignore[operator]
    assert found["levels with odd characters that are equal in all three"] == 37
    assert found["of those, columns that end up with another's name"] > 1  # type: ignore[operator]
    (picture,) = (r.path / "receipts").glob("r-4-*/onehot.svg")
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - our own file


@pytest.mark.real
def test_verify_compares_at_another_size(r: Installed) -> None:
    r.run("verify", "r", "--workload", "--scale", "0.02")
    assert r.result()["rows of the table"] == 2000
    r.run("verify", "r", "--workload")
    assert r.result()["rows of the table"] == 100_000


@pytest.mark.real
def test_a_table_of_ones_own(r: Installed, tmp_path: Path) -> None:
    """With a byte order mark, Windows' line ends, a quoted comma and a gap."""
    data = tmp_path / "mine.csv"
    data.write_bytes('\ufeffThe Column,n\r\nB,1\r\n"Å, b",2\r\n,3\r\nB,4\r\n01,5\r\nTRUE,6\r\n'.encode())
    out = tmp_path / "out"
    done = r.run("run", "r", "--", "onehot", "--data", str(data), "--column", "The Column", "--out", str(out))
    assert done.stdout.splitlines()[-1] == "passed: 4 columns, and 40 pairs of cells are equal"
    rows = {row["what"]: row["here"] for row in json.loads((out / "result.json").read_text())["rows"]}
    assert (rows["rows of the table"], rows["rows without a value, which R drops"]) == (6, 1)


# R's results changed on their way to the comparison: each of these must be seen.
LIES = {
    "two columns swapped": ("cells[0], cells[1] = cells[1], cells[0]", "differ in"),
    "a row without a one": ("cells[0][cells[0].index(1)] = 0", "sum to between 0 and 1"),
    "two names swapped": ("names[0], names[1] = names[1], names[0]", "the first that differ: 'B', 'A'"),
    "rows in another order": ("rows.reverse()", "or other ones"),
    "an intercept of twos": ("intercept[0][0] = 2", "is not a column of ones"),
}
LIAR = """#!{python}
import array, pathlib, subprocess, sys
subprocess.run(["/usr/bin/Rscript", *sys.argv[1:]], check=True)
out = pathlib.Path(sys.argv[-1])
names = (out / "indicator.names").read_text().split()
rows = array.array("i", (out / "rows").read_bytes())
def columns(name):
    data = (out / name).read_bytes()
    return [list(data[n : n + len(rows)]) for n in range(0, len(data), len(rows))]
cells, intercept = columns("indicator.cells"), columns("intercept.cells")
{lie}
(out / "indicator.names").write_text("\\n".join(names) + "\\n")
(out / "rows").write_bytes(rows.tobytes())
(out / "indicator.cells").write_bytes(bytes(sum(cells, [])))
(out / "intercept.cells").write_bytes(bytes(sum(intercept, [])))
"""


@pytest.mark.real
@pytest.mark.parametrize("name", LIES)
def test_the_comparison_can_fail(name: str, r: Installed, tmp_path: Path) -> None:
    lie, words = LIES[name]
    data, rscript, out = tmp_path / "data.csv", tmp_path / "Rscript", tmp_path / "out"
    data.write_text("user_state\nA\nB\nC\nB\n")
    rscript.write_text(LIAR.format(python=sys.executable, lie=lie))
    rscript.chmod(0o755)
    assert words in refusal(onehot(out, "--data", data, "--rscript", rscript, python=r.python), out)


@pytest.mark.real
def test_a_full_disk_keeps_the_result_of_before(r: Installed, tmp_path: Path) -> None:
    full = (
        'mount -t tmpfs -o size=64k tmpfs "$home"; cd "$home"; echo before > result.json; head -c 60k /dev/zero > fill'
    )
    script = f'"$@"; status=$?; ls -A {tmp_path}; cat {tmp_path}/result.json; exit $status'
    program = [str(r.python), str(PROGRAM), "--out", str(tmp_path), "--scale", "0.01"]
    done = subprocess.run(
        [*mounted(tmp_path, full), "sh", "-c", script, "sh", *program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["fill", "result.json", "before"]

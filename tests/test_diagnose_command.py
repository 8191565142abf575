"""`devsetup diagnose`: what it reads, what it says, and its exit statuses, in processes of their own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from homes import ROOT, powerless

HDF5 = (
    "g++ -c src/caffe/util/hdf5.cpp -o hdf5.o\n"
    "./include/caffe/util/hdf5.hpp:6:10: fatal error: hdf5.h: No such file or directory\n"
    "compilation terminated.\nmake: *** [Makefile:582: .build_release/src/caffe/util/hdf5.o] Error 1\n"
)
UNKNOWN = "frob.c:3:1: error: the frobnicator is upside down\nmake: *** [Makefile:3: frob.o] Error 1\n"
CLEAN = "checking for hdf5.h... no\ngcc -Werror -c error.c -o error.o\nmake[1]: Leaving directory '/src'\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in (("hdf5.log", HDF5), ("unknown.log", UNKNOWN), ("clean.log", CLEAN), ("empty.log", "")):
        (tmp_path / name).write_text(text)
    return tmp_path


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "devsetup", "diagnose", *argv]


def environ(place: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
    return {**kept, "PYTHONPATH": str(ROOT), "DEVSETUP_HOME": str(place / "home"), **more}


def run(place: Path, *argv: str, text: bytes = b"", **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*argv), input=text, env=environ(place, **more), cwd=place, capture_output=True, check=False, timeout=60
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_known_failure_is_explained_with_the_machines_own_commands(place: Path) -> None:
    done = run(place, "hdf5.log", "--on", "debian-13")
    assert done.returncode == 1
    assert "2: ./include/caffe/util/hdf5.hpp:6:10: fatal error: hdf5.h: No such file or directory" in done.stdout
    assert "apt-get install" in done.stdout
    assert "libhdf5-dev" in done.stdout
    assert "2 further lines only follow" in done.stdout
    assert done.stderr == ""
    elsewhere = run(place, "hdf5.log", "--on", "fedora-42").stdout
    assert "dnf install" in elsewhere
    assert "hdf5-devel" in elsewhere


def test_without_a_host_the_commands_are_for_this_machine(place: Path) -> None:
    done = run(place, "hdf5.log")
    assert done.returncode == 1
    assert "hdf5" in done.stdout


def test_a_clean_log_is_no_failure(place: Path) -> None:
    done = run(place, "clean.log", "--on", "debian-12")
    assert (done.returncode, done.stdout) == (0, "no known failure found in 3 lines\n")


def test_an_empty_log_is_no_failure(place: Path) -> None:
    done = run(place, "empty.log", "--on", "debian-12")
    assert (done.returncode, done.stdout) == (0, "no known failure found in 0 lines\n")


def test_an_unknown_failure_shows_its_errors_and_how_to_report_them(place: Path) -> None:
    done = run(place, "unknown.log", "--on", "debian-12")
    assert done.returncode == 1
    assert "1: frob.c:3:1: error: the frobnicator is upside down" in done.stdout
    assert "devsetup diagnose --report unknown.log" in done.stdout


def test_standard_input_is_read(place: Path) -> None:
    done = run(place, "-", "--on", "debian-12", text=HDF5.encode())
    assert done.returncode == 1
    assert "libhdf5-dev" in done.stdout


def test_gzip_is_read_from_a_file_and_from_standard_input(place: Path) -> None:
    packed = gzip.compress(HDF5[:100].encode()) + gzip.compress(HDF5[100:].encode())
    (place / "hdf5.log.gz").write_bytes(packed)
    for done in (
        run(place, "hdf5.log.gz", "--on", "debian-12"),
        run(place, "-", "--on", "debian-12", text=packed),
    ):
        assert done.returncode == 1
        assert "2: ./include/caffe/util/hdf5.hpp:6:10" in done.stdout


def test_several_logs_are_told_apart(place: Path) -> None:
    done = run(place, "clean.log", "hdf5.log", "unknown.log", "--on", "debian-12")
    assert done.returncode == 1
    clean, known, unknown = (done.stdout.index(f"== {name}\n") for name in ("clean.log", "hdf5.log", "unknown.log"))
    assert clean < done.stdout.index("no known failure") < known < done.stdout.index("libhdf5-dev") < unknown
    assert run(place, "clean.log", "empty.log", "--on", "debian-12").returncode == 0


def test_json_has_the_whole_diagnosis(place: Path) -> None:
    done = run(place, "hdf5.log", "clean.log", "--json", "--on", "debian-13")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    known, clean = found["diagnosis"]
    assert known["log"] == "hdf5.log"
    assert set(known["diagnosis"]) == {"causes", "unexplained", "folded", "lines", "tail"}
    cause = known["diagnosis"]["causes"][0]
    assert set(cause) == {"id", "title", "cause", "confidence", "sources", "lines", "count", "treatments"}
    assert cause["lines"] == [
        {"number": 2, "text": "./include/caffe/util/hdf5.hpp:6:10: fatal error: hdf5.h: No such file or directory"}
    ]
    assert cause["treatments"][0]["needs_root"]
    assert clean == {
        "log": "clean.log",
        "diagnosis": {"causes": [], "unexplained": [], "folded": 0, "lines": 3, "tail": CLEAN.splitlines()},
    }


def test_a_report_has_no_personal_data(place: Path) -> None:
    secret = "ghp_" + "a1B2" * 9
    log = (
        f"cp: cannot stat '/home/alice/work/x': No such file or directory\ncurl -H 'Authorization: Bearer {secret}'\n"
        f"export API_TOKEN={secret}\nfatal: cannot read https://bob:hunter2@example.org/r.git\n"
        "alice@build7:~/work$ make\nmail carol@example.org\n/usr/bin/ld: memcpy@@GLIBC_2.14: error: bad\n"
        "/Users/dave/x.c:1:1: error: odd\nmake: *** [x] Error 1\n"
    )
    (place / "personal.log").write_text(log)
    done = run(place, "personal.log", "--report", "--on", "debian-12", HOME=str(place), USER="erin-the-user")
    assert done.returncode == 1
    for word in ("alice", "bob", "hunter2", "carol", "dave", "build7", secret, str(place)):
        assert word not in done.stdout
    for word in ("on debian 12 x86_64", "/work/x", "~/x.c:1:1: error: odd", "memcpy@@GLIBC_2.14", "end of the log:"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("missing.log",), 1, "missing.log does not exist"),
        ((".",), 1, ". is a directory"),
        (("hdf5.log", "missing.log"), 1, "missing.log does not exist"),
        (("hdf5.log", "--on", "debian-3"), 2, "debian-11"),
        ((), 2, "Missing argument"),
        (("x/y\x01z",), 1, "does not exist"),
    ],
)
def test_what_cannot_be_read_is_told(place: Path, argv: tuple[str, ...], code: int, words: str) -> None:
    done = run(place, *argv)
    assert done.returncode == code
    assert words in done.stderr
    assert "hint:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(200) + b"error: x\n", "not text"),
        ("error: x\n".encode("utf-16"), "not text"),
        (b"\xfd7zXZ\x00\x00\x04" + bytes(range(256)), "not text"),
        (gzip.compress(HDF5.encode())[:40], "cannot read"),
        (gzip.compress(HDF5.encode())[:30] + b"\xff" * 60, "cannot read"),
        (b"\x1f\x8b\x00\x00not gzip at all", "cannot read"),
    ],
    ids=("elf", "utf-16", "xz", "cut gzip", "damaged gzip", "no gzip"),
)
def test_a_file_that_is_no_log_is_told(place: Path, data: bytes, words: str) -> None:
    (place / "odd").write_bytes(data)
    for argv, text in ((("odd",), b""), (("-",), data)):
        done = run(place, *argv, "--on", "debian-12", text=text)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert "hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_few_odd_bytes_do_not_make_a_log_binary(place: Path) -> None:
    (place / "odd.log").write_bytes(b"\x00\x00\x00ok \xff\xfe\n" + b"g++ -c x.cpp\n" * 20 + HDF5.encode())
    done = run(place, "odd.log", "--on", "debian-12")
    assert done.returncode == 1
    assert "23: ./include/caffe/util/hdf5.hpp" in done.stdout


@pytest.mark.parametrize("sealed", ["hdf5.log", "."])
def test_an_unreadable_log_is_told(place: Path, sealed: str) -> None:
    there = place / "sealed"
    there.mkdir()
    (there / "hdf5.log").write_text(HDF5)
    (there / sealed).chmod(0)
    try:
        done = subprocess.run(
            [*powerless(), *command("sealed/hdf5.log", "--on", "debian-12")],
            env=environ(place),
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        (there / sealed).chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot read sealed/hdf5.log: Permission denied" in done.stderr


def test_a_closed_standard_input_is_told(place: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command("-", "--on", "debian-12")],
        env=environ(place),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "standard input is closed" in done.stderr


def test_a_reader_that_goes_away_is_no_bug(place: Path) -> None:
    (place / "long.log").write_text("".join(f"x{number}.c:1:1: error: odd\n" for number in range(40)) + UNKNOWN)
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -c 20', "sh", *command("--json", "--on", "debian-12", *["long.log"] * 120)],
        env=environ(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert len(done.stdout) == 20
    assert done.stderr == ""


def test_a_pipe_by_name_is_read(place: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" <(cat hdf5.log)', "bash", *command("--on", "debian-12")],
        env=environ(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "libhdf5-dev" in done.stdout

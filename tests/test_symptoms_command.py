"""`devsetup symptoms`: the catalogue's own, and a small one with every mistake that `test` finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from homes import ROOT

GOOD = r"""
[[symptom]]
id = "good"
title = "no <%= seen.name %>"
where = "build"
patterns = ['re:error: no (?P<name>\w{1,20})']
cause = "It is not there."
confidence = "C"
sources = ["none"]
matches = ["x.c:1: error: no thing"]
misses = ["x.c:1: error: yes"]
general = true

[[symptom.remedies]]
when = { package_manager = "apt" }
text = "Get <%= seen.name %> on <%= facts.arch %>."
libraries = ["hdf5"]
commands = ["get <%= seen.name %>"]
action = { do = "add-library", name = "hdf5" }
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    for name in ("recipes", "patches", "workloads", "symptoms"):
        (tmp_path / name).mkdir()
    shutil.copytree(ROOT / "hosts", tmp_path / "hosts")
    (tmp_path / "symptoms" / "toy.toml").write_text(GOOD)
    return tmp_path


def run(*argv: str, catalogue: Path | None = None, limit: float = 120) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
    env["PYTHONPATH"] = str(ROOT)
    if catalogue:
        env["DEVSETUP_CATALOGUE"] = str(catalogue)
    argv = (sys.executable, "-m", "devsetup", "symptoms", *argv)
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=limit)


def test_list_names_every_symptom(catalogue: Path) -> None:
    done = run("list", catalogue=catalogue)
    assert done.returncode == 0
    row = done.stdout.splitlines()[1].split()
    assert row[:4] == ["good", "build", "C", "yes"]


def test_list_finds_by_a_word_of_id_title_or_cause(catalogue: Path) -> None:
    assert "good" in run("list", "NOT THERE", catalogue=catalogue).stdout
    none = run("list", "zebra", catalogue=catalogue)
    assert (none.returncode, none.stdout) == (0, "")
    assert "'zebra'" in none.stderr


def test_list_and_show_as_json(catalogue: Path) -> None:
    (listed,) = json.loads(run("list", "--json", catalogue=catalogue).stdout)["symptoms"]
    shown = json.loads(run("show", "good", "--json", catalogue=catalogue).stdout)["symptom"]
    assert listed == shown
    assert shown["stack"] == "toy"
    assert shown["remedies"][0]["action"] == {"do": "add-library", "name": "hdf5"}


def test_show_has_all_of_an_entry(catalogue: Path) -> None:
    done = run("show", "good", catalogue=catalogue)
    assert done.returncode == 0
    for words in ("It is not there.", r"re:error: no (?P<name>\w{1,20})", "apt", "x.c:1: error: no thing", "hdf5"):
        assert words in done.stdout


def test_a_misspelt_id_gets_the_nearest(catalogue: Path) -> None:
    done = run("show", "goood", catalogue=catalogue)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'good'?" in done.stderr
    assert run("test", "goood", catalogue=catalogue).returncode == 2


def test_a_good_entry_passes(catalogue: Path) -> None:
    done = run("test", catalogue=catalogue)
    assert done.returncode == 0
    assert done.stderr == "1 symptoms, 0 with problems\n"


def test_our_own_entries_pass() -> None:
    done = run("test")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('matches = ["x.c:1: error: no thing"]', "matches = []", "has no example"),
        ("error: no thing", "error: nothing at all", "does not match its example"),
        ("error: yes", "error: no way", "which it must not"),
        ("seen.name %> on", "seen.nam %> on", "nam"),
        ("get <%= seen.name %>", "get <%= seen.nom %>", "nom"),
        ("no <%= seen.name %>", "no <%= seen.noun %>", "noun"),
        ('libraries = ["hdf5"]', 'libraries = ["hdf6"]', "'hdf6'"),
        (r"(?P<name>\w{1,20})", r"(?P<name>\w{1,20}", "malformed"),
        ("re:error: no", "re:oops: no", "no trigger"),
        (r"(?P<name>\w{1,20})'", r"(?P<name>\w{1,20})$|error:\nno'", "$ is the end"),
    ],
)
def test_a_mistake_is_found(catalogue: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    (catalogue / "symptoms" / "toy.toml").write_text(GOOD.replace(old, new))
    done = run("test", catalogue=catalogue)
    assert done.returncode == 1
    assert words in done.stderr
    assert "1 symptoms, 1 with problems" in done.stderr
    (found,) = json.loads(run("test", "--json", catalogue=catalogue).stdout)["tested"]
    assert any(words in problem for problem in found["problems"])


def test_a_pattern_that_never_ends_is_found_before_it_takes_for_ever(catalogue: Path) -> None:
    # Four times as long for each two characters: found at 16 or 20, or never.
    hostile = GOOD.replace(r"no (?P<name>\w{1,20})", r"no (?P<name>(\w+\s?)*$)")
    assert hostile != GOOD
    (catalogue / "symptoms" / "toy.toml").write_text(hostile)
    done = run("test", catalogue=catalogue, limit=60)
    assert done.returncode == 1
    assert "for a hostile line" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + GOOD, "symptom good is in toy.toml already"),
        (GOOD.replace('where = "build"', 'where = "kitchen"'), "kitchen"),
        (GOOD.replace("general = true", "generous = true"), "generous"),
        (GOOD.replace('confidence = "C"', ""), "confidence"),
        ("[[symptom]", "toy.toml"),
    ],
)
def test_a_malformed_file_is_told_with_its_place(catalogue: Path, text: str, words: str) -> None:
    (catalogue / "symptoms" / "toy.toml").write_text(text)
    for argv in (("list",), ("test",)):
        done = run(*argv, catalogue=catalogue)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert "toy.toml" in done.stderr

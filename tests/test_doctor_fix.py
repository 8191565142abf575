"""`devsetup doctor --fix`: consent, repair, a second look; and what it never does."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pexpect
import pytest
from conftest import Hello
from doctor_clinic import Clinic


@pytest.fixture
def clinic(hello: Hello) -> Clinic:
    return Clinic(hello)


def littered(clinic: Clinic) -> Path:
    path = clinic.home / "litter"
    path.parent.mkdir()
    path.touch()
    return path


def test_fix_repairs_and_looks_again(clinic: Clinic) -> None:
    path = littered(clinic.checks("ODD, LITTER, FINE"))
    assert "`devsetup doctor --fix` does it" in clinic.doctor().stdout
    done = clinic.doctor("--fix", "-y")
    assert not path.exists()
    assert f"{path} is litter" in done.stderr
    assert "own.litter: removed the litter" in done.stderr
    assert re.search(r"^  own.litter +ok +no litter$", done.stdout, re.MULTILINE)
    assert "lib.odd" not in done.stderr  # it needs root: printed with the report, and not ours to run
    assert "sudo even" in done.stdout


def test_what_may_be_tidied_up_is_told_at_the_end(clinic: Clinic) -> None:
    clinic.checks('Check(id="own.x", about="", run=finding("info", "x", fix=Fix(text="x", auto=True)), repair=sweep)')
    last = clinic.doctor().stdout.splitlines()[-1]
    assert last == "1 info; nothing has to be done; `devsetup doctor --fix` tidies up"


def test_fix_asks_and_without_a_terminal_refuses(clinic: Clinic) -> None:
    path = littered(clinic.checks("LITTER"))
    assert "pass -y" in clinic.doctor("--fix", code=1).stderr
    assert path.exists()
    done = clinic.doctor("--fix", "--dry-run", "--json")
    assert "remove it" in done.stderr
    assert json.loads(done.stdout)["doctor"]["status"] == "warn"
    assert path.exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_fix_goes_by_the_answer(clinic: Clinic, answer: str, code: int) -> None:
    path = littered(clinic.checks("LITTER"))
    child = pexpect.spawn(
        sys.executable, ["-m", "devsetup", "doctor", "--fix"], env=clinic.env(TERM="xterm"), timeout=60
    )
    child.expect_exact("Repair this? [y/N]")
    assert path.exists()
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert path.exists() == (answer == "n")


def test_what_needs_root_is_never_run(clinic: Clinic) -> None:
    clinic.checks(
        'Check(id="own.x", about="", run=finding("warn", "x", fix=Fix(text="x", auto=True, needs_root=True)), '
        "repair=lambda exam: os._exit(9))"
    )
    assert "nothing was found that devsetup could repair" in clinic.doctor("--fix", "-y").stderr


@pytest.mark.parametrize("failure", ['OSError(28, "no room")', 'StateError("no room", "free some")'])
def test_a_repair_that_fails_says_so_and_the_next_one_goes_on(clinic: Clinic, failure: str) -> None:
    code = f"from devsetup.errors import StateError\ndef fails(exam):\n    raise {failure}\n"
    found = 'finding("info", "x", fix=Fix(text="x", auto=True))'
    path = littered(clinic.checks(f'Check(id="own.x", about="", run={found}, repair=fails), LITTER', code))
    done = clinic.doctor("--fix", "-y", code=1)
    assert "own.x: not repaired: " in done.stderr
    assert "no room" in done.stderr
    assert not path.exists()

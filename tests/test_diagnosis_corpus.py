"""The labelled logs of `tests/logs`: how often the first answer is right, and success is never taken for failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.diagnose import LOGS, Outcome, content, labels, main, outcomes
from devsetup.loader import Loader, default_root

FIRST, WITHIN_THREE = 0.90, 0.95
MEGABYTES = 3


@pytest.fixture(scope="module")
def found() -> tuple[Outcome, ...]:
    return outcomes()


def test_every_log_has_a_label_and_every_label_a_log() -> None:
    files = {path.name.partition(".log")[0] for path in LOGS.glob("*.log*")}
    assert files == set(labels())
    assert all(content(name).strip() for name in files)


def test_labels_name_symptoms_that_there_are() -> None:
    known = {each.id for each in Loader(default_root({})).symptoms()}
    assert {cause for label in labels().values() for cause in label.causes} <= known


def test_logs_elsewhere_are_counted_by_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = '[{0}]\ncauses = {1}\nmachine = "debian-12"\nlanguage = "en"\norigin = "written"\n'
    (tmp_path / "labels.toml").write_text(
        entry.format("right", '["no-makefile"]') + entry.format("wrong", '["disk-full"]') + entry.format("ok", "[]")
    )
    (tmp_path / "right.log").write_text("make: *** No targets specified and no makefile found.  Stop.\n")
    (tmp_path / "wrong.log").write_text("make: *** No targets specified and no makefile found.  Stop.\n")
    (tmp_path / "ok.log").write_text("cc -c error.c\n")
    assert main(["--megabytes", "0", "--logs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "failing logs: 2; right on first 50.0%, within three 50.0%" in said
    assert "clean logs: 1; with a finding 0" in said
    assert "  wrong: no-makefile, not disk-full\n" in said


def test_there_are_enough_logs_and_they_are_small() -> None:
    known = labels().values()
    assert sum(bool(label.causes) for label in known) >= 60
    assert sum(not label.causes for label in known) >= 25
    assert sum(path.stat().st_size for path in LOGS.glob("*")) < MEGABYTES * 1_000_000
    assert {label.language for label in known} == {"en", "de", "fr"}
    assert {label.origin for label in known} == {"produced here", "written"}


@pytest.mark.parametrize("name", [name for name, label in labels().items() if not label.causes])
def test_a_log_without_a_failure_has_no_finding(found: tuple[Outcome, ...], name: str) -> None:
    (outcome,) = (each for each in found if each.name == name)
    assert not outcome.failed
    assert outcome.found == ()


def test_a_log_with_a_failure_is_never_taken_for_success(found: tuple[Outcome, ...]) -> None:
    assert [each.name for each in found if each.label.causes and not each.failed] == []


@pytest.mark.parametrize(("within", "floor"), [(1, FIRST), (3, WITHIN_THREE)])
def test_answers_are_right_often_enough(found: tuple[Outcome, ...], within: int, floor: float) -> None:
    failing = [each for each in found if each.label.causes]
    wrong = [f"{each.name}: {each.found} instead of {each.label.causes}" for each in failing if each.rank >= within]
    assert 1 - len(wrong) / len(failing) >= floor, "\n".join(wrong)

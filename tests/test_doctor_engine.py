"""The doctor's engine: order, bounds, guards, choice; and what holds for every check of the catalogue."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctoring import Couch

from devsetup.console.doctor_views import GROUPS
from devsetup.doctor import Check, Exam, Finding, examine, select
from devsetup.doctor.checks import every
from devsetup.errors import UsageError


@pytest.fixture
def exam(tmp_path: Path) -> Exam:
    return Couch(tmp_path / "root").exam()


def fine(_: Exam) -> Iterator[Finding]:
    yield Finding(status="ok", summary="well")


def broken(_: Exam) -> Iterator[Finding]:
    yield Finding(status="ok", summary="lost when the next line breaks")
    raise ZeroDivisionError("division by zero")


def check(name: str = "a.fine", **changes: object) -> Check:
    return Check(**{"id": name, "about": "a test", "run": fine, **changes})  # type: ignore[arg-type]


@pytest.fixture
def hanging() -> Iterator[Check]:
    """A check that hangs until the test is over."""
    over = threading.Event()

    def hang(_: Exam) -> Iterator[Finding]:
        over.wait()
        yield Finding(status="ok", summary="too late")

    yield check("a.hangs", run=hang, timeout_s=0.2)
    over.set()


def seen(exam: Exam, *checks: Check) -> list[tuple[str, str]]:
    return [(result.id, result.status) for result in examine(exam, checks)]


def test_results_come_in_the_checks_order_whichever_ends_first(exam: Exam) -> None:
    def slow(_: Exam) -> Iterator[Finding]:
        time.sleep(0.1)
        yield Finding(status="warn", summary="one")
        yield Finding(status="info", summary="two")

    found = seen(exam, check("b.slow", run=slow), check("a.fine"), check("c.fine"))
    assert found == [("b.slow", "warn"), ("b.slow", "info"), ("a.fine", "ok"), ("c.fine", "ok")]


def test_checks_run_at_once(exam: Exam) -> None:
    """Each of two waits for the other: one after the other, both would be given up."""
    meet = threading.Barrier(2)

    def wait(_: Exam) -> Iterator[Finding]:
        meet.wait(timeout=10)
        yield Finding(status="ok", summary="met")

    assert seen(exam, check("a.one", run=wait), check("a.two", run=wait)) == [("a.one", "ok"), ("a.two", "ok")]


def test_a_check_that_breaks_is_an_error_and_the_others_are_unaffected(exam: Exam) -> None:
    results = examine(exam, (check("a.broken", run=broken), check()))
    assert [(result.id, result.status) for result in results] == [("a.broken", "error"), ("a.fine", "ok")]
    assert "ZeroDivisionError: division by zero" in results[0].summary


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_check_that_ends_its_thread_is_an_error(exam: Exam) -> None:
    def leave(_: Exam) -> Iterator[Finding]:
        raise SystemExit

    assert seen(exam, check("a.leaves", run=leave, timeout_s=0.2), check()) == [("a.leaves", "error"), ("a.fine", "ok")]


def test_checks_that_hang_are_given_up_though_they_are_more_than_there_are_threads(exam: Exam, hanging: Check) -> None:
    results = examine(exam, (*[hanging] * 20, check()))
    assert [result.status for result in results] == [*["error"] * 20, "ok"]
    assert results[0].summary == "not done within 0.2 s, and given up"
    assert results[0].ms == 200


def test_a_check_for_another_system_is_skipped_and_does_not_run(exam: Exam) -> None:
    (result,) = examine(exam, (check("a.mac", run=broken, only="macos"),))
    assert (result.status, result.summary) == ("skip", "for macos alone")
    assert seen(exam, check(only="linux")) == [("a.fine", "ok")]


def test_a_check_may_have_nothing_to_say(exam: Exam) -> None:
    assert seen(exam, check("a.silent", run=lambda _: ())) == []
    assert examine(exam, ()) == ()


CHECKS = (check("a.one"), check("a.two"), check("b.one"))


@pytest.mark.parametrize(
    ("names", "ignored", "expected"),
    [
        ((), (), "a.one a.two b.one"),
        (("a",), (), "a.one a.two"),
        (("b.one", "a.one"), (), "a.one b.one"),
        ((), ("a",), "b.one"),
        ((), ("a.two",), "a.one b.one"),
        (("a",), ("a.two",), "a.one"),
        (("a.two",), ("a.two",), "a.two"),
        (("a.two",), ("a",), "a.two"),
    ],
)
def test_choice_by_id_and_group(names: tuple[str, ...], ignored: tuple[str, ...], expected: str) -> None:
    assert " ".join(each.id for each in select(CHECKS, names, ignored)) == expected


@pytest.mark.parametrize(("names", "ignored"), [(("a.onne",), ()), ((), ("a.onne",))])
def test_a_name_that_does_not_exist_gets_the_nearest(names: tuple[str, ...], ignored: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        select(CHECKS, names, ignored)
    assert caught.value.hint == "did you mean 'a.one'?"


def test_the_catalogue_of_checks_is_in_order() -> None:
    checks = every()
    ids = [each.id for each in checks]
    assert len(ids) == len(set(ids))
    for each in checks:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", each.id), each.id
        assert each.group in GROUPS, f"the report has no heading for {each.group}"
        assert each.about, each.id
        assert "\n" not in each.about, each.id
        assert each.only in {"", "linux", "macos"}, each.id
        assert 0 < each.timeout_s <= 60, each.id


@pytest.mark.parametrize("interrupted", [False, True])
def test_programs_of_checks_that_nobody_waits_for_are_ended(exam: Exam, tmp_path: Path, interrupted: bool) -> None:
    pid = tmp_path / "pid"

    def hang(exam: Exam) -> Iterator[Finding]:
        exam.host.runner.capture(("sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600"))
        yield Finding(status="ok", summary="too late")

    def interrupt(_: Exam) -> Iterator[Finding]:
        while not pid.exists():
            time.sleep(0.01)
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        yield Finding(status="ok", summary="sent")

    checks = (
        check("a.hangs", run=hang, timeout_s=60 if interrupted else 1),
        check("a.waits", run=interrupt, timeout_s=60),
    )
    with contextlib.suppress(KeyboardInterrupt):
        examine(exam, checks)
    for _ in range(500):
        if not Path("/proc", pid.read_text().strip()).exists():
            return
        time.sleep(0.01)
    pytest.fail("the program still runs")

"""Running checks: at once, each bounded, each guarded, so that one that hangs or breaks costs only its own line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Finding, Result
from devsetup.errors import UsageError
from devsetup.loader import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

    from devsetup.doctor.exam import Exam

_WORKERS = 8


def select(checks: tuple[Check, ...], names: Collection[str], ignored: Collection[str]) -> tuple[Check, ...]:
    """The checks named by id or group (all of them when none is named), without the ignored ones.

    Raises:
        UsageError: a name, or an ignored name, is neither a check nor a group.
    """
    known = {check.id for check in checks} | {check.group for check in checks}
    for name in (*names, *ignored):
        if name not in known:
            raise UsageError(
                f"no check named {name!r}", suggest(name, tuple(sorted(known)), "see `devsetup doctor --list`")
            )
    chosen = [check for check in checks if not names or {check.id, check.group} & set(names)]
    return tuple(check for check in chosen if check.id in names or not {check.id, check.group} & set(ignored))


def examine(exam: Exam, checks: tuple[Check, ...]) -> tuple[Result, ...]:
    """Run checks at once; results come in the checks' order.

    A check that raises, or is not done within its time, gives an `error`. Its thread is left behind: it is a daemon, so
    a read from a dead network disk keeps nobody waiting.
    """
    import threading  # noqa: PLC0415 - costs start-up time of commands that only list checks

    bench = _Bench(exam, checks)
    try:
        for _ in range(min(_WORKERS, len(checks))):
            threading.Thread(target=bench.work, daemon=True).start()
        while bench.unfinished:
            bench.changed.wait(0.05)
            bench.changed.clear()
            for _ in bench.give_up():
                threading.Thread(target=bench.work, daemon=True).start()  # in place of the one that hangs
    finally:
        exam.host.runner.stop()  # the programs of checks that were given up, or cut off by Ctrl-C
    return tuple(result for index in range(len(checks)) for result in bench.found[index])


class _Bench:
    """The checks that wait, run and are done; shared by the threads."""

    def __init__(self, exam: Exam, checks: tuple[Check, ...]) -> None:
        import threading  # noqa: PLC0415 - see examine

        self.exam = exam
        self.checks = checks
        self.waiting = list(reversed(range(len(checks))))
        self.started: dict[int, float] = {}
        self.found: dict[int, tuple[Result, ...]] = {}
        self.changed = threading.Event()

    @property
    def unfinished(self) -> bool:
        return len(self.found) < len(self.checks)

    def work(self) -> None:
        """Run checks until none waits. Popping a list is atomic in CPython."""
        while self.waiting:
            try:
                index = self.waiting.pop()
            except IndexError:
                return
            self.started[index] = time.monotonic()
            self.found.setdefault(index, _run(self.exam, self.checks[index]))
            self.changed.set()

    def give_up(self) -> list[int]:
        """Give up the checks whose time is over."""
        now = time.monotonic()
        late = [
            index
            for index, start in list(self.started.items())
            if index not in self.found and now - start > self.checks[index].timeout_s
        ]
        for index in late:
            self.found.setdefault(index, (_gave_up(self.checks[index]),))
        return late


def _run(exam: Exam, check: Check) -> tuple[Result, ...]:
    start = time.monotonic()
    system = "macos" if exam.facts.os.id == "macos" else "linux"
    try:
        if check.only and check.only != system:
            findings = [Finding(status="skip", summary=f"for {check.only} alone")]
        else:
            findings = list(check.run(exam))
    except Exception as error:  # noqa: BLE001 - a check that breaks is a line of the report, not its end
        findings = [Finding(status="error", summary=f"the check itself broke: {type(error).__name__}: {error}")]
    ms = round((time.monotonic() - start) * 1000, 1)
    return tuple(_result(check, finding, ms) for finding in findings)


def _gave_up(check: Check) -> Result:
    finding = Finding(status="error", summary=f"not done within {check.timeout_s:g} s, and given up")
    return _result(check, finding, check.timeout_s * 1000)


def _result(check: Check, finding: Finding, ms: float) -> Result:
    return Result(
        id=check.id,
        group=check.group,
        status=finding.status,
        summary=finding.summary,
        detail=finding.detail,
        evidence=finding.evidence,
        fix=finding.fix,
        ms=ms,
    )

"""The vocabulary of the doctor: a check, what it found, the evidence, and the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from devsetup.doctor.exam import Exam

# From best to worst. `error` means that the check itself broke, so that nothing is known.
Status = Literal["ok", "info", "skip", "warn", "error", "fail"]
STATUSES: tuple[Status, ...] = ("ok", "info", "skip", "warn", "error", "fail")


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Evidence(_Data, frozen=True, kw_only=True):
    """One thing that was seen: `source` is the path, variable or command, `value` what it said."""

    source: str
    value: str


class Fix(_Data, frozen=True, kw_only=True):
    """The next step.

    Attributes:
        text: one sentence.
        commands: shell lines to copy; with `needs_root` they are printed and never run.
        auto: `devsetup doctor --fix` can do it, since it touches only what devsetup owns.
    """

    text: str
    commands: tuple[str, ...] = ()
    needs_root: bool = False
    auto: bool = False


class Finding(_Data, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        status: `ok`; `info` when it is worth knowing; `skip` when it cannot apply here; `warn` when something
            may break; `fail` when what was asked for will not work.
        summary: one line: what was seen, with path and value, and why it matters to whom.
        detail: further lines.
    """

    status: Status
    summary: str
    detail: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None


class Check(_Data, frozen=True, kw_only=True):
    """One question to a machine.

    Attributes:
        id: `group.name`.
        about: what it looks for, in one line.
        run: yields findings; yields nothing when there is nothing to say at all. It changes nothing.
        only: `linux` or `macos`, when it makes sense on one of them alone.
        network: it opens the network, and runs with `--network` alone.
        timeout_s: after so many seconds it is given up, and counts as an `error`.
        repair: does what its findings' `auto` fix says, and returns what was done, one line each.
    """

    id: str
    about: str
    run: Callable[[Exam], Iterable[Finding]]
    only: str = ""
    network: bool = False
    timeout_s: float = 5.0
    repair: Callable[[Exam], tuple[str, ...]] | None = None

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


class Result(_Data, frozen=True, kw_only=True):
    """A finding of a check that ran, as it is shown and as JSON has it; `ms` is the check's wall time."""

    id: str
    group: str
    status: Status
    summary: str
    detail: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    ms: float = 0.0

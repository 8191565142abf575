"""What an examination found as a whole: every view of it (text, JSON, HTML) is made from this one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup.doctor.finding import STATUSES, Result, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from devsetup.doctor.finding import Fix
    from devsetup.facts import Facts

# What the user should act on, from mildest to worst.
PROBLEMS: tuple[Status, ...] = ("warn", "error", "fail")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An examination's results.

    Attributes:
        made: when, UTC, ISO 8601.
        devsetup: the version that examined.
        goals: names of the recipes asked about.
        machine: what the machine is: (label, value) pairs.
        results: in the checks' order.
        notes: what kept the examination from looking everywhere, one sentence each.
        ignored: checks and groups that the settings leave out.
    """

    made: str
    devsetup: str
    goals: tuple[str, ...]
    machine: tuple[tuple[str, str], ...]
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Status, int]:
        """How many results have each status; every status is there."""
        return {status: sum(result.status == status for result in self.results) for status in STATUSES}

    @property
    def status(self) -> Status:
        """The worst status that asks for something: `warn`, `error` or `fail`; otherwise `ok`."""
        return max((r.status for r in self.results if r.status in PROBLEMS), key=STATUSES.index, default="ok")

    def passed(self, *, strict: bool) -> bool:
        """Whether nothing failed and no check broke; `strict` counts warnings, too."""
        return self.status in {"ok", *(() if strict else ("warn",))}

    @property
    def groups(self) -> dict[str, tuple[Result, ...]]:
        """The results by group, both in the order in which they first appear."""
        names = dict.fromkeys(result.group for result in self.results)
        return {name: tuple(result for result in self.results if result.group == name) for name in names}

    def rewritten(self, rewrite: Callable[[str], str]) -> Report:
        """The same report with every free text passed through a function. Ids, statuses and times stay."""
        return msgspec.structs.replace(
            self,
            machine=tuple((label, rewrite(value)) for label, value in self.machine),
            results=tuple(_rewritten(result, rewrite) for result in self.results),
            notes=tuple(map(rewrite, self.notes)),
        )


def mendable(result: Result) -> bool:
    """Whether `devsetup doctor --fix` can do what a result asks for: nothing of it needs root."""
    return bool(result.fix and result.fix.auto and not result.fix.needs_root)


def machine(facts: Facts) -> tuple[tuple[str, str], ...]:
    """What a machine is, in a few lines, as (label, value) pairs; nothing in them names its owner."""
    system = facts.os
    memory = f"{facts.memory_mb} MB memory" if facts.memory_mb else "memory unknown"
    rows = {
        "system": system.name or f"{system.id} {system.version}",
        "processor": f"{facts.arch}, {facts.cores or 'unknown number of'} cores, {memory}",
        "C library": f"{facts.libc.family} {facts.libc.version}" if facts.libc else "unknown",
        "packages": facts.package_manager or "no known package manager",
        "compilers": ", ".join(f"{each.name} {each.version}" for each in facts.compilers) or "none",
        "Python": ", ".join(each.version for each in facts.pythons) or "none",
        "BLAS": ", ".join(f"{each.name} {each.version}".strip() for each in facts.blas) or "none",
        "CUDA": facts.toolkit or "none",
        "GPU": ", ".join(each.name or "NVIDIA, name unknown" for each in facts.gpus) or "none",
        "driver": (facts.driver.module or facts.driver.library or "not loaded") if facts.driver else "none",
    }
    return tuple(rows.items())


def _rewritten(result: Result, rewrite: Callable[[str], str]) -> Result:
    replace = msgspec.structs.replace
    return replace(
        result,
        summary=rewrite(result.summary),
        detail=tuple(map(rewrite, result.detail)),
        evidence=tuple(
            replace(each, source=rewrite(each.source), value=rewrite(each.value)) for each in result.evidence
        ),
        fix=_rewritten_fix(result.fix, rewrite) if result.fix else None,
    )


def _rewritten_fix(fix: Fix, rewrite: Callable[[str], str]) -> Fix:
    return msgspec.structs.replace(fix, text=rewrite(fix.text), commands=tuple(map(rewrite, fix.commands)))

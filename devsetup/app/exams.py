"""What the doctor's checks look at, gathered from a workspace; and the look that is taken before a build."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from devsetup.doctor import Exam, Goal, examine
from devsetup.doctor.checks import before_building
from devsetup.probe.host import Host
from devsetup.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devsetup.app.workspace import Workspace
    from devsetup.doctor import Result
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan
    from devsetup.receipts import Receipt


def exam_of(workspace: Workspace, facts: Facts, goals: tuple[Goal, ...], receipts: tuple[Receipt, ...]) -> Exam:
    """This machine on the couch."""
    return Exam(
        host=Host(Runner(), "", workspace.environ),
        facts=facts,
        goals=goals,
        home=workspace.home,
        receipts=receipts,
        store=workspace.store,
        uid=os.getuid(),
        groups=tuple(dict.fromkeys((os.getegid(), *os.getgroups()))),
    )


def foreseen(workspace: Workspace, plan: Plan, pending: Iterable[Part]) -> tuple[Result, ...]:
    """What will or may go wrong with a plan on this machine, before anything is fetched or compiled.

    Args:
        workspace: where.
        plan: what is to be done.
        pending: its parts that are still to be built.
    """
    waiting = msgspec.structs.replace(plan, parts=tuple(pending))
    if not waiting.parts:
        return ()
    exam = exam_of(workspace, plan.facts, (Goal(name=waiting.parts[-1].name, plan=waiting),), ())
    checks = before_building(cuda=bool(exam.cuda_wanted))
    return tuple(result for result in examine(exam, checks) if result.status in {"warn", "fail"})

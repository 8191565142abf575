"""What is asked about: can it be planned here, what would it take, and what would come with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Finding, Fix
from devsetup.doctor.packages import absent
from devsetup.doctor.remedies import installation
from devsetup.errors import DevsetupError
from devsetup.steps import Env

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.plan import Part


def _plan(exam: Exam) -> Iterator[Finding]:
    for goal in exam.goals:
        if goal.plan is None:
            yield Finding(
                status="fail",
                summary=goal.refusal or f"{goal.name} cannot be planned here",
                fix=Fix(text=goal.hint) if goal.hint else None,
            )
            continue
        for part in goal.plan.parts:
            if part.key in goal.plan.wanted:
                yield Finding(status="ok", summary=f"{part.name} {part.version} can be planned: {_extent(part)}")


def _extent(part: Part) -> str:
    steps = sum(not isinstance(step, Env) for step in part.steps)
    needed = sum(patch.needed for patch in part.patches)
    patches = f", {needed} of {len(part.patches)} patches needed here" if part.patches else ""
    return f"{steps} {'step' if steps == 1 else 'steps'}{patches}"


def _packages(exam: Exam) -> Iterator[Finding]:
    there = {receipt.key for receipt in exam.receipts}
    pending = [part for part in exam.wanted if part.key not in there]
    names = tuple(dict.fromkeys(name for part in pending for name in part.packages))
    if not names:
        return
    manager = exam.facts.package_manager
    asking = ", ".join(dict.fromkeys(part.name for part in pending if part.packages))
    try:
        missing = absent(exam, names)
    except DevsetupError as error:
        yield Finding(status="warn", summary=f"{manager} does not say which packages are installed: {error.message}")
        return
    if not missing:
        yield Finding(status="ok", summary=f"all {len(names)} system packages for {asking} are installed")
        return
    yield Finding(
        status="info",
        summary=f"{len(missing)} of {len(names)} system packages for {asking} are not installed yet; "
        "`devsetup install` asks before it installs them",
        detail=(" ".join(missing),),
        fix=installation(exam, "or install them by hand", missing),
    )


def _needs(exam: Exam) -> Iterator[Finding]:
    there = {receipt.key for receipt in exam.receipts}
    for goal in exam.goals:
        plan = goal.plan
        for part in (part for part in plan.parts if part.key not in plan.wanted) if plan else ():
            needed = f"{part.name} {part.version}, which {goal.name} needs"
            if part.key in there:
                yield Finding(status="ok", summary=f"{needed}, is installed")
            else:
                yield Finding(status="info", summary=f"{needed}, is not installed yet; it is built first")


def _memory(exam: Exam) -> Iterator[Finding]:
    there = {receipt.key for receipt in exam.receipts}
    pending = [part for part in exam.wanted if part.key not in there]
    hungriest = max(pending, key=lambda part: part.memory_per_job_mb, default=None)
    have = exam.facts.memory_mb
    if hungriest is None or not have or not hungriest.memory_per_job_mb:
        return
    needs = f"one compile job of {hungriest.name} takes up to {hungriest.memory_per_job_mb} MB"
    if have < hungriest.memory_per_job_mb:
        yield Finding(
            status="warn",
            summary=f"{have} MB of memory, and {needs}: the kernel may end it (`Killed`)",
            fix=Fix(
                text="add swap, or build where there is more memory",
                commands=(
                    "sudo fallocate -l 2G /swapfile",
                    "sudo chmod 600 /swapfile",
                    "sudo mkswap /swapfile && sudo swapon /swapfile",
                ),
                needs_root=True,
            ),
        )
    else:
        yield Finding(status="ok", summary=f"{have} MB of memory; {needs}")


CHECKS: tuple[Check, ...] = (
    Check(id="goal.plan", about="whether what is asked about can be installed here at all", run=_plan),
    Check(
        id="goal.packages",
        about="system packages that what is asked about needs and that are not installed",
        run=_packages,
        timeout_s=35.0,
    ),
    Check(id="goal.memory", about="less memory than one compile job takes", run=_memory),
    Check(id="goal.needs", about="other recipes that come with what is asked about", run=_needs),
)

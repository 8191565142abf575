"""Installs that repair themselves: diagnose a failed attempt, propose a changed plan, go on once it is agreed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from devsetup import execute
from devsetup.app.diagnosing import diagnosed
from devsetup.app.making import Failure, Mended
from devsetup.diagnosis import Cause
from devsetup.errors import DevsetupError, InvalidInput
from devsetup.events import Note
from devsetup.plan import Part
from devsetup.planner import make_plan
from devsetup.receipts import Attempt
from devsetup.repair import Remedy, differences, remedies, still_stands

if TYPE_CHECKING:
    from devsetup.app.installing import Preview
    from devsetup.app.making import Mend
    from devsetup.app.workspace import Workspace
    from devsetup.events import Emit
    from devsetup.planner import Wish

# Each remedy is tried once anyway; a build that fails in ever new ways is not repaired but rewritten.
MOST_REPAIRS = 10


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A changed plan, for consent.

    Attributes:
        failure: what went wrong.
        cause: what explains it, with the lines of the log.
        remedy: what is tried.
        part: amended.
        changes: what it does differently, one line each; never empty.
        missing: system packages to install for it.
        privilege: how we can become root for them.
    """

    failure: Failure
    cause: Cause
    remedy: Remedy
    part: Part
    changes: tuple[str, ...]
    missing: execute.Missing | None
    privilege: execute.Privilege


Agree = Callable[[Proposal], bool]


def mender(workspace: Workspace, agreed: Preview, wish: Wish, agree: Agree, emit: Emit) -> Mend:
    """How failed attempts of an install are mended.

    Args:
        workspace: where.
        agreed: what is being installed.
        wish: what it was planned from.
        agree: asked for each changed plan; False gives up.
        emit: gets what happens.
    """

    def mend(failure: Failure) -> Mended | None:
        try:
            proposal = propose(workspace, agreed, wish, failure)
        except InvalidInput:  # the catalogue's: what failed is still the news, and explaining it says this too
            return None
        if proposal is None or not agree(proposal):
            return None
        return _carried_out(workspace, agreed, proposal, emit)

    return mend


def propose(workspace: Workspace, agreed: Preview, wish: Wish, failure: Failure) -> Proposal | None:
    """The first remedy for a failed attempt that changes the plan, can be done here and was not tried before."""
    if len(failure.attempts) >= MOST_REPAIRS:
        return None
    (found,) = diagnosed(workspace, (failure.error.log,), agreed.plan.facts)
    causes = {cause.id: cause for cause in reversed(found.diagnosis.causes)}
    for remedy in remedies(found.diagnosis, failure.part.name, failure.part.amendments):
        part = _amended(workspace, agreed, wish, failure.part, remedy)
        changes = differences(failure.part, part) if part else ()
        if part is None or not changes:
            continue
        missing = execute.missing((part,), workspace.absent)
        privilege = execute.privilege()
        if missing and privilege == "none" and any(command.privileged for command in missing.commands):
            continue  # the diagnosis names the command, for somebody who may run it
        return Proposal(
            failure=failure,
            cause=causes[remedy.symptom],
            remedy=remedy,
            part=part,
            changes=changes,
            missing=missing,
            privilege=privilege,
        )
    return None


def _amended(workspace: Workspace, agreed: Preview, wish: Wish, part: Part, remedy: Remedy) -> Part | None:
    """The part as a remedy changes it; None where the remedy is for another recipe, or changes more than this part."""
    amendments = {**wish.amendments, part.name: (*part.amendments, remedy.amendment)}
    try:
        # The facts that the attempt was planned with: what has been installed since must not move it to another place.
        plan = make_plan(
            msgspec.structs.replace(wish, amendments=amendments), agreed.plan.facts, workspace.loader.catalogue()
        )
    except DevsetupError:
        return None  # the recipe has no such patch or option, or refuses the value here
    keys = {each.key for each in agreed.plan.parts}
    if not {each.key for each in plan.parts} <= keys:
        return None
    return next((each for each in plan.parts if each.key == part.key), None)


def _carried_out(workspace: Workspace, agreed: Preview, proposal: Proposal, emit: Emit) -> Mended:
    failure, remedy, missing = proposal.failure, proposal.remedy, proposal.missing
    emit(Note(f"repair {len(failure.attempts) + 1}: {remedy}"))
    if missing:
        emit(Note(f"installing {len(missing.names)} system packages with {missing.manager}"))
        execute.install(missing, workspace.runner, workspace.clean_env(agreed.plan.facts), emit)
    return Mended(
        part=proposal.part,
        standing=still_stands(failure.done, execute.worked_steps(proposal.part), remedy.amendment),
        attempt=Attempt(
            step=failure.error.step,
            error=failure.error.message,
            symptom=remedy.symptom,
            amendment=remedy.amendment,
            log=failure.error.log,
        ),
        packages=missing.names if missing else (),
    )

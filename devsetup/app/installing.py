"""Installing: preview, then (consent is `cli`'s) build, prove, sync, record.

Nothing is installed until its receipt is written.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING, BinaryIO

import msgspec

import devsetup
from devsetup import execute, steps, verify
from devsetup.errors import DevsetupError, ProofFailed, Refused
from devsetup.events import Emit, Note, PartFinished, PartStarted, StepFinished, StepStarted
from devsetup.plan import Part, Plan
from devsetup.receipts import Entry, Receipt
from devsetup.store import free_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.app.workspace import Workspace
    from devsetup.facts import Facts
    from devsetup.planner import Wish
    from devsetup.proofs import Finding


_PROVE = "prove that it works"


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an install would do, before anyone agrees to it.

    Attributes:
        present: keys of parts that are installed already.
        missing: system packages to install first, if any.
        privilege: how we can become root for them.
        jobs: key to number of compile jobs.
    """

    plan: Plan
    present: tuple[str, ...]
    missing: execute.Missing | None
    privilege: execute.Privilege
    jobs: dict[str, int]

    @property
    def pending(self) -> tuple[Part, ...]:
        """The parts still to be built."""
        return tuple(part for part in self.plan.parts if part.key not in self.present)


def preview(workspace: Workspace, wish: Wish, jobs: int | None = None) -> Preview:
    """Plan for this machine and compare with what is there. Changes nothing.

    Args:
        workspace: where.
        wish: what.
        jobs: compile jobs; None chooses from cores and memory.
    """
    plan = workspace.plan(wish)
    present = tuple(part.key for part in plan.parts if _recorded(workspace, part.key))
    pending = [part for part in plan.parts if part.key not in present]
    return Preview(
        plan=plan,
        present=present,
        missing=execute.missing(pending, workspace.absent),
        privilege=execute.privilege(),
        jobs={part.key: jobs or default_jobs(part, plan.facts) for part in pending},
    )


def default_jobs(part: Part, facts: Facts) -> int:
    """One compile job per core, as far as memory allows."""
    cores = facts.cores or 1
    if not (part.memory_per_job_mb and facts.memory_mb):
        return cores
    return max(1, min(cores, facts.memory_mb // part.memory_per_job_mb))


def install(workspace: Workspace, agreed: Preview, emit: Emit) -> tuple[Receipt, ...]:
    """Do what was previewed.

    Returns:
        The receipts of everything that was asked for by name.

    Raises:
        Refused: no room, or no way to install system packages.
        StepFailed, ProofFailed: nothing is recorded as installed; the build tree is kept for a look.
    """
    facts = agreed.plan.facts
    if agreed.pending:
        _check_path(workspace.home)
        workspace.store.check_writable()
        _check_room(workspace.home, agreed.pending)
    if agreed.missing:
        emit(Note(f"installing {len(agreed.missing.names)} system packages with {agreed.missing.manager}"))
        execute.install(agreed.missing, workspace.runner, workspace.clean_env(facts), emit)
    held = _locked(workspace, agreed.pending, emit)
    receipts = []
    try:
        for part in agreed.plan.parts:
            receipts.append(_install_part(workspace, agreed, part, emit))
            held.pop(part.key, ExitStack()).close()
    finally:
        for stack in held.values():
            stack.close()
    return tuple(receipt for receipt in receipts if receipt.key in agreed.plan.wanted)


def _check_path(home: Path) -> None:
    if any(character.isspace() for character in str(home)):
        raise Refused(
            f"the home {str(home)!r} has a space in its path, which make and most build systems cannot handle",
            "choose another place with `--home DIR` or DEVSETUP_HOME",
        )


def _check_room(home: Path, pending: tuple[Part, ...]) -> None:
    wanted = max(part.disk_mb for part in pending)
    free = free_bytes(home) >> 20
    if free < wanted:
        raise Refused(
            f"{home} has {free} MB free, and building {', '.join(part.name for part in pending)} takes {wanted} MB",
            "free some space (`devsetup gc` helps), or choose another place with `--home DIR`",
        )


def _locked(workspace: Workspace, pending: tuple[Part, ...], emit: Emit) -> dict[str, ExitStack]:
    """Take the locks of all parts to build, dependents first.

    While a dependent is locked, `gc` leaves its finished needs alone although no receipt names them yet; and two
    processes that follow the same order cannot wait for each other in a circle.
    """
    held: dict[str, ExitStack] = {}
    try:
        for part in reversed(pending):
            held[part.key] = ExitStack()
            held[part.key].enter_context(workspace.store.lock(part.key, emit))
    except BaseException:
        for stack in held.values():
            stack.close()
        raise
    return held


def _install_part(workspace: Workspace, agreed: Preview, part: Part, emit: Emit) -> Receipt:
    receipt = _recorded(workspace, part.key)  # another process may have built it while we waited for the lock
    if receipt is None:
        return _build(workspace, agreed, part, emit)
    if part.key in agreed.plan.wanted and not receipt.explicit:
        workspace.receipts.mark_explicit(part.key)
    emit(PartFinished(part.key, receipt.prefix, receipt.seconds, fresh=False))
    return receipt


def _recorded(workspace: Workspace, key: str) -> Receipt | None:
    """The receipt of an install whose prefix is still there."""
    receipt = workspace.receipts.get(key)
    return receipt if receipt and workspace.store.prefix(key).is_dir() else None


def _build(workspace: Workspace, agreed: Preview, part: Part, emit: Emit) -> Receipt:
    store = workspace.store
    if workspace.receipts.get(part.key):
        workspace.receipts.remove(part.key, "its prefix was gone")
    store.prepare(part.key)
    log = store.new_log(part.name, part.key)
    titles = (*map(steps.title, execute.worked_steps(part)), _PROVE)
    emit(PartStarted(part.key, titles, str(log)))
    start = time.monotonic()
    try:
        receipt = _build_and_prove(workspace, agreed, part, log, emit)
        store.commit(receipt)
    except KeyboardInterrupt:
        _record(workspace, part, "interrupted", "stopped by the user", log)
        raise
    except DevsetupError as error:
        _record(workspace, part, "failed", error.message, log)
        raise
    emit(PartFinished(part.key, receipt.prefix, time.monotonic() - start, fresh=True))
    return receipt


def _record(workspace: Workspace, part: Part, event: str, detail: str, log: Path) -> None:
    workspace.receipts.record(Entry(at=_now(), key=part.key, name=part.name, event=event, detail=detail, log=str(log)))


def _build_and_prove(workspace: Workspace, agreed: Preview, part: Part, log: Path, emit: Emit) -> Receipt:
    facts = agreed.plan.facts
    start = time.monotonic()
    jobs = agreed.jobs.get(part.key, 1)
    places = {**places_of(workspace, part), "JOBS": str(jobs)}
    env = workspace.clean_env(facts)
    with log.open("wb") as log_file:
        site = execute.Site(
            runner=workspace.runner,
            places=places,
            env=env,
            downloads=workspace.home / "downloads",
            log=log,
            log_file=log_file,
            absent=workspace.absent,
        )
        built = execute.build(part, site, emit)
        workspace.store.drop_build(part.key)  # proofs must pass without the build tree
        proving = time.monotonic()
        emit(StepStarted(len(execute.worked_steps(part)), _PROVE))
        findings = prove(workspace, part, env, emit, log=log_file)
    _require(findings, part, log)
    emit(StepFinished(len(execute.worked_steps(part)), _PROVE, time.monotonic() - proving))
    return Receipt(
        key=part.key,
        name=part.name,
        version=part.version,
        digest=part.digest,
        prefix=places["PREFIX"],
        installed_at=_now(),
        seconds=round(time.monotonic() - start, 3),
        facts=facts,
        part=part,
        sources=built.sources,
        patches=built.patches,
        proofs=findings,
        log=str(log),
        jobs=jobs,
        devsetup=devsetup.__version__,
        packages=agreed.missing.names if agreed.missing else (),
        explicit=part.key in agreed.plan.wanted,
    )


def places_of(workspace: Workspace, part: Part) -> dict[str, str]:
    """Values for PREFIX, BUILD and for PREFIX:name of every part that this one needs."""
    places = {"PREFIX": str(workspace.store.prefix(part.key)), "BUILD": str(workspace.store.build(part.key))}
    for key in part.needs:
        places[f"PREFIX:{key.rsplit('-', 2)[0]}"] = str(workspace.store.prefix(key))
    return places


def prove(
    workspace: Workspace,
    part: Part,
    env: dict[str, str],
    emit: Emit,
    *,
    log: BinaryIO | None = None,
    workloads: bool = True,
) -> tuple[Finding, ...]:
    """Carry out a part's proofs; artifacts land next to the receipt."""
    bench = verify.Bench(
        places=places_of(workspace, part),
        artifacts=workspace.store.artifacts(part.key),
        runner=workspace.runner,
        env=env,
        workloads=workloads,
        emit=emit,
        log=log,
    )
    return verify.prove(part.proofs, bench)


def _require(findings: tuple[Finding, ...], part: Part, log: Path) -> None:
    bad = verify.failed(findings)
    if bad is not None:
        raise ProofFailed(
            f"{part.name} was built but does not work: {bad.proof}: {bad.summary}",
            f"it is not recorded as installed; the build's log: {log}",
            detail=bad.detail,
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

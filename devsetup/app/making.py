"""Making one part: attempts, proofs, the receipt. A failure may be mended, and the build goes on where it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

import devsetup
from devsetup import execute, steps, verify
from devsetup.errors import DevsetupError, NotProven, StepFailed
from devsetup.events import Emit, PartFinished, PartStarted, StepFinished, StepStarted
from devsetup.facts import Facts
from devsetup.plan import Part
from devsetup.proofs import Finding, LinkClosure
from devsetup.receipts import Attempt, Entry, Receipt
from devsetup.steps import Step

if TYPE_CHECKING:
    from devsetup.app.workspace import Workspace

_PROVE = "prove that it works"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt.

    Attributes:
        part: what was built.
        error: names the step and the log.
        done: the steps that succeeded.
        attempts: the ones before this, each with what it tried.
    """

    part: Part
    error: StepFailed | NotProven
    done: tuple[Step, ...]
    attempts: tuple[Attempt, ...]


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """How to go on after a failure.

    Attributes:
        part: amended, at the same place.
        standing: indices of its steps that need not be done again; empty starts afresh.
        attempt: what failed and what is tried now.
        packages: system packages that were installed for it.
    """

    part: Part
    standing: frozenset[int]
    attempt: Attempt
    packages: tuple[str, ...] = ()


Mend = Callable[[Failure], Mended | None]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to make.

    Attributes:
        part: the plan of it.
        facts: of this machine.
        jobs: compile jobs.
        packages: system packages that were installed for it.
        explicit: asked for by name.
        again: it is installed, and stays so until this one has proved itself.
    """

    part: Part
    facts: Facts
    jobs: int
    packages: tuple[str, ...]
    explicit: bool
    again: bool


def make(workspace: Workspace, order: Order, mend: Mend | None, emit: Emit) -> Receipt:
    """Build, prove, sync and record one part. The caller holds its lock.

    Args:
        workspace: where.
        order: what.
        mend: asked after each failure how to go on; None, or its answer None, gives up.
        emit: gets what happens.

    Raises:
        StepFailed, NotProven: the last attempt failed; the build tree is kept for a look.
    """
    store, key = workspace.store, order.part.key
    if not order.again:
        store.prepare(key)
        return _attempts(workspace, order, mend, emit)
    store.set_aside(key)
    try:
        return _attempts(workspace, order, mend, emit)
    finally:
        store.settle(key)


def _attempts(workspace: Workspace, order: Order, mend: Mend | None, emit: Emit) -> Receipt:
    store = workspace.store
    start = time.monotonic()
    built, standing = execute.Built(), frozenset[int]()
    attempts: tuple[Attempt, ...] = ()
    while True:
        part = order.part
        log = store.new_log(part.name, part.key)
        emit(PartStarted(part.key, (*map(steps.title, execute.worked_steps(part)), _PROVE), str(log)))
        try:
            findings = _build_and_prove(workspace, order, _Trial(built, standing, log), emit)
            break
        except KeyboardInterrupt:
            _record(workspace, part, "interrupted", "stopped by the user", log)
            raise
        except (StepFailed, NotProven) as error:
            _record(workspace, part, "failed", error.message, log)
            failure = Failure(part=part, error=error, done=tuple(built.done), attempts=attempts)
            mended = mend(failure) if mend else None
            if mended is None:
                raise
        except DevsetupError as error:
            _record(workspace, part, "failed", error.message, log)
            raise
        attempts = (*attempts, mended.attempt)
        order = msgspec.structs.replace(order, part=mended.part, packages=(*order.packages, *mended.packages))
        standing = mended.standing
        if not standing:
            store.clear(part.key)
            built = execute.Built()
    receipt = _receipt(workspace, order, built, _Outcome(findings, attempts, log, time.monotonic() - start))
    store.commit(receipt, _linked(workspace, order.part))
    emit(PartFinished(receipt.key, receipt.prefix, time.monotonic() - start, fresh=True))
    return receipt


class _Trial(msgspec.Struct):
    """One attempt: what was done before and counts on, what need not be done again, and the log."""

    built: execute.Built
    standing: frozenset[int]
    log: Path


class _Outcome(msgspec.Struct):
    findings: tuple[Finding, ...]
    attempts: tuple[Attempt, ...]
    log: Path
    seconds: float


def _build_and_prove(workspace: Workspace, order: Order, trial: _Trial, emit: Emit) -> tuple[Finding, ...]:
    part, store = order.part, workspace.store
    env = workspace.clean_env(order.facts)
    with trial.log.open("wb") as log_file:
        site = _site(workspace, order, trial.log, log_file)
        execute.build(part, site, emit, trial.built, trial.standing)
        store.hide_build(part.key)  # proofs must pass without the build tree
        proving = time.monotonic()
        emit(StepStarted(len(execute.worked_steps(part)), _PROVE))
        bench = bench_of(workspace, part.key, part.needs, env, emit)
        findings = verify.prove(part.proofs, msgspec.structs.replace(bench, log=log_file))
    bad = verify.failed(findings)
    if bad is not None:
        store.show_build(part.key)
        raise NotProven(
            f"{part.name} was built but does not work: {bad.proof}: {bad.summary}",
            f"it is not recorded as installed; the build's log: {trial.log}",
            detail=bad.detail,
            made=(part.name, bad.proof, str(trial.log)),
        )
    store.drop_build(part.key)
    emit(StepFinished(len(execute.worked_steps(part)), _PROVE, time.monotonic() - proving))
    return findings


def _site(workspace: Workspace, order: Order, log: Path, log_file: BinaryIO) -> execute.Site:
    part = order.part
    return execute.Site(
        runner=workspace.runner,
        places={**workspace.store.places(part.key, part.needs), "JOBS": str(order.jobs)},
        env=workspace.clean_env(order.facts),
        downloads=workspace.home / "downloads",
        log=log,
        log_file=log_file,
        absent=workspace.absent,
    )


def _receipt(workspace: Workspace, order: Order, built: execute.Built, outcome: _Outcome) -> Receipt:
    part = order.part
    return Receipt(
        key=part.key,
        name=part.name,
        version=part.version,
        digest=part.digest,
        prefix=str(workspace.store.prefix(part.key)),
        installed_at=_now(),
        seconds=round(outcome.seconds, 3),
        facts=order.facts,
        part=part,
        sources=tuple(built.sources.values()),
        patches=(*built.patches.values(), *execute.unneeded(part)),
        proofs=outcome.findings,
        log=str(outcome.log),
        jobs=order.jobs,
        devsetup=devsetup.__version__,
        packages=tuple(dict.fromkeys(order.packages)),
        explicit=order.explicit,
        attempts=outcome.attempts,
    )


def _record(workspace: Workspace, part: Part, event: str, detail: str, log: Path) -> None:
    workspace.receipts.record(Entry(at=_now(), key=part.key, name=part.name, event=event, detail=detail, log=str(log)))


def _linked(workspace: Workspace, part: Part) -> dict[str, str]:
    """The shared libraries that what was proved uses from outside, for a later look whether they are still there."""
    places = workspace.store.places(part.key, part.needs)
    closures = (proof for proof in part.proofs if isinstance(proof, LinkClosure))
    paths = tuple(steps.substitute(path, places) for proof in closures for path in proof.paths)
    found = verify.linked(paths) if paths else {}
    return {library: os.path.relpath(by, os.path.realpath(places["PREFIX"])) for library, by in found.items()}


def bench_of(workspace: Workspace, key: str, needs: tuple[str, ...], env: dict[str, str], emit: Emit) -> verify.Bench:
    """With what the proofs of an install run; artifacts land next to the receipt.

    Args:
        workspace: where.
        key: of the install: of a receipt its own, never its part's, which changes with devsetup's steps.
        needs: keys of what it needs.
        env: the whole environment of every process.
        emit: gets what is found.
    """
    return verify.Bench(
        places=workspace.store.places(key, needs),
        artifacts=workspace.store.artifacts(key),
        runner=workspace.runner,
        env=env,
        emit=emit,
        machine=workspace.measured_on,
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

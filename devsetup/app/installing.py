"""Installing: preview, then (consent is `cli`'s) build, prove, sync, record.

Nothing is installed until its receipt is written.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup import execute
from devsetup.app.exams import foreseen
from devsetup.app.making import Mend, Order, make
from devsetup.doctor import Result
from devsetup.errors import Refused
from devsetup.events import Emit, Note, PartFinished
from devsetup.plan import Part, Plan
from devsetup.steps import LocalSource
from devsetup.store import free_bytes

if TYPE_CHECKING:
    from devsetup.amendment import Amendment
    from devsetup.app.workspace import Workspace
    from devsetup.facts import Facts
    from devsetup.planner import Wish
    from devsetup.receipts import Receipt
    from devsetup.steps import Source


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an install would do, before anyone agrees to it.

    Attributes:
        present: keys of parts that are installed already and stay as they are.
        rebuild: keys of parts that are installed and built again; each stays until the new one has proved itself.
        missing: system packages to install first, if any.
        privilege: how we can become root for them.
        jobs: key to number of compile jobs.
        foreseen: what will or may go wrong on this machine.
    """

    plan: Plan
    present: tuple[str, ...]
    rebuild: tuple[str, ...] = ()
    missing: execute.Missing | None
    privilege: execute.Privilege
    jobs: dict[str, int]
    foreseen: tuple[Result, ...] = ()

    @property
    def pending(self) -> tuple[Part, ...]:
        """The parts still to be built."""
        return tuple(part for part in self.plan.parts if part.key not in self.present)


def preview(workspace: Workspace, wish: Wish, jobs: int | None = None, *, rebuild: bool = False) -> Preview:
    """Plan for this machine and compare with what is there. Changes nothing.

    Args:
        workspace: where.
        wish: what.
        jobs: compile jobs; None chooses from cores and memory.
        rebuild: build what is asked for by name although it is installed already.
    """
    plan = workspace.plan(wish)
    recorded = tuple(part.key for part in plan.parts if _recorded(workspace, part.key))
    again = tuple(key for key in recorded if rebuild and key in plan.wanted)
    present = tuple(key for key in recorded if key not in again)
    pending = [part for part in plan.parts if part.key not in present]
    return Preview(
        plan=plan,
        present=present,
        rebuild=again,
        missing=execute.missing(pending, workspace.absent),
        privilege=execute.privilege(),
        jobs={part.key: jobs or default_jobs(part, plan.facts) for part in pending},
        foreseen=foreseen(workspace, plan, pending),
    )


def as_installed(workspace: Workspace, wish: Wish) -> Wish:
    """The wish with the options, local sources and amendments of what is installed, where it says nothing else.

    Raises:
        UsageError: no such recipe.
        SourceError: a local source is gone.
    """
    options: dict[str, str] = {}
    sources: dict[str, Source] = {}
    amendments: dict[str, tuple[Amendment, ...]] = {}
    for name in wish.names:
        choices = {option.name: option.choices for option in workspace.loader.recipe(name).options}
        receipt = workspace.receipts.latest(name)
        if receipt is not None:
            recorded = receipt.part.options.items()
            options.update((option, value) for option, value in recorded if value in choices.get(option, ()))
            local = (source for source in receipt.part.sources if isinstance(source, LocalSource))
            amendments[name] = receipt.part.amendments
            sources.update((name, workspace.local_source(name, Path(source.path))) for source in local)
    return msgspec.structs.replace(
        wish,
        options={**options, **wish.options},
        sources={**sources, **wish.sources},
        amendments={**amendments, **wish.amendments},
    )


def default_jobs(part: Part, facts: Facts) -> int:
    """One compile job per core, as far as memory allows."""
    cores = facts.cores or 1
    if not (part.memory_per_job_mb and facts.memory_mb):
        return cores
    return max(1, min(cores, facts.memory_mb // part.memory_per_job_mb))


def install(workspace: Workspace, agreed: Preview, emit: Emit, mend: Mend | None = None) -> tuple[Receipt, ...]:
    """Do what was previewed.

    Args:
        workspace: where.
        agreed: what.
        emit: gets what happens.
        mend: asked after each failure how to go on; None gives up at the first.

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
    held = _locked(workspace, _unsettled(workspace, agreed), emit)
    receipts = []
    try:
        for part in agreed.plan.parts:
            receipts.append(_install_part(workspace, agreed, part, emit, mend))
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


def _unsettled(workspace: Workspace, agreed: Preview) -> tuple[Part, ...]:
    """The parts to build, and those of which a rebuild has begun and not ended: cut short, or by another process."""
    busy = (part.key for part in agreed.plan.parts if workspace.store.rebuilding(part.key))
    keys = {*busy, *(part.key for part in agreed.pending)}
    return tuple(part for part in agreed.plan.parts if part.key in keys)


def _locked(workspace: Workspace, pending: tuple[Part, ...], emit: Emit) -> dict[str, ExitStack]:
    """Take the locks of all parts to build, dependents first, and settle what a killed rebuild left.

    While a dependent is locked, `gc` leaves its finished needs alone although no receipt names them yet; and two
    processes that follow the same order cannot wait for each other in a circle.
    """
    held: dict[str, ExitStack] = {}
    try:
        for part in reversed(pending):
            held[part.key] = ExitStack()
            held[part.key].enter_context(workspace.store.lock(part.key, emit))
            if workspace.store.settle(part.key):
                emit(Note(f"{part.key}: a rebuild was cut short; the install before it is back"))
    except BaseException:
        for stack in held.values():
            stack.close()
        raise
    return held


def _install_part(workspace: Workspace, agreed: Preview, part: Part, emit: Emit, mend: Mend | None) -> Receipt:
    receipt = _recorded(workspace, part.key)  # another process may have built it while we waited for the lock
    if receipt is None or part.key in agreed.rebuild:
        return make(workspace, _order(workspace, agreed, part), mend, emit)
    if part.key in agreed.plan.wanted and not receipt.explicit:
        workspace.receipts.mark_explicit(part.key)
    emit(PartFinished(part.key, receipt.prefix, receipt.seconds, fresh=False))
    return receipt


def _order(workspace: Workspace, agreed: Preview, part: Part) -> Order:
    """Building something again is no wish to keep it: it counts as asked for by name if it did before."""
    previous = workspace.receipts.get(part.key)
    asked = part.key in agreed.plan.wanted and part.key not in agreed.rebuild
    return Order(
        part=part,
        facts=agreed.plan.facts,
        jobs=agreed.jobs.get(part.key, 1),
        packages=agreed.missing.names if agreed.missing else (),
        explicit=asked or (previous is not None and previous.explicit),
        again=previous is not None,
    )


def _recorded(workspace: Workspace, key: str) -> Receipt | None:
    """The receipt of an install whose prefix is still there."""
    receipt = workspace.receipts.get(key)
    return receipt if receipt and workspace.store.prefix(key).is_dir() else None

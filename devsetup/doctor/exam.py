"""What is examined: a machine, what was asked about it, and what devsetup installed on it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from devsetup.facts import Facts
from devsetup.plan import Part, Plan
from devsetup.probe.host import Host
from devsetup.receipts import Receipt
from devsetup.store import Store


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe that the user asks about.

    Attributes:
        name: of the recipe.
        plan: what installing it here would do; None when it cannot be planned.
        refusal: why it cannot be planned: the recipe's own reason.
        hint: the next step that goes with the refusal.
    """

    name: str
    plan: Plan | None = None
    refusal: str = ""
    hint: str = ""


class Exam(msgspec.Struct, frozen=True, kw_only=True):
    """A machine on the couch. Checks look only at this.

    Attributes:
        host: files, variables and programs, under a root that need not be `/`.
        facts: the machine as recipes see it.
        goals: what is asked about; with none, the question is whether the machine in general is in order.
        home: devsetup's home; it may not exist yet.
        receipts: of everything that is installed.
        store: prefixes, build directories, locks.
        groups: ids of the groups that the user belongs to; the user's own id is `uid`.
    """

    host: Host
    facts: Facts
    goals: tuple[Goal, ...]
    home: Path
    receipts: tuple[Receipt, ...]
    store: Store
    uid: int
    groups: tuple[int, ...]

    @property
    def wanted(self) -> tuple[Part, ...]:
        """The parts of everything that is asked about."""
        return tuple(part for goal in self.goals if goal.plan for part in goal.plan.parts)

    @property
    def cuda_wanted(self) -> tuple[str, ...]:
        """Names of the recipes asked about that use CUDA: a missing toolkit or GPU matters to these."""
        named = {part.name for part in self.wanted if _uses_cuda(part)}
        # What cannot be planned for want of a toolkit still wants one.
        named.update(goal.name for goal in self.goals if "CUDA" in goal.refusal)
        return tuple(sorted(named))

    @property
    def cuda_installed(self) -> tuple[Receipt, ...]:
        """Installs that use CUDA."""
        return tuple(receipt for receipt in self.receipts if _uses_cuda(receipt.part))


def _uses_cuda(part: Part) -> bool:
    return part.name == "cuda" or part.options.get("cuda") == "on"

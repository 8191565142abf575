"""Constructed machines for the doctor's checks: files, variables and stub programs under a temporary root."""

from __future__ import annotations

from pathlib import Path

from test_probe import Tree

from devsetup.doctor import Exam, Goal, Result, examine, select
from devsetup.doctor.checks import every
from devsetup.facts import Facts
from devsetup.loader import Loader, default_root
from devsetup.planner import Wish, make_plan
from devsetup.receipts import Receipt
from devsetup.store import Store

LOADER = Loader(default_root({}))


class Couch(Tree):
    """A machine to be examined. Its facts are probed from its files, unless a test declares them."""

    def exam(
        self,
        *,
        facts: Facts | None = None,
        goals: tuple[Goal, ...] = (),
        receipts: tuple[Receipt, ...] = (),
        uid: int = 1000,
        groups: tuple[int, ...] = (1000,),
        **environ: str,
    ) -> Exam:
        home = Path(f"{self.root}/home/user/devsetup")
        return Exam(
            host=self.host(**environ),
            facts=facts or self.facts(**environ),
            goals=goals,
            home=home,
            receipts=receipts,
            store=Store(home),
            uid=uid,
            groups=groups,
        )


def goal(name: str, on: Facts | str, **options: str) -> Goal:
    """A recipe of the catalogue, planned for declared facts or a declared host."""
    facts = LOADER.host(on) if isinstance(on, str) else on
    return Goal(name=name, plan=make_plan(Wish(names=(name,), options=options), facts, LOADER.catalogue()))


def check(name: str, exam: Exam) -> tuple[Result, ...]:
    """The results of one check (or of a group) on a machine."""
    return examine(exam, select(every(), (name,), ()))


def only(name: str, exam: Exam) -> Result:
    """The single result of one check."""
    (result,) = check(name, exam)
    return result

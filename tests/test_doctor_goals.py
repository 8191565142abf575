"""What is asked about: plans and refusals of real recipes, and packages by stub package managers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from doctor_goals import wanting
from doctoring import LOADER, Couch, check, goal, only
from homes import make_receipt

from devsetup.doctor import Goal
from devsetup.plan import Plan
from devsetup.steps import Env, SystemPackages


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    return Couch(tmp_path / "root")


DEBIAN = LOADER.host("debian-12")


def test_a_plan(couch: Couch) -> None:
    asked = goal("caffe", "debian-12")
    assert asked.plan is not None
    part = asked.plan.parts[-1]
    found = only("goal.plan", couch.exam(facts=DEBIAN, goals=(asked,)))
    assert found.status == "ok"
    steps = sum(not isinstance(step, Env) for step in part.steps)
    needed = sum(patch.needed for patch in part.patches)
    assert found.summary == (
        f"caffe {part.version} can be planned: {steps} steps, {needed} of {len(part.patches)} patches needed here"
    )
    assert check("goal", couch.exam()) == ()


def test_a_refusal_is_the_recipes_own(couch: Couch) -> None:
    refused = Goal(name="caffe", refusal="caffe cannot be installed here: no", hint="do that")
    found = only("goal.plan", couch.exam(goals=(refused,)))
    assert (found.status, found.summary) == ("fail", refused.refusal)
    assert found.fix is not None
    assert found.fix.text == "do that"


def packages(couch: Couch, *installed: str) -> tuple[Goal, ...]:
    rows = "".join(f"installed\\t{name}\\t\\n" for name in installed)
    couch.program("/usr/bin/dpkg-query", f"printf '{rows}'; test $# = 2 || exit 1")
    couch.program("/usr/bin/apt-get", "exit 9")
    return wanting(couch.facts(), SystemPackages(manager="apt", names=("gcc", "make")))


def test_missing_packages_come_with_the_command(couch: Couch) -> None:
    goals = packages(couch, "gcc")
    found = only("goal.packages", couch.exam(goals=goals))
    assert found.status == "info"
    assert found.summary.startswith("1 of 2 system packages for toy are not installed yet")
    assert found.detail == ("make",)
    assert found.fix is not None
    assert found.fix.needs_root
    assert found.fix.commands[-1].startswith("sudo ")
    assert found.fix.commands[-1].endswith(" make")


def test_packages_that_are_there(couch: Couch) -> None:
    goals = packages(couch, "gcc", "make")
    found = only("goal.packages", couch.exam(goals=goals))
    assert (found.status, found.summary) == ("ok", "all 2 system packages for toy are installed")
    (asked,) = goals
    assert asked.plan is not None
    part = asked.plan.parts[0]
    there = make_receipt(part=part, key=part.key)
    assert check("goal.packages", couch.exam(goals=goals, receipts=(there,))) == ()


def test_a_package_manager_that_does_not_answer(couch: Couch) -> None:
    goals = packages(couch)
    couch.program("/usr/bin/dpkg-query", "echo broken >&2; exit 7")
    found = only("goal.packages", couch.exam(goals=goals))
    assert found.status == "warn"
    assert "apt does not say which packages are installed: dpkg-query failed with status 7" in found.summary


def test_what_comes_with_it(couch: Couch) -> None:
    ((below, above),) = ((wanting(DEBIAN, name=name)[0].plan for name in ("below", "above")),)
    assert below is not None
    assert above is not None
    needed = below.parts[0]
    part = msgspec.structs.replace(above.parts[0], needs=(needed.key,))
    asked = Goal(name="above", plan=Plan(facts=DEBIAN, parts=(needed, part), wanted=(part.key,)))
    found = only("goal.needs", couch.exam(goals=(asked,)))
    assert found.status == "info"
    assert found.summary == "below 1.0, which above needs, is not installed yet; it is built first"
    there = make_receipt(part=needed, key=needed.key)
    found = only("goal.needs", couch.exam(goals=(asked,), receipts=(there,)))
    assert (found.status, found.summary) == ("ok", "below 1.0, which above needs, is installed")
    assert check("goal.needs", couch.exam(goals=wanting(DEBIAN))) == ()

"""Repairing a failed install: which remedy to try, and what of the failed attempt still stands. Pure.

A remedy changes the plan. It is tried once; what it changes is shown first, and becomes part of the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup.amendment import Amendment, PinPackage, SetOption, told
from devsetup.steps import PythonEnv, Run, Step, SystemPackages, title

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from devsetup.diagnosis import Diagnosis
    from devsetup.plan import Part


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """A remedy to try.

    Attributes:
        recipe: whose plan it changes.
        symptom: id of the symptom.
        title: what the symptom is.
        amendment: how the plan changes.
    """

    recipe: str
    symptom: str
    title: str
    amendment: Amendment

    def __str__(self) -> str:
        """As a line to agree to."""
        return f"{self.recipe}: {self.title}: {told(self.amendment)}"


def remedies(diagnosis: Diagnosis, recipe: str, tried: Collection[Amendment]) -> Iterator[Remedy]:
    """The remedies that a diagnosis suggests for a recipe, root cause first, without those tried already."""
    for cause in diagnosis.causes:
        for treatment in cause.treatments:
            if treatment.action is not None and treatment.action not in tried:
                yield Remedy(recipe=recipe, symptom=cause.id, title=cause.title, amendment=treatment.action)


def still_stands(done: Collection[Step], wanted: tuple[Step, ...], amendment: Amendment) -> frozenset[int]:
    """Which steps of an amended part need not be done again in the place where the attempt before it failed.

    What was fetched, unpacked, patched and written stands. Commands and environments stand up to the first step that is
    new or changed: a command after it may see it. The one that failed goes on with what it has made. But a command that
    had succeeded and would have to be repeated has made what make takes for up to date, as another option or another
    Python package changes what was compiled in ways that make does not see: then nothing stands.

    Args:
        done: steps of the failed attempt that succeeded.
        wanted: steps of the amended part.
        amendment: what was amended.

    Returns:
        Indices of `wanted`.
    """
    if isinstance(amendment, SetOption | PinPackage):
        return frozenset()
    stands: set[int] = set()
    finished = {title(step) for step in done if isinstance(step, Run)}
    changed = False
    for index, step in enumerate(wanted):
        if step in done and not (changed and isinstance(step, Run | PythonEnv)):
            stands.add(index)
        elif title(step) in finished:
            return frozenset()
        else:
            changed = True
    return frozenset(stands)


def differences(before: Part, after: Part) -> tuple[str, ...]:
    """What an amended part does differently, one line each: packages, options, new steps, changed steps.

    Empty when the amendment changes nothing here: such a remedy is no remedy.
    """
    options = sorted(after.options.items() - before.options.items())
    return (
        *(f"option {name}={value}" for name, value in options),
        *(f"package {name}" for name in after.packages if name not in before.packages),
        *_of_steps(before.steps, after.steps),
    )


def _of_steps(before: tuple[Step, ...], after: tuple[Step, ...]) -> Iterator[str]:
    old = {title(step): step for step in before}
    for step in after:
        name = title(step)
        if isinstance(step, SystemPackages) or step == old.get(name):
            continue
        yield f"{name}: {_changed(old[name], step)}" if name in old else f"new step: {name}"
    for name in old.keys() - {title(step) for step in after}:
        if not isinstance(old[name], SystemPackages):
            yield f"without the step: {name}"


def _changed(old: Step, new: Step) -> str:
    match old, new:
        case Run(), Run() if old.argv == new.argv and old.then == new.then:
            return ", ".join(f"{name}={value}" for name, value in new.env if (name, value) not in old.env)
        case Run(), Run():
            return " ".join(word for word in new.argv if word not in old.argv) or "other commands"
        case PythonEnv(), PythonEnv():
            return ", ".join(each for each in new.requirements if each not in old.requirements)
        case _:
            return "other content"

"""Amendments carried into a part's steps. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import structs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from devsetup.amendment import AddLibrary, Amendment, LimitJobs, PinPackage, SetOption, SetVariable, UsePatch
from devsetup.environment import fixed
from devsetup.errors import InvalidInput, UsageError
from devsetup.steps import JOBS, PythonEnv, Run, Step

if TYPE_CHECKING:
    from devsetup.recipe import Recipe


def options(amendments: tuple[Amendment, ...]) -> dict[str, str]:
    """The option values that amendments choose."""
    return {each.option: each.value for each in amendments if isinstance(each, SetOption)}


def libraries(amendments: tuple[Amendment, ...]) -> tuple[str, ...]:
    """The logical libraries that amendments add."""
    return tuple(each.name for each in amendments if isinstance(each, AddLibrary))


def patches(amendments: tuple[Amendment, ...], recipe: Recipe) -> frozenset[str]:
    """The patches that amendments ask for.

    Raises:
        UsageError: the recipe has no such patch.
    """
    wanted = frozenset(each.patch for each in amendments if isinstance(each, UsePatch))
    unknown = wanted - {patch.name for patch in recipe.patches}
    if unknown:
        raise UsageError(f"{recipe.name} has no patch {min(unknown)!r}", f"see `devsetup info {recipe.name}`")
    return wanted


def amended(steps: tuple[Step, ...], amendments: tuple[Amendment, ...], *, macos: bool) -> tuple[Step, ...]:
    """Steps with the amendments that change steps by themselves: variables, jobs, Python packages.

    Raises:
        InvalidInput: a requirement is malformed.
    """
    for amendment in amendments:
        match amendment:
            case SetVariable():
                steps = tuple(_with_variable(step, amendment, macos=macos) for step in steps)
            case LimitJobs(jobs=jobs):
                steps = tuple(_with_jobs(step, jobs) for step in steps)
            case PinPackage(requirement=requirement):
                steps = tuple(_with_requirement(step, requirement) for step in steps)
            case AddLibrary() | SetOption() | UsePatch():
                pass  # these change what the recipe is asked, not what it answers
    return steps


def _with_variable(step: Step, change: SetVariable, *, macos: bool) -> Step:
    if not isinstance(step, Run):
        return step
    before = dict(step.env).get(change.name) or fixed(macos=macos).get(change.name, "")
    value = f"{change.value}:{before}" if change.prepend and before else change.value
    return structs.replace(step, env=(*(pair for pair in step.env if pair[0] != change.name), (change.name, value)))


def _with_jobs(step: Step, jobs: int) -> Step:
    if not isinstance(step, Run):
        return step
    argv, then = _limited(step.argv, jobs), tuple(_limited(argv, jobs) for argv in step.then)
    return structs.replace(step, argv=argv, then=then)


def _limited(argv: tuple[str, ...], jobs: int) -> tuple[str, ...]:
    return tuple(word.replace(JOBS, str(jobs)) for word in argv)


def _with_requirement(step: Step, requirement: str) -> Step:
    if not isinstance(step, PythonEnv):
        return step
    name = _package(requirement)
    kept = tuple(each for each in step.requirements if _package(each) != name)
    return structs.replace(step, requirements=tuple(sorted((*kept, requirement))))


def _package(requirement: str) -> str:
    """The canonical name of a requirement; pip's own options behind it (`--hash`) do not count."""
    try:
        return canonicalize_name(Requirement(re.split(r"\s--", requirement, maxsplit=1)[0]).name)
    except InvalidRequirement as error:
        raise InvalidInput(f"{requirement!r} is no requirement of a Python package: {error}") from error

"""Amendments: changes of a plan, as data. A remedy names one; it becomes part of the plan, and of its digest."""

from __future__ import annotations

import msgspec


class _Amendment(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    pass


class AddLibrary(_Amendment, frozen=True, kw_only=True, tag="add-library"):
    """Install the packages of a library of `hosts/libraries.toml` before building."""

    name: str


class SetOption(_Amendment, frozen=True, kw_only=True, tag="set-option"):
    """Choose another value of a recipe's option."""

    option: str
    value: str


class UsePatch(_Amendment, frozen=True, kw_only=True, tag="use-patch"):
    """Apply a patch of the recipe whose condition does not hold by the facts."""

    patch: str


class PinPackage(_Amendment, frozen=True, kw_only=True, tag="pin-package"):
    """Replace a Python requirement of the recipe's environment, or add it: `numpy==1.26.4`."""

    requirement: str


class SetVariable(_Amendment, frozen=True, kw_only=True, tag="set-variable"):
    """Add a variable to the environment of every command of the build; with `prepend`, in front of what it has."""

    name: str
    value: str
    prepend: bool = False


class LimitJobs(_Amendment, frozen=True, kw_only=True, tag="limit-jobs"):
    """Compile with fewer jobs at once."""

    jobs: int = 1


Amendment = AddLibrary | SetOption | UsePatch | PinPackage | SetVariable | LimitJobs


def told(amendment: Amendment) -> str:
    """An amendment as a phrase: what the plan does differently."""
    match amendment:
        case AddLibrary(name=name):
            return f"install the packages of {name} first"
        case SetOption(option=option, value=value):
            return f"--option {option}={value}"
        case UsePatch(patch=patch):
            return f"apply {patch}"
        case PinPackage(requirement=requirement):
            return f"use {requirement} in the Python environment"
        case SetVariable(name=name, value=value, prepend=prepend):
            return f"build with {name}={value}{f':${name}' if prepend else ''}"
        case LimitJobs(jobs=jobs):
            return f"compile with {jobs} job{'' if jobs == 1 else 's'}"

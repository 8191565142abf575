"""What checks share: the machine as builds see it, what the goals run and bring, and how to install what is missing."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from devsetup.doctor.finding import Fix
from devsetup.environment import clean
from devsetup.execute import shell_line
from devsetup.loader import Loader, default_root
from devsetup.lower import install_commands
from devsetup.steps import Run

if TYPE_CHECKING:
    from collections.abc import Collection

    from devsetup.doctor.exam import Exam
    from devsetup.probe.host import Host


# Programs that compile, or start what compiles.
BUILD_TOOLS = frozenset(
    ("make", "cmake", "ninja", "meson", "cc", "c++", "gcc", "g++", "clang", "clang++", "gfortran", "nvcc", "R")
)


def is_macos(exam: Exam) -> bool:
    """Whether the machine runs macOS, by its facts."""
    return exam.facts.os.id == "macos"


def builder(exam: Exam) -> Host:
    """The machine as devsetup's builds and proofs see it: with their clean environment, its fixed PATH included."""
    return msgspec.structs.replace(exam.host, environ=clean(exam.host.environ, macos=is_macos(exam)))


def runners(exam: Exam, programs: Collection[str]) -> tuple[str, ...]:
    """Names of the recipes asked about that start one of these programs, whatever its directory."""

    def starts(step: Run) -> bool:
        return any(posixpath.basename(argv[0]) in programs for argv in (step.argv, *step.then))

    parts = (part.name for part in exam.wanted if any(isinstance(step, Run) and starts(step) for step in part.steps))
    return tuple(dict.fromkeys(parts))


def concerning(names: Collection[str]) -> str:
    """Whom a finding concerns, as the end of its summary; empty when no recipe was asked about."""
    return f" (asked for: {', '.join(names)})" if names else ""


def packages(exam: Exam, library: str) -> tuple[str, ...]:
    """The package manager's names for an entry of `hosts/libraries.toml`; empty when it has none.

    Raises:
        InvalidInput: that file is malformed.
    """
    entry = Loader(default_root(exam.host.environ)).libraries().get(library)
    return entry.names(exam.facts.package_manager) if entry else ()


def bringers(exam: Exam, names: Collection[str]) -> tuple[str, ...]:
    """Names of the recipes asked about whose plans install one of these packages before they build."""
    return tuple(dict.fromkeys(part.name for part in exam.wanted if set(names) & set(part.packages)))


def installation(exam: Exam, text: str, names: tuple[str, ...]) -> Fix:
    """How to install packages by hand.

    Args:
        exam: the machine.
        text: one sentence that says what to install and why.
        names: of the machine's package manager. With none, macOS brings it with its Command Line Tools; elsewhere there
            is no command to give.
    """
    manager = exam.facts.package_manager
    if not (names and manager):
        return Fix(text=text, commands=("xcode-select --install",) if is_macos(exam) else ())
    commands = install_commands(manager, names)
    return Fix(
        text=text,
        commands=tuple(shell_line(command, "sudo") for command in commands),
        needs_root=any(command.privileged for command in commands),
    )

"""System packages: what is missing, the exact commands, and whether we may run them."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Literal

import msgspec

from devsetup.errors import Refused
from devsetup.events import Emit, Line
from devsetup.execute.failure import CommandFailed, first_errors, replay_line
from devsetup.lower import install_commands
from devsetup.steps import Command, SystemPackages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from devsetup.plan import Part
    from devsetup.runner import Runner

Privilege = Literal["root", "sudo", "none"]


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Packages to install before anything is built, and the commands that do it."""

    manager: str
    names: tuple[str, ...]
    commands: tuple[Command, ...]


def privilege() -> Privilege:
    """How we can become root: we are, through sudo, or not at all."""
    if os.geteuid() == 0:
        return "root"
    return "sudo" if shutil.which("sudo") else "none"


def missing(parts: Iterable[Part], look: Callable[[str, tuple[str, ...]], tuple[str, ...]]) -> Missing | None:
    """What the parts' SystemPackages steps still need.

    Args:
        parts: the parts that will be built.
        look: (manager, names) to those that are not installed.
    """
    steps = [step for part in parts for step in part.steps if isinstance(step, SystemPackages)]
    if not steps:
        return None
    manager = steps[0].manager
    names = tuple(sorted({name for step in steps for name in step.names}))
    absent = look(manager, names)
    return Missing(manager=manager, names=absent, commands=install_commands(manager, absent)) if absent else None


def shell_line(command: Command, have: Privilege) -> str:
    """The command as the user would type it."""
    prefix = () if have == "root" or not command.privileged else ("sudo",)
    return " ".join(shlex.quote(word) for word in (*prefix, *command.argv))


def install(wanted: Missing, runner: Runner, env: Mapping[str, str], emit: Emit) -> None:
    """Run the commands, after consent was given.

    Raises:
        Refused: they need root, and we neither are root nor have sudo.
        CommandFailed: the package manager failed.
    """
    have = privilege()
    for command in wanted.commands:
        line = shell_line(command, have)
        if command.privileged and have == "none":
            raise Refused(
                f"{len(wanted.names)} system packages are missing and need root, which this user cannot become",
                "as root, run the command above, then run devsetup again",
                detail=tuple(shell_line(each, "sudo") for each in wanted.commands),
            )
        _run(command, line, runner, env, emit)


def _run(command: Command, line: str, runner: Runner, env: Mapping[str, str], emit: Emit) -> None:
    argv = command.argv
    if command.privileged and privilege() == "sudo":
        # sudo drops the environment. Standard input is closed, so it asks for a password on the terminal or not at all.
        argv = ("sudo", "env", *(f"{name}={value}" for name, value in command.env), *argv)
    done = runner.stream(argv, env={**env, **dict(command.env)}, on_line=lambda text: emit(Line(text)))
    if done.returncode:
        raise CommandFailed(
            f"`{line}` exited with status {done.returncode}",
            "run that command by hand to see all of its output; once it succeeds, run devsetup again",
            detail=first_errors(done.output.splitlines()),
            replay=replay_line(command, env),
            output=done.output,
        )

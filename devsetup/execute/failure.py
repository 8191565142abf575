"""From a failed command to what a person needs: its first real errors, and a line that repeats it by hand."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from devsetup.errors import DevsetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devsetup.steps import Command

_SHOWN = 5
_WIDTH = 400
# Compilers, linkers, loaders, pip, apt and the kernel; what only follows from an earlier error is left out below.
_ERROR = re.compile(
    r"(\berror:|\berror\b.*:|^E: |^ERROR|\bfatal\b|undefined reference|cannot find -l|No space left on device"
    r"|No such file or directory|command not found|Permission denied|Killed\b|cc1plus: out of memory"
    r"|No rule to make target|Temporary failure|Could not resolve|Traceback|^\w*(Error|Exception)\b"
    r"|Hunk #\d+ FAILED|malformed patch)",
    re.IGNORECASE,
)
_CONSEQUENCE = re.compile(
    r"(^make(\[\d+\])?: \*\*\* (?!No rule)|^make.*\bWaiting for unfinished|collect2: error: ld returned"
    r"|warning:|^compilation terminated|: note: |0 errors?\b|-Werror)",
    re.IGNORECASE,
)


class CommandFailed(DevsetupError):
    """A command exited with an error.

    Attributes:
        replay: a shell line that repeats it by hand.
        output: the end of what it printed, where no log has it.
    """

    def __init__(
        self, message: str, hint: str | None = None, *, detail: tuple[str, ...] = (), replay: str, output: str = ""
    ) -> None:
        super().__init__(message, hint, detail=detail)
        self.replay = replay
        self.output = output


def first_errors(lines: Iterable[str]) -> tuple[str, ...]:
    """The first real error lines of a log, without the ones that merely follow; at most five.

    When nothing looks like an error, the last lines.
    """
    found: list[str] = []
    last: list[str] = []
    for raw in lines:
        line = raw.rstrip()[:_WIDTH]
        if not line:
            continue
        last = [*last[1 - _SHOWN :], line]
        if len(found) < _SHOWN and _ERROR.search(line) and not _CONSEQUENCE.search(line) and line not in found:
            found.append(line)
    return tuple(found or last)


def errors_in(log: Path, start: int) -> tuple[str, ...]:
    """`first_errors` of a log file, from a byte offset on."""
    with log.open("rb") as file:
        file.seek(start)
        return first_errors(raw.decode("utf-8", "replace") for raw in file)


def replay_line(command: Command, env: Mapping[str, str]) -> str:
    """A POSIX shell line that repeats a command in the same directory and environment.

    Variables whose name or value could hold a secret (proxies and pip's index settings may carry credentials) are
    taken from the reader's own shell.
    """
    shown = [f"{name}={value}" for name, value in sorted(env.items()) if name in {"PATH", "LANG", "LC_ALL"}]
    shown += [f"{name}={value}" for name, value in command.env]
    words = ["env", *shown, *command.argv]
    line = " ".join(shlex.quote(word) for word in words)
    return f"cd {shlex.quote(command.cwd)} && {line}" if command.cwd else line

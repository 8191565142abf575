"""Asking another program for a file: fetch starts no process itself, so the runner is handed in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from devsetup.errors import DevsetupError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIME_WAS_UP = 124  # the exit status of a command that ran too long


class Ended(Protocol):
    """How a process ended."""

    @property
    def returncode(self) -> int:
        """Exit status; 124 when its time was up."""

    @property
    def output(self) -> str:
        """What it printed on stdout."""

    @property
    def error(self) -> str:
        """What it printed on stderr."""


class Capture(Protocol):
    """Runs a command to its end, as `runner.Runner.capture` does."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Ended:
        """Run it."""


def ended(
    capture: Capture, argv: Sequence[str], environment: Mapping[str, str], *, timeout_s: float, cwd: str | None = None
) -> Ended:
    """Run a command to its end.

    Raises:
        SourceError: there is no such program.
    """
    try:
        return capture(argv, cwd=cwd, env=environment, timeout_s=timeout_s)
    except DevsetupError as error:
        raise SourceError(error.message) from error


def without_credentials(text: str) -> str:
    """A message without the user names and passwords of its URLs."""
    return re.sub(r"//[^/\s@]+@", "//", text)

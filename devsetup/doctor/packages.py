"""System packages of the machine that is examined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.probe import missing_packages
from devsetup.runner import Completed, Runner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devsetup.doctor.exam import Exam
    from devsetup.probe.host import Host


class _Inside(Runner):
    """Runs the programs of a machine by name: those on its PATH, inside its root."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def capture(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Completed:
        program = self._host.real(self._host.which(argv[0]) or f"/usr/bin/{argv[0]}")
        return self._host.runner.capture((program, *argv[1:]), cwd=cwd, env=env, timeout_s=timeout_s)


def absent(exam: Exam, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these packages are not installed.

    Raises:
        DevsetupError: the package manager cannot be asked.
    """
    return missing_packages(_Inside(exam.host), exam.facts.package_manager, tuple(dict.fromkeys(names)))

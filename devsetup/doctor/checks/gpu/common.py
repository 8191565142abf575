"""What the checks of driver and device files share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.doctor.finding import Fix, Status

if TYPE_CHECKING:
    from devsetup.doctor.exam import Exam
    from devsetup.facts import Driver

_CONTAINERS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")


def answers(found: Driver) -> bool:
    """Whether libcuda reached its GPUs, so that device files are as they must be, whatever they look like."""
    return bool(found.cuda) and not found.problem


def broken(exam: Exam) -> Status:
    """How bad a driver is that is there and does not work."""
    return "fail" if exam.cuda_wanted else "warn"


def in_container(exam: Exam) -> bool:
    """Whether kernel and driver belong to somebody else."""
    return any(map(exam.host.exists, _CONTAINERS)) or "container" in exam.host.environ


def wsl(exam: Exam) -> bool:
    """Whether this is Windows' subsystem, where the driver is Windows' own."""
    return "microsoft" in exam.host.read("/proc/sys/kernel/osrelease").lower()


def hosts_gpus() -> Fix:
    """How a container gets its host's GPUs."""
    return Fix(
        text="this is a container, and its host brings the driver: start it with its host's GPUs",
        commands=("docker run --gpus all IMAGE",),
    )

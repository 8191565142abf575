"""The device files through which programs reach the GPUs: are they there, and may this user use them?"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devsetup.doctor.checks.gpu.common import answers, broken, hosts_gpus, in_container
from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.remedies import concerning, installation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import stat_result

    from devsetup.doctor.exam import Exam

_CONTROL, _MEMORY = "/dev/nvidiactl", "/dev/nvidia-uvm"
_MODPROBE = "/etc/modprobe.d"
_SETTING = re.compile(r"^\s*options\s.*\bNVreg_(?:DeviceFile(?:UID|GID|Mode)|ModifyDeviceFiles)=", re.IGNORECASE)
_READ_WRITE = 0o6
_FIELDS = 4  # of /etc/group; /etc/passwd has more
_NOT_ROOT = (
    "running the program as root instead hides the fault, leaves files behind that you cannot write, and is needed "
    "again each time"
)


class _Node(NamedTuple):
    path: str
    status: stat_result


def nodes(exam: Exam) -> Iterator[Finding]:
    """Whether the driver's device files are there. NVIDIA's setuid helper nvidia-modprobe makes them for users."""
    found = exam.facts.driver
    if found is None or not (found.module and found.library) or answers(found):
        return  # without a library, that is the first thing to mend
    names = exam.host.names("/dev")
    missing = [path for path in (_CONTROL, _MEMORY) if posixpath.basename(path) not in names]
    if not any(re.fullmatch(r"nvidia\d+", name) for name in names):
        missing.append("/dev/nvidia0")
    if not missing:
        return
    settings = _settings(exam)
    off = [where for where, line in settings if re.search(r"ModifyDeviceFiles=0", line, re.IGNORECASE)]
    yield Finding(
        status=broken(exam),
        summary=f"{', '.join(sorted(missing))} not there, though the driver is loaded: CUDA programs find no GPU"
        + concerning(exam.cuda_wanted),
        detail=tuple(f"{where} tells the driver to leave device files alone" for where in off),
        evidence=(
            Evidence(source="/dev/nvidia*", value=", ".join(n for n in names if n.startswith("nvidia")) or "none"),
            *_shown(settings),
        ),
        fix=hosts_gpus() if in_container(exam) else _helper(exam, off),
    )


def _helper(exam: Exam, off: list[str]) -> Fix:
    text = "have NVIDIA's helper make them, now and from now on whenever a program needs them"
    if off:
        text = f"take NVreg_ModifyDeviceFiles=0 out of {off[0]}, then {text}"
    make = ("sudo nvidia-modprobe -u -c 0",)
    if exam.host.which("nvidia-modprobe"):
        return Fix(text=f"{text}; {_NOT_ROOT}", commands=make, needs_root=True)
    package = installation(exam, "", ("nvidia-modprobe",)) if exam.facts.package_manager in {"apt", "dnf"} else None
    return Fix(
        text=f"{text}: install nvidia-modprobe; {_NOT_ROOT}",
        commands=(*(package.commands if package else ()), *make),
        needs_root=True,
    )


def permissions(exam: Exam) -> Iterator[Finding]:
    """Whether this user may read and write the device files."""
    found = exam.facts.driver
    if exam.uid == 0 or (found and answers(found)):
        return
    barred = [node for node in _nodes(exam) if not _allowed(node.status, exam)]
    if not barred:
        return
    first = barred[0].status
    settings = _settings(exam)
    group = _group_name(exam, first.st_gid)
    yield Finding(
        status=broken(exam),
        summary=f"{barred[0].path} belongs to {_owner(exam, first.st_uid)}:{group} with mode "
        f"{first.st_mode & 0o7777:04o}, and you (user {_user(exam)}) may not use it: CUDA programs find no GPU"
        + concerning(exam.cuda_wanted),
        detail=tuple(f"{node.path} too" for node in barred[1:])
        + tuple(f"{where} sets this: {line}" for where, line in settings),
        evidence=_shown(settings),
        fix=_admission(exam, first, group, settings),
    )


def _nodes(exam: Exam) -> Iterator[_Node]:
    wanted = re.compile(r"nvidia(?:\d+|ctl|-uvm)")
    for name in exam.host.names("/dev"):
        if wanted.fullmatch(name):
            try:
                yield _Node(f"/dev/{name}", Path(exam.host.real(f"/dev/{name}")).stat())
            except OSError:  # it went away just now
                continue


def _allowed(status: stat_result, exam: Exam) -> bool:
    """Whether the mode lets the user read and write: the first class that fits decides, as in the kernel."""
    if status.st_uid == exam.uid:
        bits = status.st_mode >> 6
    elif status.st_gid in exam.groups:
        bits = status.st_mode >> 3
    else:
        bits = status.st_mode
    return bits & _READ_WRITE == _READ_WRITE


def _admission(exam: Exam, status: stat_result, group: str, settings: tuple[tuple[str, str], ...]) -> Fix:
    """How the user gets at the devices: by their group where it may use them; else by the driver's own settings."""
    user = _user(exam)
    if status.st_gid and (status.st_mode >> 3) & _READ_WRITE == _READ_WRITE:
        if user in _members(exam, group):
            return Fix(text=f"you are in the group {group} since you logged in: log out, and in again; {_NOT_ROOT}")
        return Fix(
            text=f"join the group {group}, then log out, and in again; {_NOT_ROOT}",
            commands=(f"sudo usermod -aG {group} {user}",),
            needs_root=True,
        )
    if settings:
        where = settings[0][0]
        return Fix(
            text=f"correct {where}: mode 0666 lets everybody use the GPUs, as NVIDIA's default does; or set 0660 and "
            f"the number of a group as NVreg_DeviceFileGID; then restart the machine; {_NOT_ROOT}",
            commands=(f"sudoedit {where.partition(':')[0]}",),
            needs_root=True,
        )
    return Fix(
        text="the driver's default mode is 0666, so something else set this, such as a rule of udev; look for it, and "
        f"have NVIDIA's helper set the default again; {_NOT_ROOT}",
        commands=("grep -rn nvidia /etc/udev/rules.d /run/udev/rules.d", "sudo nvidia-modprobe -u -c 0"),
        needs_root=True,
    )


def _settings(exam: Exam) -> tuple[tuple[str, str], ...]:
    """(file:line, text) of the lines that set owner, group or mode of the driver's device files."""
    files = (f"{_MODPROBE}/{name}" for name in exam.host.names(_MODPROBE) if name.endswith(".conf"))
    return tuple(
        (f"{file}:{number}", line.strip())
        for file in files
        for number, line in enumerate(exam.host.read(file).splitlines(), 1)
        if _SETTING.search(line)
    )


def _shown(settings: Iterable[tuple[str, str]]) -> tuple[Evidence, ...]:
    return tuple(Evidence(source=where, value=line) for where, line in settings)


def _entries(exam: Exam, file: str) -> Iterator[list[str]]:
    """The entries of /etc/passwd or /etc/group: name, password, number, and so on."""
    lines = exam.host.read(file).splitlines()
    return (fields for line in lines if len(fields := line.split(":")) >= _FIELDS)


def _group_name(exam: Exam, gid: int) -> str:
    return next((fields[0] for fields in _entries(exam, "/etc/group") if fields[2] == str(gid)), str(gid))


def _members(exam: Exam, group: str) -> list[str]:
    return next((fields[3].split(",") for fields in _entries(exam, "/etc/group") if fields[0] == group), [])


def _owner(exam: Exam, uid: int) -> str:
    return _account(exam, uid) or str(uid)


def _user(exam: Exam) -> str:
    """The login name, also of a user that a directory server knows and /etc/passwd does not."""
    return _account(exam, exam.uid) or exam.host.environ.get("USER") or str(exam.uid)


def _account(exam: Exam, uid: int) -> str:
    return next((fields[0] for fields in _entries(exam, "/etc/passwd") if fields[2] == str(uid)), "")

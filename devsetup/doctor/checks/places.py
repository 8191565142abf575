"""Places: may we write where we must, does the disk have room, and does it behave as builds expect?"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.store import free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.probe.host import Host

_ELSEWHERE = "or choose another place with `--home DIR` or DEVSETUP_HOME"
_OWN_TMP = ("mkdir -p ~/tmp", "export TMPDIR=~/tmp")
_OTHERS_WRITE = 0o002
_OWNER = 0o700
_LEAST_MB = 1024
_LEAST_TEMPORARY_MB = 200  # pip and proofs unpack there
_LEAST_INODES = 20_000  # Caffe with its Python environment has 11,000 files


def _existing(path: Path) -> Path:
    """The path, or its nearest parent that is there and that we may see."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - Path's raises


def _may_write(exam: Exam, path: Path) -> bool:
    """Whether the user may make files in a directory. The kernel knows best, but only about ourselves."""
    if exam.uid == os.geteuid():
        return os.access(path, os.W_OK | os.X_OK)
    info = path.stat()
    shift = 6 if info.st_uid == exam.uid else 3 if info.st_gid in exam.groups else 0
    return exam.uid == 0 or (info.st_mode >> shift) & 0o3 == 0o3  # noqa: PLR2004 - write and search


def _prefix(exam: Exam) -> Iterator[Finding]:
    place = _existing(exam.home)
    if not place.is_dir():
        seen = f"{place} is no directory, so the home {exam.home} cannot be there"
    elif not _may_write(exam, place):
        info = place.stat()
        seen = (
            f"{place} cannot be written (owner {info.st_uid}, mode {stat.S_IMODE(info.st_mode):04o}, we are {exam.uid})"
        )
    else:
        yield Finding(status="ok", summary=f"installs go to {exam.home}")
        return
    yield Finding(
        status="fail",
        summary=f"{seen}: nothing can be installed",
        evidence=(Evidence(source=str(place), value=seen),),
        fix=Fix(text=f"change its owner or permissions, {_ELSEWHERE}"),
    )


def _owner(exam: Exam) -> Iterator[Finding]:
    """What another user owns in our home: mostly root, after `sudo devsetup`."""
    if _existing(exam.home) != exam.home or exam.uid == 0 or not os.access(exam.home, os.R_OK | os.X_OK):
        return  # what may not be read is perm.prefix's business
    places = [exam.home, *(path for name in exam.home.iterdir() for path in (name, *_inside(name)))]
    foreign = [path for path in places if path.lstat().st_uid != exam.uid]
    if foreign:
        owners = ", ".join(sorted({str(path.lstat().st_uid) for path in foreign}))
        yield Finding(
            status="fail" if exam.home in foreign else "warn",
            summary=f"{len(foreign)} files or directories in {exam.home} belong to another user (id {owners}), so that "
            "devsetup can neither change nor remove them",
            detail=tuple(str(path) for path in foreign[:10]),
            fix=Fix(text="make them yours again", commands=(f"sudo chown -R {exam.uid} {exam.home}",), needs_root=True),
        )


def _inside(directory: Path) -> tuple[Path, ...]:
    try:
        return tuple(directory.iterdir()) if directory.is_dir() and not directory.is_symlink() else ()
    except OSError:
        return ()


def _temporary(exam: Exam) -> str:
    """Where temporary files go, inside the machine."""
    return exam.host.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - its name, to look at it


def _tmp(exam: Exam) -> Iterator[Finding]:
    path = _temporary(exam)
    real = Path(exam.host.real(path))
    if not real.is_dir():
        seen = f"{path}, where temporary files go, is no directory"
    elif not _may_write(exam, real):
        seen = f"{path}, where temporary files go, cannot be written"
    elif "noexec" in _mount_options(exam.host, path):
        yield Finding(
            status="warn",
            summary=f"{path} is mounted noexec: builds that start a program they have just made there fail",
            evidence=(Evidence(source="/proc/mounts", value=f"{path}: noexec"),),
            fix=Fix(text="use another directory for temporary files", commands=_OWN_TMP),
        )
        return
    else:
        return
    yield Finding(
        status="fail",
        summary=f"{seen}: compilers and pip need it",
        evidence=(Evidence(source="TMPDIR", value=exam.host.environ.get("TMPDIR", "")),),
        fix=Fix(text="point TMPDIR at a directory of yours", commands=_OWN_TMP),
    )


def _noexec(exam: Exam) -> Iterator[Finding]:
    path = _within(exam, exam.home)
    if "noexec" in _mount_options(exam.host, path):
        yield Finding(
            status="fail",
            summary=f"the home {exam.home} is on a file system mounted noexec: nothing that is installed there can run",
            evidence=(Evidence(source="/proc/mounts", value="noexec"),),
            fix=Fix(text="choose another place with `--home DIR` or DEVSETUP_HOME"),
        )


def _within(exam: Exam, path: Path) -> str:
    return str(path).removeprefix(exam.host.root)


def _mount_options(host: Host, path: str) -> tuple[str, ...]:
    """Options of the mount that a path of the machine lies on; none where that is unknown."""
    real = host.resolve(path)
    best, options = "", ""
    for line in host.read("/proc/mounts").splitlines():
        words = line.split()
        if len(words) > 3:  # noqa: PLR2004 - device, place, type, options
            place = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), words[1]).rstrip("/")
            if f"{real}/".startswith(f"{place}/") and len(place) >= len(best):
                best, options = place, words[3]
    return tuple(options.split(","))


def _umask(exam: Exam) -> Iterator[Finding]:
    found = re.search(r"^Umask:\s*(\d+)", exam.host.read("/proc/self/status"), re.MULTILINE)
    if found is None:
        return
    mask = int(found[1], 8)
    if mask & _OWNER:
        status, why = "fail", "even its owner cannot read what is installed"
    elif not mask & _OTHERS_WRITE:
        status, why = "warn", "every user of this machine may change what is installed, and so run programs as you"
    else:
        return
    yield Finding(
        status="fail" if status == "fail" else "warn",
        summary=f"umask is {mask:04o}: {why}",
        evidence=(Evidence(source="/proc/self/status", value=found[0]),),
        fix=Fix(text="set it in the shell's start-up file", commands=("umask 022",)),
    )


def _space(exam: Exam) -> Iterator[Finding]:
    there = {receipt.key for receipt in exam.receipts}
    pending = [part for part in exam.wanted if part.key not in there]
    wanted = max((part.disk_mb for part in pending), default=0)
    free = free_bytes(exam.home) >> 20
    names = ", ".join(part.name for part in pending)
    if free < wanted:
        yield _short("fail", exam.home, free, f"building {names} takes {wanted} MB")
    elif free < _LEAST_MB:
        yield _short("warn", exam.home, free, f"most builds need more than {_LEAST_MB} MB")
    else:
        yield Finding(status="ok", summary=f"{free >> 10} GB free for {exam.home}")
    temporary = Path(exam.host.real(_temporary(exam)))
    if temporary.is_dir() and (left := free_bytes(temporary) >> 20) < _LEAST_TEMPORARY_MB:
        yield _short("warn", temporary, left, "pip and proofs unpack there")


def _short(status: str, place: Path, free: int, why: str) -> Finding:
    return Finding(
        status="fail" if status == "fail" else "warn",
        summary=f"{free} MB free at {place}: {why}",
        evidence=(Evidence(source=str(place), value=f"{free} MB free"),),
        fix=Fix(text=f"free some space, {_ELSEWHERE}", commands=("devsetup gc",)),
    )


def _inodes(exam: Exam) -> Iterator[Finding]:
    place = _existing(exam.home)
    info = os.statvfs(place)
    # A file system that makes inodes as it needs them (btrfs) says that it has none at all.
    if info.f_files and info.f_favail < _LEAST_INODES:
        yield Finding(
            status="warn",
            summary=f"{info.f_favail} inodes free at {place}: an install with a Python environment takes 10,000",
            evidence=(Evidence(source=str(place), value=f"{info.f_favail} of {info.f_files} inodes free"),),
            fix=Fix(text=f"remove many small files there, {_ELSEWHERE}", commands=("devsetup gc",)),
        )


def _case(exam: Exam) -> Iterator[Finding]:
    place = _existing(exam.home)
    named = next((each for each in (place, *place.parents) if each.name.swapcase() != each.name), None)
    if named is None:
        return
    other = named.with_name(named.name.swapcase())
    try:
        same = os.path.samestat(named.lstat(), other.lstat())
    except OSError:
        return
    if same:
        yield Finding(
            status="info",
            summary=f"{named} and {other.name} are the same: the disk does not tell upper from lower case, and source "
            "trees with two names that differ only in that cannot be unpacked",
            evidence=(Evidence(source=str(other), value=f"the same directory as {named}"),),
        )


CHECKS: tuple[Check, ...] = (
    Check(id="perm.prefix", about="a home for installs that cannot be written", run=_prefix),
    Check(id="perm.owner", about="files in the home that belong to another user", run=_owner),
    Check(id="perm.noexec", about="a home on a file system that runs no programs", run=_noexec, only="linux"),
    Check(id="perm.tmp", about="a directory for temporary files that is missing, write-protected or noexec", run=_tmp),
    Check(id="perm.umask", about="a umask that lets everybody write, or its owner not read", run=_umask, only="linux"),
    Check(id="disk.space", about="less room than the build takes", run=_space),
    Check(id="disk.inodes", about="a file system that runs out of inodes", run=_inodes),
    Check(id="disk.case", about="a file system that does not tell upper from lower case", run=_case),
)

"""Places: constructed homes, and really mounted file systems where this machine lets us mount."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from doctor_goals import wanting
from doctor_installs import exam_of
from doctoring import Couch, check, only
from homes import HOST, make_receipt, mounted, python

from devsetup.doctor import Exam

ME = os.geteuid()


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    made = Couch(tmp_path / "root")
    (made.root / "tmp").mkdir()
    (made.root / "home/user").mkdir(parents=True)
    return made


def look(couch: Couch, **environ: str) -> Exam:
    return couch.exam(uid=ME, groups=tuple(os.getgroups()), **environ)


def test_a_home_that_can_be_written(couch: Couch) -> None:
    exam = look(couch)
    found = only("perm.prefix", exam)
    assert (found.status, found.summary) == ("ok", f"installs go to {exam.home}")
    assert not exam.home.exists()


def test_a_home_that_cannot(couch: Couch) -> None:
    (couch.root / "home/user").chmod(0o755)
    stranger = couch.exam(uid=ME + 1, groups=(ME + 1,))
    found = only("perm.prefix", stranger)
    assert found.status == "fail"
    assert f"{couch.root}/home/user cannot be written (owner {ME}, mode 0755, we are {ME + 1})" in found.summary
    (couch.root / "home/user").chmod(0o775)
    group = (couch.root / "home/user").stat().st_gid
    assert only("perm.prefix", couch.exam(uid=ME + 1, groups=(group,))).status == "ok"
    (couch.root / "home/user").rmdir()
    (couch.root / "home/user").write_text("a file")
    assert "is no directory" in only("perm.prefix", look(couch)).summary


def test_another_owner(couch: Couch) -> None:
    exam = look(couch)
    exam.store.prepare("toy-1-00000000")
    assert check("perm.owner", msgspec.structs.replace(exam, uid=ME or 0)) == ()
    found = only("perm.owner", msgspec.structs.replace(exam, uid=ME + 1))
    assert found.status == "fail"
    assert f"belong to another user (id {ME})" in found.summary
    assert found.fix is not None
    assert found.fix.needs_root
    assert found.fix.commands == (f"sudo chown -R {ME + 1} {exam.home}",)


MOUNTS = "none / ext4 rw 0 0\nnone /tmp tmpfs rw,noexec,nosuid 0 0\nnone /home/my\\040disk ext4 rw,noexec 0 0\n"


def test_temporary_files(couch: Couch) -> None:
    assert check("perm.tmp", look(couch)) == ()
    couch.write("/proc/mounts", MOUNTS)
    found = only("perm.tmp", look(couch))
    assert (found.status, found.summary.partition(":")[0]) == ("warn", "/tmp is mounted noexec")
    (couch.root / "home/my disk").mkdir()
    assert only("perm.tmp", look(couch, TMPDIR="/home/my disk")).status == "warn"
    (couch.root / "home/my disks").mkdir()
    assert check("perm.tmp", look(couch, TMPDIR="/home/my disks")) == ()
    missing = only("perm.tmp", look(couch, TMPDIR="/nowhere"))
    assert missing.status == "fail"
    assert "/nowhere, where temporary files go, is no directory" in missing.summary
    (couch.root / "home/my disks").chmod(0o755)
    stranger = couch.exam(uid=ME + 1, TMPDIR="/home/my disks")
    assert "cannot be written" in only("perm.tmp", stranger).summary


def test_a_home_where_nothing_runs(couch: Couch) -> None:
    couch.write("/proc/mounts", MOUNTS)
    assert check("perm.noexec", look(couch)) == ()
    couch.write("/proc/mounts", MOUNTS + "none /home ext4 rw,noexec 0 0\n")
    assert only("perm.noexec", look(couch)).status == "fail"


@pytest.mark.parametrize(
    ("mask", "status"), [("0022", ""), ("0077", ""), ("0002", ""), ("0000", "warn"), ("0020", "warn"), ("0277", "fail")]
)
def test_umask(couch: Couch, mask: str, status: str) -> None:
    couch.write("/proc/self/status", f"Name:\tsh\nUmask:\t{mask}\nState:\tR\n")
    found = check("perm.umask", look(couch))
    assert [result.status for result in found] == ([status] if status else [])
    if found:
        assert f"umask is {mask}" in found[0].summary


def test_umask_of_this_process(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert only("perm.umask", exam_of(tmp_path)).status == "warn"
    finally:
        os.umask(before)


def test_room_for_what_is_asked_about(couch: Couch) -> None:
    assert re.fullmatch(r"\d+ GB free for .*", only("disk.space", look(couch)).summary)
    goals = wanting(HOST, disk_mb=10**9)
    exam = msgspec.structs.replace(look(couch), goals=goals)
    found = only("disk.space", exam)
    assert found.status == "fail"
    assert "building toy takes 1000000000 MB" in found.summary
    assert goals[0].plan is not None
    part = goals[0].plan.parts[0]
    there = make_receipt(part=part, key=part.key)
    assert only("disk.space", msgspec.structs.replace(exam, receipts=(there,))).status == "ok"


SEEN = """
import os
from doctor_installs import exam_of
from doctoring import check
exam = exam_of(home / "disk" / "devsetup")
for result in check({name!r}, exam): print(result.status, result.summary)
"""


def seen(tmp_path: Path, name: str, mount: str) -> Any:
    (tmp_path / "disk").mkdir()
    done = python(tmp_path, SEEN.format(name=name), *mounted(tmp_path, mount))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_small_disk(tmp_path: Path) -> None:
    said = seen(tmp_path, "disk.space", 'mount -t tmpfs -o size=64m none "$home/disk"')
    assert said == f"warn 64 MB free at {tmp_path}/disk/devsetup: most builds need more than 1024 MB\n"


def test_a_disk_without_inodes(tmp_path: Path) -> None:
    said = seen(tmp_path, "disk.inodes", 'mount -t tmpfs -o nr_inodes=1000 none "$home/disk"')
    assert said.startswith(f"warn 999 inodes free at {tmp_path}/disk: ")
    assert check("disk.inodes", exam_of(tmp_path)) == ()


def test_a_disk_that_does_not_tell_cases_apart(tmp_path: Path) -> None:
    """Two names of one directory, as such a disk has them, by mounting it twice."""
    said = seen(tmp_path, "disk.case", 'mkdir -p "$home/DISK"; mount --bind "$home/disk" "$home/DISK"')
    assert said.startswith(f"info {tmp_path}/disk and DISK are the same")
    assert check("disk.case", exam_of(tmp_path)) == ()

"""Honest archives, limits, and what is left after a failure."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from test_archive_hostile import (
    checksummed,
    file,
    folder,
    hard,
    info,
    link,
    tar,
    with_pax,
    written,
    zipped,
)

from devsetup.errors import SourceError, StateError
from devsetup.fetch import extract, files, members
from devsetup.fetch.archive import _write_file, common_top
from devsetup.fetch.members import Entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return tmp_path / "source.archive"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "box" / "tree"


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, bz2.compress, lzma.compress])
def test_honest_tar(archive: Path, into: Path, pack: Callable[[bytes], bytes]) -> None:
    data = tar(
        with_pax({"comment": "0123456789abcdef"}, b"", b"g"),  # as git archive begins
        folder("top"),
        folder("top/lib", mtime=500_000_000),
        file("top/lib/a.c", b"int a;\n", mtime=123_456_789),
        file("./top//run.sh", b"#!/bin/sh\n", mode=0o6711, uid=12345, gid=12345),
        file("top/noparent/deep/b", b"", mode=0),
        file("top/world", b"w", mode=0o666),
        link("top/l", "lib/a.c"),
        link("top/lib/up", "../run.sh"),
        link("top/dangling", "nowhere/at/all"),
        link("top/here", "."),
        hard("top/h", "top/lib/a.c"),
        hard("top/h2", "top/h"),
        file("top/" + "long" * 50, b"long name"),
        file("top/b\udce9", b"not UTF-8"),
        folder("top/lib"),
    )
    extract(written(archive, pack(data)), into, strip=1)
    assert (into / "lib/a.c").read_bytes() == b"int a;\n"
    assert (into / "lib/a.c").stat().st_mtime == 123_456_789
    assert (into / "run.sh").stat().st_mode == stat.S_IFREG | 0o755
    assert (into / "noparent/deep/b").stat().st_mode == stat.S_IFREG | 0o644
    assert (into / "world").stat().st_mode == stat.S_IFREG | 0o644
    assert (into / "lib").stat().st_mode == stat.S_IFDIR | 0o755
    assert into.stat().st_mode == stat.S_IFDIR | 0o755
    assert (into / "run.sh").stat().st_uid == os.getuid()
    assert str((into / "l").readlink()) == "lib/a.c"
    assert (into / "lib/up").read_bytes() == b"#!/bin/sh\n"
    assert str((into / "dangling").readlink()) == "nowhere/at/all"
    assert (into / "h").samefile(into / "lib/a.c")
    assert (into / "h2").samefile(into / "lib/a.c")
    assert (into / ("long" * 50)).read_bytes() == b"long name"
    assert (into / "b\udce9").read_bytes() == b"not UTF-8"
    assert [entry.name for entry in into.parent.iterdir()] == ["tree"]


def test_times_of_directories_survive_their_files(archive: Path, into: Path) -> None:
    extract(written(archive, tar(folder("d", mtime=500_000_000), file("d/a"), link("d/b", "a"))), into, strip=0)
    assert (into / "d").stat().st_mtime == 500_000_000


def test_absurd_times(archive: Path, into: Path) -> None:
    records = [with_pax({"mtime": "-5.5"}, file("a")), with_pax({"mtime": "1e300"}, file("b"))]
    extract(written(archive, tar(*records)), into, strip=0)
    assert (into / "a").stat().st_mtime == 0
    assert (into / "b").stat().st_mtime > 1e9


def test_sparse_file(archive: Path, into: Path) -> None:
    header = bytearray(info("hole", tarfile.GNUTYPE_SPARSE, size=512).tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    header[386:410] = b"%011o\0%011o\0" % (1024, 512)  # 512 bytes at offset 1024
    header[483:495] = b"%011o\0" % 1536
    extract(written(archive, tar(checksummed(header) + b"d" * 512)), into, strip=0)
    assert (into / "hole").read_bytes() == bytes(1024) + b"d" * 512


def test_honest_zip(archive: Path, into: Path) -> None:
    data = zipped(
        ("top/", b"", stat.S_IFDIR | 0o777),
        ("top/a.c", b"int a;\n" * 1000),
        ("top/run.sh", b"#!/bin/sh\n", stat.S_IFREG | 0o4755),
        ("top/l", b"a.c", stat.S_IFLNK | 0o777),
        ("top/plain", b"p", 0),
    )
    extract(written(archive, data), into, strip=1)
    assert (into / "a.c").read_bytes() == b"int a;\n" * 1000
    assert (into / "run.sh").stat().st_mode == stat.S_IFREG | 0o755
    assert (into / "plain").stat().st_mode == stat.S_IFREG | 0o644
    assert str((into / "l").readlink()) == "a.c"
    assert (into / "a.c").stat().st_mtime == 1580608922
    assert [entry.name for entry in into.parent.iterdir()] == ["tree"]


def test_zip_from_windows_states_no_modes(archive: Path, into: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo("a")
        entry.create_system, entry.external_attr = 0, 0o120777 << 16
        made.writestr(entry, b"../evil")
    extract(written(archive, buffer.getvalue()), into, strip=0)
    assert (into / "a").read_bytes() == b"../evil"
    assert not (into / "a").is_symlink()


@pytest.mark.parametrize("what", ["directory", "file", "dangling link"])
def test_into_exists(archive: Path, into: Path, what: str) -> None:
    {"directory": into.mkdir, "file": into.touch, "dangling link": lambda: into.symlink_to("nowhere")}[what]()
    with pytest.raises(SourceError, match="exists"):
        extract(written(archive, tar(file("a"))), into, strip=0)
    assert not (into / "a").exists()


def test_no_such_archive(archive: Path, into: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*source\.archive: No such file"):
        extract(archive, into, strip=0)


def test_parents_of_into_are_created(archive: Path, into: Path) -> None:
    extract(written(archive, tar(file("a"))), into / "x" / "y", strip=0)
    assert (into / "x" / "y" / "a").exists()


def test_a_full_disk_leaves_nothing(archive: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(StateError, match=r"cannot write .*a after 0 bytes: No space left on device"):
        extract(written(archive, tar(file("a"))), into, strip=0)
    assert list(into.parent.iterdir()) == []


def test_an_interrupt_leaves_nothing(archive: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract(written(archive, tar(file("a"))), into, strip=0)
    assert list(into.parent.iterdir()) == []


def test_nothing_is_written_before_all_is_judged(archive: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devsetup.fetch.archive._write", lambda *_: pytest.fail("wrote"))
    with pytest.raises(SourceError):
        extract(written(archive, tar(file("a"), file("b"), file("../c"))), into, strip=0)


def test_case_collision_on_a_file_system_that_minds(tmp_path: Path) -> None:
    """Where A and a are one file, creating the second finds the first."""
    (tmp_path / "a").write_bytes(b"first")
    with pytest.raises(SourceError, match="'A' collides"):
        _write_file(io.BytesIO(b"second"), tmp_path / "a", Entry(index=0, name="A", kind="file", size=6), "source.tar")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_member_limit(monkeypatch: pytest.MonkeyPatch, archive: Path, into: Path) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 5)
    extract(written(archive, tar(*[file(f"{n}") for n in range(5)])), into, strip=0)
    with pytest.raises(SourceError, match="more than 5 members"):
        extract(written(archive, tar(*[file(f"{n}") for n in range(6)])), into.with_name("more"), strip=0)


def test_room() -> None:
    assert members.room_for(10) == 64 << 20
    assert members.room_for(10 << 20) == 2000 << 20
    assert members.room_for(1 << 30) == 4 << 30


@pytest.mark.parametrize(
    ("data", "strip"),
    [
        (tar(file("top/a"), file("top/b")), 1),
        (tar(folder("top"), file("./top/a")), 1),
        (tar(file("a"), file("b")), 0),
        (tar(file("top/a"), file("b")), 0),
        (tar(file("top/a"), folder("other")), 0),
        (tar(file("only")), 0),
        (tar(folder("only")), 0),
        (zipped(("top/a", b"x"), ("top/b/c", b"x")), 1),
    ],
)
def test_common_top(archive: Path, data: bytes, strip: int) -> None:
    assert common_top(written(archive, data)) == strip


def test_error_text_shows_no_raw_bytes_of_a_name(archive: Path, into: Path) -> None:
    with pytest.raises(SourceError) as caught:
        extract(written(archive, tar(file("a\x1b]0;evil\x07" + "é" * 300))), into, strip=0)
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 2000

"""Extracting a source archive: all of it, inside its directory, or nothing."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Protocol

from devsetup.errors import SourceError
from devsetup.fetch.files import CHUNK, new_directory, write_all, writing
from devsetup.fetch.members import Entry, Placed, components, place, room_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC_BYTES = 6
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = b"PK"
# Times outside 1970 to 2242 are cut to that: file systems differ in what they keep beyond.
_LATEST_MTIME = 1 << 33
_TEXT_BYTES = 4 << 20


class _Archive(Protocol):
    def entries(self) -> Iterator[Entry]: ...

    def content(self, entry: Entry) -> IO[bytes]: ...


def extract(archive: Path, into: Path, *, strip: int) -> None:
    """Extract an archive into a new directory.

    All members are judged before the first byte is written (see `members`), files are written in a directory beside
    `into`, and that is renamed at the end, so a failure leaves nothing. Modes become 0644 or 0755; owners, setuid bits
    and device nodes are not restored; times are kept.

    Args:
        archive: tar (plain, gzip, bzip2, xz) or zip, recognised by content.
        into: must not exist; its parents are created.
        strip: how many leading components all members carry.

    Raises:
        SourceError: unreadable, damaged, unsafe, too large or empty, or `into` exists; it names the archive, the member
            and the reason.
        StateError: the disk is full or not ours to write.
    """
    with _opened(archive) as opened:
        placed = place(opened.entries(), archive=archive.name, strip=strip, room=room_for(archive.stat().st_size))
        with new_directory(into) as root:
            _write(opened, placed, root, archive.name)


def common_top(archive: Path) -> int:
    """How many leading components to strip: 1 when everything lies under one top-level directory, else 0.

    Raises:
        SourceError: as `extract` would.
    """
    with _opened(archive) as opened:
        placed = place(opened.entries(), archive=archive.name, strip=0, room=room_for(archive.stat().st_size))
    tops = {item.path[0] for item in placed}
    deeper = any(len(item.path) > 1 for item in placed)
    shallow = any(len(item.path) == 1 and item.entry.kind != "directory" for item in placed)
    return 1 if len(tops) == 1 and deeper and not shallow else 0


def member_text(archive: Path, name: str, strip: int) -> str | None:
    """The text of one file of an archive, without extracting anything; None when there is no such file.

    Args:
        archive: as for `extract`.
        name: relative to the tree, after stripping.
        strip: as for `extract`.

    Returns:
        At most its first 4 MiB; bytes that are not UTF-8 are replaced.

    Raises:
        SourceError: the archive cannot be read as far as that.
    """
    with _opened(archive) as opened:
        for entry in opened.entries():
            if entry.kind == "file" and components(entry.name)[strip:] == components(name):
                with opened.content(entry) as content:
                    return content.read(_TEXT_BYTES).decode("utf-8", "replace")
    return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    """Open an archive by its first bytes."""
    try:
        with path.open("rb") as file:
            magic = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if not magic:
        raise SourceError(f"{path.name}: is an empty file")
    if magic.startswith(_ZSTD):
        raise SourceError(
            f"{path.name}: is compressed with zstd, which is not supported",
            f"recompress it: zstd -dc {path.name} | xz > {path.stem}.xz",
        )
    if magic.startswith(_ZIP):
        from devsetup.fetch.zipball import opened_zip  # noqa: PLC0415 - 10 ms that only zip archives need

        with opened_zip(path) as archive:
            yield archive
    else:
        from devsetup.fetch.tarball import opened_tar  # noqa: PLC0415 - 15 ms that only unpacking needs

        with opened_tar(path, magic, room_for(path.stat().st_size)) as tarball:
            yield tarball


def _write(archive: _Archive, placed: list[Placed], root: Path, name: str) -> None:
    """Write the members: files, then what links to them, then the directories' times."""
    made = {root}
    for item in placed:
        path = root.joinpath(*item.path)
        directory = path if item.entry.kind == "directory" else path.parent
        if directory not in made:
            with writing(directory):
                directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            made.add(directory)
        if item.entry.kind == "file":
            with archive.content(item.entry) as content:
                _write_file(content, path, item.entry, name)
    for item in placed:
        path = root.joinpath(*item.path)
        with writing(path):
            if item.entry.kind == "hardlink":
                os.link(root.joinpath(*item.source), path, follow_symlinks=False)
    for item in placed:
        path = root.joinpath(*item.path)
        with writing(path):
            if item.entry.kind == "symlink":
                path.symlink_to(item.entry.target)
    for item in reversed(placed):
        if item.entry.kind == "directory":
            path = root.joinpath(*item.path)
            with writing(path):
                path.chmod(0o755)
                os.utime(path, _times(item.entry))


def _write_file(content: IO[bytes], path: Path, entry: Entry, archive: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with writing(path):
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError as error:
            raise SourceError(
                f"{archive}: member {entry.name!a} collides with another one on this file system"
            ) from error
    try:
        done = 0
        while chunk := content.read(CHUNK):
            write_all(descriptor, chunk, path, done)
            done += len(chunk)
        if done != entry.size:
            raise SourceError(f"{archive}: member {entry.name!a} has {done} bytes, not {entry.size}")
        with writing(path):
            os.fchmod(descriptor, 0o755 if entry.executable else 0o644)
            os.utime(descriptor, _times(entry))
    finally:
        os.close(descriptor)


def _times(entry: Entry) -> tuple[float, float]:
    mtime = min(max(entry.mtime, 0.0), _LATEST_MTIME)
    return (mtime, mtime)

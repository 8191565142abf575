"""Reading tar archives: plain, gzip, bzip2 or xz.

Python's tarfile parses the headers; it is never asked to extract. It stops without a word at a damaged header and does
not read a compressed stream to its checksum, so both are checked here.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zlib
from typing import IO, TYPE_CHECKING

from devsetup.errors import SourceError
from devsetup.fetch.files import CHUNK
from devsetup.fetch.members import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Headers are read whole into memory; an honest one (a long name, pax records) is a few kilobytes.
_MAX_HEADER_BYTES = CHUNK
# What the decompressors and tarfile raise on bad input (writing has its own errors, so an OSError is a reader's).
_DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zlib.error,
)


class _Bounded(io.RawIOBase):
    """A decompressed stream that refuses to be read beyond `room` bytes, or in absurdly large pieces."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, room: int) -> None:
        super().__init__()
        self._stream = stream
        self._room = room

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position < 0:
            raise tarfile.ReadError("a member of negative size")
        if position > self._room:
            raise tarfile.ReadError(f"it unpacks to more than {self._room} bytes")


@contextlib.contextmanager
def opened_tar(path: Path, magic: bytes, room: int) -> Iterator[Tarball]:
    """Open a tar archive.

    Args:
        path: the file.
        magic: its first six bytes.
        room: how many bytes it may unpack to.

    Raises:
        SourceError: reading it fails, now or while the archive is in use.
    """
    try:
        with _decompressed(path, magic) as stream:
            yield Tarball(stream, room, path.name)
    except _DAMAGE as error:
        raise SourceError(f"{path.name}: is not a complete tar or zip archive: {error}") from error


def _decompressed(path: Path, magic: bytes) -> IO[bytes] | gzip.GzipFile:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    if magic.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(path, "rb", format=lzma.FORMAT_XZ)
    return path.open("rb")


class Tarball:
    """An open tar archive."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, room: int, name: str) -> None:
        self._name = name
        # A tar holds up to a block of header and padding for each small file; the bytes of content are counted apart.
        self._stream = _Bounded(stream, 2 * room)
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="r", encoding="utf-8", errors="surrogateescape")
        self._infos: list[tarfile.TarInfo] = []

    def entries(self) -> Iterator[Entry]:
        """Its members, in order; at the end the archive is known to be complete and its checksum right.

        Raises:
            SourceError: it is cut short or damaged.
        """
        for info in self._tar:
            self._infos.append(info)
            yield Entry(
                index=len(self._infos) - 1,
                name=info.name,
                kind=_kind(info),
                size=info.size if info.isreg() else 0,
                executable=bool(info.mode & 0o111),
                mtime=float(info.mtime),
                target=info.linkname if info.issym() or info.islnk() else "",
            )
        self._check_end()

    def content(self, entry: Entry) -> IO[bytes]:
        """A file's bytes. Read members in order: a compressed stream only goes forward cheaply."""
        content = self._tar.extractfile(self._infos[entry.index])
        assert content is not None  # noqa: S101 - only links and directories have none, and those are not asked for
        return content

    def _check_end(self) -> None:
        self._stream.seek(self._tar.offset)
        if self._stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            after = f"after {self._infos[-1].name!a}" if self._infos else "at its start"
            raise SourceError(f"{self._name}: is cut short or damaged {after}")
        while self._stream.read(CHUNK):
            pass


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.isreg():
        return "file"
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    return "hardlink" if info.islnk() else "special"

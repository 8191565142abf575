"""Reading zip archives by their central directory.

Python's zipfile rewrites unsafe names without a word (it cuts at NUL and drops `..` when extracting) and turns links
into files, so names are judged as they are stored.
"""

from __future__ import annotations

import calendar
import contextlib
import lzma
import stat
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from devsetup.errors import SourceError
from devsetup.fetch.members import Entry, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ENCRYPTED = 0x1
_UNIX = 3
_MAX_TARGET_BYTES = 4096


# What zipfile and the decompressors raise on bad input; NotImplementedError is an unknown compression.
_DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def opened_zip(path: Path) -> Iterator[Zipball]:
    """Open a zip archive.

    Raises:
        SourceError: reading it fails, now or while the archive is in use.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Zipball(archive, path.name)
    except _DAMAGE as error:
        raise SourceError(f"{path.name}: is not a complete zip archive: {error}") from error


class Zipball:
    """An open zip archive."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._zip = archive
        self._name = name
        self._infos = archive.infolist()

    def entries(self) -> Iterator[Entry]:
        """Its members, in order.

        Raises:
            SourceError: one is encrypted, or a link's target is too long.
        """
        for index, info in enumerate(self._infos):
            if info.flag_bits & _ENCRYPTED:
                raise SourceError(f"{self._name}: member {info.orig_filename!a} is encrypted")
            mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
            kind: Kind = "directory" if info.orig_filename.endswith("/") else kind_of(mode)
            yield Entry(
                index=index,
                name=info.orig_filename,
                kind=kind,
                size=0 if kind == "directory" else info.file_size,
                executable=bool(mode & stat.S_IXUSR),
                mtime=float(calendar.timegm((*info.date_time, 0, 0, 0))),
                target=self._target(info) if kind == "symlink" else "",
            )

    def content(self, entry: Entry) -> IO[bytes]:
        """A file's bytes; reading them to the end checks their CRC."""
        return self._zip.open(self._infos[entry.index])

    def _target(self, info: zipfile.ZipInfo) -> str:
        if info.file_size > _MAX_TARGET_BYTES:
            raise SourceError(
                f"{self._name}: member {info.orig_filename!a} is a link whose target has {info.file_size} bytes"
            )
        return self._zip.read(info).decode("utf-8", "surrogateescape")

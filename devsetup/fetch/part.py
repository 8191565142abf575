"""The `.part` file: an unfinished download that a later run can go on with.

Two processes that want the same file do not disturb each other: the `.part` is held with flock, and whoever finds it
held (or is on a file system without locks) works in a file of its own name instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.fetch.files import publish, sha256_file, write_all, writing

if TYPE_CHECKING:
    from collections.abc import Iterator


class Part:
    """An open, unfinished file that only this process writes to.

    Attributes:
        path: where it is.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """Add to its end.

        Raises:
            StateError: no space, or the disk refuses.
        """
        write_all(self._descriptor, data, self.path, os.lseek(self._descriptor, 0, os.SEEK_END))

    def restart(self) -> None:
        """Drop all its bytes."""
        with writing(self.path):
            os.ftruncate(self._descriptor, 0)

    def discard(self) -> None:
        """Remove it."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def sha256(self) -> str:
        """The sha256 of what is on disk, so that a bad write shows too."""
        return sha256_file(self.path)

    def publish(self, final: Path) -> None:
        """Make it durable and give it its final name."""
        publish(self._descriptor, self.path, final)


@contextlib.contextmanager
def claimed(final: Path) -> Iterator[Part]:
    """The part of a file, for this process alone.

    On leaving, a `.part` with bytes in it stays for the next run; a file of our own name is removed.

    Raises:
        StateError: nothing can be created there.
    """
    shared = final.with_name(f"{final.name}.part")
    with writing(shared):
        descriptor = _locked(shared)
    if descriptor is not None:
        part = Part(descriptor, shared)
        try:
            yield part
        finally:
            if not part.size:
                part.discard()
            os.close(descriptor)
        return
    with writing(final):
        descriptor, name = tempfile.mkstemp(prefix=f"{final.name}.", suffix=".part", dir=final.parent)
    part = Part(descriptor, Path(name))
    try:
        os.fchmod(descriptor, 0o644)
        yield part
    finally:
        part.discard()
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock on the file of that name, or None when another process does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between our open and our lock its holder may have renamed it: then we hold the finished file, not a part.
        ours = os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        ours = False
    if ours:
        return descriptor
    os.close(descriptor)
    return None

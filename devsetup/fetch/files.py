"""Files on disk: hashing them, and putting a verified one in its place so that a crash cannot leave half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.errors import SourceError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal.

    Raises:
        SourceError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


@contextlib.contextmanager
def writing(path: Path, *, done: int | None = None) -> Iterator[None]:
    """Turn a failed write into a sentence.

    Args:
        path: what is being written.
        done: bytes of it that are written already, when the caller counts them.

    Raises:
        StateError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        reached = f" after {done} bytes" if done is not None else ""
        raise StateError(f"cannot write {path}{reached}: {error.strerror}", _advice(error)) from error


def _advice(error: OSError) -> str | None:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free some space there, or choose another place with --home DIR"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "choose a place that you may write to with --home DIR"
    return None


def make_directory(path: Path) -> None:
    """Create a directory and its parents.

    Raises:
        StateError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def new_directory(into: Path) -> Iterator[Path]:
    """A directory to fill, which becomes `into` when all went well, and vanishes when not.

    Raises:
        SourceError: `into` exists.
        StateError: it cannot be created.
    """
    if into.exists() or into.is_symlink():
        raise SourceError(f"{into} exists; sources are unpacked into a new directory only", f"remove {into}")
    make_directory(into.parent)
    with writing(into):
        root = Path(tempfile.mkdtemp(prefix=f".{into.name}.", dir=into.parent))
    try:
        yield root
        with writing(into):
            root.chmod(0o755)
            root.rename(into)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def write_all(descriptor: int, data: bytes, path: Path, done: int) -> None:
    """Write all of `data` to an open file.

    Raises:
        StateError: no space, or the disk refuses; it names `path` and the bytes written, counting from `done`.
    """
    left = memoryview(data)
    while left:
        with writing(path, done=done):
            count = os.write(descriptor, left)
        done += count
        left = left[count:]


def publish(descriptor: int, written: Path, final: Path) -> None:
    """Give a finished file its final name, durably: its bytes first, then the name.

    Args:
        descriptor: of the open file.
        written: its present path, in the same directory as `final`.
        final: replaced if it exists.

    Raises:
        StateError: the disk refuses.
    """
    with writing(final):
        os.fsync(descriptor)
        written.replace(final)
        sync_directory(final.parent)


def adopt(found: Path, final: Path) -> None:
    """Copy a verified file to its final name, durably.

    Args:
        found: the file; apt leaves a mere link when its archive is a local directory.
        final: its directory exists; replaced if it does.

    Raises:
        StateError: the disk is full or not ours to write.
    """
    with writing(final):
        descriptor, name = tempfile.mkstemp(prefix=f"{final.name}.", suffix=".part", dir=final.parent)
    try:
        with found.open("rb") as file:
            done = 0
            while chunk := file.read(CHUNK):
                write_all(descriptor, chunk, final, done)
                done += len(chunk)
        with writing(final):
            os.fchmod(descriptor, 0o644)
        publish(descriptor, Path(name), final)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Locks between processes: `flock` by filelock, which the kernel releases when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from devsetup.receipts import make_dirs, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import BaseFileLock

_POLL_S = 0.1


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, waiting for it as long as it takes; Ctrl-C ends the wait.

    Args:
        path: the lock file. It is never removed, since a waiter may have it open already.
        on_wait: called once, with words for the holder, when there is one.

    Raises:
        StateError: the file cannot be made, or this file system has no locks.
    """
    lock = _prepared(path)
    owner = _owner(path)
    if not _attempt(lock, path):
        on_wait(owner)
        with told("lock", path):
            lock.acquire(poll_interval=_POLL_S)
    try:
        _sign(path)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def attempted(path: Path) -> Iterator[bool]:
    """Hold a lock if it is free; yields whether it was.

    Raises:
        StateError: see `locked`.
    """
    lock = _prepared(path)
    if not _attempt(lock, path):
        yield False
        return
    try:
        _sign(path)
        yield True
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock. Creates nothing.

    Raises:
        OSError: this file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _prepared(path: Path) -> BaseFileLock:
    from filelock import FileLock  # noqa: PLC0415 - only commands that change the store pay for it

    with told("lock", path):
        make_dirs(path.parent)
        path.touch()
        is_held(path)  # a file system without locks: filelock 3 would wait forever, 4 would pretend
    return FileLock(str(path))


def _attempt(lock: BaseFileLock, path: Path) -> bool:
    from filelock import Timeout  # noqa: PLC0415 - see _prepared

    with told("lock", path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
    return True


def _owner(path: Path) -> str:
    """Read before any attempt, because filelock 3 empties the file at each."""
    with told("read", path):
        text = path.read_text(encoding="ascii", errors="replace").strip()
    return f"process {text}" if text else "another process"


def _sign(path: Path) -> None:
    with contextlib.suppress(OSError):  # a courtesy to those who wait; a full disk shows itself soon enough
        path.write_text(f"{os.getpid()}\n", encoding="ascii")

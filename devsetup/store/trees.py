"""Whole trees: measure, remove, make durable. Symbolic links are never followed, and depth does not matter."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.receipts import told

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a directory, with its `lstat`; what cannot be read or just vanished is left out."""
    waiting = [str(path)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                with contextlib.suppress(FileNotFoundError):
                    yield entry.path, entry.stat(follow_symlinks=False)


def directories(path: Path) -> list[Path]:
    """The directories right below one, sorted; none when it does not exist."""
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def disk_usage(path: Path) -> int:
    """Bytes that the contents of a directory take on disk, hard links once; what cannot be read counts nothing."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for _, info in walk(path):
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
        total += info.st_blocks * 512
    return total


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, or a single file; nothing there is fine.

    Each subdirectory moves up to the top before it is emptied, so that neither recursion, nor the length of paths, nor
    open files set a limit. Directories that are not writable are made so; symbolic links are unlinked.

    Raises:
        StateError: the operating system refuses.
    """
    with told("remove", path):
        try:
            is_directory = stat.S_ISDIR(path.lstat().st_mode)
        except FileNotFoundError:
            return
        if not is_directory:
            path.unlink()
            return
        _open_up(path)
        with _opened(path) as top:
            _empty(top)
        path.rmdir()


def _empty(top: int) -> None:
    waiting = _subdirectories(top)
    taken = set(waiting)
    fresh = (name for name in map(".{}".format, itertools.count()) if name not in taken)
    while waiting:
        name = waiting.pop()
        with _opened(name, top) as directory:
            for child in _subdirectories(directory):
                waiting.append(next(fresh))
                os.rename(child, waiting[-1], src_dir_fd=directory, dst_dir_fd=top)
        os.rmdir(name, dir_fd=top)


def _subdirectories(directory: int) -> list[str]:
    """Unlink the files of a directory and open up its subdirectories, which are what is left."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            _open_up(name, directory)
        else:
            os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in found if is_directory]


def _open_up(name: Path | str, parent: int | None = None) -> None:
    with contextlib.suppress(PermissionError):  # not ours; the removal itself will say so
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)


@contextlib.contextmanager
def _opened(name: Path | str, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_file_system(path: Path) -> None:
    """Write out all that is dirty on a directory's file system: one call, however many files an install has.

    Measured for 1000 files of 4 KB: 36 ms, against 286 ms for an fsync of each.

    Raises:
        OSError: the disk refused to take it.
    """
    try:
        import ctypes  # noqa: PLC0415 - needed once per install

        libc = ctypes.CDLL(None, use_errno=True)
        syncfs = libc.syncfs
    except (ImportError, AttributeError):  # a Python without ctypes; a libc without syncfs (macOS)
        os.sync()
        return
    with _opened(path) as directory:
        if syncfs(directory) == 0:
            return
        code = ctypes.get_errno()
    if code != errno.ENOSYS:
        raise OSError(code, os.strerror(code), str(path))
    os.sync()

"""Changing several files of a tree: all of them, or none, whatever happens in between.

`.devsetup/journal/` in the tree holds, for each file, what it was (`N.old`) and what it becomes (`N.new`), all of it on
disk before the first file changes, and `journal.json`, which says what goes where. Then each new file is renamed over
its old one. Removing `journal.json` is the moment at which the change counts. As long as it is there, the change can be
taken back: at once when something fails, and otherwise (kill -9, power loss) by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput, Refused, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OWN = ".devsetup"
_JOURNAL = f"{OWN}/journal"
_STEPS = "journal.json"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of the tree becomes.

    Attributes:
        path: relative to the tree; no part of it is a symbolic link (see `obstacle`).
        data: the whole new content; None deletes the file.
        mode: permission bits of a file that is new; one that was there keeps its own.
    """

    path: str
    data: bytes | None
    mode: int = 0o644


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    before: str  # sha256, empty when the file was not there
    after: str  # sha256, empty when it is deleted


class _Journal(msgspec.Struct, frozen=True, kw_only=True):
    schema: int = 1
    steps: tuple[_Step, ...]
    made: tuple[str, ...]


def obstacle(tree: Path, path: str) -> str:
    """Why a path of the tree must not be read or written, as a phrase; empty when it may be.

    A link is never followed: whether it leads out of the tree or to another name of the same file, what was meant is
    not what would be changed.
    """
    here = tree
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return f"{path} is outside the tree"
    for number, part in enumerate(parts, 1):
        here = here / part
        name = "/".join(parts[:number])
        try:
            mode = here.lstat().st_mode
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if stat.S_ISLNK(mode):
            # realpath, since Path.resolve raises on links that lead to themselves.
            inside = Path(os.path.realpath(here)).is_relative_to(os.path.realpath(tree))
            return f"{name} is a symbolic link" + ("" if inside else " that leads outside the tree")
        if number < len(parts) and not stat.S_ISDIR(mode):
            return f"{name} is not a directory"
        if number == len(parts) and not stat.S_ISREG(mode):
            return f"{name} is not a regular file"
    return ""


def read(tree: Path, path: str) -> bytes | None:
    """A file of the tree; None when it is not there.

    Raises:
        Refused: see `obstacle`.
        StateError: it cannot be read.
    """
    why = obstacle(tree, path)
    if why:
        raise Refused(f"{tree}: {why}")
    try:
        return (tree / path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"cannot read {tree / path}: {error.strerror}", "check its owner and permissions") from error


def missing_parents(tree: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """The directories that writing these paths has to make, parents first."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for number in range(1, len(parts) + 1):
            name = "/".join(parts[:number])
            if not (tree / name).exists():
                found[name] = None
    return tuple(found)


@contextlib.contextmanager
def locked(tree: Path) -> Iterator[None]:
    """Keep other devsetups away from a tree, by a lock that leaves nothing behind.

    Raises:
        Refused: another process is at work there.
        StateError: the tree cannot be opened.
    """
    try:
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"cannot open {tree}: {error.strerror}", "check its owner and permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"another devsetup is at work on {tree}", "wait until it is done") from error
        except OSError as error:
            # NFS locks no directories; there, two runs at a time are the user's to avoid.
            if error.errno not in {errno.EBADF, errno.ENOLCK, errno.ENOTSUP}:
                raise
        yield
    finally:
        os.close(descriptor)


def interrupted(tree: Path) -> bool:
    """Whether an earlier change was cut short and has to be taken back."""
    return read(tree, f"{_JOURNAL}/{_STEPS}") is not None


def repair(tree: Path) -> None:
    """Take back a change that was cut short, and clear what it left. Without one, nothing is touched.

    Raises:
        Refused: a file was changed by someone else since; nothing is touched.
        InvalidInput: the journal is damaged.
        StateError: the disk refuses; the next run tries again.
    """
    text = read(tree, f"{_JOURNAL}/{_STEPS}")
    with _told(tree):
        if text is not None:
            try:
                journal = msgspec.json.decode(text, type=_Journal)
            except msgspec.MsgspecError as error:
                raise InvalidInput(
                    f"{tree / _JOURNAL / _STEPS} is damaged: {error}", "unpack the tree again, into a new directory"
                ) from error
            _check_untouched(tree, journal)
            _undo(tree, journal)
        if (tree / _JOURNAL).is_dir():
            _clear(tree)


def change(tree: Path, changes: Sequence[Change], *, unneeded: Sequence[str] = ()) -> None:
    """Make all changes, or none. The caller holds the lock and has called `repair`.

    Args:
        tree: the directory.
        changes: no path twice.
        unneeded: directories to remove if they are empty afterwards, relative to the tree.

    Raises:
        Refused: a path is, or leads through, a symbolic link or something else that is not a plain file.
        StateError: the disk is full or refuses; the tree is as it was before.
    """
    steps = tuple(
        _Step(path=each.path, before=_digest(read(tree, each.path)), after=_digest(each.data)) for each in changes
    )
    made = missing_parents(tree, [each.path for each in changes if each.data is not None])
    journal = _Journal(steps=steps, made=tuple(name for name in made if name != OWN))
    with _told(tree):
        try:
            _prepare(tree, changes, journal)
        except BaseException:
            _clear(tree)
            raise
        try:
            _carry_out(tree, journal, unneeded)
        except BaseException:
            _undo(tree, journal)
            _clear(tree)
            raise
        _clear(tree)


def _digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _told(tree: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "free some space there" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "check owner and permissions"
        state = "an unfinished change remains, which the next run takes back" if _is_open(tree) else "nothing changed"
        raise StateError(
            f"cannot write {error.filename2 or error.filename or tree}: {error.strerror}; {state}", hint
        ) from error


def _is_open(tree: Path) -> bool:
    return (tree / _JOURNAL / _STEPS).exists()


def _prepare(tree: Path, changes: Sequence[Change], journal: _Journal) -> None:
    """Everything that the change and its taking back need, on disk; the journal last, since it opens the change."""
    place = tree / _JOURNAL
    place.mkdir(mode=0o700, parents=True)
    for number, (each, step) in enumerate(zip(changes, journal.steps, strict=True)):
        path = tree / each.path
        if step.before:
            _write(place / f"{number}.old", path.read_bytes(), like=path)
        if each.data is not None:
            _write(place / f"{number}.new", each.data, like=path if step.before else None, mode=each.mode)
            os.utime(place / f"{number}.new")
    _write(place / "journal.part", msgspec.json.encode(journal))
    _sync(place)
    (place / "journal.part").rename(place / _STEPS)
    for directory in (place, place.parent, tree):
        _sync(directory)


def _write(path: Path, data: bytes, *, like: Path | None = None, mode: int = 0o600) -> None:
    """Write a file to disk, with another one's owner, mode, times and attributes."""
    with path.open("xb") as file:
        file.write(data)
        if like is not None:
            status = like.stat()
            with contextlib.suppress(OSError):  # only root gives files away, and not to everyone
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            shutil.copystat(like, path)
        else:
            path.chmod(mode)
        file.flush()
        os.fsync(file.fileno())


def _carry_out(tree: Path, journal: _Journal, unneeded: Sequence[str]) -> None:
    place = tree / _JOURNAL
    for name in journal.made:
        (tree / name).mkdir()
    for number, step in enumerate(journal.steps):
        if step.after:
            (place / f"{number}.new").rename(tree / step.path)
        elif step.before:
            (tree / step.path).unlink()
    touched = {(tree / step.path).parent for step in journal.steps} | {(tree / name).parent for name in journal.made}
    for directory in touched:
        _sync(directory)
    _remove_empty(tree, unneeded)
    (place / _STEPS).unlink()
    _sync(place)


def _undo(tree: Path, journal: _Journal) -> None:
    """Put every file back; may be cut short and called again."""
    place = tree / _JOURNAL
    for number, step in enumerate(journal.steps):
        path, old = tree / step.path, place / f"{number}.old"
        now = _digest(path.read_bytes()) if path.exists() else ""
        if now == step.before:
            continue
        if step.before:
            path.parent.mkdir(parents=True, exist_ok=True)
            old.rename(path)
        else:
            path.unlink()
    _remove_empty(tree, journal.made)
    for directory in {(tree / step.path).parent for step in journal.steps}:
        if directory.exists():
            _sync(directory)
    (place / _STEPS).unlink(missing_ok=True)
    _sync(place)


def _check_untouched(tree: Path, journal: _Journal) -> None:
    for number, step in enumerate(journal.steps):
        now = _digest(read(tree, step.path))
        kept = read(tree, f"{_JOURNAL}/{number}.old") if now != step.before else None
        if now not in {step.before, step.after} or (kept is not None and _digest(kept) != step.before):
            raise Refused(
                f"an earlier run on {tree} was cut short, and {step.path} has been changed since",
                f"what the files were is kept in {tree / _JOURNAL}; put them back, then remove that directory",
            )


def _remove_empty(tree: Path, names: Sequence[str]) -> None:
    for name in sorted(names, key=len, reverse=True):
        if obstacle(tree, f"{name}/inside"):
            continue
        with contextlib.suppress(OSError):  # somebody else's files are in it, or it is gone
            (tree / name).rmdir()


def _clear(tree: Path) -> None:
    """Remove the journal's directory, and our own if it holds nothing more."""
    shutil.rmtree(tree / _JOURNAL, ignore_errors=True)
    _remove_empty(tree, (OWN,))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

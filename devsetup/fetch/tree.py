"""Source trees: walking them in one fixed order, to copy or to hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import msgspec

from devsetup.errors import SourceError
from devsetup.fetch.files import new_directory, sha256_file, writing
from devsetup.fetch.members import Kind, kind_of

_IGNORED = ".git"


class _Found(msgspec.Struct, frozen=True):
    """A file, directory or link of a tree, by its path relative to the root."""

    name: str
    path: Path
    kind: Kind
    mode: int
    mtime_ns: int


def tree_digest(path: Path) -> str:
    """A sha256 over a tree: sorted relative names, kinds, execute bits, contents and link targets.

    `.git` is ignored at any depth; so are owners, times and the other mode bits. The digest of a copy is that of the
    original.

    Raises:
        SourceError: not a directory, unreadable, or it holds a socket, pipe or device.
    """
    digest = hashlib.sha256()
    for found in _walk(path):
        executable = found.kind == "file" and bool(found.mode & stat.S_IXUSR)
        content = {"file": sha256_file, "symlink": _target}.get(found.kind, lambda _: "")(found.path)
        for field in (found.name, found.kind, "x" if executable else "", content):
            data = field.encode("utf-8", "surrogateescape")
            digest.update(b"%d:%s" % (len(data), data))
    return digest.hexdigest()


def copy_tree(src: Path, into: Path) -> None:
    """Copy a tree, without `.git`, into a new directory; on failure nothing is left.

    Links are copied as links. Times and permissions are kept, setuid bits are not.

    Args:
        src: a directory.
        into: must not exist and must not lie inside `src`; its parents are created.

    Raises:
        SourceError: `src` cannot be read or holds a socket, pipe or device, or `into` exists or lies inside `src`.
        StateError: the disk is full or not ours to write.
    """
    if into.resolve().is_relative_to(src.resolve()):
        raise SourceError(f"{into} lies inside {src}, which is to be copied there")
    found = _walk(src)
    with new_directory(into) as root:
        for item in found:
            _copy(item, root / item.name)
        for item in reversed(found):
            if item.kind == "directory":
                with writing(root / item.name):
                    os.utime(root / item.name, ns=(item.mtime_ns, item.mtime_ns))


def is_empty(path: Path) -> bool:
    """Whether a tree holds no file or link.

    Raises:
        SourceError: as `tree_digest`.
    """
    return all(found.kind == "directory" for found in _walk(path))


def _copy(item: _Found, to: Path) -> None:
    with writing(to):
        if item.kind == "directory":
            to.mkdir()
        elif item.kind == "symlink":
            to.symlink_to(_target(item.path))
            return
    if item.kind == "file":
        try:
            source = item.path.open("rb")
        except OSError as error:
            raise SourceError(f"cannot read {item.path}: {error.strerror}") from error
        with source, writing(to), to.open("xb") as file:
            shutil.copyfileobj(source, file)
    with writing(to):
        to.chmod(item.mode & 0o777 | stat.S_IWUSR | (stat.S_IXUSR if item.kind == "directory" else 0))
        os.utime(to, ns=(item.mtime_ns, item.mtime_ns))


def _target(path: Path) -> str:
    return os.readlink(path)  # noqa: PTH115 - as written; Path.readlink() drops `./` and doubled slashes


def _walk(root: Path) -> list[_Found]:
    """Everything below a directory, sorted by the bytes of its name, hence parents first."""
    found: list[_Found] = []
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(root / directory) as entries:
                below = [_seen(entry, directory) for entry in entries if entry.name != _IGNORED]
        except OSError as error:
            raise SourceError(f"cannot read {root / directory}: {error.strerror}") from error
        found += below
        waiting += [item.name for item in below if item.kind == "directory"]
    return sorted(found, key=lambda item: os.fsencode(item.name))


def _seen(entry: os.DirEntry[str], directory: str) -> _Found:
    status = entry.stat(follow_symlinks=False)
    kind = kind_of(status.st_mode)
    if kind == "special":
        raise SourceError(f"{entry.path} is a socket, pipe or device, which cannot be copied")
    name = f"{directory}/{entry.name}" if directory else entry.name
    return _Found(name, Path(entry.path), kind, status.st_mode, status.st_mtime_ns)

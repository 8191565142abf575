"""What the user names with `--source PATH`."""

from __future__ import annotations

import os
from pathlib import Path

from devsetup.errors import SourceError
from devsetup.fetch.archive import common_top
from devsetup.fetch.files import sha256_file
from devsetup.fetch.tree import is_empty, tree_digest
from devsetup.steps import LocalSource

_HINT = "give --source a tar or zip archive, or a directory with the unpacked source"


def local_source(path: Path) -> LocalSource:
    """Describe a file or directory as a source.

    An archive's members are read to see whether they share one top-level directory, which is then stripped.

    Raises:
        SourceError: nothing is there, it is no archive or an unsafe one, or an empty directory.
    """
    absolute = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - without following a link that names it
    name = f"local:{absolute.name}"
    if absolute.is_dir():
        if is_empty(absolute):
            raise SourceError(f"{absolute} holds no files", _HINT)
        return LocalSource(id=name, path=str(absolute), sha256=tree_digest(absolute), tree=True)
    if not absolute.exists():
        raise SourceError(f"{absolute} does not exist", _HINT)
    if not absolute.is_file():
        raise SourceError(f"{absolute} is neither a file nor a directory", _HINT)
    try:
        strip = common_top(absolute)
    except SourceError as error:
        # The message begins with the archive's name; whoever typed a path should see all of it.
        raise SourceError(f"{absolute.parent}/{error.message}", error.hint or _HINT, detail=error.detail) from error
    return LocalSource(id=name, path=str(absolute), sha256=sha256_file(absolute), strip=strip)


def checked(source: LocalSource) -> Path:
    """The path of a local source that is still what it was when it was named.

    Raises:
        SourceError: it is gone, of another kind, or changed.
    """
    path = Path(source.path)
    there = path.is_dir() if source.tree else path.is_file()
    if not there:
        raise SourceError(
            f"{path} is not a {'directory' if source.tree else 'file'}" if path.exists() else f"{path} does not exist"
        )
    got = tree_digest(path) if source.tree else sha256_file(path)
    if got != source.sha256:
        raise SourceError(f"{path} has another sha256: expected {source.sha256}, got {got}")
    return path

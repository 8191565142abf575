"""A build context on disk: written so that what was there is never half replaced, and nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.errors import Refused, StateError
from devsetup.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIST = ".devsetup-context"  # the files that are ours, a path a line
CONTAINERFILE = "Containerfile"


def write(directory: Path, files: Mapping[str, str | Path]) -> None:
    """Write the files of a context, and remove those of the last one that are no more.

    Args:
        directory: made if need be. One that holds anything else than a context of ours is refused.
        files: relative path to text, or to a file to take over.

    Raises:
        Refused: the directory holds something else.
        StateError: it cannot be written.
    """
    try:
        before = _before(directory)
        directory.mkdir(parents=True, exist_ok=True)
        # The list first and the Containerfile last: cut short, what is there is known, and is no context that builds.
        _put(directory / _LIST, "".join(f"{name}\n" for name in sorted({*before, *files})))
        (directory / CONTAINERFILE).unlink(missing_ok=True)
        for name, content in sorted(files.items(), key=lambda item: item[0] == CONTAINERFILE):
            _put(directory / name, content)
        for name in before - set(files):
            (directory / name).unlink(missing_ok=True)
            _prune((directory / name).parent, directory)
        _put(directory / _LIST, "".join(f"{name}\n" for name in sorted(files)))
    except OSError as error:
        raise StateError(
            f"cannot write {error.filename or directory}: {error.strerror}", "choose another place with -o DIR"
        ) from error


def _before(directory: Path) -> set[str]:
    if not directory.exists() or not any(directory.iterdir()):
        return set()
    try:
        return set((directory / _LIST).read_text("utf-8").splitlines())
    except FileNotFoundError:
        raise Refused(
            f"{directory} holds something else than a build context, and nothing in it was touched",
            "choose a new or empty directory with -o DIR",
        ) from None


def _put(path: Path, content: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        _take(content, path)
    else:
        write_whole(path, content, mode=0o755 if content.startswith("#!") else 0o644)


def _take(source: Path, target: Path) -> None:
    """A second name for the file where that is possible: bases are large."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(target)


def _prune(directory: Path, top: Path) -> None:
    while directory != top and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent

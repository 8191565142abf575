"""CI files of a project: what they say, and writing them without losing what was there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

import devsetup
from devsetup import project
from devsetup.app import imaging
from devsetup.errors import Refused, StateError, UsageError
from devsetup.render import ci
from devsetup.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.app.workspace import Workspace

_FILES = {"github": ".github/workflows/images.yml", "gitlab": ".gitlab-ci.yml"}
_SHOWN = 20


class CiFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was made: where, and whether that `written`, or was there already and is the same."""

    platform: str
    path: str
    text: str
    written: bool


def text(workspace: Workspace, platform: str, directory: Path) -> tuple[Path, str]:
    """The project's root, and the file's text.

    Raises:
        UsageError: no project's file is there.
        InvalidInput: it is malformed.
    """
    found = project.find(directory)
    if found is None:
        raise UsageError(
            f"no {project.FILE} in {directory} or above it", "write one that says base and recipes: see docs/images.md"
        )
    nothing = imaging.Asked(names=(), base=None, on=None, options={}, directory=None, name=None)
    jobs = [ci.Job(base=each.base, name=each.name) for each in imaging.requests(nothing, found.parent)]
    root = found.parent
    if platform == "gitlab":
        return root, ci.gitlab(jobs, devsetup.__version__)
    return root, ci.github(jobs, devsetup.__version__, workspace.default_branch(root))


def write(workspace: Workspace, platform: str, directory: Path, output: Path | None, *, force: bool) -> CiFile:
    """Write the file, unless it is there and says something else.

    Args:
        workspace: where.
        platform: `github` or `gitlab`.
        directory: where the search for the project begins.
        output: where to; None takes the platform's place in the project.
        force: replace what is there.

    Raises:
        Refused: another file is there; the first differences are shown.
        StateError: it cannot be written.
    """
    root, made = text(workspace, platform, directory)
    path = output or root / _FILES[platform]
    try:
        before = path.read_text("utf-8") if path.exists() else None
        if before is not None and before != made and not force:
            changes = difflib.unified_diff(before.splitlines(), made.splitlines(), "there", "new", n=0, lineterm="")
            raise Refused(
                f"{path} says something else and was left as it is",
                "look at the difference, then pass --force, or write elsewhere with -o FILE",
                detail=tuple(changes)[:_SHOWN],
            )
        if before != made:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, made)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}", "choose another place with -o FILE") from error
    return CiFile(platform=platform, path=str(path), text=made, written=before != made)

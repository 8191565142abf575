"""What is said and written down about patches on a tree."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from devsetup.errors import InvalidInput
from devsetup.execute.treechange import OWN, Change, read
from devsetup.patching import Misfit

if TYPE_CHECKING:
    from pathlib import Path

RECORD = f"{OWN}/patches.json"

Status = Literal["applies", "applied", "already upstream", "not needed here", "needs rebase", "taken back"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch is to the tree.

    Attributes:
        because: the reason for the status.
        why: what breaks without it.
        files: that it touches, relative to the tree; none where it is not needed.
        misfit: the first hunk that does not fit, of one that needs rebase.
    """

    name: str
    status: Status
    because: str
    why: str = ""
    files: tuple[str, ...] = ()
    misfit: Misfit | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A patch that devsetup applied to a tree, with all that taking it back needs.

    Attributes:
        sha256: of the text.
        modes: permission bits of the files that it deleted.
        made: directories that it made.
    """

    recipe: str
    name: str
    sha256: str
    text: str
    modes: dict[str, int] = {}
    made: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What devsetup applied to a tree, oldest first: `.devsetup/patches.json` in it."""

    schema: int = 1
    patches: tuple[Applied, ...] = ()


class TreeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe's patches are to a tree, or have become.

    Attributes:
        tree: its absolute path.
        generation: of upstream's tree; empty when it is unknown or makes no difference.
        host: the machine that conditions were decided for; empty where none was asked.
        patches: in the recipe's order.
        changed: files that were written, made or removed, relative to the tree.
    """

    recipe: str
    version: str
    tree: str
    generation: str
    host: str
    patches: tuple[Report, ...]
    changed: tuple[str, ...] = ()

    @property
    def stale(self) -> tuple[Report, ...]:
        """The patches that need rebase."""
        return tuple(report for report in self.patches if report.status == "needs rebase")


def read_record(tree: Path) -> Record:
    """What devsetup applied to a tree.

    Raises:
        InvalidInput: the record is damaged.
        Refused: it is, or leads through, a symbolic link.
    """
    data = read(tree, RECORD)
    if data is None:
        return Record()
    try:
        record = msgspec.json.decode(data, type=Record)
    except msgspec.MsgspecError as error:
        raise _damaged(tree, str(error)) from error
    for entry in record.patches:
        if hashlib.sha256(entry.text.encode()).hexdigest() != entry.sha256:
            raise _damaged(tree, f"the text of {entry.name} has another sha256")
    return record


def _damaged(tree: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{tree / RECORD} is damaged: {reason}",
        "remove it; patches that are in the tree then count as already upstream",
    )


def recorded(record: Record) -> Change:
    """How the tree's record becomes this; an empty one is removed."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n" if record.patches else None
    return Change(path=RECORD, data=data)

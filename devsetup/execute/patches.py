"""What each patch of a recipe is to a tree, and applying or taking back all of them at once.

GNU patch never works in the tree. The files that patches touch are copied into a scratch directory, which is also the
dry run; what comes out of it goes into the tree in one change (see `treechange`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup import lower, patching
from devsetup.errors import InvalidInput, StateError
from devsetup.execute.misfits import Reason, why_not
from devsetup.execute.patch_records import Applied, Record, Report, Status, read_record, recorded
from devsetup.execute.treechange import Change, missing_parents, obstacle, read
from devsetup.plan import PlannedPatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from devsetup.patching import Diff, FileDiff
    from devsetup.runner import Runner


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A patch of the recipe, as planned for a machine; `text` is empty where it is not needed."""

    planned: PlannedPatch
    text: str = ""


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What patches are to a tree, and what the tree would become.

    Attributes:
        changes: for `treechange.change`; none when there is nothing to do.
        unneeded: directories to remove when they are empty afterwards.
    """

    reports: tuple[Report, ...]
    changes: tuple[Change, ...] = ()
    unneeded: tuple[str, ...] = ()


def examine(tree: Path, recipe: str, wanted: Sequence[Wanted], runner: Runner) -> Examined:
    """The status of every patch, and what applying those that apply would change. Changes nothing.

    Args:
        tree: an unpacked source tree.
        recipe: name of the recipe, for the record.
        wanted: its patches, in order.
        runner: starts GNU patch.

    Raises:
        InvalidInput: a patch or the record is malformed.
        StateError: the tree cannot be read, or there is no room for copies.
    """
    record = read_record(tree)
    diffs = {each.planned.name: patching.check(each.text, name=each.planned.name) for each in wanted if each.text}
    earlier = [patching.check(entry.text, name=entry.name) for entry in record.patches]
    with _copied(tree, [*earlier, *diffs.values()], runner) as copy:
        standing = _standing(record, copy)
        judge = _Judge(
            recipe, copy, [entry for entry in record.patches if entry in standing and entry.recipe == recipe]
        )
        reports = tuple(judge.report(each, diffs.get(each.planned.name)) for each in wanted)
        kept = tuple(entry for entry in record.patches if entry in standing or entry.recipe != recipe)
        if not judge.applied:
            return Examined(reports=reports)
        record = Record(patches=(*kept, *judge.applied))
        return Examined(reports=reports, changes=(*copy.changes({}), recorded(record)))


def take_back(tree: Path, recipe: str, runner: Runner) -> Examined:
    """What taking back all that was applied for a recipe would change. Changes nothing.

    A patch that is not in the tree any more, since someone restored the files, only leaves the record.

    Raises:
        InvalidInput, StateError: as `examine`.
    """
    record = read_record(tree)
    mine = [(entry, patching.check(entry.text, name=entry.name)) for entry in record.patches if entry.recipe == recipe]
    with _copied(tree, [diff for _, diff in mine], runner) as copy:
        reports = tuple(_taken_back(entry, diff, copy) for entry, diff in reversed(mine))
        modes = {path: mode for entry, _ in mine for path, mode in entry.modes.items()}
        left = Record(patches=tuple(entry for entry in record.patches if entry.recipe != recipe))
        changes = (*copy.changes(modes), recorded(left)) if mine else ()
        made = tuple(name for entry, _ in mine for name in entry.made)
        return Examined(reports=reports[::-1], changes=changes, unneeded=made)


def _taken_back(entry: Applied, diff: Diff, copy: _Copy) -> Report:
    blocked = copy.blocked(diff)
    before = copy.contents(diff.files)
    if not blocked and not copy.attempt(diff, "--reverse"):
        return Report(name=entry.name, status="applied", because="comes off cleanly", files=diff.files)
    if not blocked and not copy.attempt(diff, "--forward"):
        copy.put(before)
        return Report(name=entry.name, status="applied", because="is not in the tree any more", files=diff.files)
    backwards = tuple(patching.turned(change) for change in diff.changes)
    reason = Reason(blocked) if blocked else why_not(backwards, before, copy.said)
    because = f"changed since it was applied: {reason.text}"
    return Report(name=entry.name, status="needs rebase", because=because, files=diff.files, misfit=reason.misfit)


def _standing(record: Record, copy: _Copy) -> list[Applied]:
    """The recorded patches that are still in the tree: newest first, each must come off cleanly."""
    before = copy.contents(copy.files)
    found = []
    for entry in reversed(record.patches):
        diff = patching.check(entry.text, name=entry.name)
        if not copy.blocked(diff) and not copy.attempt(diff, "--reverse"):
            found.append(entry)
    copy.put(before)
    return found


class _Judge:
    """Decides on one patch after the other, each on what those before it leave."""

    def __init__(self, recipe: str, copy: _Copy, standing: Iterable[Applied]) -> None:
        self._recipe = recipe
        self._copy = copy
        self._standing = {entry.name: entry for entry in standing}
        self.applied: list[Applied] = []

    def report(self, wanted: Wanted, diff: Diff | None) -> Report:
        status, reason = self._status(wanted, diff)
        return Report(
            name=wanted.planned.name,
            status=status,
            because=reason.text,
            why=wanted.planned.why,
            files=diff.files if diff else (),
            misfit=reason.misfit,
        )

    def _status(self, wanted: Wanted, diff: Diff | None) -> tuple[Status, Reason]:
        entry = self._standing.get(wanted.planned.name)
        if entry and diff and entry.text != diff.text:
            return "needs rebase", Reason("another version of it is applied; take that back first, with --reverse")
        if entry:
            note = "" if diff else f", though not needed here: {wanted.planned.because}"
            return "applied", Reason(f"by devsetup{note}")
        if diff is None:
            return "not needed here", Reason(wanted.planned.because)
        return self._tried(wanted, diff)

    def _tried(self, wanted: Wanted, diff: Diff) -> tuple[Status, Reason]:
        copy = self._copy
        blocked = copy.blocked(diff)
        if blocked:
            return "needs rebase", Reason(blocked)
        before = copy.contents(diff.files)
        is_in = not copy.attempt(diff, "--reverse")
        copy.put(before)
        failed = copy.attempt(diff, "--forward")
        if is_in and failed:
            return "already upstream", Reason("the tree holds it already")
        if failed:
            return "needs rebase", why_not(diff.changes, before, copy.said)
        after = copy.contents(diff.files)
        undone = not copy.attempt(diff, "--reverse") and copy.contents(diff.files) == before
        if is_in or not undone:
            copy.put(before)
            return "needs rebase", Reason("its lines stand more than once, so it is not clear which of them it means")
        copy.put(after)
        self.applied.append(self._entry(wanted, diff))
        return "applies", Reason(wanted.planned.because)

    def _entry(self, wanted: Wanted, diff: Diff) -> Applied:
        created = [change.path for change in diff.changes if change.creates]
        made = self._copy.missing_parents(created)
        return Applied(
            recipe=self._recipe,
            name=wanted.planned.name,
            sha256=hashlib.sha256(wanted.text.encode()).hexdigest(),
            text=wanted.text,
            modes={change.path: self._copy.mode(change.path) for change in diff.changes if change.deletes},
            made=tuple(name for name in made if not any(name in entry.made for entry in self.applied)),
        )


@contextlib.contextmanager
def _copied(tree: Path, diffs: Sequence[Diff], runner: Runner) -> Iterator[_Copy]:
    try:
        with tempfile.TemporaryDirectory(prefix="devsetup-patch-") as scratch:
            yield _Copy(tree, Path(scratch), diffs, runner)
    except OSError as error:
        raise StateError(
            f"cannot work in a scratch directory, {error.filename or tempfile.gettempdir()}: {error.strerror}",
            "free some space there, or choose another place with TMPDIR",
        ) from error


class _Copy:
    """Copies of the files that some patches touch, for GNU patch to work on.

    Attributes:
        files: relative paths of all that may be touched.
        said: what GNU patch said last.
    """

    def __init__(self, tree: Path, scratch: Path, diffs: Sequence[Diff], runner: Runner) -> None:
        self._tree = tree
        self._runner = runner
        self._patch = scratch / "patch"
        self._work = scratch / "tree"
        self._work.mkdir()
        # Nothing of the user's environment: PATCH_GET, for one, makes GNU patch run other programs.
        self._env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TMPDIR": str(scratch)}
        self._obstacles = {path: obstacle(tree, path) for diff in diffs for path in diff.files}
        self._modes: dict[str, int] = {}
        self.files = tuple(path for path, why in self._obstacles.items() if not why)
        self.said = ""
        self._original = {path: read(tree, path) for path in self.files}
        self.put(self._original)

    def blocked(self, diff: Diff) -> str:
        """Why a patch must not touch its files, as a phrase; empty when it may."""
        return next((self._obstacles[path] for path in diff.files if self._obstacles[path]), "")

    def contents(self, files: Iterable[str]) -> dict[str, bytes | None]:
        """What files hold now; None for those that are not there."""
        return {path: (self._work / path).read_bytes() if (self._work / path).exists() else None for path in files}

    def put(self, contents: dict[str, bytes | None]) -> None:
        """Make files hold this."""
        for path, data in contents.items():
            place = self._work / path
            if data is None:
                place.unlink(missing_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)

    def attempt(self, diff: Diff, *flags: str) -> bool:
        """Apply a patch or take it back; True when it failed, and then nothing is changed.

        Raises:
            StateError: GNU patch could not work at all.
            InvalidInput: it did what the patch does not say; the tree is untouched.
        """
        before = self.contents(diff.files)
        self._patch.write_text(diff.text, encoding="utf-8", newline="\n")
        argv = lower.patch_command(str(self._work), str(self._patch), *flags)
        done = self._runner.capture(argv, env=self._env)
        self.said = done.output
        if done.returncode not in {0, 1}:
            raise StateError(f"GNU patch failed with status {done.returncode}: {(done.error or done.output).strip()}")
        if done.returncode:
            self.put(before)
        self._check_strays()
        self._modes |= {change.path: self._made_mode(change) for change in diff.changes if change.creates}
        return done.returncode != 0

    def _check_strays(self) -> None:
        for directory, _, names in os.walk(self._work):
            for name in names:
                path = Path(directory, name)
                relative = str(path.relative_to(self._work))
                if relative not in self.files or not stat.S_ISREG(path.lstat().st_mode):
                    raise InvalidInput(f"GNU patch made {relative}, which the patch does not name as a plain file")

    def _made_mode(self, change: FileDiff) -> int:
        place = self._work / change.path
        return stat.S_IMODE(place.stat().st_mode) if place.exists() else self._modes.get(change.path, 0o644)

    def mode(self, path: str) -> int:
        """The permission bits of a file of the tree, or of one that a patch made."""
        there = self._tree / path
        return stat.S_IMODE(there.stat().st_mode) if there.exists() else self._modes.get(path, 0o644)

    def missing_parents(self, files: Sequence[str]) -> tuple[str, ...]:
        """The directories that the tree lacks for these files."""
        return missing_parents(self._tree, files)

    def changes(self, modes: dict[str, int]) -> tuple[Change, ...]:
        """How the copies differ from the tree; `modes` are for files that come back."""
        now = self.contents(self.files)
        return tuple(
            Change(path=path, data=now[path], mode=modes.get(path, self._modes.get(path, 0o644)))
            for path in self.files
            if now[path] != self._original[path]
        )

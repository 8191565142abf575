"""What a patch may say. Everything else is refused, since GNU patch obeys far more than unified diffs.

It runs ed scripts, takes file names from `Index:` lines, makes links from mode 120000, deletes the first characters of
indented or quoted headers, and drops what a hunk's header does not count. So each line outside a hunk is read as GNU
patch would read it, and must be prose.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NoReturn

import msgspec

from devsetup.errors import InvalidInput

_NOWHERE = "/dev/null"
_HUNK = re.compile(r"^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
# GNU patch skips blanks and Xs before a header, and the `- ` that mail digests put before dashes.
_INDENT = re.compile(r"^(?:[ \tX]|- )*")
# Git's extended headers let a patch read a file that it does not show (`copy from`), change modes or carry binary data.
_EXTENDED = re.compile(
    r"^(copy (?:from|to)|rename (?:from|to|old|new)|GIT binary patch|Binary files |old mode|new mode"
    r"|similarity index|dissimilarity index)"
)
_MODE = re.compile(r"^(?:(?:new|deleted) file mode|index [0-9a-f]+\.\.[0-9a-f]+) (\d+)\s*$")
_MODES = {"100644", "100755"}
_ED = re.compile(r"^[\d,]+[acd][\d,]*\s*$")
_NAME_BYTES = 255
_PATH_BYTES = 3072


class Hunk(msgspec.Struct, frozen=True, kw_only=True):
    """One hunk.

    Attributes:
        start: line number in the old file, from 1.
        new_start: line number in the new file.
        old: its lines before (context and removed), without newlines.
        new: its lines after (context and added).
    """

    start: int
    new_start: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    added: int
    removed: int


class FileDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch does to one file; `path` is relative to the tree (`-p1`)."""

    path: str
    creates: bool
    deletes: bool
    hunks: tuple[Hunk, ...]


def turned(change: FileDiff) -> FileDiff:
    """The change that takes a change back."""
    hunks = tuple(
        Hunk(start=h.new_start, new_start=h.start, old=h.new, new=h.old, added=h.removed, removed=h.added)
        for h in change.hunks
    )
    return FileDiff(path=change.path, creates=change.deletes, deletes=change.creates, hunks=hunks)


class Diff(msgspec.Struct, frozen=True):
    """A checked patch: its text and the files that it changes, relative to the tree (`-p1`)."""

    text: str
    changes: tuple[FileDiff, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it changes, in order."""
        return tuple(change.path for change in self.changes)

    @property
    def added(self) -> int:
        """How many lines it adds."""
        return sum(hunk.added for change in self.changes for hunk in change.hunks)

    @property
    def removed(self) -> int:
        """How many lines it removes."""
        return sum(hunk.removed for change in self.changes for hunk in change.hunks)


def check(text: str, *, name: str) -> Diff:
    """Refuse a patch that could do anything but edit files inside its tree.

    Raises:
        InvalidInput: empty, malformed, binary, not a unified diff, with CR line ends, with copy/rename/mode/link
            headers, without context, or naming an absolute path, `..`, `.git`, or a path that patch reads otherwise
            than we do. The message names the patch and the reason.
    """
    if "\r" in text:
        raise InvalidInput(f"{name}: has carriage returns; a patch must use plain newlines")
    if "\0" in text:
        raise InvalidInput(f"{name}: has a NUL byte; only text can be patched")
    if not text.endswith("\n"):
        raise InvalidInput(f"{name}: does not end with a newline, so its last line may be cut off")
    return Diff(text, _Reader(text, name).changes())


class _Reader:
    """Reads a patch line by line, as GNU patch does: only a line feed ends a line."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = text.split("\n")[:-1]
        self._name = name
        self._at = 0
        self._git = ""

    def changes(self) -> tuple[FileDiff, ...]:
        """The whole patch."""
        found: dict[str, FileDiff] = {}
        while self._at < len(self._lines):
            if self._at_header():
                change = self._file()
                if change.path in found:
                    self._refuse(f"names {change.path} twice")
                found[change.path] = change
            else:
                self._prose(self._lines[self._at])
                self._at += 1
        if self._git:
            self._refuse(f"`{self._git}` is followed by no change that it shows")
        if not found:
            self._refuse("is empty; it changes nothing")
        return tuple(found.values())

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidInput(f"{self._name}: {reason}")

    def _peek(self, ahead: int) -> str:
        return self._lines[self._at + ahead] if self._at + ahead < len(self._lines) else ""

    def _at_header(self) -> bool:
        return self._peek(0).startswith("--- ") and self._peek(1).startswith("+++ ")

    def _prose(self, line: str) -> None:
        """A line outside all hunks may say anything that GNU patch and git do not take for an order."""
        bare = _INDENT.sub("", line)
        extended = _EXTENDED.match(bare)
        if extended:
            self._refuse(f"has a `{extended.group(1).strip()}` header; only plain unified diffs are accepted")
        mode = _MODE.match(bare)
        if mode and mode.group(1) not in _MODES:
            self._refuse(
                f"line {self._at + 1} states mode {mode.group(1)}; only plain files (100644, 100755) are accepted"
            )
        if bare.startswith(("Index:", "Prereq:")):
            self._refuse(f"line {self._at + 1} is an `{bare.partition(':')[0]}:` line, which patch obeys; remove it")
        if bare.startswith(("*** ", "****")):
            self._refuse(f"line {self._at + 1} belongs to a context diff; only unified diffs are accepted")
        if _ED.match(bare):
            self._refuse(f"line {self._at + 1} is an ed or normal diff command; only unified diffs are accepted")
        if bare.startswith(("--- ", "+++ ", "@@ -")):
            self._refuse(
                f"line {self._at + 1} is a header out of place; a file's `---`, `+++` and `@@` follow each other"
            )
        if bare.startswith("diff --git "):
            if self._git:
                self._refuse(f"`{self._git}` is followed by no change that it shows")
            self._git = bare

    def _file(self) -> FileDiff:
        old, new = (self._path(self._lines[self._at + ahead][4:]) for ahead in (0, 1))
        path = old or new
        if not path:
            self._refuse(f"line {self._at + 1} names no file but {_NOWHERE}")
        if old and new and old != new:
            self._refuse(f"names {old} and {new} for one file")
        if self._git and self._git != f"diff --git a/{path} b/{path}":
            self._refuse(f"`{self._git}` and `{self._lines[self._at]}` name different files")
        self._git = ""
        self._at += 2
        hunks: list[Hunk] = []
        while self._peek(0).startswith("@@"):
            hunks.append(self._hunk(creates=not old, deletes=not new))
            self._check_order(hunks)
        if not hunks:
            self._refuse(f"is empty for {path}: no hunk follows its header")
        if len(hunks) > 1 and not (old and new):
            self._refuse(f"has more than one hunk for {path}, which it creates or deletes whole")
        return FileDiff(path=path, creates=not old, deletes=not new, hunks=tuple(hunks))

    def _check_order(self, hunks: list[Hunk]) -> None:
        if len(hunks) > 1 and hunks[-1].start < hunks[-2].start + len(hunks[-2].old):
            self._refuse(f"its hunk for line {hunks[-1].start} overlaps the one before, or is out of order")

    def _hunk(self, *, creates: bool, deletes: bool) -> Hunk:
        header = _HUNK.match(self._lines[self._at])
        if header is None:
            self._refuse(f"line {self._at + 1} is not the header of a hunk, or its numbers are too large")
        line = self._at + 1
        start, old_count, new_start, new_count = (1 if count is None else int(count) for count in header.groups())
        if (creates and (start, old_count) != (0, 0)) or (deletes and (new_start, new_count) != (0, 0)):
            self._refuse(f"line {line} does not create or delete a whole file, as {_NOWHERE} says")
        if (not old_count and not creates) or (not new_count and not deletes):
            self._refuse(
                f"line {line} adds or removes lines without context, so nothing shows where they belong"
                f" (a new or deleted file is written with {_NOWHERE})"
            )
        self._at += 1
        signs = self._body(old_count, new_count)
        added, removed = (sum(sign == each for sign, _ in signs) for each in "+-")
        if not added and not removed:
            self._refuse(f"is empty at line {line}: the hunk changes nothing")
        return Hunk(
            start=start,
            new_start=new_start,
            old=tuple(text for sign, text in signs if sign != "+"),
            new=tuple(text for sign, text in signs if sign != "-"),
            added=added,
            removed=removed,
        )

    def _body(self, old: int, new: int) -> list[tuple[str, str]]:
        """Exactly the lines that the header promises: parsers and GNU patch drop the surplus silently."""
        signs: list[tuple[str, str]] = []
        while old or new or self._peek(0).startswith("\\"):
            if self._at >= len(self._lines):
                self._refuse("is not a well-formed unified diff: its last hunk is cut off")
            line = self._lines[self._at]
            sign = line[:1] or " "
            if sign not in " +-\\":
                self._refuse(f"line {self._at + 1} is no line of a hunk, whose header promises more")
            if sign != "\\":
                signs.append((sign, line[1:]))
                old -= sign != "+"
                new -= sign != "-"
            if old < 0 or new < 0:
                self._refuse(f"line {self._at + 1} does not fit the line counts of its hunk's header")
            self._at += 1
        if self._peek(0)[:1] in {" ", "-", "+"} and not self._at_header():
            self._refuse(f"line {self._at + 1} lies outside its hunk, whose header promises fewer lines")
        return signs

    def _path(self, header: str) -> str:
        """The file that a header names, relative to the tree; empty for /dev/null."""
        path, tab, _ = header.partition("\t")
        if path == _NOWHERE:
            return ""
        if path.startswith('"'):
            self._refuse(f"names {path}; quoted names are not accepted, write the path as it is")
        if not path.isprintable() or path != path.strip():
            self._refuse(f"names {path!a}, which has control characters or blanks at its ends")
        if " " in path and not tab:
            self._refuse(f"names {path}; after a name with spaces put a tab, or patch reads its first word alone")
        parts = path.split("/")
        self._check_place(path, parts)
        if len(path.encode()) > _PATH_BYTES or any(len(part.encode()) > _NAME_BYTES for part in parts):
            self._refuse(f"names {path[:40]}..., which is longer than file systems allow")
        return "/".join(parts[1:])

    def _check_place(self, path: str, parts: list[str]) -> None:
        if path.startswith("/") or ".." in parts:
            self._refuse(f"names {path}, which is outside the tree")
        plain = [_folded(part) for part in parts]
        if ".git" in plain or "git~1" in plain:
            self._refuse(f"names {path}; a patch may not touch .git")
        if ".devsetup" in plain:
            self._refuse(f"names {path}; a patch may not touch devsetup's own record")
        if len(parts) < 2:  # noqa: PLR2004 - the a/ or b/ component and a file
            self._refuse(f"names {path}; paths must carry one leading component (a/, b/)")
        if "" in parts or "." in parts:
            self._refuse(f"names {path}, which has empty components")


def _folded(part: str) -> str:
    """A component as a file system that ignores case and invisible characters (HFS+) takes it."""
    return "".join(char for char in part if unicodedata.category(char) != "Cf").casefold()

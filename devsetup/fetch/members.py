"""What an archive may ask for: every member is judged before the first byte is written.

Nothing here depends on tarfile's extraction filters: Python 3.11.2 (Debian 12) has none, and where there is one,
CVE-2025-4517 walked through it. The rules do not look at the disk at all.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Literal, NoReturn

import msgspec

from devsetup.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_MEMBERS = 200_000
MAX_BYTES = 4 << 30
MAX_DEPTH = 100
# An honest source tarball grows five- to twentyfold; small ones may do as they like.
MAX_RATIO = 200
SMALL_BYTES = 64 << 20
# Linux: NAME_MAX and PATH_MAX, leaving room for the directory that we extract into.
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3072
_MAX_LINKS_FOLLOWED = 40
_DELETE = 0x7F

Kind = Literal["file", "directory", "symlink", "hardlink", "special"]
Parts = tuple[str, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A member as its archive states it.

    Attributes:
        index: its place in the archive, from 0.
        size: bytes of content.
        executable: any execute bit is set.
        mtime: seconds since 1970.
        target: where a link leads, as written.
    """

    index: int
    name: str
    kind: Kind
    size: int = 0
    executable: bool = False
    mtime: float = 0.0
    target: str = ""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A member that may be extracted, and where.

    Attributes:
        path: components below the new directory, after stripping; never empty.
        source: of a hard link, the components of the file that it repeats.
    """

    entry: Entry
    path: Parts
    source: Parts = ()


def kind_of(mode: int) -> Kind:
    """The kind that Unix mode bits state; a mode without type bits is a file."""
    kinds: dict[int, Kind] = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
    return kinds.get(stat.S_IFMT(mode), "special")


def room_for(compressed: int) -> int:
    """How many bytes an archive of that size may unpack to."""
    return min(MAX_BYTES, max(SMALL_BYTES, compressed * MAX_RATIO))


def place(entries: Iterable[Entry], *, archive: str, strip: int, room: int) -> list[Placed]:
    """Judge all members of an archive.

    Args:
        entries: in the archive's order; read only as far as the limits allow.
        archive: its name, for messages.
        strip: leading components to remove; all members must share them.
        room: how many bytes it may unpack to.

    Returns:
        What to extract, in the archive's order, without the directories that stripping swallows.

    Raises:
        SourceError: one member is unsafe, or there are too many, too large or none; the message names archive, member
            and reason.
    """
    judge = _Judge(archive, strip)
    left = room
    for number, entry in enumerate(entries):
        if number == MAX_MEMBERS:
            raise SourceError(f"{archive}: has more than {MAX_MEMBERS} members")
        if entry.size < 0:
            judge.refuse(entry.name, f"states the size {entry.size}")
        left -= entry.size
        if left < 0:
            judge.refuse(entry.name, f"takes the unpacked size beyond {room} bytes")
        judge.take(entry)
    return judge.verdict()


def components(name: str) -> Parts:
    """The components of a member's name that mean something: `./a//b/` is a, b."""
    return tuple(part for part in name.split("/") if part not in {"", "."})


class _Judge:
    """Collects members and their places; `verdict` decides what only the whole list can tell."""

    def __init__(self, archive: str, strip: int) -> None:
        self._archive = archive
        self._strip = strip
        self._stripped: Parts | None = None
        self._placed: list[Placed] = []
        self._kinds: dict[Parts, Kind] = {}

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise: the archive, the member (quoted, so that no control character reaches a terminal), the reason."""
        shown = name if len(name) <= _MAX_NAME_BYTES else name[:_MAX_NAME_BYTES] + "..."
        raise SourceError(f"{self._archive}: member {shown!a} {reason}")

    def take(self, entry: Entry) -> None:
        """Judge one member by itself."""
        if entry.kind == "special":
            self.refuse(entry.name, "is neither a file, a directory nor a link")
        self._check_text(entry, entry.name)
        path = self._strip_top(entry, components(entry.name))
        if not path:
            return
        earlier = self._kinds.get(path)
        if earlier is not None and (earlier, entry.kind) != ("directory", "directory"):
            self.refuse(entry.name, "appears twice")
        self._placed.append(Placed(entry=entry, path=path, source=self._source(entry)))
        self._kinds[path] = entry.kind

    def verdict(self) -> list[Placed]:
        """Judge what depends on other members, whichever comes first."""
        if not self._placed:
            raise SourceError(f"{self._archive}: holds no files")
        links = {item.path: item.entry.target for item in self._placed if item.entry.kind == "symlink"}
        for item in self._placed:
            for depth in range(1, len(item.path)):
                if self._kinds.get(item.path[:depth], "directory") != "directory":
                    self.refuse(item.entry.name, f"lies below {'/'.join(item.path[:depth])!a}, not a directory")
            if item.entry.kind == "symlink" and not _stays_inside(item.path, links):
                self.refuse(item.entry.name, f"is a link to {item.entry.target!a}, outside the tree")
        return self._placed

    def _check_text(self, entry: Entry, text: str) -> None:
        """Judge a name, or a link's target, as text."""
        parts = components(text)
        if not text:
            self.refuse(entry.name, "has an empty name or target")
        if any(ord(char) < ord(" ") or ord(char) == _DELETE for char in text):
            self.refuse(entry.name, "has a control character in its name or target")
        if "\\" in text:
            self.refuse(entry.name, "has a backslash in its name or target")
        if text.startswith("/"):
            self.refuse(entry.name, "has an absolute name or target")
        if entry.kind != "symlink" and ".." in parts:
            self.refuse(entry.name, "has '..' in its name or target")
        if len(parts) > MAX_DEPTH:
            self.refuse(entry.name, f"is more than {MAX_DEPTH} directories deep")
        encoded = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
        if sum(encoded) + len(encoded) > _MAX_PATH_BYTES or max(encoded, default=0) > _MAX_NAME_BYTES:
            self.refuse(entry.name, "has a name or target longer than file systems allow")

    def _strip_top(self, entry: Entry, parts: Parts) -> Parts:
        top, rest = parts[: self._strip], parts[self._strip :]
        if not rest and entry.kind == "directory":
            return ()
        if not rest:
            self.refuse(entry.name, f"lies outside the top directory that strip={self._strip} removes")
        if self._stripped is None:
            self._stripped = top
        if top != self._stripped:
            self.refuse(entry.name, f"lies outside {'/'.join(self._stripped)!a}, which strip={self._strip} removes")
        return rest

    def _source(self, entry: Entry) -> Parts:
        """Where a link's text leads, as far as the text alone tells; of a hard link, the earlier file it repeats."""
        if entry.kind == "symlink":
            self._check_text(entry, entry.target)
        if entry.kind != "hardlink":
            return ()
        self._check_text(entry, entry.target)
        source = components(entry.target)
        if source[: self._strip] != self._stripped or self._kinds.get(source[self._strip :]) not in {
            "file",
            "hardlink",
        }:
            self.refuse(entry.name, f"is a hard link to {entry.target!a}, which is no earlier file of this archive")
        return source[self._strip :]


def _stays_inside(link: Parts, links: Mapping[Parts, str]) -> bool:
    """Whether following a link, and every link on its way, never leaves the tree."""
    here: list[str] = list(link[:-1])
    waiting = links[link].split("/")
    followed = 0
    while waiting:
        part = waiting.pop(0)
        if part in {"", "."}:
            continue
        if part == "..":
            if not here:
                return False
            here.pop()
            continue
        here.append(part)
        target = links.get(tuple(here))
        if target is not None:
            followed += 1
            if followed > _MAX_LINKS_FOLLOWED:
                return False
            here.pop()
            waiting[:0] = target.split("/")
    return True

"""Rebuilding an install in place: the old one stands aside until the new one has proved itself.

<home>/store/.old-<key>.json   the journal: written before anything moves, removed when all is done
<home>/store/.old-<key>/       the old prefix
<home>/receipts/.old-<key>/    its artifacts

The receipt decides: as long as it is the one that the journal names, the old install counts and comes back; once it has
been replaced, in one transaction, the new one counts and the old one goes. So a kill at any moment leaves a state that
`end` brings to one of the two, however often it is cut short itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from devsetup.errors import StateError
from devsetup.receipts import make_dirs, sync_dir, told
from devsetup.store.trees import disk_usage, remove_tree

_PREFIX = ".old-"
_SUFFIX = ".json"


class _Journal(msgspec.Struct, frozen=True, kw_only=True):
    """`serial` of the old install's receipt; whether it had a prefix: one that lost its own can be rebuilt, too."""

    serial: int
    had_prefix: bool


class Aside:
    """The rebuild of one install. Whoever calls `begin` or `end` holds the install's lock."""

    def __init__(self, home: Path, key: str) -> None:
        self.key = key
        self.journal = home / "store" / f"{_PREFIX}{key}{_SUFFIX}"
        self._prefix = home / "store" / key
        self._artifacts = home / "receipts" / key

    @property
    def begun(self) -> bool:
        """Whether a rebuild has begun and has not ended: it runs now, or was cut short."""
        return self.journal.is_file()

    def begin(self, serial: int) -> None:
        """Move the install aside. `serial` is its receipt's."""
        with told("move aside", self._prefix):
            make_dirs(self._prefix.parent)
            make_dirs(self._artifacts)  # so that both have something to come back
            self._write(_Journal(serial=serial, had_prefix=self._prefix.is_dir()))
            for path in (self._artifacts, self._prefix):
                if path.is_dir():
                    path.rename(_old(path))
                sync_dir(path.parent)

    def end(self, serial: int | None) -> bool:
        """Settle on what is recorded, and remove the other; nothing to do is fine.

        Args:
            serial: of the receipt that the install has now; None without one.

        Returns:
            Whether the old install came back.
        """
        journal = self._read()
        if journal is None:
            return False
        returns = journal.serial == serial
        with told("move back", self._prefix):
            if returns:
                self._return(journal)
            for path in (self._prefix, self._artifacts):
                remove_tree(_old(path))
                if path.parent.is_dir():
                    sync_dir(path.parent)
            self.journal.unlink()
        return returns

    def doomed(self, serial: int | None) -> tuple[int, str]:
        """What `end` would remove: bytes, and why as a phrase."""
        journal = self._read()
        if journal is not None and journal.serial == serial:
            return disk_usage(
                self._prefix
            ), "a rebuild was cut short: what it made goes, the install before it comes back"
        return disk_usage(_old(self._prefix)), "the install before the last rebuild"

    def _return(self, journal: _Journal) -> None:
        if not journal.had_prefix:
            remove_tree(self._prefix)
        for path in (self._prefix, self._artifacts):
            if _old(path).is_dir():
                remove_tree(path)
                _old(path).rename(path)

    def _read(self) -> _Journal | None:
        with told("read", self.journal):
            try:
                return msgspec.json.decode(self.journal.read_bytes(), type=_Journal)
            except FileNotFoundError:
                return None
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise StateError(
                    f"{self.journal}, the journal of a rebuild, cannot be read: {error}",
                    f"uninstall {self.key}, which removes it too, and install it again",
                ) from error

    def _write(self, journal: _Journal) -> None:
        part = self.journal.with_suffix(".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode(journal))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.journal)
        sync_dir(self.journal.parent)

    def forget(self) -> None:
        """Remove what stands aside, with the journal: the install itself is gone."""
        for path in (self._prefix, self._artifacts, self.journal):
            remove_tree(path if path is self.journal else _old(path))


def unfinished(home: Path) -> list[Aside]:
    """The rebuilds that have begun and not ended."""
    try:
        names = sorted(path.name for path in Path(home, "store").iterdir())
    except FileNotFoundError:
        return []
    ours = (name for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX))
    return [Aside(home, name.removeprefix(_PREFIX).removesuffix(_SUFFIX)) for name in ours]


def _old(path: Path) -> Path:
    return path.with_name(f"{_PREFIX}{path.name}")

"""The store: one prefix per install, and the order of writes that keeps it honest.

<home>/store/<key>/         what is installed; exists officially when its receipt does
<home>/build/<key>/         scratch, kept after a failure for a look; .proving-<key> while proofs run
<home>/receipts/<key>/      artifacts of proofs and the list of the install's files, next to the receipt
<home>/downloads/           sources
<home>/logs/<name>/         full logs
<home>/locks/<key>.lock     held by the process that builds or removes <key>

A rebuild moves the install aside meanwhile: see `aside`.
"""

from __future__ import annotations

import contextlib
import graphlib
import os
import re
import stat
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from devsetup.errors import Refused, StateError, UsageError
from devsetup.events import Emit, Note, Waiting, silent
from devsetup.receipts import Receipts, make_dirs, sync_dir, told
from devsetup.store import manifest
from devsetup.store.aside import Aside, unfinished
from devsetup.store.locks import attempted, is_held, locked
from devsetup.store.trees import directories, disk_usage, remove_tree, sync_file_system, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from devsetup.receipts import Receipt

_STALE_PART_S = 24 * 3600
_KEY = re.compile(r"^[^.].*-[0-9a-f]{8}$")
_SCRATCH = re.compile(r"^\.([^.].*-[0-9a-f]{8})-[^-]+$")  # where a workload writes, until it has passed

_HIDDEN = ".proving-"

Kind = Literal["prefix", "build", "artifacts", "scratch", "rebuild", "orphan", "download"]


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can go.

    Attributes:
        kind: `prefix`, `build`, `artifacts` without an install; `scratch` of a workload that was killed; `rebuild`,
            one half of a rebuild that was cut short; `orphan`, an install that nothing needs; `download`.
        key: of the install that it belongs to; empty for downloads.
        bytes: how much disk it takes.
        reason: why it can go, as a phrase.
    """

    kind: Kind
    path: str
    key: str
    bytes: int
    reason: str


class Store:
    """The places of a home, and the only code that changes them.

    Creating a Store creates nothing on disk. Whoever calls `prepare`, `set_aside`, `settle`, `discard`, `drop_build` or
    `commit` holds `lock`.

    Attributes:
        home: absolute.
        receipts: the receipts of this home.
        downloads: the download cache.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.receipts = Receipts(self.home)
        self.downloads = self.home / "downloads"

    def prefix(self, key: str) -> Path:
        """Where an install lives."""
        return self.home / "store" / _checked(key)

    def build(self, key: str) -> Path:
        """An install's scratch directory."""
        return self.home / "build" / _checked(key)

    def artifacts(self, key: str) -> Path:
        """Where an install's proofs leave files to look at."""
        return self.home / "receipts" / _checked(key)

    def places(self, key: str, needs: Iterable[str]) -> dict[str, str]:
        """Values for PREFIX and BUILD of an install, and PREFIX:name of every install that it needs.

        Args:
            key: of the install. A receipt's own: that of its part is another one as soon as devsetup's steps change.
            needs: keys of what it needs.
        """
        others = {f"PREFIX:{need.rsplit('-', 2)[0]}": str(self.prefix(need)) for need in needs}
        return {"PREFIX": str(self.prefix(key)), "BUILD": str(self.build(key)), **others}

    def new_log(self, name: str, key: str, now: datetime | None = None) -> Path:
        """The path of a new log, `<home>/logs/<name>/<UTC stamp>-<key>.log`; its directory is made, the file is not."""
        stamp = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self.home / "logs" / _checked(name) / f"{stamp}-{_checked(key)}.log"
        with told("write", path):
            make_dirs(path.parent)
        return path

    def check_writable(self) -> None:
        """Find out before any work whether the home can be written; makes it when it does not exist.

        Raises:
            StateError: it is a file, on a read-only file system, full, or not ours to write.
        """
        probe = self.home / "locks" / f".probe-{os.getpid()}"
        with told("write", self.home):
            make_dirs(probe.parent)
            probe.write_bytes(b"devsetup\n")
            probe.unlink()
        try:
            str(self.home).encode()
        except UnicodeEncodeError as error:
            raise StateError(f"{self.home!r} is not UTF-8", "choose another place with `--home DIR`") from error

    @contextlib.contextmanager
    def lock(self, key: str, emit: Emit = silent) -> Iterator[None]:
        """Be the only process that builds or removes an install; the kernel lets go when the holder dies.

        Whoever had to wait looks again at whether the install exists. `Waiting` is emitted once; Ctrl-C ends the wait.

        Raises:
            StateError: the lock cannot be made, or this file system has none.
        """
        with locked(self._lock_file(key), lambda owner: emit(Waiting(key, owner))):
            yield

    def prepare(self, key: str) -> None:
        """Clear what a killed or failed attempt left, and make fresh, empty prefix, build and artifacts directories.

        Raises:
            Refused: the install exists; making room would leave a receipt without its prefix.
        """
        if key in self.receipts.keys():  # noqa: SIM118 - a method, not a mapping's keys
            raise Refused(f"{key} is installed already", "uninstall it first")
        self.discard(key)
        self._make(key)

    def set_aside(self, key: str) -> None:
        """Make room for building an install again: it moves aside, and stays recorded. `settle` ends that.

        Raises:
            UsageError: there is no such install.
        """
        self.settle(key)
        serial = self.receipts.serial(key)
        if serial is None:
            raise UsageError(f"{key} is not installed")
        Aside(self.home, key).begin(serial)
        self.clear(key)

    def settle(self, key: str) -> bool:
        """End a rebuild, also one that was cut short: what is recorded stays or comes back, the other goes.

        Returns:
            Whether the install from before came back.
        """
        aside = Aside(self.home, _checked(key))
        return aside.begun and aside.end(self.receipts.serial(key))

    def rebuilding(self, key: str) -> bool:
        """Whether a rebuild of an install has begun and has not ended: it runs now, or was cut short."""
        return Aside(self.home, _checked(key)).begun

    def usable(self, key: str) -> bool:
        """Whether an install's files are at their place; ends a rebuild that was cut short, but not one that runs."""
        if not self.rebuilding(key):
            return True
        with attempted(self._lock_file(key)) as held:
            if held:
                self.settle(key)
            return held

    def discard(self, key: str) -> None:
        """Remove all that belongs to something that is not installed."""
        for path in (self.prefix(key), self.build(key), self._hidden(key), self.artifacts(key)):
            remove_tree(path)
        Aside(self.home, key).forget()

    def _make(self, key: str) -> None:
        for path in (self.prefix(key), self.build(key), self.artifacts(key)):
            with told("write", path):
                make_dirs(path)

    def clear(self, key: str) -> None:
        """Begin afresh with empty directories, in the middle of building."""
        self.drop_build(key)
        remove_tree(self.prefix(key))
        self._make(key)

    def hide_build(self, key: str) -> None:
        """Move the build tree where nothing that was built looks for it, for as long as proofs run."""
        with told("move", self.build(key)):
            self.build(key).rename(self._hidden(key))

    def show_build(self, key: str) -> None:
        """Put the build tree back."""
        with told("move", self._hidden(key)):
            self._hidden(key).rename(self.build(key))

    def drop_build(self, key: str) -> None:
        """Remove the build tree, hidden or not; before `commit`, so that it need not be written to disk first."""
        remove_tree(self.build(key))
        remove_tree(self._hidden(key))

    def _hidden(self, key: str) -> Path:
        return self.home / "build" / f"{_HIDDEN}{_checked(key)}"

    def commit(self, receipt: Receipt, libraries: Mapping[str, str] | None = None) -> None:
        """Make an install durable, then official: files and their list, then directories, then the receipt.

        A power loss at any moment leaves a whole install with its receipt, or garbage without one.

        Args:
            receipt: of what was built and proved.
            libraries: path of each shared library from outside that it uses to the file of it that does.

        Raises:
            StateError: there is no prefix, or the disk refuses; then nothing is recorded.
        """
        prefix, artifacts = self.prefix(receipt.key), self.artifacts(receipt.key)
        with told("write", prefix):
            prefix.stat()
            make_dirs(artifacts)
            manifest.record(prefix, artifacts, libraries or {})
            for tree in (prefix, artifacts):
                sync_file_system(tree)
            for directory in (prefix, prefix.parent, artifacts.parent, self.home):
                sync_dir(directory)
        self.receipts.add(receipt)

    def uninstall(self, key: str, emit: Emit = silent) -> None:
        """Remove an install: its receipt first, then its files.

        An install exists when its receipt does. Cut short in between, this leaves files without a receipt, which
        `garbage` finds; the other order would leave a receipt that promises files that are gone.

        Raises:
            UsageError: there is no such install.
            Refused: other installs need it.
        """
        with self.lock(key, emit):
            self.receipts.remove(key)
            self.discard(key)

    def garbage(self, *, downloads: bool = False) -> tuple[Garbage, ...]:
        """What can go. Changes nothing; leaves out what a living process has locked.

        Args:
            downloads: list every download, not only those that were broken off more than a day ago.
        """
        keys = self.receipts.keys()
        with told("read", self.home):
            return (
                *self._leftovers(keys),
                *self._rebuilds(),
                *self._scratch(),
                *self._orphans(),
                *self._downloads(everything=downloads),
            )

    def collect(self, garbage: Iterable[Garbage], emit: Emit = silent) -> int:
        """Remove garbage, after checking each under its lock again; returns the bytes freed."""
        freed = 0
        for item in garbage:
            if self.collected(item):
                freed += item.bytes
            else:
                emit(Note(f"kept {item.path}: it came into use again"))
        return freed

    def _lock_file(self, key: str) -> Path:
        return self.home / "locks" / f"{_checked(key)}.lock"

    def _leftovers(self, keys: frozenset[str]) -> Iterator[Garbage]:
        places: tuple[tuple[Kind, str, str], ...] = (
            ("prefix", "store", "no receipt: the install was killed, failed, or is half removed"),
            ("build", "build", "nothing builds here now"),
            ("artifacts", "receipts", "no receipt"),
        )
        for kind, folder, reason in places:
            for path in directories(self.home / folder):
                key = path.name.removeprefix(_HIDDEN if kind == "build" else "")
                if _KEY.search(key) is None:
                    continue  # not ours: `lost+found` where the store is a disk of its own
                if (kind == "build" or key not in keys) and not is_held(self._lock_file(key)):
                    yield Garbage(kind=kind, path=str(path), key=key, bytes=disk_usage(path), reason=reason)

    def _scratch(self) -> Iterator[Garbage]:
        for path in directories(self.home / "receipts"):
            found = _SCRATCH.search(path.name)
            if found and not is_held(self._lock_file(found.group(1))):
                reason = "a workload was killed while it wrote here"
                key = found.group(1)
                yield Garbage(kind="scratch", path=str(path), key=key, bytes=disk_usage(path), reason=reason)

    def _rebuilds(self) -> Iterator[Garbage]:
        for aside in unfinished(self.home):
            if not is_held(self._lock_file(aside.key)):
                taken, reason = aside.doomed(self.receipts.serial(aside.key))
                yield Garbage(kind="rebuild", path=str(aside.journal), key=aside.key, bytes=taken, reason=reason)

    def _orphans(self) -> Iterator[Garbage]:
        """Installs that nobody asked for and nothing needs; users go before what they used."""
        locks = self.home / "locks"
        if locks.is_dir() and any(is_held(path) for path in locks.glob("*.lock")):
            return  # a running install may be about to need one
        receipts = self.receipts.all()
        used: set[str] = set()
        waiting = [receipt for receipt in receipts if receipt.explicit]
        while waiting:
            used.add((user := waiting.pop()).key)
            waiting += [other for other in receipts if other.key in user.part.needs and other.key not in used]
        unused = {receipt.key: receipt for receipt in receipts if receipt.key not in used}
        users = {key: [user for user in unused if key in unused[user].part.needs] for key in unused}
        for receipt in map(unused.__getitem__, graphlib.TopologicalSorter(users).static_order()):
            path = self.prefix(receipt.key)
            taken = disk_usage(path) + disk_usage(self.artifacts(receipt.key))
            reason = "was needed by another install, which is gone"
            yield Garbage(kind="orphan", path=str(path), key=receipt.key, bytes=taken, reason=reason)

    def _downloads(self, *, everything: bool) -> Iterator[Garbage]:
        old = time.time() - _STALE_PART_S
        for path, info in walk(self.downloads):
            if stat.S_ISDIR(info.st_mode):
                continue
            if everything:
                reason = "a download; it is fetched again when it is needed"
            elif path.endswith(".part") and info.st_mtime < old:
                reason = "a download that was broken off more than a day ago"
            else:
                continue
            yield Garbage(kind="download", path=path, key="", bytes=info.st_blocks * 512, reason=reason)

    def collected(self, item: Garbage) -> bool:
        """Remove one piece of garbage, unless it came into use again; returns whether it went."""
        if item.kind == "download":
            remove_tree(Path(item.path))
            return True
        with attempted(self._lock_file(item.key)) as held:
            return held and self._collected_locked(item)

    def _collected_locked(self, item: Garbage) -> bool:
        receipt = self.receipts.get(item.key)
        if item.kind == "orphan":
            if receipt is None or receipt.explicit:
                return False
            try:
                self.receipts.remove(item.key, "nothing needed it any more")
            except Refused:
                return False
            self.discard(item.key)
            return True
        if item.kind == "rebuild":
            self.settle(item.key)
            return True
        if item.kind not in {"build", "scratch"} and receipt is not None:
            return False
        remove_tree(Path(item.path))
        return True


def default_home(environ: Mapping[str, str]) -> Path:
    """`DEVSETUP_HOME`, or `devsetup` in the user's data directory by the XDG rules, on macOS too.

    macOS' own place, `~/Library/Application Support`, has a space in its name, which many build systems cannot stand.
    """
    named = environ.get("DEVSETUP_HOME")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs.unix import Unix  # noqa: PLC0415 - not needed when the home is named

    return Unix("devsetup", appauthor=False).user_data_path


def free_bytes(path: Path) -> int:
    """Bytes that an unprivileged user may still write at a path, which need not exist yet."""
    for place in (path.absolute(), *path.absolute().parents):
        with contextlib.suppress(OSError):
            info = os.statvfs(place)
            return info.f_bavail * info.f_frsize
    return 0


def _checked(key: str) -> str:
    if not key or key.startswith(".") or "/" in key or "\0" in key:
        raise UsageError(f"{key!r} cannot be the name of an install")
    return key

"""Receipts: what each install really did. The only module that opens SQLite.

An install exists when its receipt does; so a receipt is written last and taken back first.

Durability: a rollback journal (SQLite's default, `DELETE`) with `synchronous=EXTRA`, which is FULL plus a sync of the
directory once the journal is gone. Measured by cutting off the disk under ext4, SQLite 3.40: of ten acknowledged
commits WAL with NORMAL kept none, DELETE with FULL nine, DELETE with EXTRA all ten. WAL with FULL kept all ten too, but
a WAL database does not open on a read-only file system, and a home must stay readable there. Transactions begin
IMMEDIATE: SQLite does not wait when a reader turns writer, and 700 of 800 concurrent writes failed that way.
"""

from __future__ import annotations

import contextlib
import errno
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from devsetup import __version__
from devsetup.amendment import Amendment
from devsetup.errors import Refused, StateError, UsageError
from devsetup.facts import Facts
from devsetup.plan import Part
from devsetup.proofs import Finding

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_BUSY_S = 30.0

# Statement lists: entry N turns schema version N into N + 1. `PRAGMA user_version` holds the version.
# `seq` orders receipts by when they were recorded, which a clock that was set back cannot upset.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE receipts (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
            installed_at TEXT NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX receipts_by_name ON receipts (name)",
        "CREATE TABLE needs (key TEXT NOT NULL, need TEXT NOT NULL, PRIMARY KEY (need, key)) WITHOUT ROWID",
        """CREATE TABLE history (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
            event TEXT NOT NULL, detail TEXT NOT NULL, log TEXT NOT NULL)""",
        "CREATE INDEX history_by_name ON history (name)",
    ),
)

_ELSEWHERE = "check its owner and permissions, or choose another place with `--home DIR`"
_ROOM = "free some room (`devsetup gc` helps), then run again"
_BROKEN = "restore {path} from a backup, or move it away and install again"

# SQLite's own words (3.10's sqlite3 gives no error code) to the next step.
_SQLITE_HINTS = (
    ("not a database", _BROKEN),
    ("malformed", _BROKEN),
    ("is full", _ROOM),
    ("locked", "another process has kept the receipts busy for 30 s; try again when it is done"),
    ("disk I/O error", "look for disk errors in `dmesg`, or choose a local disk with `--home DIR`"),
)


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class UsedSource(_Record, frozen=True, kw_only=True):
    """A source that an install was built from.

    Attributes:
        name: which of the recipe's fetches it answered.
        id: which of the equivalent sources it was (`1.0`).
        sha256: of the file; of a tree, its digest.
        origin: the URL, package or path that it came from.
        reasons: why each source before this one was passed over.
    """

    name: str
    id: str
    sha256: str
    origin: str
    reasons: tuple[str, ...] = ()


class UsedPatch(_Record, frozen=True, kw_only=True):
    """A patch of the recipe; `status` is `applied`, `already upstream` or `not needed here`."""

    name: str
    status: str
    why: str


class Attempt(_Record, frozen=True, kw_only=True):
    """A failure that was mended.

    Attributes:
        step: title of the step or proof that failed.
        error: one line: what was seen.
        symptom: id of the symptom that explained it.
        amendment: how the plan was changed.
        log: absolute path of the attempt's full log.
    """

    step: str
    error: str
    symptom: str
    amendment: Amendment
    log: str


class Receipt(_Record, frozen=True, kw_only=True):
    """What one install really did.

    Attributes:
        key: `name-version-digest8`, the name of the prefix in the store.
        digest: the part's sha256, 64 hexadecimal digits.
        prefix: absolute path of the install.
        installed_at: UTC, ISO 8601.
        seconds: wall time of building and proving.
        facts: the machine at that time.
        part: the plan of this install, steps included.
        log: absolute path of the full log.
        jobs: compile jobs used.
        devsetup: the version that did it.
        packages: system packages that the install added.
        explicit: asked for by name, rather than needed by another.
        attempts: the failures that were mended on the way, in order; the amendments are in the part, too.
    """

    key: str
    name: str
    version: str
    digest: str
    prefix: str
    installed_at: str
    seconds: float
    facts: Facts
    part: Part
    sources: tuple[UsedSource, ...] = ()
    patches: tuple[UsedPatch, ...] = ()
    proofs: tuple[Finding, ...] = ()
    log: str = ""
    jobs: int = 1
    devsetup: str = __version__
    packages: tuple[str, ...] = ()
    explicit: bool = True
    attempts: tuple[Attempt, ...] = ()


class Entry(_Record, frozen=True, kw_only=True):
    """One line of history.

    Attributes:
        at: UTC, ISO 8601.
        event: `installed`, `rebuilt`, `failed`, `interrupted`, `uninstalled` or `verified`.
        detail: one line: what failed, what was found.
        log: absolute path of the log, or empty.
    """

    at: str
    key: str
    name: str
    event: str
    detail: str = ""
    log: str = ""


@contextlib.contextmanager
def told(action: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into StateError: `cannot <action> <path>: <why>`, and a next step."""
    try:
        yield
    except OSError as error:
        raise StateError(f"cannot {action} {path}: {error.strerror or error}", _hint(error.errno)) from error


def _hint(code: int | None) -> str:
    if code in {errno.ENOSPC, errno.EDQUOT}:
        return _ROOM
    if code in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
        return "this file system offers no locks; choose a place on a local disk with `--home DIR`"
    return _ELSEWHERE


def make_dirs(path: Path) -> None:
    """Make a directory and its parents, so that they survive a power loss."""
    missing = [path, *path.parents]
    while missing and missing[-1].is_dir():
        missing.pop()
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        sync_dir(directory.parent)


def sync_dir(path: Path) -> None:
    """Make the entries of a directory durable, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems: they cannot, and there is nothing else to do
            raise
    finally:
        os.close(descriptor)


class Receipts:
    """The receipts of a home.

    Reading creates nothing: where no home exists, the answers are empty. Every method may raise StateError: the
    database is damaged, newer than this devsetup, busy for 30 s, or cannot be read or written.

    Attributes:
        path: `<home>/receipts/receipts.sqlite`.
    """

    def __init__(self, home: Path) -> None:
        self.path = home.absolute() / "receipts" / "receipts.sqlite"

    def get(self, key: str) -> Receipt | None:
        """The receipt of an install, or None when there is no such install."""
        found = self._receipts("SELECT key, body FROM receipts WHERE key = ?", key)
        return found[0] if found else None

    def all(self) -> tuple[Receipt, ...]:
        """Every receipt, newest first."""
        return self._receipts("SELECT key, body FROM receipts ORDER BY seq DESC")

    def named(self, name: str) -> tuple[Receipt, ...]:
        """The receipts of a recipe's installs, newest first."""
        return self._receipts("SELECT key, body FROM receipts WHERE name = ? ORDER BY seq DESC", name)

    def latest(self, name: str) -> Receipt | None:
        """The receipt of a recipe's newest install."""
        found = self._receipts("SELECT key, body FROM receipts WHERE name = ? ORDER BY seq DESC LIMIT 1", name)
        return found[0] if found else None

    def keys(self) -> frozenset[str]:
        """The keys of all installs, also of those whose receipt this version cannot read."""
        return frozenset(row[0] for row in self._select("SELECT key FROM receipts"))

    def serial(self, key: str) -> int | None:
        """The number of an install's receipt: another one when it is replaced, and never used again."""
        found = self._select("SELECT seq FROM receipts WHERE key = ?", key)
        return int(found[0][0]) if found else None

    def history(self, name: str) -> tuple[Entry, ...]:
        """What happened to a recipe here, oldest first."""
        query = "SELECT at, key, name, event, detail, log FROM history WHERE name = ? ORDER BY seq"
        return tuple(
            Entry(at=at, key=key, name=of, event=event, detail=detail, log=log)
            for at, key, of, event, detail, log in self._select(query, name)
        )

    def add(self, receipt: Receipt) -> None:
        """Record an install and its line of history, durably, in one transaction; replaces a receipt of the same key.

        Raises:
            StateError: also when an install that this one needs has been removed meanwhile.
        """
        body = msgspec.json.encode(receipt).decode()
        with self._writing() as db:
            have = {row[0] for row in db.execute("SELECT key FROM receipts")}
            gone = [need for need in receipt.part.needs if need not in have]
            if gone:
                raise StateError(f"{receipt.key} needs {', '.join(gone)}, which is not installed", "install it again")
            entry = Entry(
                at=receipt.installed_at,
                key=receipt.key,
                name=receipt.name,
                event="rebuilt" if receipt.key in have else "installed",
                detail=f"in {receipt.seconds:.1f} s",
                log=receipt.log,
            )
            db.execute(
                "INSERT OR REPLACE INTO receipts (key, name, installed_at, digest, body) VALUES (?, ?, ?, ?, ?)",
                (receipt.key, receipt.name, receipt.installed_at, receipt.digest, body),
            )
            db.execute("DELETE FROM needs WHERE key = ?", (receipt.key,))
            db.executemany("INSERT INTO needs VALUES (?, ?)", {(receipt.key, need) for need in receipt.part.needs})
            _append(db, entry)

    def remove(self, key: str, detail: str = "") -> None:
        """Take back the receipt of an install and record that, in one transaction.

        Raises:
            UsageError: there is no such install.
            Refused: other installs need it; the message names them.
        """
        with self._writing() as db:
            row = db.execute("SELECT name FROM receipts WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise UsageError(f"{key} is not installed")
            users = [user for (user,) in db.execute("SELECT key FROM needs WHERE need = ? ORDER BY key", (key,))]
            if users:
                raise Refused(f"{key} is needed by {', '.join(users)}", f"uninstall {', '.join(users)} first")
            db.execute("DELETE FROM receipts WHERE key = ?", (key,))
            db.execute("DELETE FROM needs WHERE key = ?", (key,))
            at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            _append(db, Entry(at=at, key=key, name=row[0], event="uninstalled", detail=detail))

    def mark_explicit(self, key: str) -> None:
        """Remember that an install, so far only needed by another, was asked for by name.

        Raises:
            UsageError: there is no such install.
        """
        with self._writing() as db:
            row = db.execute("SELECT body FROM receipts WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise UsageError(f"{key} is not installed")
            receipt = msgspec.structs.replace(_decoded(key, row[0]), explicit=True)
            body = msgspec.json.encode(receipt).decode()
            db.execute("UPDATE receipts SET body = ? WHERE key = ?", (body, key))

    def record(self, entry: Entry) -> None:
        """Add a line to the history."""
        with self._writing() as db:
            _append(db, entry)

    def _receipts(self, query: str, *values: str) -> tuple[Receipt, ...]:
        return tuple(_decoded(key, body) for key, body in self._select(query, *values))

    def _select(self, query: str, *values: str) -> list[tuple[str, ...]]:
        import sqlite3  # noqa: PLC0415 - most commands never ask

        with self._explained():
            try:
                self.path.stat()
            except FileNotFoundError:
                return []
            try:
                return self._query("mode=rw", query, values)
            except sqlite3.OperationalError:
                if os.access(self.path, os.W_OK) or self._unfinished():
                    raise
                # Nobody can write here, so it is safe to read without locks and without shared memory.
                return self._query("mode=ro&immutable=1", query, values)

    def _query(self, mode: str, query: str, values: tuple[str, ...]) -> list[tuple[str, ...]]:
        # `mode=rw` creates nothing, opens a write-protected file for reading, and undoes what a killed writer left.
        with contextlib.closing(self._connected(mode)) as db:
            version = self._version(db)
            if version == 0:
                return []
            if version < len(_MIGRATIONS):
                with self._writing():
                    pass
            return db.execute(query, values).fetchall()

    def _unfinished(self) -> bool:
        """Whether a killed writer left a journal: without it, the database alone may be torn."""
        leftovers = (self.path.with_name(self.path.name + suffix) for suffix in ("-journal", "-wal"))
        return any(path.exists() and path.stat().st_size for path in leftovers)

    def _connected(self, mode: str) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415 - see _select

        return sqlite3.connect(f"{self.path.as_uri()}?{mode}", uri=True, timeout=_BUSY_S, isolation_level=None)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, undone when anything is raised, because closing undoes it."""
        with self._explained():
            make_dirs(self.path.parent)
            with contextlib.closing(self._connected("mode=rwc")) as db:
                db.execute("PRAGMA synchronous=EXTRA")
                db.execute("BEGIN IMMEDIATE")
                for version in range(self._version(db), len(_MIGRATIONS)):
                    for statement in _MIGRATIONS[version]:
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version={version + 1}")
                yield db
                db.execute("COMMIT")

    def _version(self, db: sqlite3.Connection) -> int:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise StateError(
                f"{self.path} has schema {version}, and devsetup {__version__} knows schema {len(_MIGRATIONS)}",
                "upgrade devsetup, or choose another place with `--home DIR`",
            )
        return version

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        import sqlite3  # noqa: PLC0415 - see _select

        try:
            with told("use", self.path):
                yield
        except sqlite3.Error as error:
            words = str(error)
            hint = next((hint for part, hint in _SQLITE_HINTS if part in words), _ELSEWHERE)
            raise StateError(f"cannot use {self.path}: {words}", hint.format(path=self.path)) from error


def _decoded(key: str, body: str) -> Receipt:
    try:
        return msgspec.json.decode(body, type=Receipt)
    except msgspec.MsgspecError as error:
        raise StateError(
            f"the receipt of {key} cannot be read by devsetup {__version__}: {error}",
            "a newer devsetup may have written it: upgrade devsetup",
        ) from error


def _append(db: sqlite3.Connection, entry: Entry) -> None:
    query = "INSERT INTO history (at, key, name, event, detail, log) VALUES (?, ?, ?, ?, ?, ?)"
    db.execute(query, msgspec.structs.astuple(entry))

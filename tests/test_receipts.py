"""The receipts database: real SQLite, real processes, real refusals of the operating system."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from homes import READ_ONLY, ROOT, make_receipt, memory, mounted, powerless, python, told_by

from devsetup import receipts
from devsetup.errors import Refused, StateError, UsageError
from devsetup.receipts import Entry, Receipts


def test_a_receipt_comes_back_equal(tmp_path: Path) -> None:
    receipt = make_receipt()
    Receipts(tmp_path).add(receipt)
    assert Receipts(tmp_path).get(receipt.key) == receipt
    assert Receipts(tmp_path).get("other-1-00000000") is None
    entry = Entry(
        at=receipt.installed_at, key=receipt.key, name="toy", event="installed", detail="in 12.3 s", log=receipt.log
    )
    assert Receipts(tmp_path).history("toy") == (entry,)


def test_newest_is_what_was_recorded_last_whatever_the_clock_said(tmp_path: Path) -> None:
    old = make_receipt(version="1.0", installed_at="2031-01-01T00:00:00+00:00")
    new = make_receipt(version="2.0", installed_at="1970-01-01T00:00:00+00:00")
    other = make_receipt("other")
    base = Receipts(tmp_path)
    for receipt in (old, new, other):
        base.add(receipt)
    assert base.named("toy") == (new, old)
    assert base.latest("toy") == new
    assert base.latest("nothing") is None
    assert base.all() == (other, new, old)
    assert base.keys() == {old.key, new.key, other.key}


def test_adding_again_replaces(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    base.add(make_receipt(jobs=1))
    base.add(make_receipt(jobs=7))
    assert [receipt.jobs for receipt in base.all()] == [7]
    assert len(base.history("toy")) == 2


def test_remove_leaves_history(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    receipt = make_receipt()
    base.add(receipt)
    base.record(Entry(at="2025-01-03T00:00:00+00:00", key=receipt.key, name="toy", event="verified", detail="works"))
    base.remove(receipt.key, "no longer wanted")
    assert base.get(receipt.key) is None
    events = [(entry.event, entry.detail) for entry in base.history("toy")]
    assert events == [("installed", "in 12.3 s"), ("verified", "works"), ("uninstalled", "no longer wanted")]
    with pytest.raises(UsageError, match="not installed"):
        base.remove(receipt.key)


def test_what_others_need_stays(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    below = make_receipt("below")
    above = make_receipt("above", needs=(below.key,))
    with pytest.raises(StateError, match=f"{above.key} needs {below.key}, which is not installed"):
        base.add(above)
    assert base.all() == ()
    base.add(below)
    base.add(above)
    with pytest.raises(Refused, match=f"{below.key} is needed by {above.key}"):
        base.remove(below.key)
    assert base.get(below.key) == below
    base.remove(above.key)
    base.remove(below.key)
    assert base.all() == ()


def test_mark_explicit(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    receipt = make_receipt(explicit=False)
    base.add(receipt)
    base.mark_explicit(receipt.key)
    assert base.get(receipt.key) == msgspec.structs.replace(receipt, explicit=True)
    with pytest.raises(UsageError, match="not installed"):
        base.mark_explicit("other-1-00000000")


def test_reading_creates_nothing(tmp_path: Path) -> None:
    base = Receipts(tmp_path / "home")
    assert base.get("k") is None
    assert (base.all(), base.named("toy"), base.latest("toy"), base.history("toy")) == ((), (), None, ())
    assert list(tmp_path.iterdir()) == []


def test_reading_does_not_touch_what_is_there(tmp_path: Path) -> None:
    Receipts(tmp_path).add(make_receipt())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert Receipts(tmp_path).all()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    """What a process leaves that was killed right after creating it."""
    base = Receipts(tmp_path)
    base.path.parent.mkdir()
    base.path.touch()
    assert base.all() == ()
    base.add(make_receipt())
    assert len(base.all()) == 1


def test_awkward_home_names(tmp_path: Path) -> None:
    home = tmp_path / "a b?mode=memory#c%20d ü"
    Receipts(home).add(make_receipt())
    assert (home / "receipts" / "receipts.sqlite").stat().st_size > 0
    assert len(Receipts(home).all()) == 1


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    base.add(make_receipt())
    with sqlite3.connect(base.path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = base.path.read_bytes()
    for attempt in (base.all, lambda: base.add(make_receipt("other"))):
        with pytest.raises(StateError, match=r"has schema 99, and devsetup .* knows schema 1") as caught:
            attempt()
        assert "upgrade devsetup" in str(caught.value.hint)
    assert base.path.read_bytes() == before


def test_an_older_schema_is_brought_up_to_date_by_readers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Receipts(tmp_path)
    base.add(make_receipt())
    added = ("ALTER TABLE history ADD COLUMN host TEXT NOT NULL DEFAULT ''",)
    monkeypatch.setattr(receipts, "_MIGRATIONS", (*receipts._MIGRATIONS, added))
    assert len(base.all()) == 1
    with sqlite3.connect(base.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT host FROM history").fetchall() == [("",)]
    db.close()


def test_a_failed_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Receipts(tmp_path)
    base.add(make_receipt())
    broken = ("ALTER TABLE history ADD COLUMN host TEXT", "ALTER TABLE nowhere ADD COLUMN x TEXT")
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_MIGRATIONS", (*receipts._MIGRATIONS, broken))
        with pytest.raises(StateError, match="nowhere"):
            base.add(make_receipt("other"))
    assert [receipt.name for receipt in base.all()] == ["toy"]


@pytest.mark.parametrize("damage", ["replaced", "overwritten"])
def test_a_damaged_database_is_named_and_kept(tmp_path: Path, damage: str) -> None:
    base = Receipts(tmp_path)
    for number in range(20):
        base.add(make_receipt(f"toy{number}"))
    data = base.path.read_bytes()
    bad = b"not a database at all\n" * 500 if damage == "replaced" else data[:4096] + b"\xff" * (len(data) - 4096)
    base.path.write_bytes(bad)
    for attempt in (base.all, lambda: base.add(make_receipt("new"))):
        with pytest.raises(StateError, match=str(base.path)) as caught:
            attempt()
        assert "backup" in str(caught.value.hint)
    assert base.path.read_bytes() == bad


@pytest.mark.parametrize(
    ("old", "new"),
    [('"jobs":2', '"jobs":2,"colour":"red"'), ('"jobs":2', '"jobs":"two"'), ('"seconds"', '"moments"'), ("}", "")],
)
def test_a_receipt_that_cannot_be_read_is_named(tmp_path: Path, old: str, new: str) -> None:
    base = Receipts(tmp_path)
    receipt = make_receipt()
    base.add(receipt)
    with sqlite3.connect(base.path) as db:
        assert db.execute("UPDATE receipts SET body = replace(body, ?, ?)", (old, new)).rowcount == 1
    db.close()
    with pytest.raises(StateError, match=f"the receipt of {receipt.key} cannot be read") as caught:
        base.get(receipt.key)
    assert "upgrade devsetup" in str(caught.value.hint)
    assert base.keys() == {receipt.key}
    base.remove(receipt.key)
    assert base.all() == ()


def test_home_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("mine")
    for attempt in (Receipts(home).all, lambda: Receipts(home).add(make_receipt())):
        with pytest.raises(StateError, match=str(home)) as caught:
            attempt()
        assert "--home DIR" in str(caught.value.hint)
    assert home.read_text() == "mine"


ADD = """from homes import make_receipt
from devsetup.receipts import Receipts
Receipts(home).add(make_receipt('b'))"""
LIST = "from devsetup.receipts import Receipts\nprint([receipt.name for receipt in Receipts(home).all()])"


def test_a_directory_without_permission_reads_and_refuses(tmp_path: Path) -> None:
    Receipts(tmp_path).add(make_receipt())
    for path in (tmp_path / "receipts" / "receipts.sqlite", tmp_path / "receipts", tmp_path):
        path.chmod(path.stat().st_mode & 0o555)
    try:
        assert told_by(tmp_path, LIST, *powerless()) == "['toy']"
        said = told_by(tmp_path, ADD, *powerless())
        assert said.startswith("StateError: ")
        assert str(tmp_path) in said
        assert "--home DIR" in said
    finally:
        for path in (tmp_path, tmp_path / "receipts"):
            path.chmod(0o755)
    assert [receipt.name for receipt in Receipts(tmp_path).all()] == ["toy"]


def test_an_unreadable_home_says_so(tmp_path: Path) -> None:
    Receipts(tmp_path).add(make_receipt())
    (tmp_path / "receipts").chmod(0)
    try:
        assert "Permission denied | " in told_by(tmp_path, LIST, *powerless())
    finally:
        (tmp_path / "receipts").chmod(0o755)


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_read_only_file_system_reads_and_refuses(tmp_path: Path, journal: str) -> None:
    """We never write WAL; a home that some other tool converted still reads, through `immutable=1`."""
    base = Receipts(tmp_path)
    base.add(make_receipt())
    with sqlite3.connect(base.path) as db:
        assert db.execute(f"PRAGMA journal_mode={journal}").fetchone() == (journal.lower(),)
    db.close()
    words = mounted(tmp_path, READ_ONLY)
    assert told_by(tmp_path, LIST, *words) == "['toy']"
    said = told_by(tmp_path, ADD, *words)
    assert said.startswith("StateError: cannot use ")
    assert "--home DIR" in said


DIE_WITH_A_JOURNAL = """
import os, sqlite3
db = sqlite3.connect(home / "receipts" / "receipts.sqlite", isolation_level=None)
db.execute("PRAGMA cache_size=1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE receipts SET name = 'torn'")
for number in range(200):
    db.execute("INSERT INTO history VALUES (NULL, '', '', '', '', ?, '')", ("x" * 4000,))
os._exit(9)
"""


def test_what_a_killed_writer_left_is_undone_or_told(tmp_path: Path) -> None:
    base = Receipts(tmp_path)
    base.add(make_receipt())
    assert python(tmp_path, DIE_WITH_A_JOURNAL).returncode == 9
    assert base.path.with_name("receipts.sqlite-journal").stat().st_size > 0
    assert b"torn" in base.path.read_bytes()
    words = mounted(tmp_path, READ_ONLY)
    assert told_by(tmp_path, LIST, *words).startswith("StateError: cannot use ")
    assert base.latest("toy") is not None
    assert len(base.history("toy")) == 1


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    fill = """
from homes import make_receipt
from devsetup.errors import StateError
from devsetup.receipts import Receipts
base = Receipts(home)
done = 0
try:
    for number in range(200):
        base.add(make_receipt(f"toy{number}"))
        done += 1
except StateError as error:
    print(error.message, error.hint)
print(0 < done < 200, len(base.all()) == done)
"""
    lines = python(tmp_path, fill, *mounted(tmp_path, 'mount -t tmpfs -o size=256k none "$home"')).stdout.splitlines()
    assert len(lines) == 2, lines
    assert "receipts.sqlite: " in lines[0]
    assert "devsetup gc" in lines[0]
    assert lines[1] == "True True"


@pytest.mark.parametrize(
    ("calls", "words"), [("write,pwrite64", "database or disk is full"), ("fsync,fdatasync", "disk I/O error")]
)
def test_a_disk_that_refuses_a_write(tmp_path: Path, calls: str, words: str) -> None:
    """strace makes the kernel refuse what SQLite does with its journal."""
    base = Receipts(tmp_path)
    base.add(make_receipt())
    journal = f"--trace-path={base.path}-journal"
    refuse = f"--inject={calls}:error=ENOSPC"
    said = told_by(tmp_path, ADD, "strace", "-f", "-qq", "--output=/dev/null", f"--trace={calls}", journal, refuse)
    assert said.startswith(f"StateError: cannot use {base.path}: {words} | ")
    assert [receipt.name for receipt in base.all()] == ["toy"]


def test_eight_processes_write_at_once() -> None:
    with memory() as made:
        write_at_once(Path(made))


def write_at_once(home: Path) -> None:
    code = """
from homes import make_receipt
from devsetup.receipts import Receipts
base = Receipts(home)
for number in range(25):
    base.add(make_receipt(f"toy-{sys.argv[2]}-{number}"))
"""
    start = "import sys; from pathlib import Path; home = Path(sys.argv[1])\n"
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", start + code, str(home), str(number)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    errors = [process.communicate()[1] for process in running]
    assert errors == [""] * 8
    assert len(Receipts(home).all()) == 200


def test_reading_loads_nothing_heavy(tmp_path: Path) -> None:
    Receipts(tmp_path).add(make_receipt())
    code = """
from devsetup.receipts import Receipts
assert "sqlite3" not in sys.modules, "importing the module is not using it"
assert Receipts(home).latest("toy")
print(sorted({"rich", "click", "filelock", "ctypes", "ssl", "jinja2", "platformdirs"} & set(sys.modules)))
"""
    done = python(tmp_path, code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

"""What devsetup owns: real homes that were damaged, left unfinished, moved, or written by a newer devsetup."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from doctor_installs import exam_of, put, receipt_of
from doctoring import Couch, check, only

from devsetup.doctor import Exam
from devsetup.doctor.checks import every
from devsetup.receipts import Receipt
from devsetup.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def repaired(exam: Exam) -> tuple[str, ...]:
    (found,) = (each for each in every() if each.id == "own.leftovers")
    assert found.repair is not None
    return found.repair(exam)


def test_a_home_that_does_not_exist_has_nothing_to_say_and_stays_so(tmp_path: Path) -> None:
    assert check("own", exam_of(tmp_path / "home")) == ()
    assert list(tmp_path.iterdir()) == []


def test_receipts(store: Store) -> None:
    put(store, receipt_of(store))
    found = only("own", exam_of(store.home))
    assert (found.id, found.status, found.summary) == ("own.store", "ok", "receipts of 1 install")


def test_receipts_that_cannot_be_read(store: Store) -> None:
    put(store, receipt_of(store))
    store.receipts.path.write_bytes(b"x" * 8192)
    found = only("own", exam_of(store.home, receipts=()))
    assert found.status == "fail"
    assert str(store.receipts.path) in found.summary
    assert found.fix is not None
    assert "restore" in found.fix.text


def test_receipts_of_a_newer_schema(store: Store) -> None:
    put(store, receipt_of(store))
    with sqlite3.connect(store.receipts.path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    found = only("own", exam_of(store.home, receipts=()))
    assert found.status == "fail"
    assert "schema 99" in found.summary
    assert found.fix is not None
    assert "upgrade devsetup" in found.fix.text


def test_receipts_of_a_newer_devsetup(store: Store) -> None:
    put(store, receipt_of(store, devsetup="99.1"))
    found = only("own", exam_of(store.home))
    assert found.status == "warn"
    assert "were written by devsetup 99.1" in found.summary


def one(store: Store, name: str) -> Receipt:
    return put(store, receipt_of(store, name))


def test_a_prefix_that_is_gone(store: Store) -> None:
    receipt = one(store, "toy")
    assert check("own.installs", exam_of(store.home)) == ()
    shutil.rmtree(store.prefix(receipt.key))
    found = only("own.installs", exam_of(store.home))
    assert found.status == "fail"
    assert found.summary == f"toy is recorded as installed, and {store.prefix(receipt.key)} is not there"
    assert found.fix is not None
    assert found.fix.commands == ("devsetup install --rebuild toy",)


def test_a_home_that_was_moved(store: Store, tmp_path: Path) -> None:
    one(store, "toy")
    store.home.rename(tmp_path / "other")
    found = only("own.installs", exam_of(tmp_path / "other"))
    assert found.status == "fail"
    assert f"was built in {store.home}/store/" in found.summary
    store.home.symlink_to(tmp_path / "other")
    assert check("own.installs", exam_of(tmp_path / "other")) == ()  # the old name leads there


def test_leftovers_go_and_what_a_failure_left_for_a_look_stays(store: Store) -> None:
    kept = one(store, "kept")
    orphan = put(store, receipt_of(store, "orphan", explicit=False))
    store.prepare("half-1-00000000")
    (store.prefix("half-1-00000000") / "file").write_text("x")
    exam = exam_of(store.home)
    results = check("own.leftovers", exam)
    assert all(result.status == "info" for result in results)
    automatic = {result.evidence[0].source for result in results if result.fix and result.fix.auto}
    assert automatic == {
        str(store.prefix("half-1-00000000")),
        str(store.artifacts("half-1-00000000")),
        str(store.prefix(orphan.key)),
    }
    done = repaired(exam)
    assert set(done) == {f"removed {path}" for path in automatic}
    assert not store.prefix("half-1-00000000").exists()
    assert store.build("half-1-00000000").is_dir()
    assert [receipt.key for receipt in store.receipts.all()] == [kept.key]
    (left,) = check("own.leftovers", exam_of(store.home))
    assert "kept for a look" in left.summary
    assert left.fix is not None
    assert not left.fix.auto
    assert repaired(exam_of(store.home)) == ()


def test_a_rebuild_that_was_cut_short_is_put_back(store: Store) -> None:
    receipt = one(store, "toy")
    store.set_aside(receipt.key)
    store.drop_build(receipt.key)
    (found,) = check("own", exam_of(store.home))[1:]
    assert (found.id, found.status) == ("own.leftovers", "warn")
    assert "the install before it comes back" in found.summary
    assert found.fix is not None
    assert found.fix.auto
    assert len(repaired(exam_of(store.home))) == 1
    assert (store.prefix(receipt.key) / "tool").read_text() == "works"
    assert check("own.leftovers", exam_of(store.home)) == ()


def test_what_is_in_use_stays(store: Store) -> None:
    store.prepare("half-1-00000000")
    store.drop_build("half-1-00000000")
    exam = exam_of(store.home)
    with store.lock("half-1-00000000"):
        assert check("own.leftovers", exam) == ()
        assert repaired(exam) == ()
    assert store.prefix("half-1-00000000").is_dir()


def test_settings(tmp_path: Path) -> None:
    couch = Couch(tmp_path / "root")
    assert check("own.config", couch.exam(HOME="/home/user")) == ()
    couch.write("/home/user/.config/devsetup/config.toml", "cuda = 7\n")
    found = only("own.config", couch.exam(HOME="/home/user"))
    assert found.status == "fail"
    assert "config.toml is not a valid configuration" in found.summary
    assert "$.cuda" in found.summary
    couch.write("/home/user/.config/devsetup/config.toml", 'cuda = "/opt/cuda"\n')
    assert check("own.config", couch.exam(HOME="/home/user")) == ()
    couch.write("/etc/mine/devsetup/config.toml", "[")
    assert only("own.config", couch.exam(HOME="/home/user", XDG_CONFIG_HOME="/etc/mine")).status == "fail"

"""The store: locks between real processes, removal of awkward trees, garbage, refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from homes import READ_ONLY, ROOT, make_receipt, mounted, powerless, told_by

from devsetup.errors import Refused, StateError, UsageError
from devsetup.events import Note, Waiting
from devsetup.store import Garbage, Store, default_home, free_bytes

if TYPE_CHECKING:
    from devsetup.events import Event
    from devsetup.receipts import Receipt


def installed(store: Store, receipt: Receipt) -> Receipt:
    with store.lock(receipt.key):
        store.prepare(receipt.key)
        (store.prefix(receipt.key) / "bin").mkdir()
        (store.prefix(receipt.key) / "bin" / "tool").write_text("works")
        (store.artifacts(receipt.key) / "result.json").write_text("{}")
        store.drop_build(receipt.key)
        store.commit(receipt)
    return receipt


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def started(home: Path, code: str, *words: str) -> subprocess.Popen[str]:
    start = (
        "import sys, time; from pathlib import Path; from devsetup.store import Store; store = Store(Path(sys.argv[1]))"
    )
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    argv = [sys.executable, "-c", f"{start}\n{code}", str(home), *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environ)


HOLD = """
with store.lock("toy-1-00000000"):
    store.prepare("toy-1-00000000")
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(home: Path) -> subprocess.Popen[str]:
    process = started(home, HOLD)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


KEY = "toy-1-00000000"


def test_creating_a_store_and_asking_creates_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    assert store.garbage(downloads=True) == ()
    assert store.receipts.all() == ()
    assert list(tmp_path.iterdir()) == []


def test_layout(tmp_path: Path) -> None:
    store = Store(tmp_path)
    installed(store, make_receipt(key=KEY))
    assert names(tmp_path) == {
        f"store/{KEY}/bin/tool",
        f"receipts/{KEY}/result.json",
        f"receipts/{KEY}/.files.json",
        "receipts/receipts.sqlite",
        f"locks/{KEY}.lock",
    }
    now = datetime(2025, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    log = store.new_log("toy", KEY, now)
    assert log == tmp_path / "logs" / "toy" / f"20250102T030405.000006Z-{KEY}.log"
    assert log.parent.is_dir()


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store(Path("home")).prefix(KEY) == tmp_path / "home" / "store" / KEY


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b"])
def test_a_key_is_one_plain_name(tmp_path: Path, key: str) -> None:
    for place in (Store(tmp_path).prefix, Store(tmp_path).build, Store(tmp_path).artifacts, Store(tmp_path).discard):
        with pytest.raises(UsageError, match="cannot be the name"):
            place(key)


def test_prepare_clears_what_a_killed_attempt_left(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for place in (store.prefix(KEY), store.build(KEY), store.artifacts(KEY)):
        (place / "sub").mkdir(parents=True)
        (place / "sub" / "left").write_text("over")
        (place / "sub").chmod(0o555)
    store.prepare(KEY)
    assert names(tmp_path) == set()
    assert all(path.is_dir() for path in (store.prefix(KEY), store.build(KEY), store.artifacts(KEY)))


def test_prepare_refuses_what_is_installed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    installed(store, make_receipt(key=KEY))
    with pytest.raises(Refused, match=f"{KEY} is installed already"):
        store.prepare(KEY)
    assert (store.prefix(KEY) / "bin" / "tool").read_text() == "works"


def test_commit_without_a_prefix_records_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StateError, match=KEY):
        store.commit(make_receipt(key=KEY))
    assert store.receipts.all() == ()


def test_a_disk_that_fails_to_sync_records_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare(KEY)
    code = f"""from homes import make_receipt
from devsetup.store import Store
Store(home).commit(make_receipt(key="{KEY}"))"""
    words = ["strace", "-f", "-qq", "--output=/dev/null", "--trace=syncfs", "--inject=syncfs:error=EIO"]
    said = told_by(tmp_path, code, *words)
    assert said.startswith(f"StateError: cannot write {store.prefix(KEY)}: Input/output error")
    assert store.receipts.all() == ()


def test_uninstall(tmp_path: Path) -> None:
    store = Store(tmp_path)
    below = installed(store, make_receipt("below"))
    above = installed(store, make_receipt("above", needs=(below.key,)))
    with pytest.raises(Refused, match=f"needed by {above.key}"):
        store.uninstall(below.key)
    assert (store.prefix(below.key) / "bin" / "tool").exists()
    store.uninstall(above.key)
    store.uninstall(below.key)
    assert store.receipts.all() == ()
    assert [path for path in names(tmp_path) if not path.startswith("locks/")] == ["receipts/receipts.sqlite"]
    with pytest.raises(UsageError, match="not installed"):
        store.uninstall(below.key)


def test_one_of_many_processes_builds(tmp_path: Path) -> None:
    code = f"""
from homes import make_receipt
with store.lock("{KEY}"):
    if store.receipts.get("{KEY}") is None:
        store.prepare("{KEY}")
        time.sleep(0.2)
        (store.prefix("{KEY}") / "by").write_text(sys.argv[2])
        store.commit(make_receipt(key="{KEY}"))
        print("built")
    else:
        print("found")
"""
    running = [started(tmp_path, code, str(number)) for number in range(4)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert said == ["built", "found", "found", "found"]
    assert len(Store(tmp_path).receipts.history("toy")) == 1


def test_waiting_names_the_owner_once_and_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    process = holder(tmp_path)
    seen: list[Event] = []

    def emit(event: Event) -> None:
        seen.append(event)
        os.kill(process.pid, signal.SIGKILL)

    with Store(tmp_path).lock(KEY, emit):
        assert seen == [Waiting(KEY, f"process {process.pid}")]
    ended(process)


def test_a_lock_is_let_go_when_its_work_fails(tmp_path: Path) -> None:
    seen: list[Event] = []
    with pytest.raises(ZeroDivisionError), Store(tmp_path).lock(KEY, seen.append):
        raise ZeroDivisionError
    with Store(tmp_path).lock(KEY, seen.append):
        assert seen == []


def test_control_c_ends_the_wait(tmp_path: Path) -> None:
    process = holder(tmp_path)
    wait = f"""
from devsetup.events import Waiting
try:
    with store.lock("{KEY}", lambda event: print("waiting", flush=True)):
        print("got it")
except KeyboardInterrupt:
    print("interrupted")
"""
    waiter = started(tmp_path, wait)
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "waiting\n"
    waiter.send_signal(signal.SIGINT)
    assert waiter.communicate(timeout=60)[0] == "interrupted\n"
    ended(process)


def test_a_file_system_without_locks(tmp_path: Path) -> None:
    code = f"from devsetup.store import Store\nwith Store(home).lock('{KEY}'): print('locked')"
    for error, words in (("ENOLCK", "No locks available"), ("ENOSYS", "Function not implemented")):
        refuse = ["strace", "-f", "-qq", "--output=/dev/null", "--trace=flock", f"--inject=flock:error={error}"]
        said = told_by(tmp_path, code, *refuse)
        assert said.startswith(f"StateError: cannot lock {tmp_path}/locks/{KEY}.lock: {words} | ")
        assert "--home DIR" in said


def test_leftovers_are_garbage_and_installs_are_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = installed(store, make_receipt("kept"))
    store.build(kept.key).mkdir()
    store.prepare(KEY)
    for place in (store.prefix(KEY), store.build(KEY), store.artifacts(KEY)):
        (place / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "store" / "lost+found").mkdir()
    (tmp_path / "store" / "notes.txt").write_text("mine")
    found = store.garbage()
    assert {(item.kind, Path(item.path), item.key) for item in found} == {
        ("prefix", store.prefix(KEY), KEY),
        ("build", store.build(KEY), KEY),
        ("build", store.build(kept.key), kept.key),
        ("artifacts", store.artifacts(KEY), KEY),
    }
    sizes = {item.kind: item.bytes for item in found if item.key == KEY}
    assert all(100_000 <= size < 120_000 for size in sizes.values())
    assert msgspec.json.decode(msgspec.json.encode(found), type=tuple[Garbage, ...]) == found
    assert store.collect(found) == sum(item.bytes for item in found)
    assert store.garbage() == ()
    assert (tmp_path / "store" / "notes.txt").exists()
    assert (tmp_path / "store" / "lost+found").exists()
    assert (store.prefix(kept.key) / "bin" / "tool").exists()


def test_what_a_living_process_builds_is_no_garbage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    orphan = installed(store, make_receipt("orphan", explicit=False))
    process = holder(tmp_path)
    assert store.garbage() == ()
    ended(process)
    assert {item.key for item in store.garbage()} == {KEY, orphan.key}


def test_collect_looks_again(tmp_path: Path) -> None:
    """Between listing and removing, another process may install, or begin to build."""
    store = Store(tmp_path)
    store.prepare(KEY)
    listed = [item for item in store.garbage() if item.kind != "build"]
    installed(store, make_receipt(key=KEY))
    seen: list[Event] = []
    assert store.collect(listed, seen.append) == 0
    assert [type(event) for event in seen] == [Note, Note]
    assert (store.prefix(KEY) / "bin" / "tool").exists()
    store.uninstall(KEY)
    process = holder(tmp_path)
    assert store.collect(listed, seen.append) == 0
    assert store.prefix(KEY).is_dir()
    ended(process)


def test_orphans(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = installed(store, make_receipt("base", explicit=False))
    middle = installed(store, make_receipt("middle", explicit=False, needs=(base.key,)))
    top = installed(store, make_receipt("top", needs=(middle.key,)))
    assert store.garbage() == ()
    store.uninstall(top.key)
    found = store.garbage()
    assert [(item.kind, item.key) for item in found] == [("orphan", middle.key), ("orphan", base.key)]
    store.receipts.mark_explicit(base.key)
    assert store.collect(found) == found[0].bytes
    assert [receipt.key for receipt in store.receipts.all()] == [base.key]
    assert not store.prefix(middle.key).exists()
    assert not store.artifacts(middle.key).exists()


def test_an_orphan_that_found_a_user_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = installed(store, make_receipt("base", explicit=False))
    found = store.garbage()
    installed(store, make_receipt("user", needs=(base.key,)))
    assert store.collect(found) == 0
    assert (store.prefix(base.key) / "bin" / "tool").exists()


def test_downloads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.downloads / "sub").mkdir(parents=True)
    for name, age in (("whole.tar.gz", 100_000), ("sub/old.part", 100_000), ("new.part", 10)):
        path = store.downloads / name
        path.write_bytes(b"x" * 5000)
        os.utime(path, (time.time() - age,) * 2)
    stale = store.garbage()
    assert [Path(item.path).name for item in stale] == ["old.part"]
    assert store.collect(stale) == 8192
    assert {Path(item.path).name for item in store.garbage(downloads=True)} == {"whole.tar.gz", "new.part"}
    store.collect(store.garbage(downloads=True))
    assert names(store.downloads) == set()


def test_check_writable(tmp_path: Path) -> None:
    Store(tmp_path / "new" / "home").check_writable()
    assert names(tmp_path) == set()
    (tmp_path / "file").write_text("mine")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateError, match=f"cannot write {home}") as caught:
            Store(home).check_writable()
        assert "--home DIR" in str(caught.value.hint)


def test_check_writable_refuses_names_that_receipts_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not UTF-8"):
        Store(tmp_path / "caf\udce9").check_writable()


ACTIONS = {
    "check": "store.check_writable()",
    "lock": f"with store.lock('{KEY}'): pass",
    "prepare": "store.prepare('new-1-00000000')",
    "log": f"store.new_log('toy', '{KEY}')",
    "uninstall": f"store.uninstall('{KEY}')",
    "collect": "print(len(store.garbage())); store.collect(store.garbage())",
}


@pytest.mark.parametrize("how", ["mount", "permissions"])
def test_a_read_only_home_lists_and_refuses(tmp_path: Path, how: str) -> None:
    store = Store(tmp_path)
    installed(store, make_receipt(key=KEY))
    store.build(KEY).mkdir()
    words = mounted(tmp_path, READ_ONLY) if how == "mount" else powerless()
    paths = [tmp_path, *tmp_path.rglob("*")] if how == "permissions" else []
    for path in paths:
        path.chmod(path.stat().st_mode & 0o555)
    try:
        for name, action in ACTIONS.items():
            code = f"from devsetup.store import Store\nstore = Store(home)\nprint(len(store.receipts.all()))\n{action}"
            said = told_by(tmp_path, code, *words).splitlines()
            assert said[0] == "1", name
            assert said[-1].startswith("StateError: cannot "), name
            assert str(tmp_path) in said[-1], name
            assert said[-1].endswith("choose another place with `--home DIR`"), name
    finally:
        for path in paths:
            path.chmod(0o755)
    assert (store.prefix(KEY) / "bin" / "tool").read_text() == "works"
    assert store.receipts.get(KEY) is not None


def test_a_full_disk_while_preparing(tmp_path: Path) -> None:
    code = """from devsetup.store import Store
from devsetup.errors import StateError
store = Store(home)
try:
    (home / "ballast").write_bytes(b"x" * 300_000)
except OSError:
    pass
store.check_writable()"""
    said = told_by(tmp_path, code, *mounted(tmp_path, 'mount -t tmpfs -o size=64k none "$home"'))
    assert said.startswith(f"StateError: cannot write {tmp_path}: No space left on device | free some room")


def test_default_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_home({}) == tmp_path / "data" / "devsetup"
    assert default_home({"DEVSETUP_HOME": ""}) == tmp_path / "data" / "devsetup"
    assert default_home({"DEVSETUP_HOME": str(tmp_path)}) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home({"DEVSETUP_HOME": "~/x"}) == tmp_path / "x"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_home({}) == tmp_path / ".local" / "share" / "devsetup"
    assert list(tmp_path.iterdir()) == []


def test_free_bytes_of_a_place_to_be(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(free_bytes(tmp_path), rel=0.2)
    assert free_bytes(tmp_path) > 0

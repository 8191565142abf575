"""kill -9 at every kind of system call that changes the disk. Run as a script, this file is the process that dies."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock

from devsetup import facts
from devsetup.plan import Identity, Part
from devsetup.receipts import Receipt
from devsetup.store import Store, manifest

# Loaded before the sweep begins, so that it meets only the store's own system calls.
LOADED = (ctypes, filelock, sqlite3)

PART = Part(name="toy", version="1.0", summary="a toy", identity=Identity(os="debian", version="12", arch="x86_64"))
KEY = PART.key
CONTENTS = {f"lib/{n}/file": (str(n) * 5000).encode() for n in range(8)}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
REBUILT = {name: content + b"again" for name, content in CONTENTS.items()}
REBUILT_HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in REBUILT.items()}
MARK = "/devsetup-sweep-begins"
CALLS = (
    *("openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "syncfs", "rename", "renameat", "renameat2"),
    *("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "chmod", "fchmodat", "flock", "utimensat"),
)
EVERY = 5  # of the points of each system call; the first and the last are always among them


def install(home: Path) -> None:
    store = Store(home)
    with store.lock(KEY):
        if store.receipts.get(KEY) is not None:
            return
        store.prepare(KEY)
        build(store, CONTENTS, 1.0)


def build(store: Store, contents: dict[str, bytes], seconds: float) -> None:
    prefix = store.prefix(KEY)
    for name, content in contents.items():
        (prefix / name).parent.mkdir(parents=True)
        (prefix / name).write_bytes(content)
        (store.build(KEY) / name.replace("/", "-")).write_bytes(content)
    (store.artifacts(KEY) / "result.json").write_text(f"{seconds}")
    store.drop_build(KEY)
    store.commit(
        Receipt(
            key=KEY,
            name=PART.name,
            version=PART.version,
            digest=PART.digest,
            prefix=str(prefix),
            installed_at="2025-01-02T03:04:05+00:00",
            seconds=seconds,
            facts=facts.Facts(os=facts.OperatingSystem(id="debian", version="12"), arch="x86_64"),
            part=PART,
        )
    )


def rebuild(home: Path) -> None:
    store = Store(home)
    with store.lock(KEY):
        store.set_aside(KEY)
        build(store, REBUILT, 2.0)
        store.settle(KEY)


def uninstall(home: Path) -> None:
    Store(home).uninstall(KEY)


def collect(home: Path) -> None:
    store = Store(home)
    store.collect(store.garbage())


ACTIONS = {"install": install, "rebuild": rebuild, "uninstall": uninstall, "collect": collect}


def strace(home: Path, action: str, calls: tuple[str, ...], *options: str) -> int:
    found = shutil.which("strace")
    assert found, "strace is not installed; these tests are nothing without it (apt-get install strace)"
    trace = "--trace=" + ",".join(f"?{call}" for call in calls)
    argv = [found, "-f", "-qq", trace, *options, sys.executable, "-s", __file__, str(home), action]
    environ = {"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, check=False, capture_output=True, env=environ).returncode


def points(home: Path, action: str, log: Path) -> list[tuple[str, int]]:
    """Every call after the mark that changes the disk, as its name and its number among calls of that name."""
    assert strace(home, action, CALLS, f"--output={log}") == 0
    counts = dict.fromkeys(CALLS, 0)
    found: dict[str, list[int]] = {}
    begun = False
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match is None or match[1] not in counts:
            continue
        call = match[1]
        counts[call] += 1
        begun = begun or MARK in line
        if begun and (call != "openat" or "O_CREAT" in line):
            found.setdefault(call, []).append(counts[call])
    return [(call, when) for call, whens in found.items() for when in dict.fromkeys((*whens[::EVERY], whens[-1]))]


def killed(home: Path, action: str, call: str, when: int) -> None:
    status = strace(home, action, (call,), "--output=/dev/null", f"--inject={call}:signal=KILL:when={when}")
    assert status == -9, f"{action} survived {call} number {when} with status {status}"


def whole(store: Store, hashes: dict[str, str] = HASHES) -> bool:
    prefix = store.prefix(KEY)
    found = {str(path.relative_to(prefix)): path for path in prefix.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()} == hashes


def check(home: Path) -> bool:
    """After a kill: the receipt's promise holds, nothing is locked, and one more run puts all in order."""
    store = Store(home)
    recorded = store.receipts.get(KEY) is not None
    assert whole(store) or not recorded, "a receipt without its prefix"
    for item in store.garbage():
        assert item.kind == "build" or not recorded, "an install counts as garbage"
    install(home)
    assert store.receipts.get(KEY) is not None
    assert whole(store)
    assert [item for item in store.garbage() if item.kind != "build"] == []
    collect(home)
    assert store.garbage() == ()
    return recorded


def check_rebuilt(home: Path) -> bool:
    """After a kill: one more run leaves the old install or the new one, whole, with its own receipt and artifacts."""
    store = Store(home)
    assert store.receipts.get(KEY) is not None, "an install is lost"
    collect(home)
    receipt = store.receipts.get(KEY)
    assert receipt is not None
    new = receipt.seconds == 2.0
    assert whole(store, REBUILT_HASHES if new else HASHES)
    assert (store.artifacts(KEY) / "result.json").read_text() == f"{receipt.seconds}"
    listed = manifest.recorded(store.artifacts(KEY))
    assert listed is not None
    assert listed.files == manifest.survey(store.prefix(KEY))
    assert store.garbage() == ()
    assert not store.rebuilding(KEY)
    rebuild(home)
    assert whole(store, REBUILT_HASHES)
    assert {path.name for path in (home / "store").iterdir()} == {KEY}
    return new


def sweep(place: Path, action: str, template: Path | None, check: Callable[[Path], bool] = check) -> set[bool]:
    """Kill the action at each point, in a new home (a copy of the template) every time; what did the checks say?"""

    def home(name: str) -> Path:
        return shutil.copytree(template, place / name) if template else place / name

    seen = set()
    found = points(home("counted"), action, place / "log")
    assert len(found) > 8
    for number, (call, when) in enumerate(found):
        here = home(f"home{number}")
        killed(here, action, call, when)
        seen.add(check(here))
        shutil.rmtree(here)
    return seen


def memory() -> tempfile.TemporaryDirectory[str]:
    """A directory in memory where there is one: kill -9 loses nothing on any disk, and syncing one takes long."""
    place = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None)


def test_install_killed_anywhere() -> None:
    with memory() as made:
        assert sweep(Path(made), "install", None) == {False, True}


def test_files_reach_the_disk_before_their_receipt(tmp_path: Path) -> None:
    """A killed process loses nothing that it wrote, so only the order of calls shows what a power loss would do."""
    assert strace(tmp_path / "home", "install", CALLS, f"--output={tmp_path / 'log'}") == 0
    text = (tmp_path / "log").read_text()
    last_file = text.rindex("file", 0, text.index("syncfs("))
    receipt = text.index("receipts.sqlite-journal")
    assert last_file < text.index("syncfs(") < receipt
    before = text[text.index("syncfs(") : receipt]
    assert before.count("fsync(") >= 4, "the directories above the prefix and the artifacts"
    after = text[text.rindex('receipts.sqlite-journal"') :]
    assert re.search(r"f(data)?sync\(", after), "EXTRA: the directory, once the journal is gone"


def test_rebuild_killed_anywhere() -> None:
    with memory() as made:
        template = Path(made, "template")
        install(template)
        assert sweep(Path(made), "rebuild", template, check_rebuilt) == {False, True}


def test_uninstall_killed_anywhere() -> None:
    with memory() as made:
        template = Path(made, "template")
        install(template)
        assert sweep(Path(made), "uninstall", template) == {False, True}


def test_collecting_killed_anywhere() -> None:
    with memory() as made:
        template = Path(made, "template")
        install(template)
        Store(template).receipts.remove(KEY)
        Store(template).build(KEY).joinpath("deep/er").mkdir(parents=True)
        assert sweep(Path(made), "collect", template) == {False}


if __name__ == "__main__":
    with contextlib.suppress(FileNotFoundError):
        os.open(MARK, os.O_RDONLY)
    ACTIONS[sys.argv[2]](Path(sys.argv[1]))

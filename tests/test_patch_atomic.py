"""All files of all patches change, or none: kill -9, a failing disk, and someone else at the same tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Hello
from patchtree import Demo, created, deleted, diff, memory, snapshot

from devsetup.app import trees
from devsetup.errors import Refused, StateError
from devsetup.execute import treechange
from devsetup.execute.treechange import Change

__all__ = ["memory"]  # a fixture


@pytest.fixture
def demo(memory: Path) -> Demo:
    return Demo(Hello(memory, 9))


def five_files(demo: Demo) -> None:
    """Two changed, one made in a new directory, one deleted, and the record."""
    demo.write(a_c="one\n", sub__b_c="two\n", gone_c="bye\n")
    demo.patch("1.patch", diff("a.c", "one", "ONE") + diff("sub/b.c", "two", "TWO"))
    demo.patch("2.patch", created("new/n.c", "made") + deleted("gone.c", "bye"))


CALLS = ("openat", "write", "fsync", "rename", "mkdir", "rmdir", "unlink", "unlinkat", "chmod", "utimensat", "fchown")
MARK = "/devsetup-sweep-begins"
PROGRAM = f"""
import os, sys
from pathlib import Path
import msgspec, shutil
from devsetup.execute import treechange
changes, unneeded = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[list[treechange.Change], list[str]])
try: os.open({MARK!r}, os.O_RDONLY)
except OSError: pass
with treechange.locked(Path(sys.argv[1])):
    treechange.repair(Path(sys.argv[1]))
    treechange.change(Path(sys.argv[1]), changes, unneeded=unneeded)
"""


def strace(tree: Path, changes: bytes, calls: tuple[str, ...], *options: str) -> subprocess.CompletedProcess[bytes]:
    found = shutil.which("strace")
    assert found, "strace is not installed; these tests are nothing without it (apt-get install strace)"
    argv = [found, "-f", "-qq", "--trace=" + ",".join(f"?{call}" for call in calls), *options]
    environ = {"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*argv, sys.executable, "-s", "-c", PROGRAM, str(tree)],
        check=False,
        input=changes,
        capture_output=True,
        env=environ,
    )


class Sweep:
    """One change of a tree, and every system call of it that touches the disk."""

    def __init__(self, demo: Demo, *, reverse: bool) -> None:
        import msgspec

        from devsetup.execute import patches

        if reverse:
            found = patches.take_back(demo.tree, "demo", demo.workspace.runner)
        else:
            report, found = trees._examined(
                demo.workspace, demo.target(), demo.workspace.loader.recipe("demo"), reverse=False
            )
            assert not report.stale
        self.changes = msgspec.json.encode((list(found.changes), list(found.unneeded)))
        self.demo = demo
        self.old = snapshot(demo.tree)
        self.template = demo.hello.root / "template"
        shutil.copytree(demo.tree, self.template)
        log = demo.hello.root / "log"
        assert strace(demo.tree, self.changes, CALLS, f"--output={log}").returncode == 0
        self.new = snapshot(demo.tree)
        assert self.new != self.old
        self.points = self._points(log.read_text())

    @staticmethod
    def _points(log: str) -> list[tuple[str, int]]:
        counts = dict.fromkeys(CALLS, 0)
        found = []
        begun = False
        for line in log.splitlines():
            call = line.split("(")[0].split()[-1]
            if call not in counts:
                continue
            counts[call] += 1
            begun = begun or MARK in line
            if begun and MARK not in line and (call != "openat" or "O_CREAT" in line):
                found.append((call, counts[call]))
        return found

    def restore(self) -> None:
        shutil.rmtree(self.demo.tree)
        shutil.copytree(self.template, self.demo.tree)


@pytest.mark.parametrize("reverse", [False, True])
def test_killed_anywhere_the_next_run_finds_all_or_nothing(demo: Demo, reverse: bool) -> None:
    five_files(demo)
    if reverse:
        demo.apply()
    sweep = Sweep(demo, reverse=reverse)
    seen = set()
    assert len(sweep.points) > 30
    for call, when in sweep.points[::4]:
        sweep.restore()
        done = strace(
            demo.tree, sweep.changes, (call,), "--output=/dev/null", f"--inject={call}:signal=KILL:when={when}"
        )
        assert done.returncode == -9
        if treechange.interrupted(demo.tree):
            half = snapshot(demo.tree)
            with pytest.raises(Refused, match="cut short"):
                demo.check()
            assert snapshot(demo.tree) == half, "--check changes nothing"
        with treechange.locked(demo.tree):
            treechange.repair(demo.tree)
        found = snapshot(demo.tree)
        assert found in (sweep.old, sweep.new), f"half a change after {call} number {when}"
        seen.add(found == sweep.new)
    assert seen == {False, True}


@pytest.mark.parametrize("error", ["ENOSPC", "EACCES", "EIO"])
def test_a_failing_disk_leaves_the_tree_as_it_was(demo: Demo, error: str) -> None:
    five_files(demo)
    sweep = Sweep(demo, reverse=False)
    forgiven = {"fchown", "rmdir"}  # an owner that cannot be kept, a directory that need not go
    points = [(call, when) for call, when in sweep.points if call not in forgiven]
    failed = 0
    for call, when in points[:: 4 if error == "ENOSPC" else 7]:
        sweep.restore()
        done = strace(
            demo.tree, sweep.changes, (call,), "--output=/dev/null", f"--inject={call}:error={error}:when={when}"
        )
        found = snapshot(demo.tree)
        if done.returncode == 0:
            # What is only swept up after the change counts may stay behind; the next run sweeps again.
            with treechange.locked(demo.tree):
                treechange.repair(demo.tree)
            assert snapshot(demo.tree) == sweep.new
        else:
            failed += 1
            assert b"StateError" in done.stderr
            assert found == sweep.old, f"{error} at {call} number {when}"
    assert failed > 5


def test_power_loss_finds_everything_on_disk_before_the_first_file_changes(demo: Demo) -> None:
    """Nothing is lost by killing a process, so only the order of calls shows this."""
    five_files(demo)
    sweep = Sweep(demo, reverse=False)
    sweep.restore()
    log = demo.hello.root / "log2"
    strace(demo.tree, sweep.changes, ("openat", "fsync", "rename", "unlink"), "-y", f"--output={log}")
    lines = log.read_text().splitlines()
    opened = next(n for n, line in enumerate(lines) if "rename(" in line and "journal.json" in line)
    synced = " ".join(line for line in lines[:opened] if "fsync(" in line)
    for name in ("0.old", "0.new", "1.old", "1.new", "2.new", "3.old", "4.new", "journal.part", "journal>"):
        assert name in synced, name
    first = next(n for n, line in enumerate(lines) if "rename(" in line and "/tree/a.c" in line)
    assert opened < first
    assert sum("fsync(" in line for line in lines[opened:first]) >= 3, "the names of journal and directories"
    closed = next(n for n, line in enumerate(lines) if "unlink(" in line and "journal.json" in line)
    between = " ".join(line for line in lines[first:closed] if "fsync(" in line)
    for directory in ("/tree>", "/tree/sub>", "/tree/new>", "/tree/.devsetup>"):
        assert directory in between, directory


def test_files_changed_since_a_run_was_cut_short_are_not_overwritten(demo: Demo) -> None:
    five_files(demo)
    sweep = Sweep(demo, reverse=False)
    whens = [when for call, when in sweep.points if call == "rename"]
    sweep.restore()
    strace(demo.tree, sweep.changes, ("rename",), "--output=/dev/null", f"--inject=rename:signal=KILL:when={whens[2]}")
    assert (demo.tree / "a.c").read_text() == "ONE\n", "it was cut short after the first file"
    (demo.tree / "a.c").write_text("mine\n")
    before = snapshot(demo.tree)
    with pytest.raises(Refused, match=r"a\.c has been changed since"):
        demo.apply()
    assert snapshot(demo.tree) == before
    (demo.tree / "a.c").write_text("one\n")
    assert set(demo.apply().values()) == {"applied"}


def test_two_runs_on_one_tree_do_not_meet(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    with treechange.locked(demo.tree):
        done = demo.hello.run("patch", "demo", "--tree", str(demo.tree), "--on", "debian-12")
    assert done.returncode == 1
    assert "another devsetup is at work" in done.stderr
    assert (demo.tree / "a.c").read_text() == "one\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone without rights")
def test_a_tree_of_someone_else_is_refused_in_words(memory: Path) -> None:
    tree = memory / "tree"
    tree.mkdir()
    (tree / "a.c").write_text("one\n")
    for directory in (memory, tree):
        directory.chmod(0o755)
    child = os.fork()
    if child == 0:  # pytest must not come back twice
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            treechange.change(tree, [Change(path="a.c", data=b"x")])
        except StateError as error:
            code = 0 if "Permission denied" in error.message and "nothing changed" in error.message else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tree / "a.c").read_text() == "one\n"


def test_no_room_in_the_scratch_directory_is_told(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    monkeypatch.setattr(tempfile, "tempdir", str(demo.hello.root / "none"))
    with pytest.raises(StateError, match="scratch directory"):
        demo.check()

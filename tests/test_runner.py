from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devsetup.runner import MissingProgram, Runner


def test_capture_keeps_both_streams_apart() -> None:
    done = Runner().capture(("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert (done.returncode, done.output, done.error) == (3, "out\n", "err\n")


def test_stream_passes_lines_on_as_they_come_and_logs_every_byte() -> None:
    log, lines = io.BytesIO(), []
    done = Runner().stream(("sh", "-c", r"echo one; printf 'two\r\n'; printf '\377'"), log=log, on_line=lines.append)
    assert lines == ["one", "two", "\ufffd"]
    assert log.getvalue() == b"one\ntwo\r\n\xff"
    assert done.output.splitlines()[0] == "one"


def test_the_environment_is_exactly_what_is_given() -> None:
    done = Runner().capture(("env",), env={"PATH": os.environ["PATH"], "ONLY": "this"})
    assert sorted(done.output.split()) == sorted([f"PATH={os.environ['PATH']}", "ONLY=this"])


def test_programs_are_found_on_the_path_that_is_given(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    assert Runner().capture(("tool",), env={"PATH": str(tmp_path)}).output == "mine\n"
    with pytest.raises(MissingProgram, match="tool was not found"):
        Runner().capture(("tool",), env={"PATH": "/nonexistent"})


def test_nothing_can_prompt() -> None:
    assert Runner().capture(("sh", "-c", "read x || echo closed")).output == "closed\n"


@pytest.mark.parametrize("method", ["capture", "stream"])
def test_time_up_ends_the_whole_group(method: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid}; wait"
    done = getattr(Runner(), method)(("sh", "-c", script), timeout_s=2)
    assert done.returncode == 124
    assert not alive(int(pid.read_text()))


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    done = Runner().capture(("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"), timeout_s=0.3)
    assert done.returncode == 124


def test_ctrl_c_ends_the_child_and_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"from devsetup.runner import Runner\nRunner().stream(('sh', '-c', 'sleep 60 & echo $! > {pid}; wait'))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while not (pid.exists() and pid.read_text().strip()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in err
    assert not alive(int(pid.read_text()))


def test_ctrl_c_while_the_child_is_being_started_ends_it_too(tmp_path: Path) -> None:
    """On a busy machine the child runs before we know of it."""
    pid = tmp_path / "pid"
    code = f"""
import subprocess, time
from devsetup.runner import Runner

class Slow(subprocess.Popen):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        time.sleep(1)

subprocess.Popen = Slow
Runner().stream(("sh", "-c", "echo $$ > {pid}; exec sleep 60"))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while not (pid.exists() and pid.read_text().strip()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in err
    assert not alive(int(pid.read_text()))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_signal_is_told_from_an_exit_status() -> None:
    assert Runner().capture(("sh", "-c", "kill -9 $$")).returncode == -9


def test_become_returns_the_childs_status() -> None:
    assert Runner().become(("sh", "-c", "exit 7"), {"PATH": os.environ["PATH"]}) == 7
    assert Runner().become(("sh", "-c", "kill -15 $$"), {"PATH": os.environ["PATH"]}) == 128 + 15

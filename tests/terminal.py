"""A terminal of our own: what a person at one would see, and answer."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Hello


def answered(hello: Hello, argv: tuple[str, ...], answers: dict[str, str]) -> tuple[int, str]:
    """Run devsetup on a pseudo-terminal and type an answer after each question, in order.

    Returns:
        The exit status, and all that was shown.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # The terminal must be the process's own, or ^C typed on it interrupts nobody.
        ["setsid", "--ctty", "--wait", sys.executable, "-m", "devsetup", *argv],
        env=hello.env(TERM="xterm", COLUMNS="100", NO_COLOR="1"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown, waiting, end = "", list(answers.items()), time.monotonic() + 60
    try:
        while time.monotonic() < end:
            ready, _, _ = select.select([ours], [], [], 0.1)
            data = _read(ours) if ready else None
            if data == b"":
                break
            shown += (data or b"").decode(errors="replace")
            if waiting and waiting[0][0] in shown:
                os.write(ours, waiting.pop(0)[1].encode())
        return process.wait(timeout=10), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that nobody has the other end open
        return b""

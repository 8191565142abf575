"""Starting processes: the only module that does.

Every child runs in its own process group with standard input closed, so that nothing can prompt, and the whole group
ends when its time is up or the user presses Ctrl-C.
"""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from devsetup.errors import DevsetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TAIL_LINES = 400
_CAPTURE_BYTES = 1 << 20
_GRACE_S = 3.0


class Completed(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        returncode: exit status; negative for a signal; 124 when its time was up.
        output: what it printed: all of it for `capture` (stdout alone, at most 1 MiB), the last 400 lines for `stream`.
        error: stderr of `capture`.
    """

    argv: tuple[str, ...]
    returncode: int
    output: str
    error: str = ""


class MissingProgram(DevsetupError):
    """The first word of a command is no program here."""


class Runner:
    """Runs commands on this machine."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._starting = threading.Lock()  # held until what was started is known, so that `stop` misses nothing

    def stop(self) -> None:
        """End, at once, every command that still runs: those of threads that nobody waits for any more."""
        with self._starting:
            for process in tuple(self._running):
                _signal_group(process, signal.SIGKILL)

    def capture(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Completed:
        """Run a command to its end and keep what it printed.

        Args:
            argv: program and arguments.
            cwd: working directory.
            env: the whole environment; None inherits ours.
            timeout_s: after so many seconds the process group is ended and the status is 124.

        Raises:
            MissingProgram: there is no such program.
        """
        with self._started(argv, cwd, env, merge=False) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                _end(process)
                out, err = process.communicate()
                return Completed(tuple(argv), 124, _text(out), _text(err))
        return Completed(tuple(argv), process.returncode, _text(out), _text(err))

    def stream(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        log: BinaryIO | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a command and pass on each line (stdout and stderr together) as it comes.

        Args:
            argv: program and arguments.
            cwd: working directory.
            env: the whole environment; None inherits ours.
            timeout_s: after so many seconds the process group is ended and the status is 124.
            log: every byte is copied here.
            on_line: called with each line, decoded, without its newline.

        Raises:
            MissingProgram: there is no such program.
        """
        tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        timed_out = threading.Event()
        with self._started(argv, cwd, env, merge=True) as process:
            watch = _watch(process, timeout_s, timed_out)
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            for raw in process.stdout:
                if log is not None:
                    log.write(raw)
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                tail.append(line)
                if on_line is not None:
                    on_line(line)
            code = process.wait()
            if watch is not None:
                watch.cancel()
        return Completed(tuple(argv), 124 if timed_out.is_set() else code, "\n".join(tail))

    @contextlib.contextmanager
    def _started(
        self, argv: Sequence[str], cwd: str | None, env: Mapping[str, str] | None, *, merge: bool
    ) -> Iterator[subprocess.Popen[bytes]]:
        path = (env if env is not None else os.environ).get("PATH")
        program = shutil.which(argv[0], path=path)
        if program is None:
            raise MissingProgram(f"{argv[0]} was not found", f"looked in {path}")
        process = None
        try:
            with self._starting, _interrupts_held_back():
                process = subprocess.Popen(
                    [program, *argv[1:]],
                    cwd=cwd,
                    env=dict(env) if env is not None else None,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                    start_new_session=True,
                )
                self._running.add(process)
            yield process
        except BaseException:
            if process is not None:
                _end(process)
            raise
        finally:
            if process is not None:
                self._running.discard(process)
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()

    def become(self, argv: Sequence[str], env: Mapping[str, str]) -> int:
        """Run an interactive program in our place, on our terminal, and return its exit status."""
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            raise MissingProgram(f"{argv[0]} was not found", f"looked in {env.get('PATH', '')}")
        sys.stdout.flush()
        sys.stderr.flush()
        process = subprocess.Popen([program, *argv[1:]], env=dict(env))
        while True:
            # Ctrl-C is the child's to handle: it shares our terminal.
            with contextlib.suppress(KeyboardInterrupt):
                code = process.wait()
                return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C comes after the block: between a process's start and our knowing of it, it would leave it running."""
    if threading.current_thread() is not threading.main_thread():  # only that one is interrupted
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _watch(
    process: subprocess.Popen[bytes], timeout_s: float | None, timed_out: threading.Event
) -> threading.Timer | None:
    if timeout_s is None:
        return None

    def expire() -> None:
        timed_out.set()
        _end(process)

    watch = threading.Timer(timeout_s, expire)
    watch.daemon = True
    watch.start()
    return watch


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: ask, wait a little for its leader, then insist on all of it."""
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # A group outlives its leader as long as one member runs; PermissionError is macOS's word for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _text(data: bytes) -> str:
    return data[:_CAPTURE_BYTES].decode("utf-8", "replace")

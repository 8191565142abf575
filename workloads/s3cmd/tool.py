"""The two programs of the workload: the S3 server on loopback, and s3cmd set up for it."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess  # noqa: TID251  (this script stands alone, outside devsetup)
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_S = 60
COMMAND_S = 1800
HOST = "127.0.0.1"
CONFIG = """[default]
access_key = AKIDEXAMPLE
secret_key = EXAMPLE
host_base = {host}:{port}
host_bucket = {host}:{port}
bucket_location = us-east-1
use_https = False
progress_meter = False
"""


class WorkloadError(Exception):
    """Something did not hold; the message is what to print."""


class Done(NamedTuple):
    """A command that ended: its exit status, all it printed, and wall time in seconds."""

    code: int
    output: str
    seconds: float


class Server:
    """The running server; `lines` are its own, one at the beginning of each request and one at its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str | None] = queue.Queue()  # None: there will be no more
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, start: str, seconds: float) -> str:
        """The next line that starts so; earlier ones are dropped.

        Raises:
            WorkloadError: the server ended, or nothing came in time.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise WorkloadError(f"the S3 server said no {start!r} within {seconds:g} s") from None
            if line is None:
                raise WorkloadError(f"the S3 server ended with exit status {self.process.wait()}")
            if line.startswith(start):
                return line


@contextlib.contextmanager
def serving(python: str, port: int, log: Path) -> Iterator[tuple[Server, int]]:
    """Have the S3 server, and the port that it listens on; 0 asks for a free one.

    Raises:
        WorkloadError: its Python or moto is not there, or the port is taken; says what to do.
    """
    program = Path(__file__).with_name("server.py")
    with log.open("w+", encoding="utf-8") as errors:
        try:
            process = subprocess.Popen(
                [python, "-I", str(program), "--port", str(port)], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        except OSError as error:
            raise WorkloadError(
                f"the S3 server cannot be started: {error}; `devsetup install --rebuild s3cmd` makes it anew"
            ) from error
        with process:
            try:
                server = Server(process)
                yield server, _port_of(server, log)
            finally:
                process.kill()


def _port_of(server: Server, log: Path) -> int:
    try:
        return int(server.wait_for("port ", START_S).split()[1])
    except WorkloadError as error:
        said = log.read_text(encoding="utf-8").strip().splitlines()
        last = said[-1] if said else str(error)
        remedy = "`devsetup install --rebuild s3cmd` makes the server anew"
        if last.startswith("port "):
            remedy = "leave --port out to take a free one, or see with `ss -ltnp` who has it"
        raise WorkloadError(f"the S3 server did not start: {last}; {remedy}") from error


class S3cmd:
    """s3cmd with a configuration of its own: neither the user's ~/.s3cfg nor any AWS variable is read."""

    def __init__(self, program: str, port: int, home: Path) -> None:
        self.program = program
        self.config = home / "s3cfg"
        self.config.write_text(CONFIG.format(host=HOST, port=port), encoding="utf-8")
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "LC_ALL": "C.UTF-8"}

    def argv(self, *words: str) -> list[str]:
        """The whole command line."""
        return [self.program, f"--config={self.config}", *words]

    def run(self, *words: str, **env: str) -> Done:
        """Run to the end, whatever that is."""
        started = time.monotonic()
        try:
            done = subprocess.run(
                self.argv(*words),
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_S,
                check=False,
            )
        except OSError as error:
            raise WorkloadError(f"s3cmd cannot be started: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise WorkloadError(f"s3cmd {' '.join(words)} still ran after {COMMAND_S} s") from error
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), time.monotonic() - started)

    def must(self, *words: str, **env: str) -> Done:
        """Run, and require exit status 0."""
        done = self.run(*words, **env)
        if done.code:
            raise WorkloadError(f"s3cmd {' '.join(words)} ended with exit status {done.code}: {told(done.output)}")
        return done

    def killed(self, ready: Callable[[], bool], *words: str) -> None:
        """Start, and kill without warning as soon as it is in the middle of its work.

        Args:
            ready: whether it is; asked again and again.
            words: the command line.

        Raises:
            WorkloadError: it ended by itself before.
        """
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(self.argv(*words), env=self.env, **quiet) as process:
            try:
                while not ready():
                    if process.poll() is not None:
                        raise WorkloadError(f"s3cmd {' '.join(words)} ended before it could be interrupted")
                    time.sleep(0.002)
            finally:
                process.kill()


def told(output: str) -> str:
    """The errors of s3cmd's output in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "; ".join([line for line in lines if line.startswith(("ERROR", "Problem:"))] or lines[-1:])

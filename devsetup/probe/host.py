"""What the probes look at: the files under one root, one set of variables, and processes that cannot hang them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from devsetup.errors import DevsetupError
from devsetup.runner import Runner

_READ_BYTES = 1 << 16
_MAX_LINKS = 40
_TIMEOUT_S = 2.0
_TIMED_OUT = 124


class Answer(msgspec.Struct, frozen=True):
    """What a process said.

    Attributes:
        output: stdout.
        error: stderr.
        problem: why there is no answer, as a sentence; empty when the process ended by itself, whatever its status.
    """

    output: str = ""
    error: str = ""
    problem: str = ""


class Host(msgspec.Struct, frozen=True):
    """A machine under a root directory. Every path below, PATH's entries included, is a path inside it.

    Attributes:
        root: the directory that stands for `/`, without a final slash: empty for this machine itself.
        environ: the variables that count as the user's.
    """

    runner: Runner
    root: str
    environ: Mapping[str, str]

    @property
    def macos(self) -> bool:
        """Whether the root is a macOS system."""
        return self.exists("/System/Library/CoreServices/SystemVersion.plist")

    @property
    def directories(self) -> tuple[str, ...]:
        """PATH's absolute entries, each once, in order."""
        entries = self.environ.get("PATH", "").split(":")
        return tuple(dict.fromkeys(entry.rstrip("/") or "/" for entry in entries if entry.startswith("/")))

    def resolve(self, path: str) -> str:
        """The path with every symbolic link followed, as a process whose root is ours would see it."""
        if not self.root:
            return os.path.realpath(path)
        done: list[str] = []
        left = path.split("/")[::-1]
        links = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            target = _link(f"{self.root}/{'/'.join([*done, part])}") if links < _MAX_LINKS else ""
            if not target:
                done.append(part)
                continue
            links += 1
            left += target.split("/")[::-1]
            if target.startswith("/"):
                done = []
        return "/" + "/".join(done)

    def real(self, path: str) -> str:
        """Where the path lies outside the root."""
        return f"{self.root}{self.resolve(path)}" if self.root else path

    def read(self, path: str) -> str:
        """The first 64 KiB of a text file; empty when it cannot be read."""
        try:
            with open(self.real(path), "rb") as file:  # noqa: PTH123 - pathlib doubles the cost of many small reads
                return file.read(_READ_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; empty when it cannot be read."""
        try:
            return tuple(sorted(os.listdir(self.real(path))))  # noqa: PTH208 - names are wanted, not Path objects
        except OSError:
            return ()

    def exists(self, path: str) -> bool:
        """Whether something is there, at the end of every link."""
        return os.path.exists(self.real(path))  # noqa: PTH110 - as above: hundreds of these

    def link(self, path: str) -> str:
        """Where a symbolic link points, as written; empty when it is none."""
        return _link(f"{self.root}{self.resolve(os.path.dirname(path))}/{os.path.basename(path)}")  # noqa: PTH119, PTH120 - see read

    def runs(self, path: str) -> bool:
        """Whether this is a program that we may start without side effects.

        Without the developer tools, macOS's /usr/bin/clang, python3 and others are stubs that open a dialog which
        offers to install them; those do not count.
        """
        real = self.real(path)
        if not (os.path.isfile(real) and os.access(real, os.X_OK)):  # noqa: PTH113 - see read
            return False
        return not (path.startswith("/usr/bin/") and self.macos and not self.developer_tools)

    @property
    def developer_tools(self) -> bool:
        """Whether macOS's Command Line Tools or Xcode are there to stand behind the stubs in /usr/bin."""
        chosen = "/var/db/xcode_select_link/usr/bin"
        return self.exists(chosen) or self.exists("/Library/Developer/CommandLineTools/usr/bin/clang")

    def which(self, name: str) -> str:
        """The first program of this name on PATH; empty when there is none."""
        return next((path for path in (f"{at}/{name}" for at in self.directories) if self.runs(path)), "")

    def ask(self, argv: Sequence[str], **variables: str) -> Answer:
        """Run a program of this machine, for at most 2 s, in the C locale.

        Args:
            argv: an absolute path inside the root, and arguments.
            variables: further environment variables.
        """
        env = {**self.environ, "LC_ALL": "C", **variables}
        try:
            done = self.runner.capture((self.real(argv[0]), *argv[1:]), env=env, timeout_s=_TIMEOUT_S)
        except (DevsetupError, OSError) as error:
            return Answer(problem=f"{argv[0]} could not be started: {error}")
        if done.returncode == _TIMED_OUT:
            return Answer(problem=f"{argv[0]} did not end within {_TIMEOUT_S:g} s and was stopped")
        return Answer(done.output, done.error)

    def ask_each(self, commands: Sequence[Sequence[str]]) -> Iterator[Answer]:
        """Run several programs at once; answers come in the commands' order."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - costs start-up time, used only here

        if commands:
            with ThreadPoolExecutor(max_workers=len(commands)) as pool:
                yield from pool.map(self.ask, commands)


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - see read
    except OSError:
        return ""

"""How often `devsetup diagnose` is right on the labelled logs, and how fast it reads a long one.

Right on first, right within three, and findings on logs without a failure, for `tests/logs` or another directory with
a `labels.toml`; then seconds (of processor time and on the clock) and peak memory for generated logs, in a process of
their own, and as multiples of `cat` and `grep -c error` on the same file.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.diagnosis import Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.loader import Loader, default_root

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = Path(__file__).resolve().parent.parent / "tests" / "logs"
_SECONDS, _MEGABYTES = 3, 100  # bounds for the mostly clean log, from the issue that set them
_WITHIN = 3


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What a log is of.

    Attributes:
        causes: ids of symptoms that are right as the first answer, the best first; empty for a log without a failure.
        machine: the declared host that it is from.
        language: of its messages.
        origin: `produced here`, or `written` from memory.
    """

    causes: tuple[str, ...]
    machine: str
    language: str
    origin: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a log: ids, the first answer first, and whether it was taken for a failure."""

    name: str
    label: Label
    found: tuple[str, ...]
    failed: bool

    @property
    def rank(self) -> int:
        """Where the first right answer stands, from 0; a large number where there is none."""
        return next((at for at, each in enumerate(self.found) if each in self.label.causes), 1 << 20)


def labels(logs: Path = LOGS) -> dict[str, Label]:
    """The labels of a directory of logs, by log."""
    return msgspec.convert(tomllib.loads((logs / "labels.toml").read_text("utf-8")), dict[str, Label])


def content(name: str, logs: Path = LOGS) -> bytes:
    """One of the logs."""
    zipped = logs / f"{name}.log.gz"
    return gzip.decompress(zipped.read_bytes()) if zipped.exists() else (logs / f"{name}.log").read_bytes()


def outcomes(logs: Path = LOGS) -> tuple[Outcome, ...]:
    """What is found in every labelled log."""
    loader = Loader(default_root({}))
    matcher, libraries = Matcher(loader.symptoms()), loader.libraries()

    def outcome(name: str, label: Label) -> Outcome:
        found = diagnose((content(name, logs),), matcher, Machine(loader.host(label.machine), libraries))
        ids = tuple(dict.fromkeys(cause.id for cause in found.causes))
        return Outcome(name=name, label=label, found=ids, failed=found.failed)

    return tuple(outcome(name, label) for name, label in labels(logs).items())


def main(argv: list[str]) -> int:
    """Print the shares, the logs that are wrong, and the times."""
    parser = argparse.ArgumentParser(prog="benchmarks diagnose")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the generated logs; 0 leaves them out")
    parser.add_argument("--logs", type=Path, default=LOGS, metavar="DIR", help="logs and their labels.toml")
    options = parser.parse_args(argv)
    accuracy(options.logs)
    if options.megabytes:
        speed(options.megabytes)
    return 0


def accuracy(logs: Path) -> None:
    """Print how often the answers are right, and every log for which the first is not."""
    found = outcomes(logs)
    failing = [each for each in found if each.label.causes]
    clean = [each for each in found if not each.label.causes]
    known = {each.id for each in Loader(default_root({})).symptoms()}
    answerable = [each for each in failing if each.label.causes[0] in known]
    for title, asked in (("failing logs", failing), ("of these, with an entry for their cause", answerable)):
        first = sum(each.rank == 0 for each in asked) / (len(asked) or 1)
        within = sum(each.rank < _WITHIN for each in asked) / (len(asked) or 1)
        print(f"{title}: {len(asked)}; right on first {first:.1%}, within three {within:.1%}")
    print(f"clean logs: {len(clean)}; with a finding {sum(each.failed for each in clean)}")
    for each in failing:
        if each.rank:
            entry = "" if each in answerable else " (no entry for it)"
            print(f"  {each.name}: {' '.join(each.found) or 'nothing'}, not {' or '.join(each.label.causes)}{entry}")


def speed(megabytes: int) -> None:
    """Print seconds and memory for three kinds of long log."""
    for kind, lines in (("mostly clean", _clean), ("all warnings", _warnings), ("all errors", _errors)):
        with tempfile.NamedTemporaryFile(suffix=".log") as file:
            file.writelines(_repeated(lines(), megabytes * 1_000_000))
            file.flush()
            spent, seconds, peak = _measured(
                [sys.executable, "-m", "devsetup", "diagnose", "--on", "debian-12", file.name]
            )
            cat, _, _ = _measured(["cat", file.name])
            grep, _, _ = _measured(["grep", "-c", "error", file.name])
        ratios = f"{spent / cat:.0f} x cat, {spent / grep:.1f} x grep"
        print(f"{kind:13} {megabytes} MB: {spent:5.2f} s CPU ({ratios}), {seconds:5.2f} s wall, peak {peak:5.1f} MB")
    print(f"bounds for mostly clean, 100 MB, on an idle machine: {_SECONDS} s, {_MEGABYTES} MB")


def _measured(argv: list[str]) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and peak megabytes of one process."""
    # Not to /dev/null: grep stops at the first match there.
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        return usage.ru_utime + usage.ru_stime, time.perf_counter() - started, usage.ru_maxrss / 1024


def _repeated(block: bytes, size: int) -> Iterator[bytes]:
    for number in range(size // len(block)):
        yield block.replace(b"@", b"%06d" % number)


def _clean() -> bytes:
    flags = b"-DHAVE_CONFIG_H -I. -I../include -Wall -Wextra -Werror=format-security -O2 -fPIC -MMD -MP"
    lines = []
    for number in range(1000):
        name = b"src/module_@/file_%d" % number
        lines += [
            b"g++ %s -c %s.cpp -o build/%s.o" % (flags, name, name),
            b"[ %d%%] Building CXX object CMakeFiles/error.dir/%s.cpp.o" % (number % 100, name),
        ]
        if number % 10 == 0:
            lines += [b"checking for %s.h... no" % name, b"%s.cpp:12:3: warning: unused variable 'error'" % name]
        if number % 100 == 0:
            lines.append(b"-- Could NOT find Thing_@_%d (missing: THING_INCLUDE_DIR)" % number)
    return b"\n".join(lines) + b"\n"


def _warnings() -> bytes:
    return b"".join(
        b"src/file_@.cpp:%d:3: warning: comparison of integer expressions is not supported well [-Wsign-compare]\n"
        b"   %d |   for (int error = 0; error < v.size(); ++error) {\n      |                   ~~~~~~^~~~~~~~\n"
        % (at, at)
        for at in range(1000)
    )


def _errors() -> bytes:
    return b"".join(
        b"src/file_@.cpp:%d:9: error: 'thing_%d' was not declared in this scope; did you mean 'thing'?\n"
        b"src/file_@.cpp:(.text+0x%d): undefined reference to `f_@_%d(int)'\n" % (at, at, at, at)
        for at in range(1000)
    )

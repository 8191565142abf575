"""Proofs: what an install must pass before it counts as installed. Data; `verify` carries them out.

Paths and arguments may hold @PREFIX@, and a workload's arguments @ARTIFACTS@: the directory, next to the receipt, for
what it leaves to look at, and @SCALE@: how large its job is.
"""

from __future__ import annotations

import re

import msgspec

from devsetup import results
from devsetup.errors import UsageError

SCALE = "@SCALE@"
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)


class _Proof(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    pass


class LinkClosure(_Proof, frozen=True, kw_only=True):
    """Every ELF file under these paths finds every shared library that it needs, by its own run path."""

    paths: tuple[str, ...]


class Import(_Proof, frozen=True, kw_only=True):
    """A module imports in a fresh process with a clean environment; `show` is an expression that is printed."""

    python: str
    module: str
    show: str = ""
    timeout_s: int = 120


class Check(_Proof, frozen=True, kw_only=True):
    """A command exits 0, and its output matches `expect` (a regular expression) when that is given."""

    title: str
    argv: tuple[str, ...]
    expect: str = ""
    timeout_s: int = 300


class Workload(_Proof, frozen=True, kw_only=True):
    """A small real job that only a working install can finish. Exit 0 means that its own bar was passed.

    Attributes:
        argv: where it holds @SCALE@, the job has a size: 1 is for proving an install (seconds to two minutes), larger
            ones go toward the size of the note that the recipe follows.
        artifacts: file names that it must leave in @ARTIFACTS@. With @SCALE@, its `result.json` is a bench table.
        timeout_s: at scale 1.
    """

    title: str
    argv: tuple[str, ...]
    artifacts: tuple[str, ...] = ()
    timeout_s: int = 1800

    @property
    def scaled(self) -> bool:
        """Whether the job has a size."""
        return any(SCALE in word for word in self.argv)

    @property
    def bench(self) -> bool:
        """Whether it leaves a bench table."""
        return self.scaled and results.FILE in self.artifacts

    def argv_at(self, scale: float) -> tuple[str, ...]:
        """The arguments for a size."""
        return tuple(word.replace(SCALE, decimal(scale)) for word in self.argv)

    def timeout_at(self, scale: float) -> float:
        """Seconds for a size; a smaller job than that of scale 1 gets no less time, since starting takes some too."""
        return self.timeout_s * max(1.0, scale) if self.scaled else self.timeout_s


Proof = LinkClosure | Import | Check | Workload


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one proof showed.

    Attributes:
        status: `ok`, `fail`, or `skip` when it does not apply on this machine.
        summary: one line: what was seen.
        detail: further lines: the missing libraries, the end of the output.
        seconds: wall time.
        artifacts: absolute paths of files that it left.
    """

    proof: str
    status: str
    summary: str
    detail: tuple[str, ...] = ()
    seconds: float = 0.0
    artifacts: tuple[str, ...] = ()


def scale_of(text: str) -> float:
    """A scale as a user writes it.

    Raises:
        UsageError: it is no positive decimal number below a million.
    """
    scale = float(text) if _DECIMAL.fullmatch(text) else 0.0
    if not scale:
        raise UsageError(
            f"the scale is {text!r}, and must be a positive decimal number below a million",
            "1 is the size that proves an install; write for example --scale 0.5 or --scale 20",
        )
    return scale


def decimal(scale: float) -> str:
    """A scale as workloads get it: never with an exponent, `1` for 1.0."""
    return f"{scale:.6f}".rstrip("0").rstrip(".")

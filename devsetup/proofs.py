"""Proofs: what an install must pass before it counts as installed. Data; `verify` carries them out.

Paths and arguments may hold @PREFIX@, and a workload's arguments @ARTIFACTS@: the directory, next to the receipt, for
what it leaves to look at.
"""

from __future__ import annotations

import msgspec


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
        artifacts: file names that it must leave in @ARTIFACTS@.
    """

    title: str
    argv: tuple[str, ...]
    artifacts: tuple[str, ...] = ()
    timeout_s: int = 1800


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

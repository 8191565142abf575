"""Diagnosing logs: files, gzip-ed files and standard input, for this machine or a declared one."""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.diagnosis import Diagnosis, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from io import BufferedReader

    from devsetup.app.workspace import Workspace
    from devsetup.facts import Facts

_BLOCK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_LOOKED_AT = 4096
# All but those of text: tab, newline, carriage return, form feed, backspace, bell, escape.
_CONTROLS = bytes(number for number in range(32) if number not in b"\t\n\r\f\b\a\x1b")
_PERSONAL = (
    (re.compile(r"/(?:home|Users)/(?!linuxbrew\b)[^/\s:'\"]+"), "~"),
    (re.compile(r"\b(?:gh[a-z]|hf)_\w{20,}|\bgithub_pat_\w{20,}|\b(?:glpat|pypi|xox[abp])-[\w-]{16,}"), "***"),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"), "***"),
    (
        re.compile(
            r"(?i)\b([\w-]{0,40}(?:token|passw(?:or)?d|secret|api[_-]?key|authorization)\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
            r"(?:(?:bearer|basic|token)\s)?[^\s'\"&]+"
        ),
        r"\1***",
    ),
    (re.compile(r"\b[\w.+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+"), "USER@HOST"),
    (re.compile(r"\b[\w-]{1,64}@[\w.-]{1,64}(?=:[~/])"), "USER@HOST"),
)


class Diagnosed(msgspec.Struct, frozen=True, kw_only=True):
    """A log, by name (`-` is standard input), and what it says."""

    log: str
    diagnosis: Diagnosis


def diagnose_logs(
    workspace: Workspace, logs: tuple[str, ...], on: str | None = None
) -> tuple[Facts, tuple[Diagnosed, ...]]:
    """Say why each log failed, and for which machine.

    Args:
        workspace: the catalogue, and the machine that remedies are for.
        logs: paths; `-` reads standard input.
        on: a declared host, when the log comes from another machine.

    Raises:
        InvalidInput: a log cannot be read.
        UsageError: no such host.
    """
    for log in logs:
        _check(log)
    facts = workspace.facts(on)
    return facts, diagnosed(workspace, logs, facts)


def diagnosed(workspace: Workspace, logs: tuple[str, ...], facts: Facts) -> tuple[Diagnosed, ...]:
    """As `diagnose_logs`, for facts that are known."""
    matcher = Matcher(workspace.loader.symptoms())
    machine = Machine(facts, workspace.loader.libraries())
    return tuple(Diagnosed(log=log, diagnosis=diagnose(_blocks(log), matcher, machine)) for log in logs)


def diagnosed_text(workspace: Workspace, lines: Iterable[str], facts: Facts) -> Diagnosis:
    """What the output of a program says, for a machine.

    Raises:
        InvalidInput: the symptoms of the catalogue are malformed.
    """
    machine = Machine(facts, workspace.loader.libraries())
    return diagnose(("\n".join(lines).encode(),), Matcher(workspace.loader.symptoms()), machine)


def shareable(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Takes personal data out of a report on logs: of this machine, and of the one that a log may come from."""
    from devsetup.app.doctoring import personal  # noqa: PLC0415 - for reports alone
    from devsetup.doctor.redaction import redactor  # noqa: PLC0415

    ours = redactor(personal(environ))

    def redact(text: str) -> str:
        text = ours(text)
        for pattern, stand_in in _PERSONAL:
            text = pattern.sub(stand_in, text)
        return text

    return redact


def _check(log: str) -> None:
    """A name that is wrong is told before the machine is looked at."""
    path = Path(log)
    if log == "-":
        return
    try:
        is_directory = path.is_dir()
        is_there = path.exists()
    except OSError as error:
        raise InvalidInput(f"cannot read {log}: {error.strerror}", "check the permissions of its directory") from error
    if is_directory or not is_there:
        what = "is a directory" if is_directory else "does not exist"
        raise InvalidInput(
            f"{log} {what}", "name a log file, or - for standard input: `make 2>&1 | devsetup diagnose -`"
        )


def _blocks(log: str) -> Iterator[bytes]:
    try:
        with contextlib.ExitStack() as stack:
            if log == "-" and sys.stdin is None:
                raise InvalidInput("standard input is closed", "pipe a log into it: `make 2>&1 | devsetup diagnose -`")
            file = open(sys.stdin.fileno() if log == "-" else log, "rb", closefd=log != "-")  # noqa: SIM115 - a descriptor
            yield from _unzipped(stack.enter_context(file), log)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(
            f"cannot read {log}: {getattr(error, 'strerror', None) or error}", "check that it is whole and readable"
        ) from error


def _unzipped(file: BufferedReader, log: str) -> Iterator[bytes]:
    zipped = file.peek(len(_GZIP)).startswith(_GZIP)
    source: BufferedReader | gzip.GzipFile = gzip.GzipFile(fileobj=file) if zipped else file
    is_first = True
    while block := source.read(_BLOCK_BYTES):
        if is_first and _is_binary(block):
            raise InvalidInput(f"{log} is not text", "give the log as text, or gzip-ed; unpack other archives first")
        is_first = False
        yield block


def _is_binary(block: bytes) -> bool:
    """Whether a file begins as no text does: more than a twentieth of it control characters."""
    start = block[:_LOOKED_AT]
    return len(start.translate(None, _CONTROLS)) < len(start) * 19 // 20

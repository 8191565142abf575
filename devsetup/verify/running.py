"""Carrying out proofs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from devsetup import events, results
from devsetup.errors import DevsetupError, ProofFailed
from devsetup.proofs import Check, Finding, Import, LinkClosure, Proof, Workload, decimal
from devsetup.runner import Runner
from devsetup.steps import substitute
from devsetup.verify.closure import TITLE, Tree, link_closure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.runner import Completed

_TAIL_LINES = 20
_TIMED_OUT = 124
_SHELL_SIGNAL = 128
_MEANINGS = {
    signal.SIGILL: "illegal instruction: built for another processor",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGBUS: "bus error: a truncated file, or no room in memory or /dev/shm",
    signal.SIGABRT: "aborted itself",
    signal.SIGFPE: "arithmetic error",
    signal.SIGKILL: "killed from outside, for example because memory ran out",
}
_SVG = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s+|<\?[^>]*>|<!--[^>]*-->|<!DOCTYPE[^>]*>)*<svg[\s>]")


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what the proofs of one install run.

    Attributes:
        places: as `steps.substitute` takes them: PREFIX, PREFIX:NAME, and BUILD while the build directory is there.
        artifacts: directory for what workloads leave; created on the first success.
        env: the whole environment of every process.
        log: gets every byte of output, and each finding.
        workloads: False passes the workloads over.
        scale: the size of workloads that have one.
        machine: asked for what a bench table was measured on.
    """

    places: Mapping[str, str]
    artifacts: Path
    runner: Runner
    env: Mapping[str, str]
    emit: events.Emit = events.silent
    log: BinaryIO | None = None
    workloads: bool = True
    scale: float = 1.0
    machine: Callable[[], results.Machine] = results.Machine

    def fill(self, text: str, **more: str) -> str:
        """Fill the places of a text; @ARTIFACTS@ is known too."""
        return substitute(text, {"ARTIFACTS": str(self.artifacts), **self.places, **more})

    def say(self, text: str) -> None:
        """Write a line to the log."""
        if self.log is not None:
            self.log.write(f"{text}\n".encode("utf-8", "replace"))


def prove(proofs: tuple[Proof, ...], bench: Bench) -> tuple[Finding, ...]:
    """Carry out proofs in order, up to the first that fails: what comes after would only repeat its cause.

    Every process starts in an empty directory of its own with nothing but `bench.env`.

    Returns:
        One finding for each proof; a proof that fails, cannot be started or is malformed gives a finding too.
    """
    findings: list[Finding] = []
    for proof in proofs:
        started = time.monotonic()
        bench.say(f"--- proof: {title(proof)}")
        if failed(tuple(findings)):
            finding = Finding(proof=title(proof), status="skip", summary="not reached: an earlier proof failed")
        else:
            finding = _attempt(proof, bench)
        finding = msgspec.structs.replace(finding, seconds=time.monotonic() - started)
        bench.say("\n".join((f"--- {finding.status}: {finding.summary}", *finding.detail)))
        bench.emit(events.Proved(finding))
        findings.append(finding)
    return tuple(findings)


def failed(findings: tuple[Finding, ...]) -> Finding | None:
    """The first finding that failed."""
    return next((finding for finding in findings if finding.status == "fail"), None)


def title(proof: Proof) -> str:
    """What progress and findings call a proof."""
    match proof:
        case LinkClosure():
            return TITLE
        case Import(module=module):
            return f"import {module}"
        case Check(title=text) | Workload(title=text):
            return text


def _attempt(proof: Proof, bench: Bench) -> Finding:
    try:
        match proof:
            case LinkClosure():
                return _link_closure(proof, bench)
            case Import():
                return _import(proof, bench)
            case Check():
                return _check(proof, bench)
            case Workload():
                return _workload(proof, bench)
    except DevsetupError as error:
        summary, detail = error.message, (*error.detail, *([error.hint] if error.hint else []))
    except OSError as error:
        summary, detail = str(error), ()
    return Finding(proof=title(proof), status="fail", summary=summary, detail=detail)


def _link_closure(proof: LinkClosure, bench: Bench) -> Finding:
    own = sorted(name for name in bench.places if name.startswith("PREFIX"))
    tree = Tree(prefixes=tuple(bench.places[name] for name in own), build=bench.places.get("BUILD", ""))
    return link_closure(tuple(bench.fill(path) for path in proof.paths), bench.env, tree)


def _import(proof: Import, bench: Bench) -> Finding:
    # -I keeps PYTHON* variables, the user's site-packages and the current directory out; faulthandler names the
    # import that crashed.
    code = f"import {proof.module}\n" + (f"print({proof.show})\n" if proof.show else "")
    argv = (bench.fill(proof.python), "-I", "-X", "faulthandler", "-c", code)
    started = time.monotonic()
    with _empty_directory() as cwd:
        # Apart, so that a warning on stderr is not taken for what `show` printed.
        done = bench.runner.capture(argv, cwd=cwd, env=bench.env, timeout_s=proof.timeout_s)
    printed, complaints = _lines(done.output), _lines(done.error)
    for line in (*printed, *complaints):
        bench.say(line)
        bench.emit(events.Line(line))
    if done.returncode:
        told = complaints or printed
        reason = _ending(done.returncode, time.monotonic() - started, proof.timeout_s)
        if done.returncode == 1 and told:
            reason = told[-1].strip()
        raise ProofFailed(reason, detail=told[-_TAIL_LINES:])
    shown = printed[-1] if printed and proof.show else ""
    return Finding(proof=title(proof), status="ok", summary=f"{proof.module} {shown}".strip())


def _check(proof: Check, bench: Bench) -> Finding:
    try:
        expected = re.compile(proof.expect, re.MULTILINE)
    except re.error as error:
        raise ProofFailed(f"the proof expects {proof.expect!r}, which is no regular expression: {error}") from error
    argv = tuple(bench.fill(word) for word in proof.argv)
    lines = _run(argv, bench, proof.timeout_s)
    output = "\n".join(lines)
    found = expected.search(output)
    if not found:
        raise ProofFailed(
            f"exit status 0, but nothing in its output matches {proof.expect!r}", detail=lines[-_TAIL_LINES:]
        )
    last = lines[-1] if lines else "exit status 0"
    return Finding(proof=proof.title, status="ok", summary=found.group().strip() if proof.expect else last)


def _workload(proof: Workload, bench: Bench) -> Finding:
    if not bench.workloads:
        return Finding(proof=proof.title, status="skip", summary="a workload: run it with --workload")
    home = bench.artifacts.parent
    home.mkdir(parents=True, exist_ok=True)
    # Beside their final place, so that moving them there is a rename.
    with tempfile.TemporaryDirectory(prefix=f".{bench.artifacts.name}-", dir=home, ignore_cleanup_errors=True) as new:
        argv = tuple(bench.fill(word, ARTIFACTS=new) for word in proof.argv_at(bench.scale))
        began, started, load = datetime.now(timezone.utc), time.monotonic(), os.getloadavg()[0]
        lines = _run(argv, bench, proof.timeout_at(bench.scale))
        seconds = time.monotonic() - started
        for name in proof.artifacts:
            _check_artifact(Path(new, name), name)
        if proof.bench:
            at = began.isoformat(timespec="seconds")
            run = results.Run(at=at, seconds=round(seconds, 3), load=round(load, 2), machine=bench.machine())
            _seal(Path(new, results.FILE), run, bench.scale)
        _keep(Path(new), proof.artifacts, bench.artifacts)
    summary = lines[-1] if lines else "exit status 0"
    kept = tuple(str(bench.artifacts / name) for name in proof.artifacts)
    return Finding(proof=proof.title, status="ok", summary=summary, artifacts=kept)


def _seal(path: Path, run: results.Run, scale: float) -> None:
    """Check a bench table and write the circumstances of its run into it.

    Raises:
        ProofFailed: the table says that it is of another scale.
        InvalidInput: it is no bench table.
    """
    data = path.read_bytes()
    said = decimal(results.decode(data, path.name).scale)
    if said != decimal(scale):
        raise ProofFailed(f"exit status 0, but {path.name} is of scale {said}, and {decimal(scale)} was asked for")
    path.write_bytes(results.with_run(data, run))


def _keep(new: Path, names: tuple[str, ...], home: Path) -> None:
    """Move what a workload left to its place: the result last, so that it never stands for files not yet there."""
    for name in sorted(names, key=results.FILE.__eq__):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Path(new, name).replace(home / name)


def _check_artifact(path: Path, name: str) -> None:
    if not path.is_file():
        raise ProofFailed(f"exit status 0, but it left no {name}")
    content = path.read_bytes()
    if not content:
        raise ProofFailed(f"exit status 0, but {name} is empty")
    if path.suffix == ".json":
        try:
            msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProofFailed(f"exit status 0, but {name} is not JSON: {error}") from error
    if path.suffix == ".svg" and not _SVG.match(content):
        raise ProofFailed(f"exit status 0, but {name} does not start as an SVG image does")


def _run(argv: tuple[str, ...], bench: Bench, timeout_s: float) -> tuple[str, ...]:
    """Run a command to its end and return the lines of its output: all, or the last 400.

    Raises:
        ProofFailed: it did not end with exit status 0.
    """
    started = time.monotonic()

    def on_line(line: str) -> None:
        bench.emit(events.Line(line))

    with _empty_directory() as cwd:
        done: Completed = bench.runner.stream(
            argv, cwd=cwd, env=bench.env, timeout_s=timeout_s, log=bench.log, on_line=on_line
        )
    lines = _lines(done.output)
    if done.returncode:
        ending = _ending(done.returncode, time.monotonic() - started, timeout_s)
        last = f": {lines[-1].strip()}" if lines and done.returncode > 0 else ""
        raise ProofFailed(ending + last, detail=lines[-_TAIL_LINES:])
    return lines


@contextlib.contextmanager
def _empty_directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="devsetup-proof-", ignore_cleanup_errors=True) as path:
        yield os.path.realpath(path)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())


def _ending(code: int, seconds: float, timeout_s: float) -> str:
    """How a process ended that did not end well."""
    if code == _TIMED_OUT and seconds >= timeout_s:
        return f"still running after {timeout_s:g} s, so it was ended"
    number = -code if code < 0 else code - _SHELL_SIGNAL
    try:
        name = signal.Signals(number)
    except ValueError:
        return f"exit status {code}"
    meaning = _MEANINGS.get(name)
    return f"{name.name} ({meaning})" if meaning else name.name

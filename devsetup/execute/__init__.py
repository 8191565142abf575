"""Carrying out a part's steps on this machine: primitives, in order, with events and a full log."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from devsetup import fetch, lower
from devsetup.environment import clean
from devsetup.errors import DevsetupError, StateError, StepFailed
from devsetup.events import Emit, Line, StepFinished, StepStarted
from devsetup.execute.failure import CommandFailed, errors_in, replay_line
from devsetup.execute.system import Missing, Privilege, install, missing, privilege, shell_line
from devsetup.receipts import UsedPatch, UsedSource
from devsetup.runner import Runner
from devsetup.steps import (
    ApplyPatch,
    Command,
    DebianSource,
    Env,
    Extract,
    Guard,
    Guarded,
    LocalSource,
    Obtain,
    PackagesInstalled,
    PatchApplied,
    PathExists,
    Primitive,
    PyPISource,
    Source,
    Step,
    SystemPackages,
    UrlSource,
    WriteFile,
    substitute,
    title,
)

if TYPE_CHECKING:
    from devsetup.plan import Part

__all__ = [
    "Built",
    "CommandFailed",
    "Missing",
    "Privilege",
    "Site",
    "build",
    "clean",
    "install",
    "missing",
    "privilege",
    "shell_line",
    "unneeded",
    "worked_steps",
]


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what a part is built.

    Attributes:
        places: values for PREFIX, BUILD, JOBS and each PREFIX:name.
        env: the whole environment of every command.
        downloads: the download cache.
        log: path of the full log, open as `log_file`.
        absent: (manager, names) to the packages that are not installed.
    """

    runner: Runner
    places: dict[str, str]
    env: dict[str, str]
    downloads: Path
    log: Path
    log_file: BinaryIO
    absent: Callable[[str, tuple[str, ...]], tuple[str, ...]]

    def fill(self, text: str) -> str:
        """A text with its places filled."""
        return substitute(text, self.places)


class Built(msgspec.Struct, kw_only=True):
    """What building has done so far: the steps, and the records that make up a receipt."""

    done: list[Step] = []
    sources: dict[str, UsedSource] = {}
    patches: dict[str, UsedPatch] = {}


def build(part: Part, site: Site, emit: Emit, built: Built, skipped: frozenset[int] = frozenset()) -> None:
    """Carry out a part's steps in order. System packages must have been installed before.

    Args:
        part: what to build.
        site: where.
        emit: gets what happens.
        built: gets what was done, also when a step fails.
        skipped: indices of steps that an earlier attempt has done in the same place.

    Raises:
        StepFailed: names the step, its first error lines, the log, and how to replay it.
        StateError: the disk is full or the home cannot be written.
    """
    worker = _Worker(site, emit, built)
    for index, step in enumerate(worked_steps(part)):
        if index in skipped:
            emit(StepFinished(index, title(step), 0.0, "done before"))
            continue
        name = title(step)
        emit(StepStarted(index, name))
        site.log_file.write(f"\n==> {name}\n".encode())
        start = time.monotonic()
        try:
            note = worker.perform(step)
        except DevsetupError as error:
            replay = error.replay if isinstance(error, CommandFailed) else None
            raise StepFailed(error, recipe=part.name, step=name, log=str(site.log), replay=replay) from error
        except OSError as error:
            raise _disk_error(error) from error
        emit(StepFinished(index, name, time.monotonic() - start, note))
        built.done.append(step)


def worked_steps(part: Part) -> tuple[Step, ...]:
    """The steps that building carries out: activation is kept in the receipt, and needs no work."""
    return tuple(step for step in part.steps if not isinstance(step, Env))


def unneeded(part: Part) -> tuple[UsedPatch, ...]:
    """The records of the patches that this machine does not need."""
    return tuple(
        UsedPatch(name=patch.name, status="not needed here", why=patch.because)
        for patch in part.patches
        if not patch.needed
    )


def _disk_error(error: OSError) -> StateError:
    where = error.filename or "the home directory"
    if error.errno == errno.ENOSPC:
        return StateError(
            f"no space left while writing {where}", "free some space (`devsetup gc` helps), then run again"
        )
    return StateError(f"cannot write {where}: {error.strerror}", "check its owner and permissions, or use `--home DIR`")


class _Worker:
    """Carries out one part's primitives and keeps the records."""

    def __init__(self, site: Site, emit: Emit, built: Built) -> None:
        self.site = site
        self.emit = emit
        self.built = built
        self.obtained: dict[str, fetch.Obtained] = {}

    def perform(self, step: Step) -> str:
        """Carry out a step; the note says what was special, or is empty."""
        if isinstance(step, SystemPackages):
            absent = self.site.absent(step.manager, step.names)
            if absent:
                raise DevsetupError(f"system packages are still missing: {', '.join(absent)}")
            return "all present"
        skipped = [self._do(primitive) for primitive in lower.lower(step)]
        if isinstance(step, ApplyPatch):
            status = "already upstream" if any(skipped) else "applied"
            self.built.patches[step.name] = UsedPatch(name=step.name, status=status, why=step.why)
            return status
        return "already there" if any(skipped) else ""

    def _do(self, primitive: Primitive) -> bool:
        """Carry out a primitive; True when its guard made it unnecessary."""
        match primitive:
            case Guarded(unless=guard, then=then):
                if self._holds(guard):
                    return True
                for inner in then:
                    self._do(inner)
            case Command():
                self._command(primitive)
            case WriteFile(path=path, content=content, executable=executable):
                self._write(Path(self.site.fill(path)), self.site.fill(content), executable=executable)
            case Obtain(name=name, sources=sources):
                had = tuple(self._here(source) for source in sources)
                got = fetch.obtain(name, had, self.site.downloads, self.site.runner.capture, self.emit)
                self.obtained[name] = got
                self.built.sources[name] = UsedSource(
                    name=name,
                    id=got.source.id,
                    sha256=got.source.sha256,
                    origin=_origin(got.source),
                    reasons=got.reasons,
                )
            case Extract(name=name, into=into):
                self._extract(self.obtained[name], Path(self.site.fill(into)))
            case Env():
                pass  # activation is part of the receipt; nothing to do while building
        return False

    def _here(self, source: Source) -> Source:
        if isinstance(source, PyPISource):
            return msgspec.structs.replace(source, python=self.site.fill(source.python))
        return source

    def _holds(self, guard: Guard) -> bool:
        match guard:
            case PathExists(path=path):
                return Path(self.site.fill(path)).exists()
            case PatchApplied(patch=patch, tree=tree):
                argv = lower.patch_command(self.site.fill(tree), self.site.fill(patch), "--reverse", "--dry-run")
                return self.site.runner.capture(argv, env=self.site.env).returncode == 0
            case PackagesInstalled(manager=manager, names=names):
                return not self.site.absent(manager, names)

    def _command(self, command: Command) -> None:
        fill = self.site.fill
        filled = Command(
            argv=tuple(fill(word) for word in command.argv),
            cwd=fill(command.cwd) if command.cwd else "",
            env=tuple((name, fill(value)) for name, value in command.env),
        )
        start = self.site.log_file.tell()
        done = self.site.runner.stream(
            filled.argv,
            cwd=filled.cwd or None,
            env={**self.site.env, **dict(filled.env)},
            log=self.site.log_file,
            on_line=lambda text: self.emit(Line(text)),
        )
        self.site.log_file.flush()
        if done.returncode:
            raise CommandFailed(
                f"`{' '.join(filled.argv[:3])}` {_ending(done.returncode)}",
                f"read the full log: {self.site.log}",
                detail=errors_in(self.site.log, start),
                replay=replay_line(filled, self.site.env),
            )

    @staticmethod
    def _write(path: Path, content: str, *, executable: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
        if executable:
            path.chmod(0o755)

    @staticmethod
    def _extract(got: fetch.Obtained, into: Path) -> None:
        if isinstance(got.source, LocalSource) and got.source.tree:
            fetch.copy_tree(Path(got.path), into)
        else:
            fetch.extract(Path(got.path), into, strip=got.source.strip)


def _origin(source: Source) -> str:
    match source:
        case UrlSource(url=url):
            return url
        case DebianSource(package=package, version=version, suite=suite):
            return f"Debian source package {package} {version} of {suite}"
        case PyPISource(package=package, version=version, file=file):
            return f"{file} of the Python package {package} {version}, by pip"
        case LocalSource(path=path):
            return path


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"exited with status {code}"

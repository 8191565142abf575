"""Sources and Python packages for a build context, so that the build asks no upstream and no package index.

System packages still come through the package manager of the base.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup import fetch
from devsetup.errors import SourceError
from devsetup.events import Note
from devsetup.render.body import file_of
from devsetup.steps import Fetch, PyPISource, PythonEnv

if TYPE_CHECKING:
    from devsetup.events import Emit
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan
    from devsetup.runner import Runner
    from devsetup.steps import Source

_OLDEST = 5  # manylinux's glibc 2.5
_GLIBC_2 = 2


def gather(plan: Plan, downloads: Path, runner: Runner, emit: Emit) -> dict[str, str | Path]:
    """Have every source, and the wheels of every Python environment, for the plan's machine.

    Args:
        plan: what is to be built.
        downloads: the download cache; wheels go into `downloads/wheels/DIGEST`.
        runner: starts pip.
        emit: gets what happens.

    Returns:
        Path in the context (`vendor/RECIPE/...`) to file.

    Raises:
        SourceError: a source cannot be had, or a requirement has no wheel for that machine.
    """
    files: dict[str, str | Path] = {}
    for part in plan.parts:
        files[f"vendor/{part.name}/README"] = f"Sources and Python packages of {part.key}.\n"
        for step in part.steps:
            if isinstance(step, Fetch):
                got = fetch.obtain(step.name, tuple(map(_here, step.sources)), downloads, runner.capture, emit)
                files[f"vendor/{part.name}/{got.source.sha256}/{file_of(got.source)}"] = Path(got.path)
            elif isinstance(step, PythonEnv):
                for wheel in _wheels(step, part, plan.facts, downloads, runner, emit):
                    files[f"vendor/{part.name}/wheels/{wheel.name}"] = wheel
    return files


def _here(source: Source) -> Source:
    """The environment that a recipe asks is not there yet; any pip brings the same sdist."""
    return msgspec.structs.replace(source, python=sys.executable) if isinstance(source, PyPISource) else source


def _wheels(step: PythonEnv, part: Part, facts: Facts, downloads: Path, runner: Runner, emit: Emit) -> list[Path]:
    emit(Note(f"Python packages of {part.name}: {len(step.requirements)}"))
    place = downloads / "wheels" / part.digest
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_dir():
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".getting-") as scratch:
            got = Path(scratch, "wheels")
            done = runner.capture(_pip(step, facts, got))
            if done.returncode:
                problems = [line for line in done.error.splitlines() if line.startswith("ERROR: ")]
                raise SourceError(
                    f"pip could not have the Python packages of {part.name} for {facts.os.id} {facts.os.version}",
                    "build without --vendor, or choose options whose packages exist as wheels",
                    detail=tuple(problems[-4:]),
                )
            got.rename(place)
    return sorted(place.iterdir())


def _pip(step: PythonEnv, facts: Facts, into: Path) -> tuple[str, ...]:
    version = next((each.version for each in facts.pythons if each.path == step.python), facts.library("python"))
    short = ".".join(version.split(".")[:2])
    platforms = [f"--platform={tag}" for tag in _platforms(facts)]
    how = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp")
    abi = (f"--python-version={short}", f"--abi=cp{short.replace('.', '')}", "--abi=abi3", "--abi=none")
    return (sys.executable, "-m", "pip", "download", *how, *abi, *platforms, f"--dest={into}", *step.requirements)


def _platforms(facts: Facts) -> list[str]:
    """The platform tags that this C library takes, newest first."""
    minor = int(facts.libc.version.split(".")[1]) if facts.libc and facts.libc.version.startswith("2.") else _OLDEST
    new = [f"manylinux_{_GLIBC_2}_{each}_{facts.arch}" for each in range(minor, _OLDEST - 1, -1)]
    return [
        *new,
        *(f"{old}_{facts.arch}" for old in ("manylinux2014", "manylinux2010", "manylinux1")),
        f"linux_{facts.arch}",
    ]

"""Ways of building that recipes share: functions that make steps, and what more than one recipe knows of CUDA."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from devsetup.facts import Library
from devsetup.steps import JOBS, PREFIX, Env, PythonEnv, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.facts import Cuda, Facts
    from devsetup.steps import Step

# (toolkit, first g++ that nvcc refuses from it on; empty: not known): from crt/host_config.h from 11.7 on, before that
# as Spack has it.
_GXX_REFUSED = (
    *(("0", "4.9"), ("7", "5"), ("8", "6"), ("9", "7"), ("9.2", "8"), ("10.1", "9"), ("11", "10"), ("11.1", "11")),
    *(("11.4.1", "12"), ("12", "13"), ("12.4", "14"), ("12.8", "15"), ("13", "16"), ("13.4", "17"), ("14", "")),
)
# Real GPUs (not Tegra): (architecture, first toolkit that compiles for it, first that no longer does), as Spack has it.
_GPU_ARCHS = (
    *(("20", "0", "9"), ("21", "0", "9"), ("30", "5", "11"), ("35", "5", "12"), ("37", "6.5", "12")),
    *(("50", "6", "13"), ("52", "6.5", "13"), ("60", "8", "13"), ("61", "8", "13"), ("70", "9", "13")),
    *(("75", "10", ""), ("80", "11", ""), ("86", "11.1", ""), ("89", "11.8", ""), ("90", "12", "")),
    *(("100", "12.8", ""), ("120", "12.8", "")),
)
GPU_ARCHS = tuple(arch for arch, _, _ in _GPU_ARCHS)


def make(tree: str, *targets: str, title: str) -> Run:
    """Run GNU make in a tree with the plan's number of jobs; output of parallel jobs is kept apart by target."""
    return Run(argv=("make", f"-j{JOBS}", "--output-sync=target", *targets), cwd=tree, title=title)


def python_binding(facts: Facts, tree: str, source: Iterable[Step]) -> Iterator[Step]:
    """An environment at `@PREFIX@/env` with one sdist compiled in it, against the system's own libraries.

    Args:
        facts: decide on the interpreter.
        tree: where `source` puts the sdist.
        source: steps that fetch, unpack and patch it; they run after the environment is made, since its pip fetches.
    """
    yield python_env(facts, ("setuptools==82.0.1", "wheel==0.48.0"))
    yield from source
    pip = (f"{PREFIX}/env/bin/python", "-m", "pip", "install", "--disable-pip-version-check")
    yield Run(
        argv=(*pip, "--no-index", "--no-deps", "--no-build-isolation", tree),
        title="compile the Python binding and install it in its environment",
    )
    yield Env(name="PATH", value=f"{PREFIX}/env/bin")


def python_env(
    facts: Facts, requirements: tuple[str, ...], *, path: str = f"{PREFIX}/env", paths: tuple[str, ...] = ()
) -> PythonEnv:
    """An environment of the distribution's own Python.

    Args:
        facts: decide on the interpreter.
        requirements: pip requirements, pinned.
        path: where it is made.
        paths: directories to add to its `sys.path`; see PythonEnv.
    """
    return PythonEnv(
        path=path,
        python=f"/usr/bin/python{python_minor(facts)}",
        requirements=requirements,
        site_packages=site_packages(facts),
        paths=paths,
    )


def python_minor(facts: Facts) -> str:
    """The version of the distribution's Python that names its files: `3.11`."""
    return ".".join(facts.library("python").split(".")[:2])


def site_packages(facts: Facts) -> str:
    """Where an environment of the distribution's Python keeps packages, relative to it."""
    return f"lib/python{python_minor(facts)}/site-packages"


def with_library(facts: Facts, name: str, version: str) -> Facts:
    """The facts of a machine on which a recipe has installed a library."""
    return replace(facts, libraries={**facts.libraries, name: Library(version=version, installed=True)})


def with_toolkit(facts: Facts, toolkit: Cuda) -> Facts:
    """The machine with this CUDA toolkit, chosen before all that were found."""
    others = (
        replace(other, chosen=False, why=f"{toolkit.origin} comes first") if other.chosen else other
        for other in facts.cuda
    )
    return replace(facts, cuda=(replace(toolkit, chosen=True), *others))


def gxx_too_new(facts: Facts, toolkit: str) -> str:
    """Why nvcc of a toolkit does not take this machine's g++, as a clause; empty when it does, or nothing is known.

    Args:
        facts: the machine; without a g++ the one that its package manager is expected to install counts.
        toolkit: a CUDA version such as `12.4`.
    """
    limit = next((gxx for since, gxx in reversed(_GXX_REFUSED) if _numbers(toolkit) >= _numbers(since)), "")
    version = facts.compiler("g++") or facts.library("gcc")
    if not limit or not version or _numbers(version) < _numbers(limit):
        return ""
    return f"nvcc of CUDA {toolkit} accepts g++ below {limit}, and g++ here is {version}"


def gpu_archs(toolkit: str) -> tuple[str, ...]:
    """The architectures (`90` for compute capability 9.0) that a CUDA toolkit compiles for, oldest first."""
    have = _numbers(toolkit)
    return tuple(
        arch for arch, since, until in _GPU_ARCHS if _numbers(since) <= have and (not until or have < _numbers(until))
    )


def archs_for(facts: Facts, toolkit: str) -> tuple[str, ...]:
    """Those of a toolkit's architectures that this machine's GPUs need; all of them where no GPU is known.

    A GPU runs what was compiled for its own architecture or an earlier one of the same generation (the first digits);
    one of a later generation than the toolkit knows translates the newest.

    Returns:
        Empty when every GPU here is older than all that the toolkit compiles for.
    """
    known = gpu_archs(toolkit)
    capabilities = [_numbers(gpu.capability) for gpu in facts.gpus if gpu.capability]
    if not capabilities:
        return known
    fitting = (_fitting(capability, known) for capability in capabilities)
    return tuple(sorted({arch for arch in fitting if arch}, key=int))


def _fitting(capability: tuple[int, ...], archs: tuple[str, ...]) -> str:
    """The newest architecture whose code a GPU of this capability (9, 0) runs; empty when there is none."""
    number = capability[0] * 10 + (capability[1] if len(capability) > 1 else 0)
    if number // 10 > int(archs[-1]) // 10:
        return archs[-1]
    return next((arch for arch in reversed(archs) if int(arch) // 10 == number // 10 and int(arch) <= number), "")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()

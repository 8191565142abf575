"""This machine as facts. Files are read rather than programs started; nothing that fails here stops the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from devsetup.errors import DevsetupError
from devsetup.facts import Blas, Compiler, Cuda, Driver, Facts, Gpu, Library, OperatingSystem, Python
from devsetup.loader.releases import release
from devsetup.probe import system
from devsetup.probe.blas import blas
from devsetup.probe.compilers import compilers
from devsetup.probe.cuda import cuda, cudnn, require_toolkit
from devsetup.probe.gpu import nvidia
from devsetup.probe.host import Host
from devsetup.probe.packages import libraries as library_versions
from devsetup.probe.packages import missing_packages, package_manager
from devsetup.probe.pythons import pythons
from devsetup.results import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devsetup.recipe import SystemLibrary
    from devsetup.runner import Runner

__all__ = ["machine", "measured_on", "missing_packages"]

_T = TypeVar("_T")
_NO_GPU: tuple[tuple[Gpu, ...], Driver | None] = ((), None)


def machine(
    runner: Runner,
    libraries: Mapping[str, SystemLibrary],
    declared: Callable[[OperatingSystem], Facts | None],
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    *,
    toolkit: str = "",
) -> Facts:
    """Describe this machine.

    Args:
        runner: starts the few programs that must be asked: compilers, the package manager, nvcc, macOS's own, and one
            that loads libcuda, where there is one.
        libraries: `hosts/libraries.toml`: logical name to package names.
        declared: gives the declared host of an operating system; its versions stand in for what is not installed yet.
        root: the directory that stands for `/`. Files, PATH's entries and other absolute paths are looked up, and
            reported, inside it. The kernel's answers (architecture, processors, glibc's version) stay this machine's.
        environ: the variables to go by; None is this process's own.
        toolkit: root of the CUDA toolkit that the user named; empty looks for one.

    Returns:
        Facts whose `notes` say what could not be found out. A program that hangs costs 2 s (libcuda 10 s), and is
        stopped.

    Raises:
        InvalidInput: the toolkit that the user named is none.
    """
    where = str(root.absolute())
    host = Host(runner, "" if where == "/" else where, os.environ if environ is None else environ)
    if toolkit:
        require_toolkit(host, toolkit)
    return _describe(host, libraries, declared, toolkit)


def measured_on(runner: Runner, root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> Machine:
    """What must stand beside every figure that is measured here. What cannot be found out is left empty.

    Args:
        runner: starts macOS's own programs; none elsewhere.
        root: as for `machine`.
        environ: as for `machine`.
    """
    where = str(root.absolute())
    host = Host(runner, "" if where == "/" else where, os.environ if environ is None else environ)
    named = system.operating_system(host, [])
    return Machine(
        cpu=system.processor(host),
        cores=system.cores(host),
        memory_mb=system.memory_mb(host, []),
        os=named.name or f"{named.id} {named.version}".rstrip(),
        arch=os.uname().machine,
    )


def _describe(
    host: Host,
    libraries: Mapping[str, SystemLibrary],
    declared: Callable[[OperatingSystem], Facts | None],
    toolkit: str,
) -> Facts:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - costs start-up time, used only here

    base = Facts(os=OperatingSystem(id="linux", version=""), arch=os.uname().machine)
    triple = base.multiarch
    notes: list[str] = []

    def safely(what: str, fallback: _T, probe: Callable[[], _T]) -> _T:
        try:
            return probe()
        except (OSError, ValueError, LookupError, DevsetupError) as error:
            notes.append(f"{what} could not be probed: {error}")
            return fallback

    def toolkits() -> tuple[Cuda, ...]:
        return cuda(host, interpreters.result(), triple, notes, toolkit=toolkit)

    # Threads, because most of the time is spent waiting for processes.
    with ThreadPoolExecutor(max_workers=5) as pool:
        drivers = pool.submit(safely, "compilers", tuple[Compiler, ...](), lambda: compilers(host, notes))
        interpreters = pool.submit(safely, "Python", tuple[Python, ...](), lambda: pythons(host, notes))
        found_toolkits = pool.submit(safely, "CUDA", tuple[Cuda, ...](), toolkits)
        found_gpus = pool.submit(safely, "NVIDIA's driver", _NO_GPU, lambda: nvidia(host, triple))
        apple = pool.submit(safely, "developer tools", None, lambda: system.apple(host, notes))
        named = safely("the operating system", base.os, lambda: system.operating_system(host, notes))
        manager = package_manager(host, named)
        found = safely(
            "libraries",
            dict[str, Library](),
            lambda: library_versions(host, libraries, manager, lambda: _stand_in(declared(named), named, notes), notes),
        )
        found |= safely(
            "cuDNN",
            dict[str, Library](),
            lambda: cudnn(host, found_toolkits.result(), interpreters.result(), triple),
        )
        gpus, driver = found_gpus.result()
        return msgspec.structs.replace(
            base,
            os=named,
            libc=safely("the C library", None, lambda: system.libc(host, named, notes)),
            package_manager=manager,
            compilers=drivers.result(),
            pythons=interpreters.result(),
            cuda=found_toolkits.result(),
            gpus=gpus,
            driver=driver,
            blas=safely("BLAS", tuple[Blas, ...](), lambda: blas(host, triple)),
            libraries=found,
            apple=apple.result(),
            memory_mb=safely("memory", 0, lambda: system.memory_mb(host, notes)),
            cores=safely("processors", 0, lambda: system.cores(host)),
            notes=tuple(sorted(notes)),
        )


def _stand_in(found: Facts | None, named: OperatingSystem, notes: list[str]) -> Facts | None:
    """The declared host whose versions are expected, with a note when it is of another release than this machine."""
    if found and release(found.os.id, found.os.version) != release(named.id, named.version):
        notes.append(
            f"{named.id} {named.version} is not declared: what is not installed is expected in the versions of "
            f"{found.os.id} {found.os.version}"
        )
    return found

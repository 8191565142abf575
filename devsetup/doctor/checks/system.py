"""The operating system: whether devsetup knows it, its C library, processor, container, locale."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.remedies import concerning, is_macos
from devsetup.steps import PythonEnv
from devsetup.when import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam

_RUN_ON = ("x86_64",)
_PLANNED_ON = ("aarch64", "arm64")
_BITS = {"x86_64": 64, "aarch64": 64, "arm64": 64, "ppc64le": 64, "s390x": 64, "riscv64": 64}
# PEP 600: a wheel tagged manylinux_2_28 wants glibc 2.28, and manylinux2014 wants 2.17; nothing is built for less now.
_OLDEST_FOR_WHEELS = "2.17"
_TODAYS_WHEELS = "2.28"
# What the wheels of a package need of an x86 processor. jaxlib checks it on import (jaxlib/cpu_feature_guard.py);
# NumPy 2.4's own show_config() names x86-64-v2 as its baseline.
_PROCESSOR_NEEDS = (("jaxlib", "", "avx"), ("tensorflow", "", "avx"), ("numpy", ">=2.4", "sse4_2"))
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*(?:==\s*([\d.]+))?")
_CONTAINERS = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"), ("/run/systemd/container", "a container"))
_CONTAINER_GROUPS = re.compile(r"/(docker|kubepods|lxc|containerd|libpod)[-/.]")

# The first of these that is set decides how text is encoded.
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")


def supported(exam: Exam) -> Iterator[Finding]:
    """Whether recipes know this release and its package manager."""
    system, facts = exam.facts.os, exam.facts
    name = system.name or f"{system.id} {system.version}".rstrip()
    if not facts.package_manager:
        yield Finding(
            status="warn" if exam.goals else "info",
            summary=f"{name}: none of apt-get, dnf, pacman and brew is on PATH, so recipes cannot install the "
            "libraries that they need",
            evidence=(Evidence(source="PATH", value=exam.host.environ.get("PATH", "")),),
            fix=Fix(
                text="install the libraries by hand, or plan for another machine with `devsetup plan NAME --on HOST`"
            ),
        )
    strange = [note for note in facts.notes if re.search(r"is not declared|no declared host|os-release", note)]
    if strange:
        yield Finding(
            status="info",
            summary=f"{name} is no release that devsetup has a description of; versions of what is not installed yet "
            "are guessed or unknown",
            detail=tuple(strange),
            fix=Fix(text="see `devsetup plan NAME` before installing: it names every version that it went by"),
        )
    elif facts.package_manager:
        yield Finding(status="ok", summary=f"{name} on {facts.arch}, packages by {facts.package_manager}")


def libc(exam: Exam) -> Iterator[Finding]:
    """Whether binary wheels and CUDA can be loaded by this C library."""
    found = exam.facts.libc
    if is_macos(exam):
        return
    if found is None:
        yield Finding(status="info", summary="the C library is unknown, so it is unknown which binary wheels can load")
    elif found.family == "musl":
        yield _musl(exam, found.version)
    elif satisfies(found.version, f"<{_TODAYS_WHEELS}"):
        old = satisfies(found.version, f"<{_OLDEST_FOR_WHEELS}")
        with_wheels = _with_environments(exam)
        yield Finding(
            status="warn" if old and with_wheels else "info",
            summary=f"glibc {found.version}: "
            + (
                f"no current binary wheel loads below {_OLDEST_FOR_WHEELS}"
                if old
                else f"wheels for glibc {_TODAYS_WHEELS} and later do not load"
            )
            + f", so pip compiles Python packages from source{concerning(with_wheels)}",
            fix=Fix(text="use a newer release of the system, for example in a container"),
        )
    else:
        yield Finding(status="ok", summary=f"glibc {found.version}")


def _musl(exam: Exam, version: str) -> Finding:
    with_wheels = _with_environments(exam)
    why = (
        "NVIDIA's libraries are for glibc" if exam.cuda_wanted else "wheels for glibc (manylinux) and CUDA do not load"
    )
    return Finding(
        status="fail" if exam.cuda_wanted else "warn" if with_wheels else "info",
        summary=f"musl {version}: {why}{concerning(exam.cuda_wanted or with_wheels)}",
        fix=Fix(text="use a system with glibc, for example a Debian container"),
    )


def arch(exam: Exam) -> Iterator[Finding]:
    """Whether the processor is one that recipes were run on, and the Pythons are of its word size."""
    facts = exam.facts
    bits = _BITS.get(facts.arch, 32)
    narrow = [python.path for python in facts.pythons if _bits(exam, python.path) not in (0, bits)]
    if narrow and bits == max(_BITS.values()):
        yield Finding(
            status="fail" if exam.cuda_wanted else "warn" if _with_environments(exam) else "info",
            summary=f"{narrow[0]} is a 32-bit Python on {facts.arch}: it loads no 64-bit library, and CUDA and most "
            f"wheels have no other{concerning(exam.cuda_wanted or _with_environments(exam))}",
            detail=tuple(narrow[1:]),
            fix=Fix(text="install a 64-bit Python"),
        )
    if facts.arch not in (*_RUN_ON, *_PLANNED_ON):
        yield Finding(
            status="info",
            summary=f"{facts.arch}: no recipe was tried on this processor; they were run on {', '.join(_RUN_ON)} and "
            f"planned for {', '.join(_PLANNED_ON)}",
        )
    elif not narrow:
        yield Finding(status="ok", summary=f"{facts.arch}, {bits}-bit")


def _bits(exam: Exam, path: str) -> int:
    """Word size of an ELF file: its fifth byte is 1 for 32 bits and 2 for 64; 0 when it is no ELF file."""
    try:
        with Path(exam.host.real(path)).open("rb") as file:
            start = file.read(5)
    except OSError:
        return 0
    return {b"\x7fELF\x01": 32, b"\x7fELF\x02": 64}.get(start, 0)


def container(exam: Exam) -> Iterator[Finding]:
    """Whether this is a container, whose kernel and NVIDIA driver are its host's."""
    host = exam.host
    seen = [Evidence(source=path, value=kind) for path, kind in _CONTAINERS if host.exists(path)]
    if group := _CONTAINER_GROUPS.search(host.read("/proc/1/cgroup")):
        seen.append(Evidence(source="/proc/1/cgroup", value=group.group(1)))
    seen += [
        Evidence(source=name, value=value)
        for name in ("container", "KUBERNETES_SERVICE_HOST")
        if (value := host.environ.get(name))
    ]
    if not seen:
        yield Finding(status="ok", summary="no sign of a container")
        return
    lacks_driver = exam.cuda_wanted and exam.facts.driver is None
    yield Finding(
        status="info",
        summary=f"{seen[0].source} is there, as in a container: kernel and NVIDIA driver are then its host's, and are "
        "not installed from inside",
        evidence=tuple(seen),
        fix=Fix(text="start the container with its host's GPUs, for example `docker run --gpus all`")
        if lacks_driver
        else None,
    )


def wsl(exam: Exam) -> Iterator[Finding]:
    """Whether this is Windows' subsystem, whose first version has no GPU."""
    release = exam.host.read("/proc/sys/kernel/osrelease").strip()
    if "microsoft" not in release.lower():
        return
    evidence = (Evidence(source="/proc/sys/kernel/osrelease", value=release),)
    if "Microsoft" not in release:
        yield Finding(
            status="info", summary="WSL2: the NVIDIA driver is Windows'; none is installed inside", evidence=evidence
        )
        return
    yield Finding(
        status="fail" if exam.cuda_wanted else "info",
        summary=f"WSL1 ({release}): programs see no GPU{concerning(exam.cuda_wanted)}",
        evidence=evidence,
        fix=Fix(
            text="convert this distribution to WSL2, in PowerShell on Windows", commands=("wsl --set-version NAME 2",)
        ),
    )


def locale(exam: Exam) -> Iterator[Finding]:
    """Whether text is UTF-8: for the user's own programs, and under the locale that builds run with."""
    host = exam.host
    program = host.which("locale")
    if not program:
        return
    user = {name: value for name in _LOCALE if (value := host.environ.get(name)) and not _coerced(exam, name)}
    chosen = next((f"{name}={value}" for name, value in user.items()), "no LANG or LC_*")
    # Empty is as good as unset, and `ask` sets LC_ALL.
    own = host.ask((program, "charmap"), **{"LC_ALL": "", "LC_CTYPE": "", **user}).output.strip()
    builds = host.ask((program, "charmap"), LC_ALL="C.UTF-8").output.strip()
    if builds not in ("", "UTF-8") and not is_macos(exam):
        yield Finding(
            status="warn" if exam.goals else "info",
            summary="this system has no locale C.UTF-8, under which devsetup builds: a build that prints or reads "
            "text beyond ASCII may fail",
            evidence=(Evidence(source="LC_ALL=C.UTF-8 locale charmap", value=builds),),
            fix=Fix(text="make it", commands=("sudo localedef -c -i POSIX -f UTF-8 C.UTF-8",), needs_root=True),
        )
    elif own == "UTF-8":
        yield Finding(status="ok", summary=f"UTF-8 ({chosen})")
    elif own:
        yield Finding(
            status="info",
            summary=f"{chosen}, which means {own} and not UTF-8: R and pip run by hand may stumble over text beyond "
            "ASCII; devsetup's builds use C.UTF-8",
            evidence=(Evidence(source="locale charmap", value=own),),
            fix=Fix(text="for your own shell", commands=("export LC_ALL=C.UTF-8",)),
        )


def _coerced(exam: Exam, name: str) -> bool:
    """Whether the interpreter that runs devsetup set this variable itself, as it does where nothing is set (PEP 538).

    The kernel keeps the environment that the process was started with.
    """
    started_with = exam.host.read("/proc/self/environ").split("\0")
    return (
        name == "LC_CTYPE" and len(started_with) > 1 and not any(each.startswith("LC_CTYPE=") for each in started_with)
    )


def processor(exam: Exam) -> Iterator[Finding]:
    """Whether the processor has the instructions that binary wheels are compiled with."""
    text = exam.host.read("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    if exam.facts.arch != "x86_64" or not flags:
        return
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    name = model.group(1).strip() if model else "the processor"
    have = set(flags.group(1).split())
    lacking = [flag for flag in dict.fromkeys(flag for *_, flag in _PROCESSOR_NEEDS) if flag not in have]
    if not lacking:
        yield Finding(status="ok", summary=f"{name}: has AVX{' and AVX2' if 'avx2' in have else ''}")
        return
    hit = [f"{part}: {package} needs {flag}" for part, package, flag in _processor_demands(exam) if flag in lacking]
    yield Finding(
        status="fail" if hit else "info",
        summary=f"{name} lacks {', '.join(lacking)}, which many binary wheels need: they stop with an illegal "
        "instruction or refuse to load",
        detail=tuple(hit),
        evidence=(Evidence(source="/proc/cpuinfo", value=f"flags: no {', '.join(lacking)}"),),
        fix=Fix(text="use another machine, or compile those packages from source"),
    )


def _processor_demands(exam: Exam) -> Iterator[tuple[str, str, str]]:
    for part in exam.wanted:
        requirements = [each for step in part.steps if isinstance(step, PythonEnv) for each in step.requirements]
        for found in filter(None, map(_REQUIREMENT.match, requirements)):
            for package, versions, flag in _PROCESSOR_NEEDS:
                if found.group(1).lower() == package and satisfies(found.group(2) or "", versions):
                    yield part.name, package, flag


def _with_environments(exam: Exam) -> tuple[str, ...]:
    """Names of the recipes asked about that install Python packages."""
    with_env = (part.name for part in exam.wanted if any(isinstance(step, PythonEnv) for step in part.steps))
    return tuple(dict.fromkeys(with_env))


CHECKS: tuple[Check, ...] = (
    Check(id="os.supported", about="a release and a package manager that recipes know", run=supported),
    Check(id="os.libc", about="a C library that binary wheels and CUDA load with", run=libc),
    Check(id="os.arch", about="a processor that recipes know, and Pythons of its word size", run=arch),
    Check(id="os.container", about="a container, whose driver is its host's", run=container, only="linux"),
    Check(id="os.wsl", about="Windows' subsystem for Linux, and which version", run=wsl, only="linux"),
    Check(id="os.locale", about="UTF-8, for your programs and for builds", run=locale),
    Check(id="os.cpu", about="the instructions that binary wheels are compiled with", run=processor, only="linux"),
)

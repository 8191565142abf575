"""make, CMake, pkg-config, and the variables that steer them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.remedies import bringers, builder, concerning, installation, packages, runners
from devsetup.steps import ApplyPatch, Run
from devsetup.when import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.probe.host import Host

# GNU make has --output-sync from 4.0 on; macOS brings 3.81.
_OUTPUT_SYNC = ("--output-sync", "4.0")
# From 4.0 on CMake refuses trees that declare less than this, unless told otherwise.
_CMAKE_REFUSES = "3.5"
_CMAKE_TOLD = "CMAKE_POLICY_VERSION_MINIMUM"
_STEERING = (
    *("CC", "CXX", "FC", "CUDAHOSTCXX", "CUDACXX", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"),
    *("CFLAGS", "CXXFLAGS", "CPPFLAGS", "FFLAGS", "LDFLAGS", "LDLIBS", "MAKEFLAGS", "CMAKE_PREFIX_PATH"),
    *(
        "CPATH",
        "C_INCLUDE_PATH",
        "CPLUS_INCLUDE_PATH",
        "LIBRARY_PATH",
        "LD_RUN_PATH",
        "COMPILER_PATH",
        "GCC_EXEC_PREFIX",
    ),
)


def make_and_cmake(exam: Exam) -> Iterator[Finding]:
    """Whether make and CMake are there where they are needed, and new or old enough."""
    host = builder(exam)
    there, absent = [], []
    for name in ("make", "cmake"):
        path = host.which(name)
        if not path:
            absent.append(name)
            continue
        version = _version(host, path)
        trouble = tuple(_make_trouble(exam, version) if name == "make" else _cmake_trouble(exam, version))
        yield from trouble
        if not trouble:
            there.append(f"{path} {version}".rstrip())
    for name in absent:
        yield from _absent(exam, name)
    if there:
        yield Finding(status="ok", summary=", ".join(there))
    if absent and not exam.wanted:
        yield Finding(status="info", summary=f"no {' and no '.join(absent)}: recipes that need one install it first")


def _absent(exam: Exam, name: str) -> Iterator[Finding]:
    names, users = packages(exam, name), runners(exam, (name,))
    if not users:
        return
    brought = bringers(exam, names)
    yield Finding(
        status="info" if brought else "fail",
        summary=f"no {name} yet: the plan installs {', '.join(names)} first{concerning(users)}"
        if brought
        else f"no {name}, and the plan runs it without installing it{concerning(users)}",
        fix=None if brought else installation(exam, f"install {name}", names),
    )


def _make_trouble(exam: Exam, version: str) -> Iterator[Finding]:
    option, since = _OUTPUT_SYNC
    if not version or not satisfies(version, f"<{since}"):
        return
    users = tuple(
        part.name
        for part in exam.wanted
        if any(isinstance(step, Run) and any(word.startswith(option) for word in step.argv) for step in part.steps)
    )
    if users:
        yield Finding(
            status="fail",
            summary=f"make is {version}, and {option}, with which the plan runs it, came with {since}"
            + concerning(users),
            fix=Fix(text=f"install GNU make {since} or newer as make, where builds look before the old one"),
        )


def _cmake_trouble(exam: Exam, version: str) -> Iterator[Finding]:
    if not satisfies(version, ">=4"):
        return
    users = [part.name for part in exam.wanted if part.name in runners(exam, ("cmake",)) and not _prepared(part.steps)]
    if users:
        yield Finding(
            status="warn",
            summary=f"CMake {version} refuses trees that declare less than {_CMAKE_REFUSES}, and the plan neither "
            f"patches that nor passes -D{_CMAKE_TOLD}{concerning(users)}",
            fix=Fix(text="should configuring stop there, use CMake 3"),
        )


def _prepared(steps: tuple[object, ...]) -> bool:
    """Whether the steps themselves see to old trees."""
    return any(
        (isinstance(step, Run) and any(_CMAKE_TOLD in word for argv in (step.argv, *step.then) for word in argv))
        or (isinstance(step, ApplyPatch) and "cmake_minimum_required" in step.text)
        for step in steps
    )


def _version(host: Host, path: str) -> str:
    found = re.search(r"\b\d+(?:\.\d+)+", host.ask((path, "--version")).output)
    return found.group() if found else ""


def pkg_config(exam: Exam) -> Iterator[Finding]:
    """Whether the pkg-config of builds looks at the system's libraries, and which one the user's PATH finds first."""
    host = builder(exam)
    path = host.which("pkg-config")
    names = packages(exam, "pkg-config")
    users = tuple(dict.fromkeys((*runners(exam, ("pkg-config",)), *bringers(exam, names))))
    if not path and users:
        brought = bool(bringers(exam, names))
        yield Finding(
            status="info" if brought else "fail",
            summary="no pkg-config"
            + (f" yet: the plan installs {', '.join(names)} first" if brought else ", and the plan runs it")
            + concerning(users),
            fix=None if brought else installation(exam, "install pkg-config", names),
        )
    elif path:
        yield _looks(exam, host, path, users)
    first = exam.host.which("pkg-config")
    if first and path and exam.host.resolve(first) != host.resolve(path):
        yield Finding(
            status="info",
            summary=f"{first} comes first on PATH: by hand you get the libraries of its prefix; devsetup's builds use "
            f"{path}",
            fix=Fix(text=f"call {path} by its whole name, or deactivate what put the other first"),
        )
    if value := exam.host.environ.get("PKG_CONFIG_PATH"):
        yield Finding(
            status="info",
            summary=f"PKG_CONFIG_PATH={value}: pkg-config by hand looks there first; devsetup's builds do not",
            evidence=(Evidence(source="PKG_CONFIG_PATH", value=value),),
            fix=Fix(text="for your own shell", commands=("unset PKG_CONFIG_PATH",)),
        )


def _looks(exam: Exam, host: Host, path: str, users: tuple[str, ...]) -> Finding:
    answer = host.ask((path, "--variable", "pc_path", "pkg-config"))
    searched = [each.rstrip("/") for each in answer.output.strip().split(":") if each]
    multiarch = f"/usr/lib/{exam.facts.multiarch}/pkgconfig"
    # Where this system keeps most of its .pc files: one of them has to be searched.
    kept = [at for at in (multiarch, "/usr/lib64/pkgconfig", "/usr/lib/pkgconfig") if host.exists(at)]
    if searched and kept and not set(kept) & set(searched):
        return Finding(
            status="warn" if users else "info",
            summary=f"{path} does not look in {kept[0]}, so it finds none of the system's libraries{concerning(users)}",
            evidence=(Evidence(source=f"{path} --variable pc_path pkg-config", value=answer.output.strip()),),
            fix=Fix(text=f"remove {path}, which is not the system's, or give it another name"),
        )
    return Finding(status="ok", summary=f"{path} {_version(host, path)}".rstrip())


def variables(exam: Exam) -> Iterator[Finding]:
    """Which variables steer compilers by hand; devsetup's builds get none of them."""
    found = {name: value for name in _STEERING if (value := exam.host.environ.get(name))}
    if not found:
        yield Finding(status="ok", summary="no variable steers compilers (CC, CFLAGS, CPATH, ...)")
        return
    yield Finding(
        status="info",
        summary=f"{', '.join(found)} set: builds by hand obey them; devsetup's builds start from a clean environment "
        "and do not get them",
        evidence=tuple(Evidence(source=name, value=value) for name, value in found.items()),
        fix=Fix(text="for builds of your own that go wrong", commands=(f"unset {' '.join(found)}",)),
    )

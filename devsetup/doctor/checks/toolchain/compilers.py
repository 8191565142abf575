"""Compilers, tried on programs of three lines in the environment that devsetup's builds get."""

from __future__ import annotations

import posixpath
import re
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.remedies import (
    BUILD_TOOLS,
    bringers,
    builder,
    concerning,
    installation,
    is_macos,
    packages,
    runners,
)
from devsetup.errors import DevsetupError
from devsetup.execute.failure import first_errors
from devsetup.steps import ApplyPatch, Run, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.doctor.finding import Status
    from devsetup.plan import Part
    from devsetup.probe.host import Host

_COMPILE_S = 10.0


class _Language(NamedTuple):
    """A language: its compilers' names in order of preference, its entry in `hosts/libraries.toml`, and a program."""

    name: str
    compilers: tuple[str, ...]
    library: str
    file: str
    program: str


_C = _Language(
    "C",
    ("cc", "gcc", "clang"),
    "gcc",
    "works.c",
    '#include <stdio.h>\nint main(void) { return puts("works") < 0; }\n',
)
# Throwing needs the headers, the library and a matching unwinder.
_CXX = _Language(
    "C++",
    ("g++", "c++", "clang++"),
    "gcc",
    "works.cpp",
    "#include <exception>\n"
    "int main() { try { throw std::exception(); } catch (const std::exception &) { return 0; } return 1; }\n",
)
_FORTRAN = _Language("Fortran", ("gfortran",), "gfortran", "works.f90", "program works\n  print *, sqrt(2.0)\nend\n")

# What a compiler's words mean, and the packages behind it. The messages are gcc's, seen on Debian 12.
_LACKS = (
    (
        re.compile(r"crt[1in]\.o|cannot find -lc\b|stdio\.h: No such file"),
        "the C library's files for development are missing",
        {"apt": ("libc6-dev",), "dnf": ("glibc-devel",), "pacman": ("glibc",)},
    ),
    (
        re.compile(r"cannot find .?(?:ld|as)\b|(?:execute|exec) .(?:ld|as)\b"),
        "the linker or the assembler is missing",
        {"apt": ("binutils",), "dnf": ("binutils",), "pacman": ("binutils",)},
    ),
    (
        re.compile(r"cc1plus|-lstdc\+\+|exception: No such file"),
        "the C++ half of the compiler is missing",
        {"apt": ("g++",), "dnf": ("gcc-c++",), "pacman": ("gcc",)},
    ),
)


def c_and_cxx(exam: Exam) -> Iterator[Finding]:
    """Whether C and C++ programs can be made here, and by the compilers that plans go by."""
    host = builder(exam)
    working, absent = [], []
    for language in (_C, _CXX):
        path = next(filter(None, map(host.which, language.compilers)), "")
        if not path:
            absent.append(language)
        elif trouble := _trouble(host, path, language):
            yield _broken(exam, language, path, trouble)
        else:
            working.append(f"{language.name} with {path}{_version(exam, host, path)}")
    if absent:
        yield _missing(exam, *absent)
    if working:
        yield Finding(status="ok", summary=f"compiled, linked and ran {' and '.join(working)}")
    yield from _another(exam, host)


def fortran(exam: Exam) -> Iterator[Finding]:
    """Whether Fortran programs can be made here, when one is asked for or there is a compiler."""
    host = builder(exam)
    path = host.which(_FORTRAN.compilers[0])
    if not path:
        if _demand(exam, _FORTRAN):
            yield _missing(exam, _FORTRAN)
    elif trouble := _trouble(host, path, _FORTRAN):
        yield _broken(exam, _FORTRAN, path, trouble)
    else:
        yield Finding(status="ok", summary=f"compiled, linked and ran Fortran with {path}{_version(exam, host, path)}")


def standards(exam: Exam) -> Iterator[Finding]:
    """Whether g++ knows the C++ standards that the steps of what is asked about name."""
    host = builder(exam)
    path = next(filter(None, map(host.which, _CXX.compilers)), "")
    if not path:
        return
    wanted: dict[str, list[str]] = {}
    for part in exam.wanted:
        for standard in _standards_of(part):
            wanted.setdefault(standard, []).append(part.name)
    for standard, names in sorted(wanted.items()):
        trouble = _trouble(host, path, _CXX, f"-std={standard}")
        # An error that does not name the standard is tc.compiler's to tell.
        if any(standard in line for line in trouble):
            fitting = tuple(compiler.path for compiler in exam.facts.compilers if compiler.family in ("gcc", "clang"))
            yield Finding(
                status="fail",
                summary=f"{path}{_version(exam, host, path)} does not know {standard}, which is compiled with"
                + concerning(names),
                detail=trouble,
                evidence=tuple(Evidence(source="compiler", value=each) for each in fitting if each != path),
                fix=Fix(text="use a system with a newer compiler, or make a newer one the default"),
            )
        elif not trouble:
            yield Finding(status="ok", summary=f"{path} knows {standard}")


def _standards_of(part: Part) -> set[str]:
    texts = []
    for step in part.steps:
        if isinstance(step, WriteFile):
            texts.append(step.content)
        elif isinstance(step, Run):
            texts += [" ".join(argv) for argv in (step.argv, *step.then)]
        elif isinstance(step, ApplyPatch):
            texts += [line for line in step.text.splitlines() if line.startswith("+")]
    text = "\n".join(texts)
    flags = re.findall(r"-std=((?:c|gnu)\+\+\w+)", text)
    return {*flags, *(f"c++{number}" for number in re.findall(r"CMAKE_CXX_STANDARD[= ](\d+)", text))}


def _trouble(host: Host, path: str, language: _Language, *flags: str) -> tuple[str, ...]:
    """The first error lines of compiling, linking and running the language's program; empty when all of it works."""
    with tempfile.TemporaryDirectory(prefix="devsetup-doctor-", ignore_cleanup_errors=True) as at:
        program = f"{at}/works"
        Path(at, language.file).write_text(language.program, encoding="ascii")
        try:
            made = host.runner.capture(
                (host.real(path), *flags, "-o", program, language.file),
                cwd=at,
                env=host.environ,
                timeout_s=_COMPILE_S,
            )
        except (DevsetupError, OSError) as error:
            return (f"{path} could not be started: {error}",)
        if made.returncode:
            return first_errors(f"{made.output}\n{made.error}".splitlines()) or (f"exit status {made.returncode}",)
        try:
            ran = host.runner.capture((program,), cwd=at, env=host.environ, timeout_s=_COMPILE_S)
        except (DevsetupError, OSError):
            # Nothing was made, or nothing may be started there (noexec): perm.prefix tells of the latter.
            return () if Path(program).exists() else (f"{path} reports success, but made no program",)
        return (
            (f"the program that it made {_ending(ran.returncode)}", *ran.error.splitlines()[:3])
            if ran.returncode
            else ()
        )


def _ending(code: int) -> str:
    return f"exits with status {code}" if code > 0 else f"is ended by {signal.Signals(-code).name}"


def _demand(exam: Exam, language: _Language) -> tuple[str, ...]:
    """Names of the recipes asked about that need the language's compiler."""
    tools = BUILD_TOOLS if language.library == "gcc" else language.compilers
    brought = bringers(exam, packages(exam, language.library))
    return tuple(dict.fromkeys((*runners(exam, tools), *brought)))


def _missing(exam: Exam, *languages: _Language) -> Finding:
    library = languages[0].library
    names, demand = packages(exam, library), _demand(exam, languages[0])
    what = f"no {' and no '.join(language.name for language in languages)} compiler"
    manager = exam.facts.package_manager
    if bringers(exam, names):
        return Finding(
            status="info", summary=f"{what} yet: the plan installs {', '.join(names)} first{concerning(demand)}"
        )
    if not demand and names:
        return Finding(
            status="info", summary=f"{what}: installing a recipe that compiles asks {manager} for {', '.join(names)}"
        )
    looked = ", ".join(name for language in languages for name in language.compilers)
    return Finding(
        status="fail" if demand else "info",
        summary=f"{what}: nothing that needs one can be built{concerning(demand)}",
        evidence=(Evidence(source="PATH of builds", value=f"{builder(exam).environ['PATH']}: no {looked}"),),
        fix=installation(exam, "install one", names),
    )


def _broken(exam: Exam, language: _Language, path: str, trouble: tuple[str, ...]) -> Finding:
    names, demand = packages(exam, language.library), _demand(exam, language)
    text = "\n".join(trouble)
    cause, behind = next(((why, by) for pattern, why, by in _LACKS if pattern.search(text)), ("", {}))
    lacking = behind.get(exam.facts.package_manager, ())
    # The whole package brings what a half-installed compiler lacks.
    mends = bool(names) and not _installed(exam, language.library)
    said = f"; {cause}" if cause else ""
    follows = f", which {', '.join(names)} brings" if cause and mends else ""
    return Finding(
        status=_severity(demand=bool(demand), mends=mends, brought=bool(bringers(exam, names))),
        summary=f"{path} makes no {language.name} program that runs{said}{follows}: {trouble[0]}{concerning(demand)}",
        detail=trouble[1:],
        evidence=(Evidence(source=f"{path} -o works {language.file}", value=trouble[0]),),
        fix=installation(exam, f"install what {posixpath.basename(path)} lacks", names if mends else lacking),
    )


def _severity(*, demand: bool, mends: bool, brought: bool) -> Status:
    if demand:
        return "info" if mends and brought else "fail"
    return "info" if mends else "warn"


def _installed(exam: Exam, library: str) -> bool:
    found = exam.facts.libraries.get(library)
    return bool(found and found.installed)


def _another(exam: Exam, host: Host) -> Iterator[Finding]:
    """The g++ that PATH finds, from which the facts are, when it is not the one that builds use."""
    found, used = exam.host.which("g++"), host.which("g++")
    if is_macos(exam) or not (found and used) or exam.host.resolve(found) == host.resolve(used):
        return
    yield Finding(
        status="info",
        summary=f"g++ on PATH is {found}{_version(exam, exam.host, found)}, by which plans go; devsetup's builds use "
        f"{used}{_version(exam, host, used)}",
        evidence=(Evidence(source="PATH", value=exam.host.environ.get("PATH", "")),),
        fix=Fix(text=f"put {posixpath.dirname(used)} before {posixpath.dirname(found)} on PATH"),
    )


def _version(exam: Exam, host: Host, path: str) -> str:
    """A compiler's version with a space before it; empty when it names none."""
    known = next((compiler.version for compiler in exam.facts.compilers if compiler.path == path), "")
    if not known:
        found = re.search(r"\b\d+(?:\.\d+)+\b", host.ask((path, "--version")).output)
        known = found.group() if found else ""
    return f" {known}" if known else ""

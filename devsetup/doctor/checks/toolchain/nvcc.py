"""nvcc and its host compiler: each toolkit refuses every g++ that is newer than itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devsetup.building import gxx_too_new
from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.remedies import builder, concerning, is_macos
from devsetup.probe.compilers import compilers
from devsetup.when import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Compiler, Cuda
    from devsetup.probe.host import Host

# `#if __GNUC__ > 13`, or with a minor number as toolkits before 8 had it:
# `#if __GNUC__ > 4 || (__GNUC__ == 4 && __GNUC_MINOR__ > 9)`.
_LIMIT = re.compile(
    r"^#\s*if\s+__GNUC__\s*>\s*(\d+)(?:\s*\|\|\s*\(\s*__GNUC__\s*==\s*\1\s*&&\s*__GNUC_MINOR__\s*>\s*(\d+)\s*\))?",
    re.MULTILINE,
)
_HEADERS = ("crt/host_config.h", "host_config.h")


def host_compiler(exam: Exam) -> Iterator[Finding]:
    """Whether the chosen toolkit accepts the g++ of builds, by what its own header says."""
    toolkit = next((each for each in exam.facts.cuda if each.chosen), None)
    if toolkit is None or is_macos(exam):
        yield from _planned(exam)
        return
    host = builder(exam)
    drivers = compilers(host, [])
    used = next((each for each in drivers if each.name == "g++"), None)
    if used is None:
        return
    header, limit = _limit(exam.host, toolkit)
    if not limit:
        yield from _by_table(exam, toolkit.version)
    elif satisfies(used.version, f">={limit}"):
        yield _too_new(exam, toolkit, used, limit, Evidence(source=header, value=f"refuses g++ {limit} and newer"))
        return
    else:
        yield Finding(status="ok", summary=f"nvcc of CUDA {toolkit.version} accepts g++ {used.version} ({header})")


def _too_new(exam: Exam, toolkit: Cuda, used: Compiler, limit: str, evidence: Evidence) -> Finding:
    known = {*compilers(builder(exam), []), *exam.facts.compilers}
    fitting = sorted(
        (each for each in known if re.match(r"g\+\+", each.name) and satisfies(each.version, f"<{limit}")),
        key=lambda each: [int(number) for number in each.version.split(".")],
        reverse=True,
    )
    others = f"; {', '.join(f'{each.path} {each.version}' for each in fitting)} would do" if fitting else ""
    return Finding(
        status="fail" if exam.cuda_wanted else "info",
        summary=f"nvcc of CUDA {toolkit.version} accepts g++ below {limit}, and {used.path} is {used.version}: no .cu "
        f"file compiles with it{others}{concerning(exam.cuda_wanted)}",
        evidence=(evidence,),
        fix=_elsewhere(fitting),
    )


def _elsewhere(fitting: list[Compiler]) -> Fix:
    if not fitting:
        return Fix(text="install an older g++ beside this one, or choose a newer toolkit")
    path = fitting[0].path
    return Fix(
        text=f"builds of your own: CMake takes CUDAHOSTCXX, nvcc -ccbin {path}; devsetup's start from a clean "
        "environment and use g++ itself, so for those choose a newer toolkit",
        commands=(f"export CUDAHOSTCXX={path}",),
    )


def _planned(exam: Exam) -> Iterator[Finding]:
    """A toolkit that the plan itself brings: its header is not here yet, so the table has the word."""
    for part in exam.wanted:
        if part.name == "cuda":
            yield from _by_table(exam, part.options.get("cuda-version", part.version))


def _by_table(exam: Exam, version: str) -> Iterator[Finding]:
    if reason := gxx_too_new(exam.facts, version):
        yield Finding(
            status="fail" if exam.cuda_wanted else "info",
            summary=f"{reason}: no .cu file compiles with it{concerning(exam.cuda_wanted)}",
            fix=_elsewhere([]),
        )


def _limit(host: Host, toolkit: Cuda) -> tuple[str, str]:
    """The toolkit's header, and the first g++ that it refuses (`14`, `4.10`); both empty when there is none."""
    triples = host.names(f"{toolkit.path}/targets")
    # Debian's package spreads over /usr: only nvcc's helpers are in its own directory.
    places = (
        f"{toolkit.path}/include",
        *(f"{toolkit.path}/targets/{triple}/include" for triple in triples),
        *(("/usr/include",) if toolkit.path.startswith("/usr/lib/") else ()),
    )
    for header in (f"{place}/{name}" for place in places for name in _HEADERS):
        if found := _LIMIT.search(host.read(header)):
            major, minor = found.groups()
            return header, f"{major}.{int(minor) + 1}" if minor else str(int(major) + 1)
    return "", ""

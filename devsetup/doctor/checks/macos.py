"""macOS: its version, Apple's developer tools, Rosetta, Homebrew's place, System Integrity Protection.

No Mac was at hand: what the programs print is as Apple's and Homebrew's documentation has it, and only stubs were run.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.remedies import BUILD_TOOLS, builder, concerning, runners
from devsetup.loader.releases import release
from devsetup.when import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.doctor.finding import Status

_CLT = "/Library/Developer/CommandLineTools"
_CHOSEN = "/var/db/xcode_select_link"
# The oldest Command Line Tools that work on each release, as Homebrew has it.
_OLDEST_CLT = {11: "12.5", 12: "13", 13: "14", 14: "15", 15: "16", 26: "26"}
_LAST_NVIDIA = (10, 13)
_ARM_BREW, _INTEL_BREW = "/opt/homebrew", "/usr/local"
_INSTALL_CLT = Fix(text="install Apple's Command Line Tools", commands=("xcode-select --install",))
_RENEW_CLT = Fix(
    text="update them in System Settings, Software Update; where it offers nothing, install them anew",
    commands=(f"sudo rm -rf {_CLT}", "sudo xcode-select --install"),
    needs_root=True,
)


def version(exam: Exam) -> Iterator[Finding]:
    """Whether Python believes in the macOS that this is."""
    system = exam.facts.os
    if not system.version:
        yield Finding(
            status="warn" if exam.goals else "info",
            summary="/usr/bin/sw_vers names no version of macOS, so recipes cannot choose their patches",
            fix=Fix(text="see what it prints", commands=("SYSTEM_VERSION_COMPAT=0 /usr/bin/sw_vers",)),
        )
        return
    yield from (Finding(status="info", summary=note) for note in exam.facts.notes if note.startswith("sw_vers says"))
    ask = "import platform; print(platform.mac_ver()[0])"
    for python in exam.facts.pythons[:1]:
        believed = exam.host.ask((python.path, "-I", "-c", ask)).output.strip()
        if believed and release("macos", believed) != release("macos", system.version):
            yield Finding(
                status="info",
                summary=f"{python.path} takes macOS {system.version} for {believed}, since it was built with an older "
                "SDK; pip chooses wheels by that number",
                evidence=(Evidence(source=f"{python.path}: platform.mac_ver()", value=believed),),
            )
            return
    yield Finding(status="ok", summary=f"macOS {system.version} on {exam.facts.arch}")


def tools(exam: Exam) -> Iterator[Finding]:
    """Whether the Command Line Tools or Xcode are there, and new enough for this macOS."""
    if not exam.host.developer_tools:
        yield Finding(
            status="fail" if _compiled(exam) else "info",
            summary="neither the Command Line Tools nor Xcode are installed: no compiler, make or git"
            + concerning(_compiled(exam)),
            fix=_INSTALL_CLT,
        )
        return
    have = exam.facts.apple.clt if exam.facts.apple else ""
    if not have:
        yield Finding(status="ok", summary=f"developer tools in {exam.host.link(_CHOSEN) or 'Xcode'}")
        return
    oldest = _OLDEST_CLT.get((release("macos", exam.facts.os.version) or (0,))[0], "")
    if oldest and satisfies(have, f"<{oldest}"):
        yield Finding(
            status="warn",
            summary=f"Command Line Tools {have} are older than the {oldest} that macOS {exam.facts.os.version} wants: "
            "headers and linker do not fit the system's libraries",
            fix=_RENEW_CLT,
        )
    else:
        yield Finding(status="ok", summary=f"Command Line Tools {have}")


def chosen(exam: Exam) -> Iterator[Finding]:
    """Whether xcode-select leads to developer tools that exist."""
    target = exam.host.link(_CHOSEN)
    if not target:
        return
    if exam.host.exists(f"{_CHOSEN}/usr/bin"):
        yield Finding(status="ok", summary=f"xcode-select points at {target}")
        return
    there = exam.host.exists(f"{_CLT}/usr/bin/clang")
    yield Finding(
        status=_broken(exam),
        summary=f"xcode-select points at {target}, where no tools are: clang, make and git in /usr/bin do not work"
        + concerning(_compiled(exam)),
        evidence=(Evidence(source=_CHOSEN, value=target),),
        fix=Fix(
            text="point it at the tools that are there" if there else "let it find the tools by itself",
            commands=(f"sudo xcode-select --switch {_CLT}" if there else "sudo xcode-select --reset",),
            needs_root=True,
        ),
    )


def licence(exam: Exam) -> Iterator[Finding]:
    """Whether Xcode's licence was accepted: until then every tool refuses."""
    if not exam.host.developer_tools:
        return
    answer = exam.host.ask(("/usr/bin/xcrun", "--find", "clang"))
    said = f"{answer.output}\n{answer.error}".strip()
    if "license" not in said.lower():
        return
    yield Finding(
        status=_broken(exam),
        summary="Xcode's licence was not accepted: clang and make refuse to work" + concerning(_compiled(exam)),
        evidence=(Evidence(source="/usr/bin/xcrun --find clang", value=said.splitlines()[0]),),
        fix=Fix(text="read and accept it", commands=("sudo xcodebuild -license",), needs_root=True),
    )


def sdk(exam: Exam) -> Iterator[Finding]:
    """Whether there is an SDK, and its name tells its version."""
    if not exam.host.developer_tools or exam.facts.apple is None:
        return
    path = exam.facts.apple.sdk
    if not path or not exam.host.exists(path):
        yield Finding(
            status=_broken(exam),
            summary=f"xcrun names no SDK that exists ({path or 'nothing'}): no system header is found"
            + concerning(_compiled(exam)),
            fix=_RENEW_CLT,
        )
        return
    named = re.search(r"MacOSX(\d+(?:\.\d+)?)\.sdk$", exam.host.resolve(path))
    really = re.search(r'"Version"\s*:\s*"([\d.]+)"', exam.host.read(f"{path}/SDKSettings.json"))
    if named and really and not _same(named.group(1), really.group(1)):
        yield Finding(
            status="warn",
            summary=f"{path} is named {named.group(1)} but holds the SDK of {really.group(1)}: builds that go by its "
            "name choose wrongly",
            evidence=(Evidence(source=f"{path}/SDKSettings.json", value=f"Version {really.group(1)}"),),
            fix=_RENEW_CLT,
        )
    else:
        yield Finding(status="ok", summary=f"SDK {path}")


def rosetta(exam: Exam) -> Iterator[Finding]:
    """Whether this process is Intel code on Apple silicon, and so are the things that it builds."""
    host = exam.host
    silicon = host.ask(("/usr/sbin/sysctl", "-n", "hw.optional.arm64")).output.strip() == "1"
    if not silicon or exam.facts.arch == "arm64":
        return
    brew = host.exists(f"{_ARM_BREW}/bin/brew")
    yield Finding(
        status="warn" if brew or exam.goals else "info",
        summary="devsetup runs as x86_64 under Rosetta on Apple silicon, and so would all that it builds"
        + (f"; the libraries of {_ARM_BREW} are arm64 and do not link with that" if brew else ""),
        evidence=(
            Evidence(source="sysctl -n hw.optional.arm64", value="1"),
            Evidence(source="uname -m", value=exam.facts.arch),
        ),
        fix=Fix(text="start devsetup from a native shell with a native Python", commands=("arch -arm64 /bin/zsh",)),
    )


def brew_prefix(exam: Exam) -> Iterator[Finding]:
    """Whether the Homebrew that builds take from is the one for this processor."""
    native, other = (_ARM_BREW, _INTEL_BREW) if exam.facts.arch == "arm64" else (_INTEL_BREW, _ARM_BREW)
    here = [prefix for prefix in (native, other) if exam.host.exists(f"{prefix}/bin/brew")]
    taken = posixpath.dirname(posixpath.dirname(builder(exam).which("brew")))
    if not here:
        return
    if native not in here or taken != native:
        brewing = tuple(dict.fromkeys(part.name for part in exam.wanted if part.packages))
        yield Finding(
            status="fail" if brewing else "warn",
            summary=f"builds take Homebrew from {taken}, whose libraries are not for {exam.facts.arch}: nothing links "
            "with them" + concerning(brewing),
            fix=Fix(text=f"install the Homebrew for {exam.facts.arch}, which lives in {native}"),
        )
    elif other in here:
        yield Finding(
            status="info",
            summary=f"two Homebrews: builds use {native}; {other} is for the other processor",
            evidence=tuple(Evidence(source=prefix, value="bin/brew") for prefix in here),
        )
    else:
        yield Finding(status="ok", summary=f"Homebrew in {native}")


def protection(exam: Exam) -> Iterator[Finding]:
    """Whether loader variables are relied on that System Integrity Protection takes away."""
    variables = sorted(name for name in exam.host.environ if name.startswith("DYLD_"))
    if not variables:
        return
    status = exam.host.ask(("/usr/bin/csrutil", "status")).output.strip()
    if "enabled" not in status:
        return
    yield Finding(
        status="info",
        summary=f"{', '.join(variables)} set, but System Integrity Protection removes them whenever a program of the "
        "system (/bin/sh, /usr/bin/env) starts; devsetup's builds never get them",
        evidence=(
            *(Evidence(source=name, value=exam.host.environ[name]) for name in variables),
            Evidence(source="csrutil status", value=status),
        ),
        fix=Fix(
            text="let binaries find libraries by run path (@rpath) instead", commands=(f"unset {' '.join(variables)}",)
        ),
    )


def cuda(exam: Exam) -> Iterator[Finding]:
    """Whether CUDA is asked for where NVIDIA has no driver."""
    if not exam.cuda_wanted:
        return
    system = release("macos", exam.facts.os.version)
    if exam.facts.arch == "arm64":
        reason = "Apple's processors have no CUDA"
    elif system > _LAST_NVIDIA:
        reason = f"NVIDIA has no driver for macOS {exam.facts.os.version}; the last was for 10.13"
    else:
        return
    yield Finding(
        status="fail",
        summary=reason + concerning(exam.cuda_wanted),
        fix=Fix(text="plan without a GPU: `--option cuda=off`"),
    )


def _compiled(exam: Exam) -> tuple[str, ...]:
    return runners(exam, BUILD_TOOLS)


def _broken(exam: Exam) -> Status:
    """How bad it is when the developer tools are there and do not work."""
    return "fail" if _compiled(exam) else "warn"


def _same(one: str, other: str) -> bool:
    """Whether two versions agree as far as the shorter goes: `14` and `14.4` do."""
    return all(a == b for a, b in zip(one.split("."), other.split("."), strict=False))


CHECKS: tuple[Check, ...] = (
    Check(id="mac.version", about="the version of macOS, and what Python takes it for", run=version, only="macos"),
    Check(id="mac.clt", about="Command Line Tools or Xcode, new enough for this macOS", run=tools, only="macos"),
    Check(id="mac.xcode-path", about="where xcode-select leads", run=chosen, only="macos"),
    Check(id="mac.license", about="Xcode's licence, without which every tool refuses", run=licence, only="macos"),
    Check(id="mac.sdk", about="an SDK, under its right name", run=sdk, only="macos"),
    Check(id="mac.rosetta", about="Intel code on Apple silicon", run=rosetta, only="macos"),
    Check(id="mac.brew-prefix", about="the Homebrew that fits the processor", run=brew_prefix, only="macos"),
    Check(id="mac.sip-dyld", about="loader variables that macOS removes", run=protection, only="macos"),
    Check(id="mac.cuda", about="CUDA where NVIDIA has no driver", run=cuda, only="macos"),
)

"""Compiler drivers on PATH."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devsetup.facts import Compiler

if TYPE_CHECKING:
    from devsetup.probe.host import Host

_NAMES = ("gcc", "g++", "clang", "clang++", "cc", "c++")
_VERSIONED = re.compile(r"(?:gcc|g\+\+|clang|clang\+\+)-\d+(?:\.\d+)?")
_DRIVER = re.compile(r"(?:gcc|g\+\+|clang|cc|c\+\+)(?:-\d+(?:\.\d+)?)?$")
_GCC = re.compile(r"^[^\n]*\) (\d+(?:\.\d+)*)[^\n]*\n.*Free Software Foundation", re.DOTALL)
_CLANG = re.compile(r"\b(?:clang|LLVM) version (\d+(?:\.\d+)*)")


def compilers(host: Host, notes: list[str]) -> tuple[Compiler, ...]:
    """Every compiler that answers `--version`.

    The six usual names are listed wherever they lead (`cc` may be gcc); a versioned name (`g++-11`) only when no name
    before it is a link to the same file. Each file is asked once.
    """
    paths = {name: path for name in _NAMES if (path := host.which(name))}
    known = {_file(host, path) for path in paths.values()}
    for name, path in _versioned(host).items():
        if (file := _file(host, path)) not in known:
            known.add(file)
            paths[name] = path
    asked = {_file(host, path): path for path in reversed(paths.values())}
    answers = dict(zip(asked, host.ask_each([(path, "--version") for path in asked.values()]), strict=True))
    found = []
    for name, path in paths.items():
        answer = answers[_file(host, path)]
        family, version = _identify(answer.output)
        if family:
            found.append(Compiler(name=name, family=family, version=version, path=path))
        else:
            said = (answer.output or answer.error).strip()[:80]
            notes.append(answer.problem or f"{path} --version names neither gcc nor clang: {said!r}")
    return tuple(found)


def _versioned(host: Host) -> dict[str, str]:
    found: dict[str, str] = {}
    for directory in host.directories:
        for name in filter(_VERSIONED.fullmatch, host.names(directory)):
            if name not in found and host.runs(f"{directory}/{name}"):
                found[name] = f"{directory}/{name}"
    return found


def _file(host: Host, path: str) -> str:
    """What a name leads to, unless that is a wrapper (ccache), which acts on the name it is called by."""
    file = host.resolve(path)
    return file if _DRIVER.search(file) else path


def _identify(text: str) -> tuple[str, str]:
    for family, pattern in (("clang", _CLANG), ("gcc", _GCC)):
        if found := pattern.search(text):
            return family, found.group(1)
    return "", ""

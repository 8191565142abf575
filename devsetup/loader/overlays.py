"""Parts of `--on HOST+PART+PART` that change a declared host: another toolkit, compiler or library. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from devsetup.errors import UsageError
from devsetup.facts import Apple, Compiler, Cuda, Facts, Library
from devsetup.loader.spelling import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

_PART = re.compile(r"([a-z][a-z0-9_-]*)-(\d+(?:\.\d+)*)")
_DRIVERS = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}
_ALLOWED = (
    "after + come cuda-8.0, clt-6.2 (macOS), gcc-13, clang-15, arm64 (where such a host is declared), "
    "or a library of hosts/libraries.toml with its version; for example --on ubuntu-16.04+cuda-8.0+protobuf-3.6.1"
)


def compose(base: Facts, parts: tuple[str, ...], libraries: Collection[str]) -> Facts:
    """A host with these parts in place of what it declares; a note says which.

    Args:
        base: the declared host.
        parts: `NAME-VERSION` each, in the user's order: of several CUDA toolkits the last one wins.
        libraries: the logical names of `hosts/libraries.toml`.

    Raises:
        UsageError: a part is malformed, unknown, or not for this host; the hint lists what is allowed.
    """
    facts = base
    for part in parts:
        found = _PART.fullmatch(part)
        if not found:
            raise UsageError(f"{part!r} is not NAME-VERSION, so it cannot be added to a host", _ALLOWED)
        facts = _add(facts, found.group(1), found.group(2), libraries)
    return replace(facts, notes=(*facts.notes, f"changed by --on: {', '.join(parts)}"))


def _add(facts: Facts, name: str, version: str, libraries: Collection[str]) -> Facts:
    if name == "cuda":
        return _cuda(facts, version)
    if name == "clt":
        return _clt(facts, version)
    if name in _DRIVERS:
        facts = _compiler(facts, name, version)
    elif name not in libraries:
        near = suggest(name, ("cuda", "clt", *_DRIVERS, *libraries), "no such name")
        raise UsageError(f"{name}-{version} names no toolkit, compiler or library", f"{near} {_ALLOWED}")
    if name == "python":
        facts = _python(facts, version)
    if name in libraries:
        facts = replace(facts, libraries={**facts.libraries, name: Library(version=version)})
    return facts


def _cuda(facts: Facts, version: str) -> Facts:
    if version.count(".") != 1:
        raise UsageError(f"cuda-{version} is not a toolkit's major and minor version", "write for example +cuda-8.0")
    why = f"cuda-{version} was named after it"
    others = (replace(other, chosen=False, why=why) if other.chosen else other for other in facts.cuda)
    # NVIDIA's installer for macOS has its own place, which /usr/local/cuda leads to.
    root = "/Developer/NVIDIA/CUDA-" if facts.os.id == "macos" else "/usr/local/cuda-"
    named = Cuda(path=f"{root}{version}", version=version, origin="declared", chosen=True, why="named with --on")
    return replace(facts, cuda=(*others, named))


def _clt(facts: Facts, version: str) -> Facts:
    if facts.os.id != "macos":
        raise UsageError(f"clt-{version}: only macOS has Command Line Tools, and this host is {facts.os.id}", _ALLOWED)
    return replace(facts, apple=replace(facts.apple or Apple(), clt=version))


def _compiler(facts: Facts, family: str, version: str) -> Facts:
    """Every driver of that family gets the version (`cc` too, where it is one); without any, its own two are added."""
    if any(compiler.family == family for compiler in facts.compilers):
        changed = (replace(each, version=version) if each.family == family else each for each in facts.compilers)
        return replace(facts, compilers=tuple(changed))
    # On macOS gcc is clang's other name, so Homebrew's GCC carries its major version in its name.
    macos = facts.os.id == "macos"
    suffix = f"-{version.partition('.')[0]}" if macos and family == "gcc" else ""
    prefix = "/opt/homebrew/bin" if macos and facts.arch == "arm64" else "/usr/local/bin" if macos else "/usr/bin"
    added = (
        Compiler(name=f"{name}{suffix}", family=family, version=version, path=f"{prefix}/{name}{suffix}")
        for name in _DRIVERS[family]
    )
    return replace(facts, compilers=(*facts.compilers, *added))


def _python(facts: Facts, version: str) -> Facts:
    """The first interpreter is the one that `python` of the package manager means."""
    if not facts.pythons:
        return facts
    return replace(facts, pythons=(replace(facts.pythons[0], version=version), *facts.pythons[1:]))

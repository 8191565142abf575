"""Parts of `--on HOST+PART+PART` that change a declared host: another toolkit, GPU, compiler or library. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from devsetup.errors import UsageError
from devsetup.facts import Apple, Compiler, Cuda, Driver, Facts, Gpu, Library
from devsetup.loader.spelling import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

_PART = re.compile(r"([a-z][a-z0-9_-]*)-(\d+(?:\.\d+)*)")
_DRIVER = re.compile(r"\d{3}\.\d+(?:\.\d+)?")
_COMPILERS = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}
_ALLOWED = (
    "after + come cuda-8.0, gpu-9.0, driver-570.124, clt-6.2 (macOS), gcc-13, clang-15, arm64 (where such a host is "
    "declared), or a library of hosts/libraries.toml with its version; "
    "for example --on ubuntu-16.04+cuda-8.0+protobuf-3.6.1"
)


def compose(base: Facts, parts: tuple[str, ...], libraries: Collection[str]) -> Facts:
    """A host with these parts in place of what it declares; a note says which.

    Args:
        base: the declared host.
        parts: `NAME-VERSION` each, in the user's order: of several CUDA toolkits the last one wins; each GPU is added.
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
    if name in _OWN:
        return _OWN[name](facts, version)
    if name in _COMPILERS:
        facts = _compiler(facts, name, version)
    elif name not in libraries:
        near = suggest(name, (*_OWN, *_COMPILERS, *libraries), "no such name")
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
    macos = facts.os.id == "macos"
    root = f"/Developer/NVIDIA/CUDA-{version}" if macos else f"/usr/local/cuda-{version}"
    named = Cuda(
        path=root,
        version=version,
        origin="declared",
        chosen=True,
        why="named with --on",
        nvcc=f"{root}/bin/nvcc",
        libdir=f"{root}/lib" if macos else f"{root}/lib64",
    )
    return replace(facts, cuda=(*others, named))


def _gpu(facts: Facts, capability: str) -> Facts:
    if capability.count(".") != 1:
        raise UsageError(f"gpu-{capability} is not a compute capability, major and minor", "write for example +gpu-9.0")
    return replace(facts, gpus=(*facts.gpus, Gpu(capability=capability)))


def _driver(facts: Facts, version: str) -> Facts:
    if not _DRIVER.fullmatch(version):
        raise UsageError(f"driver-{version} is no version of NVIDIA's driver", "write for example +driver-570.124")
    return replace(facts, driver=Driver(module=version, library=version))


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
        for name in _COMPILERS[family]
    )
    return replace(facts, compilers=(*facts.compilers, *added))


def _python(facts: Facts, version: str) -> Facts:
    """The first interpreter is the one that `python` of the package manager means."""
    if not facts.pythons:
        return facts
    return replace(facts, pythons=(replace(facts.pythons[0], version=version), *facts.pythons[1:]))


_OWN = {"cuda": _cuda, "gpu": _gpu, "driver": _driver, "clt": _clt}

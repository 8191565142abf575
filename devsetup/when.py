"""Conditions on facts, as data: `When(os="macos >=10.10", libraries={"protobuf": ">=3.18"})`.

A condition answers whether it holds and says why, so that a plan can print the reason beside each patch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from packaging.version import InvalidVersion, Version

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts, Libc

_CLAUSE = re.compile(r"^\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)\s*$")
_LEADING = re.compile(r"^\s*(?:\d+:)?(\d+(?:\.\d+)*)")


class Verdict(msgspec.Struct, frozen=True):
    """Whether a condition holds, and the facts that decided."""

    holds: bool
    because: str


def satisfies(version: str, specifier: str) -> bool:
    """Whether a version meets every clause of a specifier such as `>=3.18, <4`.

    Distribution suffixes (`1:3.21.12-3+deb12u1`) are ignored. An empty specifier is always met.

    Raises:
        InvalidInput: the specifier is malformed.
    """
    clauses = [clause for clause in specifier.split(",") if clause.strip()]
    found = _LEADING.match(version)
    if not found:
        return not clauses
    try:
        have = Version(found.group(1))
    except InvalidVersion:
        return False
    return all(_meets(have, clause) for clause in clauses)


def _meets(have: Version, clause: str) -> bool:
    match = _CLAUSE.match(clause)
    if not match:
        raise InvalidInput(f"malformed version condition {clause!r}; write for example '>=3.18'")
    operator, wanted = match.group(1), Version(match.group(2))
    return {
        ">=": have >= wanted,
        "<=": have <= wanted,
        "==": have == wanted,
        "!=": have != wanted,
        ">": have > wanted,
        "<": have < wanted,
    }[operator]


class When(msgspec.Struct, frozen=True, kw_only=True):
    """All given fields must hold; an empty `When()` always holds.

    Attributes:
        os: alternatives joined by `|`, each an os-release id (or `linux`, `macos`), with an optional version:
            `debian >=12 | ubuntu`. `linux` means anything that is not macOS. An id also matches through the machine's
            ID_LIKE, without version.
        arch: alternatives joined by `|`.
        package_manager: alternatives joined by `|`.
        libc: family of the C library with an optional version specifier: `glibc >=2.23`.
        libraries: logical library to version specifier. An unknown version does not hold.
        compilers: compiler command to version specifier.
        clt: macOS Command Line Tools' version specifier.
        options: recipe option to the value that it must have.
        source: alternatives joined by `|`, each a generation of upstream's tree (see recipe.Generation).
        cuda: version specifier of the CUDA toolkit that wins. No toolkit does not hold.
    """

    os: str = ""
    arch: str = ""
    package_manager: str = ""
    libc: str = ""
    libraries: dict[str, str] = {}
    compilers: dict[str, str] = {}
    clt: str = ""
    options: dict[str, str] = {}
    source: str = ""
    cuda: str = ""

    def __str__(self) -> str:
        """The condition as the patch table prints it."""
        parts = [text for text in (self.os, self.arch, self.package_manager, self.libc) if text]
        parts += [f"{name} {spec}".strip() for name, spec in {**self.libraries, **self.compilers}.items()]
        if self.clt:
            parts.append(f"CLT {self.clt}")
        if self.cuda:
            parts.append(f"CUDA {self.cuda}")
        if self.source:
            parts.append(f"source {self.source}")
        parts += [f"{name}={value}" for name, value in self.options.items()]
        return ", ".join(parts) or "always"

    def verdict(self, facts: Facts, options: Mapping[str, str] | None = None, source: str = "") -> Verdict:
        """Decide on these facts, option values and generation; the first clause that fails gives the reason."""
        reasons = []
        for holds, because in (*self._source_clauses(source), *self._clauses(facts, options or {})):
            if not holds:
                return Verdict(holds=False, because=because)
            reasons.append(because)
        return Verdict(holds=True, because="; ".join(reasons) or "always")

    def _source_clauses(self, source: str) -> Iterator[tuple[bool, str]]:
        if self.source:
            yield source in _alternatives(self.source), f"the source is of generation {source or 'unknown'}"

    def _clauses(self, facts: Facts, options: Mapping[str, str]) -> Iterator[tuple[bool, str]]:
        if self.os:
            yield _matches_os(self.os, facts), f"this is {facts.os.id} {facts.os.version}".rstrip()
        if self.arch:
            yield facts.arch in _alternatives(self.arch), f"the processor is {facts.arch}"
        if self.package_manager:
            manager = facts.package_manager or "absent"
            yield manager in _alternatives(self.package_manager), f"the package manager is {manager}"
        if self.libc:
            libc = facts.libc
            yield (
                _matches_libc(self.libc, libc),
                f"the C library is {f'{libc.family} {libc.version}' if libc else 'unknown'}",
            )
        for name, spec in self.libraries.items():
            version = facts.library(name)
            yield bool(version) and satisfies(version, spec), f"{name} is {version or 'unknown'}"
        for name, spec in self.compilers.items():
            version = facts.compiler(name)
            yield bool(version) and satisfies(version, spec), f"{name} is {version or 'absent'}"
        if self.clt:
            clt = facts.apple.clt if facts.apple else ""
            yield bool(clt) and satisfies(clt, self.clt), f"Command Line Tools are {clt or 'absent'}"
        if self.cuda:
            toolkit = facts.toolkit
            yield bool(toolkit) and satisfies(toolkit, self.cuda), f"CUDA is {toolkit or 'absent'}"
        for name, value in self.options.items():
            have = options.get(name, "")
            yield have == value, f"{name}={have or 'unset'}"


def _alternatives(text: str) -> list[str]:
    return [alternative.strip() for alternative in text.split("|")]


def _matches_libc(condition: str, libc: Libc | None) -> bool:
    family, _, spec = condition.partition(" ")
    return libc is not None and libc.family == family and satisfies(libc.version, spec)


def _matches_os(condition: str, facts: Facts) -> bool:
    for alternative in _alternatives(condition):
        name, _, spec = alternative.partition(" ")
        if name == "linux":
            if facts.os.id != "macos":
                return True
        elif name == facts.os.id:
            if satisfies(facts.os.version, spec):
                return True
        elif name in facts.os.like and not spec.strip():
            return True
    return False

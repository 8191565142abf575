"""Declared hosts: `hosts/*.json` by name, by nearest release, or any file, with parts added by `+`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from devsetup import facts as facts_module
from devsetup.errors import UsageError
from devsetup.loader.overlays import compose
from devsetup.loader.releases import release, skipped
from devsetup.loader.spelling import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from devsetup.facts import Facts, OperatingSystem

_NAME = re.compile(r"([a-z][a-z0-9_]*)-(\d+(?:\.\d+)*)(?:-([a-z0-9_]+))?")
_ARM64 = "arm64"


class _Name(NamedTuple):
    """A host's name in parts: `macos-15-arm64` is (macos, 15, arm64, (15,)); `arch` is empty for x86_64."""

    system: str
    version: str
    arch: str
    release: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> _Name | None:
        found = _NAME.fullmatch(text)
        if not found:
            return None
        system, version, arch = found.groups("")
        return cls(system, version, arch, release(system, version))


class Hosts:
    """The declared hosts of a catalogue.

    Attributes:
        directory: holds one JSON file for each.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> tuple[str, ...]:
        """Every host's name, by system, release and processor."""
        return tuple(sorted((path.stem for path in self.directory.glob("*.json")), key=_natural))

    def resolve(self, text: str, libraries: Callable[[], Collection[str]]) -> Facts:
        """Facts of `BASE` or `BASE+PART+PART`.

        Args:
            text: BASE is a host's name, a later release of a declared system, or a JSON file.
            libraries: gives the logical names that a part may name; asked for only when there are parts.

        Raises:
            UsageError: no such host or part, with what is allowed.
            InvalidInput: the file is malformed.
        """
        base, parts = self._split(text)
        if _ARM64 in parts:
            parts = tuple(part for part in parts if part != _ARM64)
            base = self._on_arm64(base)
        facts = self._base(base)
        return compose(facts, parts, libraries()) if parts else facts

    def declared(self, system: OperatingSystem) -> Facts | None:
        """The host that stands for a machine's release: the same one, or else the nearest older of the same system.

        The processor does not count: what the package manager offers is the same. None when nothing older is declared.
        """
        wanted = release(system.id, system.version)
        older = [name for name, each in self._known(system.id, "") if each.release <= wanted]
        return self._read(older[-1]) if older else None

    def _split(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The longest beginning that is a host or a file, since a file's name may hold a plus sign."""
        pieces = text.split("+")
        names = self.names()
        for count in range(len(pieces), 0, -1):
            base = "+".join(pieces[:count])
            if base in names or _is_file(base):
                return base, tuple(pieces[count:])
        return pieces[0], tuple(pieces[1:])

    def _on_arm64(self, base: str) -> str:
        name = _Name.parse(base)
        if name and name.arch == _ARM64:
            return base
        if name and not name.arch and self._known(name.system, _ARM64):
            return f"{base}-{_ARM64}"
        there = _overview(each for each in self.names() if each.endswith(f"-{_ARM64}"))
        raise UsageError(f"{base!r} has no host on {_ARM64}", f"declared: {there}")

    def _base(self, base: str) -> Facts:
        if base in self.names():
            return self._read(base)
        name = _Name.parse(base)
        if name and not _is_file(base):
            return self._nearest(base, name)
        try:
            return facts_module.from_json(Path(base).read_bytes(), base)
        except (OSError, ValueError) as error:
            raise UsageError(f"no declared host or file named {base!r}", self._hint(base)) from error

    def _nearest(self, text: str, wanted: _Name) -> Facts:
        known = self._known(wanted.system, wanted.arch)
        there = f"declared: {_overview(name for name, _ in known)}"
        if not known or not wanted.release:
            raise UsageError(f"no declared host is named {text!r}", self._hint(text))
        if reason := skipped(wanted.system, wanted.release):
            raise UsageError(f"{text}: {reason}", there)
        older = [name for name, each in known if each.release <= wanted.release]
        if not older:
            raise UsageError(f"{text} is older than every {wanted.system} that is declared", there)
        return _as_version(self._read(older[-1]), older[-1], text, wanted)

    def _known(self, system: str, arch: str) -> list[tuple[str, _Name]]:
        """Hosts of one system and processor, oldest first."""
        parsed = [(name, _Name.parse(name)) for name in self.names()]
        known = [(name, each) for name, each in parsed if each and (each.system, each.arch) == (system, arch)]
        return sorted(known, key=lambda pair: pair[1].release)

    def _read(self, name: str) -> Facts:
        path = self.directory / f"{name}.json"
        return facts_module.from_json(path.read_bytes(), str(path))

    def _hint(self, text: str) -> str:
        """The nearest system with the version that was asked for, else the nearest host, else all of them."""
        names = self.names()
        everything = f"declared: {_overview(names)}; or give a path to a JSON file"
        wanted = _Name.parse(text)
        systems = {name.partition("-")[0] for name in names}
        if wanted and wanted.system not in systems:
            near = suggest(wanted.system, sorted(systems), everything)
            return near.replace("'?", f"-{wanted.version}'?")
        return suggest(text, names, everything)


def _as_version(facts: Facts, name: str, text: str, wanted: _Name) -> Facts:
    """A declared host as another version of the same system. A release's own names do not carry over to the next."""
    same = release(facts.os.id, facts.os.version) == wanted.release
    system = replace(facts.os, version=wanted.version, name="", codename=facts.os.codename if same else "")
    # macOS's C library has no version but the system's own.
    libc = facts.libc and (replace(facts.libc, version=wanted.version) if facts.os.id == "macos" else facts.libc)
    note = f"{text} is not declared: facts of {name} with the version changed"
    return replace(facts, os=system, libc=libc, notes=(note, *facts.notes))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key by which 10.9 comes before 10.10."""
    return tuple((int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"[-.]", name))


def _overview(names: Iterable[str]) -> str:
    """Names by system: `debian-11, 12, 13; fedora-40, 42`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        system, _, rest = name.partition("-")
        groups.setdefault(system, []).append(rest)
    return "; ".join(f"{system}-{', '.join(rests)}" for system, rests in groups.items())

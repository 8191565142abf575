"""Reading ELF files: what the dynamic loader would see, without running anything.

`ldd` is not used: it runs the file.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"\x7fELF"
# Object files and core dumps are ELF too, but nothing loads them.
_LOADABLE = ("ET_EXEC", "ET_DYN")
_WEAK_VERSION = 2
# A damaged file may announce billions; the C++ library has a few hundred.
_MOST_VERSIONS = 10_000
_TEXT_TAGS = {"DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}


class Architecture(msgspec.Struct, frozen=True):
    """What two files must share to be loaded together: word size in bits, processor (`EM_X86_64`), byte order."""

    bits: int
    machine: str
    little_endian: bool

    def __str__(self) -> str:
        """As messages show it: `64-bit X86_64`."""
        return f"{self.bits}-bit {self.machine.removeprefix('EM_')}"


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """The dynamic section of one file.

    Attributes:
        interpreter: the loader that an executable names; empty for a library or a static program.
        needed: DT_NEEDED, in order.
        rpath: DT_RPATH as written, None when absent. The loader ignores it when `runpath` is there.
        runpath: DT_RUNPATH as written, None when absent.
        requires: (library, symbol version) that must be there, such as `("libstdc++.so.6", "GLIBCXX_3.4.30")`.
        defines: the symbol versions that this library offers; empty when it has no versions.
    """

    architecture: Architecture
    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    requires: tuple[tuple[str, str], ...] = ()
    defines: frozenset[str] = frozenset()


def elf_files(paths: tuple[str, ...]) -> Iterator[str]:
    """Every regular file at or under the paths that starts as an ELF file does, sorted, each once.

    Links inside a directory are passed over: the file that they lead to is met where it lies. A path that is itself
    a link is followed.

    Raises:
        InvalidInput: a path does not exist, or a file or directory cannot be read.
    """
    seen: set[str] = set()
    for path in paths:
        start = os.path.realpath(path)
        if not os.path.lexists(start):
            raise InvalidInput(f"{path} does not exist", "the build did not leave it there")
        for file in _regular_files(start):
            if file not in seen:
                seen.add(file)
                if _is_elf(file):
                    yield file


def read(path: str) -> Elf | None:
    """Read one ELF file.

    Returns:
        None when it is nothing that a loader loads: an object file or a core dump.

    Raises:
        InvalidInput: it cannot be read, is no ELF file, or is truncated or damaged.
    """
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - thousands of files; Path costs more than the read
            if stream.read(4) != _MAGIC:
                raise InvalidInput(f"{path} is not an ELF file")
            return _parse(path, stream)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error


def _parse(path: str, stream: Any) -> Elf | None:
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415 - 30 ms that only proofs need

    try:
        file = ELFFile(stream)
        if file["e_type"] not in _LOADABLE:
            return None
        return _elf(file, os.fstat(stream.fileno()).st_size)
    except (InvalidInput, OSError):
        raise
    except Exception as error:
        # The parser meets arbitrary bytes: besides its own errors it raises whatever Python makes of them.
        raise InvalidInput(f"{path} is truncated or damaged: {str(error) or type(error).__name__}") from error


def _elf(file: Any, size: int) -> Elf:
    fields: dict[str, Any] = {"needed": []}
    for segment in file.iter_segments():
        kind, end = segment["p_type"], segment["p_offset"] + segment["p_filesz"]
        if kind == "PT_LOAD" and end > size:
            raise InvalidInput(
                f"{file.stream.name} is truncated: its contents go on to byte {end}, it has {size} bytes"
            )
        if kind == "PT_INTERP":
            fields["interpreter"] = segment.get_interp_name()
        elif kind == "PT_DYNAMIC" and segment["p_filesz"]:
            _read_tags(segment, fields)
    fields["needed"] = tuple(fields["needed"])
    architecture = Architecture(file.elfclass, str(file["e_machine"]), file.little_endian)
    return Elf(architecture=architecture, requires=_requires(file), defines=_defines(file), **fields)


def _read_tags(segment: Any, fields: dict[str, Any]) -> None:
    for tag in segment.iter_tags():
        kind = tag.entry.d_tag
        if kind == "DT_NEEDED":
            fields["needed"].append(tag.needed)
        elif kind in _TEXT_TAGS:
            fields[_TEXT_TAGS[kind]] = getattr(tag, _TEXT_TAGS[kind])


def _requires(file: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (library.name, version.name)
        for section in _sections(file, "SHT_GNU_verneed")
        for library, versions in itertools.islice(section.iter_versions(), _MOST_VERSIONS)
        for version in versions
        if not version["vna_flags"] & _WEAK_VERSION
    )


def _defines(file: Any) -> frozenset[str]:
    return frozenset(
        next(names).name
        for section in _sections(file, "SHT_GNU_verdef")
        for _, names in itertools.islice(section.iter_versions(), _MOST_VERSIONS)
    )


def _sections(file: Any, kind: str) -> Iterator[Any]:
    return (section for section in file.iter_sections() if section["sh_type"] == kind)


def _regular_files(start: str) -> Iterator[str]:
    if Path(start).is_file():
        yield start
        return
    waiting = [start]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InvalidInput(f"{directory} cannot be read: {error.strerror}") from error
        yield from (entry.path for entry in inside if entry.is_file(follow_symlinks=False))
        waiting += [entry.path for entry in reversed(inside) if entry.is_dir(follow_symlinks=False)]


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - as in `read`
            return stream.read(4) == _MAGIC
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error

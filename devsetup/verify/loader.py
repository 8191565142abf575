"""Finding shared libraries as glibc's ld.so does.

The order is that of glibc's `elf/dl-load.c` (and of the manual page ld.so(8)). What is left out, because no library is
found through it alone: `glibc-hwcaps` subdirectories, which hold faster twins, and DF_1_NODEFLIB.
"""

from __future__ import annotations

import functools
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput
from devsetup.verify import elf
from devsetup.verify.elf import Elf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.verify.elf import Architecture

_TOKEN = re.compile(r"\$(?:\{(?P<braced>ORIGIN|LIB|PLATFORM)\}|(?P<bare>ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_DEFAULTS = ("lib/*-linux-gnu*", "usr/lib/*-linux-gnu*", "lib64", "usr/lib64", "lib", "usr/lib")


class Loaded(msgspec.Struct, frozen=True):
    """A file in the address space of one process.

    Attributes:
        path: under which it was opened; `$ORIGIN` is its directory, without resolving links, as in glibc.
        by: what needed it first; None for the program itself.
    """

    path: str
    elf: Elf
    by: Loaded | None = None

    @property
    def chain(self) -> tuple[str, ...]:
        """Paths from this file up to the program."""
        return (self.path, *(self.by.chain if self.by else ()))


class Missing(msgspec.Struct, frozen=True):
    """A library that was not found, or not in the version that is required.

    Attributes:
        name: the DT_NEEDED entry.
        by: the file that needs it.
        reason: empty when nothing was found; else why what was found does not do.
        searched: the directories that its run path and the environment name.
    """

    name: str
    by: Loaded
    reason: str = ""
    searched: tuple[str, ...] = ()


class System(msgspec.Struct, frozen=True):
    """Where the machine's own libraries are looked up.

    Attributes:
        configured: directories of ld.so.conf; they count only through the cache.
        cached: contents of ld.so.cache, which ldconfig writes; empty when there is none.
        defaults: directories compiled into ld.so.
    """

    configured: tuple[str, ...]
    cached: bytes
    defaults: tuple[str, ...]

    def directories(self, name: str) -> Iterator[str]:
        """Where a library of that name is looked for, in order."""
        if f"/{name}\0".encode() in self.cached:
            yield from self.configured
        yield from self.defaults


def system(conf: str = "/etc/ld.so.conf", cache: str = "/etc/ld.so.cache", root: str = "") -> System:
    """Read a machine's loader configuration; a missing file counts as an empty one.

    Args:
        conf: inside the root, as the others.
        cache: what ldconfig made of it.
        root: the directory that stands for `/`, without a final slash. The directories in the answer are outside it.
    """
    try:
        cached = Path(f"{root}{cache}").read_bytes()
    except OSError:
        cached = b""
    top = Path(root or "/")
    defaults = tuple(str(path) for pattern in _DEFAULTS for path in sorted(top.glob(pattern)) if path.is_dir())
    configured = (f"{root}{directory}" for directory in read_conf(Path(f"{root}{conf}"), root=root))
    return System(tuple(dict.fromkeys(configured)), cached, defaults)


def read_conf(path: Path, seen: tuple[Path, ...] = (), root: str = "") -> Iterator[str]:
    """The directories that an ld.so.conf lists, in order, following `include` (glob patterns, relative to the file)."""
    path = path.resolve()
    if path in seen:
        return
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] == "include":
            for pattern in words[1:]:
                base = root if pattern.startswith("/") else f"{path.parent}/"
                for included in sorted(glob.glob(glob.escape(base) + pattern)):  # noqa: PTH207 - as in C: without hidden files
                    yield from read_conf(Path(included), (*seen, path), root)
        elif words[0].startswith("/"):
            yield words[0].partition("=")[0].rstrip("/") or "/"


class Search:
    """Loads programs in thought. Remembers every file that it has looked at."""

    def __init__(self, env: Mapping[str, str], where: System) -> None:
        self._where = where
        self._env = tuple(part for part in re.split("[:;]", env.get("LD_LIBRARY_PATH", "")) if part.startswith("/"))
        self._read = functools.cache(_read)

    def load(self, path: str, program: Elf) -> tuple[tuple[Loaded, ...], tuple[Missing, ...]]:
        """Load a program (or a library, as `dlopen` would) and all that it needs, breadth first.

        Returns:
            Every file loaded, the program first; and what is missing.
        """
        order = [Loaded(path, program)]
        names = {program.soname: order[0]}
        missing = []
        for loaded in order:  # grows while it is walked
            for name in loaded.elf.needed:
                if name in names:
                    continue
                found = self._find(name, loaded)
                if isinstance(found, Missing):
                    missing.append(found)
                    continue
                order.append(found)
                names[name] = found
                names.setdefault(found.elf.soname, found)
        return tuple(order), (*missing, *_versions(order, names))

    def expand(self, text: str, origin: str, architecture: Architecture) -> str:
        """Fill `$ORIGIN`, `$LIB` and `$PLATFORM` of one path."""

        def value(match: re.Match[str]) -> str:
            name = match["braced"] or match["bare"]
            if name == "ORIGIN":
                return origin.rpartition("/")[0]
            return self._lib(architecture) if name == "LIB" else os.uname().machine

        return _TOKEN.sub(value, text)

    def run_path(self, loaded: Loaded, text: str | None) -> tuple[str, ...]:
        """The entries of DT_RPATH or DT_RUNPATH of a file, expanded. The loader ignores a wholly empty one."""
        if not text:
            return ()
        return tuple(self.expand(part, loaded.path, loaded.elf.architecture) for part in text.split(":"))

    def _lib(self, architecture: Architecture) -> str:
        """`$LIB` was fixed when glibc was compiled: the directory of libc itself tells it (`lib/x86_64-linux-gnu`)."""
        for directory in self._where.defaults:
            libc = self._read(f"{directory}/libc.so.6")
            if isinstance(libc, Elf) and libc.architecture == architecture:
                return directory.removeprefix("/usr").lstrip("/")
        return "lib"

    def _find(self, name: str, by: Loaded) -> Loaded | Missing:
        if "/" in name:
            searched: tuple[str, ...] = ()
            candidates = [self.expand(name, by.path, by.elf.architecture)]
            if not candidates[0].startswith("/"):
                return Missing(name, by, "it is looked up from whatever directory the program is started in")
        else:
            searched = tuple(dict.fromkeys(self._searched(by)))
            candidates = [f"{directory}/{name}" for directory in (*searched, *self._where.directories(name))]
        passed_over = ""
        for path in candidates:
            found = self._read(path)
            if isinstance(found, str):
                return Missing(name, by, f"the loader stops there: {found}", searched)
            if found is not None and found.architecture == by.elf.architecture:
                return Loaded(path, found, by)
            if found is not None:
                passed_over = passed_over or f"{path} is for {found.architecture}, not {by.elf.architecture}"
        return Missing(name, by, passed_over, searched)

    def _searched(self, by: Loaded) -> Iterator[str]:
        """Directories in order: DT_RPATH of the file and its loaders, LD_LIBRARY_PATH, DT_RUNPATH of the file alone.

        Relative entries lead wherever the program is started, so they count for nothing here.
        """
        if by.elf.runpath is None:
            loader: Loaded | None = by
            while loader is not None:
                if loader.elf.runpath is None:
                    yield from self._absolute(loader, loader.elf.rpath)
                loader = loader.by
        yield from self._env
        yield from self._absolute(by, by.elf.runpath)

    def _absolute(self, loaded: Loaded, text: str | None) -> Iterator[str]:
        return (entry for entry in self.run_path(loaded, text) if entry.startswith("/"))


def _read(path: str) -> Elf | str | None:
    """A file's dynamic section; None when the loader would go on to the next directory; a text when it would stop."""
    try:
        return elf.read(path) if os.access(path, os.R_OK) else None
    except InvalidInput as error:
        return error.message


def _versions(order: list[Loaded], names: Mapping[str, Loaded]) -> Iterator[Missing]:
    for loaded in order:
        for name, version in loaded.elf.requires:
            library = names.get(name)
            if library is not None and library.elf.defines and version not in library.elf.defines:
                yield Missing(name, loaded, f"version {version} is not in {library.path}")

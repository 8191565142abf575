"""The link closure: does every ELF file of an install find every shared library that it needs?"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput
from devsetup.proofs import Finding
from devsetup.verify import elf, loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.verify.elf import Elf
    from devsetup.verify.loader import Loaded, Missing, Search, System

TITLE = "link closure"
# Where libraries lie that the loader does not look into by itself: alternatives, CUDA, other vendors.
_ELSEWHERE = (
    "/usr/lib/*",
    "/usr/lib/*-linux-gnu*/*",
    "/usr/lib/*-linux-gnu*/*/*",
    "/usr/lib64/*",
    "/usr/local/lib*",
    "/usr/local/cuda*/lib*",
    "/usr/local/cuda*/targets/*/lib",
    "/opt/*/lib*",
)


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to an install.

    Attributes:
        prefixes: its own prefix first (messages are relative to it), then those of what it needs; may be empty.
        build: the scratch directory that will be gone, or empty.
    """

    prefixes: tuple[str, ...] = ()
    build: str = ""

    def shown(self, path: str) -> str:
        """A path as messages show it."""
        for root in self.prefixes[:1]:
            if _under(path, root):
                return os.path.relpath(os.path.realpath(path), os.path.realpath(root))
        return path


def link_closure(
    paths: tuple[str, ...], env: Mapping[str, str] | None = None, tree: Tree | None = None, where: System | None = None
) -> Finding:
    """Find out whether every ELF file at or under the paths can be loaded, without running any of them.

    A library that other files of the set need is looked at as they load it; everything else as a program of its own.

    Args:
        paths: files and directories.
        env: only LD_LIBRARY_PATH counts.
        tree: the install that the paths belong to.
        where: the machine's loader configuration; None reads this machine's.

    Returns:
        `ok`; `fail` with one line for each missing library, damaged file and bad run path; `skip` where the system
        does not load ELF files as glibc does.
    """
    started = time.monotonic()
    reason = _other_loader()
    if reason:
        return Finding(proof=TITLE, status="skip", summary=reason)
    where = where or loader.system()
    try:
        finding = _judge(paths, loader.Search(env or {}, where), tree or Tree(), where)
    except InvalidInput as error:
        finding = Finding(proof=TITLE, status="fail", summary=error.message)
    except OSError as error:
        finding = Finding(proof=TITLE, status="fail", summary=str(error))
    return msgspec.structs.replace(finding, seconds=time.monotonic() - started)


def linked(paths: tuple[str, ...], env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The shared libraries that ELF files at or under the paths load from elsewhere on this machine.

    Args:
        paths: files and directories.
        env: only LD_LIBRARY_PATH counts.

    Returns:
        Absolute path of each library, as the loader opens it, to the file that loads it first; nothing where the system
        does not load ELF files as glibc does.

    Raises:
        InvalidInput: a path does not exist, or a file cannot be read.
    """
    if _other_loader():
        return {}
    files, _ = _read_all(paths)
    search = loader.Search(env or {}, loader.system())
    loads = (loaded for path, file in files.items() for loaded in search.load(path, file)[0] if loaded.by is not None)
    found: dict[str, str] = {}
    for path, by in ((loaded.path, loaded.chain[1]) for loaded in loads):
        if os.path.realpath(path) not in files:
            found.setdefault(path, by)
    return found


def _other_loader() -> str:
    """Why this system's loader is not the one that is imitated here; empty when it is."""
    if sys.platform != "linux":
        return f"not an ELF system with glibc's loader ({sys.platform}): untried"
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # musl knows the name and refuses it; others do not know it
        libc = ""
    return "" if libc.startswith("glibc") else "not glibc (musl?): its loader searches differently: untried"


def _judge(paths: tuple[str, ...], search: Search, tree: Tree, where: System) -> Finding:
    files, problems = _read_all(paths)
    if not files and not problems:
        raise InvalidInput(f"no ELF file under {', '.join(paths)}")
    libraries, missing = _load_all(files, search)
    notes: list[str] = []
    for path, file in files.items():
        for problem, text in _misleading(loader.Loaded(path, file), search, tree):
            (problems if problem else notes).append(f"{tree.shown(path)}: {text}")
    if missing:
        first = f"{missing[0].name}, needed by {tree.shown(missing[0].by.path)}: {missing[0].reason or 'not found'}"
        others = len(missing) - 1
        problems = [line for one in missing for line in _explain(one, tree, where)] + problems
        summary = f"{first}; and {others} more" if others else first
    elif problems:
        summary = problems[0]
    else:
        summary = f"ELF files: {len(files)}; shared libraries from outside: {len(libraries)}, all found"
        return Finding(proof=TITLE, status="ok", summary=summary, detail=tuple(notes))
    return Finding(proof=TITLE, status="fail", summary=summary, detail=(*problems, *notes))


def _read_all(paths: tuple[str, ...]) -> tuple[dict[str, Elf], list[str]]:
    files: dict[str, Elf] = {}
    problems = []
    for path in elf.elf_files(paths):
        try:
            file = elf.read(path)
        except InvalidInput as error:
            problems.append(error.message)
            continue
        if file is not None:
            files[path] = file
    return files, problems


def _load_all(files: Mapping[str, Elf], search: Search) -> tuple[set[str], list[Missing]]:
    """Load every file: first what no other needs, then what is left (libraries in a circle, or never found)."""
    needed = {name for file in files.values() for name in file.needed}
    first = [path for path, file in files.items() if not {Path(path).name, file.soname} & needed]
    reached: set[str] = set()
    missing: dict[tuple[str, str, str], Missing] = {}
    for path in (*first, *files):
        if path in reached:
            continue
        loaded, lacking = search.load(path, files[path])
        reached.update(os.path.realpath(one.path) for one in loaded)
        for one in lacking:
            if not _from_interpreter(one, files[path]):
                missing.setdefault((one.name, one.by.path, one.reason), one)
    return reached - files.keys(), list(missing.values())


def _from_interpreter(missing: Missing, program: Elf) -> bool:
    """Whether a running Python provides it: an extension module that names libpython finds it loaded already."""
    return missing.name.startswith("libpython") and not program.interpreter


def _misleading(loaded: Loaded, search: Search, tree: Tree) -> Iterator[tuple[bool, str]]:
    """What is odd about a file's own run path or interpreter, and whether that is a failure, found libraries apart.

    A run path to nowhere is common in published wheels (scipy's names its build machine's) and does no harm, unless
    anyone could create it and put a library there.
    """
    file = loaded.elf
    if file.interpreter and not Path(file.interpreter).exists():
        yield True, f"its loader {file.interpreter} does not exist"
    text = file.runpath if file.runpath is not None else file.rpath
    for entry in search.run_path(loaded, text):
        if not entry.startswith("/"):
            yield True, f"run path entry {entry!r} means whatever directory the program is started in"
        elif tree.build and _under(entry, tree.build):
            yield True, f"run path {entry} leads into the build directory, which will be gone"
        elif not Path(entry).is_dir() and not any(_under(entry, prefix) for prefix in tree.prefixes):
            yield _anyone_creates(entry), f"run path {entry} does not exist"
    for name in file.needed:
        if tree.build and name.startswith("/") and _under(name, tree.build):
            yield True, f"needs {name} in the build directory, which will be gone"


def _anyone_creates(path: str) -> bool:
    parent = next(parent for parent in Path(path).parents if parent.exists())
    return bool(parent.stat().st_mode & stat.S_IWOTH)


def _under(path: str, root: str) -> bool:
    path, root = os.path.realpath(path), os.path.realpath(root)
    return path == root or path.startswith(f"{root}/")


def _explain(missing: Missing, tree: Tree, where: System) -> list[str]:
    by, *users = [tree.shown(path) for path in missing.by.chain]
    line = f"{missing.name}: needed by {by}"
    if users:
        line += f" (loaded by {', '.join(users)})"
    if missing.reason:
        return [f"{line}: {missing.reason}"]
    searched = dict.fromkeys(tree.shown(path) for path in missing.searched)
    lines = [f"{line}, searched: {', '.join((*searched, 'the directories of ld.so'))}"]
    stem = missing.name.partition(".so")[0]
    here = dict.fromkeys(_elsewhere(stem, tree, where))
    exact = [path for path in here if Path(path).name == missing.name]
    if exact:
        directory = str(Path(exact[0]).parent)
        blame = "ldconfig has not run since" if directory in where.configured else "the run path does not lead there"
        lines.append(f"  found in {tree.shown(directory)}, but {blame}")
    elif here:
        lines.append(f"  only {', '.join(tree.shown(path) for path in here)}: linked to another version")
    return lines


def _elsewhere(stem: str, tree: Tree, where: System) -> Iterator[str]:
    """Files of a library, in any version, in the prefixes and in well-known directories of the machine."""
    wanted = re.compile(rf"{re.escape(stem)}\.so(?:\.\d+)*")
    for prefix in tree.prefixes:
        for directory, _, names in os.walk(prefix):
            yield from (f"{directory}/{name}" for name in sorted(names) if wanted.fullmatch(name))
    for pattern in (*(glob.escape(directory) for directory in (*where.configured, *where.defaults)), *_ELSEWHERE):
        for path in sorted(Path("/").glob(f"{pattern.strip('/')}/{glob.escape(stem)}.so*")):
            if wanted.fullmatch(path.name):
                yield str(path)

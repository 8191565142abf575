"""How the files of an install are loaded on the machine that is examined. ELF files are read, and never run."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.errors import InvalidInput
from devsetup.steps import substitute
from devsetup.verify import elf, loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.probe.host import Host
    from devsetup.receipts import Receipt
    from devsetup.verify.elf import Elf
    from devsetup.verify.loader import Search, System

_VARIABLE = "LD_LIBRARY_PATH"


def machine_loader(host: Host) -> System:
    """The loader's configuration. Its directories lie outside the machine's root, as `Host.real` gives them."""
    return loader.system(root=host.root)


def search(exam: Exam, receipt: Receipt, where: System) -> Search:
    """A loader with an install's activation, as in `devsetup run`, and without the user's own variables."""
    return loader.Search({_VARIABLE: ":".join(_activated(exam, receipt))}, where)


def files(receipt: Receipt, words: tuple[bytes, ...] = (b"",)) -> Iterator[tuple[str, Elf]]:
    """The ELF files of an install that hold one of the words. What is gone or damaged is for other checks to report.

    Args:
        receipt: of the install.
        words: to look for before a file is parsed: finding bytes takes a tenth of the time.
    """
    with contextlib.suppress(InvalidInput):
        for path in elf.elf_files((receipt.prefix,)):
            with contextlib.suppress(InvalidInput, OSError):
                if _holds(path, words) and (file := elf.read(path)):
                    yield path, file


def _holds(path: str, words: tuple[bytes, ...]) -> bool:
    with Path(path).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(word) >= 0 for word in words)


def users_path(host: Host) -> tuple[str, ...]:
    """The directories of the user's own LD_LIBRARY_PATH, outside the machine's root."""
    entries = host.environ.get(_VARIABLE, "").replace(";", ":").split(":")
    return tuple(f"{host.root}{entry.rstrip('/')}" for entry in entries if entry.startswith("/"))


def inside(host: Host, path: str) -> str:
    """A path outside the machine's root as the machine itself calls it."""
    return path.removeprefix(host.root)


def _activated(exam: Exam, receipt: Receipt) -> tuple[str, ...]:
    """What an install, and all that it needs, prepend to the loader's variable."""
    installed = {each.key: each for each in exam.receipts}
    needs = tuple(installed[key] for key in receipt.part.needs if key in installed)
    places = {"PREFIX": receipt.prefix, **{f"PREFIX:{need.name}": need.prefix for need in needs}}
    own = (substitute(env.value, places) for env in receipt.part.activation if env.name == _VARIABLE)
    return (*own, *(entry for need in needs for entry in _activated(exam, need)))

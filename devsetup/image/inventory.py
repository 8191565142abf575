"""What an image holds, as the image itself wrote it down while it was built."""

from __future__ import annotations

import msgspec

from devsetup.errors import InvalidInput
from devsetup.render.instructions import HOME

FILES = (f"{HOME}/inventory/system", f"{HOME}/inventory/python")


class SystemPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the system's manager, and the source package that it was built from."""

    name: str
    version: str
    architecture: str
    source: str = ""
    source_version: str = ""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """A Python package in the prefix of a part."""

    key: str
    name: str
    version: str


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """All that is installed in an image, sorted."""

    system: tuple[SystemPackage, ...]
    python: tuple[Distribution, ...]


def parse(system: str, python: str) -> Inventory:
    """Read the two lists that `devsetup.render.inventory` writes.

    Raises:
        InvalidInput: a line has not as many fields as it must.
    """
    packages = [
        SystemPackage(
            name=name.partition(":")[0],
            version=version,
            architecture=arch,
            source=source,
            source_version=source_version,
        )
        for name, version, arch, source, source_version in _fields(system, 5)
    ]
    found = [Distribution(key=key, name=name, version=version) for key, name, version in _fields(python, 3)]
    # An egg-info beside a dist-info says the same twice.
    return Inventory(system=tuple(dict.fromkeys(packages)), python=tuple(dict.fromkeys(found)))


def _fields(text: str, count: int) -> list[list[str]]:
    rows = [line.split("\t") for line in text.splitlines() if line]
    for row in rows:
        if len(row) != count or not row[1]:
            raise InvalidInput(f"the image's list of what it holds has a line that is not understood: {row}")
    return rows

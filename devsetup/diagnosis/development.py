"""From a library that builds may miss to the symptom that they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.amendment import AddLibrary
from devsetup.diagnosis.missing import counterexamples, examples
from devsetup.symptom import Missing, Remedy, Symptom

if TYPE_CHECKING:
    from devsetup.symptom import Library

_CAUSE = (
    "The build asks for a header, a library, a module or a program that comes with them; the run-time library alone "
    "does not have it. If they are installed, they are where this compiler does not look."
)
_SOURCES = ("messages of GCC, Clang, ld, lld, pkgconf and CMake: reproduced on Debian 12",)
_INSTALL = "Install them with the package manager, {}and clean the build's cache of what it found before."
_ELSEWHERE = "name their directory to the compiler, "
_DIRECTORY = "export CPATH=$(pkg-config --cflags-only-I {} | sed 's/ *-I/:/g; s/^://; s/ *$//')"


def symptom(library: Library) -> Symptom:
    """The symptom that a library's development files are missing, with examples of common tools' messages."""
    missing = Missing(**{kind: getattr(library, kind) for kind in Missing.__struct_fields__})
    return Symptom(
        id=f"{library.name}-development-files",
        title=f"{library.title} are not installed",
        where="build",
        patterns=library.patterns,
        cause=_CAUSE,
        remedies=(*_installing(library), *library.remedies),
        confidence="B",
        sources=_SOURCES,
        matches=examples(missing),
        misses=counterexamples(missing),
        missing=missing,
        general=True,
    )


def _installing(library: Library) -> tuple[Remedy, ...]:
    if not library.system and not library.packages:
        return ()
    helper = ("pkg-config",) if library.include else ()
    return (
        Remedy(
            text=_INSTALL.format(_ELSEWHERE if library.include else ""),
            libraries=(*filter(None, (library.system,)), *helper),
            packages=library.packages,
            commands=(_DIRECTORY.format(library.include),) if library.include else (),
            action=AddLibrary(name=library.system) if library.system else None,
        ),
    )

"""Where an installed library is, as the flags of whoever builds against it, and where it finds its own at run time.

Three parties must know a library's place: the compiler (headers), the linker (the library) and the loader (at run
time). A build that tells the first two alone makes a module that compiles, links, and does not import. A run path
tells the third for good, inside the file; it also counts when that file opens a library by name (dlopen).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from devsetup.facts import Facts

_LOADER_KNOWS = ("/lib", "/usr/lib")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a library is.

    Attributes:
        include: directory of its headers.
        lib: directory of the library itself.
    """

    include: str
    lib: str


def under(prefix: str) -> Place:
    """The place of a library that was installed in a prefix, with `lib` as its library directory."""
    return Place(include=f"{prefix}/include", lib=f"{prefix}/lib")


def build_ext(place: Place) -> tuple[str, ...]:
    """The `build_ext` command of setuptools for extension modules that use a library: they find, link and load it."""
    return ("build_ext", "-I", place.include, "-L", place.lib, "-R", place.lib)


def cmake_install(prefix: str, run_path: tuple[str, ...]) -> tuple[str, ...]:
    """CMake's options for an install in a prefix whose libraries open others in the directories of `run_path`.

    The library directory is fixed to `lib`, which some distributions call `lib64`, so that `under` is right.
    """
    options = ("-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib")
    return (*options, f"-DCMAKE_INSTALL_RPATH={';'.join(run_path)}") if run_path else options


def toolkit_libraries(facts: Facts) -> tuple[str, ...]:
    """The chosen CUDA toolkit's library directory, unless there is none or the loader looks there by itself."""
    found = (candidate.libdir for candidate in facts.cuda if candidate.chosen)
    return tuple(path for path in found if path and not _loader_knows(path, facts))


def _loader_knows(path: str, facts: Facts) -> bool:
    return path in {place for base in _LOADER_KNOWS for place in (base, f"{base}64", f"{base}/{facts.multiarch}")}

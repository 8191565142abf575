"""BLAS libraries that a linker would find, told apart by the file that their name leads to."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.facts import Blas

if TYPE_CHECKING:
    from devsetup.probe.host import Host

# The file at the end of the links decides: libblas.so.3 is an alternative on Debian, and may be OpenBLAS.
_NAMES = {
    "openblas": re.compile(r"libopenblas\.(?:so|dylib)"),
    "atlas": re.compile(r"lib(?:atlas|satlas|tatlas)\.so"),
    "mkl": re.compile(r"libmkl_rt\.(?:so|dylib)"),
    "reference": re.compile(r"libblas\.so"),
}
_OTHERS = ("openblas", "atlas", "mkl", "flexiblas", "blis")
_VERSIONS = (
    re.compile(r"-r(\d+(?:\.\d+)+)\.(?:so|dylib)"),
    re.compile(r"\.so\.(\d+(?:\.\d+)+)$"),
    re.compile(r"/mkl/(\d+(?:\.\d+)+)/"),
)
_ACCELERATE = "/System/Library/Frameworks/Accelerate.framework"


def blas(host: Host, multiarch: str) -> tuple[Blas, ...]:
    """Installed implementations, one entry for each; macOS's Accelerate first.

    Args:
        host: the machine.
        multiarch: Debian's triple, whose library directory is searched first.
    """
    found = {}
    if host.exists(_ACCELERATE):
        found["accelerate"] = Blas(name="accelerate", path=_ACCELERATE)
    listings = {directory: host.names(directory) for directory in _directories(multiarch)}
    for name, pattern in _NAMES.items():
        for directory, files in listings.items():
            for path in (f"{directory}/{file}" for file in files if pattern.match(file)):
                if name not in found and _leads_to(host, path, name):
                    found[name] = Blas(name=name, path=path, version=_version(host.resolve(path)))
    return tuple(found.values())


def _directories(multiarch: str) -> tuple[str, ...]:
    debian = f"/usr/lib/{multiarch}"
    return (
        debian,
        *(f"{debian}/{part}" for part in ("atlas", "blas")),
        *("/usr/lib64", "/usr/lib64/atlas", "/usr/lib", "/usr/local/lib"),
        *("/opt/OpenBLAS/lib", "/opt/intel/oneapi/mkl/latest/lib", "/opt/intel/mkl/lib/intel64"),
        *("/opt/homebrew/opt/openblas/lib", "/usr/local/opt/openblas/lib"),
    )


def _leads_to(host: Host, path: str, name: str) -> bool:
    file = host.resolve(path)
    if not host.exists(file):
        return False
    near = f"{posixpath.basename(posixpath.dirname(file))}/{posixpath.basename(file)}".lower()
    others = [other for other in _OTHERS if other in near]
    return not others if name == "reference" else name in others


def _version(file: str) -> str:
    return next((found.group(1) for pattern in _VERSIONS if (found := pattern.search(file))), "")

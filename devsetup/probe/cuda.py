"""CUDA toolkits: every candidate, and which one builds are told to use."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.facts import Cuda, Python
from devsetup.probe.pythons import site_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.probe.host import Host

_VARIABLES = ("CUDAToolkit_ROOT", "CUDA_HOME", "CUDA_PATH")
_NVCC = "nvcc on PATH"
_LINK = "/usr/local/cuda"
# Debian and Ubuntu spread their package over /usr; only nvcc and its helpers live here.
_DEBIAN = "/usr/lib/nvidia-cuda-toolkit"
_HEADER = re.compile(r"^#define CUDA_VERSION (\d+)$", re.MULTILINE)


def cuda(host: Host, pythons: tuple[Python, ...], notes: list[str]) -> tuple[Cuda, ...]:
    """Toolkits in the order in which they are preferred.

    CUDAToolkit_ROOT, CUDA_HOME, CUDA_PATH, nvcc on PATH, /usr/local/cuda, /usr/local/cuda-X.Y (newest first),
    /opt/cuda, Debian's package, conda, wheels of the interpreters. The first that has an nvcc is chosen.

    Args:
        host: the machine.
        pythons: interpreters whose site-packages may hold NVIDIA's wheels.
        notes: gets what is wrong: variables and links that lead nowhere, and toolkits that contradict each other.
    """
    origins: dict[str, list[str]] = {}
    for origin, path in _named(host, pythons, notes):
        root = host.resolve(path)
        if _header(host, root) or _compiler(host, root):
            origins.setdefault(root, []).append(origin)
        elif origin in _VARIABLES:
            notes.append(f"{origin}={path} holds no CUDA toolkit: neither include/cuda.h nor bin/nvcc")
    versions = {root: _version(host, root) for root in origins}
    chosen = next((root for root in origins if _compiler(host, root)), "")
    rivals = [
        f"{origin} means {versions[root] or 'another'} in {root}"
        for root in origins
        for origin in origins[root]
        if chosen and root != chosen and origin in (*_VARIABLES, _NVCC, _LINK)
    ]
    if rivals:
        notes.append(
            f"CUDA {versions[chosen]} in {chosen} is used because {origins[chosen][0]} comes first, "
            f"but {'; '.join(rivals)}: other tools may mix them"
        )
    return tuple(
        Cuda(
            path=root,
            version=versions[root],
            origin=names[0],
            chosen=root == chosen,
            why=_why(names, rivals) if root == chosen else _why_not(host, root, origins, chosen),
        )
        for root, names in origins.items()
    )


def _why(names: list[str], rivals: list[str]) -> str:
    also = f" (also: {', '.join(names[1:])})" if names[1:] else ""
    return "; ".join([f"{names[0]} comes first{also}", *rivals])


def _why_not(host: Host, root: str, origins: dict[str, list[str]], chosen: str) -> str:
    return f"{origins[chosen][0]} comes first" if chosen and _compiler(host, root) else "it has no nvcc"


def _named(host: Host, pythons: tuple[Python, ...], notes: list[str]) -> Iterator[tuple[str, str]]:
    for variable in _VARIABLES:
        if value := host.environ.get(variable):
            yield variable, value
    if nvcc := host.which("nvcc"):
        yield _NVCC, _root_of(host, nvcc, notes)
    if (target := host.link(_LINK)) and not host.exists(_LINK):
        notes.append(f"{_LINK} is a link to {target}, which does not exist")
    yield _LINK, _LINK
    for name in _newest_first(host.names("/usr/local")):
        yield f"/usr/local/{name}", f"/usr/local/{name}"
    yield "/opt/cuda", "/opt/cuda"
    yield "the distribution's package", _DEBIAN
    if conda := host.environ.get("CONDA_PREFIX"):
        yield "CONDA_PREFIX", conda
    for python in pythons:
        wheels = f"{site_packages(host, python)}/nvidia"
        for name in host.names(wheels):
            if re.fullmatch(r"cu\d+|cuda_runtime", name):
                yield f"wheels of {python.path}", f"{wheels}/{name}"


def _newest_first(names: tuple[str, ...]) -> list[str]:
    found = {name: re.fullmatch(r"cuda-(\d+)\.(\d+)", name) for name in names}
    versions = {name: (int(match.group(1)), int(match.group(2))) for name, match in found.items() if match}
    return sorted(versions, key=versions.__getitem__, reverse=True)


def _root_of(host: Host, nvcc: str, notes: list[str]) -> str:
    """The toolkit behind an nvcc. A wrapper script is asked: nvcc prints `#$ TOP=` before it refuses its argument."""
    root = posixpath.dirname(posixpath.dirname(host.resolve(nvcc)))
    if root != "/usr" and _header(host, root):  # Debian's /usr holds a header too, but not the toolkit
        return root
    answer = host.ask((nvcc, "-v", "devsetup-asks-for-the-root"))
    top = re.search(r"^#\$ TOP=(\S+)", answer.error + "\n" + answer.output, re.MULTILINE)
    if top:
        return posixpath.normpath(top.group(1))
    notes.append(answer.problem or f"{nvcc} -v does not say where its toolkit is (#$ TOP=)")
    return root


def _header(host: Host, root: str) -> str:
    targets = (f"{root}/targets/{name}/include/cuda.h" for name in host.names(f"{root}/targets"))
    places = [f"{root}/include/cuda.h", *targets, *(["/usr/include/cuda.h"] if root == _DEBIAN else [])]
    return next((path for path in places if host.exists(path)), "")


def _compiler(host: Host, root: str) -> str:
    path = f"{root}/bin/nvcc"
    return path if host.runs(path) else ""


def _version(host: Host, root: str) -> str:
    """`13.0`, from cuda.h, version.json, version.txt (each is missing from some layout), else from nvcc."""
    if number := _HEADER.search(host.read(_header(host, root))):
        return f"{int(number.group(1)) // 1000}.{int(number.group(1)) % 1000 // 10}"
    for name, pattern in (
        ("version.json", r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d+\.\d+)'),
        ("version.txt", r"CUDA Version (\d+\.\d+)"),
    ):
        if found := re.search(pattern, host.read(f"{root}/{name}")):
            return found.group(1)
    if nvcc := _compiler(host, root):
        found = re.search(r"release (\d+\.\d+)", host.ask((nvcc, "--version")).output)
        return found.group(1) if found else ""
    return ""

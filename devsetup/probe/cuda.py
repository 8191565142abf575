"""CUDA toolkits: every candidate, and which one builds are told to use. cuDNN, too."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.errors import InvalidInput
from devsetup.facts import Cuda, Library, Python
from devsetup.probe.pythons import site_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.probe.host import Host

_ASKED_FOR = "--cuda or config.toml"
_VARIABLES = ("CUDAToolkit_ROOT", "CUDA_HOME", "CUDA_PATH")
_NVCC = "nvcc on PATH"
_LINK = "/usr/local/cuda"
# Debian and Ubuntu spread their package over /usr; only nvcc and its helpers live here. /usr/lib/cuda has empty
# directories instead of headers and libraries: github.com/tmcdonell/cuda/issues/54
_DEBIAN = "/usr/lib/nvidia-cuda-toolkit"
_DEBIAN_NAMES = ("/usr", "/usr/lib/cuda")
_LINKED = ("libcudart.so", "libcublas.so", "libcurand.so")
_HEADER = re.compile(r"^#define CUDA_VERSION (\d+)$", re.MULTILINE)
_RELEASE = re.compile(r"release (\d+\.\d+), V")
_RUNTIME = re.compile(r"libcudart\.(?:so|dylib|\d)")
_CUDNN = ("MAJOR", "MINOR", "PATCHLEVEL")


def cuda(
    host: Host, pythons: tuple[Python, ...], multiarch: str, notes: list[str], *, toolkit: str = ""
) -> tuple[Cuda, ...]:
    """Toolkits in the order in which they are preferred; the first that has an nvcc is chosen.

    The order is that of `docs/cuda.md`. One root under several names is one candidate.

    Args:
        host: the machine.
        pythons: interpreters whose site-packages may hold NVIDIA's wheels.
        multiarch: Debian's triple, whose directory holds the libraries of its package; it also names the target.
        notes: gets what is wrong: variables and links that lead nowhere, and toolkits that contradict each other or
            themselves.
        toolkit: the root that the user named, which `require_toolkit` has accepted.
    """
    origins: dict[str, list[str]] = {}
    for origin, path in _named(host, pythons, toolkit, notes):
        root = _root(host, path) if path.startswith("/") else ""
        if root and (_header(host, root) or _compiler(host, root)):
            origins.setdefault(root, []).append(origin)
        elif origin in _VARIABLES:
            notes.append(f"{origin}={path} holds no CUDA toolkit: neither include/cuda.h nor bin/nvcc")
    versions = _versions(host, origins, notes)
    chosen = next((root for root in origins if _compiler(host, root)), "")
    rivals = _rivals(origins, versions, chosen, notes)
    libdirs = {root: _libdir(host, root, multiarch) for root in origins}
    return tuple(
        Cuda(
            path=root,
            version=versions[root],
            origin=names[0],
            chosen=root == chosen,
            why=_why(names, rivals) if root == chosen else _why_not(host, root, origins, chosen),
            nvcc=_compiler(host, root),
            libdir=libdirs[root],
            lacks=tuple(name for name in _LINKED if name not in host.names(libdirs[root]))
            if libdirs[root]
            else _LINKED,
        )
        for root, names in origins.items()
    )


def require_toolkit(host: Host, path: str) -> None:
    """Refuse a root that the user named, when it holds no toolkit to build with: another one must not step in.

    Raises:
        InvalidInput: the path is relative, or there is no nvcc.
    """
    if not path.startswith("/"):
        seen = "it is no absolute path"
    elif not host.exists(path):
        seen = "there is no such directory"
    elif not _compiler(host, _root(host, path)):
        seen = f"{path}/bin/nvcc is not there, or is no program"
    else:
        return
    raise InvalidInput(
        f"{path} is not a CUDA toolkit: {seen}",
        "name a directory that holds bin/nvcc, with --cuda DIR or as `cuda` in config.toml, or leave both out: "
        "`devsetup facts` then lists the toolkits that are here",
    )


def cudnn(host: Host, toolkits: tuple[Cuda, ...], pythons: tuple[Python, ...], multiarch: str) -> dict[str, Library]:
    """The version of cuDNN, by its header, under the name `cudnn`; nothing when there is none.

    It is looked for in the toolkit that wins, the system's directories, conda, and NVIDIA's wheels.
    """
    roots = [toolkit.path for toolkit in toolkits if toolkit.chosen]
    places = [f"{root}/{part}" for root in roots for part in ("include", f"targets/{_target(multiarch)}/include")]
    places += ["/usr/include", f"/usr/include/{multiarch}"]
    if conda := host.environ.get("CONDA_PREFIX"):
        places.append(f"{conda}/include")
    places += [f"{site}/nvidia/cudnn/include" for _, site in _sites(host, pythons)]
    for header in (f"{place}/{name}" for place in places for name in ("cudnn_version.h", "cudnn.h")):
        text = host.read(header)
        numbers = [re.search(rf"^#define CUDNN_{part}\s+(\d+)", text, re.MULTILINE) for part in _CUDNN]
        if version := ".".join(number.group(1) for number in numbers if number):
            return {"cudnn": Library(version=version, installed=True)}
    return {}


def _rivals(origins: dict[str, list[str]], versions: dict[str, str], chosen: str, notes: list[str]) -> list[str]:
    """What other tools would take instead of the toolkit that is chosen."""
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
    return rivals


def _why(names: list[str], rivals: list[str]) -> str:
    also = f" (also: {', '.join(names[1:])})" if names[1:] else ""
    return "; ".join([f"{names[0]} comes first{also}", *rivals])


def _why_not(host: Host, root: str, origins: dict[str, list[str]], chosen: str) -> str:
    return f"{origins[chosen][0]} comes first" if chosen and _compiler(host, root) else "it has no nvcc"


def _named(host: Host, pythons: tuple[Python, ...], toolkit: str, notes: list[str]) -> Iterator[tuple[str, str]]:
    if toolkit:
        yield _ASKED_FOR, toolkit
    for variable in _VARIABLES:
        if value := host.environ.get(variable):
            yield variable, value
    if nvcc := host.which("nvcc"):
        yield _NVCC, _root_of(host, nvcc, notes)
    yield from _installed(host, notes)
    if conda := host.environ.get("CONDA_PREFIX"):
        yield "CONDA_PREFIX", conda
    for owner, site in _sites(host, pythons):
        for name in host.names(f"{site}/nvidia"):
            # CUDA 13's wheels share one directory; 12's have one each, and none of them holds nvcc itself.
            if re.fullmatch(r"cu\d+|cuda_runtime", name):
                yield f"wheels of {owner}", f"{site}/nvidia/{name}"


def _installed(host: Host, notes: list[str]) -> Iterator[tuple[str, str]]:
    """The places of NVIDIA's own installers and of distributions."""
    if (target := host.link(_LINK)) and not host.exists(_LINK):
        notes.append(f"{_LINK} is a link to {target}, which does not exist")
    yield _LINK, _LINK
    for name in _newest_first(host.names("/usr/local")):
        yield f"/usr/local/{name}", f"/usr/local/{name}"
    yield "/opt/cuda", "/opt/cuda"
    yield "the distribution's package", _DEBIAN


def _sites(host: Host, pythons: tuple[Python, ...]) -> Iterator[tuple[str, str]]:
    """Where pip installs, and whose it is: the active virtual environment; each interpreter's, for all and for one."""
    if environment := host.environ.get("VIRTUAL_ENV"):
        for name in host.names(f"{environment}/lib"):
            yield "VIRTUAL_ENV", f"{environment}/lib/{name}/site-packages"
    for python in pythons:
        yield python.path, site_packages(host, python)
        library = "python" + ".".join(python.version.split(".")[:2])
        if python.system:
            yield python.path, f"/usr/local/lib/{library}/dist-packages"  # Debian's place for the administrator's pip
        if home := host.environ.get("HOME"):
            yield python.path, f"{home}/.local/lib/{library}/site-packages"


def _newest_first(names: tuple[str, ...]) -> list[str]:
    found = {name: re.fullmatch(r"cuda-(\d+)\.(\d+)", name) for name in names}
    versions = {name: (int(match.group(1)), int(match.group(2))) for name, match in found.items() if match}
    return sorted(versions, key=versions.__getitem__, reverse=True)


def _root(host: Host, path: str) -> str:
    """The directory that a name of a toolkit leads to; for any name of Debian's package, the place of its nvcc."""
    root = host.resolve(path)
    return _DEBIAN if root in _DEBIAN_NAMES and _compiler(host, _DEBIAN) else root


def _root_of(host: Host, nvcc: str, notes: list[str]) -> str:
    """The toolkit behind an nvcc. A wrapper script is asked: nvcc prints `#$ TOP=` before it refuses its argument."""
    root = posixpath.dirname(posixpath.dirname(host.resolve(nvcc)))
    if root != "/usr" and _header(host, root):  # Debian's /usr holds a header too, but not the toolkit
        return root
    answer = host.ask((nvcc, "-v", "devsetup-asks-for-the-root"))
    top = re.search(r"^#\$ TOP=(.*\S)", answer.error + "\n" + answer.output, re.MULTILINE)
    if not top:
        notes.append(answer.problem or f"{nvcc} -v does not say where its toolkit is (#$ TOP=)")
        return root
    # conda's nvcc says PREFIX/targets/x86_64-linux, which only has links to PREFIX/bin.
    return re.sub(r"/targets/[^/]+$", "", host.resolve(top.group(1)))


def _header(host: Host, root: str) -> str:
    targets = (f"{root}/targets/{name}/include/cuda.h" for name in host.names(f"{root}/targets"))
    places = [f"{root}/include/cuda.h", *targets, *(["/usr/include/cuda.h"] if root == _DEBIAN else [])]
    return next((path for path in places if host.exists(path)), "")


def _compiler(host: Host, root: str) -> str:
    path = f"{root}/bin/nvcc"
    return path if host.runs(path) else ""


def _target(multiarch: str) -> str:
    """NVIDIA's name of this processor's directory below `targets`."""
    return {"aarch64-linux-gnu": "sbsa-linux"}.get(multiarch, multiarch.removesuffix("-gnu"))


def _libdir(host: Host, root: str, multiarch: str) -> str:
    """Where the runtime library really is. lib64 goes first: old toolkits have 32-bit libraries in lib."""
    places = [f"{root}/lib64", f"{root}/lib", f"{root}/targets/{_target(multiarch)}/lib"]
    if root in (_DEBIAN, "/usr"):
        places.append(f"/usr/lib/{multiarch}")
    return next((place for place in places if any(map(_RUNTIME.match, host.names(place)))), "")


def _lacks(host: Host, libdir: str) -> tuple[str, ...]:
    here = host.names(libdir) if libdir else ()
    return tuple(name for name in _LINKED if not {name, name.replace(".so", ".dylib")} & set(here))


def _versions(host: Host, roots: Iterable[str], notes: list[str]) -> dict[str, str]:
    """The version of each root by its files, else by its nvcc, with a note where they differ. All are asked at once."""
    compilers = {root: nvcc for root in roots if (nvcc := _compiler(host, root))}
    answers = dict(zip(compilers, host.ask_each([(nvcc, "--version") for nvcc in compilers.values()]), strict=True))
    versions = {}
    for root in roots:
        stated, source = _stated(host, root)
        said = ""
        if answer := answers.get(root):
            release = _RELEASE.search(answer.output)
            said = release.group(1) if release else ""
            if not said:
                notes.append(answer.problem or f"{compilers[root]} --version names no release: it may not work here")
        if said and stated and said != stated:
            notes.append(
                f"{root} mixes two toolkits: {source} is of CUDA {stated}, and {compilers[root]} is of CUDA {said}; "
                "what is compiled with it may not fit the libraries"
            )
        versions[root] = stated or said
    return versions


def _stated(host: Host, root: str) -> tuple[str, str]:
    """`13.0` by cuda.h, version.json or version.txt (each is missing from some layout), and the file that says so."""
    header = _header(host, root)
    if number := _HEADER.search(host.read(header)):
        return f"{int(number.group(1)) // 1000}.{int(number.group(1)) % 1000 // 10}", header
    for name, pattern in (
        ("version.json", r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d+\.\d+)'),
        ("version.txt", r"CUDA Version (\d+\.\d+)"),
    ):
        if found := re.search(pattern, host.read(f"{root}/{name}")):
            return found.group(1), f"{root}/{name}"
    return "", ""

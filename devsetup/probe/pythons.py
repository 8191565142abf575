"""Python interpreters, described from the files around them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.facts import Python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.probe.host import Host

_NAME = re.compile(r"python3(?:\.\d+)?")
_DISTRIBUTION = ("/usr/bin", "/usr/local/bin")
_HOMEBREW = ("/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin")
_PATCHLEVEL = re.compile(r'^#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+[^"+]*)', re.MULTILINE)
_CLT = "/Library/Developer/CommandLineTools/usr/bin/python3"


def pythons(host: Host, notes: list[str]) -> tuple[Python, ...]:
    """Every Python 3 on PATH, in /usr/bin, /usr/local/bin, Homebrew and pyenv, each once, in that order.

    An interpreter is started (`-V`) only when its patch level is in no file, that is when its headers are missing.
    A virtual environment counts as the interpreter that made it; shims (pyenv, asdf) do not count.
    """
    paths: dict[str, str] = {}
    for path in _candidates(host):
        file = host.resolve(_CLT if path == "/usr/bin/python3" and host.macos else path)
        if _NAME.fullmatch(posixpath.basename(file)):
            paths.setdefault(file, path)
    versions = {file: _version_in_headers(host, file) for file in paths}
    unknown = [file for file, version in versions.items() if not version]
    for file, answer in zip(unknown, host.ask_each([(file, "-V") for file in unknown]), strict=True):
        said = re.search(r"Python (3\.\d+\.\d+\S*)", answer.output)
        if said:
            versions[file] = said.group(1).rstrip("+")
        else:
            notes.append(answer.problem or f"{paths[file]} -V printed no version: {answer.output[:80]!r}")
    return tuple(_describe(host, file, paths[file], version) for file, version in versions.items() if version)


def site_packages(host: Host, python: Python) -> str:
    """Where pip installs for an interpreter, outside virtual environments."""
    prefix, library = _prefix(host.resolve(python.path)), _minor(python.version)
    return f"{prefix}/lib/{library}/site-packages"


def _candidates(host: Host) -> Iterator[str]:
    for directory in dict.fromkeys(_directories(host)):
        for name in filter(_NAME.fullmatch, host.names(directory)):
            if host.runs(f"{directory}/{name}"):
                yield f"{directory}/{name}"


def _directories(host: Host) -> Iterator[str]:
    for directory in host.directories:
        made_by = re.search(r"^home\s*=\s*(\S.*?)\s*$", host.read(f"{directory}/../pyvenv.cfg"), re.MULTILINE)
        if posixpath.basename(directory) != "shims":
            yield made_by.group(1) if made_by else directory
    yield from _DISTRIBUTION
    yield from _HOMEBREW
    pyenv = host.environ.get("PYENV_ROOT") or f"{host.environ.get('HOME', '')}/.pyenv"
    versions = (name for name in host.names(f"{pyenv}/versions") if re.fullmatch(r"3(\.\d+)+", name))
    for name in sorted(versions, key=lambda name: [int(part) for part in name.split(".")], reverse=True):
        yield f"{pyenv}/versions/{name}/bin"


def _describe(host: Host, file: str, path: str, version: str) -> Python:
    prefix, minor = _prefix(file), _minor(version)
    libraries = [f"{prefix}/{lib}/{minor}" for lib in ("lib", "lib64")]
    return Python(
        path=path,
        version=version,
        system=posixpath.dirname(path if host.macos else file) in ("/usr/bin", "/bin"),
        headers=any(host.exists(f"{prefix}/include/{minor}{abi}/Python.h") for abi in ("", "m")),
        venv=any(host.exists(f"{library}/ensurepip/__init__.py") for library in libraries),
        managed=any(host.exists(f"{library}/EXTERNALLY-MANAGED") for library in libraries),
    )


def _version_in_headers(host: Host, file: str) -> str:
    for abi in ("", "m"):
        header = f"{_prefix(file)}/include/{posixpath.basename(file)}{abi}/patchlevel.h"
        if found := _PATCHLEVEL.search(host.read(header)):
            return found.group(1)
    return ""


def _prefix(file: str) -> str:
    return posixpath.dirname(posixpath.dirname(file))


def _minor(version: str) -> str:
    return "python" + ".".join(version.split(".")[:2])

"""The declared hosts and the table of package names, as data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devsetup import facts

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOSTS = Path(__file__).parent.parent / "hosts"
FILES = sorted(HOSTS.glob("*.json"))
LIBRARIES = tomllib.loads((HOSTS / "libraries.toml").read_text("utf-8"))
MANAGERS = ("apt", "dnf", "brew", "pacman")
EXPECTED = "debian-11 debian-12 debian-13 fedora-42 macos-10.10 macos-15-arm64 ubuntu-20.04 ubuntu-22.04 ubuntu-24.04"
NAMES = (
    "opencv protobuf boost boost-python hdf5 leveldb lmdb snappy gflags glog openblas atlas mkl blas-reference python"
    " gcc gfortran make patch git cmake pkg-config r-base berkeleydb rocksdb zlib"
)


def test_every_host_is_there() -> None:
    assert [path.stem for path in FILES] == EXPECTED.split()


def test_every_library_is_there() -> None:
    assert list(LIBRARIES) == NAMES.split()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_host_is_valid_and_says_what_its_name_says(path: Path) -> None:
    host = facts.from_json(path.read_bytes(), str(path))
    system, version, *arch = path.stem.split("-")
    assert host.os.id == system
    assert host.os.version == version or host.os.version.startswith(f"{version}.")
    assert host.arch == (arch[0] if arch else "x86_64")
    assert path.read_text("utf-8") == facts.to_json(host), "write it with facts.to_json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_host_is_a_machine_that_can_be_planned_for(path: Path) -> None:
    host = facts.from_json(path.read_bytes(), str(path))
    manager = {"debian": "apt", "ubuntu": "apt", "fedora": "dnf", "macos": "brew"}[host.os.id]
    assert host.package_manager == manager
    assert (host.apple is not None) == (host.os.id == "macos")
    assert host.compiler("g++")
    assert host.compiler("cc")
    assert any(python.system or host.os.id == "macos" for python in host.pythons)
    assert (host.cores, host.memory_mb) == (4, 16384)
    assert any("memory" in note or "indexes" in note for note in host.notes), "a note says where versions come from"
    for name, library in host.libraries.items():
        assert LIBRARIES[name].get(manager), f"{name} has no package here, so it cannot be expected"
        assert not library.installed
        assert library.version[0].isdigit()


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_has_package_names(name: str) -> None:
    entry = LIBRARIES[name]
    assert set(entry) <= {*MANAGERS, "pkg_config"}
    assert entry["apt"]
    packages = [package for manager in MANAGERS for package in entry.get(manager, [])]
    assert all(package and package == package.strip() for package in packages)


def test_a_host_lists_every_library_that_its_manager_has_except_those_a_note_names() -> None:
    for path in FILES:
        host = facts.from_json(path.read_bytes(), str(path))
        absent = [name for name, entry in LIBRARIES.items() if entry.get(host.package_manager)]
        absent = [name for name in absent if name not in host.libraries]
        assert all(any(name in note for note in host.notes) for name in absent), (path.stem, absent)


def indexes(release: str) -> bool:
    """Whether this machine is that Debian with package lists to ask."""
    try:
        same = f'VERSION_ID="{release}"' in Path("/etc/os-release").read_text("utf-8")
    except OSError:
        return False
    return same and bool(shutil.which("apt-cache")) and any(Path("/var/lib/apt/lists").glob("*Packages*"))


@pytest.mark.parametrize("release", ["11", "12", "13"])
def test_names_and_versions_are_those_of_the_index_here(release: str) -> None:
    if not indexes(release):
        pytest.skip(f"not a Debian {release} with package lists")
    host = facts.from_json((HOSTS / f"debian-{release}.json").read_bytes(), release)
    names = [package for name in host.libraries for package in LIBRARIES[name]["apt"]]
    said = subprocess.run(
        ["apt-cache", "policy", *names], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    candidates = {}
    for block in said.split("\n  Version table:"):
        lines = block.splitlines()
        for line, following in zip(lines, lines[2:], strict=False):
            if line.endswith(":") and not line.startswith(" "):
                candidates[line[:-1]] = following.partition("Candidate: ")[2]
    for name, library in host.libraries.items():
        for package in LIBRARIES[name]["apt"]:
            assert candidates.get(package, "(none)") != "(none)", package
        first = candidates[LIBRARIES[name]["apt"][0]]
        release_line = ".".join(library.version.split(".")[:2])  # a stable Debian moves only what comes after
        assert release_line in first, f"{name}: {library.version} is declared, {first} is offered"

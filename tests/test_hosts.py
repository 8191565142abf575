"""The declared hosts and the table of package names, as data."""

from __future__ import annotations

import itertools
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
EXPECTED = {
    "debian": "11 12 13",
    "fedora": "40 42",
    "macos": "10.9 10.10 10.11 10.12 10.13 10.14 10.15 11 12 13 14 15 26"
    " 11-arm64 12-arm64 13-arm64 14-arm64 15-arm64 26-arm64",
    "ubuntu": "14.04 16.04 18.04 20.04 22.04 24.04",
}
NAMES = (
    "opencv protobuf boost boost-python hdf5 leveldb lmdb snappy gflags glog openblas atlas mkl blas-reference python"
    " gcc gfortran make patch git cmake pkg-config r-base berkeleydb rocksdb zlib libgpuarray pocl"
)


def test_every_host_is_there() -> None:
    expected = {f"{system}-{release}" for system, releases in EXPECTED.items() for release in releases.split()}
    assert {path.stem for path in FILES} == expected
    assert len(expected) >= 30


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
    assert len(path.read_bytes()) < 4096, "a host is read for every `info`; keep it small"


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


@pytest.mark.parametrize("system", ["debian", "fedora", "macos", "ubuntu"])
def test_versions_never_go_back_from_one_release_to_the_next(system: str) -> None:
    hosts = [facts.from_json(path.read_bytes(), path.stem) for path in FILES if path.stem.startswith(f"{system}-")]
    hosts.sort(key=lambda host: numbers(host.os.version))
    for before, after in itertools.pairwise(hosts):
        for name in before.libraries.keys() & after.libraries.keys() - {"blas-reference"}:  # Debian renumbered it
            assert numbers(before.library(name)) <= numbers(after.library(name)), (name, after.os)
        for name in ("g++", "cc"):
            assert numbers(before.compiler(name)) <= numbers(after.compiler(name)), (name, after.os)
        if before.apple and after.apple:
            assert numbers(before.apple.clt)[:2] <= numbers(after.apple.clt)[:2]


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("macos")], ids=lambda path: path.stem)
def test_a_mac_has_the_tools_of_its_processor_and_time(path: Path) -> None:
    host = facts.from_json(path.read_bytes(), path.stem)
    assert host.apple
    prefix = "/opt/homebrew" if host.arch == "arm64" else "/usr/local"
    assert host.pythons[0].path.startswith(prefix)
    assert host.library("python").split(".")[0] == "3"
    assert {compiler.family for compiler in host.compilers} == {"clang"}
    # No headers outside an SDK from 10.14 on; before, the tools that had one were Xcode.
    where = "/Library/Developer" if numbers(host.os.version) >= [10, 14] else "/Applications/Xcode.app"
    assert host.apple.sdk.startswith(where)
    assert host.apple.sdk.endswith(".sdk")


@pytest.mark.parametrize("path", [path for path in FILES if "arm64" in path.stem], ids=lambda path: path.stem)
def test_both_processors_of_a_release_have_the_same_versions(path: Path) -> None:
    arm, intel = (
        facts.from_json(p.read_bytes(), p.stem) for p in (path, HOSTS / f"{path.stem[: -len('-arm64')]}.json")
    )
    assert arm.libraries == intel.libraries
    assert (arm.os, arm.apple, arm.notes) == (intel.os, intel.apple, intel.notes)
    assert [c.version for c in arm.compilers] == [c.version for c in intel.compilers]


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

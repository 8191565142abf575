"""Operating system, C library, memory and processors of constructed machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_probe import Tree

from devsetup.facts import Apple, Libc, OperatingSystem
from devsetup.probe import system

MACOS = "/System/Library/CoreServices/SystemVersion.plist"
CLANG = "/Library/Developer/CommandLineTools/usr/bin/clang"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


@pytest.fixture
def mac(tree: Tree) -> Tree:
    tree.write(MACOS)
    tree.program("/usr/bin/sw_vers", "echo 15.5")
    tree.program("/usr/sbin/sysctl", "echo 8589934592")
    return tree


def test_debian(tree: Tree) -> None:
    assert tree.facts().os == OperatingSystem(
        id="debian", version="12", codename="bookworm", name="Debian GNU/Linux 12 (bookworm)"
    )


def test_os_release_in_usr_lib_and_its_relatives(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "etc/os-release").unlink()
    tree.write("/usr/lib/os-release", 'ID=ol\nID_LIKE="fedora rhel"\nVERSION_ID="9.4"\nPRETTY_NAME="Oracle 9.4"\n')
    assert tree.facts().os == OperatingSystem(id="oracle", version="9.4", name="Oracle 9.4", like=("fedora", "rhel"))


@pytest.mark.parametrize(
    ("script", "version", "note"),
    [
        ("echo 26.1", "26.1", ""),
        ('[ "$SYSTEM_VERSION_COMPAT" = 0 ] && echo 14.5 || echo 10.16', "14.5", ""),
        ('[ "$SYSTEM_VERSION_COMPAT" = 0 ] && echo 26.0 || echo 16.0', "26.0", ""),
        ("echo 10.10.5", "10.10.5", ""),
        ("echo 10.16", "11", "sw_vers says 10.16"),
        ("echo 16.2", "26.2", "sw_vers says 16.2"),
        ("echo what", "", "/usr/bin/sw_vers printed no version: 'what'"),
    ],
)
def test_macos_version(mac: Tree, script: str, version: str, note: str) -> None:
    mac.program("/usr/bin/sw_vers", script)
    notes: list[str] = []
    assert system.operating_system(mac.host(), notes).version == version
    assert [text[: len(note)] for text in notes] == ([note] if note else [])


def test_macos_facts(mac: Tree) -> None:
    mac.program(CLANG, "")
    mac.program("/usr/sbin/pkgutil", "printf 'package-id: x\\nversion: 16.4.0.0.1.17\\nvolume: /\\n'")
    mac.program("/usr/bin/xcrun", "echo /Library/Developer/CommandLineTools/SDKs/MacOSX.sdk")
    found = mac.facts()
    assert found.os == OperatingSystem(id="macos", version="15.5", name="macOS 15.5")
    assert found.libc == Libc(family="libSystem", version="15.5")
    assert found.apple == Apple(clt="16.4.0.0.1.17", sdk="/Library/Developer/CommandLineTools/SDKs/MacOSX.sdk")
    assert found.memory_mb == 8192


def test_macos_without_developer_tools_starts_none_of_the_stubs_that_open_a_dialog(mac: Tree) -> None:
    for name in ("clang", "gcc", "python3", "xcrun"):
        mac.program(f"/usr/bin/{name}", f"echo opened > {mac.root}/dialog")
    found = mac.facts()
    assert found.apple == Apple()
    assert (found.compilers, found.pythons) == ((), ())
    assert not (mac.root / "dialog").exists()


def test_linux_has_no_developer_tools(tree: Tree) -> None:
    assert tree.facts().apple is None


def test_musl(tree: Tree) -> None:
    tree.program("/lib/ld-musl-x86_64.so.1", "echo 'musl libc (x86_64)\nVersion 1.2.5\nDynamic Loader' >&2; exit 1")
    assert tree.facts().libc == Libc(family="musl", version="1.2.5")


def test_musl_beside_glibc_counts_as_glibc(tree: Tree) -> None:
    tree.program("/lib/ld-musl-x86_64.so.1", "echo 'Version 1.2.5' >&2; exit 1")
    tree.write("/lib64/ld-linux-x86-64.so.2")
    libc = tree.facts().libc
    assert libc is None or libc.family == "glibc"


def test_a_musl_loader_that_does_not_say_its_version(tree: Tree) -> None:
    tree.program("/lib/ld-musl-aarch64.so.1", "exit 1")
    found = tree.facts()
    assert found.libc == Libc(family="musl", version="")
    assert "/lib/ld-musl-aarch64.so.1 printed no version" in found.notes


@pytest.mark.parametrize(
    ("group", "files", "mb"),
    [
        ("0::/", {}, 16384),
        ("0::/a/b", {"/a/b/memory.max": "max\n", "/a/memory.max": "2147483648\n"}, 2048),
        ("0::/a", {"/a/memory.max": "4294967296\n", "/memory.max": "1073741824\n"}, 1024),
        ("0::/", {"/memory.max": "99999999999999\n"}, 16384),
        ("4:memory:/job", {"/memory/job/memory.limit_in_bytes": "1073741824\n"}, 1024),
        ("4:memory:/job", {"/memory/job/memory.limit_in_bytes": "9223372036854771712\n"}, 16384),
        # In a container the group's path is the host's: only the top of the mount is there.
        ("4:memory:/docker/0123", {"/memory/memory.limit_in_bytes": "536870912\n"}, 512),
        ("3:cpuset:/x\n4:memory:/", {"/cpuset/x/memory.max": "1048576\n"}, 16384),
        ("nonsense", {}, 16384),
    ],
)
def test_memory_is_the_lowest_of_what_is_there_and_what_is_allowed(
    tree: Tree, group: str, files: dict[str, str], mb: int
) -> None:
    tree.write("/proc/self/cgroup", f"{group}\n")
    for path, text in files.items():
        tree.write(f"/sys/fs/cgroup{path}", text)
    assert system.memory_mb(tree.host(), []) == mb


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("0::/a/b", {"/a/cpu.max": "50000 100000\n"}, 1),
        ("0::/", {"/cpu.max": "150000 100000\n"}, 2),
        ("0::/", {"/cpu.max": "max 100000\n"}, None),
        (
            "5:cpu,cpuacct:/",
            {"/cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "/cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            1,
        ),
        ("5:cpu:/", {"/cpu/cpu.cfs_quota_us": "-1\n", "/cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("5:cpu:/", {"/cpu/cpu.cfs_quota_us": "100000\n", "/cpu/cpu.cfs_period_us": "0\n"}, None),
    ],
)
def test_cores_are_bounded_by_affinity_and_quota(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, group: str, files: dict[str, str], quota: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    tree.write("/proc/self/cgroup", f"{group}\n")
    for path, text in files.items():
        tree.write(f"/sys/fs/cgroup{path}", text)
    assert system.cores(tree.host()) == (quota or 6)


def test_the_processors_name_on_macos(mac: Tree) -> None:
    mac.program("/usr/sbin/sysctl", "echo $2")
    assert system.processor(mac.host()) == "machdep.cpu.brand_string"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Abacus 3000 @ 1 Hz \nmodel name\t: other\n", "Abacus 3000 @ 1 Hz"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", ""),
    ],
)
def test_the_processors_name_on_linux(tree: Tree, text: str, name: str) -> None:
    tree.write("/proc/cpuinfo", text)
    assert system.processor(tree.host()) == name

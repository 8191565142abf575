"""The operating system, the C library, memory and processors."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING

from devsetup.facts import Apple, Libc, OperatingSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.probe.host import Host

_CLT_PACKAGE = "com.apple.pkg.CLTools_Executables"


def operating_system(host: Host, notes: list[str]) -> OperatingSystem:
    """Which system this is: Linux from os-release (read by `distro`), macOS from sw_vers."""
    return _macos(host, notes) if host.macos else _linux(host, notes)


def _linux(host: Host, notes: list[str]) -> OperatingSystem:
    from distro import LinuxDistribution  # noqa: PLC0415 - heavy (argparse, logging), and macOS does not need it

    release = LinuxDistribution(
        include_lsb=False, include_uname=False, include_oslevel=False, root_dir=host.root or "/"
    )
    if not release.id():
        notes.append("no os-release file in /etc or /usr/lib: the distribution is unknown")
    return OperatingSystem(
        id=release.id() or "linux",
        version=release.version(),
        codename=release.codename(),
        name=release.name(pretty=True),
        like=tuple(release.like().split()),
    )


def _macos(host: Host, notes: list[str]) -> OperatingSystem:
    # Without the variable, a process of an old SDK is told 10.16 on macOS 11 and later, and 16.x on macOS 26.
    answer = host.ask(("/usr/bin/sw_vers", "-productVersion"), SYSTEM_VERSION_COMPAT="0")
    version = answer.output.strip()
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        notes.append(answer.problem or f"/usr/bin/sw_vers printed no version: {version[:80]!r}")
        version = ""
    major, _, rest = version.partition(".")
    if version == "10.16":
        notes.append("sw_vers says 10.16, which stands for macOS 11 or any later one; taken as 11")
        version = "11"
    elif major == "16":
        notes.append(f"sw_vers says {version}, which stands for macOS 26; there is no macOS 16")
        version = f"26.{rest}".rstrip(".")
    return OperatingSystem(id="macos", version=version, name=f"macOS {version}".rstrip())


def apple(host: Host, notes: list[str]) -> Apple | None:
    """Version of macOS's Command Line Tools (`pkgutil`) and SDK (`xcrun`); None elsewhere. Only stubs were run."""
    if not host.macos:
        return None
    if not host.developer_tools:  # xcrun would open a dialog that offers to install them
        return Apple()
    receipt, sdk = host.ask_each(
        (("/usr/sbin/pkgutil", f"--pkg-info={_CLT_PACKAGE}"), ("/usr/bin/xcrun", "--show-sdk-path"))
    )
    notes += [answer.problem for answer in (receipt, sdk) if answer.problem]
    version = re.search(r"^version:\s*(\S+)", receipt.output, re.MULTILINE)
    return Apple(clt=version.group(1) if version else "", sdk=sdk.output.strip())


def libc(host: Host, named: OperatingSystem, notes: list[str]) -> Libc | None:
    """The C library that programs of this machine are built for.

    glibc's version is that of the running interpreter's own (confstr); musl's loader prints its version when started
    without arguments. A Debian with musl installed beside glibc counts as glibc. macOS's has the version of macOS.
    """
    if host.macos:
        return Libc(family="libSystem", version=named.version)
    loaders = [f"{at}/{name}" for at in ("/lib", "/lib64") for name in host.names(at)]
    musl = next((path for path in loaders if re.search(r"/ld-musl-.*\.so\.1$", path)), "")
    if musl and not any("/ld-linux" in path for path in loaders):
        answer = host.ask((musl,))
        version = re.search(r"^Version (\S+)", answer.error, re.MULTILINE)
        if not version:
            notes.append(answer.problem or f"{musl} printed no version")
        return Libc(family="musl", version=version.group(1) if version else "")
    family, _, number = _glibc().partition(" ")
    if family != "glibc":
        notes.append("the C library is unknown: confstr does not name glibc, and there is no musl loader in /lib")
        return None
    return Libc(family=family, version=number)


def _glibc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def memory_mb(host: Host, notes: list[str]) -> int:
    """Physical memory in MiB, or the lowest limit of the cgroups (v1 or v2) that hold this process; 0 if unknown."""
    total = _bytes_of_memory(host)
    if not total:
        notes.append("physical memory is unknown")
    limits = [
        int(text)
        for at in _cgroups(host, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := host.read(f"{at}/{name}").strip()).isdigit()
    ]
    return min([total, *limits] if total else limits, default=0) >> 20


def _bytes_of_memory(host: Host) -> int:
    if host.macos:
        size = host.ask(("/usr/sbin/sysctl", "-n", "hw.memsize")).output.strip()
        return int(size) if size.isdigit() else 0
    found = re.search(r"^MemTotal:\s+(\d+) kB", host.read("/proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) << 10 if found else 0


def processor(host: Host) -> str:
    """The processor's own name (`AMD EPYC 7763 64-Core Processor`); empty where the system does not tell it."""
    if host.macos:
        return host.ask(("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")).output.strip()
    found = re.search(r"^model name\s*:[ \t]*(.+)$", host.read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else ""


def cores(host: Host) -> int:
    """Processors that this process may use: its affinity, and the cgroups' quota rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    quotas = []
    for at in _cgroups(host, "cpu"):
        v1 = f"{host.read(f'{at}/cpu.cfs_quota_us')} {host.read(f'{at}/cpu.cfs_period_us')}"
        for text in (host.read(f"{at}/cpu.max"), v1):
            quota, _, period = " ".join(text.split()).partition(" ")
            if quota.isdigit() and period.isdigit() and int(quota) and int(period):  # "max" and -1 are no limit
                quotas.append(math.ceil(int(quota) / int(period)))
    return min([allowed, *quotas])


def _cgroups(host: Host, controller: str) -> Iterator[str]:
    """Directories of the cgroups that bind this process, from its own up to the top.

    Inside a container the path in /proc/self/cgroup may be the host's; then only the top exists, and it is ours.
    """
    for line in host.read("/proc/self/cgroup").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = f"/sys/fs/cgroup/{controllers}".rstrip("/")
        steps = [step for step in group.split("/") if step]
        yield from ("/".join([mount, *steps[:depth]]) for depth in range(len(steps), -1, -1))

"""NVIDIA's GPUs and driver. libcuda is loaded only in a child process, and only where there is one."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import DevsetupError
from devsetup.facts import Driver, Gpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.probe.host import Host

_LIBRARY = "libcuda.so.1"
# A driver has a number of three digits; WSL's libcuda.so.1.1 has none in its name.
_FILE = re.compile(r"/libcuda\.so\.(\d{3,}(?:\.\d+)+)$")
_KERNEL = re.compile(r"^NVRM version:.*?\s(\d{3,}(?:\.\d+)+)\s", re.MULTILINE)
_NVIDIA = "0x10de"
_DISPLAY = ("0x0300", "0x0302")  # VGA and 3D controllers; NVIDIA's audio, USB and bridges have other classes
# The driver may have to wake its GPUs first, which takes seconds.
_ANSWER_S = 10.0
_TIMED_OUT = 124
# CUresult in cuda.h, and 35, which only the runtime's cudaError_t has.
_MEANINGS = {
    2: "out of memory",
    3: "not initialised",
    34: "this is a stub to link against, not the driver's library",
    35: "the driver is too old",
    46: "the device is unavailable: another process has it to itself",
    100: "no CUDA-capable device is detected",
    101: "there is no such device",
    304: "a call to the operating system failed",
    802: "the system is not ready: a daemon that the driver needs does not run",
    803: "the kernel module and the library are of different versions",
    804: "this GPU does not support the forward compatibility that the library attempts",
    805: "the MPS server cannot be reached",
    999: "unknown error",
}


class _Device(msgspec.Struct, frozen=True):
    name: str
    address: str
    capability: str


class _Answer(msgspec.Struct, frozen=True):
    """What `driver_child` prints, or why it printed nothing."""

    version: int = 0
    code: int = 0
    devices: tuple[_Device, ...] = ()
    problem: str = ""


def nvidia(host: Host, multiarch: str, *, timeout_s: float = _ANSWER_S) -> tuple[tuple[Gpu, ...], Driver | None]:
    """NVIDIA's GPUs and driver. Neither is needed to compile, so that their absence is no note.

    GPUs are PCI display devices of NVIDIA's, and those that only the driver names; under WSL, which has no such PCI
    device, `/dev/dxg` stands for one. The driver is its kernel module and its libcuda.so.1.

    Args:
        host: the machine.
        multiarch: Debian's triple, in whose library directory the driver may be.
        timeout_s: for libcuda's answer; what crashes, hangs or refuses becomes `Driver.problem`.
    """
    addresses = tuple(_pci(host))
    library = _library(host, multiarch)
    module = _module(host)
    answer = _ask(host, library, timeout_s) if library else _Answer()
    gpus = _merged(addresses, answer.devices) or ((Gpu(),) if host.exists("/dev/dxg") else ())
    if not library and not module:
        return gpus, None
    version = _FILE.search(host.resolve(library)) if library else None
    driver = Driver(
        module=module,
        library=version.group(1) if version else "",
        cuda=f"{answer.version // 1000}.{answer.version % 1000 // 10}" if answer.version else "",
        problem=_problem(answer) if library else f"there is a kernel module, but no {_LIBRARY} where the loader looks",
    )
    return gpus, driver


def _pci(host: Host) -> Iterator[str]:
    devices = "/sys/bus/pci/devices"
    for address in host.names(devices):
        if host.read(f"{devices}/{address}/vendor").strip() == _NVIDIA:
            kind = host.read(f"{devices}/{address}/class")
            if kind.startswith(_DISPLAY):
                yield address


def _merged(addresses: tuple[str, ...], devices: tuple[_Device, ...]) -> tuple[Gpu, ...]:
    """The devices of the bus, described by the driver where it knows them, then those that only the driver knows."""
    known = {device.address: device for device in devices}
    on_bus = (
        Gpu(address=at, name=known[at].name, capability=known[at].capability) if at in known else Gpu(address=at)
        for at in addresses
    )
    others = (
        Gpu(name=device.name, capability=device.capability) for device in devices if device.address not in addresses
    )
    return (*on_bus, *others)


def _module(host: Host) -> str:
    if version := host.read("/sys/module/nvidia/version").strip():
        return version
    found = _KERNEL.search(host.read("/proc/driver/nvidia/version"))
    return found.group(1) if found else ""


def _library(host: Host, multiarch: str) -> str:
    """Path of the libcuda.so.1 that the loader would take; empty when there is none.

    Like the loader, it passes over a library of the other word size: Debian lists i386's directory before amd64's.
    """
    other = "\x7fELF\x01" if sys.maxsize > 1 << 32 else "\x7fELF\x02"
    paths = (f"{directory}/{_LIBRARY}" for directory in _directories(host, multiarch))
    return next((path for path in paths if host.exists(path) and not host.read(path).startswith(other)), "")


def _directories(host: Host, multiarch: str) -> Iterator[str]:
    yield from (entry for entry in re.split("[:;]", host.environ.get("LD_LIBRARY_PATH", "")) if entry.startswith("/"))
    parts = (f"/etc/ld.so.conf.d/{name}" for name in host.names("/etc/ld.so.conf.d") if name.endswith(".conf"))
    for file in ("/etc/ld.so.conf", *parts):
        lines = (line.partition("#")[0].strip() for line in host.read(file).splitlines())
        yield from (line for line in lines if line.startswith("/"))
    yield from (f"/lib/{multiarch}", f"/usr/lib/{multiarch}", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
    yield "/usr/lib/wsl/lib"


def _ask(host: Host, library: str, timeout_s: float) -> _Answer:
    child = str(Path(__file__).with_name("driver_child.py"))
    # The variable hides GPUs from programs; what is in the machine is asked.
    env = {name: value for name, value in host.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    argv = (sys.executable, "-I", "-S", child, host.real(library))
    try:
        done = host.runner.capture(argv, env=env, timeout_s=timeout_s)
    except (DevsetupError, OSError) as error:
        return _Answer(problem=f"it could not be asked: {error}")
    if done.returncode == _TIMED_OUT:
        return _Answer(problem=f"{library} did not answer within {timeout_s:g} s")
    if done.returncode < 0:
        return _Answer(problem=f"{library} crashed when it was asked: {signal.strsignal(-done.returncode)}")
    try:
        return msgspec.json.decode(done.output, type=_Answer)
    except msgspec.MsgspecError:
        said = (done.error or done.output).strip()[-80:]
        return _Answer(problem=f"{library} gave no answer (status {done.returncode}): {said!r}")


def _problem(answer: _Answer) -> str:
    if not answer.code:
        return answer.problem
    return f"cuInit says {answer.code}: {_MEANINGS.get(answer.code, 'see CUresult in cuda.h')}"

"""NVIDIA's GPUs and their driver: which there are, and whether they answer."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import TYPE_CHECKING

from devsetup.doctor.checks.gpu.common import answers, broken, hosts_gpus, in_container, wsl
from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.remedies import concerning, installation, is_macos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Driver, Gpu

_PCI = "/sys/bus/pci/devices"
_REBUILD_INITRAMFS = {
    "apt": "sudo update-initramfs -u",
    "dnf": "sudo dracut --force",
    "pacman": "sudo mkinitcpio -P",
}
# libgpuarray opens libnvrtc by the version that the driver speaks: libgpuarray issues 472 and 553.
_ASKS_THE_DRIVER = ("libgpuarray", "theano")
_OVERRIDE = "GPUARRAY_CUDA_VERSION"


def present(exam: Exam) -> Iterator[Finding]:
    """Which NVIDIA GPUs there are. None is no fault: a machine that only compiles has none."""
    gpus = exam.facts.gpus
    if gpus:
        kinds = Counter(map(_described, gpus))
        yield Finding(
            status="ok",
            summary="; ".join(f"{kind}{f' ({count} of them)' if count > 1 else ''}" for kind, count in kinds.items()),
            detail=tuple(f"{gpu.address}: {_described(gpu)}" for gpu in gpus) if len(gpus) > 1 else (),
            evidence=tuple(Evidence(source=f"{_PCI}/{gpu.address}", value="0x10de") for gpu in gpus if gpu.address),
        )
    elif exam.cuda_wanted:
        yield Finding(
            status="warn",
            summary=f"no NVIDIA GPU here: it can be compiled for one, and not run on one{concerning(exam.cuda_wanted)}",
            evidence=(Evidence(source=_PCI, value="no display device of vendor 0x10de"),),
            fix=Fix(text="run it on a machine with a GPU, or build it for the processor alone: --option cuda=off"),
        )
    elif not is_macos(exam):
        yield Finding(status="info", summary="no NVIDIA GPU")


def _described(gpu: Gpu) -> str:
    capability = f", compute capability {gpu.capability}" if gpu.capability else ""
    return f"{gpu.name or 'NVIDIA GPU'}{capability}"


def nouveau(exam: Exam) -> Iterator[Finding]:
    """Whether the kernel's own driver holds a GPU: NVIDIA's cannot have it then, and CUDA needs NVIDIA's."""
    held = _held_by_nouveau(exam)
    if not held:
        return
    rebuild = _REBUILD_INITRAMFS.get(exam.facts.package_manager)
    yield Finding(
        status="fail" if exam.cuda_wanted else "info",
        summary=f"the GPU at {', '.join(held)} is driven by nouveau, with which CUDA does not work"
        + concerning(exam.cuda_wanted),
        evidence=tuple(Evidence(source=f"{_PCI}/{address}/driver", value="nouveau") for address in held),
        fix=Fix(
            text="install NVIDIA's driver (most distributions' packages of it turn nouveau off); where nouveau still "
            "comes first, turn it off with these lines; restart the machine",
            commands=(
                "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | sudo tee /etc/modprobe.d/no-nouveau.conf",
                *((rebuild,) if rebuild else ()),
            ),
            needs_root=True,
        ),
    )


def _held_by_nouveau(exam: Exam) -> tuple[str, ...]:
    links = ((gpu.address, exam.host.link(f"{_PCI}/{gpu.address}/driver")) for gpu in exam.facts.gpus)
    return tuple(address for address, link in links if posixpath.basename(link) == "nouveau")


def driver(exam: Exam) -> Iterator[Finding]:
    """Whether NVIDIA's driver is whole: its kernel module and its libcuda.so.1, and both answer."""
    found = exam.facts.driver
    if found is None:
        if exam.facts.gpus and not _held_by_nouveau(exam) and not wsl(exam):
            yield _no_driver(exam)
    elif found.cuda and not found.problem:
        yield Finding(status="ok", summary=f"{_name(found)} speaks CUDA {found.cuda}")
    elif found.module and not found.library:
        yield _no_library(exam, found)
    elif not found.module and not wsl(exam):
        yield _no_module(exam, found)
    elif found.problem and not _skewed(found):
        yield Finding(
            status=broken(exam),
            summary=f"{_name(found)} does not answer: {found.problem}" + concerning(exam.cuda_wanted),
            evidence=_versions(found),
            fix=Fix(
                text="see the lines on device files, if any; else look for NVRM in the kernel's log",
                commands=("sudo dmesg | grep -i nvrm",),
                needs_root=True,
            ),
        )


def _name(found: Driver) -> str:
    version = found.module or found.library
    return f"driver {version}" if version else "libcuda.so.1"


def _no_driver(exam: Exam) -> Finding:
    inside = in_container(exam)
    return Finding(
        status="fail" if exam.cuda_wanted else "info",
        summary="there is an NVIDIA GPU, and no driver of NVIDIA's: CUDA programs compile here, and do not run"
        + concerning(exam.cuda_wanted),
        evidence=(
            Evidence(source="/sys/module/nvidia/version", value="absent"),
            Evidence(source="libcuda.so.1", value="not where the loader looks"),
        ),
        fix=hosts_gpus() if inside else _driver_package(exam, "install NVIDIA's driver, then restart the machine"),
    )


def _no_library(exam: Exam, found: Driver) -> Finding:
    inside = in_container(exam)
    return Finding(
        # A container that was started without GPUs was meant to have none, as far as anybody knows.
        status="info" if inside and not exam.cuda_wanted else broken(exam),
        summary=f"the kernel module {found.module} is loaded, and there is no libcuda.so.1 that answers: CUDA "
        f"programs do not start{concerning(exam.cuda_wanted)}",
        evidence=_versions(found),
        fix=hosts_gpus()
        if inside
        else _driver_package(exam, f"install the libraries of driver {found.module}, the same version as the module"),
    )


def _no_module(exam: Exam, found: Driver) -> Finding:
    name = f"libcuda.so.1{f' ({found.library})' if found.library else ''}"
    if not exam.facts.gpus:
        return Finding(
            status="info",
            summary=f"{name} is installed, and there is no kernel module and no GPU that it could drive: CUDA programs "
            "compile and link here, and do not run",
            evidence=_versions(found),
        )
    return Finding(
        status=broken(exam),
        summary=f"{name} is installed, and NVIDIA's kernel module is not loaded: CUDA programs find no GPU"
        + concerning(exam.cuda_wanted),
        evidence=_versions(found),
        fix=Fix(
            text="load it; when there is none for this kernel, install the kernel's headers and NVIDIA's driver again; "
            "when Secure Boot refuses it (`dmesg` says so), sign it or turn Secure Boot off",
            commands=("sudo modprobe nvidia",),
            needs_root=True,
        ),
    )


def _driver_package(exam: Exam, text: str) -> Fix:
    debian = exam.facts.os.id == "debian"  # its package is in the component non-free, under one name in every release
    return installation(exam, text, ("nvidia-driver",)) if debian else Fix(text=text)


def _versions(found: Driver) -> tuple[Evidence, ...]:
    return (
        Evidence(source="/sys/module/nvidia/version", value=found.module or "absent"),
        Evidence(source="libcuda.so.1", value=found.library or "no version in the name of its file"),
        *((Evidence(source="cuInit", value=found.problem),) if found.problem else ()),
    )


def skew(exam: Exam) -> Iterator[Finding]:
    """Whether the loaded kernel module and libcuda are of one version: an upgrade without a restart parts them."""
    found = exam.facts.driver
    if not (found and _skewed(found)):
        return
    if answers(found):
        yield Finding(
            status="info",
            summary=f"kernel module {found.module} with libcuda {found.library}: forward compatibility, and it works",
            evidence=_versions(found),
        )
        return
    yield Finding(
        status=broken(exam),
        summary=f"kernel module {found.module}, libcuda {found.library}: they must be of one version, so every CUDA "
        f"program fails{concerning(exam.cuda_wanted)}",
        evidence=_versions(found),
        fix=Fix(
            text="this is a container: remove NVIDIA's driver packages from its image, for its host brings the library"
        )
        if in_container(exam)
        else Fix(
            text="restart the machine, so that the module of the installed version is loaded",
            commands=("sudo reboot",),
            needs_root=True,
        ),
    )


def _skewed(found: Driver) -> bool:
    return bool(found.module and found.library) and found.module != found.library


def nvrtc(exam: Exam) -> Iterator[Finding]:
    """Whether libgpuarray looks for the libnvrtc that is here: it goes by the driver's CUDA, not the toolkit's."""
    found, toolkit = exam.facts.driver, exam.facts.toolkit
    if not (found and found.cuda and toolkit) or found.cuda == toolkit or exam.host.environ.get(_OVERRIDE):
        return
    parts = {part.name: part for part in (*(receipt.part for receipt in exam.receipts), *exam.wanted)}
    users = [parts[name] for name in _ASKS_THE_DRIVER if name in parts]
    if not users or any(env.name == _OVERRIDE for part in parts.values() for env in part.activation):
        return
    yield Finding(
        status="warn",
        summary=f"{users[0].name} looks for NVRTC of CUDA {found.cuda}, which is what the driver speaks, and the "
        f"toolkit is CUDA {toolkit}: pygpu.init fails unless it is told",
        evidence=(
            Evidence(source="cuDriverGetVersion", value=found.cuda),
            Evidence(source="CUDA toolkit", value=toolkit),
        ),
        fix=Fix(
            text="tell it the toolkit's version",
            commands=(f"export {_OVERRIDE}={toolkit.replace('.', '')}",),
        ),
    )

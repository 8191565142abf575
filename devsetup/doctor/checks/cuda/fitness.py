"""Whether toolkit, driver, GPU and cuDNN fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup.building import GPU_ARCHS, archs_for, gpu_archs
from devsetup.doctor.checks.cuda.tables import OWN_DRIVERS, least_driver, own_driver
from devsetup.doctor.finding import Evidence, Finding, Fix, Status
from devsetup.doctor.remedies import concerning
from devsetup.when import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Driver, Facts, Gpu
    from devsetup.plan import Part


class _Toolkit(msgspec.Struct, frozen=True):
    """A toolkit that something is, or would be, compiled with: its version, for whom, and how bad a misfit is."""

    version: str
    users: tuple[str, ...]
    misfit: Status


def driver_too_old(exam: Exam) -> Iterator[Finding]:
    """Whether the driver is new enough for the toolkits in use."""
    driver = exam.facts.driver
    version = (driver.library or driver.module) if driver else ""
    if driver is None or not version:
        return
    for toolkit in _in_use(exam):
        if driver.cuda and not satisfies(toolkit.version, f">{driver.cuda}"):
            continue
        finding = _judged(toolkit, version, driver)
        if finding:
            yield finding


def _judged(toolkit: _Toolkit, version: str, driver: Driver) -> Finding | None:
    least, own = least_driver(toolkit.version), own_driver(toolkit.version)
    evidence = (
        Evidence(source="NVIDIA's driver", value=version),
        *((Evidence(source="cuDriverGetVersion", value=driver.cuda),) if driver.cuda else ()),
    )
    if (least and satisfies(version, f"<{least}")) or (not least and driver.cuda):
        have = f"{version} is here" + (f", which speaks up to CUDA {driver.cuda}" if driver.cuda else "")
        return Finding(
            status=toolkit.misfit,
            summary=f"CUDA {toolkit.version} needs {f'driver {least} or newer' if least else 'a newer driver'}, and "
            f"{have}: its programs find no usable GPU{_for(toolkit)}",
            evidence=evidence,
            fix=Fix(text=f"install a newer driver, or use {_toolkit_for(version)}"),
        )
    if own and satisfies(version, f"<{own}"):
        return Finding(
            status="info",
            summary=f"CUDA {toolkit.version} was made for driver {own}, and {version} is here: its programs run "
            f"where they were compiled for this very GPU, and their PTX is not translated{_for(toolkit)}",
            evidence=evidence,
        )
    return None


def _toolkit_for(driver: str) -> str:
    """The newest toolkit whose own driver is not newer than this one."""
    fitting = [toolkit for toolkit, own in OWN_DRIVERS if satisfies(driver, f">={own}")]
    return f"CUDA {fitting[-1]} or older" if fitting else "an older CUDA toolkit"


def arch(exam: Exam) -> Iterator[Finding]:
    """Whether the toolkits in use compile for the GPUs here, and installs were compiled for them."""
    kinds = {(gpu.name, gpu.capability): gpu for gpu in exam.facts.gpus if gpu.capability}
    for toolkit in _in_use(exam):
        for gpu in kinds.values():
            finding = _compiled_for(toolkit, gpu, exam.facts)
            if finding:
                yield finding
    for part, status in _built_for(exam):
        wanted = part.options["gpu"]
        for gpu in kinds.values():
            if satisfies(gpu.capability, f"<{_capability(wanted)}"):
                yield Finding(
                    status=status,
                    summary=f"{part.name} is for GPUs of compute capability {_capability(wanted)} and newer "
                    f"(--option gpu={wanted}), and does not run on {_named(gpu)}",
                    evidence=(Evidence(source=f"option gpu of {part.name}", value=wanted),),
                    fix=Fix(
                        text="build it for the GPUs of this machine",
                        commands=(f"devsetup install {part.name} --option cuda=on --option gpu=auto",),
                    ),
                )


def _compiled_for(toolkit: _Toolkit, gpu: Gpu, facts: Facts) -> Finding | None:
    archs = gpu_archs(toolkit.version)
    evidence = (
        Evidence(source="compute capability", value=gpu.capability),
        Evidence(source=f"CUDA {toolkit.version} compiles for", value=", ".join(map(_capability, archs))),
    )
    if not _knows(toolkit.version, gpu, facts):
        able = [each for each, _ in OWN_DRIVERS if _knows(each, gpu, facts)]
        return Finding(
            status=toolkit.misfit,
            summary=f"{_named(gpu)} is too old for CUDA {toolkit.version}, which compiles for {_capability(archs[0])} "
            f"and newer: its programs do not run here{_for(toolkit)}",
            evidence=evidence,
            fix=Fix(text=f"use CUDA {able[-1]}, the last that compiles for it") if able else None,
        )
    if _generation(gpu.capability) > _generation(_capability(archs[-1])):
        return Finding(
            status="info",
            summary=f"{_named(gpu)} is newer than all that CUDA {toolkit.version} compiles for: programs run if they "
            f"hold PTX, which the driver translates when they first start{_for(toolkit)}",
            evidence=evidence,
        )
    return None


def _knows(toolkit: str, gpu: Gpu, facts: Facts) -> bool:
    return bool(archs_for(msgspec.structs.replace(facts, gpus=(gpu,)), toolkit))


def _generation(capability: str) -> int:
    return int(capability.partition(".")[0])


def _named(gpu: Gpu) -> str:
    return f"{gpu.name or gpu.address or 'the GPU'} (compute capability {gpu.capability})"


def _capability(number: str) -> str:
    """`9.0` for the architecture `90`."""
    return f"{number[:-1]}.{number[-1]}"


def _built_for(exam: Exam) -> Iterator[tuple[Part, Status]]:
    """Parts that are compiled for one kind of GPU alone, and how bad it is when that is not here."""
    asked: Iterator[tuple[Part, Status]] = ((part, "fail") for part in exam.wanted)
    installed: Iterator[tuple[Part, Status]] = ((receipt.part, "warn") for receipt in exam.cuda_installed)
    for part, status in (*asked, *installed):
        if part.options.get("cuda") == "on" and part.options.get("gpu") in GPU_ARCHS:
            yield part, status


def cudnn(exam: Exam) -> Iterator[Finding]:
    """Whether cuDNN is there for what asks for it."""
    found = exam.facts.libraries.get("cudnn")
    users = tuple(sorted({part.name for part in exam.wanted if part.options.get("cudnn") == "on"}))
    if found and found.installed:
        yield Finding(status="ok", summary=f"cuDNN {found.version}")
    elif users:
        places = "the toolkit, /usr/include, CONDA_PREFIX and NVIDIA's wheels"
        yield Finding(
            status="fail",
            summary=f"no cuDNN: there is no cudnn.h or cudnn_version.h in {places}{concerning(users)}",
            fix=Fix(text="install cuDNN 7 (Caffe calls functions that cuDNN 8 took away), or use --option cudnn=off"),
        )


def _in_use(exam: Exam) -> tuple[_Toolkit, ...]:
    """The toolkits of what is asked about, else those of what is installed, else the one that wins here."""
    if exam.cuda_wanted:
        version = _own(exam.wanted) or exam.facts.toolkit
        return (_Toolkit(version, exam.cuda_wanted, "fail"),) if version else ()
    users: dict[str, list[str]] = {}
    for receipt in exam.cuda_installed:
        parts = (receipt.part, *(other.part for other in exam.receipts if other.key in receipt.part.needs))
        users.setdefault(_own(parts) or receipt.facts.toolkit, []).append(receipt.name)
    users.pop("", None)
    if users:
        return tuple(_Toolkit(version, tuple(dict.fromkeys(names)), "warn") for version, names in users.items())
    return (_Toolkit(exam.facts.toolkit, (), "info"),) if exam.facts.toolkit else ()


def _own(parts: Iterable[Part]) -> str:
    """The version of the toolkit that devsetup's own recipe makes; empty when these do without it."""
    return next((part.options.get("cuda-version", "") for part in parts if part.name == "cuda"), "")


def _for(toolkit: _Toolkit) -> str:
    if toolkit.misfit == "fail":
        return concerning(toolkit.users)
    return f" (installed: {', '.join(toolkit.users)})" if toolkit.users else ""

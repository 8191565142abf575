"""Linear algebra: which BLAS programs are linked to and load, and OpenMP runtimes that do not get on."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.loading import files, machine_loader, search
from devsetup.doctor.remedies import installation, packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.plan import Part
    from devsetup.receipts import Receipt
    from devsetup.verify.loader import System

_NAMES = {
    "openblas": "OpenBLAS",
    "atlas": "ATLAS",
    "mkl": "MKL",
    "blis": "BLIS",
    "flexiblas": "FlexiBLAS",
    "accelerate": "Accelerate",
    "reference": "the reference BLAS",
}
_LOADED, _LINKED = "libblas.so.3", "libblas.so"
_OPENMP = re.compile(r"lib(iomp5|omp5?|gomp)(?:-[0-9a-f]+)?\.so")
_INTEL = re.compile(r"libiomp5(?:-[0-9a-f]+)?\.so")
_READING_S = 20.0


def which(exam: Exam) -> Iterator[Finding]:
    """Which BLAS the plain names lead to, through Debian's alternatives; and which one is asked for."""
    facts = exam.facts
    asked = tuple(f"{part.name} is linked to {_NAMES.get(name, name)}" for part, name in _chosen(exam))
    accelerate = next((blas for blas in facts.blas if blas.name == "accelerate"), None)
    if accelerate:
        yield Finding(status="ok", summary=f"Accelerate, in {accelerate.path}", detail=asked)
        return
    loaded, linked = _plain(exam, _LOADED), _plain(exam, _LINKED)
    found = loaded or linked
    if not found:
        if asked:
            yield Finding(status="ok", summary=f"no BLAS under its plain name; {'; '.join(asked)}")
        return
    seen = tuple(Evidence(source=path, value=exam.host.resolve(path)) for path in (loaded, linked) if path)
    name = _implementation(exam, found)
    if loaded and linked and _implementation(exam, linked) != name:
        yield Finding(
            status="info",
            summary=f"-lblas links to {_NAMES[_implementation(exam, linked)]} and programs load {_NAMES[name]}: two "
            "alternatives that were set apart; both have the same functions",
            detail=asked,
            evidence=seen,
            fix=_choose(exam, linked),
        )
    elif name == "reference":
        others = sorted({_NAMES.get(blas.name, blas.name) for blas in facts.blas if blas.name != "reference"})
        yield Finding(
            status="info",
            summary=f"{posixpath.basename(found)} is the reference BLAS, many times slower than OpenBLAS: NumPy and R "
            "of the distribution use it"
            + (f", though {', '.join(others)} is installed" if others else "")
            + (f"; {'; '.join(asked)}" if asked else ""),
            evidence=seen,
            fix=_choose(exam, found)
            if others
            else installation(exam, "install OpenBLAS, which then comes first by itself", packages(exam, "openblas")),
        )
    else:
        yield Finding(
            status="ok", summary=f"{posixpath.basename(found)} is {_NAMES[name]}", detail=asked, evidence=seen
        )


def _chosen(exam: Exam) -> Iterator[tuple[Part, str]]:
    return ((part, part.options["blas"]) for part in exam.wanted if "blas" in part.options)


def _plain(exam: Exam, name: str) -> str:
    """Where a plain name is, the loader's directories in their order; empty when it leads nowhere."""
    directories = (f"/usr/lib/{exam.facts.multiarch}", "/usr/lib64", "/usr/lib")
    return next((path for path in (f"{each}/{name}" for each in directories) if exam.host.exists(path)), "")


def _implementation(exam: Exam, path: str) -> str:
    """Which BLAS a file is, by its name and its directory's; one that says nothing is Netlib's own."""
    file = exam.host.resolve(path)
    near = f"{posixpath.basename(posixpath.dirname(file))}/{posixpath.basename(file)}".lower()
    return next((name for name in _NAMES if name in near), "reference")


def _choose(exam: Exam, path: str) -> Fix:
    name = posixpath.basename(path)
    alternative = f"{name}-{exam.facts.multiarch}"
    if exam.host.exists(f"/etc/alternatives/{alternative}"):
        return Fix(
            text="choose one",
            commands=(f"sudo update-alternatives --config {alternative}",),
            needs_root=True,
        )
    return Fix(text=f"let {path} lead to the one that you want, by its package")


def openmp(exam: Exam) -> Iterator[Finding]:
    """Whether an install loads Intel's OpenMP runtime beside another one."""
    where = machine_loader(exam.host)
    for receipt in exam.receipts:
        # The walk takes a second for each install, and Intel's runtime is on few machines.
        if not (_named(_INTEL, os.walk(receipt.prefix)) or _somewhere(exam, where)):
            continue
        runtimes = _runtimes(exam, receipt, where)
        intel = next((name for name in runtimes if _INTEL.match(name)), "")
        others = [name for name in runtimes if not _INTEL.match(name)]
        if intel and others:
            llvm = any(name.startswith("libomp") for name in others)
            yield Finding(
                status="warn",
                summary=f"{receipt.name} loads {intel} and {', '.join(sorted(others))}: "
                + (
                    "Intel's and LLVM's OpenMP in one process crash or hang"
                    if llvm
                    else "two OpenMP runtimes in one process start twice the threads, and may hang"
                ),
                detail=tuple(f"{name}: loaded by {by}" for name, by in sorted(runtimes.items())),
                fix=Fix(
                    text="let MKL use GNU's runtime; better, take all packages with OpenMP from one provider",
                    commands=("export MKL_THREADING_LAYER=GNU",),
                ),
            )


def _somewhere(exam: Exam, where: System) -> bool:
    """Whether Intel's runtime is where the loader looks, or MKL is here, which brings it."""
    if any(blas.name == "mkl" for blas in exam.facts.blas):
        return True
    return _named(_INTEL, ((place, (), _names(place)) for place in (*where.configured, *where.defaults)))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are wanted, not Path objects
    except OSError:
        return []


def _named(pattern: re.Pattern[str], walked: Iterable[tuple[str, object, Iterable[str]]]) -> bool:
    return any(pattern.match(name) for _, _, names in walked for name in names)


def _runtimes(exam: Exam, receipt: Receipt, where: System) -> dict[str, str]:
    """The OpenMP runtimes that the files of an install load, by name, with who needs each first."""
    looker = search(exam, receipt, where)
    found: dict[str, str] = {}
    for path, file in files(receipt):
        for loaded in looker.load(path, file)[0]:
            name = posixpath.basename(loaded.path)
            if _OPENMP.match(name) and loaded.by:
                found.setdefault(name, loaded.by.path)
    return found


CHECKS: tuple[Check, ...] = (
    Check(id="blas.which", about="the BLAS that programs are linked to, and load", run=which),
    Check(
        id="blas.openmp",
        about="two OpenMP runtimes in one program",
        run=openmp,
        only="linux",
        timeout_s=_READING_S,
    ),
)

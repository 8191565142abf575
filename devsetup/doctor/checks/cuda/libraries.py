"""Whether installs find the CUDA libraries that they were linked to, and the same ones throughout."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.doctor.finding import Evidence, Finding, Fix
from devsetup.doctor.loading import files, inside, machine_loader, search, users_path
from devsetup.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Cuda
    from devsetup.verify.elf import Elf
    from devsetup.verify.loader import Missing, System

# A toolkit's libraries and cuDNN. libcuda is the driver's, and its checks speak of it.
_CUDA = re.compile(
    r"lib(?:cu(?:dart|blas|blasLt|rand|fft|fftw|sparse|solver|dnn\w*|pti)|nv(?:rtc|jpeg|JitLink|ToolsExt|blas)|npp\w+)"
    r"(?:-[0-9a-f]+)?\.so\.\d"
)
_RUNTIME = re.compile(r"libcudart(?:-[0-9a-f]+)?\.so\.(\d+)(?:\.(\d+))?")
# Each name above has one of these.
_HINTS = (b"libcu", b"libnv", b"libnpp")
_ONE_NUMBER_SINCE = 11  # libcudart.so.10.1 is another runtime than 10.2's; 11.0's name stays for all of 11
_OTHERS_CARE = ("wheels of", "CONDA_PREFIX")


class _Lack(msgspec.Struct, frozen=True):
    """A CUDA library that an install needs and does not get.

    Attributes:
        by: the file that needs it, relative to the prefix where it lies in there.
        at: a directory that has it all the same; empty when none is known.
        others: files of it in other versions.
    """

    receipt: Receipt
    name: str
    by: str
    at: str
    others: tuple[str, ...]


def loading(exam: Exam) -> Iterator[Finding]:
    """Whether the loader looks where the CUDA libraries are that installs need."""
    where = machine_loader(exam.host)
    hidden: dict[tuple[str, str], list[_Lack]] = {}
    for lack in _lacks(exam, where):
        if lack.at:
            hidden.setdefault((lack.receipt.key, lack.at), []).append(lack)
    for (_, directory), lacks in hidden.items():
        yield _hidden(exam, directory, lacks, where)
    chosen = next((candidate for candidate in exam.facts.cuda if candidate.chosen and candidate.libdir), None)
    if not hidden and chosen and not chosen.origin.startswith(_OTHERS_CARE) and not _covered(exam, chosen, where):
        yield Finding(
            status="info",
            summary=f"the loader does not look into {chosen.libdir}: what devsetup builds has a run path that leads "
            "there, and what you link by hand needs one too",
            evidence=(Evidence(source="ld.so.conf", value=", ".join(inside(exam.host, d) for d in where.configured)),),
            fix=Fix(text=f"when you link by hand, add -Wl,-rpath,{chosen.libdir}"),
        )


def _hidden(exam: Exam, directory: str, lacks: list[_Lack], where: System) -> Finding:
    shown = inside(exam.host, directory)
    first, name = lacks[0], lacks[0].receipt.name
    by_variable = _same(directory, users_path(exam.host))
    configured = _same(directory, where.configured)
    why = "ldconfig has not run since it came there" if configured else "the loader does not look there"
    consequence = "it loads while LD_LIBRARY_PATH names that" if by_variable else f"{first.by} does not load"
    return Finding(
        status="info" if by_variable else "fail",
        summary=f"{name} needs {first.name}, which is in {shown}, and {why}: {consequence}",
        detail=tuple(f"{lack.name}: needed by {lack.by}" for lack in lacks),
        evidence=(
            Evidence(source=shown, value=first.name),
            Evidence(source="ld.so.conf", value=", ".join(inside(exam.host, d) for d in where.configured) or "empty"),
        ),
        fix=Fix(text="build it again", commands=(f"devsetup install --rebuild {name}",))
        if directory in _own(exam)
        else _remedies(name, shown, configured=configured),
    )


def _remedies(name: str, directory: str, *, configured: bool) -> Fix:
    """Best first. `sudo ldconfig DIR` is undone by the next ldconfig, and in `sudo echo > FILE` the shell opens it."""
    toolkit = posixpath.basename(re.sub(r"/(?:lib64|lib|targets/.*)$", "", directory)).replace(".", "-")
    file = f"/etc/ld.so.conf.d/{toolkit if toolkit.startswith('cuda') else f'cuda-{toolkit}'}.conf"
    configure = "sudo ldconfig" if configured else f"echo {directory} | sudo tee {file} && sudo ldconfig"
    return Fix(
        text="build it again, so that its own run path leads there; or let the loader look there for every program; "
        "or, as the last resort, for programs of one shell alone (sudo, cron and desktops drop the variable)",
        commands=(
            f"devsetup install --rebuild {name}",
            configure,
            f'export LD_LIBRARY_PATH={directory}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"',
        ),
        needs_root=True,
    )


def _covered(exam: Exam, toolkit: Cuda, where: System) -> bool:
    looked_at = (*where.configured, *where.defaults, *users_path(exam.host))
    return _same(exam.host.real(toolkit.libdir), looked_at)


def soname(exam: Exam) -> Iterator[Finding]:
    """Whether CUDA libraries are here in the versions that installs were linked to."""
    gone: dict[str, list[_Lack]] = {}
    for lack in _lacks(exam, machine_loader(exam.host)):
        if not lack.at:
            gone.setdefault(lack.receipt.key, []).append(lack)
    for lacks in gone.values():
        first, name = lacks[0], lacks[0].receipt.name
        others = tuple(dict.fromkeys(inside(exam.host, path) for lack in lacks for path in lack.others))
        have = f"only {', '.join(map(posixpath.basename, others))} is here" if others else "no version of it is here"
        yield Finding(
            status="fail",
            summary=f"{name} was linked to {first.name}, and {have}: {first.by} does not load",
            detail=tuple(f"{lack.name}: needed by {lack.by}" for lack in lacks),
            evidence=tuple(Evidence(source=posixpath.dirname(path), value=posixpath.basename(path)) for path in others),
            fix=Fix(
                text="build it again with the toolkit that is here now, or bring back the one it was built with",
                commands=(f"devsetup install --rebuild {name}",),
            ),
        )


def mixed(exam: Exam) -> Iterator[Finding]:
    """Whether one program loads two CUDA runtimes: each has contexts and streams of its own."""
    where = machine_loader(exam.host)
    for receipt in _linked(exam):
        if len(_runtimes(exam, receipt, where)) < 2:  # noqa: PLR2004 - two are needed to mix
            continue
        looker = search(exam, receipt, where)
        for path, file in _cuda_files(receipt).items():
            loaded = looker.load(path, file)[0]
            chains = {one.elf.soname or posixpath.basename(one.path): one.chain for one in loaded}
            runtimes = {version: name for name in chains if (version := _runtime(name))}
            if len(runtimes) > 1:
                names = sorted(runtimes.values())
                yield Finding(
                    status="warn",
                    summary=f"{receipt.name}: {_relative(receipt, path)} loads {' and '.join(names)}: two CUDA "
                    "runtimes in one process, which share nothing on the GPU",
                    detail=tuple(" needed by ".join(chains[name]) for name in names),
                    fix=Fix(
                        text="build the library that brings the other runtime, and this, with one toolkit",
                        commands=(f"devsetup install --rebuild {receipt.name}",),
                    ),
                )
                break


def _runtimes(exam: Exam, receipt: Receipt, where: System) -> set[str]:
    """The CUDA runtimes that anything here could load."""
    names = {name for toolkit in exam.facts.cuda if toolkit.libdir for name in exam.host.names(toolkit.libdir)}
    names |= {match.decode() for match in re.findall(rb"/(libcudart[^/\0]*)\0", where.cached)}
    prefixes = (receipt.prefix, *(str(exam.store.prefix(need)) for need in receipt.part.needs))
    names |= {name for prefix in prefixes for _, _, listed in os.walk(prefix) for name in listed}
    return {version for name in names if (version := _runtime(name))}


def _runtime(name: str) -> str:
    """Which CUDA runtime a file is, by its name; empty when it is none."""
    found = _RUNTIME.match(name)
    if not found:
        return ""
    major, minor = found.group(1), found.group(2) or "0"
    return major if int(major) >= _ONE_NUMBER_SINCE else f"{major}.{minor}"


def _linked(exam: Exam) -> tuple[Receipt, ...]:
    """Installs that are linked to CUDA; not the toolkit itself, whose files lie beside each other."""
    return tuple(receipt for receipt in exam.cuda_installed if receipt.name != "cuda")


def _lacks(exam: Exam, where: System) -> Iterator[_Lack]:
    for receipt in _linked(exam):
        for missing in _missing(exam, receipt, where):
            places = tuple(dict.fromkeys(_places(exam, where)))
            at = next((place for place in places if Path(place, missing.name).exists()), "")
            stem = missing.name.partition(".so")[0]
            others = (str(path) for place in places for path in sorted(Path(place).glob(f"{stem}.so.*")))
            by = _relative(receipt, missing.by.path)
            yield _Lack(receipt, missing.name, by, at, tuple(others))


def _places(exam: Exam, where: System) -> Iterator[str]:
    """Directories with CUDA libraries: toolkits, devsetup's own first, then where the loader looks."""
    yield from _own(exam)
    yield from (exam.host.real(toolkit.libdir) for toolkit in exam.facts.cuda if toolkit.libdir)
    yield from where.configured
    yield from where.defaults


def _own(exam: Exam) -> tuple[str, ...]:
    """Where devsetup's own toolkits have their libraries: no place for the loader to know, since it may go any day."""
    return tuple(f"{receipt.prefix}/lib" for receipt in exam.receipts if receipt.name == "cuda")


def _missing(exam: Exam, receipt: Receipt, where: System) -> Iterable[Missing]:
    """CUDA libraries that files of an install do not find; those that are there but do not fit are not meant."""
    looker = search(exam, receipt, where)
    linked = _cuda_files(receipt)
    found: dict[tuple[str, str], Missing] = {}
    for path, file in linked.items():
        slim = msgspec.structs.replace(file, needed=tuple(filter(_CUDA.match, file.needed)), requires=())
        for missing in looker.load(path, slim)[1]:
            if _CUDA.match(missing.name) and not missing.reason:
                found.setdefault((missing.name, os.path.realpath(missing.by.path)), missing)
    if not found:
        return ()
    # A program's DT_RPATH counts for the libraries that it loads, which a look at the library alone does not show.
    sonames = {file.soname or posixpath.basename(path) for path, file in linked.items() if not file.interpreter}
    for path, file in files(receipt, tuple(soname.encode() for soname in sonames)):
        if not sonames & set(file.needed):
            continue
        loaded, lacking = looker.load(path, file)
        still = {(missing.name, os.path.realpath(missing.by.path)) for missing in lacking}
        for one in loaded:
            for key in [(name, os.path.realpath(one.path)) for name in one.elf.needed]:
                if key not in still:
                    found.pop(key, None)
    return found.values()


def _cuda_files(receipt: Receipt) -> dict[str, Elf]:
    """The ELF files of an install that need a CUDA library."""
    return {path: file for path, file in files(receipt, _HINTS) if any(map(_CUDA.match, file.needed))}


def _relative(receipt: Receipt, path: str) -> str:
    real, root = os.path.realpath(path), os.path.realpath(receipt.prefix)
    return os.path.relpath(real, root) if real.startswith(f"{root}/") else path


def _same(directory: str, others: Iterable[str]) -> bool:
    real = os.path.realpath(directory)
    return any(os.path.realpath(other) == real for other in others)

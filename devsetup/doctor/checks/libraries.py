"""Shared libraries: does what is installed find those that it needs, and which of several does the machine take?"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.installs import all_well, closure, in_use, listed, prefix_of, proved_paths, rebuild
from devsetup.doctor.packages import absent
from devsetup.doctor.remedies import installation
from devsetup.errors import DevsetupError, InvalidInput
from devsetup.store import manifest
from devsetup.verify import elf, loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.receipts import Receipt
    from devsetup.store.manifest import Manifest

_STDCXX = "libstdc++.so.6"
_GLIBCXX = re.compile(r"GLIBCXX_(\d+(?:\.\d+)+)")
_VERSIONED = re.compile(r"lib.+\.so\.\d+")
_LOCAL = ("/usr/local/lib", "/usr/local/lib64")


def _missing(exam: Exam) -> list[Finding]:
    looked = [receipt for receipt in in_use(exam) if proved_paths(exam, receipt)]
    found = [finding for receipt in looked for finding in _unresolved(exam, receipt)]
    return all_well(found, looked, "every shared library is found")


def _unresolved(exam: Exam, receipt: Receipt) -> Iterator[Finding]:
    listing = listed(exam, receipt)
    if listing is not None and _as_proved(exam, receipt, listing):
        return
    seen = closure(exam, receipt)
    if seen.status != "fail":
        return
    fix = rebuild(receipt)
    with contextlib.suppress(DevsetupError):  # a package manager that does not answer
        if gone := absent(exam, receipt.part.packages):
            fix = installation(exam, f"packages that {receipt.name} was built with are not installed any more", gone)
    yield Finding(
        status="fail",
        summary=f"{receipt.name} cannot be loaded: {seen.summary}",
        detail=seen.detail,
        evidence=(Evidence(source=str(prefix_of(exam, receipt)), value=seen.summary),),
        fix=fix,
    )


def _as_proved(exam: Exam, receipt: Receipt, then: Manifest) -> bool:
    """Whether nothing has changed that the proof of the link closure looked at; a look at times, not into files."""
    prefix = prefix_of(exam, receipt)
    proved = tuple(f"{path.removeprefix(str(prefix)).strip('/')}/" for path in proved_paths(exam, receipt))
    own = ((name, stamp) for name, stamp in then.files.items() if f"{name}/".startswith(proved))
    try:
        return all(manifest.stamp(path) == linked.stamp for path, linked in then.libraries.items()) and all(
            stamp.target or manifest.stamp(f"{prefix}/{name}") == stamp for name, stamp in own
        )
    except OSError:
        return False


def _conda_stdcxx(exam: Exam) -> Iterator[Finding]:
    system = _offered(loader.system(root=exam.host.root).directories(_STDCXX))
    if system is None:
        return
    variables = exam.host.environ
    entries = tuple(entry for entry in re.split("[:;]", variables.get("LD_LIBRARY_PATH", "")) if entry.startswith("/"))
    first = _offered(exam.host.real(entry) for entry in entries)
    if first is not None and first[1] < system[1]:
        yield _shadowing(first, system)
    conda = variables.get("CONDA_PREFIX", "")
    own = _offered((exam.host.real(f"{conda}/lib"),)) if conda else None
    if own is not None and own[1] < system[1] and own != first:
        yield Finding(
            status="info",
            summary=f"conda's {_STDCXX} is older than the system's: {_shown(own[1])} against {_shown(system[1])}; "
            "conda's Python may fail to load what is built with the system's compiler",
            evidence=(_evidence(own), _evidence(system)),
            fix=Fix(text="`conda deactivate`, or install a newer `libstdcxx-ng` in that environment"),
        )


def _shadowing(first: _Offer, system: _Offer) -> Finding:
    return Finding(
        status="warn",
        summary=f"LD_LIBRARY_PATH puts {first[0]} (up to GLIBCXX_{_shown(first[1])}) before the system's library "
        f"(up to GLIBCXX_{_shown(system[1])}): what is built here may not load in this shell",
        evidence=(_evidence(first), _evidence(system)),
        fix=Fix(text=f"leave {first[0].rpartition('/')[0]} out of LD_LIBRARY_PATH"),
    )


_Offer = tuple[str, tuple[int, ...]]


def _offered(directories: Iterator[str] | tuple[str, ...]) -> _Offer | None:
    """The first C++ library in these directories, with the newest GLIBCXX version that it offers."""
    for directory in directories:
        path = f"{directory}/{_STDCXX}"
        try:
            library = elf.read(path) if Path(path).is_file() else None
        except InvalidInput:
            continue  # damaged: the link closure says so where it matters
        names = library.defines if library else ()
        versions = [tuple(map(int, match[1].split("."))) for name in names if (match := _GLIBCXX.fullmatch(name))]
        if versions:
            return path, max(versions)
    return None


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _evidence(offer: _Offer) -> Evidence:
    return Evidence(source=offer[0], value=f"GLIBCXX_{_shown(offer[1])}")


def _sudo_env(exam: Exam) -> Iterator[Finding]:
    user = exam.host.environ.get("SUDO_USER", "")
    if exam.uid == 0 and user and user != "root":
        yield Finding(
            status="warn",
            summary="run through sudo: it drops LD_LIBRARY_PATH and most other variables, and what is installed "
            f"belongs to root and lies in {exam.home}, not in {user}'s own home",
            evidence=(Evidence(source="SUDO_USER", value=user),),
            fix=Fix(text="run devsetup as yourself: it asks for sudo where the package manager needs it"),
        )


def _stray(exam: Exam) -> Iterator[Finding]:
    where = loader.system(root=exam.host.root)
    by_hand = {name: f"{at}/{name}" for at in reversed(_LOCAL) for name in exam.host.names(at) if _soname(name)}
    twice = []
    for name, path in sorted(by_hand.items()):
        theirs = next((f"{at}/{name}" for at in where.defaults if Path(f"{at}/{name}").exists()), "")
        if theirs:
            twice.append((path, theirs.removeprefix(exam.host.root)))
    if twice:
        names = ", ".join(path.rpartition("/")[2] for path, _ in twice[:5])
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""  # noqa: PLR2004 - as many as were named
        yield Finding(
            status="info",
            summary=f"both in /usr/local and in the distribution's directories: {names}{more}; "
            "builds link against the first",
            detail=tuple(f"{path}, and {theirs}" for path, theirs in twice),
        )


def _soname(name: str) -> bool:
    return _VERSIONED.fullmatch(name) is not None


CHECKS: tuple[Check, ...] = (
    Check(
        id="lib.missing",
        about="installs whose files need a shared library that the loader does not find",
        run=_missing,
        only="linux",
        timeout_s=20.0,
    ),
    Check(
        id="lib.conda-stdcxx",
        about="an older libstdc++ before the system's, from conda or LD_LIBRARY_PATH",
        run=_conda_stdcxx,
        only="linux",
    ),
    Check(id="lib.sudo-env", about="devsetup run through sudo", run=_sudo_env),
    Check(
        id="lib.stray",
        about="the same library in /usr/local and from the distribution",
        run=_stray,
        only="linux",
    ),
)

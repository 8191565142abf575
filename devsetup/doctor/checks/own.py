"""What devsetup itself owns: its receipts, prefixes, leftovers and settings. Leftovers are what `--fix` removes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import devsetup
from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.installs import prefix_of, rebuild
from devsetup.errors import InvalidInput, StateError
from devsetup.settings import read_settings, settings_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.store import Garbage


def _store(exam: Exam) -> Iterator[Finding]:
    receipts = exam.store.receipts
    try:
        keys, found = receipts.keys(), receipts.all()
    except StateError as error:
        yield Finding(
            status="fail",
            summary=f"what is installed cannot be told: {error.message}",
            evidence=(Evidence(source=str(receipts.path), value=error.message),),
            fix=Fix(text=error.hint) if error.hint else None,
        )
        return
    newer = sorted(
        {receipt.devsetup for receipt in found if _release(receipt.devsetup) > _release(devsetup.__version__)}
    )
    if newer:
        yield Finding(
            status="warn",
            summary=f"receipts in {receipts.path} were written by devsetup {', '.join(newer)}, and this is "
            f"{devsetup.__version__}, which may not understand all that they say",
            fix=Fix(text="upgrade devsetup"),
        )
    elif keys:
        yield Finding(status="ok", summary=f"receipts of {len(keys)} {'install' if len(keys) == 1 else 'installs'}")


def _release(version: str) -> tuple[int, ...]:
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - only where something is installed

    try:
        return Version(version).release
    except InvalidVersion:
        return ()


def _installs(exam: Exam) -> Iterator[Finding]:
    for receipt in exam.receipts:
        prefix = prefix_of(exam, receipt)
        if exam.store.rebuilding(receipt.key):
            continue  # own.leftovers says what there is to say
        if not prefix.is_dir():
            yield Finding(
                status="fail",
                summary=f"{receipt.name} is recorded as installed, and {prefix} is not there",
                evidence=(Evidence(source=str(prefix), value="no such directory"),),
                fix=rebuild(receipt),
            )
        elif os.path.realpath(receipt.prefix) != os.path.realpath(prefix):
            yield Finding(
                status="fail",
                summary=f"{receipt.name} was built in {receipt.prefix}, and lies in {prefix} now: its scripts, run "
                "paths and Python environment name the old place",
                evidence=(Evidence(source=str(exam.store.receipts.path), value=receipt.prefix),),
                fix=rebuild(receipt, "move the home back, or build it again"),
            )


def _rubbish(exam: Exam) -> tuple[Garbage, ...]:
    """What `--fix` may remove; not the build trees that a failure left for a look."""
    return tuple(item for item in exam.store.garbage() if item.kind != "build")


def _leftovers(exam: Exam) -> Iterator[Finding]:
    fix = Fix(text="remove them; nothing uses them", commands=("devsetup gc",), auto=True)
    try:
        garbage = exam.store.garbage()
    except StateError:
        return  # own.store says that the receipts cannot be read, and so what is in use
    for item in garbage:
        evidence = (Evidence(source=item.path, value=item.reason),)
        if item.kind == "rebuild":
            yield Finding(
                status="warn",
                summary=f"{item.key}: {item.reason}",
                evidence=evidence,
                fix=Fix(text="settle the rebuild", commands=("devsetup gc",), auto=True),
            )
        elif item.kind == "build":
            yield Finding(
                status="info",
                summary=f"{item.path}: the build tree of a failure, kept for a look ({item.bytes >> 20} MB)",
                evidence=evidence,
                fix=Fix(text="remove it when you have seen enough", commands=("devsetup gc",)),
            )
        else:
            yield Finding(
                status="info", summary=f"{item.path}: {item.reason} ({item.bytes >> 20} MB)", evidence=evidence, fix=fix
            )


def _collect(exam: Exam) -> tuple[str, ...]:
    """Remove the leftovers; what came into use meanwhile stays, and is no line."""
    gone = (item for item in _rubbish(exam) if exam.store.collected(item))
    return tuple(f"put back {item.key}" if item.kind == "rebuild" else f"removed {item.path}" for item in gone)


def _config(exam: Exam) -> Iterator[Finding]:
    path = settings_path(exam.host.environ)
    real = exam.host.real(str(path))
    try:
        read_settings(Path(real))
    except InvalidInput as error:
        yield Finding(
            status="fail",
            summary=f"{error.message}: no command that looks at this machine works",
            evidence=(Evidence(source=str(path), value=error.message),),
            fix=Fix(text=error.hint) if error.hint else None,
        )


CHECKS: tuple[Check, ...] = (
    Check(id="own.store", about="receipts that cannot be read, or that a newer devsetup wrote", run=_store),
    Check(id="own.installs", about="installs whose files are gone or were moved", run=_installs),
    Check(
        id="own.leftovers",
        about="unfinished installs and rebuilds, and installs that only others needed",
        run=_leftovers,
        timeout_s=20.0,
        repair=_collect,
    ),
    Check(id="own.config", about="a settings file that is malformed", run=_config),
)

"""Drift: what has changed on the machine, or in an install, since it was made.

Each finding says what was there then and what is there now. Looked at are the installs in use: the newest of each
recipe, and what these need.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.installs import all_well, closure, in_use, listed, places_of, prefix_of, rebuild, since
from devsetup.loader.releases import release
from devsetup.steps import PythonEnv, substitute
from devsetup.store import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Cuda, Facts, Libc, Python
    from devsetup.receipts import Receipt

_NAMED = 10  # changed files that a finding names


def _os(exam: Exam) -> list[Finding]:
    receipts = in_use(exam)
    found = [finding for receipt in receipts for finding in _system(receipt, exam.facts)]
    return all_well(found, receipts, "the same system as when they were installed")


def _system(receipt: Receipt, now: Facts) -> Iterator[Finding]:
    then = receipt.facts
    if then.arch != now.arch:
        yield _moved("fail", receipt, f"{then.arch} then, {now.arch} now: its programs are for another processor")
    elif (then.os.id, release(then.os.id, then.os.version)) != (now.os.id, release(now.os.id, now.os.version)):
        yield _moved(
            "warn",
            receipt,
            f"{then.os.id} {then.os.version} then, {now.os.id} {now.os.version} now: libraries that it was linked to "
            "may have gone or changed",
        )
    elif then.libc and now.libc and _fell_behind(then.libc, now.libc):
        words = (f"{libc.family} {libc.version}" for libc in (then.libc, now.libc))
        yield _moved("fail", receipt, "{} then, {} now: its programs need what the older one lacks".format(*words))


def _fell_behind(then: Libc, now: Libc) -> bool:
    if then.family != now.family:
        return True
    return _numbers(now.version) < _numbers(then.version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _moved(status: str, receipt: Receipt, seen: str, why: str = "build it for the machine as it is now") -> Finding:
    return Finding(
        status="fail" if status == "fail" else "warn",
        summary=f"{receipt.name}: {seen}",
        evidence=(Evidence(source=receipt.key, value=f"installed on {receipt.installed_at}"),),
        fix=rebuild(receipt, why),
    )


def _libraries(exam: Exam) -> list[Finding]:
    looked = [receipt for receipt in in_use(exam) if listed(exam, receipt)]
    found = [finding for receipt in looked for finding in _lost(exam, receipt)]
    return all_well(found, looked, "the libraries that they were linked to are there")


def _lost(exam: Exam, receipt: Receipt) -> Iterator[Finding]:
    then = listed(exam, receipt)
    gone = [path for path in (then.libraries if then else ()) if not Path(path).exists()]
    if then is None or not gone:
        return
    still_loads = closure(exam, receipt).status != "fail"  # another directory may have it, too
    lines = (f"{path}, for {then.libraries[path].by}: {_instead(path)}" for path in gone)
    names = ", ".join(posixpath.basename(path) for path in gone[:3]) + (" and others" if gone[3:] else "")
    yield Finding(
        status="info" if still_loads else "fail",
        summary=f"{receipt.name}: {names} {'is' if len(gone) == 1 else 'are'} gone {since(receipt)}"
        + ("; found elsewhere" if still_loads else ""),
        detail=tuple(lines),
        evidence=tuple(Evidence(source=path, value="then there, now gone") for path in gone),
        fix=None
        if still_loads
        else rebuild(receipt, "install the package that has it, or build against what is there now"),
    )


def _instead(path: str) -> str:
    """What a directory has now of a library that is gone."""
    stem = posixpath.basename(path).partition(".so")[0]
    others = sorted(other.name for other in Path(path).parent.glob(f"{stem}.so.*"))
    return f"now {', '.join(others)}" if others else "now in no version"


def _toolkit(exam: Exam) -> list[Finding]:
    used = {receipt.key for receipt in exam.cuda_installed}
    pairs = [
        (receipt, then)
        for receipt in in_use(exam)
        for then in receipt.facts.cuda
        if receipt.key in used and then.chosen
    ]
    found = [finding for receipt, then in pairs for finding in _toolkit_now(exam, receipt, then)]
    return all_well(found, (receipt for receipt, _ in pairs), "the CUDA toolkit that they were built with is there")


def _toolkit_now(exam: Exam, receipt: Receipt, then: Cuda) -> Iterator[Finding]:
    now = next((each for each in exam.facts.cuda if each.path == then.path), None)
    if now is None and not exam.host.exists(then.path):
        chosen = next((each for each in exam.facts.cuda if each.chosen), None)
        instead = f"the toolkit here now is {chosen.path} ({chosen.version})" if chosen else "there is none here now"
        yield _moved("fail", receipt, f"built with CUDA {then.version} in {then.path}, which is gone; {instead}")
    elif now is not None and now.version != then.version:
        target = exam.host.resolve(then.path)
        leads = f", which leads to {target}" if target != then.path else ""
        yield _moved("warn", receipt, f"built with CUDA {then.version} in {then.path}{leads}; it is {now.version} now")


def _python(exam: Exam) -> list[Finding]:
    pairs = [(receipt, step) for receipt in in_use(exam) for step in receipt.part.steps if isinstance(step, PythonEnv)]
    found = [finding for receipt, step in pairs for finding in _interpreter(exam, receipt, step)]
    return all_well(found, (receipt for receipt, _ in pairs), "the Python of their environments is the same")


def _interpreter(exam: Exam, receipt: Receipt, step: PythonEnv) -> Iterator[Finding]:
    places = places_of(exam, receipt)
    base = substitute(step.python, places)
    then = _version(receipt.facts.pythons, base) or _environment_version(Path(substitute(step.path, places)))
    ours = base.startswith(f"{exam.home}/")
    if not (Path(base).exists() if ours else exam.host.exists(base)):
        yield _moved("fail", receipt, f"its environment is made of {base} (Python {then or 'unknown'}), which is gone")
        return
    now = _version(exam.facts.pythons, base)
    if then and now and _numbers(then) != _numbers(now):
        yield _moved(
            "fail",
            receipt,
            f"its environment is made for {base} as Python {then}, which is {now} now and finds no packages",
        )


def _version(pythons: tuple[Python, ...], path: str) -> str:
    return next((python.version for python in pythons if python.path == path), "")


def _environment_version(environment: Path) -> str:
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+[.\d]*)", text, re.MULTILINE)
    return found[1].rstrip(".") if found else ""


def _files(exam: Exam) -> list[Finding]:
    looked = [receipt for receipt in in_use(exam) if listed(exam, receipt)]
    found = [finding for receipt in looked for finding in _changed(exam, receipt)]
    return all_well(found, looked, "their files are as they were proved")


def _changed(exam: Exam, receipt: Receipt) -> Iterator[Finding]:
    then, now = listed(exam, receipt), manifest.survey(prefix_of(exam, receipt))
    files = then.files if then else {}
    missing = sorted(name for name in files if name not in now)
    altered = sorted(name for name, stamp in files.items() if name in now and now[name] != stamp)
    for status, names, what in (("fail", missing, "gone"), ("warn", altered, "altered")):
        if names:
            first = f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
            yield Finding(
                status="fail" if status == "fail" else "warn",
                summary=f"{receipt.name}: {first} {what} {since(receipt)}",
                detail=(*names[:_NAMED], *((f"and {len(names) - _NAMED} more",) if len(names) > _NAMED else ())),
                evidence=(Evidence(source=str(prefix_of(exam, receipt)), value=f"{len(names)} files {what}"),),
                fix=rebuild(receipt),
            )


def _recipe(exam: Exam) -> Iterator[Finding]:
    for goal in exam.goals:
        for part in goal.plan.parts if goal.plan else ():
            same = (each for each in exam.receipts if (each.name, each.part.options) == (part.name, part.options))
            older = next(same, None)
            if older and part.key not in {receipt.key for receipt in exam.receipts}:
                yield Finding(
                    status="info",
                    summary=f"{older.key} is installed; for this machine as it is, the recipe plans {part.key}",
                    fix=Fix(
                        text="install that; the present one stays until you uninstall it",
                        commands=(f"devsetup install {goal.name}",),
                    ),
                )


CHECKS: tuple[Check, ...] = (
    Check(id="drift.os", about="the system was upgraded, or the home moved to another machine", run=_os),
    Check(
        id="drift.libraries",
        about="shared libraries that an install was linked to are gone",
        run=_libraries,
        only="linux",
        timeout_s=20.0,
    ),
    Check(id="drift.toolkit", about="the CUDA toolkit that an install was built with is gone or another", run=_toolkit),
    Check(id="drift.python", about="the Python of an install's environment is gone or another", run=_python),
    Check(
        id="drift.files",
        about="files of an install are gone or altered since it was proved",
        run=_files,
        timeout_s=20.0,
    ),
    Check(id="drift.recipe", about="the recipe now plans something else than what is installed", run=_recipe),
)

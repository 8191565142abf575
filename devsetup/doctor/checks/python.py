"""Python: interpreters for recipes, variables that mix installs, and the environments of what devsetup installed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.remedies import BUILD_TOOLS, concerning, installation, packages, runners
from devsetup.proofs import Import
from devsetup.steps import PREFIX, PythonEnv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.requirements import Requirement

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Python
    from devsetup.plan import Part
    from devsetup.receipts import Receipt

_TAGGED = re.compile(r"^(.+?)\.cpython-3(\d+)[a-z]*(?:-[^.]*)?\.so$")
_SHOWN = 5
# Of wheels, of setuptools, and of distutils, whose .egg-info is the file itself.
_METADATA = ("METADATA", "PKG-INFO", "")


def version(exam: Exam) -> Iterator[Finding]:
    """Whether there are Pythons to make environments with: those that the plans name, and any at all."""
    troubles = False
    for part, step in _planned(exam):
        trouble = _unusable(exam, part, step.python)
        if trouble:
            troubles = True
            yield trouble
    first, *others = [f"{python.path} {python.version}" for python in exam.facts.pythons] or [""]
    if not first:
        yield Finding(
            status="info",
            summary="no Python 3 on PATH or in /usr/bin: recipes with Python packages install the system's",
        )
    elif not troubles:
        more = f" and {len(others)} more" if others else ""
        yield Finding(status="ok", summary=first + more, detail=tuple(others))


def _planned(exam: Exam) -> Iterator[tuple[Part, PythonEnv]]:
    for part in exam.wanted:
        yield from ((part, step) for step in part.steps if isinstance(step, PythonEnv))


def _unusable(exam: Exam, part: Part, path: str) -> Finding | None:
    """Why no environment can be made with an interpreter; None when it can, or when the plan first installs it."""
    if set(packages(exam, "python")) & set(part.packages) or path.startswith("@"):
        return None
    if not exam.host.exists(path):
        return Finding(
            status="fail",
            summary=f"{path} is not here, and the plan makes an environment with it without installing it"
            + concerning((part.name,)),
            fix=installation(exam, "install it", packages(exam, "python")),
        )
    python = _described(exam, path)
    if python and not python.venv:
        return Finding(
            status="fail",
            summary=f"{path} has no ensurepip, so `-m venv` makes no environment with pip{concerning((part.name,))}",
            fix=installation(exam, "install the package that brings it", packages(exam, "python")),
        )
    return None


def _described(exam: Exam, path: str) -> Python | None:
    file = exam.host.resolve(path)
    return next((python for python in exam.facts.pythons if exam.host.resolve(python.path) == file), None)


def headers(exam: Exam) -> Iterator[Finding]:
    """Whether Python.h is there for those who compile extension modules."""
    compiling = runners(exam, BUILD_TOOLS)
    wanted = [(part, python) for part, step in _planned(exam) if (python := _described(exam, step.python))]
    names = packages(exam, "python")
    for part, python in wanted:
        if part.name in compiling and not python.headers and not set(names) & set(part.packages):
            yield Finding(
                status="warn",
                summary=f"{python.path} has no Python.h, and the plan compiles beside an environment of it: an "
                f"extension module would not compile{concerning((part.name,))}",
                fix=installation(exam, "install Python's headers", names),
            )
            return
    bare = [python.path for python in exam.facts.pythons if python.system and not python.headers]
    if bare:
        yield Finding(
            status="info",
            summary=f"no Python.h for {bare[0]}: extension modules compile against it once Python's headers are "
            "installed; recipes that need them install them",
            fix=installation(exam, "for builds of your own", names) if names else None,
        )
    elif exam.facts.pythons:
        yield Finding(status="ok", summary=f"Python.h is there for {exam.facts.pythons[0].path}")


def managed(exam: Exam) -> Iterator[Finding]:
    """Whether a Python belongs to its distribution by PEP 668, so that pip refuses to install into it."""
    paths = [python.path for python in exam.facts.pythons if python.managed]
    if paths:
        yield Finding(
            status="info",
            summary=f"{paths[0]} is managed by its distribution (PEP 668), so `pip install` refuses outside an "
            "environment; devsetup makes its own environments",
            detail=tuple(paths[1:]),
        )


def mixed(exam: Exam) -> Iterator[Finding]:
    """Whether variables make one Python see what belongs to another."""
    environ = exam.host.environ
    shadows = tuple(_shadows(exam))
    yield from shadows
    found = {name: value for name in ("PYTHONPATH", "PYTHONHOME") if (value := environ.get(name))}
    if found and not shadows:
        settings = ", ".join(f"{name}={value}" for name, value in found.items())
        # PYTHONHOME says where the standard library is, so it takes it from every other Python.
        breaks = "PYTHONHOME" in found and any(True for _ in _environments(exam))
        yield Finding(
            status="warn" if breaks else "info",
            summary=f"{settings}: every Python that you start heeds it, those of `devsetup run` and `devsetup shell` "
            "too; builds and proofs do not",
            evidence=tuple(Evidence(source=name, value=value) for name, value in found.items()),
            fix=Fix(text="unless you need it", commands=(f"unset {' '.join(found)}",)),
        )
    active = {name: value for name in ("CONDA_PREFIX", "VIRTUAL_ENV") if (value := environ.get(name))}
    if len(active) > 1:
        yield Finding(
            status="info",
            summary="a conda and a virtual environment are both active, so which Python and which libraries come first "
            "depends on the order on PATH; devsetup's builds use neither",
            evidence=tuple(Evidence(source=name, value=value) for name, value in active.items()),
            fix=Fix(text="leave one of them", commands=("conda deactivate",)),
        )
    if not (found or shadows or len(active) > 1):
        yield Finding(status="ok", summary="no variable mixes Pythons (PYTHONPATH, PYTHONHOME, CONDA_PREFIX)")


def _shadows(exam: Exam) -> Iterator[Finding]:
    """Directories on PYTHONPATH that hold a module which an install brings itself."""
    directories = [each for each in exam.host.environ.get("PYTHONPATH", "").split(":") if each.startswith("/")]
    for receipt in exam.receipts:
        for module in dict.fromkeys(proof.module for proof in receipt.part.proofs if isinstance(proof, Import)):
            top = module.partition(".")[0]
            for at in directories:
                if Path(at).is_relative_to(receipt.prefix) or not {top, f"{top}.py"} & set(exam.host.names(at)):
                    continue
                yield Finding(
                    status="warn",
                    summary=f"PYTHONPATH has {at}, whose {top} comes before the one that {receipt.name} installed in "
                    f"{receipt.prefix}",
                    evidence=(Evidence(source="PYTHONPATH", value=exam.host.environ["PYTHONPATH"]),),
                    fix=Fix(text="before you use the install", commands=("unset PYTHONPATH",)),
                )


class _Environment(NamedTuple):
    """A virtual environment inside an install; `settings` are those of its pyvenv.cfg, empty when it is gone."""

    receipt: Receipt
    path: Path
    site_packages: Path
    settings: Mapping[str, str]

    @property
    def version(self) -> str:
        """`3.11.2`: of the Python that made it (`version`, or `version_info` as uv writes it)."""
        return self.settings.get("version") or self.settings.get("version_info", "")

    @property
    def minor(self) -> str:
        """`3.11`; empty when unknown."""
        return ".".join(self.version.split(".")[:2])


def _environments(exam: Exam) -> Iterator[_Environment]:
    """The environments of what is installed, by the steps in the receipts."""
    for receipt in exam.receipts:
        for step in receipt.part.steps:
            if isinstance(step, PythonEnv) and step.path.startswith(PREFIX):
                path = Path(step.path.replace(PREFIX, receipt.prefix))
                yield _Environment(receipt, path, path / step.site_packages, _settings(path / "pyvenv.cfg"))


def _settings(file: Path) -> dict[str, str]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _rebuild(receipt: Receipt) -> Fix:
    return Fix(text="build it again", commands=(f"devsetup install --rebuild {receipt.name}",))


def broken(exam: Exam) -> Iterator[Finding]:
    """Whether the interpreters behind the environments of installs are still there."""
    sound = 0
    for env in _environments(exam):
        home = env.settings.get("home", "")
        base = f"{home}/python{env.minor}"
        if home and env.minor and exam.host.exists(base):
            sound += 1
        elif not home:
            yield Finding(
                status="fail",
                summary=f"{env.path}/pyvenv.cfg is gone or names no home, so {env.receipt.name} has no Python",
                fix=_rebuild(env.receipt),
            )
        else:
            yield Finding(
                status="fail",
                summary=f"{base}, which {env.receipt.name}'s environment was made with, is gone: nothing in it starts",
                evidence=(Evidence(source=f"{env.path}/pyvenv.cfg", value=f"home = {home}, version = {env.version}"),),
                fix=_rebuild(env.receipt),
            )
    if sound:
        yield Finding(status="ok", summary=f"{sound} environment{'s' * (sound > 1)} of installs with their Python")


def requirements(exam: Exam) -> Iterator[Finding]:
    """Whether the packages in the environments of installs have what they require, as `pip check` would say."""
    sound = 0
    for env in _environments(exam):
        if not env.site_packages.is_dir():
            continue  # py.venv-broken, or the drift of the install, tells of that
        unmet = tuple(_unmet(env))
        sound += not unmet
        if unmet:
            yield Finding(
                status="warn",
                summary=f"{env.receipt.name}'s environment: {unmet[0]}",
                detail=(*unmet[1:_SHOWN], *((f"and {len(unmet) - _SHOWN} more",) if len(unmet) > _SHOWN else ())),
                evidence=(Evidence(source=str(env.site_packages), value=f"{len(unmet)} requirements not met"),),
                fix=_rebuild(env.receipt),
            )
    if sound:
        yield Finding(status="ok", summary=f"the packages in {sound} environment{'s' * (sound > 1)} of installs fit")


def _unmet(env: _Environment) -> Iterator[str]:
    import importlib.metadata  # noqa: PLC0415 - costs start-up time (email), used only here

    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - see above
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - see above

    everything = importlib.metadata.distributions(path=[str(env.site_packages)])
    # What is left of a broken package has no metadata, or one without a name.
    found = [each for each in everything if any(map(each.read_text, _METADATA)) and "Name" in each.metadata]
    versions = {canonicalize_name(each.metadata["Name"]): each.version for each in found}
    outside = env.settings.get("include-system-site-packages", "false") == "true"
    for each in found:
        for text in each.requires or ():
            try:
                wanted = Requirement(text)
            except InvalidRequirement:  # of a time before PEP 508; pip did not heed it either
                continue
            if not _applies(wanted, env.version):
                continue
            have = versions.get(canonicalize_name(wanted.name), "")
            if have and not wanted.specifier.contains(have, prereleases=True):
                yield f"{each.metadata['Name']} {each.version} wants {wanted.name}{wanted.specifier}, which is {have}"
            elif not have and not outside:
                yield f"{each.metadata['Name']} {each.version} wants {wanted.name}{wanted.specifier}, which is missing"


def _applies(wanted: Requirement, version: str) -> bool:
    """Whether a requirement counts in an environment of that Python; what only extras want does not."""
    if wanted.marker is None:
        return True
    python = {"python_version": ".".join(version.split(".")[:2]), "python_full_version": version} if version else {}
    return wanted.marker.evaluate({"extra": "", **python})


def abi(exam: Exam) -> Iterator[Finding]:
    """Whether the extension modules in installs carry the tag of their environment's Python."""
    seen = 0
    for env in _environments(exam):
        if not env.minor:
            continue
        tags = _tags(env.path)
        fitting = env.minor.removeprefix("3.")
        strange = sorted(
            f"{module}.cpython-3{tag}" for module, found in tags.items() if fitting not in found for tag in found
        )
        seen += len(tags)
        if strange:
            yield Finding(
                status="fail",
                summary=f"{strange[0]} in {env.receipt.name} was built for another Python than its environment's "
                f"{env.minor}, which does not see it",
                detail=tuple(strange[1:_SHOWN]),
                evidence=(Evidence(source=f"{env.path}/pyvenv.cfg", value=f"version = {env.version}"),),
                fix=_rebuild(env.receipt),
            )
            seen -= len(tags)
    if seen:
        yield Finding(status="ok", summary=f"{seen} extension modules of installs fit their Python")


def _tags(root: Path) -> dict[str, set[str]]:
    """Extension modules under a directory: path without suffix to the minor numbers of Python in its files' tags."""
    found: dict[str, set[str]] = {}
    for at, _, names in os.walk(root):
        for tagged in filter(None, map(_TAGGED.match, names)):
            found.setdefault(f"{at}/{tagged.group(1)}", set()).add(tagged.group(2))
    return found


CHECKS: tuple[Check, ...] = (
    Check(id="py.version", about="Pythons that environments can be made with", run=version),
    Check(id="py.headers", about="Python.h, for those who compile extension modules", run=headers),
    Check(id="py.managed", about="a Python that belongs to its distribution (PEP 668)", run=managed),
    Check(id="py.venv-broken", about="environments of installs whose interpreter is gone", run=broken),
    Check(id="py.mixed", about="variables that make one Python see another's packages", run=mixed),
    Check(id="py.check", about="packages in installs that lack what they require", run=requirements),
    Check(id="py.abi", about="extension modules in installs that are for another Python", run=abi, timeout_s=10.0),
)

"""Robotics Toolbox for Python and Spatial Math, with every package pinned, on NumPy 2.

Its trouble was NumPy: releases up to 1.1.1 import `disp`, which NumPy 2 removed, and compiled parts were built for one
NumPy and met another. 1.5.0 knows NumPy 2 and has wheels for Python 3.10 to 3.13, so pins are the whole cure: there is
no patch.

docs/recipes/robotics.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env
from devsetup.recipe import Context, Import, LinkClosure, Recipe, When, Workload
from devsetup.steps import PREFIX, Env, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

ENV = f"{PREFIX}/env"
PYTHON = f"{ENV}/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("arm.py", "closed.py", "servo.py", "line.py")

# The whole environment, the newest releases that each Python takes: (its version, packages).
BESIDE = (
    *("GitPython==3.2.1", "PyYAML==6.0.4", "ansitable==1.2.0", "catkin-pkg==1.1.1", "cfgv==3.5.0", "colored==2.3.2"),
    *("cycler==0.12.1", "distlib==0.4.4", "distro==1.9.0", "docutils==0.23", "gitdb==4.0.12", "identify==2.6.20"),
    *("kiwisolver==1.5.1", "nodeenv==1.12.0", "packaging==26.3", "pgraph-python==1.0.0", "progress==1.6.1"),
    *("pyparsing==3.3.3", "python-discovery==1.9.6", "robot_descriptions==2.0.0", "roboticstoolbox-python==1.5.0"),
    *("rospkg==1.6.3", "rtb-data==2.0.0", "smmap==5.0.3", "spatialgeometry==1.4.2", "spatialmath-python==1.1.18"),
    *("tqdm==4.70.1", "typing_extensions==4.16.0", "tzdata==2026.6", "virtualenv==21.15.11", "xacro==2.1.1"),
    "xacrodoc==2.0.1",
)
NEWER = (
    *("filelock==4.2.12", "fonttools==4.68.0", "matplotlib==3.11.2", "pillow==13.0.0", "platformdirs==4.14.8"),
    *("pre_commit==4.7.0", "python-dateutil==4.0.0"),
)
PINS = (
    (">=3.12", (*NEWER, "contourpy==1.4.0", "numpy==2.5.5", "scipy==1.18.1")),
    (">=3.11", (*NEWER, "contourpy==1.3.3", "numpy==2.4.6", "scipy==1.17.1")),
    (
        ">=3.10",
        (
            *("contourpy==1.3.2", "filelock==4.1.0", "fonttools==4.65.0", "matplotlib==3.10.9", "numpy==2.2.6"),
            *("pillow==12.3.0", "platformdirs==4.12.4", "pre_commit==4.6.2", "python-dateutil==3.0.0"),
            *("scipy==1.15.3", "six==1.17.0"),
        ),
    ),
)


def steps(ctx: Context) -> Iterator[Step]:
    """The environment and the program that proves it."""
    yield python_env(ctx.facts, tuple(sorted((*ctx.pins(PINS), *BESIDE))), path=ENV)
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/robotics/{name}"))
    yield Env(name="PATH", value=f"{ENV}/bin")


def supports(facts: Facts, _options: Mapping[str, str]) -> str | None:
    """Linux on x86-64 or 64-bit ARM, with a Python that the toolbox has wheels for."""
    if facts.os.id == "macos":
        return "there is no plan for the Robotics Toolbox on macOS yet"
    if facts.arch not in {"x86_64", "aarch64"}:
        return f"the toolbox has wheels for x86_64 and aarch64, and the processor is {facts.arch}"
    verdict = When(libraries={"python": ">=3.10, <3.14"}).verdict(facts)
    if not verdict.holds:
        return (
            f"the toolbox has wheels for Python 3.10 to 3.13, and {verdict.because}; use another release of the system"
        )
    return None


RECIPE = Recipe(
    name="robotics",
    version="1.5.0",
    summary="Robotics Toolbox for Python: arm kinematics, trajectories, servo commands",
    homepage="https://github.com/petercorke/robotics-toolbox-python",
    licence="MIT",
    keywords=("robot arm", "kinematics", "puma 560", "servo", "serial", "roboticstoolbox", "spatialmath"),
    libraries=("python",),
    proofs=(
        LinkClosure(paths=(ENV,)),
        Import(python=PYTHON, module="spatialmath", show="spatialmath.__version__"),
        Import(python=PYTHON, module="roboticstoolbox", show="roboticstoolbox.__version__"),
        Workload(
            title="a Puma 560 against closed forms, drawn, and its way as servo commands over a bad serial line",
            argv=(PYTHON, f"{SHARE}/arm.py", "--out", "@ARTIFACTS@", "--scale", "@SCALE@"),
            artifacts=("result.json", "arm.png", "arm.gif"),
            timeout_s=600,
        ),
    ),
    supports=supports,
    steps=steps,
    disk_mb=700,
    seen=(
        ("Debian 12, x86-64", "run", "installed and proven by the tests"),
        (
            "Debian 12, Python 3.10, 3.12 and 3.13",
            "run",
            "the workload on the same pins, by hand, in environments of pip",
        ),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Fedora", "simulated", "planned from declared facts"),
        ("aarch64", "simulated", "planned; its wheels were downloaded, not run"),
        ("a real arm on a serial line", "untried", "the other end is simulated"),
    ),
)

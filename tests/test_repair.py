"""What of a failed attempt stands, and what an amended plan does differently."""

from __future__ import annotations

from devsetup.amendment import AddLibrary, PinPackage, SetVariable, UsePatch
from devsetup.plan import Identity, Part
from devsetup.repair import differences, still_stands
from devsetup.steps import ApplyPatch, PythonEnv, Run, Step, SystemPackages, WriteFile

PACKAGES = SystemPackages(manager="apt", names=("g++",))
ENV = PythonEnv(path="@PREFIX@/env", python="/usr/bin/python3", requirements=("numpy==2",), site_packages="lib")
CONFIG = WriteFile(path="@BUILD@/config", content="x")
CONFIGURE = Run(argv=("./configure",), title="configure")
COMPILE = Run(argv=("make",), title="compile")
PATCH = ApplyPatch(name="1.patch", text="", tree="@BUILD@", why="it does not link")
STEPS: tuple[Step, ...] = (PACKAGES, ENV, CONFIG, CONFIGURE, COMPILE)
VARIABLE = SetVariable(name="CPATH", value="/opt/include")


def part(*steps: Step) -> Part:
    return Part(
        name="toy",
        version="1",
        summary="a toy",
        identity=Identity(os="debian", version="12", arch="x86_64"),
        steps=steps,
    )


def test_the_command_that_failed_goes_on() -> None:
    done = STEPS[:4]
    changed = Run(argv=("make",), title="compile", env=(("CPATH", "/opt/include"),))
    assert still_stands(done, (*done, changed), VARIABLE) == {0, 1, 2, 3}


def test_a_finished_command_that_a_change_concerns_starts_all_afresh() -> None:
    configure = Run(argv=("./configure",), title="configure", env=(("CPATH", "/opt/include"),))
    assert still_stands(STEPS[:4], (PACKAGES, ENV, CONFIG, configure, COMPILE), VARIABLE) == frozenset()
    assert (
        still_stands(STEPS, (PACKAGES, ENV, CONFIG, PATCH, CONFIGURE, COMPILE), UsePatch(patch="1.patch"))
        == frozenset()
    )


def test_a_patch_before_the_command_that_failed() -> None:
    assert still_stands(STEPS[:3], (PACKAGES, ENV, CONFIG, PATCH, COMPILE), UsePatch(patch="1.patch")) == {0, 1, 2}


def test_an_environment_is_made_again_after_new_packages() -> None:
    packages = SystemPackages(manager="apt", names=("g++", "zlib1g-dev"))
    assert still_stands(STEPS[:3], (packages, ENV, CONFIG, COMPILE), AddLibrary(name="zlib")) == {2}


def test_nothing_stands_after_another_python_package() -> None:
    assert still_stands(STEPS[:4], STEPS, PinPackage(requirement="numpy<2")) == frozenset()


def test_differences_in_words() -> None:
    packages = SystemPackages(manager="apt", names=("g++", "zlib1g-dev"))
    env = PythonEnv(path="@PREFIX@/env", python="/usr/bin/python3", requirements=("numpy<2",), site_packages="lib")
    changed = Run(argv=("make",), title="compile", env=(("CPATH", "/opt/include"),))
    fewer = Run(argv=("./configure", "-j1"), title="configure")
    assert differences(part(*STEPS), part(packages, env, PATCH, fewer, changed)) == (
        "package zlib1g-dev",
        "Python environment: 1 packages: numpy<2",
        "new step: patch 1.patch: it does not link",
        "configure: -j1",
        "compile: CPATH=/opt/include",
        "without the step: write config",
    )
    assert differences(part(*STEPS), part(*STEPS)) == ()

from __future__ import annotations

import pytest

from devsetup import steps
from devsetup.errors import InvalidInput
from devsetup.lower import install_commands, lower, patch_command


def test_places_are_filled_and_nothing_else() -> None:
    places = {"PREFIX": "/p", "PREFIX:cuda": "/c", "JOBS": "2"}
    text = "@PREFIX@/bin:@PREFIX:cuda@/lib -j@JOBS@ user@example.org @UNKNOWN@ $(X)"
    assert steps.substitute(text, places) == "/p/bin:/c/lib -j2 user@example.org @UNKNOWN@ $(X)"


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="@PREFIX:cuda@"):
        steps.substitute("@PREFIX:cuda@", {"PREFIX": "/p"})


def test_system_packages_lower_to_guarded_privileged_commands() -> None:
    (guarded,) = lower(steps.SystemPackages(manager="apt", names=("g++", "make")))
    assert isinstance(guarded, steps.Guarded)
    assert guarded.unless == steps.PackagesInstalled(manager="apt", names=("g++", "make"))
    update, install = guarded.then
    assert isinstance(install, steps.Command)
    assert install.argv == ("apt-get", "install", "-y", "--no-install-recommends", "g++", "make")
    assert install.privileged
    assert isinstance(update, steps.Command)
    assert update.argv == ("apt-get", "update")


def test_homebrew_never_asks_for_root() -> None:
    assert not any(command.privileged for command in install_commands("brew", ("hdf5",)))


def test_a_patch_is_tried_before_it_is_applied_and_skipped_when_there() -> None:
    step = steps.ApplyPatch(name="0001-x.patch", tree="@BUILD@/t", text="diff\n", why="w")
    write, guarded = lower(step)
    assert write == steps.WriteFile(path="@BUILD@/patches/0001-x.patch", content="diff\n")
    assert isinstance(guarded, steps.Guarded)
    assert isinstance(guarded.unless, steps.PatchApplied)
    trial, real = guarded.then
    assert isinstance(trial, steps.Command)
    assert isinstance(real, steps.Command)
    assert "--dry-run" in trial.argv
    assert "--dry-run" not in real.argv


def test_gnu_patch_is_told_to_be_strict() -> None:
    argv = patch_command("/t", "/p")
    assert "--fuzz=0" in argv
    assert "--force" in argv
    assert "--batch" not in argv  # it reverses a patch that is already applied, with status 0


def test_a_python_environment_writes_its_path_file_relative() -> None:
    step = steps.PythonEnv(
        path="@PREFIX@/env",
        python="/usr/bin/python3.11",
        requirements=("numpy==2.4.6",),
        site_packages="lib/python3.11/site-packages",
        paths=("../../../../python",),
    )
    venv, pip, path_file = lower(step)
    assert isinstance(venv, steps.Guarded)
    assert isinstance(pip, steps.Command)
    assert pip.argv[-1] == "numpy==2.4.6"
    assert path_file == steps.WriteFile(
        path="@PREFIX@/env/lib/python3.11/site-packages/devsetup.pth", content="../../../../python\n"
    )


def test_every_step_has_a_title() -> None:
    every: tuple[steps.Step, ...] = (
        steps.SystemPackages(manager="apt", names=("g++",)),
        steps.Fetch(name="x", sources=()),
        steps.Unpack(name="x", into="y"),
        steps.ApplyPatch(name="x", tree="t", text="", why="because"),
        steps.WriteFile(path="a/b", content=""),
        steps.Run(argv=("true",), title="run it"),
        steps.PythonEnv(path="p", python="python3", requirements=(), site_packages="s"),
        steps.Env(name="PATH", value="v"),
    )
    titles = [steps.title(step) for step in every]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    assert "b" in titles[4]
    assert "because" in titles[3]

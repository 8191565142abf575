"""Rich steps to primitives: the one place that says what a step does."""

from __future__ import annotations

from devsetup.steps import (
    BUILD,
    ApplyPatch,
    Command,
    Env,
    Extract,
    Fetch,
    Guarded,
    Obtain,
    PackagesInstalled,
    PatchApplied,
    PathExists,
    Primitive,
    PythonEnv,
    Run,
    Step,
    SystemPackages,
    Unpack,
    WriteFile,
)

_NONINTERACTIVE = (("DEBIAN_FRONTEND", "noninteractive"),)

# Refresh the index first: on a fresh machine it is empty or stale, and a name would not be found.
_INSTALL: dict[str, tuple[tuple[str, ...], ...]] = {
    "apt": (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends")),
    "dnf": (("dnf", "install", "-y", "--setopt=install_weak_deps=False"),),
    "pacman": (("pacman", "-Sy", "--needed", "--noconfirm"),),
    "brew": (("brew", "install"),),
}


def install_commands(manager: str, names: tuple[str, ...]) -> tuple[Command, ...]:
    """The exact commands that install packages; only Homebrew's needs no root."""
    *before, last = _INSTALL[manager]
    return tuple(
        Command(argv=argv, env=_NONINTERACTIVE if manager == "apt" else (), privileged=manager != "brew")
        for argv in (*before, (*last, *names))
    )


def patch_file(step: ApplyPatch) -> str:
    """Where a step's diff is written before it is applied."""
    return f"{BUILD}/patches/{step.name}"


def patch_command(tree: str, patch: str, *flags: str) -> tuple[str, ...]:
    """GNU patch without its leniency: unified diffs only (never ed scripts), exact context, no prompt, no leftovers.

    `--force`, not `--batch`: the latter silently reverses a patch that is already applied, with status 0.
    """
    strict = ("--strip=1", "--unified", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-")
    return ("patch", *strict, *flags, f"--directory={tree}", f"--input={patch}")


# pip keeps an sdist only once it knows its name and version, and to know them it runs the sdist's own setup.py, which
# may be too old for this Python until it is patched. This module, first on PYTHONPATH, answers in setuptools' place.
SDIST_BACKEND = """\
import os
import sys


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, _, version = os.environ["DEVSETUP_SDIST"].partition("==")
    directory = f"{name.replace('-', '_')}-{version}.dist-info"
    os.mkdir(os.path.join(metadata_directory, directory))
    with open(os.path.join(metadata_directory, directory, "METADATA"), "w") as file:
        file.write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return directory


__legacy__ = sys.modules[__name__]
"""


def sdist_command(python: str, requirements: str, into: str) -> tuple[str, ...]:
    """Have pip download what a requirements file names and pins by hash, as sdists, without building them.

    `SDIST_BACKEND` must be `setuptools/build_meta.py` on PYTHONPATH, and DEVSETUP_SDIST say `NAME==VERSION`.
    """
    ask = ("--disable-pip-version-check", "--retries=1", "--require-hashes", "--no-deps")
    build = ("--no-binary=:all:", "--use-pep517", "--no-build-isolation")
    return (python, "-m", "pip", "download", *ask, *build, f"--dest={into}", f"--requirement={requirements}")


def lower(step: Step) -> tuple[Primitive, ...]:
    """What a step does, in primitives, in order."""
    match step:
        case SystemPackages(manager=manager, names=names):
            have = PackagesInstalled(manager=manager, names=names)
            return (Guarded(unless=have, then=install_commands(manager, names)),)
        case Fetch(name=name, sources=sources):
            return (Obtain(name=name, sources=sources),)
        case Unpack(name=name, into=into):
            return (Extract(name=name, into=into),)
        case ApplyPatch():
            return _apply_patch(step)
        case Run(argv=argv, then=then, cwd=cwd, env=env, unless=unless):
            commands = tuple(Command(argv=each, cwd=cwd, env=env) for each in (argv, *then))
            return commands if unless is None else (Guarded(unless=unless, then=commands),)
        case PythonEnv():
            return _python_env(step)
        case WriteFile() | Env():
            return (step,)


def _apply_patch(step: ApplyPatch) -> tuple[Primitive, ...]:
    patch = patch_file(step)
    apply = (
        Command(argv=patch_command(step.tree, patch, "--forward", "--dry-run")),
        Command(argv=patch_command(step.tree, patch, "--forward")),
    )
    return (
        WriteFile(path=patch, content=step.text),
        Guarded(unless=PatchApplied(patch=patch, tree=step.tree), then=apply),
    )


def _python_env(step: PythonEnv) -> tuple[Primitive, ...]:
    python = f"{step.path}/bin/python"
    made: tuple[Primitive, ...] = (
        Guarded(
            unless=PathExists(path=python),
            then=(Command(argv=(step.python, "-m", "venv", step.path)),),
        ),
        Command(argv=(python, "-m", "pip", "install", "--disable-pip-version-check", *step.requirements)),
    )
    if not step.paths:
        return made
    path_file = f"{step.path}/{step.site_packages}/devsetup.pth"
    return (*made, WriteFile(path=path_file, content="".join(f"{line}\n" for line in step.paths)))

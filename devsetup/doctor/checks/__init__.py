"""The checks, one module for each kind. `every` gathers them in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devsetup.doctor.finding import Check

_MODULES = (
    *("system", "macos", "toolchain", "python", "gpu", "cuda", "blas"),
    *("libraries", "places", "network", "goals", "own", "drift"),
)
# What is looked at before a build: failures that can be told from facts. CUDA's cost time, and only CUDA asks for them.
_BEFORE = {
    "system": ("os.libc", "os.cpu"),
    "places": ("perm.prefix", "perm.noexec", "perm.tmp", "disk.space", "disk.inodes", "disk.case"),
    "goals": ("goal.memory",),
}
_BEFORE_CUDA = {"toolchain": ("tc.gcc-nvcc",), "cuda": ("cuda.driver-too-old", "cuda.arch")}


def every() -> tuple[Check, ...]:
    """Every check."""
    return tuple(check for name in _MODULES for check in _checks(name))


def before_building(*, cuda: bool) -> tuple[Check, ...]:
    """The checks whose findings a build would run into; with `cuda`, also those that only a build with CUDA would."""
    wanted = {**_BEFORE, **(_BEFORE_CUDA if cuda else {})}
    return tuple(check for name, ids in wanted.items() for check in _checks(name) if check.id in ids)


def _checks(name: str) -> tuple[Check, ...]:
    import importlib  # noqa: PLC0415 - used only here

    found: tuple[Check, ...] = importlib.import_module(f"{__name__}.{name}").CHECKS
    return found

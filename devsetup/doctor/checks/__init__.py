"""The checks, one module for each kind. `every` gathers them in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devsetup.doctor.finding import Check

_MODULES = (
    *(
        "system",
        "macos",
        "toolchain",
        "python",
        "gpu",
        "cuda",
        "blas",
        "libraries",
        "places",
        "network",
        "goals",
        "own",
        "drift",
    ),
)


def every() -> tuple[Check, ...]:
    """Every check."""
    import importlib  # noqa: PLC0415 - used only here

    return tuple(check for name in _MODULES for check in importlib.import_module(f"{__name__}.{name}").CHECKS)

"""Hints for names that do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a misspelt name: the nearest known one.

    Args:
        name: what was written.
        known: the names that exist.
        otherwise: the hint when none is near; by default the whole list.
    """
    import difflib  # noqa: PLC0415 - only after a mistake

    names = tuple(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else otherwise or f"known: {', '.join(names)}"

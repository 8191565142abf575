"""What long work says while it runs. `console` shows events; tests collect them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from devsetup.proofs import Finding


class _Event(msgspec.Struct, frozen=True, tag=True):
    pass


class PartStarted(_Event, frozen=True):
    """An install begins: its key, and the titles of its steps in order."""

    key: str
    steps: tuple[str, ...]
    log: str


class StepStarted(_Event, frozen=True):
    """Step `index` (from 0) begins."""

    index: int
    title: str


class Line(_Event, frozen=True):
    """One line of a step's output, without its newline."""

    text: str


class Progress(_Event, frozen=True):
    """Bytes of a download so far, and in all (0 when unknown)."""

    label: str
    done: int
    total: int


class Note(_Event, frozen=True):
    """Something worth a line of its own: which source was used and why, a patch that is already upstream."""

    text: str


class StepFinished(_Event, frozen=True):
    """Step `index` ended well after so many seconds; `note` says what was special about it, if anything."""

    index: int
    title: str
    seconds: float
    note: str = ""


class Proved(_Event, frozen=True):
    """A proof ended."""

    finding: Finding


class Waiting(_Event, frozen=True):
    """Another process holds the lock on this install; we wait for it."""

    key: str
    owner: str


class PartFinished(_Event, frozen=True):
    """An install is complete and recorded; `fresh` is False when it was there already."""

    key: str
    prefix: str
    seconds: float
    fresh: bool


Event = PartStarted | StepStarted | Line | Progress | Note | StepFinished | Proved | Waiting | PartFinished
Emit = Callable[[Event], None]


def silent(_: Event) -> None:
    """An `Emit` for callers who do not watch."""

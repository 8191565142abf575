"""Why a patch does not fit a tree, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup.patching import FileDiff, Misfit, State, misfit, state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Reason(msgspec.Struct, frozen=True):
    """A reason as a phrase, and the hunk that decided, if one did."""

    text: str
    misfit: Misfit | None = None


class _Placed(msgspec.Struct, frozen=True):
    """A hunk, by number from 1, and what it is to its file."""

    change: FileDiff
    number: int
    state: State

    def __str__(self) -> str:
        return f"hunk {self.number} of {self.change.path}"


def why_not(changes: Sequence[FileDiff], contents: Mapping[str, bytes | None], said: str) -> Reason:
    """Why GNU patch refused.

    Args:
        changes: what the patch does to each file.
        contents: what these files hold; None for those that are not there.
        said: GNU patch's own words, used only where no better reason is found.
    """
    for change in changes:
        whole = _whole_file(change, contents[change.path])
        if whole:
            return whole
    placed = [
        _Placed(change, number, _state(change, number, contents[change.path]))
        for change in changes
        for number in range(1, len(change.hunks) + 1)
    ]
    isin = [each for each in placed if each.state == "in"]
    others = [each for each in placed if each.state in {"out", "nowhere"}]
    lost = [each for each in others if each.state == "nowhere"]
    place = next((_misfit(each, contents) for each in (*lost, *isin)), None)
    if isin and others:
        more = f"; {place}" if lost and place else ""
        return Reason(f"half applied: {isin[0]} is in the tree already, {others[0]} is not{more}", place)
    if lost and place:
        return Reason(str(place), place)
    return Reason(_in_patchs_words(said))


def _whole_file(change: FileDiff, data: bytes | None) -> Reason | None:
    """What is wrong with a file as a whole, if anything."""
    path = change.path
    if data is None:
        missing = not change.creates and not change.deletes
        return Reason(f"{path} is not in the tree", Misfit(file=path)) if missing else None
    if change.creates:
        same = _lines(data) == list(change.hunks[0].new)
        return None if same else Reason(f"{path}, which it creates, is in the tree already, with other content")
    plain = data.replace(b"\r\n", b"\n")
    if plain != data and all(state(hunk, _lines(plain)) != "nowhere" for hunk in change.hunks):
        return Reason(f"{path} has CRLF line ends, which the patch has not")
    if data and not data.endswith(b"\n") and all(state(hunk, _lines(data)) != "nowhere" for hunk in change.hunks):
        return Reason(f"{path} has no newline at its end, where the patch expects one")
    return None


def _state(change: FileDiff, number: int, data: bytes | None) -> State:
    if data is None:
        return "out" if change.creates else "in"
    if change.creates:
        return "in"
    return state(change.hunks[number - 1], _lines(data))


def _misfit(placed: _Placed, contents: Mapping[str, bytes | None]) -> Misfit:
    return misfit(placed.change, placed.number, _lines(contents[placed.change.path] or b""))


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _in_patchs_words(said: str) -> str:
    words = ("FAILED", "ignored", "Not deleting", "already exists")
    return next(
        (line.strip() for line in said.splitlines() if any(word in line for word in words)), "GNU patch refused"
    )

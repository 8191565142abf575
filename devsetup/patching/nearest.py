"""Why a patch does not fit a file: which hunks are in, which are not, and the place that is most like the expected."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devsetup.patching.grammar import FileDiff, Hunk

# Lines such as `}` stand everywhere and say nothing about a place.
_COMMON = 40
_CANDIDATES = 12
_SCANNED_LINES = 20_000
_AROUND = 3
_SHOWN = 100
# Comparing takes time by the square of the length, and a file may be one line of megabytes.
_COMPARED_LINE = 300
_COMPARED = 6000

State = Literal["out", "in", "unclear", "nowhere"]


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """A hunk that does not fit, and the place that comes nearest.

    Attributes:
        file: relative to the tree.
        hunk: its number in that file, from 1.
        line: of the first expected line that is not there, counted as the hunk counts.
        expected: that line.
        nearest_line: where the most similar text stands; 0 when nothing is similar.
        nearest: that line.
        similarity: of these two lines, in percent.
    """

    file: str
    hunk: int = 0
    line: int = 0
    expected: str = ""
    nearest_line: int = 0
    nearest: str = ""
    similarity: int = 0

    def __str__(self) -> str:
        """One line for people."""
        if not self.hunk:
            return f"{self.file} is not in the tree"
        here = f"{self.file}:{self.line}: expected `{self.expected}`"
        if not self.nearest_line:
            return f"{here}, and nothing in the file is like it"
        return f"{here}, nearest is line {self.nearest_line} `{self.nearest}` ({self.similarity} % similar)"


def state(hunk: Hunk, lines: Sequence[str]) -> State:
    """Whether a hunk can still be applied to a file (`out`), is in already, could be either, or fits nowhere."""
    can_apply, is_in = _holds(lines, hunk.old), _holds(lines, hunk.new)
    if can_apply and is_in:
        return "unclear"
    if can_apply:
        return "out"
    return "in" if is_in else "nowhere"


def misfit(change: FileDiff, number: int, lines: Sequence[str]) -> Misfit:
    """Where a hunk belongs, most likely.

    Args:
        change: of the file.
        number: of its hunk, from 1.
        lines: the file, without newlines.
    """
    hunk = change.hunks[number - 1]
    start = _most_similar(hunk, lines)
    if start is None:
        expected = next((line for line in hunk.old if line.strip()), "")
        line = hunk.start + (hunk.old.index(expected) if hunk.old else 0)
        return Misfit(file=change.path, hunk=number, line=line, expected=shown(expected))
    offset, there = _difference(hunk.old, lines, start)
    return Misfit(
        file=change.path,
        hunk=number,
        line=hunk.start + offset,
        expected=shown(hunk.old[offset]),
        nearest_line=there + 1,
        nearest=shown(lines[there]),
        similarity=round(100 * _ratio(hunk.old[offset], lines[there])),
    )


def shown(line: str) -> str:
    """A line of a file as a message may show it: short, and nothing in it that a terminal obeys."""
    text = "".join(char if char.isprintable() else " " if char == "\t" else "?" for char in line).strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _holds(lines: Sequence[str], block: Sequence[str]) -> bool:
    if not block:
        return not lines
    ends = len(lines) - len(block) + 1
    return any(
        lines[start] == block[0] and tuple(lines[start : start + len(block)]) == tuple(block) for start in range(ends)
    )


def _ratio(one: str, other: str) -> float:
    import difflib  # noqa: PLC0415 - only stale patches need it

    return difflib.SequenceMatcher(None, one.strip()[:_COMPARED], other.strip()[:_COMPARED], autojunk=False).ratio()


def _block(lines: Sequence[str]) -> str:
    return "\n".join(line[:_COMPARED_LINE] for line in lines)


def _most_similar(hunk: Hunk, lines: Sequence[str]) -> int | None:
    """The start of the most similar place, from 0; None when nothing is similar."""
    wanted = _block(hunk.old)
    scores = {
        start: _ratio(_block(lines[start : start + len(hunk.old)]), wanted)
        for start in dict.fromkeys((*_voted(hunk, lines), *_alike(hunk, lines)))
    }
    return max(scores, key=lambda start: scores[start], default=None)


def _voted(hunk: Hunk, lines: Sequence[str]) -> list[int]:
    """Starts for which most lines are as expected; of equal ones those near the hunk's own line number."""
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line.strip(), []).append(number)
    votes: collections.Counter[int] = collections.Counter()
    for offset, line in enumerate(hunk.old):
        found = places.get(line.strip(), []) if line.strip() else []
        if len(found) <= _COMMON:
            votes.update(max(0, number - offset) for number in found)
    ordered = sorted(votes, key=lambda start: (-votes[start], abs(start - hunk.start)))
    return ordered[:_CANDIDATES]


def _alike(hunk: Hunk, lines: Sequence[str]) -> Iterator[int]:
    """Starts for which the hunk's longest line is most like what stands there."""
    import difflib  # noqa: PLC0415 - as above

    longest = max(hunk.old, key=lambda line: len(line.strip()), default="")
    wanted = longest.strip()[:_COMPARED_LINE]
    if not wanted:
        return
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    cutoff = 0.5
    for number, line in enumerate(lines[:_SCANNED_LINES]):
        matcher.set_seq1(line.strip()[: 2 * len(wanted)])
        if matcher.real_quick_ratio() > cutoff and matcher.quick_ratio() > cutoff and matcher.ratio() > cutoff:
            cutoff = matcher.ratio()
            yield max(0, number - hunk.old.index(longest))


def _difference(expected: Sequence[str], lines: Sequence[str], start: int) -> tuple[int, int]:
    """The first expected line that is not there, from 0, and the line of the file that is most like it.

    Where all lines are there, but not one after the other: the first that is out of place, and what stands there.
    """
    import difflib  # noqa: PLC0415 - as above

    first = max(0, start - _AROUND)
    window = lines[first : start + len(expected) + _AROUND]
    for offset, line in enumerate(expected):
        if line.strip() and line not in window:
            ratios = [_ratio(line[:_COMPARED_LINE], other[:_COMPARED_LINE]) for other in window]
            return offset, first + ratios.index(max(ratios))
    window = lines[start : start + len(expected)]
    for tag, a, _, b, _ in difflib.SequenceMatcher(None, expected, window, autojunk=False).get_opcodes():
        if tag != "equal":
            return min(a, len(expected) - 1), start + min(b, len(window) - 1)
    return 0, start

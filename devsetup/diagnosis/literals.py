"""What text a regular expression cannot do without.

Looking for a text takes a twentieth of the time of a search with a regular expression, and hundreds of them are asked
about every line that could matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# A regular expression in pieces: a group's beginning, an escape, a class, a quantifier, or one character.
_PIECE = re.compile(
    r"\(\?P<\w+>|\(\?[:=!]|\(\?<[=!]|\(\?|\\x[0-9a-fA-F]{2}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL
)
_GROUPS = ("(", "(?:")
_SPECIAL = frozenset(".^$")
_NEWLINE = {"\\n": "\n", "\\t": "\t"}

_COMMON = ("fatal", "error:", "No such file", "CMake Error", ".h")

Texts = tuple[str, ...]


def required(expression: str) -> Texts:
    """Texts of which every match holds at least one; none when that cannot be told.

    Alternatives and groups are followed; classes, look-arounds and optional parts say nothing. Inline flags and
    conditions, which change what letters mean, end the matter.
    """
    reader = _Reader(_PIECE.findall(expression))
    try:
        found = reader.alternatives()
    except _Unclear:
        return ()
    return found if reader.at == len(reader.pieces) else ()


def alternatives(expression: str) -> tuple[str, ...]:
    """The expressions, parted by `|` outside of groups, of which any match is one of the whole."""
    found, depth = [""], 0
    for piece in _PIECE.findall(expression):
        depth += piece.startswith("(") - (piece == ")")
        if piece == "|" and not depth:
            found.append("")
        else:
            found[-1] += piece
    return tuple(found)


def spans_lines(expression: str) -> bool:
    r"""Whether a regular expression asks for a line's end, other than to stop before it as `[^\n]` does."""
    return any(piece in {"\n", "\\n"} for piece in _PIECE.findall(expression))


def ends_anywhere(expression: str) -> bool:
    """Whether a regular expression over several lines holds `$`: that is the end of all that is read, not of a line."""
    return spans_lines(expression) and "$" in _PIECE.findall(expression)


class _Unclear(Exception):
    pass


class _Reader:
    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.at = 0

    def alternatives(self) -> Texts:
        """Up to the end of a group: what is needed by the one or the other."""
        needs = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            needs.append(self._sequence())
        return tuple(text for need in needs for text in need) if all(needs) else ()

    def _sequence(self) -> Texts:
        """What is needed by one of the parts that follow each other: the one that says most."""
        needs: list[Texts] = []
        run = ""
        while self._peek() not in {"", "|", ")"}:
            character, need = self._part()
            least, is_repeated = self._quantifier()
            if least and character:
                run += character
            if is_repeated or not (least and character):
                needs.append((run,))
                run = ""
            if least:
                needs.append(need)
        return _best((*needs, (run,)))

    def _part(self) -> tuple[str, Texts]:
        """One character, or what a group needs."""
        piece = self.pieces[self.at]
        self.at += 1
        if not piece.startswith("("):
            return _character(piece), ()
        if piece == "(?":
            raise _Unclear
        inner = self.alternatives()
        self.at += 1
        return "", inner if piece in _GROUPS or piece.startswith("(?P<") else ()

    def _quantifier(self) -> tuple[int, bool]:
        """How often the part before is there at least, and whether it may be repeated."""
        piece = self._peek()
        if piece not in {"*", "?", "+"} and not (piece.startswith("{") and len(piece) > 1):
            return 1, False
        self.at += 1
        if self._peek() in {"?", "+"}:  # lazy or possessive
            self.at += 1
        least = piece[1:-1].partition(",")[0]
        return (1 if piece == "+" else int(least or "0") if piece.startswith("{") else 0), True

    def _peek(self) -> str:
        return self.pieces[self.at] if self.at < len(self.pieces) else ""


def _best(needs: Iterable[Texts]) -> Texts:
    """Few long texts tell lines apart best; empty ones tell nothing, and what most errors say little."""
    telling = [need for need in needs if need and all(need)]
    return max(telling, key=lambda need: (min(map(_worth, need)) / len(need), min(map(len, need))), default=())


def _worth(text: str) -> int:
    for common in _COMMON:
        text = text.replace(common, "")
    return len(text.strip())


def _character(piece: str) -> str:
    """The one character that a piece stands for; empty for a class or an anchor."""
    if len(piece) == 1:
        return "" if piece in _SPECIAL else piece
    if piece in _NEWLINE:
        return _NEWLINE[piece]
    return piece[1] if piece.startswith("\\") and len(piece) == 2 and not piece[1].isalnum() else ""  # noqa: PLR2004

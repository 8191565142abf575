"""Quoting, once and for all forms that end in a POSIX shell.

Texts may hold any characters but NUL. The places of a text (`@PREFIX@`, see `steps`) become shell variables; nothing
else of it is expanded.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from devsetup.errors import CannotRender, InvalidInput
from devsetup.steps import substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BREAK = re.compile(r"([\n\r])")
# Variables of the shell functions that stand for what one line cannot hold.
_BREAKS = {"\n": "newline", "\r": "carriage_return"}
_CHUNK = 96


def pieces(text: str, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """A text as literals and variables, in order: (literal, "") or ("", variable).

    Args:
        text: may hold places.
        variables: place (`PREFIX`, `PREFIX:cuda`) to the variable that holds its value.

    Raises:
        CannotRender: the text holds a NUL, or a place that has no value there.
    """
    if "\0" in text:
        raise CannotRender(f"a text holds a NUL byte, which no shell can carry: {text[:60]!r}")
    try:
        # NUL cannot occur in the text, so it marks where the variables go.
        marked = substitute(text, {place: f"\0{name}\0" for place, name in variables.items()})
    except InvalidInput as error:
        raise CannotRender(error.message, error.hint) from error
    split = marked.split("\0")
    return [("", each) if index % 2 else (each, "") for index, each in enumerate(split) if index % 2 or each]


def quote(text: str) -> str:
    """One shell word that means exactly this text."""
    if _PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def word(text: str, variables: Mapping[str, str], *, one_line: bool = False) -> str:
    """One shell word for a text with places.

    Args:
        text: may hold places.
        variables: as for `pieces`.
        one_line: write line breaks as variables, for forms that cannot hold them.
    """
    parts = pieces(text, variables)
    if one_line:
        parts = [small for part in parts for small in _unbroken(part)]
    if not parts:
        return "''"
    if any(name for _, name in parts) and all(name or _PLAIN.fullmatch(literal) for literal, name in parts):
        return '"' + _in_double_quotes(parts) + '"'
    return "".join(f'"${name}"' if name else quote(literal) for literal, name in parts)


def _in_double_quotes(parts: list[tuple[str, str]]) -> str:
    shown = ""
    for index, (literal, name) in enumerate(parts):
        following = parts[index + 1][0][:1] if index + 1 < len(parts) else ""
        braces = bool(name) and (following == "_" or following.isalnum())
        shown += literal or (f"${{{name}}}" if braces else f"${name}")
    return shown


def _unbroken(part: tuple[str, str]) -> list[tuple[str, str]]:
    literal, name = part
    if name:
        return [part]
    return [("", _BREAKS[each]) if each in _BREAKS else (each, "") for each in _BREAK.split(literal) if each]


def check_variable(name: str) -> None:
    """Refuse a name that a shell does not accept for a variable.

    Raises:
        CannotRender: it is one.
    """
    if not _VARIABLE.fullmatch(name):
        raise CannotRender(f"{name!r} is no name for an environment variable")


def assignment(name: str, value: str, variables: Mapping[str, str], *, one_line: bool = False) -> str:
    """`NAME=VALUE` as one shell word, for env(1)."""
    return word(f"{name}={value}", variables, one_line=one_line)


def heredoc(text: str) -> str:
    """A quoted here-document, from `<<` on. The text ends with a newline and holds no places.

    The delimiter is a line that the text does not have.
    """
    lines = set(text.split("\n"))
    delimiter = "END_OF_FILE"
    while delimiter in lines:
        delimiter += "_"
    return f"<<'{delimiter}'\n{text}{delimiter}"


def chunks(text: str) -> list[str]:
    """A text's UTF-8 bytes in base64, in pieces that each fit on a line."""
    coded = base64.b64encode(text.encode()).decode()
    return [coded[start : start + _CHUNK] for start in range(0, len(coded), _CHUNK)]


def comment(text: str) -> str:
    """A text on one line, for after a `#`."""
    return " ".join(text.split())

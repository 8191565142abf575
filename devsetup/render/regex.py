"""Python's regular expressions to POSIX extended ones, as `grep -E` takes them: what both mean alike, and no more."""

from __future__ import annotations

import re

from devsetup.errors import CannotRender

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": "[:space:]"}
_NEGATED = {"D": "d", "W": "w", "S": "s"}
_TOKEN = re.compile(
    r"""(?P<escape>\\.)
    |(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    |(?P<group>\(\?)
    |(?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\})(?P<more>[?+*{])?)
    |(?P<plain>[^\\\[{])""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"\\(.)|([^\\])", re.DOTALL)


def extended(pattern: str) -> str:
    r"""The same pattern for `grep -E`, which looks at one line at a time.

    Raises:
        CannotRender: it uses what extended expressions do not have: groups with `?`, lazy repeats, back references, \b.
    """
    made = ""
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None or token["group"] or token["more"] or token.group() == "\n":
            raise _refusal(pattern, pattern[position : position + 2])
        if token["escape"]:
            made += _escape(pattern, token["escape"][1])
        elif token["set"]:
            made += _set(pattern, token["set"])
        else:
            made += token.group()
        position = token.end()
    return made


def _escape(pattern: str, letter: str) -> str:
    if letter in _CLASSES:
        return f"[{_CLASSES[letter]}]"
    if letter in _NEGATED:
        return f"[^{_CLASSES[_NEGATED[letter]]}]"
    if letter.isalnum() or letter.isspace():
        raise _refusal(pattern, f"\\{letter}")
    # Escaping what is not special is undefined in extended expressions.
    return f"\\{letter}" if letter in r".[]\*^$()+?{}|" else letter


def _set(pattern: str, text: str) -> str:
    """A bracket expression: there, a backslash is itself and `[:` begins a class."""
    start = 2 if text.startswith("[^") else 1
    made = text[:start]
    inside = text[start:-1]
    if "[" in inside:
        raise _refusal(pattern, text)
    for escaped, plain in _INSIDE.findall(inside):
        if escaped in _CLASSES:
            made += _CLASSES[escaped]
        elif escaped and (escaped.isalnum() or escaped in r"\]^-["):
            raise _refusal(pattern, text)
        else:
            made += escaped or plain
    return f"{made}]"


def _refusal(pattern: str, seen: str) -> CannotRender:
    return CannotRender(
        f"a proof expects {pattern!r}, and `grep -E` has nothing that means {seen!r}",
        "write the recipe's `expect` with plain groups, sets and greedy repeats",
    )

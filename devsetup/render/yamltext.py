"""Data as YAML text that people read: block style, and scalars as JSON writes them, which every YAML reader takes."""

from __future__ import annotations

import json
import re
from typing import TypeAlias

import msgspec

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# Words that YAML 1.1 reads as truth values or as nothing.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# What YAML 1.1 takes for a line break or refuses raw, and JSON leaves as it is.
_RAW = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Verbatim(msgspec.Struct, frozen=True):
    """A text in which Ansible must not look for templates (`!unsafe`)."""

    text: str


Scalar: TypeAlias = str | int | bool | Verbatim
Node: TypeAlias = "Scalar | list[Node] | dict[str, Node]"


def emit(node: Node) -> str:
    """A document, with a newline at its end."""
    return "".join(f"{line}\n" for line in _lines(node))


def _lines(node: Node) -> list[str]:
    if isinstance(node, dict):
        return [line for key, value in node.items() for line in _entry(_key(key), value)]
    if isinstance(node, list):
        return [line for value in node for line in _item(value)]
    return [_scalar(node)]


def _entry(key: str, value: Node) -> list[str]:
    if isinstance(value, (dict, list)):
        if not value:
            return [f"{key}: {'{}' if isinstance(value, dict) else '[]'}"]
        return [f"{key}:", *(f"  {line}" for line in _lines(value))]
    return [f"{key}: {_scalar(value)}"]


def _item(value: Node) -> list[str]:
    first, *rest = _lines(value) or ["[]"]
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS
    return key if plain else _quoted(key)


def _scalar(value: Scalar) -> str:
    if isinstance(value, Verbatim):
        return f"!unsafe {_quoted(value.text)}"
    return json.dumps(value) if isinstance(value, (bool, int)) else _quoted(value)


def _quoted(text: str) -> str:
    # Characters beyond the basic plane must stay as they are: JSON would write them as two surrogates.
    return _RAW.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(text, ensure_ascii=False))

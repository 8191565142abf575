"""Whether a recipe's file keeps to facts: its syntax is read, nothing of it runs."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a recipe may import: the vocabulary, and parts of the standard library that only compute.
_MODULES = frozenset(
    {
        *("devsetup.recipe", "devsetup.steps", "devsetup.building", "devsetup.linking", "devsetup.facts"),
        *("__future__", "typing", "collections", "collections.abc", "dataclasses", "enum", "functools", "itertools"),
        *("re", "shlex", "string", "textwrap"),
    }
)
_CALLS = frozenset({"open", "exec", "eval", "compile", "input", "print", "breakpoint"})
# Imports of these are told by the rule above; the bare names catch those that came in by another way.
_NAMES = frozenset({"os", "sys", "subprocess", "pathlib", "platform", "socket", "globals", "vars"})
_DUNDERS = frozenset({"__import__", "__builtins__", "__loader__", "__spec__", "__file__"})


def impurities(tree: ast.Module, *, package: bool = False) -> Iterator[tuple[int, str]]:
    """Lines and what they do that a pure function of facts cannot, in the order of the file.

    Args:
        tree: the file.
        package: it belongs to a recipe of several files, which may import each other.
    """
    nodes = [node for node in ast.walk(tree) if isinstance(node, _LOOKED_AT) and not (package and _sibling(node))]
    found = [(node.lineno, what) for node in nodes for what in _why(node)]
    yield from sorted(set(found))


_LOOKED_AT = (ast.Import, ast.ImportFrom, ast.Name, ast.Attribute)


def _sibling(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.level == 1


def _why(node: ast.Import | ast.ImportFrom | ast.Name | ast.Attribute) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (f"imports {alias.name}" for alias in names if alias.name not in _MODULES)
        case ast.ImportFrom(module=module, level=level):
            if level or module not in _MODULES:
                yield f"imports {'.' * level}{module or ''}"
        case ast.Name(id=name):
            if name in _CALLS | _NAMES | _DUNDERS:
                yield f"uses {name}"
        case ast.Attribute(attr=attr):
            if attr.startswith("__") and attr.endswith("__"):
                yield f"reaches for {attr}"

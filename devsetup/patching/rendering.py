"""Filling a patch's holes.

Holes are written `<%= name %>`: Jinja's default braces reject or silently rewrite C++ initialisers. Only variables are
allowed, undefined ones are errors, and the last newline is kept (without it `patch` applies with fuzz).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import nodes

HOLE = "<%="
_BLOCK = re.compile(r"<%(?!=)|<#")
# What a hole may ask facts beside naming a field of theirs.
_QUESTIONS = {"library", "compiler"}


def render(template: str, values: Mapping[str, object], *, name: str) -> str:
    """Fill a patch's holes.

    Args:
        template: the patch file's text.
        values: what `<%= ... %>` may name: `facts` and `options`.
        name: the patch's file name, for messages.

    Raises:
        InvalidInput: a block tag, an undefined variable, an expression that is more than a variable, or a value that
            spans lines (it would change what the hunk's header counts).
    """
    if _BLOCK.search(template):
        raise InvalidInput(f"{name}: only <%= variable %> is allowed in a patch, no block tags or comments")
    if HOLE not in template:
        return template
    import jinja2  # noqa: PLC0415 - 45 ms that only patches with holes need
    import jinja2.sandbox  # noqa: PLC0415

    def one_line(value: object) -> object:
        if not str(value).isprintable():
            raise InvalidInput(f"{name}: the value {str(value)[:40]!a} has a line break or control character")
        return value

    environment = jinja2.sandbox.SandboxedEnvironment(
        variable_start_string=HOLE,
        variable_end_string="%>",
        block_start_string="<%!",
        block_end_string="!%>",
        comment_start_string="<#!",
        comment_end_string="!#>",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # a diff is not HTML
        finalize=one_line,
    )
    try:
        _check_expressions(environment.parse(template), name)
        return environment.from_string(template).render(values)
    except jinja2.TemplateError as error:
        raise InvalidInput(f"{name}: {error}") from error


def _check_expressions(template: nodes.Template, name: str) -> None:
    """Names, fields, items and questions only: arithmetic and filters can take all memory, or for ever."""
    from jinja2 import nodes  # noqa: PLC0415 - as above

    for output in template.find_all(nodes.Output):
        for node in (inner for outer in output.nodes for inner in (outer, *outer.find_all(nodes.Expr))):
            plain = isinstance(node, nodes.TemplateData | nodes.Name | nodes.Getattr | nodes.Getitem | nodes.Const)
            if not plain and not _is_question(node):
                raise InvalidInput(
                    f"{name}: line {node.lineno} has an unsafe expression; a hole may only name a variable"
                )


def _is_question(node: nodes.Node) -> bool:
    """Whether a node is `facts.library("opencv")` or the like."""
    from jinja2 import nodes  # noqa: PLC0415 - as above

    if not isinstance(node, nodes.Call) or not isinstance(node.node, nodes.Getattr):
        return False
    of_facts = isinstance(node.node.node, nodes.Name) and node.node.node.name == "facts"
    constant = all(isinstance(argument, nodes.Const) for argument in node.args)
    more = node.kwargs or node.dyn_args or node.dyn_kwargs
    return of_facts and node.node.attr in _QUESTIONS and constant and not more

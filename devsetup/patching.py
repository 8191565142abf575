"""Patches as text: unified diffs with holes. Pure; applying is the runner's business.

Holes are written `<%= name %>`: Jinja's default braces reject or silently rewrite C++ initialisers. Only variables are
allowed, undefined ones are errors, and the last newline is kept (without it `patch` applies with fuzz).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOLE = "<%="
_BLOCK = re.compile(r"<%(?!=)|<#")
# Git's extended headers let a patch read a file that it does not show (`copy from`), change modes or carry binary data.
_EXTENDED = re.compile(
    r"^(copy from|copy to|rename from|rename to|GIT binary patch|Binary files |old mode|new mode|similarity index)",
    re.MULTILINE,
)
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEADER = re.compile(r"^(?:---|\+\+\+) ([^\t\n]+)", re.MULTILINE)


class Diff(msgspec.Struct, frozen=True):
    """A checked patch: its text and the files that it changes, relative to the tree (`-p1`)."""

    text: str
    files: tuple[str, ...]
    added: int
    removed: int


def render(template: str, values: Mapping[str, object], *, name: str) -> str:
    """Fill a patch's holes.

    Args:
        template: the patch file's text.
        values: what `<%= ... %>` may name: `facts` and `options`.
        name: the patch's file name, for messages.

    Raises:
        InvalidInput: a block tag, an undefined variable, or an expression that the sandbox refuses.
    """
    if _BLOCK.search(template):
        raise InvalidInput(f"{name}: only <%= variable %> is allowed in a patch, no block tags or comments")
    if _HOLE not in template:
        return template
    import jinja2  # noqa: PLC0415 - 45 ms that only patches with holes need
    import jinja2.sandbox  # noqa: PLC0415

    environment = jinja2.sandbox.SandboxedEnvironment(
        variable_start_string=_HOLE,
        variable_end_string="%>",
        block_start_string="<%!",
        block_end_string="!%>",
        comment_start_string="<#!",
        comment_end_string="!#>",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # a diff is not HTML
    )
    try:
        return environment.from_string(template).render(values)
    except jinja2.TemplateError as error:
        raise InvalidInput(f"{name}: {error}") from error


def check(text: str, *, name: str) -> Diff:
    """Refuse a patch that could do anything but edit files inside its tree.

    Raises:
        InvalidInput: empty, malformed, binary, with CR line ends, with copy/rename/mode headers, or naming an absolute
            path, `..` or `.git`. The message names the patch and the reason.
    """
    if "\r" in text:
        raise InvalidInput(f"{name}: has carriage returns; a patch must use plain newlines")
    if not text.endswith("\n"):
        raise InvalidInput(f"{name}: does not end with a newline, so its last line may be cut off")
    extended = _EXTENDED.search(text)
    if extended:
        raise InvalidInput(f"{name}: has a `{extended.group(1).strip()}` header; only plain unified diffs are accepted")
    for path in _HEADER.findall(text):
        _check_path(path.strip(), name)
    _check_hunks(text.splitlines(), name)
    import unidiff  # noqa: PLC0415 - only planning needs it

    try:
        patch = unidiff.PatchSet(text)
    except unidiff.UnidiffParseError as error:
        raise InvalidInput(f"{name}: is not a well-formed unified diff: {error}") from error
    if not patch or not any(len(file) for file in patch):
        raise InvalidInput(f"{name}: is empty; it changes nothing")
    return Diff(text, tuple(file.path for file in patch), patch.added, patch.removed)


def _check_hunks(lines: list[str], name: str) -> None:
    """Every hunk holds exactly the lines that its header promises: parsers and GNU patch drop the surplus silently."""
    old = new = 0
    inside = False
    for number, line in enumerate(lines, 1):
        header = _HUNK.match(line)
        if old or new:
            old -= line[:1] in {" ", "-", ""}
            new -= line[:1] in {" ", "+", ""}
        elif header:
            old, new = (int(count) if count else 1 for count in header.groups())
            inside = True
        elif inside and line[:1] in {" ", "-", "+"} and not line.startswith("--- "):
            raise InvalidInput(f"{name}: line {number} lies outside its hunk, whose header promises fewer lines")
        elif not line.startswith("\\"):
            inside = False
        if old < 0 or new < 0:
            raise InvalidInput(f"{name}: line {number} does not fit the line counts of its hunk's header")
    if old or new:
        raise InvalidInput(f"{name}: is not a well-formed unified diff: its last hunk is cut off")


def _check_path(path: str, name: str) -> None:
    if path == "/dev/null":
        return
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise InvalidInput(f"{name}: names {path}, which is outside the tree")
    if ".git" in (part.lower() for part in parts):
        raise InvalidInput(f"{name}: names {path}; a patch may not touch .git")
    if len(parts) < 2:  # noqa: PLR2004 - the a/ or b/ component and a file
        raise InvalidInput(f"{name}: names {path}; paths must carry one leading component (a/, b/)")

"""What a view is made of: a few kinds of block, so that one view serves terminals, pipes and pictures."""

from __future__ import annotations

import msgspec


class Title(msgspec.Struct, frozen=True):
    """A heading line."""

    text: str


class Text(msgspec.Struct, frozen=True):
    """A paragraph."""

    text: str


class Code(msgspec.Struct, frozen=True):
    """A command to copy, one per line; never wrapped."""

    lines: tuple[str, ...]


class Table(msgspec.Struct, frozen=True):
    """Rows under column heads. `title` stands above; the last column may wrap."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


Block = Title | Text | Code | Table


def plain(blocks: tuple[Block, ...]) -> str:
    """Blocks as plain lines for pipes and files: aligned columns, nothing cut off."""
    return "\n\n".join("\n".join(_lines(block)) for block in blocks) + "\n"


def _lines(block: Block) -> list[str]:
    match block:
        case Title(text=text) | Text(text=text):
            return [text]
        case Code(lines=lines):
            return [f"  {line}" for line in lines]
        case Table(columns=columns, rows=rows, title=title):
            cells = [columns, *rows]
            widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
            body = [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
            ]
            return [title, *body] if title else body

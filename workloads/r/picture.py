"""The first rows of a table as three programs encode them, drawn as SVG: what each does with a missing value."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

CELL = 5  # pixels
GAP = 40  # between panels
TOP = 34
INK, GONE, EXTRA = "#20558a", "#c8553d", "#e0a030"


def draw(panels: Sequence[tuple[str, Sequence[int | None]]], columns: int) -> str:
    """Draw panels side by side.

    Args:
        panels: title, and for each row the column that holds its one; None where the row is left out, -1 where it is
            all zeros, `columns` where it is in a column of its own for missing values.
        columns: how many levels there are.
    """
    wide, high = (columns + 1) * CELL, len(panels[0][1]) * CELL
    width, height = len(panels) * (wide + GAP), TOP + high + 12
    body = [_panel(title, rows, columns, GAP // 2 + n * (wide + GAP)) for n, (title, rows) in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "".join(body) + "</svg>\n"
    )


def _panel(title: str, rows: Sequence[int | None], columns: int, left: int) -> str:
    marks = [
        f'<text x="{left}" y="{TOP - 10}">{escape(title)}</text>',
        f'<rect x="{left}" y="{TOP}" width="{columns * CELL}" height="{len(rows) * CELL}" fill="#f2f4f6"/>',
    ]
    for n, column in enumerate(rows):
        y = TOP + n * CELL
        if column is None:
            marks.append(_rect(left, y, columns * CELL, GONE))
        elif column >= 0:
            marks.append(_rect(left + column * CELL, y, CELL, EXTRA if column == columns else INK))
        else:
            marks.append(f'<rect x="{left}" y="{y}" width="{columns * CELL}" height="{CELL}" fill="#ffffff"/>')
    return "\n".join(marks) + "\n"


def _rect(x: int, y: int, width: int, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{CELL}" fill="{colour}"/>'

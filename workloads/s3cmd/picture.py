"""Wall time of each phase as bars, drawn as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT, BAR, STEP, WIDE = 330, 18, 28, 420


def draw(title: str, bars: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars of seconds, the longest across the whole width."""
    longest = max(seconds for _, seconds in bars) or 1.0
    high = 50 + STEP * len(bars)
    body = []
    for number, (what, seconds) in enumerate(bars):
        y, wide = 44 + STEP * number, WIDE * seconds / longest
        body.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(what)}</text>')
        body.append(f'<rect x="{LEFT}" y="{y}" width="{wide:.1f}" height="{BAR}" fill="#20558a"/>')
        body.append(f'<text x="{LEFT + wide + 6:.1f}" y="{y + 13}">{seconds:.2f} s</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{high}" '
        'font-family="sans-serif" font-size="13">\n'
        f'<rect width="840" height="{high}" fill="#ffffff"/>\n'
        f'<text x="20" y="24" font-size="15">{escape(title)}</text>\n' + "\n".join(body) + "\n</svg>\n"
    )

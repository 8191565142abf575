"""The chart: Berkeley DB's figures in multiples of LevelDB's over the number of pairs; or rates where one is alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratios import KINDS, PAIRS, note_ratios, ratio_curve
from stores import STORES

if TYPE_CHECKING:
    from keyvalue import Measured

    Points = list[tuple[float, float]]

WIDTH, HEIGHT = 820, 460
LEFT, TOP, RIGHT, BOTTOM = 70, 60, 580, 400
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
WORDS = {"build": "build, random order", "cold": "look-ups, cold", "hot": "look-ups, hot", "size": "size on disk"}


@dataclass(frozen=True)
class Line:
    """One series; `mark` is a single further point, drawn hollow."""

    name: str
    points: Points
    mark: tuple[float, float] | None = None
    dashed: bool = False


def draw(found: list[Measured]) -> str:
    """An SVG image."""
    stores = {each.store for each in found}
    if {"leveldb", "berkeleydb"} <= stores:
        title = "Berkeley DB in multiples of LevelDB: below 1 it is faster, or smaller"
        return _picture(title, _ratio_lines(found), even=True)
    return _picture("Pairs a second while building, by number of pairs", _rate_lines(found), even=False)


def _ratio_lines(found: list[Measured]) -> list[Line]:
    curve, note = ratio_curve(found, "random"), note_ratios()
    lines = [Line(WORDS[kind], [(pairs, each[kind]) for pairs, each in curve], (PAIRS, note[kind])) for kind in KINDS]
    after = [(float(pairs), each["build"]) for pairs, each in ratio_curve(found, "sorted")]
    return [*lines, Line("build, sorted order", after, dashed=True)]


def _rate_lines(found: list[Measured]) -> list[Line]:
    kinds = dict.fromkeys((each.store, each.order) for each in found)
    return [
        Line(
            f"{STORES[store].name}, {order} order",
            [
                (e.pairs, e.pairs / e.built.seconds)
                for e in found
                if (e.store, e.order, e.short) == (store, order, True)
            ],
            dashed=order == "sorted",
        )
        for store, order in kinds
    ]


def _picture(title: str, lines: list[Line], *, even: bool) -> str:
    points = [point for line in lines for point in (*line.points, *([line.mark] if line.mark else []))]
    across = _Axis([x for x, _ in points], LEFT, RIGHT)
    up = _Axis([y for _, y in points] + ([1.0] if even else []), BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        '<g font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="28" font-size="16">{title}</text>',
        *(_grid(across, up)),
    ]
    if even:
        parts.append(f'<path d="M{LEFT} {up.at(1):.1f}H{RIGHT}" stroke="#000" stroke-width="1.5"/>')
    for number, line in enumerate(lines):
        parts += _series(line, COLOURS[number % len(COLOURS)], across, up)
        parts += _key(line.name, COLOURS[number % len(COLOURS)], TOP + 24 * number, dashed=line.dashed)
    if any(line.mark for line in lines):
        y = TOP + 24 * len(lines)
        parts.append(f'<circle cx="{RIGHT + 32}" cy="{y}" r="5" fill="#fff" stroke="#000" stroke-width="2"/>')
        parts.append(f'<text x="{RIGHT + 52}" y="{y + 4}">the note, 2013</text>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 18}" text-anchor="middle">pairs</text>')
    return "\n".join((*parts, "</g></svg>")) + "\n"


class _Axis:
    """A logarithmic axis over whole factors of ten, or of two where the values lie close."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        step = 1.0 if high - low > 1.5 else math.log10(2)  # noqa: PLR2004 - decades
        self._low, self._high = (
            math.floor(low / step) * step,
            max(math.ceil(high / step), math.floor(low / step) + 1) * step,
        )
        self._start, self._end, self._step = start, end, step

    def at(self, value: float) -> float:
        """Where a value stands in the picture."""
        return self._start + (math.log10(value) - self._low) / (self._high - self._low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """The values that are written at the axis."""
        count = round((self._high - self._low) / self._step)
        return [10 ** (self._low + number * self._step) for number in range(count + 1)]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for x in across.ticks():
        parts.append(f'<path d="M{across.at(x):.1f} {TOP}V{BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{across.at(x):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{_figure(x)}</text>')
    for y in up.ticks():
        parts.append(f'<path d="M{LEFT} {up.at(y):.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up.at(y) + 4:.1f}" text-anchor="end">{_figure(y)}</text>')
    return parts


def _figure(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size * 0.999:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _series(line: Line, colour: str, across: _Axis, up: _Axis) -> list[str]:
    places = [(across.at(x), up.at(y)) for x, y in line.points]
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
    if line.mark:
        x, y = across.at(line.mark[0]), up.at(line.mark[1])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="{colour}" stroke-width="2"/>')
    return parts


def _key(name: str, colour: str, y: float, *, dashed: bool) -> list[str]:
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return [
        f'<path d="M{RIGHT + 20} {y}H{RIGHT + 44}" stroke="{colour}" stroke-width="2"{dash}/>',
        f'<text x="{RIGHT + 52}" y="{y + 4}">{name}</text>',
    ]

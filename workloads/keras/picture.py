"""Learning curves as SVG: one panel for each way of holding ratings back."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP = 330, 300, 52, 64
COLOURS = {"hidden layer": "#1f77b4", "as printed": "#d95f02"}


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        title: above it.
        curves: name to RMSE on the held-back ratings after each epoch.
        levels: name to an RMSE that is no matter of epochs.
    """

    title: str
    curves: dict[str, list[float]]
    levels: dict[str, float]


def draw(title: str, panels: list[Panel]) -> str:
    """The picture; all panels have the same vertical axis."""
    values = [
        v for panel in panels for v in (*panel.levels.values(), *(x for curve in panel.curves.values() for x in curve))
    ]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.1
    width = LEFT + len(panels) * (WIDTH + LEFT)
    size = f'width="{width}" height="{TOP + HEIGHT + 64}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
    ]
    for i, panel in enumerate(panels):
        parts += _panel(panel, LEFT + i * (WIDTH + LEFT), low - margin, high + margin)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: float, low: float, high: float) -> list[str]:
    def height(value: float) -> float:
        return TOP + HEIGHT * (high - value) / (high - low)

    epochs = max(len(curve) for curve in panel.curves.values())
    parts = [
        f'<text x="{left}" y="{TOP - 12}" font-weight="bold">{panel.title}</text>',
        f'<path d="M{left} {TOP}V{TOP + HEIGHT}H{left + WIDTH}" fill="none" stroke="#000"/>',
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 18}" text-anchor="middle">epochs, 1 to {epochs}</text>',
    ]
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(f'<text x="{left - 6}" y="{height(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for name, value in panel.levels.items():
        y = height(value)
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#777" stroke-dasharray="5 4"/>')
        parts.append(
            f'<text x="{left + WIDTH}" y="{y - 4:.1f}" fill="#555" text-anchor="end">{name}: {value:.3f}</text>'
        )
    for line, (name, curve) in enumerate(panel.curves.items()):
        step = WIDTH / max(1, len(curve) - 1)
        points = " ".join(f"{left + step * i:.1f},{height(value):.1f}" for i, value in enumerate(curve))
        colour = COLOURS[name]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        label = f"{name}: {curve[-1]:.3f} at the end"
        parts.append(f'<text x="{left}" y="{TOP + HEIGHT + 36 + 16 * line}" fill="{colour}">{label}</text>')
    return parts

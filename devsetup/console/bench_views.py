"""The view of `devsetup bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.console.blocks import Block, Code, Table, Text, Title
from devsetup.proofs import decimal

if TYPE_CHECKING:
    from devsetup.results import Machine, Result, Row


def report(result: Result, command: str, plots: tuple[str, ...]) -> tuple[Block, ...]:
    """The note's table beside this machine's, and what a reader must know to judge and repeat it.

    Args:
        result: the table.
        command: measures again.
        plots: paths of pictures.
    """
    blocks: list[Block] = [
        Title(result.title),
        Table(("what", "unit", "here", "note", "here / note"), tuple(map(_row, result.rows))),
    ]
    if result.remarks:
        blocks.append(Text("\n".join(f"- {remark}" for remark in result.remarks)))
    facts = [("scale", decimal(result.scale)), ("seed", str(result.seed))]
    if run := result.run:
        facts += [
            ("machine", _machine(run.machine)),
            ("measured", f"{run.at}, {run.seconds:.1f} s in all, load before it {run.load:g}"),
        ]
    facts += [("plot", path) for path in plots]
    blocks += [Table(("of the run", ""), tuple(facts)), Text("Measure again with:"), Code((command,))]
    return tuple(blocks)


def _row(row: Row) -> tuple[str, ...]:
    ratio = row.ratio
    return (row.what, row.unit, figure(row.here), figure(row.note), "" if ratio is None else figure(ratio))


def figure(value: float | str | None) -> str:
    """A figure for people: three significant digits, or all digits before the point; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1000 or value == int(value):  # noqa: PLR2004 - thousands get separators
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _machine(machine: Machine) -> str:
    told = (
        machine.cpu or machine.arch,
        f"{machine.cores or 'unknown number of'} cores",
        f"{machine.memory_mb or 'unknown'} MB memory",
        machine.os,
    )
    return ", ".join(word for word in told if word)

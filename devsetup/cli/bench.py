"""`bench`: the workload of an install as a measurement, beside the figures of the note that its recipe follows."""

from __future__ import annotations

import click

from devsetup.cli.root import Command, Session, complete_recipe, json_option, scale_option
from devsetup.errors import UsageError


@click.command("bench", cls=Command)
@click.argument("name", shell_complete=complete_recipe)
@scale_option
@click.option("--last", is_flag=True, help="Show the last result; run nothing.")
@json_option
@click.pass_obj
def bench_command(session: Session, name: str, scale: float | None, last: bool, as_json: bool) -> None:
    r"""Measure NAME, and print the figures beside those of the note that its recipe follows.

    \b
    devsetup bench keyvalue              the size that proved the install
    devsetup bench keyvalue --scale 10   ten times as large
    devsetup bench keyvalue --last       what was measured last, without running anything

    The result and its plot land next to the receipt. They stay as they are when a later run fails.
    """
    from devsetup.app import benching
    from devsetup.console import bench_views
    from devsetup.console.progress import watch

    if last and scale is not None:
        raise UsageError("--last shows what was measured, at the scale of then", "leave one of --last and --scale out")
    if last:
        report = benching.last(session.workspace(), name)
    else:
        with watch(session.screen) as emit:
            report = benching.bench(session.workspace(), name, scale or 1.0, emit)
    if as_json:
        session.screen.json("bench", report)
    else:
        session.screen.show(bench_views.report(report.result, report.command, report.plots))

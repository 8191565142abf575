"""`patch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devsetup.cli.install import chosen_options, option_option
from devsetup.cli.root import Command, Session, complete_recipe, json_option, on_option

if TYPE_CHECKING:
    from devsetup.execute.patch_records import TreeReport


@click.command("patch", cls=Command)
@click.argument("name", shell_complete=complete_recipe)
@click.option(
    "--tree", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The unpacked source to patch."
)
@on_option
@option_option
@click.option("--check", is_flag=True, help="Show the status of every patch; change nothing.")
@click.option("--reverse", is_flag=True, help="Take back all that was applied.")
@json_option
@click.pass_obj
def patch_command(
    session: Session,
    name: str,
    tree: Path,
    on: str | None,
    options: tuple[str, ...],
    check: bool,
    reverse: bool,
    as_json: bool,
) -> int:
    """Apply a recipe's patches to an unpacked source tree: exactly, and all of them or none.

    Every patch applies, is applied, is already upstream, is not needed here, or needs rebase; the reason is said. When
    one needs rebase, nothing is changed and the exit status is 1.
    """
    from devsetup.app import trees

    target = trees.Target(name=name, tree=tree.absolute(), on=on, options=chosen_options(options))
    work = trees.check if check else trees.apply
    report = work(session.workspace(), target, reverse=reverse)
    _show(session, report, as_json=as_json)
    if report.stale and not check:
        raise trees.stale_error(report)
    return 1 if report.stale else 0


def _show(session: Session, report: TreeReport, *, as_json: bool) -> None:
    from devsetup.console import patch_views

    if as_json:
        session.screen.json("patch", report)
    else:
        session.screen.show(patch_views.tree(report))

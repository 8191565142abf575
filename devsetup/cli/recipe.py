"""`recipe new|lint|test`: writing recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devsetup.cli.root import Command, Session, home_option, json_option, names_argument

if TYPE_CHECKING:
    from devsetup.app.authoring import Outcome, TreeOutcome


@click.group("recipe", params=[home_option()])
def recipe_command() -> None:
    """Write recipes: start one, check its file, plan it on every declared host."""


@recipe_command.command("new", cls=Command, short_help="Start a recipe that works as it is.")
@click.argument("name")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="The catalogue to write into; a new one is made.  [default: the one in use]",
)  # fmt: skip
@click.pass_obj
def new_command(session: Session, name: str, directory: Path | None) -> None:
    """Start a recipe: files that install something small and real as they are.

    Whatever is there already stays as it is.
    """
    from devsetup.app import authoring
    from devsetup.console import authoring as views

    in_use = session.workspace().loader.root
    root = (directory or in_use).absolute()
    paths = authoring.new(name, root, like=in_use)
    session.screen.show(views.written(name, paths, root if root != in_use else None))


@recipe_command.command("lint", cls=Command, short_help="Check the files of recipes.")
@names_argument(required=False)
@json_option
@click.pass_obj
def lint_command(session: Session, names: tuple[str, ...], as_json: bool) -> int:
    """Check the files of these recipes, or of all: what a reviewer would ask for, and whether they are pure.

    Exit status 1 when there is an error; warnings alone give 0.
    """
    from devsetup.app import authoring
    from devsetup.console import authoring as views

    loader = session.workspace().loader
    found = authoring.lint(loader, names)
    if as_json:
        session.screen.json("findings", found)
    else:
        rows = [
            (f"{each.path}:{each.line}" if each.line else each.path, each.level, each.rule, each.message, each.fix)
            for each in found
        ]
        session.screen.show(views.findings(rows, checked=len(names or loader.names())))
    return int(any(each.level == "error" for each in found))


@recipe_command.command("test", cls=Command, short_help="Plan recipes on every declared host.")
@names_argument(required=True)
@click.option(
    "--tree", "trees", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
    help="Also try the recipe's patches on this unpacked source, which stays as it is. May be repeated.",
)  # fmt: skip
@json_option
@click.pass_obj
def test_command(session: Session, names: tuple[str, ...], trees: tuple[Path, ...], as_json: bool) -> int:
    """Plan these recipes on every declared host, twice, with files, processes and sockets out of reach.

    Exit status 1 when that fails on a host, or a patch does not fit a tree; a recipe that refuses a host with a reason
    is fine.
    """
    from devsetup.app import authoring
    from devsetup.console import authoring as views

    if trees and len(names) > 1:
        raise click.UsageError("--tree is the source of one recipe; name just that one")
    workspace = session.workspace()
    planned = authoring.trial(workspace.loader, names)
    fitted = authoring.trial_on_trees(workspace, names[0], trees) if trees else ()
    if as_json:
        session.screen.json("tested", {"plans": planned, "trees": fitted})
    else:
        blocks = views.plans([_plan_row(each) for each in planned])
        session.screen.show(blocks + (views.trees([_tree_row(each) for each in fitted]) if fitted else ()))
    return int("error" in {*(each.status for each in planned), *(each.status for each in fitted)})


def _plan_row(outcome: Outcome) -> tuple[str, str, str, str]:
    detail = outcome.reason or f"{outcome.steps} steps, {outcome.patches} patches"
    return outcome.recipe, outcome.host, outcome.status, detail


def _tree_row(outcome: TreeOutcome) -> tuple[str, str, str, str, str]:
    counts = ", ".join(f"{count} {status}" for status, count in outcome.counts.items()) or "no patches"
    return outcome.tree, outcome.generation or "-", outcome.host, outcome.status, outcome.reason or counts

"""`list`, `search`, `info`, `facts`: what there is, and what this machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devsetup.cli.root import Command, Session, complete_recipe, cuda_option, json_option, on_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devsetup.app.workspace import Workspace
    from devsetup.recipe import Recipe


def _installed(workspace: Workspace) -> dict[str, str]:
    return {receipt.name: receipt.key for receipt in workspace.receipts.all()}


def _show(session: Session, recipes: Iterable[Recipe], workspace: Workspace, *, as_json: bool) -> None:
    from devsetup.console import views

    installed = _installed(workspace)
    if as_json:
        session.screen.json("recipes", [{**_record(each), "installed": installed.get(each.name)} for each in recipes])
    else:
        session.screen.show(views.catalogue(recipes, installed))


def _record(recipe: Recipe) -> dict[str, Any]:
    """A recipe's data, without its functions."""
    return {name: value for name in recipe.__struct_fields__ if not callable(value := getattr(recipe, name))}


@click.command("list", cls=Command)
@json_option
@click.pass_obj
def list_command(session: Session, as_json: bool) -> None:
    """List the recipes, with what is installed here."""
    workspace = session.workspace()
    _show(session, workspace.loader.recipes(), workspace, as_json=as_json)


@click.command("search", cls=Command)
@click.argument("word")
@json_option
@click.pass_obj
def search_command(session: Session, word: str, as_json: bool) -> int:
    """Find recipes whose name, summary or keywords contain WORD.

    Exit status 1 when there is none.
    """
    workspace = session.workspace()
    needle = word.lower()
    found = [
        recipe
        for recipe in workspace.loader.recipes()
        if any(needle in text.lower() for text in (recipe.name, recipe.summary, *recipe.keywords))
    ]
    if found or as_json:
        _show(session, found, workspace, as_json=as_json)
    if not found:
        session.screen.say(f"no recipe mentions {word!r}; `devsetup list` shows them all")
    return 0 if found else 1


@click.command("info", cls=Command)
@click.argument("name", shell_complete=complete_recipe)
@json_option
@click.pass_obj
def info_command(session: Session, name: str, as_json: bool) -> None:
    """Show a recipe: its options, sources, patches (condition, where they apply, why) and proofs."""
    from devsetup.app.catalogue import patch_hosts
    from devsetup.console import views

    workspace = session.workspace()
    recipe = workspace.loader.recipe(name)
    applies = patch_hosts(workspace.loader, recipe)
    installed = _installed(workspace).get(name, "")
    if as_json:
        record = {**_record(recipe), "installed": installed or None, "patch_hosts": applies}
        session.screen.json("recipe", record)
    else:
        session.screen.show(views.recipe(recipe, applies, workspace.loader.hosts(), installed))


@click.command("facts", cls=Command)
@on_option
@cuda_option
@json_option
@click.pass_obj
def facts_command(session: Session, on: str | None, as_json: bool) -> None:
    """Show this machine, or a declared host, as recipes see it.

    The JSON is itself a valid declared host: save it, and plan for this machine anywhere with --on FILE.
    """
    from devsetup.console import views

    facts = session.workspace().facts(on)
    if as_json:
        session.screen.json("facts", facts)
    else:
        session.screen.show(views.facts(facts))

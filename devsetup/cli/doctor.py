"""`doctor`: diagnose this machine, and what changed since each install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devsetup.cli.install import chosen_options, option_option
from devsetup.cli.root import Command, Session, complete_recipe, cuda_option, json_option, yes_option
from devsetup.errors import Refused, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from devsetup.app.doctoring import Query, Visit
    from devsetup.doctor.report import Report


def _complete_check(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from devsetup.app.doctoring import check_names

    return [CompletionItem(name) for name in check_names() if name.startswith(incomplete)]


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    recipes = complete_recipe(context, parameter, incomplete)
    return [*recipes, *_complete_check(context, parameter, incomplete)]


@click.command("doctor", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@option_option
@cuda_option
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    shell_complete=_complete_check,
    help="Run this check or group alone; may be repeated.",
)
@click.option("--fix", is_flag=True, help="Repair what devsetup owns, after asking; look again.")
@yes_option
@click.option("--dry-run", is_flag=True, help="With --fix: show what would be repaired; change nothing.")
@click.option("--strict", is_flag=True, help="Exit with status 1 on warnings, too.")
@click.option("--list", "listing", is_flag=True, help="List the checks; look at nothing.")
@click.option("--network", is_flag=True, help="Also run the checks that open the network.")
@click.option("--verbose", "-v", is_flag=True, help="Show evidence, times and the checks that do not apply.")
@json_option
@click.option(
    "--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Also write the report as a page."
)
@click.pass_obj
def doctor_command(
    session: Session,
    names: tuple[str, ...],
    options: tuple[str, ...],
    only: tuple[str, ...],
    fix: bool,
    yes: bool,
    dry_run: bool,
    strict: bool,
    listing: bool,
    network: bool,
    verbose: bool,
    as_json: bool,
    page: Path | None,
) -> int:
    r"""Diagnose this machine, and what changed since each install.

    NAME is a recipe, a check or a group of checks. With a recipe, the question is whether that can be installed and
    used here; without one, whether the machine is in order. Where a recipe and a group have the same name, NAME is the
    recipe and --only the group.

    Exit status 1 when something fails or a check breaks, with --strict also on a warning.

    \b
    devsetup doctor caffe --option cuda=on
    devsetup doctor os cuda.find
    """
    from devsetup.app import doctoring
    from devsetup.console import doctor_views

    if (yes or dry_run) and not fix:
        raise UsageError(f"{'-y' if yes else '--dry-run'} goes with --fix", "see `devsetup doctor --help`")
    query = doctoring.Query(names=names, only=only, options=chosen_options(options), network=network)
    if listing:
        return _listed(session, query, as_json=as_json)
    visited = doctoring.visit(session.workspace(), query)
    found = doctoring.report(visited)
    mended = not fix or _mended(session, visited, found, yes=yes, dry_run=dry_run)
    if fix and not dry_run:
        found = doctoring.again(doctoring.visit(session.workspace(), query), found)
    if page or as_json:
        shared = doctoring.shareable(found, visited.exam.host.environ)
    if page:
        from devsetup.console.doctor_page import page as drawn

        doctoring.save(page, drawn(shared))
        session.screen.say(f"wrote {page}")
    if as_json:
        session.screen.json("doctor", doctor_views.record(shared))
    else:
        skips = verbose or visited.named
        session.screen.show(doctor_views.report(found, verbose=verbose, skips=skips))
    return 0 if mended and found.passed(strict=strict) else 1


def _listed(session: Session, query: Query, *, as_json: bool) -> int:
    from devsetup.app import doctoring
    from devsetup.console import doctor_views

    checks = doctoring.chosen(query, session.workspace().loader.names())
    if as_json:
        session.screen.json("checks", doctor_views.entries(checks))
    else:
        session.screen.show(doctor_views.checks(checks))
    return 0


def _mended(session: Session, visited: Visit, found: Report, *, yes: bool, dry_run: bool) -> bool:
    """Repair, after showing what and asking; returns whether every repair went through."""
    from devsetup.app import doctoring
    from devsetup.console import doctor_views

    checks = doctoring.repairable(visited, found)
    if not checks:
        session.screen.say("nothing was found that devsetup could repair by itself")
        return True
    names = {check.id for check in checks}
    session.screen.show(doctor_views.repairs(found, names), aside=True)
    if dry_run:
        return True
    if not yes and not session.screen.confirm("Repair this?"):
        raise Refused("not confirmed; nothing was changed")
    done = [doctoring.repair(visited, check) for check in checks]
    for each in done:
        for line in each.lines:
            session.screen.say(f"{each.check}: {line}")
        if each.problem:
            session.screen.say(f"{each.check}: not repaired: {each.problem}")
    return not any(each.problem for each in done)

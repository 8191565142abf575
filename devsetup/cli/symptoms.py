"""`symptoms`: what is known about failures."""

from __future__ import annotations

import click

from devsetup.cli.root import Command, Session, home_option, json_option


@click.group("symptoms", params=[home_option()])
def symptoms_command() -> None:
    """Known failures: list them, show one, test them against their own examples."""


@symptoms_command.command("list", cls=Command)
@click.argument("word", required=False)
@json_option
@click.pass_obj
def list_command(session: Session, word: str | None, as_json: bool) -> None:
    """List the symptoms, or those that have WORD in their id, title or cause."""
    from devsetup.console import diagnosis_views

    found = session.workspace().loader.symptoms()
    if word:
        found = tuple(each for each in found if word.lower() in f"{each.id} {each.title} {each.cause}".lower())
    if as_json:
        session.screen.json("symptoms", found)
    elif found:
        session.screen.show(diagnosis_views.symptoms(found))
    else:
        session.screen.say(f"no symptom has {word!r} in its id, title or cause; see `devsetup symptoms list`")


@symptoms_command.command("show", cls=Command)
@click.argument("name", metavar="ID")
@json_option
@click.pass_obj
def show_command(session: Session, name: str, as_json: bool) -> None:
    """Show a symptom: patterns, cause, remedies by machine, examples, sources."""
    from devsetup.app import symptoms
    from devsetup.console import diagnosis_views

    found = symptoms.symptom(session.workspace(), name)
    if as_json:
        session.screen.json("symptom", found)
    else:
        session.screen.show(diagnosis_views.symptom(found))


@symptoms_command.command("test", cls=Command)
@click.argument("names", nargs=-1, metavar="ID...")
@json_option
@click.pass_obj
def test_command(session: Session, names: tuple[str, ...], as_json: bool) -> int:
    """Test symptoms against their own examples, their references and hostile lines. Exit status 1 on a problem."""
    from devsetup.app import symptoms

    found = symptoms.tested(session.workspace(), names)
    if as_json:
        session.screen.json("tested", found)
    else:
        for each in found:
            for problem in each.problems:
                session.screen.say(f"{each.id}: {problem}")
        session.screen.say(f"{len(found)} symptoms, {sum(1 for each in found if each.problems)} with problems")
    return 1 if any(each.problems for each in found) else 0

"""`ci`."""

from __future__ import annotations

from pathlib import Path

import click

from devsetup.cli.root import Command, Session, json_option


@click.command("ci", cls=Command)
@click.argument("platform", type=click.Choice(["github", "gitlab"]))
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead.")
@click.option("--stdout", "show", is_flag=True, help="Print it; write nothing.")
@click.option("--force", is_flag=True, help="Replace a file that says something else.")
@json_option
@click.pass_obj
def ci_command(session: Session, platform: str, output: Path | None, show: bool, force: bool, as_json: bool) -> None:
    """Write a CI file that builds, proves, caches and pushes the images of devsetup.toml.

    It fails when an image would differ from devsetup.lock. Run `devsetup image` first, and commit the lock with it.
    """
    from devsetup.app import ci_files

    workspace = session.workspace()
    if show:
        session.screen.raw(ci_files.text(workspace, platform, Path.cwd())[1])
        return
    made = ci_files.write(workspace, platform, Path.cwd(), output, force=force)
    if as_json:
        session.screen.json("ci", made)
    else:
        session.screen.raw(f"{made.path}: {'written' if made.written else 'is as it would be written'}\n")

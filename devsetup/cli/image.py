"""`image`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devsetup.cli.install import chosen_options, option_option
from devsetup.cli.root import Command, Session, json_option, names_argument, on_option
from devsetup.errors import UsageError

if TYPE_CHECKING:
    from devsetup.app.workspace import Workspace
    from devsetup.image.engine import BuildFailed
    from devsetup.image.product import Drawn


@click.command("image", cls=Command)
@names_argument(required=False)
@click.option(
    "--base",
    metavar="REF",
    help="The image to start from (debian:12), or debootstrap:bookworm|trixie, made from packages.",
)
@on_option
@option_option
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="DIR", help="For the build context.")
@click.option("--name", metavar="NAME[:TAG]", help="Of the image.  [default: the first recipe's]")
@click.option("--build", is_flag=True, help="Build it, with the first of buildah, podman and docker that is here.")
@click.option("--engine", "engine_name", metavar="NAME", help="The engine to use.")
@click.option("--vendor", is_flag=True, help="Put sources and Python packages into the context, for a build without.")
@click.option("--cache", default="", metavar="REF", help="A repository in which layers are looked up and kept.")
@click.option("--push", default="", metavar="REF", help="Push the image there when it is built and proved.")
@click.option("--locked", is_flag=True, help="Refuse what differs from devsetup.lock; change no lock.")
@click.option("--update", is_flag=True, help="Take the base as it is now, and lock that.")
@click.option("--keep", is_flag=True, help="When the build fails, keep its layers, so that the next one goes on there.")
@click.option("--explain", is_flag=True, help="Show what each layer adds, its size, and what a change would rebuild.")
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), help="Compile jobs.  [default: cores, as memory allows]")
@json_option
@click.pass_obj
def image_command(
    session: Session,
    names: tuple[str, ...],
    base: str | None,
    on: str | None,
    options: tuple[str, ...],
    output: Path | None,
    name: str | None,
    build: bool,
    engine_name: str | None,
    vendor: bool,
    cache: str,
    push: str,
    locked: bool,
    update: bool,
    keep: bool,
    explain: bool,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Make a CI image from recipes.

    Writes a build context for the base's declared facts; with --build, builds the image, in which every proof is run by
    an unprivileged user. Without names, devsetup.toml says what to make; see docs/images.md.
    """
    from devsetup.app import imaging
    from devsetup.console import image_views
    from devsetup.console.progress import watch
    from devsetup.image.engine import BuildFailed

    if locked and update:
        raise UsageError("--locked refuses what differs from the lock, and --update changes it", "choose one of them")
    workspace = session.workspace()
    asked = imaging.Asked(names=names, base=base, on=on, options=chosen_options(options), directory=output, name=name)
    how = imaging.How(cache=cache, push=push, keep=keep, jobs=jobs, vendor=vendor, locked=locked, update=update)
    requests = imaging.requests(asked, Path.cwd())
    wanted = build or bool(push)
    engine = imaging.engine(workspace, engine_name, needed=wanted or bool(engine_name))
    made = []
    for request in requests:
        with watch(session.screen) as emit:
            drawn = imaging.draw(workspace, request, how, engine if wanted else None, emit)
        finished = None
        if wanted and engine:
            try:
                with watch(session.screen) as emit:
                    finished = imaging.finish(workspace, drawn, engine, how, emit)
            except BuildFailed as error:
                session.screen.error(error)
                _explain(session, workspace, drawn, error)
                return error.exit_code
        layers = imaging.layers(drawn, engine) if explain else ()
        made.append((drawn, finished, layers))
    if as_json:
        session.screen.json("images", [image_views.record(*each) for each in made])
        return 0
    for drawn, finished, layers in made:
        session.screen.show(image_views.view(drawn, finished, layers))
    return 0


def _explain(session: Session, workspace: Workspace, drawn: Drawn, error: BuildFailed) -> None:
    """Why it failed, from the log, with the fix for the base."""
    from devsetup.app import diagnosing
    from devsetup.console import diagnosis_views

    (found,) = diagnosing.diagnosed(workspace, (str(error.log),), drawn.plan.facts)
    if found.diagnosis.causes:
        session.screen.show(diagnosis_views.diagnosis(found.diagnosis, found.log), aside=True)

"""`install` and `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devsetup.cli.root import Command, Session, cuda_option, json_option, names_argument, on_option, yes_option
from devsetup.errors import InvalidInput, NotProven, Refused, StepFailed, UsageError

if TYPE_CHECKING:
    from devsetup.app.installing import Preview
    from devsetup.app.repairing import Proposal
    from devsetup.app.workspace import Workspace
    from devsetup.console.blocks import Block
    from devsetup.console.progress import LiveProgress, PlainProgress
    from devsetup.execute import CommandFailed
    from devsetup.planner import Wish

option_option = click.option(
    "--option", "options", multiple=True, metavar="K=V", help="Choose a recipe's option (see `devsetup info NAME`)."
)
_source = click.option(
    "--source",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Use this tarball or source tree instead of the recipe's sources.",
)


def chosen_options(options: tuple[str, ...]) -> dict[str, str]:
    """`--option K=V`, as a mapping.

    Raises:
        UsageError: one is not of that form.
    """
    chosen = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"--option {text!r} is not of the form K=V", "write for example --option blas=openblas")
        chosen[key] = value
    return chosen


def _wish(workspace: Workspace, names: tuple[str, ...], options: tuple[str, ...], source: Path | None) -> Wish:
    from devsetup.planner import Wish

    chosen = chosen_options(options)
    if source is None:
        return Wish(names=names, options=chosen)
    if len(names) != 1:
        raise UsageError("--source replaces the source of one recipe, and several are named", "name one recipe")
    local = workspace.local_source(names[0], source.absolute())
    return Wish(names=names, options=chosen, sources={names[0]: local})


@click.command("install", cls=Command)
@names_argument(required=True)
@yes_option
@_source
@option_option
@cuda_option
@click.option(
    "--rebuild",
    is_flag=True,
    help="Build again what is installed, with its options and local source unless others are given.",
)
@click.option(
    "--repair/--no-repair",
    default=None,
    help="After a failure, try the remedies of its known causes, each once; or never.  [default: ask on a terminal]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing at all.")
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), help="Compile jobs.  [default: cores, as memory allows]")
@json_option
@click.pass_obj
def install_command(
    session: Session,
    names: tuple[str, ...],
    yes: bool,
    source: Path | None,
    options: tuple[str, ...],
    rebuild: bool,
    repair: bool | None,
    dry_run: bool,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Install recipes: plan, show, confirm, build, prove, record.

    Everything goes into a prefix of its own below the home; system packages are installed through the machine's own
    package manager, after showing the exact command. Nothing counts as installed until it has proved that it works.
    With --rebuild, what was installed before stays until then.

    When a build or a proof fails, its log is diagnosed. With --repair, or once you agree, a remedy that devsetup can
    carry out changes the plan, and the build goes on where it failed; the changed plan is shown first.
    """
    from devsetup.app import installing, repairing
    from devsetup.console.progress import watch
    from devsetup.execute import CommandFailed

    workspace = session.workspace()
    wish = _wish(workspace, names, options, source)
    if rebuild:
        wish = installing.as_installed(workspace, wish)
    agreed = installing.preview(workspace, wish, jobs, rebuild=rebuild)
    if dry_run:
        _show_preview(session, agreed, as_json=as_json)
        return 0
    if agreed.pending:
        _consent(session, agreed, yes=yes)
    try:
        with watch(session.screen) as emit:
            agree = _Agreement(session, emit, repair)
            mend = repairing.mender(workspace, agreed, wish, agree, emit)
            receipts = installing.install(workspace, agreed, emit, mend)
    except (StepFailed, NotProven, CommandFailed) as error:
        session.screen.error(error)
        _explain(session, workspace, agreed, error)
        if agree.declined:
            session.screen.say(f"devsetup can try this by itself ({agree.declined.remedy}): run it again with --repair")
        return error.exit_code
    if as_json:
        session.screen.json("receipts", receipts)
    elif agreed.pending:
        session.screen.say(f"use it: devsetup run {names[0]} -- COMMAND, or devsetup shell {names[0]}")
    return 0


class _Agreement:
    """Consent to each changed plan: given beforehand, refused beforehand, or asked for on the terminal.

    Attributes:
        declined: the changed plan that was not agreed to.
    """

    def __init__(self, session: Session, emit: PlainProgress | LiveProgress, repair: bool | None) -> None:
        self._session = session
        self._emit = emit
        self._repair = repair
        self.declined: Proposal | None = None

    def __call__(self, proposal: Proposal) -> bool:
        screen = self._session.screen
        agreed = bool(self._repair)
        if self._repair is not False and (agreed or screen.interactive):
            with self._emit.paused():
                self._show(proposal)
                agreed = agreed or screen.confirm("Go on with this plan?")
        if not agreed:
            self.declined = proposal
        return agreed

    def _show(self, proposal: Proposal) -> None:
        from devsetup.console import diagnosis_views
        from devsetup.execute import shell_line

        failure, missing = proposal.failure, proposal.missing
        commands = tuple(shell_line(each, proposal.privilege) for each in missing.commands) if missing else ()
        self._session.screen.say(f"{failure.part.name} failed at: {failure.error.step}: {failure.error.message}")
        view = diagnosis_views.repair(proposal.cause, (failure.part, proposal.part), proposal.changes, commands)
        self._session.screen.show(view, aside=True)


def _explain(
    session: Session, workspace: Workspace, agreed: Preview, error: StepFailed | NotProven | CommandFailed
) -> None:
    """Why it failed, from the log, or from what the package manager printed."""
    from devsetup.app import diagnosing
    from devsetup.console import diagnosis_views
    from devsetup.execute import CommandFailed

    facts = agreed.plan.facts
    try:
        if isinstance(error, CommandFailed):
            found, log = diagnosing.diagnosed_text(workspace, error.output.splitlines(), facts), "-"
            if not found.causes:
                return
        else:
            found, log = diagnosing.diagnosed(workspace, (error.log,), facts)[0].diagnosis, error.log
    except InvalidInput as problem:
        session.screen.say(f"it was not diagnosed: {problem.message}")
        return
    session.screen.say("")
    session.screen.show(diagnosis_views.diagnosis(found, log), aside=True)


def _consent(session: Session, agreed: Preview, *, yes: bool) -> None:
    from devsetup.execute import shell_line

    missing = agreed.missing
    commands = tuple(shell_line(command, agreed.privilege) for command in missing.commands) if missing else ()
    absent = missing.names if missing else ()
    session.screen.show(_view(agreed, absent, commands), aside=True)
    for key in agreed.rebuild:
        session.screen.say(f"{key} is installed, and is built again; it stays until the new one has proved itself")
    if missing and agreed.privilege == "none" and any(command.privileged for command in missing.commands):
        raise Refused(
            f"{len(absent)} system packages are missing, and this user can become root neither directly nor by sudo",
            "as root, run the command shown above, then run devsetup again",
            detail=(" ".join(absent),),
        )
    if not yes and not session.screen.confirm("Go on?"):
        raise Refused("not confirmed; nothing was changed")


def _view(agreed: Preview, absent: tuple[str, ...], commands: tuple[str, ...]) -> tuple[Block, ...]:
    from devsetup.console import views

    return views.plan(agreed.plan, absent=absent, commands=commands, present=agreed.present, foreseen=agreed.foreseen)


def _show_preview(session: Session, agreed: Preview, *, as_json: bool) -> None:
    from devsetup.console import views
    from devsetup.execute import shell_line

    missing = agreed.missing
    commands = tuple(shell_line(command, agreed.privilege) for command in missing.commands) if missing else ()
    absent = missing.names if missing else ()
    if as_json:
        record = {
            **views.plan_record(agreed.plan),
            "present": agreed.present,
            "missing": absent,
            "commands": commands,
            "foreseen": agreed.foreseen,
        }
        session.screen.json("plan", record)
    else:
        session.screen.show(_view(agreed, absent, commands))


@click.command("plan", cls=Command)
@names_argument(required=True)
@on_option
@_source
@option_option
@cuda_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "shell", "containerfile", "ansible"]),
    default="text",
    show_default=True,
    help="To read, or as a whole that runs without devsetup.",
)
@json_option
@click.pass_obj
def plan_command(
    session: Session,
    names: tuple[str, ...],
    on: str | None,
    source: Path | None,
    options: tuple[str, ...],
    form: str,
    as_json: bool,
) -> None:
    """Show what installing would do, here or on a declared host. Runs nothing and changes nothing."""
    from devsetup.app import installing
    from devsetup.console import views

    workspace = session.workspace()
    wish = _wish(workspace, names, options, source)
    as_json = as_json or form == "json"
    if not as_json and form != "text":
        from devsetup.render import RENDERERS

        session.screen.raw(RENDERERS[form](workspace.plan(wish, on)))
        return
    if on is None:
        _show_preview(session, installing.preview(workspace, wish), as_json=as_json)
        return
    plan = workspace.plan(wish, on)
    if as_json:
        session.screen.json("plan", views.plan_record(plan))
    else:
        session.screen.show(views.plan(plan, absent=None))

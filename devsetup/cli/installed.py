"""`verify`, `env`, `run`, `shell`, `log`, `uninstall`, `gc`: using and keeping what was installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devsetup.cli.root import Command, Session, complete_recipe, json_option, names_argument, scale_option, yes_option
from devsetup.errors import InvalidInput, Refused, UsageError

if TYPE_CHECKING:
    from devsetup.app.workspace import Workspace
    from devsetup.proofs import Finding

_SHELLS = ("bash", "zsh", "fish", "sh")


@click.command("verify", cls=Command)
@names_argument(required=False)
@click.option("--workload", is_flag=True, help="Also repeat the workload, which takes longer.")
@scale_option
@json_option
@click.pass_obj
def verify_command(session: Session, names: tuple[str, ...], workload: bool, scale: float | None, as_json: bool) -> int:
    """Run the proofs again, of NAME or of everything installed; say why one fails, where that is known.

    Exit status 1 when one fails.
    """
    from devsetup.app import using
    from devsetup.console import views
    from devsetup.console.progress import watch

    if scale is not None and not workload:
        raise UsageError("--scale is the size of the workload, which is not asked for", "add --workload")
    workspace = session.workspace()
    with watch(session.screen) as emit:
        results = using.verify_installs(workspace, names, emit, scale=(scale or 1.0) if workload else None)
    if as_json:
        session.screen.json("verified", results)
    elif results:
        session.screen.show(views.findings((r.key, finding) for r in results for finding in r.findings))
    else:
        session.screen.say("nothing is installed")
    failed = [finding for result in results for finding in result.findings if finding.status == "fail"]
    if failed:
        _explain(session, workspace, failed)
    return 1 if failed else 0


def _explain(session: Session, workspace: Workspace, failed: list[Finding]) -> None:
    from devsetup.app.diagnosing import diagnosed_text
    from devsetup.console import diagnosis_views

    facts = workspace.facts()
    for finding in failed:
        try:
            found = diagnosed_text(workspace, (f"--- fail: {finding.summary}", *finding.detail), facts)
        except InvalidInput as problem:
            session.screen.say(f"it was not diagnosed: {problem.message}")
            return
        if found.causes:
            session.screen.show(diagnosis_views.diagnosis(found, finding.proof), aside=True)


@click.command("env", cls=Command)
@names_argument(required=True)
@click.option("--shell", type=click.Choice(_SHELLS), help="Syntax to print.  [default: from $SHELL]")
@json_option
@click.pass_obj
def env_command(session: Session, names: tuple[str, ...], shell: str | None, as_json: bool) -> None:
    r"""Print shell code that activates NAME.

    \b
    bash, zsh:  eval "$(devsetup env caffe)"
    fish:       devsetup env caffe --shell fish | source
    """
    import os

    from devsetup.app import using

    settings = using.activation(session.workspace(), names)
    if as_json:
        session.screen.json("env", settings)
        return
    syntax = shell or os.path.basename(os.environ.get("SHELL", "sh"))  # noqa: PTH119 - a name, not a path to open
    session.screen.raw(using.shell_code(settings, syntax))


class _RunCommand(Command):
    """Sets aside what follows `--` before options are parsed: those words are the command's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["devsetup.argv"] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- CMD..."]


@click.command("run", cls=_RunCommand)
@names_argument(required=True)
@click.pass_context
def run_command(context: click.Context, names: tuple[str, ...]) -> int:
    r"""Run CMD with NAME active; its exit status is ours.

    \b
    devsetup run caffe -- python -c 'import caffe; print(caffe.__version__)'
    """
    from devsetup.app import using

    argv = context.meta.get("devsetup.argv", ())
    if not argv:
        raise UsageError("no command to run", f"devsetup run {' '.join(names)} -- CMD...")
    return using.run(context.ensure_object(Session).workspace(), names, argv)


@click.command("shell", cls=Command)
@names_argument(required=True)
@click.pass_obj
def shell_command(session: Session, names: tuple[str, ...]) -> int:
    """Start your shell with NAME active; leave it with `exit`."""
    import os

    from devsetup.app import using

    workspace = session.workspace()
    using.activation(workspace, names)
    session.screen.say(f"{', '.join(names)} active in this shell; leave it with `exit`")
    return using.run(workspace, names, (os.environ.get("SHELL", "/bin/sh"),))


@click.command("log", cls=Command)
@click.argument("name", shell_complete=complete_recipe)
@json_option
@click.pass_obj
def log_command(session: Session, name: str, as_json: bool) -> None:
    """Show what happened to NAME here: installs, failures, proofs, removals, and where each log is."""
    from devsetup.app import using
    from devsetup.console import views

    entries = using.history(session.workspace(), name)
    if as_json:
        session.screen.json("history", entries)
    else:
        session.screen.show(views.history(entries))


@click.command("uninstall", cls=Command)
@names_argument(required=True)
@yes_option
@click.pass_obj
def uninstall_command(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Remove every install of NAME. System packages stay: others may use them."""
    from devsetup.app import using

    workspace = session.workspace()
    keys = [receipt.key for name in names for receipt in using.installs(workspace, name)]
    if not yes and not session.screen.confirm(f"Remove {', '.join(keys)}?"):
        raise Refused("not confirmed; nothing was changed")
    for key in using.uninstall(workspace, names):
        session.screen.say(f"{key}: removed")


@click.command("gc", cls=Command)
@click.option("--downloads", is_flag=True, help="Also empty the download cache.")
@click.option("--dry-run", is_flag=True, help="Show what would go; remove nothing.")
@json_option
@click.pass_obj
def gc_command(session: Session, downloads: bool, dry_run: bool, as_json: bool) -> None:
    """Remove leftovers: failed builds, installs that only others needed and no one needs now."""
    from devsetup.console import views

    store = session.workspace().store
    garbage = store.garbage(downloads=downloads)
    freed = None if dry_run else store.collect(garbage)
    if as_json:
        session.screen.json("garbage", garbage)
    else:
        session.screen.show(views.garbage(garbage, freed))

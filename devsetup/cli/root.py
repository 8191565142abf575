"""The command group: commands are imported when they are called, so that each pays only for itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import devsetup

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from devsetup.app.workspace import Workspace
    from devsetup.console.screen import Screen
    from devsetup.loader import Loader

# Command name to module, and to one line of help, which `--help` shows without importing the module.
COMMANDS = {
    "install": ("devsetup.cli.install", "Plan, show, confirm, build, prove and record."),
    "plan": ("devsetup.cli.install", "Show what would happen, here or on another machine; run nothing."),
    "list": ("devsetup.cli.catalogue", "List the recipes."),
    "search": ("devsetup.cli.catalogue", "Find recipes by a word."),
    "info": ("devsetup.cli.catalogue", "Show a recipe: options, sources, patches, proofs."),
    "facts": ("devsetup.cli.catalogue", "Show this machine as recipes see it."),
    "patch": ("devsetup.cli.patch", "Check, apply or take back a recipe's patches."),
    "verify": ("devsetup.cli.installed", "Prove again that what was installed works."),
    "bench": ("devsetup.cli.bench", "Measure what was installed, beside the figures of the note."),
    "doctor": ("devsetup.cli.doctor", "Diagnose this machine, and what changed since each install."),
    "diagnose": ("devsetup.cli.diagnose", "Explain a failure log: cause and remedy."),
    "symptoms": ("devsetup.cli.symptoms", "List, show and test the known failures."),
    "env": ("devsetup.cli.installed", "Print shell code that activates what was installed."),
    "run": ("devsetup.cli.installed", "Run a command with what was installed."),
    "shell": ("devsetup.cli.installed", "Start a shell with what was installed."),
    "log": ("devsetup.cli.installed", "Show what happened to a recipe here."),
    "uninstall": ("devsetup.cli.installed", "Remove what was installed."),
    "gc": ("devsetup.cli.installed", "Remove leftovers: failed builds, unneeded installs."),
    "image": ("devsetup.cli.image", "Make a CI image from recipes."),
    "ci": ("devsetup.cli.ci", "Write a CI file for the images of a project."),
    "recipe": ("devsetup.cli.recipe", "Write recipes: new, lint, test."),
    "completion": ("devsetup.cli.completion", "Print shell code for tab completion."),
}


class Session:
    """What one command line works with.

    Attributes:
        home: `--home`, when given; otherwise DEVSETUP_HOME or the XDG data directory decides.
        cuda: `--cuda`, when given; otherwise the settings decide.
    """

    version = devsetup.__version__

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.home: Path | None = None
        self.cuda = ""

    def workspace(self) -> Workspace:
        """The home, catalogue and machine to work with."""
        import os

        from devsetup.app.workspace import Workspace
        from devsetup.store import default_home

        return Workspace(self.home.absolute() if self.home else default_home(os.environ), cuda=self.cuda)


def _set_home(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Session).home = value


def home_option() -> click.Option:
    """`--home DIR`, accepted before and after the command's name."""
    return click.Option(
        ["--home"],
        type=click.Path(path_type=Path, file_okay=True),
        expose_value=False,
        callback=_set_home,
        metavar="DIR",
        help="Keep everything (store, receipts, downloads, logs) in DIR.  [env: DEVSETUP_HOME]",
    )


class Command(click.Command):
    """A command that also takes `--home`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(home_option())


class _Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        found = getattr(module, f"{cmd_name}_command")
        assert isinstance(found, click.Command)  # noqa: S101 - the table above is ours
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from devsetup.errors import UsageError
            from devsetup.loader import suggest

            raise UsageError(f"no command named {args[0]!r}", suggest(args[0], tuple(COMMANDS)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Root,
    params=[home_option()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `devsetup list`, then `devsetup plan NAME`, then `devsetup install NAME`.",
)
@click.version_option(devsetup.__version__, message="devsetup %(version)s")
def root() -> None:
    """Recipes for software that does not build out of the box.

    A recipe knows what breaks on which machine. devsetup looks at the machine, plans, patches, builds, proves that the
    result works, and remembers what it did.
    """


def _loader() -> Loader:
    import os

    from devsetup.loader import Loader, default_root

    return Loader(default_root(os.environ))


def complete_recipe(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Recipe names for tab completion."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in _loader().names() if name.startswith(incomplete)]


def complete_host(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Declared hosts, and files, for tab completion."""
    from click.shell_completion import CompletionItem

    names = [CompletionItem(name) for name in _loader().hosts() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def names_argument(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`NAME...`: one or more recipes, completed by the shell."""
    return click.argument("names", nargs=-1, required=required, metavar="NAME...", shell_complete=complete_recipe)


def _set_cuda(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Session).cuda = str(value.absolute())


cuda_option = click.option(
    "--cuda",
    type=click.Path(path_type=Path, file_okay=False),
    expose_value=False,
    callback=_set_cuda,
    metavar="DIR",
    help="Use the CUDA toolkit in DIR, before every other that is found.",
)


def _scale(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    from devsetup.proofs import scale_of

    return None if value is None else scale_of(value)


scale_option = click.option(
    "--scale",
    callback=_scale,
    metavar="X",
    help="Size of the workload: 1 proves an install, more goes toward the size of the note.  [default: 1]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
on_option = click.option(
    "--on", metavar="HOST", shell_complete=complete_host, help="A declared host (debian-13) or a JSON file of facts."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Agree beforehand; ask nothing.")

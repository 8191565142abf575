"""`completion`: shell code for tab completion, made by click."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from devsetup.cli.root import Command, Session, root


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion_command(session: Session, shell: str) -> None:
    r"""Print shell code that completes commands, options and recipe names.

    \b
    bash:  devsetup completion bash > ~/.local/share/bash-completion/completions/devsetup
    zsh:   devsetup completion zsh > ~/.zfunc/_devsetup    (with ~/.zfunc in fpath)
    fish:  devsetup completion fish > ~/.config/fish/completions/devsetup.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - the choices above are click's own
    session.screen.raw(found(root, {}, "devsetup", "_DEVSETUP_COMPLETE").source())

"""The README's terminal pictures: real output of real commands, drawn by rich as SVG.

    ./dev pictures

Nothing is typed in by hand: the views are the ones that the commands show, on facts of a declared host, so that the
pictures are the same on every machine.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from devsetup.app.catalogue import patch_hosts
from devsetup.app.workspace import Workspace
from devsetup.console import views
from devsetup.console.screen import pretty
from devsetup.planner import Wish

_HERE = Path(__file__).resolve().parent
_WIDTH = 112


def main() -> None:
    """Draw every picture into docs/pictures/."""
    workspace = Workspace(_HERE / "no-home")
    plan = workspace.plan(Wish(names=("caffe",)), "debian-13")
    recipe = workspace.loader.recipe("caffe")
    applies = patch_hosts(workspace.loader, recipe)
    draw("plan", "devsetup plan caffe --on debian-13", views.plan(plan, absent=None))
    draw("info", "devsetup info caffe", views.recipe(recipe, applies, workspace.loader.hosts(), ""))
    draw("facts", "devsetup facts --on debian-13", views.facts(workspace.loader.host("debian-13")))


def draw(name: str, command: str, blocks: tuple[views.Block, ...]) -> None:
    """Draw one view as docs/pictures/NAME.svg."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"$ {command}\n", style="bold")
    pretty(blocks, console)
    target = _HERE / "pictures" / f"{name}.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(console.export_svg(title=command, unique_id=name), encoding="utf-8")


if __name__ == "__main__":
    main()

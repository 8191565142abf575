"""Views of `devsetup recipe`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devsetup.console.blocks import Block, Code, Table, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def written(name: str, paths: Sequence[Path], elsewhere: Path | None) -> tuple[Block, ...]:
    """`devsetup recipe new`: the files of a recipe, and what to do with them.

    Args:
        name: of the recipe.
        paths: the files.
        elsewhere: the catalogue, unless it is the one in use.
    """
    devsetup = f"DEVSETUP_CATALOGUE={shlex.quote(str(elsewhere))} devsetup" if elsewhere else "devsetup"
    return (
        Text("\n".join(f"wrote {path}" for path in paths)),
        Text("it works as it is; try it, then change it piece by piece:"),
        Code((f"{devsetup} recipe lint {name}", f"{devsetup} recipe test {name}", f"{devsetup} install {name}")),
    )


def findings(rows: Sequence[tuple[str, str, str, str, str]], checked: int) -> tuple[Block, ...]:
    """`devsetup recipe lint`: (place, level, rule, message, fix) each; `checked` recipes were looked at."""
    recipes = f"{checked} recipe{'' if checked == 1 else 's'}"
    if not rows:
        return (Text(f"nothing to change in {recipes}"),)
    counts = {level: sum(row[1] == level for row in rows) for level in ("error", "warning")}
    said = " and ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items() if count)
    return (Table(("where", "level", "rule", "what", "fix"), tuple(rows)), Text(f"{said} in {recipes}"))


def plans(rows: Sequence[tuple[str, str, str, str]]) -> tuple[Block, ...]:
    """`devsetup recipe test`: (recipe, host, status, detail) each."""
    table = Table(("recipe", "host", "outcome", "detail"), tuple(rows))
    return (table, _counted([row[2] for row in rows], ("planned", "refused", "error")))


def trees(rows: Sequence[tuple[str, str, str, str, str]]) -> tuple[Block, ...]:
    """`devsetup recipe test --tree`: (tree, generation, host, status, detail) each."""
    table = Table(("tree", "generation", "host", "outcome", "patches"), tuple(rows))
    return (table, _counted([row[3] for row in rows], ("fits", "error")))


def _counted(seen: list[str], statuses: tuple[str, ...]) -> Text:
    return Text(", ".join(f"{seen.count(status)} {status}" for status in statuses if status in seen))

"""The view of a recipe's patches on a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.console.blocks import Block, Table, Text, Title

if TYPE_CHECKING:
    from devsetup.execute.patch_records import TreeReport


def tree(report: TreeReport) -> tuple[Block, ...]:
    """`devsetup patch`: the status of every patch, with its reason, and which files changed."""
    told = [f"generation {report.generation}"] if report.generation else []
    told += [f"for {report.host}"] if report.host else []
    blocks: list[Block] = [Title(", ".join((f"{report.recipe} {report.version} on {report.tree}", *told)))]
    if report.patches:
        rows = tuple((each.name, each.status, each.because) for each in report.patches)
        blocks.append(Table(("patch", "status", "because"), rows))
    else:
        blocks.append(Text("no patches" if report.host else "nothing is applied here"))
    if report.changed:
        blocks.append(Text(f"changed: {', '.join(report.changed)}"))
    return tuple(blocks)

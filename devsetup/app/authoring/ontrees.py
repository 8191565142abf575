"""`recipe test --tree`: a recipe's patches on unpacked sources, for every declared host."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from devsetup.app import trees
from devsetup.errors import DevsetupError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.app.workspace import Workspace


class TreeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a recipe's patches fit one tree, as one host needs them.

    Attributes:
        generation: of upstream's tree; empty when it is of no known one.
        status: `fits`, or `error` when a patch needs rebase or is malformed.
        counts: status of a patch to how many have it.
        reason: of an error.
    """

    recipe: str
    host: str
    tree: str
    generation: str = ""
    status: str
    counts: dict[str, int] = {}
    reason: str = ""


def trial_on_trees(workspace: Workspace, name: str, sources: tuple[Path, ...]) -> tuple[TreeOutcome, ...]:
    """The status of every patch on each tree, for every declared host. The trees stay as they are.

    Raises:
        UsageError: no such recipe or directory.
    """
    hosts = workspace.loader.hosts()
    targets = (trees.Target(name=name, tree=tree.absolute(), on=host) for tree in sources for host in hosts)
    return tuple(_outcome(workspace, target) for target in targets)


def _outcome(workspace: Workspace, target: trees.Target) -> TreeOutcome:
    host, tree = target.on or "", str(target.tree)
    try:
        report = trees.check(workspace, target)
    except UsageError:
        raise
    except DevsetupError as error:
        return TreeOutcome(recipe=target.name, host=host, tree=tree, status="error", reason=error.message)
    return TreeOutcome(
        recipe=target.name,
        host=host,
        tree=tree,
        generation=report.generation,
        status="error" if report.stale else "fits",
        counts=dict(sorted(Counter(patch.status for patch in report.patches).items())),
        reason="; ".join(f"{patch.name}: {patch.because}" for patch in report.stale),
    )

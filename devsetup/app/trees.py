"""`patch`: a recipe's patches on a source tree that the user unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from devsetup.errors import DevsetupError, Refused, UsageError
from devsetup.execute import patches, treechange
from devsetup.execute.patch_records import RECORD, Report, TreeReport
from devsetup.execute.patches import Examined, Wanted
from devsetup.planner import Wish, make_plan
from devsetup.steps import ApplyPatch, LocalSource

if TYPE_CHECKING:
    from devsetup.app.workspace import Workspace
    from devsetup.facts import Facts
    from devsetup.recipe import Recipe


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be patched, and for which machine.

    Attributes:
        name: of the recipe.
        on: a declared host; None for this machine.
        options: `--option` values.
    """

    name: str
    tree: Path
    on: str | None = None
    options: dict[str, str] = {}


def check(workspace: Workspace, target: Target, *, reverse: bool = False) -> TreeReport:
    """The status of every patch, or whether what was applied could be taken back. Changes nothing.

    Raises:
        UsageError: no such recipe, option, host or directory.
        InvalidInput: a patch, or the tree's record, is malformed.
        Refused: an earlier run was cut short, or another one is at work there.
        StateError: the tree cannot be read.
    """
    recipe = _recipe(workspace, target)
    with treechange.locked(target.tree):
        if treechange.interrupted(target.tree):
            raise Refused(
                f"an earlier run was cut short while it changed {target.tree}",
                "run the command without --check, which first puts the tree back",
            )
        report, _ = _examined(workspace, target, recipe, reverse=reverse)
    return report


def apply(workspace: Workspace, target: Target, *, reverse: bool = False) -> TreeReport:
    """Apply all patches that apply, or take back all that were applied; all of them or none.

    When one needs rebase, nothing is changed, and the report says so.

    Raises:
        UsageError, InvalidInput, Refused, StateError: as `check`; also when the disk refuses, and then the tree is as
            it was.
    """
    recipe = _recipe(workspace, target)
    with treechange.locked(target.tree):
        treechange.repair(target.tree)
        report, examined = _examined(workspace, target, recipe, reverse=reverse)
        if report.stale or not examined.changes:
            return report
        treechange.change(target.tree, examined.changes, unneeded=examined.unneeded)
    return structs.replace(
        report,
        patches=tuple(_done(each, reverse=reverse) for each in report.patches),
        changed=tuple(each.path for each in examined.changes if each.path != RECORD),
    )


def stale_error(report: TreeReport) -> DevsetupError:
    """The failure to tell when patches need rebase and nothing was changed."""
    return DevsetupError(
        f"patches that do not fit {report.tree}: {len(report.stale)} of {len(report.patches)}; nothing was changed",
        "`devsetup patch ... --check` shows the status of each without changing anything",
        detail=tuple(f"{each.name}: {each.because}" for each in report.stale),
    )


def _recipe(workspace: Workspace, target: Target) -> Recipe:
    recipe = workspace.loader.recipe(target.name)
    if not target.tree.is_dir():
        seen = "is not a directory" if target.tree.exists() else "does not exist"
        raise UsageError(f"{target.tree} {seen}", "give --tree the directory with the unpacked source")
    return recipe


def _examined(workspace: Workspace, target: Target, recipe: Recipe, *, reverse: bool) -> tuple[TreeReport, Examined]:
    generation = workspace.generation(recipe, target.tree)
    if reverse:
        host = ""  # the tree's own record says what to take back, whatever the machine
        examined = patches.take_back(target.tree, recipe.name, workspace.runner)
    else:
        facts = workspace.facts(target.on)
        host = f"{facts.os.id} {facts.os.version}".rstrip()
        wanted = _wanted(workspace, target, recipe, _Place(facts, generation))
        examined = patches.examine(target.tree, recipe.name, wanted, workspace.runner)
    report = TreeReport(
        recipe=recipe.name,
        version=recipe.version,
        tree=str(target.tree),
        generation=generation,
        host=host,
        patches=examined.reports,
    )
    return report, examined


class _Place(NamedTuple):
    facts: Facts
    generation: str


def _wanted(workspace: Workspace, target: Target, recipe: Recipe, place: _Place) -> tuple[Wanted, ...]:
    """The patches as the planner sees them.

    The recipe is reduced to its patches: whether the machine could build it, and with what, is not asked here.
    """
    tree = str(target.tree)
    alone = structs.replace(
        recipe, steps=lambda ctx: ctx.patches(tree=tree), supports=None, needs=(), libraries=(), option_libraries=()
    )
    source = LocalSource(id="tree", path=tree, sha256="", tree=True, generation=place.generation)
    wish = Wish(names=(recipe.name,), options=target.options, sources={recipe.name: source})
    catalogue = structs.replace(workspace.loader.catalogue(), recipe=lambda _: alone)
    part = make_plan(wish, place.facts, catalogue).parts[0]
    texts = {step.name: step.text for step in part.steps if isinstance(step, ApplyPatch)}
    return tuple(Wanted(planned=planned, text=texts.get(planned.name, "")) for planned in part.patches)


def _done(report: Report, *, reverse: bool) -> Report:
    if reverse:
        return structs.replace(report, status="taken back")
    if report.status == "applies":
        return structs.replace(report, status="applied", because=f"now: {report.because}")
    return report

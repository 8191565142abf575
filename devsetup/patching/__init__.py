"""Patches as text: unified diffs with holes. Pure; applying is the runner's business."""

from __future__ import annotations

from devsetup.patching.grammar import Diff, FileDiff, Hunk, check, turned
from devsetup.patching.nearest import Misfit, State, misfit, state
from devsetup.patching.rendering import HOLE, render

__all__ = ["HOLE", "Diff", "FileDiff", "Hunk", "Misfit", "State", "check", "misfit", "render", "state", "turned"]

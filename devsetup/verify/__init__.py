"""Proving that an install works: the link closure, an import in a fresh process, a command, a real job."""

from __future__ import annotations

from devsetup.verify.closure import Tree, link_closure, linked
from devsetup.verify.running import Bench, failed, prove, title

__all__ = ["Bench", "Tree", "failed", "link_closure", "linked", "prove", "title"]

"""Which tests may run at the same time, when pytest-xdist spreads them over worker processes.

Tests of one group run one after another, in the order in which they are written, on one worker. What changes this
machine is one group, since a package manager has one lock and homes of real installs are shared. So is each module that
works in Debian roots of its own, unless it names groups itself. The others go by file.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadGroupScheduling

MACHINE = "machine"
# Longest first, so that no long one is left when the others are done; groups that are not named come after these.
LONGEST = (MACHINE, "test_chroot-trixie", "test_chroot-bookworm", "test_self_repair")


def group(item: pytest.Item) -> str | None:
    """The group that a test names, or that its marks ask for; none for a quick test."""
    named = item.get_closest_marker("xdist_group")
    if named:
        return str(named.args[0])
    if item.get_closest_marker("real"):
        return MACHINE
    return item.path.stem if item.get_closest_marker("chroot") else None


def in_groups(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests in the order in which groups are to begin: the longest, the other ones, the quick tests."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}

    def rank(item: pytest.Item) -> int:
        name = group(item)
        if name and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(name))
        return ranks.get(name, len(ranks)) if name else len(ranks) + 1

    return sorted(items, key=rank)


class Spread(LoadGroupScheduling):
    """xdist's own way with groups; a test without one goes with its file instead of alone."""

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return scope.partition("::")[0] if scope == nodeid else scope

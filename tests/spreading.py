"""Which tests may run at the same time, when pytest-xdist spreads them over worker processes.

Tests of one group run one after another, in the order in which they are written, on one worker. What changes this
machine is one group, since a package manager has one lock and homes of real installs are shared. So is each module that
works in Debian roots of its own, unless it names groups by `xdist_group`. The others go by file.

The scheduler runs in a process that knows no marks, so the workers tell it by a file. xdist's own way, to write groups
into the names of tests (`--dist loadgroup`, 3.8), has no effect with pytest 9.2.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

MACHINE = "machine"
# Longest first, so that no long one is left when the others are done; groups that are not named come after these.
LONGEST = (MACHINE, "test_chroot-trixie", "test_chroot-bookworm", "remedies", "engines", "test_self_repair", "images")
PLACE = pytest.StashKey[Path]()


def group(item: pytest.Item) -> str | None:
    """The group that a test names, or that its marks ask for; none for a quick test."""
    named = item.get_closest_marker("xdist_group")
    if named:
        return str(named.args[0])
    if item.get_closest_marker("real"):
        return MACHINE
    return item.path.stem if item.get_closest_marker("chroot") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: the longest groups first, then other ones, then quick tests; and tell the scheduler."""
    if not hasattr(config, "workerinput"):
        return
    groups = {item.nodeid: group(item) for item in items}
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(groups[item.nodeid] or "", len(ranks) + (groups[item.nodeid] is None)))
    told = Path(config.workerinput["groups"])
    mine = told.with_name(config.workerinput["workerid"])
    mine.write_text(json.dumps(groups))
    mine.rename(told)


def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["groups"] = str(_place(node.config) / "groups.json")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread | None:
    return Spread(config, log, _place(config) / "groups.json") if config.getvalue("dist") == "loadfile" else None


def _place(config: pytest.Config) -> Path:
    """Where the workers tell the groups; gone after the run."""
    if PLACE not in config.stash:
        made = tempfile.TemporaryDirectory()
        config.add_cleanup(made.cleanup)
        config.stash[PLACE] = Path(made.name)
    return config.stash[PLACE]


class Spread(LoadFileScheduling):
    """xdist's scheduling by file, in which tests with a group go with that."""

    def __init__(self, config: pytest.Config, log: Producer, told: Path) -> None:
        super().__init__(config, log)
        self._told = told

    @functools.cached_property
    def _groups(self) -> dict[str, str | None]:
        groups: dict[str, str | None] = json.loads(self._told.read_text())
        return groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid) or super()._split_scope(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Hand a dead worker's tests on, without the one that killed it: xdist would run that one again and again."""
        units = self.assigned_work[node] = {
            scope: unit for scope, unit in self.assigned_work[node].items() if not all(unit.values())
        }
        for unit in units.values():
            for test, done in unit.items():
                if not done:
                    unit[test] = True
                    super().remove_node(node)
                    return test
        return super().remove_node(node)

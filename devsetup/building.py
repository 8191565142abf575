"""Ways of building that recipes share: functions that make steps."""

from __future__ import annotations

from devsetup.steps import JOBS, Run


def make(tree: str, *targets: str, title: str) -> Run:
    """Run GNU make in a tree with the plan's number of jobs; output of parallel jobs is kept apart by target."""
    return Run(argv=("make", f"-j{JOBS}", "--output-sync=target", *targets), cwd=tree, title=title)

"""Failures really produced: a script that fails in one way, the diagnosis of what it says, and how a remedy ends it."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from devsetup.diagnosis import Cause, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.loader import Loader, default_root

LOADER = Loader(default_root({}))
PYTHON = sys.executable


@functools.cache
def matcher() -> Matcher:
    return Matcher(LOADER.symptoms())


def causes(log: str, host: str = "debian-12") -> tuple[Cause, ...]:
    machine = Machine(replace(LOADER.host(host), arch=platform.machine()), LOADER.libraries())
    return diagnose((log.encode(),), matcher(), machine).causes


def run(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in an English locale, with nothing of the user's settings for compilers and loaders."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    home = root / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "-c", script],
        cwd=root,
        env={**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHON": PYTHON, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        timeout=300,
        check=False,
    )


@dataclass(frozen=True)
class Taken:
    """Which of a remedy's commands are taken, and how a user fills them in.

    Attributes:
        remedy: its number among those for the machine.
        only: a part of each command that is taken, in their order; all are when there is none.
        filled: words that stand for something, such as PACKAGE, and what they stand for here.
    """

    remedy: int = 0
    only: tuple[str, ...] = ()
    filled: tuple[tuple[str, str], ...] = ()

    def script(self, cause: Cause) -> str:
        """The commands as the symptom's file gives them: it has to have them all, and nothing left to fill in."""
        commands = cause.treatments[self.remedy].commands
        if self.only:
            found = [[line for line in commands if part in line] for part in self.only]
            assert all(len(each) == 1 for each in found), (self.only, commands)
            commands = tuple(line for (line,) in found)
        assert commands, cause.treatments
        lines = "\n".join(commands)
        for word, meaning in self.filled:
            assert word in lines, (word, commands)
            lines = lines.replace(word, meaning)
        return lines


@dataclass(frozen=True)
class Case:
    """A script that fails in one way, and how it succeeds; `files` are written first.

    Attributes:
        id: of the symptom that is told first.
        broken: the script that fails.
        cured: what succeeds after the commands that are taken, or in their place; `broken` itself when empty.
        files: names and texts.
        title: of the symptom, filled.
        taken: commands of the remedy that are run first; none for a remedy that says in words what `cured` does.
    """

    id: str
    broken: str
    cured: str = ""
    files: tuple[tuple[str, str], ...] = ()
    title: str = ""
    taken: Taken | None = None


def check(case: Case, root: Path) -> None:
    for tree in ("broken", "cured"):
        for name, text in case.files:
            path = root / tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.startswith("killed/") else 0o644)
        (root / tree).mkdir(exist_ok=True)
    failed = run(root / "broken", case.broken)
    found = causes(failed.stdout)
    assert found, failed.stdout
    assert found[0].id == case.id, failed.stdout
    assert not case.title or found[0].title == case.title
    assert found[0].treatments
    assert case.cured or case.taken, "nothing is done about it"
    taken = f"set -e\n{case.taken.script(found[0])}\nset +e\n" if case.taken else ""
    # A remedy has to cure the tree that failed, with what it holds; another way to do it begins anew.
    mended = run(root / ("broken" if taken else "cured"), taken + (case.cured or case.broken))
    assert mended.returncode == 0, mended.stdout
    assert case.id not in {cause.id for cause in causes(mended.stdout)}


def named(case: Case) -> str:
    return case.id

"""The doctor's command on a small catalogue, with checks of our own in place of the real ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from conftest import Hello

CHECKS = """
import os, time
from pathlib import Path
from devsetup.doctor import Check, Evidence, Finding, Fix

def finding(status, summary, **more):
    def run(exam):
        yield Finding(status=status, summary=summary, **more)
    return run

def goals(exam):
    for goal in exam.goals:
        yield Finding(status="fail" if goal.refusal else "ok", summary=f"{goal.name}: {goal.refusal or 'planned'}",
                      detail=(goal.hint, *(str(sorted(part.options.items())) for part in exam.wanted)))
    yield Finding(status="info", summary=f"{len(exam.goals)} goals, {len(exam.receipts)} receipts")

def litter(exam):
    path = exam.home / "litter"
    if path.exists():
        yield Finding(status="warn", summary=f"{path} is litter", fix=Fix(text="remove it", auto=True))
    else:
        yield Finding(status="ok", summary="no litter")

def sweep(exam):
    (exam.home / "litter").unlink()
    return ("removed the litter",)

FINE = Check(id="os.fine", about="that all is well", run=finding(
    "ok", "all is well", evidence=(Evidence(source="/etc/well", value="1\\n2"),)))
NEWS = Check(id="os.news", about="news", run=finding("info", "something new", detail=("quite new",)))
AWAY = Check(id="mac.away", about="a Mac", run=finding("fail", "never seen"), only="macos")
ODD = Check(id="lib.odd", about="odd things", run=finding(
    "warn", "libodd.so is odd", detail=("oddly so",), evidence=(Evidence(source="/lib/libodd.so", value="odd"),),
    fix=Fix(text="make it even", commands=("sudo even /lib/libodd.so",), needs_root=True)))
BAD = Check(id="lib.bad", about="bad things", run=finding("fail", "libbad.so is bad"))
GOALS = Check(id="goal.plan", about="goals", run=goals)
LITTER = Check(id="own.litter", about="litter", run=litter, repair=sweep)
NET = Check(id="net.reach", about="the network", run=finding("ok", "reached"), network=True)
"""


class Clinic(Hello):
    """The hello catalogue, with a few small checks in place of the real ones."""

    def __init__(self, hello: Hello) -> None:
        self.__dict__.update(hello.__dict__)
        self.site = hello.root / "site"
        self.site.mkdir()
        (self.site / "sitecustomize.py").write_text(
            "import clinic, devsetup.doctor.checks\ndevsetup.doctor.checks.every = lambda: clinic.EVERY\n"
        )

    def checks(self, names: str, code: str = "") -> Clinic:
        (self.site / "clinic.py").write_text(f"{CHECKS}\n{code}\nEVERY = ({names},)\n")
        return self

    def env(self, **more: str) -> dict[str, str]:
        config = str(self.root / "config")
        path = ":".join((str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])))
        return super().env(**{"PYTHONPATH": path, "XDG_CONFIG_HOME": config, "NO_COLOR": "", **more})

    def settings(self, text: str) -> Path:
        path = self.root / "config" / "devsetup" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    def doctor(self, *argv: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = self.run("doctor", *argv, **more)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def results(self, *argv: str, code: int = 0, **more: str) -> list[dict[str, Any]]:
        data = json.loads(self.doctor(*argv, "--json", code=code, **more).stdout)
        found: list[dict[str, Any]] = data["doctor"]["results"]
        return found

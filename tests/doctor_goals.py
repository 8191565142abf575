"""Goals made of the steps that a test names, and installs whose receipts a test shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homes import make_receipt

from devsetup.doctor import Goal
from devsetup.facts import Facts
from devsetup.plan import Identity, Part, Plan
from devsetup.receipts import Receipt
from devsetup.steps import PythonEnv, Run, Step


def part_of(*steps: Step, name: str = "toy", **fields: Any) -> Part:
    identity = Identity(os="debian", version="12", arch="x86_64")
    return Part(name=name, version="1.0", summary="a toy", identity=identity, steps=steps, **fields)


def wanting(facts: Facts, *steps: Step, name: str = "toy", **fields: Any) -> tuple[Goal, ...]:
    """The question about one recipe whose plan has these steps."""
    part = part_of(*steps, name=name, **fields)
    return (Goal(name=name, plan=Plan(facts=facts, parts=(part,), wanted=(part.key,))),)


def run(*argv: str) -> Run:
    return Run(argv=argv, title="build")


def python_env(python: str = "/usr/bin/python3.11", *requirements: str) -> PythonEnv:
    return PythonEnv(
        path="@PREFIX@/env", python=python, requirements=requirements, site_packages="lib/python3.11/site-packages"
    )


def installed(prefix: Path, *steps: Step, **fields: Any) -> Receipt:
    """The receipt of an install in a directory that the test fills."""
    return make_receipt(prefix=str(prefix), part=part_of(*steps, **fields))

"""A finished image, run as its users run it: unprivileged, with nothing to write to and no network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from devsetup.environment import PASSED_PREFIXES
from devsetup.proofs import Check, Finding, Import
from devsetup.render.body import import_code
from devsetup.render.image import USER, prefix_of
from devsetup.runner import MissingProgram
from devsetup.steps import substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.image.engine import Engine
    from devsetup.plan import Part, Plan

_NUMERICAL = tuple(prefix for prefix in PASSED_PREFIXES if prefix != "PIP_")
_NO_CONTAINER = (125, 126, 127)  # podman and docker: the container did not start


def run(engine: Engine, tag: str, plan: Plan, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Run the imports and checks of a plan in an image. Workloads were run while it was built.

    Args:
        engine: has the image. buildah runs nothing read-only; podman, which shares its store, does where it is there.
        tag: of the image.
        plan: what is in it.
        environ: the user's: numerical libraries are told the processor as here.
    """
    program = "podman" if engine.name == "buildah" else engine.name
    told = [f"--env={name}={value}" for name, value in sorted(environ.items()) if name.startswith(_NUMERICAL)]
    # As where proofs are run otherwise: in an empty directory, which is all that can be written to.
    places = ("--tmpfs=/tmp", "--workdir=/tmp", "--env=HOME=/tmp")
    container = (program, "run", "--rm", f"--user={USER}", "--read-only", "--network=none", *places, *told, tag)
    return tuple(
        _tried(engine, f"{part.name}: {title}", (*container, *argv), seconds)
        for part in plan.parts
        for title, argv, seconds in _commands(part, plan)
    )


def _commands(part: Part, plan: Plan) -> list[tuple[str, tuple[str, ...], int]]:
    """Title, command and time limit."""
    needed = {f"PREFIX:{each.name}": prefix_of(each) for each in plan.parts}
    places = {"PREFIX": prefix_of(part), **needed}
    found: list[tuple[str, tuple[str, ...], int]] = []
    for proof in part.proofs:
        match proof:
            case Import(python=python, timeout_s=seconds):
                imported = (substitute(python, places), "-I", "-c", import_code(proof))
                found.append((f"import {proof.module}", imported, seconds))
            case Check(title=title, argv=argv, timeout_s=seconds):
                found.append((title, tuple(substitute(word, places) for word in argv), seconds))
            case _:
                pass
    return found


def _tried(engine: Engine, title: str, argv: tuple[str, ...], seconds: int) -> Finding:
    start = time.monotonic()
    try:
        done = engine.runner.capture(argv, timeout_s=seconds)
    except MissingProgram:
        return Finding(proof=title, status="skip", summary=f"{argv[0]} is not here to run it read-only")
    lines = [line for line in (done.output + done.error).splitlines() if line.strip()]
    last = lines[-1] if lines else "nothing was printed"
    taken = time.monotonic() - start
    if done.returncode in _NO_CONTAINER:
        return Finding(proof=title, status="skip", summary=f"{argv[0]} starts no container here: {last}", seconds=taken)
    if done.returncode:
        summary = f"status {done.returncode}: {last}"
        return Finding(proof=title, status="fail", summary=summary, detail=tuple(lines[-8:]), seconds=taken)
    return Finding(proof=title, status="ok", summary=last, seconds=taken)

"""Installs for the doctor's checks: receipts, and shared libraries compiled by gcc that need each other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from doctor_goals import part_of
from doctoring import Couch
from homes import make_receipt

from devsetup.receipts import Receipt
from devsetup.steps import Step

GCC = shutil.which("gcc") or ""
needs_gcc = pytest.mark.skipif(not GCC, reason="needs gcc")


def installed(
    couch: Couch, name: str, *, steps: tuple[Step, ...] = (), needs: tuple[str, ...] = (), **options: str
) -> Receipt:
    """The receipt of an install with these options, whose prefix is below the machine's root."""
    part = part_of(*steps, name=name, needs=needs, options=options)
    prefix = Path(f"{couch.root}/home/user/devsetup/store/{part.key}")
    prefix.mkdir(parents=True)
    return make_receipt(name, part=part, prefix=str(prefix))


def library(path: Path, *needs: Path | str, flags: tuple[str, ...] = ()) -> Path:
    """A shared library under its own name, which needs others: files, or names that nothing is behind.

    Standard libraries are left out, because a constructed machine has none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent / ".scratch"
    scratch.mkdir(exist_ok=True)
    others = [need if isinstance(need, Path) else library(scratch / need) for need in needs]
    source = scratch / f"{path.name}.c"
    source.write_text("int symbol;\n")
    always = ("-shared", "-nostdlib", f"-Wl,-soname,{path.name}", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined")
    subprocess.run([GCC, "-o", path, source, *always, *flags, *others], check=True)
    shutil.rmtree(scratch)
    return path


def cache(couch: Couch, *names: str) -> None:
    """An ld.so.cache that knows these libraries; what else is in one does not matter here."""
    couch.write("/etc/ld.so.cache", "".join(f"/{name}\0" for name in names))

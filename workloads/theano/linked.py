"""Compile one matrix product with Theano and say what ran: which linker, which C module, which BLAS it is linked to.

Run it with the interpreter of the installed environment::

    PREFIX/env/bin/python linked.py openblas

Exit status 1 when anything ran in Python instead of C, or another BLAS was linked than the one named.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess  # noqa: TID251  (this script stands alone, outside devsetup)
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class WorkloadError(Exception):
    """Something did not hold."""


@dataclass
class Blas:
    """What a compiled module uses: the linker's flags, the name that it asks for, and the file that answered."""

    flags: str
    needed: str
    loaded: str


def scratch() -> Path:
    """A directory for what Theano compiles, without the user's own settings; to be called before theano is imported.

    It goes when the process ends, after Theano, which tidies it up at exit itself.
    """
    place = tempfile.mkdtemp(prefix="theano-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    os.environ["THEANO_FLAGS"] = f"base_compiledir={place}"
    os.environ["THEANORC"] = os.devnull
    return Path(place)


def require_c(function: Any) -> list[str]:
    """The names of a Theano function's nodes, all of which the C linker runs, as compiled C."""
    import theano  # noqa: PLC0415  (after `scratch`)

    if not theano.config.cxx:
        raise WorkloadError("theano.config.cxx is empty: Theano found no compiler")
    runner = function.fn
    if not any(each.__module__.startswith("lazylinker_ext") for each in type(runner).__mro__):
        raise WorkloadError(f"the function is run by {type(runner).__name__}, not by the C linker")
    in_python = [str(node) for i, node in enumerate(runner.nodes) if not hasattr(runner.thunks[i], "cthunk")]
    if in_python:
        raise WorkloadError(f"not compiled to C: {', '.join(in_python)}")
    return [type(node.op).__name__ for node in runner.nodes]


def linked_blas(compiled: Path) -> Blas:
    """The BLAS that the modules compiled below a directory are linked to, and that this process has loaded."""
    import theano  # noqa: PLC0415  (after `scratch`)

    ldd = shutil.which("ldd")
    if ldd is None:
        raise WorkloadError("ldd is not here, so what the compiled modules are linked to cannot be asked")
    found: set[tuple[str, str]] = set()
    for module in compiled.rglob("*.so"):
        listed = subprocess.run([ldd, str(module)], capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"^\s*(lib\w*blas\S*) => (\S+)", listed, re.MULTILINE))
    if len(found) != 1:
        raise WorkloadError(f"the compiled modules are linked to {sorted(found) or 'no BLAS'}")
    ((needed, path),) = found
    loaded = os.path.realpath(path)
    if loaded not in Path("/proc/self/maps").read_text(encoding="utf-8"):
        raise WorkloadError(f"{needed} means {loaded}, which this process has not loaded")
    return Blas(flags=theano.config.blas.ldflags, needed=needed, loaded=loaded)


def require_blas(blas: Blas, wanted: str) -> None:
    """Check that the BLAS loaded is the one that was asked for: `openblas` or `reference`."""
    if ("openblas" if "openblas" in blas.loaded else "reference") != wanted:
        raise WorkloadError(f"{wanted} was asked for, and {blas.needed} is {blas.loaded}")


def compile_product(compiled: Path) -> tuple[list[str], Blas]:
    """Compile a product and run it; returns the names of its nodes, and the BLAS."""
    import numpy as np  # noqa: PLC0415  (after `scratch`)
    import theano  # noqa: PLC0415  (after `scratch`)

    left, right = theano.tensor.matrices("left", "right")
    product = theano.function([left, right], theano.tensor.dot(left, right))
    values = np.arange(12.0, dtype=theano.config.floatX).reshape(3, 4)
    if not np.array_equal(product(values, values.T), values @ values.T):
        raise WorkloadError("the product is wrong")
    return require_c(product), linked_blas(compiled)


def main() -> int:
    """Compile, run, report."""
    compiled = scratch()
    try:
        names, blas = compile_product(compiled)
        require_blas(blas, sys.argv[1])
    except WorkloadError as error:
        print(f"linked: {error}", file=sys.stderr)
        return 1
    print(f"{', '.join(names)}: run by the C linker")
    print(f"{blas.flags} linked {blas.needed}, which is {blas.loaded}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

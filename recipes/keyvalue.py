"""The note's comparison of Berkeley DB with LevelDB, and with LMDB as a peer of today, in one environment.

The two have recipes of their own, which this one needs; it adds LMDB and the comparison. Each of the two also measures
itself, with the same program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env, site_packages
from devsetup.recipe import Check, Context, LinkClosure, Recipe, When, Workload
from devsetup.steps import PREFIX, Env, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("keyvalue.py", "ratio_chart.py", "ratios.py", "stores.py")


def steps(ctx: Context) -> Iterator[Step]:
    """An environment that sees both bindings, with LMDB, and the comparison."""
    bindings = tuple(f"@PREFIX:{name}@/env/{site_packages(ctx.facts)}" for name in ctx.recipe.needs)
    yield python_env(ctx.facts, ("lmdb==3.0.0",), paths=bindings)
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/keyvalue/{name}"))
    yield Env(name="PATH", value=f"{PREFIX}/env/bin")


def supports(facts: Facts, _: Mapping[str, str]) -> str | None:
    """Where the comparison runs; LevelDB and Berkeley DB say themselves what else they need."""
    if not When(libraries={"python": ">=3.10"}).verdict(facts).holds:
        return f"the comparison needs Python 3.10, and this is {facts.library('python') or 'unknown'}"
    return None


RECIPE = Recipe(
    name="keyvalue",
    version="1",
    summary="The note's comparison of Berkeley DB and LevelDB, with LMDB beside them",
    homepage="https://github.com/jnwatson/py-lmdb",
    licence="OLDAP-2.8",
    keywords=("lmdb", "leveldb", "berkeleydb", "benchmark", "index", "database"),
    needs=("leveldb", "berkeleydb"),
    libraries=("python",),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Check(
            title="all three stores import in one process",
            argv=(PYTHON, "-I", "-c", "import plyvel, berkeleydb, lmdb; print('LMDB', *lmdb.version())"),
            expect=r"^LMDB 0 9 [0-9]+$",
        ),
        Workload(
            title="the note's comparison: build, look up cold and hot, size on disk, at several sizes",
            argv=(
                *(PYTHON, f"{SHARE}/keyvalue.py", "--stores", "leveldb", "berkeleydb", "lmdb"),
                *("--scale", "@SCALE@", "--out", "@ARTIFACTS@"),
            ),
            artifacts=("result.json", "ratios.svg"),
            timeout_s=1800,
        ),
    ),
    supports=supports,
    steps=steps,
    disk_mb=400,
    seen=(
        ("Debian 12, x86-64", "run", "installed, proved and measured by the tests"),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Fedora", "simulated", "planned from declared facts"),
    ),
)

"""Berkeley DB 5.3: the library of the distribution, and berkeleydb, its Python binding, compiled against it.

5.3 is the last release under the old licence; from 6 on it is under the AGPL, which distributions do not take. bsddb3,
the binding's old name, ended with Python 3.9. Recipe `keyvalue` compares it with LevelDB and LMDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_binding
from devsetup.recipe import Check, Context, Import, LinkClosure, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, PyPISource, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

TREE = f"{BUILD}/berkeleydb"
PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("keyvalue.py", "ratio_chart.py", "ratios.py", "stores.py")

ROUND_TRIP = """\
from berkeleydb import db
store = db.DB()
store.open("round.db", dbtype=db.DB_BTREE, flags=db.DB_CREATE)
for n in range(1000):
    store.put(b"%04d" % n, b"%d" % (n * n))
store.delete(b"0500")
store.close()
store = db.DB()
store.open("round.db", flags=db.DB_RDONLY)
assert store.get(b"0031") == b"961" and store.get(b"0500") is None
keys = store.keys()
assert keys == sorted(keys) and len(keys) == 999, len(keys)
print("kept", len(keys), "pairs in order; Berkeley DB", ".".join(map(str, db.version())))
"""


def steps(ctx: Context) -> Iterator[Step]:
    """The binding in its environment, and the note's benchmark beside it."""
    yield from python_binding(ctx.facts, TREE, ctx.source(into=TREE))
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/keyvalue/{name}"))


def supports(facts: Facts, _: Mapping[str, str]) -> str | None:
    """Linux with Berkeley DB 5.3 and a Python that runs the benchmark."""
    if facts.os.id == "macos":
        return "there is no plan for Berkeley DB's Python binding on macOS yet; use Linux"
    if not When(libraries={"python": ">=3.10"}).verdict(facts).holds:
        return f"its benchmark needs Python 3.10, and this is {facts.library('python') or 'unknown'}"
    if not When(libraries={"berkeleydb": ">=5.3, <6"}).verdict(facts).holds:
        return f"the recipe is for Berkeley DB 5.3, and this is {facts.library('berkeleydb') or 'unknown'}"
    return None


RECIPE = Recipe(
    name="berkeleydb",
    version="18.1.18",
    summary="Berkeley DB 5.3, the library, with berkeleydb 18.1.18, its Python binding",
    homepage="https://www.jcea.es/programacion/pybsddb.htm",
    licence="BSD-3-Clause",
    keywords=("bsddb3", "bdb", "key-value", "database", "index", "b-tree"),
    sources=(
        PyPISource(
            id="18.1.18",
            package="berkeleydb",
            version="18.1.18",
            file="berkeleydb-18.1.18.tar.gz",
            sha256="f2174f2c8fde10c65668e6f3ed98ecac00065cf308920143f650a336654dea5b",
            python=PYTHON,
        ),
    ),
    libraries=("gcc", "berkeleydb", "python"),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Import(python=PYTHON, module="berkeleydb", show="berkeleydb.__version__"),
        Check(
            title="pairs survive closing and come back in order",
            argv=(PYTHON, "-I", "-c", ROUND_TRIP),
            expect=r"^kept 999 pairs in order; Berkeley DB 5\.3\.[0-9]+$",
        ),
        Workload(
            title="the note's index: build, look up cold and hot, size on disk",
            argv=(
                *(PYTHON, f"{SHARE}/keyvalue.py", "--stores", "berkeleydb"),
                *("--scale", "@SCALE@", "--out", "@ARTIFACTS@"),
            ),
            artifacts=("result.json", "ratios.svg"),
            timeout_s=900,
        ),
    ),
    shares=("keyvalue",),
    supports=supports,
    steps=steps,
    memory_per_job_mb=300,
    disk_mb=200,
    seen=(
        ("Debian 12, x86-64", "run", "installed, proved and measured by the tests"),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Fedora", "simulated", "planned from declared facts"),
    ),
)

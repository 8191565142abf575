"""LevelDB: the library of the distribution, and plyvel, its Python binding, compiled against that library.

plyvel's wheels hold a LevelDB of their own; compiled from the sdist, the binding uses the one that C++ programs of this
machine use too. Recipe `keyvalue` compares it with Berkeley DB and LMDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_binding
from devsetup.recipe import Check, Context, Import, LinkClosure, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, PyPISource, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

TREE = f"{BUILD}/plyvel"
PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("keyvalue.py", "ratio_chart.py", "ratios.py", "stores.py")

ROUND_TRIP = """\
import plyvel
with plyvel.DB("round", create_if_missing=True) as db:
    with db.write_batch() as batch:
        for n in range(1000):
            batch.put(b"%04d" % n, b"%d" % (n * n))
    db.delete(b"0500")
with plyvel.DB("round") as db:
    assert db.get(b"0031") == b"961" and db.get(b"0500") is None
    keys = [key for key, _ in db]
    assert keys == sorted(keys) and len(keys) == 999, len(keys)
    print("kept", len(keys), "pairs in order; LevelDB", plyvel.__leveldb_version__)
"""


def steps(ctx: Context) -> Iterator[Step]:
    """The binding in its environment, and the note's benchmark beside it."""
    yield from python_binding(ctx.facts, TREE, ctx.source(into=TREE))
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/keyvalue/{name}"))


def supports(facts: Facts, _: Mapping[str, str]) -> str | None:
    """Linux with LevelDB 1.20, which the binding asks for, and a Python that runs the benchmark."""
    if facts.os.id == "macos":
        return "there is no plan for LevelDB's Python binding on macOS yet; use Linux"
    if not When(libraries={"python": ">=3.10"}).verdict(facts).holds:
        return f"its benchmark needs Python 3.10, and this is {facts.library('python') or 'unknown'}"
    if not When(libraries={"leveldb": ">=1.20"}).verdict(facts).holds:
        return f"plyvel 1.5.1 needs LevelDB 1.20, and this is {facts.library('leveldb') or 'unknown'}"
    return None


RECIPE = Recipe(
    name="leveldb",
    version="1.5.1",
    summary="LevelDB, the library, with plyvel 1.5.1, its Python binding",
    homepage="https://github.com/wbolster/plyvel",
    licence="BSD-3-Clause",
    keywords=("plyvel", "key-value", "database", "index", "log-structured"),
    sources=(
        PyPISource(
            id="1.5.1",
            package="plyvel",
            version="1.5.1",
            file="plyvel-1.5.1.tar.gz",
            sha256="3caf6009e4fc24fbf8712d3f5ef3da7e56495c26a488df2161218fc34e46019c",
            python=PYTHON,
        ),
    ),
    libraries=("gcc", "leveldb", "python"),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Import(python=PYTHON, module="plyvel", show="plyvel.__version__"),
        Check(
            title="pairs survive closing and come back in order",
            argv=(PYTHON, "-I", "-c", ROUND_TRIP),
            expect=r"^kept 999 pairs in order; LevelDB [0-9.]+$",
        ),
        Workload(
            title="the note's index: build, look up cold and hot, size on disk",
            argv=(
                *(PYTHON, f"{SHARE}/keyvalue.py", "--stores", "leveldb"),
                *("--scale", "@SCALE@", "--out", "@ARTIFACTS@"),
            ),
            artifacts=("result.json", "ratios.svg"),
            timeout_s=900,
        ),
    ),
    shares=("keyvalue",),
    supports=supports,
    steps=steps,
    memory_per_job_mb=600,
    disk_mb=300,
    seen=(
        ("Debian 12, x86-64", "run", "installed, proved and measured by the tests"),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Fedora", "simulated", "planned from declared facts"),
    ),
)

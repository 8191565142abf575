"""What the Python bindings of LevelDB and Berkeley DB cost over the same loop in C, on the same libraries.

Both sides put the same pairs in the same order with the options of `workloads/keyvalue/stores.py`, close, and look the
same keys up twice; memory is to spare, so that the disk hides nothing. They alternate, and the quickest round of each
counts. Processor time stands beside wall time, which other work on the machine disturbs. gcc, libleveldb-dev and
libdb5.3-dev must be there, and keyvalue must be installed in the home.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

_BOUND = 1.1
_ROOT = Path(__file__).resolve().parent.parent
_KINDS = ("build", "look-ups", "look-ups again")
# Runs in the environment of the install, with the program's own functions.
_PYTHON = """
import sys, time
from array import array
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from stores import STORES
from keyvalue import BATCH, key, value
name, home, pairs = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
order, wanted = array("I"), array("I")
with open(sys.argv[5], "rb") as file: order.fromfile(file, pairs)
with open(sys.argv[6], "rb") as file: wanted.fromfile(file, pairs // 37)
store = STORES[name](home)
wall, spent = [0.0] * 3, [0.0] * 3

def timed(which, work, *given):
    began = time.perf_counter(), time.process_time()
    found = work(*given)
    ended = time.perf_counter(), time.process_time()
    wall[which] += ended[0] - began[0]
    spent[which] += ended[1] - began[1]
    return found

store.open(create=True)
for start in range(0, pairs, BATCH):
    timed(0, store.put, [(key(n), value(n)) for n in order[start : start + BATCH]])
timed(0, store.close)
store.open(create=False)
for turn in (1, 2):
    for start in range(0, len(wanted), BATCH):
        some = wanted[start : start + BATCH]
        assert timed(turn, store.get, [key(n) for n in some]) == [value(n) for n in some]
store.close()
print(*wall, *spent)
"""


def main(argv: list[str]) -> int:
    """Time both sides and print the ratios; the exit status says whether they could be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks keyvalue")
    parser.add_argument("--home", required=True, help="a home where keyvalue is installed")
    parser.add_argument("--pairs", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    prefix = _prefix(options.home)
    with tempfile.TemporaryDirectory(dir=options.home) as scratch:
        here = Path(scratch)
        program = _compiled(here)
        files = _numbers(here, options.pairs)
        for name in ("leveldb", "berkeleydb"):
            c, python = [], []
            for _ in range(options.rounds):
                c.append(_round([str(program), name], here, options.pairs, files))
                share = str(prefix / "share/devsetup")
                python.append(
                    _round([str(prefix / "env/bin/python"), "-c", _PYTHON, share, name], here, options.pairs, files)
                )
            _report(name, c, python)
    return 0


def _prefix(home: str) -> Path:
    asked = [sys.executable, "-m", "devsetup", "env", "keyvalue", "--json", "--home", home]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=_ROOT)
    paths = [setting["value"] for setting in json.loads(done.stdout)["env"] if setting["name"] == "PATH"]
    return Path(paths[-1]).parent.parent  # what it needs comes first


def _compiled(here: Path) -> Path:
    program = here / "keyvalue"
    source = str(_ROOT / "benchmarks/keyvalue.c")
    subprocess.run([shutil.which("gcc") or "gcc", "-O2", "-o", program, source, "-lleveldb", "-ldb-5.3"], check=True)
    return program


def _numbers(here: Path, pairs: int) -> list[str]:
    draw = random.Random(1)  # noqa: S311 - no secret, and repeatable
    order = array("I", range(pairs))
    draw.shuffle(order)
    wanted = array("I", (draw.randrange(pairs) for _ in range(pairs // 37)))
    paths = [here / "order", here / "wanted"]
    for path, numbers in zip(paths, (order, wanted), strict=True):
        path.write_bytes(numbers.tobytes())
    return [str(path) for path in paths]


def _round(argv: list[str], here: Path, pairs: int, files: list[str]) -> list[float]:
    """Seconds of wall time of each kind, then of processor time."""
    with tempfile.TemporaryDirectory(dir=here) as home:
        done = subprocess.run([*argv, home, str(pairs), *files], stdout=subprocess.PIPE, text=True, check=True)
    return list(map(float, done.stdout.split()))


def _report(name: str, c: list[list[float]], python: list[list[float]]) -> None:
    print(f"{name}, {len(c)} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for number, kind in enumerate((*_KINDS, *(f"{kind}, processor time" for kind in _KINDS))):
        theirs, ours = (min(each[number] for each in side) for side in (c, python))
        print(f"  {kind}: C {theirs:.3f} s, Python {ours:.3f} s: {ours / theirs:.2f} (bound {_BOUND})")

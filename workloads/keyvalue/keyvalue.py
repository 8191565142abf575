"""The note's benchmark: build an index of N pairs, then look N/37 keys up, cold and hot, in several stores.

Each build and each pair of look-ups has a process of its own. The run passes only if every value that was looked up is
the one that was put in. It leaves `result.json` and `ratios.svg`.

    PREFIX/env/bin/python keyvalue.py --stores leveldb berkeleydb lmdb --scale 1 --out DIR
"""

from __future__ import annotations

import argparse
import array
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stores import STORES, cached_bytes, empty_page_cache

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 400_000  # at scale 1
LEAST = 4_000  # so that N/37 look-ups take a time that can be measured
STEP = 4  # from one N to the next
SIZES = 3  # how many N there are at least
PAIRS_PER_LOOKUP = 37  # the note's
BATCH = 1_000
ROUNDS = 5  # of a size whose build takes a moment, of which the quickest counts
WINDOW = 20_000  # pairs after which the page cache is emptied, where memory is to be short
ROOM_PER_PAIR = 160  # bytes: the largest store at its largest, with some to spare

_T = TypeVar("_T")


class WorkloadError(Exception):
    """Why the run did not pass."""


@dataclass(frozen=True)
class Job:
    """What one process does.

    Attributes:
        store: key of STORES.
        order: `random` or `sorted`: in which the keys are inserted.
        short: the page cache is emptied again and again while building, as if the data were larger than memory.
        lose: a control: leave every thousandth pair out.
    """

    store: str
    pairs: int
    order: str
    short: bool
    seed: int
    home: Path
    lose: bool = False


@dataclass(frozen=True)
class Built:
    """Seconds of a build, of those the ones that emptying the page cache took, and the size of its files."""

    seconds: float
    emptying: float
    disk_bytes: int


@dataclass(frozen=True)
class Looked:
    """Seconds of the look-ups, and how much of the files was still in memory before the cold ones."""

    cold: float
    hot: float
    lookups: int
    cached_bytes: int


@dataclass(frozen=True)
class Measured:
    """One build and its look-ups; `looked` is None where only the build was wanted."""

    store: str
    pairs: int
    order: str
    short: bool
    built: Built
    looked: Looked | None


def key(number: int) -> bytes:
    """16 bytes: the number in decimal, so that keys sort as numbers do."""
    return b"%016d" % number


def value(number: int) -> bytes:
    """20 bytes that depend on the number and look random."""
    return b"%020d" % (number * 2654435761 % (1 << 61))


def insertion(job: Job) -> array.array[int]:
    """The numbers of the pairs, in the order in which they are inserted: four bytes each."""
    numbers = array.array("I", range(job.pairs))
    if job.order == "random":
        random.Random(job.seed).shuffle(numbers)  # noqa: S311 - no secret, and repeatable
    return numbers


def wanted(job: Job) -> list[int]:
    """The numbers of the pairs to look up, drawn with replacement."""
    draw = random.Random(job.seed + 1)  # noqa: S311 - as above
    return [draw.randrange(job.pairs) for _ in range(job.pairs // PAIRS_PER_LOOKUP)]


def build(job: Job) -> Built:
    """Build an index, with its files on the disk at the end. Making the pairs is not counted."""
    store = STORES[job.store](job.home)
    numbers = insertion(job)
    seconds = emptying = 0.0
    store.open(create=True)
    for start in range(0, job.pairs, BATCH):
        batch = [(key(n), value(n)) for n in numbers[start : start + BATCH] if not (job.lose and n % 1_000 == 0)]
        began = time.perf_counter()
        store.put(batch)
        seconds += time.perf_counter() - began
        if job.short and (start + BATCH) % WINDOW == 0:
            began = time.perf_counter()
            store.release()
            empty_page_cache(store.files())
            emptying += time.perf_counter() - began
    began = time.perf_counter()
    store.close()
    empty_page_cache(store.files())
    seconds += time.perf_counter() - began
    return Built(seconds=seconds + emptying, emptying=emptying, disk_bytes=store.disk_bytes())


def look_up(job: Job) -> Looked:
    """Look keys up in files that are not in memory, and once more when they are."""
    store = STORES[job.store](job.home)
    empty_page_cache(store.files())
    cached = sum(cached_bytes(path) for path in store.files())
    numbers = wanted(job)
    keys = [key(number) for number in numbers]
    began = time.perf_counter()
    store.open(create=False)
    found = store.get(keys)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    again = store.get(keys)
    hot = time.perf_counter() - began
    store.close()
    wrong = sum(a != value(n) or b != a for a, b, n in zip(found, again, numbers, strict=True))
    if wrong:
        raise WorkloadError(f"{wrong} of {len(keys)} look-ups gave another value than was put in")
    return Looked(cold=cold, hot=hot, lookups=len(keys), cached_bytes=cached)


def alone(work: Callable[[Job], _T], job: Job) -> _T:
    """Do something in a process of its own, so that nothing is left of the one before.

    Raises:
        WorkloadError: says which store failed at what, and how.
    """
    what = f"{STORES[job.store].name}, {job.pairs:,} pairs in {job.order} order"
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(work, job).result()
    except Exception as error:
        raise WorkloadError(f"{what}: {error or type(error).__name__}") from error


def rounds(pairs: int) -> int:
    """How often a size is measured: so often that all rounds together have half the pairs of scale 1."""
    return max(1, min(ROUNDS, PAIRS // 2 // pairs))


def once(job: Job, *, lookups: bool) -> tuple[Built, Looked | None]:
    """Build in an empty directory, look up, and remove what was built."""
    job.home.mkdir()
    try:
        return alone(build, job), alone(look_up, job) if lookups else None
    finally:
        shutil.rmtree(job.home)


def measure(job: Job, *, lookups: bool) -> Measured:
    """The quickest build and the quickest look-ups of some rounds: what disturbs a round only makes it slower."""
    found = [once(job, lookups=lookups) for _ in range(rounds(job.pairs))]
    built = min((each for each, _ in found), key=lambda each: each.seconds)
    looks = [each for _, each in found if each]
    looked = None
    if looks:
        quick = replace(looks[0], cold=min(each.cold for each in looks), hot=min(each.hot for each in looks))
        looked = replace(quick, cached_bytes=max(each.cached_bytes for each in looks))
    print(f"{STORES[job.store].name}, {job.pairs:,} pairs, {job.order}: built in {built.seconds:.2f} s", flush=True)
    return Measured(store=job.store, pairs=job.pairs, order=job.order, short=job.short, built=built, looked=looked)


def sizes(scale: float) -> list[int]:
    """Numbers of pairs, rising.

    Raises:
        WorkloadError: the scale is too small to measure anything.
    """
    largest = round(PAIRS * scale)
    if largest < LEAST * STEP ** (SIZES - 1):
        least = LEAST * STEP ** (SIZES - 1) / PAIRS
        raise WorkloadError(f"scale {scale:g} leaves too few pairs to measure; take {least:g} or more")
    found = [largest]
    while len(found) < SIZES or found[0] // STEP >= PAIRS // STEP**2:
        found.insert(0, found[0] // STEP)
    return found


def measure_all(options: argparse.Namespace, scratch: Path) -> list[Measured]:
    """Every store at every size with memory short, in both orders; the largest also with memory to spare."""
    counts = sizes(options.scale)
    needed, free = counts[-1] * ROOM_PER_PAIR, shutil.disk_usage(scratch).free
    if free < needed:
        raise WorkloadError(f"{scratch} has {free >> 20} MB free, and {counts[-1]:,} pairs need {needed >> 20} MB")
    found = []
    for pairs in counts:
        for name in options.stores:
            for order, short in (("random", True), ("sorted", True), ("random", False)):
                if short or pairs == counts[-1]:
                    home = scratch / f"{name}-{pairs}"
                    job = Job(name, pairs, order, short, options.seed, home, lose=options.lose)
                    found.append(measure(job, lookups=short))
    return found


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when every look-up gave what was put in, 1 when not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stores", nargs="+", choices=tuple(STORES), required=True)
    parser.add_argument("--scale", type=float, default=1.0, help=f"1 is {PAIRS:,} pairs; the note's size is 622")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results; databases are made in it")
    parser.add_argument("--lose", action="store_true", help="control: leave pairs out, so that the run must fail")
    options = parser.parse_args(argv)
    from ratio_chart import draw  # noqa: PLC0415 - not in the processes that measure
    from ratios import describe  # noqa: PLC0415

    try:
        with tempfile.TemporaryDirectory(prefix="stores-", dir=options.out) as scratch:
            found = measure_all(options, Path(scratch))
    except (WorkloadError, OSError) as error:
        print(f"keyvalue: {error}", file=sys.stderr)
        return 1
    result = {**describe(found, options.scale, options.seed), "measured": [asdict(each) for each in found]}
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "ratios.svg").write_text(draw(found), encoding="utf-8")
    print(f"{sum(each.looked.lookups for each in found if each.looked):,} look-ups gave what was put in, cold and hot")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The note's figures, and this machine's in the same terms."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores import STORES

if TYPE_CHECKING:
    from keyvalue import Measured

    Row = dict[str, object]


@dataclass(frozen=True)
class Note:
    """One store in the note: seconds of the build and of the look-ups, bytes on disk."""

    build: float
    cold: float
    hot: float
    disk_bytes: float


LOOKUPS = 6_719_350
PAIRS = LOOKUPS * 37  # "about 250 million"
NOTE = {
    "berkeleydb": Note(build=6720, cold=1502, hot=101, disk_bytes=9.5e9),
    "leveldb": Note(build=1980, cold=196, hot=138, disk_bytes=3.5e9),
}
KINDS = ("build", "cold", "hot", "size")


def ratios(berkeley: Measured, level: Measured) -> dict[str, float]:
    """Berkeley DB's figures in multiples of LevelDB's, of two measurements of the same kind."""
    found = {"build": berkeley.built.seconds / level.built.seconds}
    if berkeley.looked and level.looked:
        found["cold"] = berkeley.looked.cold / level.looked.cold
        found["hot"] = berkeley.looked.hot / level.looked.hot
        found["size"] = berkeley.built.disk_bytes / level.built.disk_bytes
    return found


def note_ratios() -> dict[str, float]:
    """The same of the note."""
    ours, theirs = NOTE["berkeleydb"], NOTE["leveldb"]
    return {
        "build": ours.build / theirs.build,
        "cold": ours.cold / theirs.cold,
        "hot": ours.hot / theirs.hot,
        "size": ours.disk_bytes / theirs.disk_bytes,
    }


def ratio_curve(found: list[Measured], order: str, *, short: bool = True) -> list[tuple[int, dict[str, float]]]:
    """(pairs, ratios) for every size at which both stores were measured, rising."""
    curve = []
    for berkeley in found:
        for level in found:
            alike = (berkeley.pairs, berkeley.order, berkeley.short) == (level.pairs, level.order, level.short)
            kind = (berkeley.store, level.store, berkeley.order, berkeley.short)
            if alike and kind == ("berkeleydb", "leveldb", order, short):
                curve.append((berkeley.pairs, ratios(berkeley, level)))
    return sorted(curve, key=lambda point: point[0])


def turning(curve: list[tuple[int, dict[str, float]]], kind: str) -> float | None:
    """The number of pairs at which a ratio passes 1 for good, on a straight line between logarithms; None: nowhere."""
    points = [(math.log(pairs), math.log(each[kind])) for pairs, each in curve]
    for (x0, y0), (x1, y1) in reversed(list(itertools.pairwise(points))):
        if (y0 < 0) != (y1 < 0):
            return math.exp(x0 - y0 * (x1 - x0) / (y1 - y0))
    return None


def describe(found: list[Measured], scale: float, seed: int) -> dict[str, object]:
    """The bench table."""
    largest = max(each.pairs for each in found)
    stores = list(dict.fromkeys(each.store for each in found))
    rows = [
        row
        for store in stores
        for row in _store_rows([each for each in found if (each.store, each.pairs) == (store, largest)])
    ]
    return {
        "schema": 1,
        "title": f"An index of {largest:,} pairs: " + ", ".join(STORES[store].name for store in stores),
        "scale": scale,
        "seed": seed,
        "rows": [*(_ratio_rows(found) if {"leveldb", "berkeleydb"} <= set(stores) else []), *rows],
        "remarks": _remarks(found, stores, largest),
    }


def _row(what: str, unit: str, here: float | str, note: float | str | None = None) -> Row:
    return {"what": what, "unit": unit, "here": here, "note": note}


def _ratio_rows(found: list[Measured]) -> list[Row]:
    curve, note = ratio_curve(found, "random"), note_ratios()
    here = curve[-1][1]
    at_sorted = ratio_curve(found, "sorted")[-1][1]
    at_ease = ratio_curve(found, "random", short=False)[-1][1]
    rows = [
        _row("Berkeley DB / LevelDB: build, random order", "x", here["build"], note["build"]),
        _row("Berkeley DB / LevelDB: build, random order, memory to spare", "x", at_ease["build"]),
        _row("Berkeley DB / LevelDB: build, sorted order", "x", at_sorted["build"]),
        _row("Berkeley DB / LevelDB: look-ups, cold", "x", here["cold"], note["cold"]),
        _row("Berkeley DB / LevelDB: look-ups, hot", "x", here["hot"], note["hot"]),
        _row("Berkeley DB / LevelDB: size on disk", "x", here["size"], note["size"]),
    ]
    for kind, what in (("build", "LevelDB builds faster (random order)"), ("cold", "LevelDB looks up faster (cold)")):
        rows.append(_row(f"{what} from", "pairs", _from(curve, kind), f"{PAIRS:,} or fewer"))
    return rows


def _from(curve: list[tuple[int, dict[str, float]]], kind: str) -> float | str:
    at = turning(curve, kind)
    if at is not None and curve[-1][1][kind] >= 1:
        return round(at, -3)
    if curve[-1][1][kind] >= 1:
        return f"{curve[0][0]:,} or fewer"
    return f"more than {curve[-1][0]:,}"


def _store_rows(found: list[Measured]) -> list[Row]:
    """Rates of one store at one size."""
    name, note = STORES[found[0].store].name, NOTE.get(found[0].store)
    rows = []
    for each in found:
        order = f"{each.order} order" if each.short else f"{each.order} order, memory to spare"
        first = each.short and each.order == "random"
        rate = PAIRS / note.build if note and first else None
        rows.append(_row(f"{name}: build, {order}", "pairs/s", each.pairs / each.built.seconds, rate))
        if first and each.looked:
            count = each.looked.lookups
            rows += [
                _row(f"{name}: look-ups, cold", "1/s", count / each.looked.cold, LOOKUPS / note.cold if note else None),
                _row(f"{name}: look-ups, hot", "1/s", count / each.looked.hot, LOOKUPS / note.hot if note else None),
                _row(
                    f"{name}: size on disk",
                    "bytes/pair",
                    each.built.disk_bytes / each.pairs,
                    note.disk_bytes / PAIRS if note else None,
                ),
            ]
    return rows


def _remarks(found: list[Measured], stores: list[str], largest: int) -> list[str]:
    left = sum(each.looked.cached_bytes for each in found if each.looked)
    size = (
        f"{largest:,} pairs of a 16-byte key and a 20-byte value, the same for every store; {largest // 37:,} look-ups "
        f"of keys drawn at random, all of them there. The note: about 250 million pairs and {LOOKUPS:,} look-ups on a "
        "cloud machine of 2013; its key sizes, options and order of insertion are not known."
    )
    memory = (
        "While building, the store's files are written out and dropped from the page cache after every 20,000 pairs, "
        "as if the data were larger than memory; that time counts. `Memory to spare` does without."
    )
    cold = (
        "Cold: a new process, the files written out and dropped from the page cache (posix_fadvise DONTNEED; "
        f"{left:,} bytes stayed, by mincore); the disk's own cache was not emptied. Opening the store counts. Hot: the "
        "same look-ups once more."
    )
    after = (
        "Size: after the build in random order; no compaction was asked for. Sizes up to 100,000 pairs are measured "
        "two to five times, and the quickest counts; larger ones once."
    )
    options = (f"{STORES[store].name} {STORES[store].version()}: {STORES[store].options}." for store in stores)
    return [size, memory, cold, after, *options]

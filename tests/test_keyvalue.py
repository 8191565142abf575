"""The index of pairs that LevelDB, Berkeley DB and LMDB are compared by: its parts, and the whole on real installs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from test_real import Home

from devsetup import results

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "workloads/keyvalue"
sys.path.insert(0, str(PROGRAM))  # as when a workload is run: beside its modules

import keyvalue  # noqa: E402
import ratio_chart  # noqa: E402
import ratios  # noqa: E402
import stores  # noqa: E402


def measured(store: str, pairs: int, order: str, seconds: float, **more: object) -> keyvalue.Measured:
    built = keyvalue.Built(seconds=seconds, emptying=0.0, disk_bytes=40 * pairs)
    looked = keyvalue.Looked(cold=seconds / 10, hot=seconds / 20, lookups=pairs // 37, cached_bytes=0)
    short = bool(more.get("short", True))
    return keyvalue.Measured(store, pairs, order, short, built, looked if short else None)


def both(builds: dict[int, tuple[float, float]]) -> list[keyvalue.Measured]:
    """Berkeley DB's and LevelDB's seconds by number of pairs, in random order; half of that in sorted order."""
    found = []
    for pairs, seconds in builds.items():
        for store, time in zip(("berkeleydb", "leveldb"), seconds, strict=True):
            found += [measured(store, pairs, "random", time), measured(store, pairs, "sorted", time / 2)]
    largest = max(builds)
    return [
        *found,
        *(measured(store, largest, "random", 1.0, short=False) for store in ("berkeleydb", "leveldb")),
    ]


def row(described: dict[str, object], start: str) -> dict[str, object]:
    rows = described["rows"]
    assert isinstance(rows, list)
    return next(each for each in rows if str(each["what"]).startswith(start))


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bindings are in the environments of installs, not in that of the tests."""
    for store in stores.STORES.values():
        monkeypatch.setattr(store, "version", staticmethod(lambda: "1.2.3"))


def test_keys_and_values_have_their_lengths_and_keys_sort_as_numbers() -> None:
    numbers = [0, 9, 10, 99_999, 248_615_950]
    keys = [keyvalue.key(number) for number in numbers]
    assert keys == sorted(keys)
    assert {len(key) for key in keys} == {16}
    assert {len(keyvalue.value(number)) for number in numbers} == {20}


def test_the_same_pairs_go_in_whatever_the_order(tmp_path: Path) -> None:
    def numbers(order: str, seed: int) -> list[int]:
        return list(keyvalue.insertion(keyvalue.Job("lmdb", 5000, order, True, seed, tmp_path)))

    assert numbers("sorted", 1) == list(range(5000))
    assert sorted(numbers("random", 1)) == list(range(5000))
    assert numbers("random", 1) != numbers("sorted", 1)
    assert numbers("random", 1) == numbers("random", 1)
    assert numbers("random", 1) != numbers("random", 2)
    wanted = keyvalue.wanted(keyvalue.Job("lmdb", 5000, "random", True, 1, tmp_path))
    assert len(wanted) == 5000 // 37
    assert set(wanted) <= set(range(5000))


def test_sizes_rise_to_that_of_the_scale() -> None:
    assert keyvalue.sizes(1) == [25_000, 100_000, 400_000]
    assert keyvalue.sizes(0.16) == [4_000, 16_000, 64_000]
    large = keyvalue.sizes(622)
    assert large[-1] == 248_800_000
    assert large[0] < 100_000
    assert [keyvalue.rounds(pairs) for pairs in (4_000, 25_000, 100_000, 400_000)] == [5, 5, 2, 1]
    with pytest.raises(keyvalue.WorkloadError, match=r"scale 0.1 leaves too few pairs to measure; take 0.16 or more"):
        keyvalue.sizes(0.1)


def test_a_file_can_be_dropped_from_the_page_cache(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    if kind.strip() in {"tmpfs", "ramfs"}:
        pytest.skip(f"{tmp_path} is a {kind.strip()}: its files are nowhere but in memory")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))
    assert stores.cached_bytes(path) == 1 << 20
    stores.empty_page_cache([path, tmp_path / "gone"])
    assert stores.cached_bytes(path) == 0
    assert path.stat().st_size == 1 << 20
    (tmp_path / "empty").touch()
    assert stores.cached_bytes(tmp_path / "empty") == 0


def test_the_table_puts_ratios_beside_the_notes() -> None:
    described = ratios.describe(both({25_000: (1.0, 2.0), 100_000: (4.0, 8.0), 400_000: (64.0, 16.0)}), 1.0, 1)
    results.decode(json.dumps(described).encode(), "result.json")
    build = row(described, "Berkeley DB / LevelDB: build, random")
    assert build["here"] == 4.0
    assert build["note"] == pytest.approx(112 / 33)
    assert row(described, "Berkeley DB / LevelDB: look-ups, cold")["note"] == pytest.approx(1502 / 196)
    assert row(described, "Berkeley DB / LevelDB: look-ups, hot")["note"] == pytest.approx(101 / 138)
    assert row(described, "Berkeley DB / LevelDB: size")["note"] == pytest.approx(9.5 / 3.5)
    # From 1/2 at 100,000 to 4 at 400,000: a third of the way between their logarithms.
    assert row(described, "LevelDB builds faster")["here"] == round(100_000 * 4 ** (1 / 3), -3)
    assert row(described, "LevelDB: build, random")["here"] == 400_000 / 16
    assert row(described, "Berkeley DB: build, random")["here"] == 400_000 / 64
    assert row(described, "LevelDB: build, random")["note"] == pytest.approx(ratios.PAIRS / 1980)


@pytest.mark.parametrize(
    ("builds", "here"),
    [
        ({25_000: (1.0, 2.0), 100_000: (4.0, 8.0)}, "more than 100,000"),
        ({25_000: (3.0, 2.0), 100_000: (9.0, 8.0)}, "25,000 or fewer"),
        ({25_000: (3.0, 2.0), 100_000: (4.0, 8.0)}, "more than 100,000"),
    ],
)
def test_an_order_that_does_not_turn_is_said(builds: dict[int, tuple[float, float]], here: str) -> None:
    assert row(ratios.describe(both(builds), 1.0, 1), "LevelDB builds faster")["here"] == here


def test_one_store_alone_has_rates_only() -> None:
    found = [measured("leveldb", pairs, order, 2.0) for pairs in (25_000, 100_000) for order in ("random", "sorted")]
    described = ratios.describe(found, 1.0, 1)
    rows = described["rows"]
    assert isinstance(rows, list)
    assert all(str(each["what"]).startswith("LevelDB: ") for each in rows)
    assert "LevelDB 1.2.3" in str(described["remarks"])
    assert "Berkeley" not in ratio_chart.draw(found)


def test_the_chart_holds_every_series_and_the_notes_points() -> None:
    text = ratio_chart.draw(both({25_000: (1.0, 2.0), 100_000: (4.0, 8.0), 400_000: (64.0, 16.0)}))
    root = ET.fromstring(text)  # noqa: S314 - our own text
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [3] * 5
    hollow = [c for c in root.iter("{http://www.w3.org/2000/svg}circle") if c.attrib["fill"] == "#fff"]
    assert len(hollow) == 4 + 1  # and the one in the key
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"build, random order", "build, sorted order", "look-ups, cold", "look-ups, hot", "size on disk"} <= {*words}
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert ratio_chart.LEFT <= float(circle.attrib["cx"]) <= ratio_chart.WIDTH
        assert ratio_chart.TOP - 1 <= float(circle.attrib["cy"]) <= ratio_chart.BOTTOM + 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--scale", "0.01"), "scale 0.01 leaves too few pairs"),
        (("--scale", "1e7"), "MB free, and 4,000,000,000,000 pairs need"),
        (("--scale", "0.16"), "LevelDB, 4,000 pairs in random order: No module named 'plyvel'"),
    ],
)
def test_what_cannot_be_measured_is_told_and_leaves_nothing(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    program = [sys.executable, str(PROGRAM / "keyvalue.py"), "--stores", "leveldb", "--out", str(tmp_path), *argv]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("keyvalue") / "home")
    made.run("install", "keyvalue", "-y")
    return made


def share(home: Home) -> tuple[Path, Path]:
    """The environment's interpreter and the program of the install."""
    (prefix,) = (home.path / "store").glob("keyvalue-*")
    return prefix / "env/bin/python", prefix / "share/devsetup/keyvalue.py"


@pytest.mark.real
def test_all_three_recipes_measure_themselves(home: Home) -> None:
    for name in ("leveldb", "berkeleydb", "keyvalue"):
        report = home.json("bench", name, "--last")["bench"]
        assert isinstance(report, dict)
        result = results.decode(json.dumps(report["result"]).encode(), name)
        assert result.scale == 1
        assert result.run
        assert ET.parse(report["plots"][0]).getroot().tag.endswith("svg")  # noqa: S314 - our own file
    rows = {each.what: each.here for each in result.rows}
    assert float(rows["Berkeley DB / LevelDB: size on disk"]) > 1.5  # the note: 2.7
    assert {"Berkeley DB / LevelDB: build, sorted order", "LMDB: build, random order"} <= {*rows}


@pytest.mark.real
def test_bench_takes_a_scale(home: Home) -> None:
    report = home.json("bench", "keyvalue", "--scale", "0.16")["bench"]
    assert isinstance(report, dict)
    assert report["result"]["title"].startswith("An index of 64,000 pairs")


@pytest.mark.real
def test_lost_pairs_are_noticed(home: Home, tmp_path: Path) -> None:
    python, program = share(home)
    for store in ("leveldb", "berkeleydb", "lmdb"):
        argv = [str(python), str(program), "--stores", store, "--scale", "0.16", "--out", str(tmp_path), "--lose"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 1, store
        assert "look-ups gave another value than was put in" in done.stderr
        assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_the_bindings_use_the_systems_libraries(home: Home) -> None:
    python, _ = share(home)
    code = "import plyvel, berkeleydb; print(open('/proc/self/maps').read())"
    maps = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    for library in ("libleveldb.so.1", "libdb-5.3.so"):
        path = next(line.split()[-1] for line in maps.splitlines() if library in line)
        assert path.startswith(("/usr/lib/", "/lib/")), path

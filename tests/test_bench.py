"""`devsetup bench` and scaled workloads, on a small real recipe."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from conftest import Hello

from devsetup import results
from devsetup.console import bench_views
from devsetup.console.blocks import plain
from devsetup.errors import InvalidInput, UsageError
from devsetup.proofs import Workload, decimal, scale_of
from devsetup.results import Machine, Result, Row, Run

WORK = """set -eu
echo "scale $3"
test ! -e "$HELLO_FAIL" || { echo 'the greeting was lost'; exit 1; }
test ! -e "$HELLO_HANG" || { echo begun > "$HELLO_HANG"; sleep 600; }
printf '{"schema": 1, "title": "Greetings", "scale": %s, "seed": 7, "rows": [
 {"what": "greetings", "unit": "1/s", "here": %s, "note": 4}, {"what": "word", "unit": "", "here": "hello"}],
 "remarks": ["cold means: after a cup of tea"], "raw": [0.1, 1]}' "$3" 6 > "$2/result.json"
printf '<svg></svg>' > "$2/plot.svg"
echo done
"""


class BenchWorld(Hello):
    """The hello world with a workload that has a size and a table."""

    fail: Path
    hang: Path

    @property
    def artifacts(self) -> Path:
        (prefix,) = self.prefixes()
        return self.home / "receipts" / prefix.name


def write_bench(hello: Hello, work: str) -> None:
    path = hello.catalogue / "recipes/hello.py"
    text = path.read_text()
    for old, new in (
        ('"@ARTIFACTS@"),', '"@ARTIFACTS@", "@SCALE@"),'),
        ('artifacts=("result.json",)', 'artifacts=("result.json", "plot.svg")'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text)
    (hello.catalogue / "workloads/hello/work.sh").write_text(work)


@pytest.fixture
def world(hello: Hello) -> BenchWorld:
    hello.__class__ = BenchWorld
    assert isinstance(hello, BenchWorld)
    hello.fail, hello.hang = hello.root / "fail", hello.root / "hang"
    work = WORK.replace("$HELLO_FAIL", str(hello.fail)).replace("$HELLO_HANG", str(hello.hang))
    write_bench(hello, work)
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    return hello


def bench(world: Hello, *argv: str) -> dict[str, object]:
    done = world.run("bench", "hello", *argv, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["schema"] == 1
    return record["bench"]  # type: ignore[no-any-return]


def test_install_proves_with_scale_1_and_last_shows_it_without_running(world: BenchWorld) -> None:
    world.fail.touch()  # whatever runs now would fail
    report = bench(world, "--last")
    result = report["result"]
    assert isinstance(result, dict)
    assert (result["scale"], result["seed"], result["title"]) == (1.0, 7, "Greetings")
    assert report["command"] == "devsetup bench hello --scale 1"
    assert report["plots"] == [str(world.artifacts / "plot.svg")]
    assert report["file"] == str(world.artifacts / "result.json")


def test_bench_runs_at_a_scale_and_prints_both_columns_with_the_machine(world: BenchWorld) -> None:
    done = world.run("bench", "hello", "--scale", "2.50")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "Greetings" in lines
    assert "greetings 1/s 6 4 1.5" in lines
    assert "word hello -" in lines
    assert "- cold means: after a cup of tea" in lines
    assert "scale 2.5" in lines
    assert "seed 7" in lines
    assert "devsetup bench hello --scale 2.5" in lines
    machine = next(line for line in lines if line.startswith("machine"))
    assert f"{len(os.sched_getaffinity(0))} cores" in machine
    assert " MB memory, " in machine
    assert f"plot {world.artifacts / 'plot.svg'}" in lines
    kept = json.loads((world.artifacts / "result.json").read_text())
    assert kept["raw"] == [0.1, 1]  # what else the workload wrote stays
    assert kept["run"]["machine"]["cores"] == len(os.sched_getaffinity(0))
    history = json.loads(world.run("log", "hello", "--json").stdout)["history"]
    assert history[-1]["event"] == "verified"
    assert "scale 2.5" in Path(history[-1]["log"]).read_text()


def test_verify_takes_the_scale_too(world: BenchWorld) -> None:
    done = world.run("verify", "hello", "--workload", "--scale", "3")
    assert done.returncode == 0, done.stderr
    assert bench(world, "--last")["result"]["scale"] == 3.0  # type: ignore[index]
    done = world.run("verify", "hello", "--scale", "3")
    assert done.returncode == 2
    assert "add --workload" in done.stderr


def test_a_run_that_fails_keeps_the_earlier_result_and_names_its_log(world: BenchWorld) -> None:
    bench(world, "--scale", "2")
    before = {path.name: path.read_bytes() for path in world.artifacts.iterdir()}
    world.fail.touch()
    done = world.run("bench", "hello", "--scale", "9")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the workload of hello failed at scale 9: exit status 1: the greeting was lost" in done.stderr
    log = next(line for line in done.stderr.splitlines() if line.startswith("hint:")).rpartition(" ")[2]
    assert "the greeting was lost" in Path(log).read_text()
    assert {path.name: path.read_bytes() for path in world.artifacts.iterdir()} == before
    assert [path.name for path in world.artifacts.parent.glob(".*")] == []


def test_ctrl_c_ends_the_workload_and_keeps_the_earlier_result(world: BenchWorld) -> None:
    before = {path.name: path.read_bytes() for path in world.artifacts.iterdir()}
    world.hang.touch()
    process = world.start("bench", "hello", "--scale", "9")
    while not world.hang.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert {path.name: path.read_bytes() for path in world.artifacts.iterdir()} == before
    assert [path.name for path in world.artifacts.parent.glob(".*")] == []


def test_what_a_killed_bench_leaves_is_garbage_and_a_running_one_is_not(world: BenchWorld) -> None:
    world.hang.touch()
    process = world.start("bench", "hello")
    while not world.hang.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    (scratch,) = world.artifacts.parent.glob(".*")
    assert json.loads(world.run("gc", "--json").stdout)["garbage"] == []
    job = next(int(p.name) for p in Path("/proc").glob("[0-9]*") if _runs(p, str(scratch)))
    process.kill()
    process.communicate()
    os.killpg(job, signal.SIGKILL)
    assert "a workload was killed" in world.run("gc").stdout
    assert not scratch.exists()
    assert (world.artifacts / "result.json").exists()
    world.hang.unlink()
    bench(world)


def _runs(process: Path, word: str) -> bool:
    try:
        return word in (process / "cmdline").read_text() and b"devsetup" not in (process / "comm").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "big"])
def test_a_bad_scale_is_told(hello: Hello, scale: str) -> None:
    for argv in (("bench", "hello"), ("verify", "hello", "--workload")):
        done = hello.run(*argv, f"--scale={scale}")
        assert done.returncode == 2
        assert f"the scale is {scale!r}" in done.stderr
        assert "--scale 0.5" in done.stderr
        assert not hello.home.exists()


def test_what_cannot_be_benched_is_told(hello: Hello) -> None:
    for argv in (("bench", "hello"), ("bench", "hello", "--last")):
        done = hello.run(*argv)
        assert done.returncode == 2
        assert "hello is not installed" in done.stderr
        assert "devsetup install hello" in done.stderr
    assert not hello.home.exists()
    assert "one of --last and --scale" in hello.run("bench", "hello", "--last", "--scale", "2").stderr
    assert "hello" in hello.run("bench", "helo").stderr
    assert hello.run("install", "hello", "-y").returncode == 0
    for argv in (("bench", "hello"), ("bench", "hello", "--last")):
        done = hello.run(*argv)
        assert done.returncode == 2
        assert "hello has no bench table" in done.stderr
        assert "devsetup verify hello --workload" in done.stderr
    done = hello.run("verify", "hello", "--workload", "--scale", "2")
    assert done.returncode == 2
    assert "hello has no workload that takes a scale" in done.stderr
    assert hello.run("verify", "hello", "--workload", "--scale", "1").returncode == 0


def test_a_lost_or_damaged_result_is_told(world: BenchWorld) -> None:
    path = world.artifacts / "result.json"
    path.write_text('{"schema": 1, "title": ')
    done = world.run("bench", "hello", "--last")
    assert done.returncode == 1
    assert f"{path} is no bench table: " in done.stderr
    assert "devsetup bench hello" in done.stderr
    path.unlink()
    done = world.run("bench", "hello", "--last")
    assert done.returncode == 1
    assert "there is no result of hello" in done.stderr
    bench(world)
    assert path.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"scale": %s', '"scale": 1%s', "result.json is of scale 11, and 1 was asked for"),
        ('"seed": 7, ', "", "missing required field `seed`"),
        ('"here": "hello"', '"here": [1]', "$.rows[1].here"),
        ('"schema": 1', '"schema": 2', "$.schema"),
    ],
)
def test_a_workload_must_leave_a_bench_table(hello: Hello, old: str, new: str, words: str) -> None:
    assert WORK.count(old) == 1
    write_bench(hello, WORK.replace(old, new).replace("$HELLO_FAIL", "/x").replace("$HELLO_HANG", "/x"))
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert words in done.stderr
    assert json.loads(hello.run("list", "--json").stdout)["recipes"]
    assert "not installed" in hello.run("bench", "hello").stderr


def test_every_form_of_the_plan_proves_with_scale_1(hello: Hello) -> None:
    write_bench(hello, WORK)
    for form in ("shell", "containerfile", "ansible"):
        text = hello.run("plan", "hello", "--format", form).stdout
        assert "@SCALE@" not in text
        job = text[text.index("work.sh", text.index("greet twenty times")) :]
        assert re.search(r"\A.{0,200}ARTIFACTS\W+1\W", job, re.DOTALL), job[:300]


def test_bench_is_known_to_help_and_completion(hello: Hello) -> None:
    assert "bench" in hello.run("--help").stdout
    assert "--last" in hello.run("bench", "--help").stdout
    env = {"_DEVSETUP_COMPLETE": "bash_complete", "COMP_WORDS": "devsetup bench he", "COMP_CWORD": "2"}
    assert "plain,hello" in hello.run(**env).stdout


def test_scales_are_plain_decimals() -> None:
    for text, value, said in (
        ("1", 1.0, "1"),
        ("0.5", 0.5, "0.5"),
        ("20.0", 20.0, "20"),
        ("0.000001", 1e-6, "0.000001"),
    ):
        assert scale_of(text) == value
        assert decimal(value) == said
    for text in ("0.0000001", "inf", "1e3", "", "0.0", "1,5", "1000000", "٣", " 1", "1\n", ".5"):
        with pytest.raises(UsageError, match="positive decimal number"):
            scale_of(text)


def test_a_workload_gets_its_size_and_time_for_it() -> None:
    job = Workload(title="t", argv=("x", "--scale=@SCALE@"), artifacts=("result.json",), timeout_s=100)
    assert job.argv_at(0.25) == ("x", "--scale=0.25")
    assert [job.timeout_at(scale) for scale in (0.25, 1, 3)] == [100, 100, 300]
    assert job.bench
    assert not Workload(title="t", argv=("x", "@SCALE@")).bench
    plain_job = Workload(title="t", argv=("x",), artifacts=("result.json",), timeout_s=100)
    assert not plain_job.bench
    assert plain_job.timeout_at(3) == 100


def test_a_table_says_what_is_wrong_with_it() -> None:
    with pytest.raises(InvalidInput, match=r"f is no bench table: .*length >= 1.*rows"):
        results.decode(b'{"schema": 1, "title": "t", "scale": 1, "seed": 1, "rows": []}', "f")
    with pytest.raises(InvalidInput, match=r"f is no bench table"):
        results.decode(b"\xff", "f")


def test_the_view_shows_figures_as_people_write_them() -> None:
    rows = (
        Row(what="a", unit="s", here=6720.4, note=1502.0),
        Row(what="b", unit="x", here=0.12345, note=None),
        Row(what="c", unit="", here="none", note=1.0),
        Row(what="d", unit="s", here=1.0, note=0.0),
    )
    machine = Machine(cpu="Abacus 3000", cores=2, memory_mb=7900, os="Debian 12", arch="x86_64")
    run = Run(at="2026-01-01T00:00:00+00:00", seconds=12.34, load=0.5, machine=machine)
    result = Result(schema=1, title="T", scale=2.0, seed=3, rows=rows, run=run)
    lines = [" ".join(line.split()) for line in plain(bench_views.report(result, "devsetup bench x", ())).splitlines()]
    assert lines[3:7] == ["a s 6,720 1,502 4.47", "b x 0.123 -", "c none 1", "d s 1 0"]
    assert "machine Abacus 3000, 2 cores, 7900 MB memory, Debian 12" in lines
    assert "measured 2026-01-01T00:00:00+00:00, 12.3 s in all, load before it 0.5" in lines

"""Keras: planned on every kind of host; its workload's formats, splits, world and checkpoints; the real thing."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from makefiles.harness import LOADER
from msgspec.structs import replace
from test_real import Home

from devsetup import results
from devsetup.errors import Refused
from devsetup.facts import Facts, Libc, Library
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.steps import Env, PythonEnv, WriteFile

CATALOGUE = LOADER.catalogue()
ROOT = Path(__file__).resolve().parents[1]
WORKLOAD = ROOT / "workloads/keras"


def machine(host: str, python: str = "") -> Facts:
    facts = LOADER.host(host)
    if not python:
        return facts
    return replace(facts, libraries={**facts.libraries, "python": Library(version=python)})


def plan(facts: Facts) -> Part:
    (part,) = make_plan(Wish(names=("keras",)), facts, CATALOGUE).parts
    return part


@pytest.mark.parametrize(
    ("python", "pins"),
    [
        ("3.10.6", {"keras==3.12.4", "jax==0.6.2", "jaxlib==0.6.2", "numpy==2.2.6"}),
        ("3.11.2", {"keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6"}),
        ("3.12.3", {"keras==3.15.1", "jax==0.12.0.1", "jaxlib==0.12.0.1", "numpy==2.5.5"}),
        ("3.13.5", {"keras==3.15.1", "jax==0.12.0.1", "jaxlib==0.12.0.1", "numpy==2.5.5"}),
    ],
)
def test_each_python_has_versions_that_fit_together(python: str, pins: set[str]) -> None:
    env = next(step for step in plan(machine("debian-13", python)).steps if isinstance(step, PythonEnv))
    assert pins <= set(env.requirements)
    assert all("==" in requirement for requirement in env.requirements)
    assert env.python == f"/usr/bin/python{'.'.join(python.split('.')[:2])}"


def test_every_file_of_the_workload_is_installed_and_the_backend_is_said() -> None:
    steps = plan(machine("debian-12")).steps
    written = {Path(step.path).name for step in steps if isinstance(step, WriteFile)}
    assert written == {path.name for path in WORKLOAD.glob("*.py")} | {"train-ratings"}
    assert Env(name="KERAS_BACKEND", value="jax", mode="set") in steps


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (machine("macos-15"), "no plan for Keras on macOS yet"),
        (machine("debian-11"), "needs Python 3.10, and this is 3.9"),
        (replace(machine("debian-13"), arch="riscv64"), "and this is riscv64"),
        (replace(machine("debian-13"), libc=Libc(family="musl", version="1.2.5")), "the C library here is musl"),
    ],
)
def test_a_machine_that_cannot_is_told_why(facts: Facts, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(facts)


# The rest is real: the environment, trainings, kills.


class Installed(Home):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        (path / "user").mkdir()

    @property
    def env(self) -> dict[str, str]:
        env = {name: value for name, value in super().env.items() if not name.startswith(("KERAS", "JAX"))}
        return {**env, "DEVSETUP_HOME": str(self.path / "home"), "HOME": str(self.path / "user")}

    @property
    def prefix(self) -> Path:
        (found,) = (self.path / "home/store").iterdir()
        return found

    def artifact(self, name: str) -> str:
        return (self.path / "home/receipts" / self.prefix.name / name).read_text()

    def words(self, *argv: str | Path) -> list[str]:
        return [str(self.prefix / "env/bin/python"), str(self.prefix / "share/devsetup/train.py"), *map(str, argv)]

    def train(self, *argv: str | Path, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        env = {"PATH": "/usr/bin:/bin", "KERAS_HOME": str(self.path / "keras")}
        done = subprocess.run(self.words(*argv), env=env, capture_output=True, text=True, check=False, **more)
        assert done.returncode == code, done.stderr[-4000:]
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = Installed(tmp_path_factory.mktemp("keras"))
    home.run("install", "keras", "-y")
    return home


@pytest.mark.real
def test_the_table_and_the_curves_of_the_proof(keras: Installed) -> None:
    result = results.decode(keras.artifact("result.json").encode(), "result.json")
    here = {row.what: row.here for row in result.rows}
    note = {row.what: row.note for row in result.rows if row.note}
    assert note["training, hidden layer"] == 76_443
    assert note["random tenth: hidden layer"] == 0.837
    rmse = {name.partition(": ")[2]: value for name, value in here.items() if name.startswith("random tenth: ")}
    order = ["noise floor", "all known but dates", "hidden layer", "user and film effects", "mean of all"]
    assert sorted(order, key=lambda name: float(rmse[name])) == order
    assert float(rmse["as printed"]) == pytest.approx(float(rmse["user and film effects"]), abs=0.02)
    assert float(here["latest tenth by date: known user and film"]) < 90
    picture = ET.fromstring(keras.artifact("curves.svg"))  # noqa: S314 - our own file
    assert len(picture.findall("{*}polyline")) == 6
    assert list((keras.path / "user").iterdir()) == []


@pytest.mark.real
def test_it_fails_when_there_is_nothing_to_learn(keras: Installed, tmp_path: Path) -> None:
    done = keras.train("--out", tmp_path, "--scale", "0.2", "--shuffle-stars", code=1)
    assert "was to be reached" in done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["scale"] == 0.2


def outcome(folder: Path) -> dict[str, Any]:
    """A result without what is measured in time."""
    result = json.loads((folder / "result.json").read_text())
    result["rows"] = [row for row in result["rows"] if row["unit"] != "ratings/s"]
    return result


@pytest.mark.real
def test_killed_and_run_again_it_gives_the_same_as_in_one_go(keras: Installed, tmp_path: Path) -> None:
    arguments = ("--scale", "0.05", "--epochs", "6")
    keras.train("--out", tmp_path / "whole", *arguments)
    cut = tmp_path / "cut"
    again = ""
    for line in ("random, as printed: epoch 3", "latest, hidden layer: epoch 2"):
        env = {"PATH": "/usr/bin:/bin", "KERAS_HOME": str(tmp_path / "keras")}
        words = keras.words("--out", cut, *arguments)
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            seen = []
            while not (seen and seen[-1].startswith(line)):
                seen.append(process.stderr.readline())
                assert seen[-1], "".join(seen)
            process.kill()
        again = keras.train("--out", cut, *arguments).stderr if line.startswith("latest") else ""
    assert "random, as printed: goes on from epoch 7" in again
    assert "latest, hidden layer: goes on from epoch" in again
    assert outcome(cut) == outcome(tmp_path / "whole")
    assert not list(cut.rglob("*.new"))


@pytest.mark.real
def test_a_full_disk_and_other_checkpoints_are_told_and_nothing_is_lost(keras: Installed, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails in the middle, as it does there."""
    import resource

    arguments = ("--out", tmp_path, "--scale", "0.05", "--epochs", "1")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    told = keras.train(*arguments, code=1, preexec_fn=full).stderr
    assert "cannot be written: File too large; there was none before it" in told
    assert not list((tmp_path / "checkpoints").iterdir())
    keras.train(*arguments)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    told = keras.train(*arguments, "--seed", "2", code=1).stderr
    assert "random-as-printed.npz is of another training: data was" in told
    assert "seed was 1 and is 2" in told
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == kept
    damaged = tmp_path / "checkpoints/random-as-printed.npz"
    damaged.write_bytes(kept[damaged.name][:1000])
    told = keras.train(*arguments, code=1).stderr
    assert f"the checkpoint {damaged} cannot be read" in told
    assert f"delete {damaged}" in told


@pytest.mark.real
def test_ratings_of_the_users_own_through_devsetup_run(keras: Installed, tmp_path: Path) -> None:
    (tmp_path / "training_set").mkdir()
    for film in range(1, 41):
        lines = [f"{user},{1 + (film + user) % 5},2005-{1 + user % 12:02}-{1 + film % 28:02}" for user in range(1, 51)]
        (tmp_path / f"training_set/mv_{film:07}.txt").write_text("\n".join([f"{film}:", *lines, ""]))
    out = tmp_path / "out"
    argv = ("--data", str(tmp_path), "--out", str(out), "--epochs", "2")
    keras.run("run", "keras", "--", "train-ratings", *argv)
    result = json.loads((out / "result.json").read_text())
    assert result["remarks"][0] == "40 files of the format the prize's: 2,000 ratings by 50 users of 40 films"
    assert not any("noise floor" in row["what"] for row in result["rows"])
    told = keras.run("run", "keras", "--", "train-ratings", "--data", str(tmp_path / "none"), "--out", str(out), code=1)
    assert f"{tmp_path / 'none'} cannot be read: No such file or directory" in told.stderr


READ = """
import json, sys
from pathlib import Path
import formats
from checkpoint import TrainError
formats.LEAST, formats.BLOCK = 1, int(sys.argv[1])
told = {}
for path in sys.argv[2:]:
    try:
        r, about = formats.read(Path(path))
        told[path] = [about, r.users.tolist(), r.films.tolist(), r.stars.tolist(), r.days.tolist()]
    except TrainError as error:
        told[path] = str(error)
print(json.dumps(told))
"""


def ask(keras: Installed, code: str, *argv: str, env: dict[str, str] | None = None) -> Any:
    """What a script that imports the workload's modules prints, as JSON."""
    words = [keras.prefix / "env/bin/python", "-W", "error::DeprecationWarning", "-c", code, *argv]
    share = keras.prefix / "share/devsetup"
    done = subprocess.run(words, cwd=share, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.real
@pytest.mark.parametrize("block", [10, 1 << 20])
def test_every_format_gives_the_same_ratings(keras: Installed, tmp_path: Path, block: int) -> None:
    """Users 7, 7, 12; films 3, 9, 3; of 2005-09-06, two days later and 2004-02-29."""
    texts = {
        "combined_data_1.txt": "3:\n7,4,2005-09-06\n12,1,2004-02-29\n9:\n7,5,2005-09-08\n",
        "crlf.txt": "3:\r\n7,4,2005-09-06\r\n12,1,2004-02-29\r\n9:\r\n7,5,2005-09-08",
        "ratings.csv": "userId,movieId,rating,timestamp\n7,3,4.0,1125964800\n12,3,1,1078099199\n7,9,5.0,1126137600\n",
        "ratings.dat": "7::3::4::1125964800\n12::3::1::1078099199\n7::9::5::1126223999\n",
        "u.data": "7\t3\t4\t1125964800\n12\t3\t1\t1078099199\n7\t9\t5\t1126137600\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, newline="")
    told = ask(keras, READ, str(block), *(str(tmp_path / name) for name in texts))
    wanted = [[0, 1, 0], [0, 0, 1], [4.0, 1.0, 5.0], [555, 0, 557]]
    assert {name: answer[1:] for name, answer in told.items()} == {str(tmp_path / name): wanted for name in texts}


@pytest.mark.real
@pytest.mark.parametrize("block", [10, 1 << 20])
def test_a_wrong_file_is_told_with_line_and_text(keras: Installed, tmp_path: Path, block: int) -> None:
    csv = "userId,movieId,rating,timestamp\n"
    cases: dict[str, tuple[bytes, str]] = {
        "six.txt": (b"3:\n7,4,2005-09-06\n7,6,2005-09-06\n", "line 3: saw '7,6,2005-09-06'"),
        "month.txt": (b"3:\n7,4,2005-13-06\n", "line 2: saw '7,4,2005-13-06'"),
        "probe.txt": (b"3:\n30878\n", "line 2: saw '30878', and the prize's format wants FILM: or USER,STARS,"),
        "none.csv": ((csv + "1,2,5.0,9\n1,2,0.0,9\n").encode(), "line 3: saw '1,2,0.0,9'"),
        "empty.csv": ((csv + "1,2,5.0,9\n\n1,2,4.0,9\n").encode(), "line 3: saw ''"),
        "bytes.dat": (b"7::3::4::9\n\xff\x00\n", r"line 2: saw '\xff\x00'"),
        "text.txt": (b"Dear reader,\n", "line 1: saw 'Dear reader,', which begins no known format"),
        "nothing.txt": (b"", "line 1: saw ''"),
        "film.txt": (b"7,4,2005-09-06\n3:\n", "line 1: saw '7,4,2005-09-06', which stands above the first film"),
        "packed.zip": (b"PK\x03\x04", "is an archive (zip).\nUnpack it"),
    }
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    told = ask(keras, READ, str(block), *map(str, tmp_path.iterdir()))
    for name, (_, wanted) in cases.items():
        assert str(tmp_path / name) in told[str(tmp_path / name)]
        assert wanted in told[str(tmp_path / name)]
    assert "holds none of training_set/mv_*.txt" in told[str(tmp_path / "folder")]


WORLD = """
import json
import numpy as np
import baselines, splits, world
w, r = world.create(0.5, 3)
same = world.create(0.5, 3)[1]
years = r.years(np.arange(len(r)))
thoughts = w.opinions(r.films, r.users, years, years)
told = {
    "count": len(r), "pairs": len(set(zip(r.users.tolist(), r.films.tolist()))),
    "same": bool((r.stars == same.stars).all() and (r.days == same.days).all()),
    "floor": world.floor(w, r, np.arange(len(r))),
    "oracle": baselines.rmse(world.expected_stars(thoughts, world.NOISE), r.stars),
    "off": baselines.rmse(world.expected_stars(thoughts, world.NOISE * 1.3), r.stars),
    "busiest": int(np.bincount(r.films).max()) / r.user_count, "splits": {},
}
for cut in (splits.at_random, splits.latest_of_each, splits.by_date):
    s = cut(r, 1)
    told["splits"][s.name] = [
        len(s.validation) / len(r), bool((np.sort(np.concatenate([s.train, s.validation])) == np.arange(len(r))).all()),
        float(r.days[s.train].max() - r.days[s.validation].min()),
        baselines.rmse(world.undated(w, r, s), r.stars[s.validation]),
    ]
last = splits.latest_of_each(r, 1)
first_held = np.full(r.user_count, 10**6); np.minimum.at(first_held, r.users[last.validation], r.days[last.validation])
told["order"] = bool((r.days[last.train] <= first_held[r.users[last.train]]).all())
print(json.dumps(told))
"""


@pytest.mark.real
def test_the_worlds_floor_is_the_error_of_one_who_knows_it(keras: Installed) -> None:
    told = ask(keras, WORLD)
    assert told["count"] == told["pairs"] >= 780_000
    assert told["same"]
    assert told["oracle"] == pytest.approx(told["floor"], abs=0.002)  # of 785,000 ratings: 3 standard errors
    assert told["off"] > told["oracle"]
    assert told["busiest"] < 0.5
    shares = {name: values[0] for name, values in told["splits"].items()}
    assert shares == pytest.approx({"random": 0.1, "latest": 0.1, "date": 0.1}, abs=0.005)
    assert all(values[1] for values in told["splits"].values()), "each rating is in one part, and in one only"
    assert told["splits"]["date"][2] <= 0 < told["splits"]["random"][2]
    assert told["order"], "a user's held-back ratings are the latest"
    undated = {name: values[3] for name, values in told["splits"].items()}
    assert told["floor"] < undated["random"] < undated["latest"] < undated["date"]


CUT = """
import json, os, sys
from pathlib import Path
os.environ["KERAS_BACKEND"] = "jax"
import checkpoint, model, splits, world
model.CHUNK, model.CHECKPOINT_SECONDS = model.BATCH, -1.0
ratings = world.create(0.1, 1)[1]
training = model.Training(ratings, splits.at_random(ratings, 1), model.HIDDEN, 2, 1, "d")
save, places = checkpoint.save, []
def until_the_third(path, state, task):
    save(path, state, task)
    places.append([state.epoch, state.done])
    if len(places) == 3 and "cut" in Path(path).parts:
        raise KeyboardInterrupt
checkpoint.save = until_the_third
told = []
for name in ("whole", "cut", "cut"):
    places.clear()
    try:
        state, predicted = model.train(training, Path(sys.argv[1], name), lambda _: None)
        told.append([state.curve, predicted.tolist(), state.learnt])
    except KeyboardInterrupt:
        told.append(places[-1])
        checkpoint.save = save
print(json.dumps(told))
"""


@pytest.mark.real
def test_cut_within_an_epoch_it_gives_the_same_too(keras: Installed, tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "KERAS_HOME": str(tmp_path / "keras")}
    whole, place, cut = ask(keras, CUT, str(tmp_path), env=env)
    assert place == [0, 3 * 24_000], "it was not cut within an epoch"
    assert cut == whole

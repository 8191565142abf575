"""Robotics: planned on each host, closed forms and servo commands by themselves, and the real thing proven."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from homes import ROOT
from makefiles.harness import LOADER
from msgspec.structs import replace
from test_real import Home

from devsetup.errors import Refused
from devsetup.facts import Facts, Library
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.proofs import Workload
from devsetup.steps import PythonEnv, WriteFile

CATALOGUE = LOADER.catalogue()
WORKLOAD = ROOT / "workloads/robotics"


def machine(host: str, python: str = "") -> Facts:
    facts = LOADER.host(host)
    if not python:
        return facts
    return replace(facts, libraries={**facts.libraries, "python": Library(version=python)})


def plan(facts: Facts) -> Part:
    (part,) = make_plan(Wish(names=("robotics",)), facts, CATALOGUE).parts
    return part


@pytest.mark.parametrize(
    ("host", "python", "numpy"),
    [
        ("ubuntu-22.04", "3.10", "2.2.6"),
        ("debian-12", "3.11", "2.4.6"),
        ("ubuntu-24.04", "3.12", "2.5.5"),
        ("debian-13", "3.13", "2.5.5"),
    ],
)
def test_each_python_has_its_newest_numpy(host: str, python: str, numpy: str) -> None:
    (env,) = (step for step in plan(machine(host)).steps if isinstance(step, PythonEnv))
    assert env.python == f"/usr/bin/python{python}"
    assert f"numpy=={numpy}" in env.requirements
    assert all(re.fullmatch(r"[A-Za-z_-]+==[0-9.]+", each) for each in env.requirements)


def test_all_of_the_program_is_installed_and_has_a_size() -> None:
    part = plan(machine("debian-12"))
    written = {step.path.rpartition("/")[2] for step in part.steps if isinstance(step, WriteFile)}
    assert written == {path.name for path in WORKLOAD.iterdir() if path.is_file()}
    (workload,) = (proof for proof in part.proofs if isinstance(proof, Workload))
    assert workload.bench


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (machine("macos-15"), "no plan for the Robotics Toolbox on macOS yet"),
        (machine("debian-11"), r"Python 3\.10 to 3\.13, and python is 3\.9\.2"),
        (machine("debian-13", "3.14.1"), r"python is 3\.14\.1"),
        (replace(machine("debian-12"), arch="armv7l"), "the processor is armv7l"),
    ],
)
def test_a_machine_that_cannot_is_told_why(facts: Facts, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(facts)


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of the workload, whose names are short and must not stay."""
    monkeypatch.syspath_prepend(str(WORKLOAD))
    for name in ("closed", "line", "servo"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return load


QS = [(0.3, 0.7, -2.0, 0.4, 0.9, -1.1), (-2.0, 2.9, 0.2, -1.5, -1.2, 2.5), (1.0, -0.5, -1.0, 2.0, 0.3, 0.0)]


def dh(q: tuple[float, ...]) -> list[list[float]]:
    """The pose as a product of the six DH matrices, as textbooks have it: the other way to the same numbers."""
    table = (
        *((0.67183, 0, math.pi / 2), (0, 0.4318, 0), (0.15005, 0.0203, -math.pi / 2)),
        *((0.4318, 0, math.pi / 2), (0, 0, -math.pi / 2), (0, 0, 0)),
    )
    pose = [[float(row == column) for column in range(4)] for row in range(4)]
    for angle, (d, a, alpha) in zip(q, table, strict=True):
        c, s, ca, sa = math.cos(angle), math.sin(angle), math.cos(alpha), math.sin(alpha)
        link = [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
        pose = [[sum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*link, strict=True)]
                for row in pose]  # fmt: skip
    return pose


@pytest.mark.parametrize("q", QS)
def test_the_closed_form_is_the_product_of_dh_matrices(q: tuple[float, ...], part: Callable[[str], ModuleType]) -> None:
    point, turn = part("closed").forward(q)
    for row, exact in zip(range(3), dh(q), strict=False):
        assert (*turn[row], point[row]) == pytest.approx(exact, abs=1e-12)


def test_the_arm_stands_where_its_drawing_says(part: Callable[[str], ModuleType]) -> None:
    """By hand: all angles 0, upper arm ahead, forearm up."""
    point, turn = part("closed").forward((0.0,) * 6)
    assert point == pytest.approx((0.4318 + 0.0203, -0.15005, 0.67183 + 0.4318), abs=1e-12)
    assert turn == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@pytest.mark.parametrize("q", QS)
def test_eight_sets_of_angles_reach_a_pose_and_ours_is_one(
    q: tuple[float, ...], part: Callable[[str], ModuleType]
) -> None:
    closed = part("closed")
    pose = closed.forward(q)
    found = closed.inverse(pose)
    assert len(found) == 8
    assert min(closed.apart(q, each) for each in found) < 1e-9
    for each in found:
        assert closed.forward(each).point == pytest.approx(pose.point, abs=1e-9)
        for row, other in zip(closed.forward(each).turn, pose.turn, strict=True):
            assert row == pytest.approx(other, abs=1e-9)


def test_what_is_out_of_reach_has_no_solution(part: Callable[[str], ModuleType]) -> None:
    closed = part("closed")
    upright = closed.forward((0.0,) * 6).turn
    assert closed.inverse(closed.Pose((3.0, 0.0, 0.0), upright)) == []
    assert closed.inverse(closed.Pose((0.1, 0.0, 1.0), upright)) == []  # nearer to the first axis than the offset


def test_pulses_and_angles_are_each_others_inverse(part: Callable[[str], ModuleType]) -> None:
    servo = part("servo")
    centre = tuple(math.radians(each.centre) for each in servo.ARM)
    assert servo.pulses(centre) == (1500,) * 6
    q = tuple(math.radians(each.centre + 90) for each in servo.ARM)
    assert servo.pulses(q) == (2500, 500, 2500, 2500, 500, 2500)
    assert servo.angles(servo.pulses(q)) == pytest.approx(q)


@pytest.mark.parametrize("angle", [90.2, -90.2, math.nan, math.inf])
def test_an_angle_beyond_the_servo_is_refused(angle: float, part: Callable[[str], ModuleType]) -> None:
    servo = part("servo")
    centre = [math.radians(each.centre) for each in servo.ARM]
    centre[0] = math.radians(angle)
    with pytest.raises(servo.CommandError, match=r"waist: .* degrees is outside -90 to 90; nothing was sent"):
        servo.pulses(tuple(centre))


def test_a_way_that_is_too_fast_is_told_how_long_it_needs(part: Callable[[str], ModuleType]) -> None:
    servo = part("servo")
    centre = tuple(math.radians(each.centre) for each in servo.ARM)
    there = (centre[0] + math.radians(60), *centre[1:])
    with pytest.raises(servo.CommandError, match=r"give it at least 0\.20 s"):
        servo.paced([centre, there], 199)
    assert len(servo.paced([centre, there], 200)) == 2


def test_every_flipped_bit_of_a_frame_is_noticed(part: Callable[[str], ModuleType]) -> None:
    servo = part("servo")
    data = servo.frame(7, 20, (500, 2500, 1500, 1501, 1499, 900))
    assert servo.opened(data, servo.FRAME_START) == (7, 20, 500, 2500, 1500, 1501, 1499, 900)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert servo.opened(bytes(flipped), servo.FRAME_START) is None
    assert servo.opened(data[:-1], servo.FRAME_START) is None


def sent(line: ModuleType, arm: object, commands: list[tuple[int, ...]]) -> int:
    """Send commands; returns how many were sent again."""
    sender = line.Sender(arm.device)  # type: ignore[attr-defined]
    try:
        for widths in commands:
            sender.send(20, widths)
        return int(sender.sent_again)
    finally:
        sender.close()


def test_commands_over_a_bad_line_arrive_once_and_in_order(part: Callable[[str], ModuleType]) -> None:
    line = part("line")
    commands = [tuple(500 + (number * 37 + joint * 11) % 2000 for joint in range(6)) for number in range(120)]
    with line.Arm(7, 0.06) as arm:
        again = sent(line, arm, commands)
    assert arm.moves == commands
    assert {"command lost", "command damaged", "answer lost", "answer damaged"} <= set(arm.faults)
    assert arm.faults["command came twice"] >= 1
    assert again >= sum(arm.faults.values()) - arm.faults["command came twice"]


def test_a_good_line_needs_nothing_twice(part: Callable[[str], ModuleType]) -> None:
    line = part("line")
    with line.Arm(1, 0.0) as arm:
        sent(line, arm, [(1500,) * 6, (1500,) * 6])
    assert arm.moves == [(1500,) * 6, (1500,) * 6], "the same place twice is two commands"


def test_an_arm_that_is_silent_or_refuses_is_told(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = part("line")
    with line.Arm(1, 0.0) as arm, pytest.raises(line.LineError, match="a pulse is outside its range"):
        sent(line, arm, [(1500, 1500, 2501, 1500, 1500, 1500)])
    monkeypatch.setattr(line, "ANSWER_S", 0.01)
    with line.Arm(1, 1.0) as arm, pytest.raises(line.LineError, match="no good answer to 12 attempts: see its cable"):
        sent(line, arm, [(1500,) * 6])


def test_later_attempts_wait_longer(part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other things delivers late; that is not an arm which is not there."""
    line, waits = part("line"), []
    silent = SimpleNamespace(select=lambda *asked: (waits.append(asked[-1]), ([], [], []))[1])
    monkeypatch.setattr(line, "select", silent)
    ends = os.openpty()
    with pytest.raises(line.LineError, match="no good answer"):
        sent(line, SimpleNamespace(device=os.ttyname(ends[1])), [(1500,) * 6])
    for end in ends:
        os.close(end)
    assert waits == [0.25, 0.5, 0.75] + [1.0] * 9


def test_a_device_that_is_none_is_told(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    line = part("line")
    with pytest.raises(line.LineError, match=r"ttyUSB7 cannot be opened as a serial line: .*No such file"):
        line.Sender(str(tmp_path / "ttyUSB7"))
    (tmp_path / "file").touch()
    with pytest.raises(line.LineError, match="cannot be opened as a serial line"):
        line.Sender(str(tmp_path / "file"))


def test_noise_before_a_frame_is_passed_over(part: Callable[[str], ModuleType]) -> None:
    line, servo = part("line"), part("servo")
    with line.Arm(1, 0.0) as arm:
        sender = os.open(arm.device, os.O_RDWR | os.O_NOCTTY)
        os.write(sender, b"\x00noise" + servo.frame(9, 20, (1500,) * 6))
        assert servo.opened(os.read(sender, servo.ANSWER_BYTES), servo.ANSWER_START) == (9, servo.DONE)
        os.close(sender)
    assert arm.moves == [(1500,) * 6]


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "big"])
def test_a_scale_that_is_no_size_is_a_wrong_command_line(scale: str, tmp_path: Path) -> None:
    words = [f"--out={tmp_path}", f"--scale={scale}"]
    done = subprocess.run([sys.executable, WORKLOAD / "arm.py", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--scale" in done.stderr


# The real thing.


class Installed(Home):
    """`devsetup install robotics`, for real."""

    @property
    def prefix(self) -> Path:
        (found,) = (self.path / "store").iterdir()
        return found

    def artifact(self, name: str) -> bytes:
        (path,) = (self.path / "receipts").glob(f"robotics-*/{name}")
        return path.read_bytes()


@pytest.fixture(scope="module")
def robotics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("home"))
    made.run("install", "robotics", "-y")
    yield made
    made.run("uninstall", "robotics", "-y")


@pytest.mark.real
def test_the_toolbox_agrees_with_the_closed_forms(robotics: Installed) -> None:
    result = json.loads(robotics.artifact("result.json"))
    rows = {re.sub(r" \(allowed.*", "", row["what"]): row["here"] for row in result["rows"]}
    assert rows["forward kinematics, 100 poses against closed form"] < 1e-12
    assert rows["inverse kinematics, ikine_a against the eight of the closed form"] < 1e-9
    assert rows["Jacobian, 20 poses against finite differences"] < 1e-8
    assert rows["servo commands, all acknowledged and in order"] == 101
    assert rows["messages lost or damaged on the simulated line"] > 0
    assert "outside -90 to 90" in rows["an angle beyond a servo's reach"]
    assert robotics.artifact("arm.png").startswith(b"\x89PNG")
    assert robotics.artifact("arm.gif").startswith(b"GIF89a")


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "right", "wrong", "words"),
    [
        ("closed.py", "0.15005, 0.0203", "0.15006, 0.0203", "forward kinematics, 20 poses against closed form: 1e-05"),
        ("closed.py", "(q2 + q3 + ALPHA)", "(q2 + q3 - ALPHA)", "forward kinematics, 20 poses against closed form"),
        ("closed.py", "10 - 15 * fraction", "10 - 14 * fraction", "against the quintic"),
        ("servo.py", "round(PULSE_CENTRE + turn", "int(PULSE_CENTRE + turn", "angle lost to whole microseconds"),
        ("line.py", "sequence != self._last", "sequence is not None", "the arm moved"),
    ],
)
def test_the_workload_can_fail(
    file: str, right: str, wrong: str, words: str, robotics: Installed, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    for path in WORKLOAD.glob("*.py"):
        text = path.read_text()
        if path.name == file:
            assert right in text
            text = text.replace(right, wrong)
        (share / path.name).write_text(text)
    argv = [robotics.prefix / "env/bin/python", share / "arm.py", "--scale", "0.2", "--out", tmp_path / "out"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert not list((tmp_path / "out").iterdir())

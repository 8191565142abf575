"""Robotics Toolbox for Python on a Puma 560, checked against closed forms that do not use it; then servos over a line.

Forward and inverse kinematics, the Jacobian and a trajectory must agree with `closed.py` within the tolerances below.
An animation and a picture are drawn without a screen. Then a way of joint angles goes as servo commands over a
simulated serial line that loses and damages bytes, and must arrive whole, once, and in order.

    python arm.py --out DIR [--scale X]

Exit status 1 when something did not hold, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import closed
import servo
from line import Arm, LineError, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20140501
POSES = 100  # at scale 1
SLOWER = 5  # searched and differentiated poses are this many times fewer
EXACT = 1e-12  # metres, and entries of rotations: rounding of a dozen products
ANALYTIC = 1e-9  # radians: near a singular pose, rounding grows
SEARCHED = 1e-5  # metres and entries: ikine_LM stops below this
DIFFERENCED = 1e-8  # metres and radians for each radian: of central differences with a step of 1e-6
NEAR_SINGULAR = 0.1  # sine of q5, and closeness of the stretched elbow, below which poses are not drawn for IK
LOSS = 0.03  # of everything that can go wrong with a message
WAY_S, PERIOD_MS = 2.0, servo.PERIOD_MS
WAY = ((-60, 40, -170, -30, 45, -40), (50, 110, -100, 40, -30, 60))  # degrees; every joint moves
FRAMES = 16
TOOL_MM = 1.0  # what rounding to whole microseconds may move the wrist centre


class WorkloadError(Exception):
    """Something did not hold."""


class Table:
    """The rows of the table of results."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def row(self, what: str, unit: str, here: float | str) -> None:
        """Add a row."""
        self.rows.append({"what": what, "unit": unit, "here": here, "note": None})

    def within(self, what: str, unit: str, error: float, bar: float) -> None:
        """Add a row, and require that an error is within a tolerance; NaN is not."""
        if not error <= bar:
            raise WorkloadError(f"{what}: {error:.3g} {unit}, and {bar:g} is allowed")
        self.row(f"{what} (allowed: {bar:g})", unit, float(f"{error:.3g}"))


def pose(transform: Any) -> closed.Pose:
    """A transform of the toolbox as the closed forms have it."""
    rows = transform.A.tolist()
    return closed.Pose(tuple(row[3] for row in rows[:3]), tuple(tuple(row[:3]) for row in rows[:3]))


def distance(one: closed.Pose, other: closed.Pose) -> float:
    """The largest difference of a coordinate or of an entry of the rotations."""
    points = max(abs(a - b) for a, b in zip(one.point, other.point, strict=True))
    pairs = zip(one.turn, other.turn, strict=True)
    return max(points, *(abs(a - b) for row, match in pairs for a, b in zip(row, match, strict=True)))


def drawn(rng: Any, robot: Any, count: int) -> list[tuple[float, ...]]:
    """Joint angles within the joint limits, away from where two solutions meet."""
    low, high = robot.qlim
    found: list[tuple[float, ...]] = []
    while len(found) < count:
        q = tuple(rng.uniform(low, high).tolist())
        elbow = math.sin(q[2] + closed.ALPHA)
        x = closed.A2 * math.cos(q[1]) + closed.REACH * math.cos(q[1] + q[2] + closed.ALPHA)
        if min(abs(math.sin(q[4])), abs(elbow), abs(x)) > NEAR_SINGULAR:
            found.append(q)
    return found


def kinematics(robot: Any, poses: list[tuple[float, ...]], table: Table) -> None:
    """Forward, inverse by both ways, and what cannot be reached."""
    started = time.perf_counter()
    made = [robot.fkine(q) for q in poses]
    table.row("forward kinematics, one pose", "us", round((time.perf_counter() - started) / len(poses) * 1e6, 1))
    error = max(distance(pose(each), closed.forward(q)) for each, q in zip(made, poses, strict=True))
    table.within(f"forward kinematics, {len(poses)} poses against closed form", "m", error, EXACT)
    error = max(min(closed.apart(q, each) for each in closed.inverse(closed.forward(q))) for q in poses)
    table.within("closed form: inverse of forward", "rad", error, ANALYTIC)
    error = 0.0
    for transform in made:
        eight = closed.inverse(pose(transform))
        for shape in ("lun", "ldn", "run", "rdn"):
            solved = robot.ikine_a(transform, shape)
            error = max(error, min(closed.apart(tuple(solved.q.tolist()), each) for each in eight))
    table.within("inverse kinematics, ikine_a against the eight of the closed form", "rad", error, ANALYTIC)
    searched(robot, poses[: max(2, len(poses) // SLOWER)], table)


def searched(robot: Any, poses: list[tuple[float, ...]], table: Table) -> None:
    """Inverse kinematics by search, from a start nearby; and a pose out of reach, which must not be found."""
    error, started = 0.0, time.perf_counter()
    for q in poses:
        wanted = robot.fkine(q)
        solved = robot.ikine_LM(wanted, q0=[each + 0.05 for each in q], tol=1e-12, joint_limits=False)
        if not solved.success:
            raise WorkloadError(f"ikine_LM finds nothing for joint angles {q}")
        error = max(error, distance(closed.forward(tuple(solved.q.tolist())), pose(wanted)))
    table.row(
        "inverse kinematics by search, one pose", "ms", round((time.perf_counter() - started) / len(poses) * 1e3, 2)
    )
    table.within(f"inverse kinematics, ikine_LM for {len(poses)} poses, forward again", "m", error, SEARCHED)
    from spatialmath import SE3  # noqa: PLC0415 - slow to import

    far = SE3.Trans(3, 0, 0)
    if robot.ikine_LM(far, slimit=3).success or closed.inverse(pose(far)):
        raise WorkloadError("a point 3 m away is said to be in reach of an arm of 0.9 m")
    table.row("a point out of reach", "", "no solution, by search and in closed form")


def jacobian(robot: Any, poses: list[tuple[float, ...]], table: Table) -> None:
    """The geometric Jacobian against central differences of the closed form."""
    error = 0.0
    for q in poses:
        exact = robot.jacob0(q).tolist()
        for row, match in zip(exact, closed.jacobian(q), strict=True):
            error = max(error, *(abs(a - b) for a, b in zip(row, match, strict=True)))
    table.within(f"Jacobian, {len(poses)} poses against finite differences", "m or rad per rad", error, DIFFERENCED)


def trajectory(robot: Any, table: Table) -> list[tuple[float, ...]]:
    """A way in joint space against the polynomial, and a straight line in space through inverse kinematics.

    Returns:
        The way, one set of joint angles each period of the servos.
    """
    import roboticstoolbox as rtb  # noqa: PLC0415 - slow to import
    from spatialmath import SE3  # noqa: PLC0415

    steps = round(WAY_S * 1000 / PERIOD_MS) + 1
    start, end = ([math.radians(degrees) for degrees in ends] for ends in WAY)
    way = rtb.jtraj(start, end, steps)
    error = 0.0
    for number, row in enumerate(way.q.tolist()):
        exact = (closed.quintic(a, b, number / (steps - 1)) for a, b in zip(start, end, strict=True))
        error = max(error, *(abs(a - b) for a, b in zip(row, exact, strict=True)))
    table.within(f"trajectory of {steps} steps against the quintic", "rad", error, EXACT)
    rest = max(abs(way.qd[0]).max(), abs(way.qd[-1]).max())
    table.within("speed at both ends", "rad per step", float(rest), EXACT)
    line = rtb.ctraj(SE3.Trans(0.5, -0.3, 0.5) * SE3.RPY(0.3, 0.4, 0.2), SE3.Trans(0.3, 0.4, 0.9), 25)
    error = 0.0
    for number, transform in enumerate(line):
        solved = tuple(robot.ikine_a(transform, "run").q.tolist())
        error = max(error, distance(closed.forward(solved), pose(transform)))
        ahead = (transform.t - line[0].t) @ (line[-1].t - line[0].t) / ((line[-1].t - line[0].t) ** 2).sum()
        error = max(error, float(abs(transform.t - line[0].t - ahead * (line[-1].t - line[0].t)).max()))
        if number and not ahead >= 0:
            raise WorkloadError("the straight line goes backwards")
    table.within("straight line in space, through ikine_a and forward again", "m", error, ANALYTIC)
    return [tuple(row) for row in way.q.tolist()]


def serial_arm(way: list[tuple[float, ...]], table: Table) -> None:
    """The way as servo commands over a bad line: every one must arrive, once, in order, and lead to the same place."""
    wanted = servo.paced(way, PERIOD_MS)
    with Arm(SEED, LOSS) as arm:
        sender = Sender(arm.device)
        try:
            for widths in wanted:
                sender.send(PERIOD_MS, widths)
        finally:
            sender.close()
    if arm.moves != wanted:
        raise WorkloadError(f"{len(wanted)} commands were sent, and the arm moved {len(arm.moves)} times, or elsewhere")
    faults = sum(count for what, count in arm.faults.items() if what != "command came twice")
    if not faults:
        raise WorkloadError("the line lost and damaged nothing, so that nothing was shown")
    table.row("servo commands, all acknowledged and in order", "commands", len(wanted))
    table.row("messages lost or damaged on the simulated line", "messages", faults)
    table.row("commands sent again", "commands", sender.sent_again)
    angle = tool = 0.0
    for q, widths in zip(way, arm.moves, strict=True):
        turned = servo.angles(widths)
        angle = max(angle, math.degrees(closed.apart(q, turned)))
        tool = max(tool, math.dist(closed.forward(q).point, closed.forward(turned).point) * 1000)
    table.within("angle lost to whole microseconds", "degrees", angle, servo.QUANTUM / 2 + 1e-9)
    table.within("wrist centre moved by that", "mm", tool, TOOL_MM)
    for what, job in (
        ("an angle beyond a servo's reach", lambda: servo.pulses((*way[0][:4], math.radians(120), 0.0))),
        ("a way that is too fast", lambda: servo.paced(way[::10], PERIOD_MS)),
    ):
        table.row(what, "", f"refused: {refusal(what, job)}")


def refusal(what: str, job: Callable[[], object]) -> str:
    """The reason with which a command is refused before anything is sent, as it must be."""
    try:
        job()
    except servo.CommandError as error:
        return str(error)
    raise WorkloadError(f"{what} was not refused")


def pictures(robot: Any, way: list[tuple[float, ...]], out: Path) -> None:
    """The toolbox's own animation, and the path of the wrist, drawn by Matplotlib without a screen."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - slow to import
    import numpy as np  # noqa: PLC0415

    chosen = np.array(way)[:: max(1, len(way) // FRAMES)]
    robot.plot(chosen, backend="pyplot", movie=str(out / "arm.gif"), block=False)
    plt.close("all")
    figure = plt.figure(figsize=(9, 4.2))
    space = figure.add_subplot(1, 2, 1, projection="3d")
    for q in chosen[::3]:
        joints = np.array([[0, 0, 0], *(transform.t for transform in robot.fkine_all(q))])
        space.plot(*joints.T, "-o", color="#9db4cc", markersize=2, linewidth=1)
    space.plot(*np.array([closed.forward(q).point for q in way]).T, color="#c8553d")
    space.set(title="Puma 560: the arm and the wrist's path", xlabel="x, m", ylabel="y, m", zlabel="z, m")
    space.set_aspect("equal")
    pulse = figure.add_subplot(1, 2, 2)
    for number, widths in enumerate(zip(*servo.paced(way, PERIOD_MS), strict=True)):
        pulse.plot(np.arange(len(way)) * PERIOD_MS / 1000, widths, label=servo.ARM[number].name)
    pulse.set(title="servo commands", xlabel="s", ylabel="pulse width, us")
    pulse.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out / "arm.png", dpi=110)


def run(options: argparse.Namespace) -> str:
    """Everything, in order; writes the results and returns the line to end with."""
    os.environ["MPLBACKEND"] = "Agg"
    import numpy as np  # noqa: PLC0415 - slow to import
    import roboticstoolbox as rtb  # noqa: PLC0415

    table, rng = Table(), np.random.default_rng(SEED)
    robot = rtb.models.DH.Puma560()
    poses = drawn(rng, robot, max(4, round(POSES * options.scale)))
    kinematics(robot, poses, table)
    jacobian(robot, poses[: max(2, len(poses) // SLOWER)], table)
    way = trajectory(robot, table)
    serial_arm(way, table)
    pictures(robot, way, options.out)
    result = {
        "schema": 1,
        "title": "Robotics Toolbox on a Puma 560 against closed forms, and servo commands over a serial line",
        "scale": options.scale,
        "seed": SEED,
        "rows": table.rows,
        "remarks": [
            f"roboticstoolbox {rtb.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}.",
            "The closed forms use the Puma's geometry and Python's math alone; the toolbox multiplies DH matrices.",
            f"Errors of rotations count as metres. Poses nearer than {NEAR_SINGULAR:g} to singular are not drawn.",
            f"The serial line is simulated: a pseudo-terminal that loses {LOSS:.0%} of messages and damages as many.",
            "The servos are of the common kind: 180 degrees between 500 and 2500 microseconds. No real arm was driven.",
        ],
    }
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return f"passed: {len(poses)} poses agree with the closed form, {len(way)} servo commands arrived"


def parsed(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="arm", description="A Puma 560 against closed forms, and over a serial line.")
    parser.add_argument("--out", type=Path, required=True, help="directory for result.json, arm.png and arm.gif")
    parser.add_argument("--scale", type=_scale, default=1.0, help=f"number of poses, times {POSES}")
    return parser.parse_args(argv)


def _scale(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return value


def main(argv: list[str]) -> int:
    """Check, report."""
    options = parsed(argv)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        print(run(options))
    except (WorkloadError, LineError, servo.CommandError, OSError) as error:
        print(f"robotics workload: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

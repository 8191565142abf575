"""The Puma 560's kinematics in closed form, from its geometry alone: no toolbox, no NumPy, no product of DH matrices.

With standard DH parameters the arm is two links that turn in one plane, at an offset beside the first axis, and a wrist
whose three axes meet. So, with A = atan2(d4, a3) and L = hypot(a3, d4), the wrist centre is

    x = a2 cos q2 + L cos(q2 + q3 + A),   z = d1 + a2 sin q2 + L sin(q2 + q3 + A)

in that plane, and the orientation is Rz(q1) Ry(-q2 - q3) Rz(q4) Ry(-q5) Rz(q6). Lengths in metres, angles in radians;
parameters as Corke and Armstrong-Helouvry, "A search for consensus among model parameters reported for the PUMA 560
robot", 1994.
"""

from __future__ import annotations

import itertools
import math
from math import acos, atan2, cos, hypot, pi, sin
from typing import NamedTuple

D1, A2, D3, A3, D4 = 26.45 * 0.0254, 0.4318, 0.15005, 0.0203, 0.4318
ALPHA, REACH = atan2(D4, A3), hypot(A3, D4)
Matrix = tuple[tuple[float, float, float], ...]


class Pose(NamedTuple):
    """Where the wrist centre is, and how the flange is turned (rows of a rotation matrix)."""

    point: tuple[float, float, float]
    turn: Matrix


def rot_z(angle: float) -> Matrix:
    """A turn about z."""
    return ((cos(angle), -sin(angle), 0.0), (sin(angle), cos(angle), 0.0), (0.0, 0.0, 1.0))


def rot_y(angle: float) -> Matrix:
    """A turn about y."""
    return ((cos(angle), 0.0, sin(angle)), (0.0, 1.0, 0.0), (-sin(angle), 0.0, cos(angle)))


def product(*factors: Matrix) -> Matrix:
    """Matrices multiplied, left to right."""
    first, *rest = factors
    for other in rest:
        columns = tuple(zip(*other, strict=True))
        first = tuple(tuple(sum(map(float.__mul__, row, column)) for column in columns) for row in first)
    return first


def forward(q: tuple[float, ...]) -> Pose:
    """The pose for six joint angles."""
    q1, q2, q3, q4, q5, q6 = q
    x = A2 * cos(q2) + REACH * cos(q2 + q3 + ALPHA)
    z = D1 + A2 * sin(q2) + REACH * sin(q2 + q3 + ALPHA)
    point = (x * cos(q1) + D3 * sin(q1), x * sin(q1) - D3 * cos(q1), z)
    return Pose(point, product(rot_z(q1), rot_y(-q2 - q3), rot_z(q4), rot_y(-q5), rot_z(q6)))


def inverse(pose: Pose) -> list[tuple[float, ...]]:
    """All sets of joint angles that give a pose, without regard to joint limits: eight.

    Not for poses where q5 is 0 or pi: there the fourth and the sixth joint turn about one axis.
    """
    (px, py, pz), found = pose.point, []
    for shoulder, elbow, wrist in itertools.product((1, -1), repeat=3):
        square = px * px + py * py - D3 * D3
        if square < 0:
            continue
        x, z = shoulder * math.sqrt(square), pz - D1
        q1 = atan2(py, px) - atan2(-D3, x)
        bend = (x * x + z * z - A2 * A2 - REACH * REACH) / (2 * A2 * REACH)
        if abs(bend) > 1:
            continue
        beta = elbow * acos(bend)
        q2 = atan2(z, x) - atan2(REACH * sin(beta), A2 + REACH * cos(beta))
        q3 = beta - ALPHA
        arm = product(rot_z(q1), rot_y(-q2 - q3))
        hand = product(tuple(zip(*arm, strict=True)), pose.turn)
        sine = wrist * hypot(hand[0][2], hand[1][2])
        q4, q6 = atan2(-hand[1][2] / sine, -hand[0][2] / sine), atan2(-hand[2][1] / sine, hand[2][0] / sine)
        found.append(tuple(wrapped(each) for each in (q1, q2, q3, q4, atan2(sine, hand[2][2]), q6)))
    return found


def wrapped(angle: float) -> float:
    """The same direction, from -pi to pi."""
    return (angle + pi) % (2 * pi) - pi


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The largest difference of two sets of joint angles, full turns aside."""
    return max(abs(wrapped(a - b)) for a, b in zip(one, other, strict=True))


def jacobian(q: tuple[float, ...], step: float = 1e-6) -> list[tuple[float, ...]]:
    """Six rows (velocity, then angular velocity, of the flange) of six columns, by central differences of `forward`."""
    turn, columns = forward(q).turn, []
    for joint in range(6):
        ahead = forward(tuple(each + step * (n == joint) for n, each in enumerate(q)))
        behind = forward(tuple(each - step * (n == joint) for n, each in enumerate(q)))
        speed = [(a - b) / (2 * step) for a, b in zip(ahead.point, behind.point, strict=True)]
        change = tuple(
            tuple((a - b) / (2 * step) for a, b in zip(row, other, strict=True))
            for row, other in zip(ahead.turn, behind.turn, strict=True)
        )
        spin = product(change, tuple(zip(*turn, strict=True)))
        columns.append((*speed, spin[2][1], spin[0][2], spin[1][0]))
    return list(zip(*columns, strict=True))


def quintic(start: float, end: float, fraction: float) -> float:
    """A joint on its way, at rest with no acceleration at both ends."""
    return start + (end - start) * fraction**3 * (10 - 15 * fraction + 6 * fraction**2)

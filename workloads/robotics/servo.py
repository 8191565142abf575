"""Joint angles to servo commands: pulse widths within limits, and frames for a serial line.

A frame is 0xA5, sequence number, the time to take in ms (2 bytes), six pulse widths in microseconds (2 bytes each), all
little-endian, and a CRC-16 (CCITT) of what comes after 0xA5. The answer is 0x5A, sequence number, status, CRC-16. The
sequence number makes it safe to send a frame again when its answer was lost.
"""

from __future__ import annotations

import binascii
import itertools
import math
import struct
from typing import NamedTuple

PERIOD_MS = 20  # hobby servos take one pulse each 20 ms
BODY, ANSWER = struct.Struct("<BH6H"), struct.Struct("<BB")
CRC = struct.Struct("<H")
FRAME_START, ANSWER_START = 0xA5, 0x5A
FRAME_BYTES, ANSWER_BYTES = 1 + BODY.size + CRC.size, 1 + ANSWER.size + CRC.size
DONE, DAMAGED, OUT_OF_RANGE = 0, 1, 2


class CommandError(ValueError):
    """The arm cannot do what was asked; nothing was sent."""


class Servo(NamedTuple):
    """One joint's servo.

    Attributes:
        name: for messages.
        centre: the joint's angle at 1500 microseconds, in degrees.
        sign: 1, or -1 where it is mounted the other way round.
        reach: degrees to either side of the centre that it may turn.
        speed: degrees per second that it manages.
    """

    name: str
    centre: float
    sign: int = 1
    reach: float = 90.0
    speed: float = 300.0


PULSE_CENTRE, PULSE_PER_DEGREE = 1500, 1000 / 90  # 500 to 2500 microseconds for 180 degrees
QUANTUM = 1 / PULSE_PER_DEGREE  # degrees per microsecond; rounding is half of it
ARM = (
    Servo("waist", 0.0),
    Servo("shoulder", 90.0, -1),
    Servo("elbow", -135.0),
    Servo("wrist roll", 0.0, speed=400.0),
    Servo("wrist bend", 0.0, -1, speed=400.0),
    Servo("flange", 0.0, speed=400.0),
)


def pulses(q: tuple[float, ...]) -> tuple[int, ...]:
    """Pulse widths in microseconds for joint angles in radians.

    Raises:
        CommandError: an angle is no number, or beyond what a servo may turn.
    """
    widths = []
    for servo, angle in zip(ARM, q, strict=True):
        turn = servo.sign * (math.degrees(angle) - servo.centre)
        if not abs(turn) <= servo.reach + QUANTUM / 2:
            low, high = servo.centre - servo.reach, servo.centre + servo.reach
            raise CommandError(
                f"{servo.name}: {math.degrees(angle):.1f} degrees is outside {low:g} to {high:g}; nothing was sent"
            )
        widths.append(round(PULSE_CENTRE + turn * PULSE_PER_DEGREE))
    return tuple(widths)


def angles(widths: tuple[int, ...]) -> tuple[float, ...]:
    """Joint angles in radians for pulse widths in microseconds."""
    turns = ((width - PULSE_CENTRE) / PULSE_PER_DEGREE for width in widths)
    return tuple(math.radians(servo.centre + servo.sign * turn) for servo, turn in zip(ARM, turns, strict=True))


def paced(way: list[tuple[float, ...]], period_ms: int) -> list[tuple[int, ...]]:
    """Pulse widths for a way of joint angles, one set each period.

    Raises:
        CommandError: as `pulses`; or a step is faster than a servo manages: says how long the way must take.
    """
    steps = [pulses(q) for q in way]
    worst = 0.0
    for before, after in itertools.pairwise(way):
        for servo, a, b in zip(ARM, before, after, strict=True):
            worst = max(worst, abs(math.degrees(b - a)) / servo.speed)
    if worst * 1000 > period_ms:
        need = worst * (len(way) - 1)
        raise CommandError(f"the servos are too slow for this way: give it at least {need:.2f} s; nothing was sent")
    return steps


def frame(sequence: int, period_ms: int, widths: tuple[int, ...]) -> bytes:
    """A command as bytes."""
    return _sealed(FRAME_START, BODY.pack(sequence, period_ms, *widths))


def answer(sequence: int, status: int) -> bytes:
    """An answer as bytes."""
    return _sealed(ANSWER_START, ANSWER.pack(sequence, status))


def opened(data: bytes, start: int) -> tuple[int, ...] | None:
    """What a frame or an answer holds; None when it is damaged."""
    body, layout = data[1 : -CRC.size], BODY if start == FRAME_START else ANSWER
    if len(data) != 1 + layout.size + CRC.size or data[0] != start:
        return None
    return layout.unpack(body) if CRC.unpack(data[-CRC.size :])[0] == _crc(body) else None


def _sealed(start: int, body: bytes) -> bytes:
    return bytes((start,)) + body + CRC.pack(_crc(body))


def _crc(body: bytes) -> int:
    return binascii.crc_hqx(body, 0xFFFF)

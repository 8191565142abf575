"""A serial line with an arm at its other end, both simulated: a pseudo-terminal that loses and damages messages.

The sender is what a real arm would get: it opens a device by its path, sends a frame, waits for the answer, sends again
when none or a bad one comes, and gives up with a reason.
"""

from __future__ import annotations

import os
import pty
import random
import select
import termios
import threading
import tty
from collections import Counter
from typing import TYPE_CHECKING

import servo

if TYPE_CHECKING:
    from types import TracebackType

BAUD = termios.B115200
ANSWER_S, LONGEST_S = 0.25, 1.0  # the first wait for an answer, and the longest: a busy machine is slow to give one
ATTEMPTS = 12


class LineError(Exception):
    """The arm does not answer."""


class Sender:
    """Sends commands over a serial device and waits for each to be acknowledged.

    Raises:
        LineError: the device cannot be opened, or the arm does not answer.
    """

    def __init__(self, device: str) -> None:
        try:
            self.fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self.fd)
            mode = termios.tcgetattr(self.fd)
            mode[4] = mode[5] = BAUD
            termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        except (OSError, termios.error) as error:
            raise LineError(f"{device} cannot be opened as a serial line: {error}; name the arm's device") from error
        self.device, self.sequence, self.sent_again = device, 0, 0

    def close(self) -> None:
        """Give the device back."""
        os.close(self.fd)

    def send(self, period_ms: int, widths: tuple[int, ...]) -> None:
        """Send one command until it is acknowledged."""
        self.sequence = (self.sequence + 1) % 256
        data = servo.frame(self.sequence, period_ms, widths)
        for attempt in range(ATTEMPTS):
            self.sent_again += attempt > 0
            termios.tcflush(self.fd, termios.TCIFLUSH)
            os.write(self.fd, data)
            status = self._status(min(LONGEST_S, ANSWER_S * (attempt + 1)))
            if status == servo.DONE:
                return
            if status == servo.OUT_OF_RANGE:
                raise LineError(f"the arm refuses {widths}: a pulse is outside its range")
        raise LineError(f"the arm on {self.device} gave no good answer to {ATTEMPTS} attempts: see its cable and power")

    def _status(self, wait_s: float) -> int | None:
        """The status in the answer to the last command; None when none came in time, or a bad one, or an old one."""
        data = b""
        while select.select([self.fd], [], [], wait_s)[0]:
            data += os.read(self.fd, servo.ANSWER_BYTES - len(data))
            if len(data) < servo.ANSWER_BYTES:
                continue
            held = servo.opened(data, servo.ANSWER_START)
            if held is None or held[0] == self.sequence or held[1] == servo.DAMAGED:
                return held[1] if held else None
            data = b""
        return None


class Arm:
    """The simulated arm: takes frames from a pseudo-terminal, moves its servos, answers.

    Attributes:
        device: the path that a sender opens.
        moves: pulse widths that it moved to, in order; a frame that came twice counts once.
        faults: how often what happened on the line.
    """

    def __init__(self, seed: int, loss: float) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.device = os.ttyname(self.slave)
        self.moves: list[tuple[int, ...]] = []
        self.faults: Counter[str] = Counter()
        self._rng, self._loss, self._last = random.Random(seed), loss, -1  # noqa: S311 - a simulation
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Arm:  # noqa: PYI034 - typing.Self needs Python 3.11
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._wake)
        self._thread.join()
        for fd in (self.master, self.slave, self._stop):
            os.close(fd)

    def _serve(self) -> None:
        data = b""
        while True:
            ready = select.select([self.master, self._stop], [], [])[0]
            if self._stop in ready:
                return
            data += os.read(self.master, 4096)
            start = data.find(servo.FRAME_START)
            data = data[start:] if start >= 0 else b""
            if len(data) >= servo.FRAME_BYTES:
                whole, data = data[: servo.FRAME_BYTES], data[servo.FRAME_BYTES :]
                self._take(whole)

    def _take(self, whole: bytes) -> None:
        fate = self._rng.random()
        if fate < self._loss:
            self.faults["command lost"] += 1
            return
        held = servo.opened(self._damaged(whole, "command damaged"), servo.FRAME_START)
        if held is None:
            os.write(self.master, servo.answer(0, servo.DAMAGED))
            return
        sequence, _, *widths = held
        status = servo.DONE if all(500 <= width <= 2500 for width in widths) else servo.OUT_OF_RANGE  # noqa: PLR2004
        if status == servo.DONE and sequence != self._last:
            self._last = sequence
            self.moves.append(tuple(widths))
        elif status == servo.DONE:
            self.faults["command came twice"] += 1
        if self._rng.random() < self._loss:
            self.faults["answer lost"] += 1
            return
        os.write(self.master, self._damaged(servo.answer(sequence, status), "answer damaged"))

    def _damaged(self, data: bytes, what: str) -> bytes:
        if self._rng.random() >= self._loss:
            return data
        self.faults[what] += 1
        at = self._rng.randrange(1, len(data))
        return data[:at] + bytes((data[at] ^ 1 << self._rng.randrange(8),)) + data[at + 1 :]

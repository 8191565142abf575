"""Releases of operating systems: which numbers of a version name one, and in which order they came."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_MACOS_BY_MAJOR = 11  # 10.15 was followed by 11, and from then on by whole numbers


def release(system: str, version: str) -> tuple[int, ...]:
    """The numbers that tell a release from the next one; releases of one system compare by them.

    macOS counts (10, minor) below 11 and by major from 11 on, Ubuntu by (year, month), others by their first number:
    10.10.5 is of release 10.10, 12.7 of release 12.

    Returns:
        Empty when the version has too few numbers to name a release (`ubuntu 22`, Debian sid's empty version).
    """
    found = _NUMBERS.match(version)
    if not found:
        return ()
    numbers = tuple(int(number) for number in found.group().split("."))
    width = 2 if system == "ubuntu" or (system == "macos" and numbers[0] < _MACOS_BY_MAJOR) else 1
    return numbers[:width] if len(numbers) >= width else ()


def skipped(system: str, numbers: tuple[int, ...]) -> str:
    """Why a release never was, as a sentence; empty when it was or may come.

    Old programs see 10.16 on macOS 11 and 16 on macOS 26; neither was a release.
    """
    if system != "macos" or not numbers:
        return ""
    if (10, 16) <= numbers < (_MACOS_BY_MAJOR,):
        return "there is no such macOS: 11 follows 10.15"
    if (16,) <= numbers < (26,):
        return "there is no such macOS: 26 follows 15, and 16 to 25 do not exist"
    return ""

"""Reads ratings in the prize's file format and in those of MovieLens, and says on which line a file is no such file.

The prize's: ``mv_*.txt`` or ``combined_data_*.txt``, where ``FILM:`` stands above lines ``USER,STARS,YYYY-MM-DD``.
MovieLens': ``ratings.csv``, ``ratings.dat`` and ``u.data``, a line a rating, which ends with seconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from checkpoint import TrainError
from ratings import Ratings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    _Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_STARS = rb"(?:[1-5](?:\.[05])?|0\.5)"
_ID = rb"\d{1,9}"
_NAMES = ("training_set/mv_*.txt", "mv_*.txt", "combined_data_*.txt", "ratings.csv", "ratings.dat", "u.data")
_ARCHIVES = ((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"))
_SPACES = bytes.maketrans(b",-:\t\r", b"     ")
BLOCK = 8 << 20  # bytes read at a time
LEAST = 1_000  # ratings; of fewer, a tenth is nothing to judge by


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        form: what a line must look like, for people.
        line: the same as a pattern, without its end.
        header: of the first line; empty when there is none.
        prize: `FILM:` lines stand above those of a film, and lines end with a date.
    """

    name: str
    form: str
    line: bytes
    header: bytes = b""
    prize: bool = False


FORMATS = (
    Format(
        name="the prize's",
        form="FILM: or USER,STARS,YYYY-MM-DD",
        line=_ID + rb":|" + _ID + rb",[1-5],(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])",
        prize=True,
    ),
    Format(
        name="MovieLens' ratings.csv",
        form="USER,FILM,STARS,SECONDS",
        line=rb",".join((_ID, _ID, _STARS, rb"\d{1,11}")),
        header=b"userId,movieId,rating,timestamp",
    ),
    Format(
        name="MovieLens' ratings.dat",
        form="USER::FILM::STARS::SECONDS",
        line=rb"::".join((_ID, _ID, _STARS, rb"\d{1,11}")),
    ),
    Format(
        name="MovieLens' u.data",
        form="USER, FILM, STARS and SECONDS with tabs between",
        line=rb"\t".join((_ID, _ID, _STARS, rb"\d{1,11}")),
    ),
)


def read(path: Path) -> tuple[Ratings, str]:
    """Read a file, or all files of one kind in a folder.

    Returns:
        The ratings, in the files' order, films and users numbered anew by their numbers there; and a sentence that says
        what was read.

    Raises:
        TrainError: there is no such file, it is of no known format, or a line is not as the format wants it.
    """
    try:
        files = _files(path)
        formats = {_format(file).name for file in files}
        tables = [table for file in files for table in _tables(file)]
    except OSError as error:
        raise TrainError(
            f"{error.filename or path} cannot be read: {error.strerror or error}.\n"
            "Name a file of ratings, or the folder that holds it, with --data"
        ) from error
    count = sum(len(table[0]) for table in tables)
    if count < LEAST:
        raise TrainError(
            f"{path} holds {count:,} ratings, and at least {LEAST:,} are needed to hold a tenth back.\n"
            "Name a larger set with --data"
        )
    users, films, stars, days = (np.concatenate(column) for column in zip(*tables, strict=True))
    user_ids, users = np.unique(users, return_inverse=True)
    film_ids, films = np.unique(films, return_inverse=True)
    ratings = Ratings(
        films=films.astype(np.int32),
        users=users.astype(np.int32),
        days=days - days.min(),
        stars=stars,
        film_count=len(film_ids),
        user_count=len(user_ids),
    )
    return ratings, f"{len(files)} file{'s' * (len(files) > 1)} of the format {' and '.join(sorted(formats))}"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for name in _NAMES:
        found = sorted(path.glob(name))
        if found:
            return found
    raise TrainError(
        f"the folder {path} holds none of {', '.join(_NAMES)}.\nName the folder that does, or a file of ratings"
    )


def _format(file: Path) -> Format:
    """The format of a file, by its first line."""
    with file.open("rb") as opened:
        first = opened.readline(200)
    archive = next((name for magic, name in _ARCHIVES if first.startswith(magic)), "")
    if archive:
        raise TrainError(f"{file} is an archive ({archive}).\nUnpack it and name what was in it with --data")
    line = first.rstrip(b"\r\n")
    for known in FORMATS:
        if line == known.header if known.header else re.fullmatch(known.line, line):
            return known
    forms = "; ".join(f"{known.name}: {(known.header or known.form.encode()).decode()}" for known in FORMATS)
    raise TrainError(f"{file}, line 1: saw {_shown(line)}, which begins no known format.\nKnown are {forms}")


def _tables(file: Path) -> Iterator[_Columns]:
    """Users, films, stars and days since 1970, block by block."""
    known = _format(file)
    film: int | None = None
    for number, block in _blocks(file):
        _check(file, known, number, block)
        if not known.prize:
            user, which, stars, seconds = _numbers(block, 4).T
            yield _columns(user, which, stars, seconds // 86_400)
            continue
        # Lines before the first film of the block belong to the last film of the block before.
        parts = re.split(rb"^(\d+):\r?\n", block, flags=re.MULTILINE)
        for of, lines in zip([film, *map(int, parts[1::2])], parts[::2], strict=True):
            if lines and of is None:
                raise TrainError(
                    f"{file}, line {number}: saw {_shown(lines.splitlines()[0])}, which stands above the first film.\n"
                    "Take the file anew from where it came: its beginning is missing"
                )
            if lines:
                user, stars, *date = _numbers(lines, 5).T
                yield _columns(user, np.full(len(user), of), stars, _days(*date))
            film = of


def _blocks(file: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, with the number of the first of them; the header is left out."""
    header = _format(file).header
    number = 1
    with file.open("rb") as opened:
        if header:
            opened.readline()
            number = 2
        while block := opened.read(BLOCK):
            block += opened.readline()
            if not block.endswith(b"\n"):
                block += b"\n"
            yield number, block
            number += block.count(b"\n")


def _check(file: Path, known: Format, number: int, block: bytes) -> None:
    pattern = re.compile(rb"^(?:" + known.line + rb")\r?$", re.MULTILINE)
    if len(pattern.findall(block)) == block.count(b"\n"):
        return
    for offset, line in enumerate(block.split(b"\n")):
        if not pattern.fullmatch(line):
            raise TrainError(
                f"{file}, line {number + offset}: saw {_shown(line)}, and {known.name} format wants {known.form}.\n"
                "Take the file anew from where it came, or mend that line"
            )


def _numbers(lines: bytes, columns: int) -> np.ndarray:
    """Numbers of lines that were checked: (n, columns) float64."""
    return np.fromstring(lines.translate(_SPACES), dtype=np.float64, sep=" ").reshape(-1, columns)


def _columns(users: np.ndarray, films: np.ndarray, stars: np.ndarray, days: np.ndarray) -> _Columns:
    return users.astype(np.int32), films.astype(np.int32), stars.astype(np.float32), days.astype(np.int32)


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970."""
    months = ((year - 1970) * 12 + month - 1).astype(np.int64).astype("datetime64[M]")
    days: np.ndarray = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return days


def _shown(line: bytes) -> str:
    return repr(line[:60])[1:]

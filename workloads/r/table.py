"""The CSV files that onehot.py compares on: made from a seed, or the user's own, looked at before R and pandas read it.

Both readers repair what is broken in silence, and each in its own way: R fills short lines up and breaks long ones in
two. So a table is checked here first, and what is wrong is told with its line.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

STATES = (
    *("AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA"),
    *("ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR"),
    *("PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY"),
)
COLUMN = "user_state"
ROWS = 100_000  # at scale 1
MISSING = ("", "NA")  # what R, pandas and we take for a value that is not there
EARLY_GAPS = (7, 23)  # rows without a state that are near enough to the top to be in the picture
GAPS = 0.01  # share of the other rows without a state

ODD_COLUMN = "user state (home), 100%"
# Each has been somebody's bug: spaces, quotes, separators, what looks like a number, truth or nothing, other scripts.
ODD_LEVELS = (
    *(
        "New York",
        "New.York",
        "New-York",
        " leading",
        "trailing ",
        'quo"ted',
        "it's",
        "comma,",
        "semi;colon",
        "tab\there",
    ),
    *(
        "two\nlines",
        "back\\slash",
        "`tick`",
        "#hash",
        "100%",
        "a:b",
        "1",
        "01",
        "1e3",
        "TRUE",
        "T",
        "NULL",
        "nan",
        "None",
    ),
    *(
        "na",
        " NA",
        "N/A",
        "-",
        "\u00cele-de-France",
        "I\u0302le-de-France",
        "Ελλάδα",
        "日本",
        "🙂",
        "ß",
        "<b>",
        "$x",
        "a" * 300,
    ),
)


class TableError(Exception):
    """The table cannot be used; the message says what was seen and what to do."""


def make(path: Path, scale: float, seed: int) -> None:
    """Write a table of users: a number, a state with a long tail of rare ones, an amount. Every state is in it."""
    import numpy as np  # noqa: PLC0415  (checking a table needs none of it)

    rng = np.random.default_rng(seed)
    rows = max(len(STATES) + len(EARLY_GAPS), round(ROWS * scale))
    weights = 1 / np.arange(1, len(STATES) + 1)
    numbers = np.concatenate(
        [rng.permutation(len(STATES)), rng.choice(len(STATES), rows - len(STATES), p=weights / weights.sum())]
    )
    numbers[len(STATES) :][rng.random(rows - len(STATES)) < GAPS] = len(STATES)
    numbers = np.insert(numbers[: rows - len(EARLY_GAPS)], EARLY_GAPS, len(STATES))
    amounts = rng.gamma(2.0, 40.0, rows)
    values = (*STATES, "")
    lines = (f"{n},{values[numbers[n]]},{amounts[n]:.2f}\n" for n in range(rows))
    with path.open("w", encoding="utf-8") as file:
        file.write(f"user,{COLUMN},amount\n")
        file.writelines(lines)


def make_odd(path: Path) -> None:
    """Write a table whose column and whose levels have the names that break things; each level is there twice."""
    save(path, ODD_COLUMN, ("", *ODD_LEVELS, *reversed(ODD_LEVELS)))


def save(path: Path, column: str, values: Iterable[str]) -> None:
    """Write a table of one column, beside the numbers of its rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(("n", column))
        writer.writerows(enumerate(values))


def levels(path: Path, column: str) -> tuple[int, set[str]]:
    """Check a table; returns the number of its rows and the values of the column, missing ones left out.

    Raises:
        TableError: it cannot be read, is no UTF-8, has lines with fields too many or too few, an open quote, no such
            column or that column twice, or fewer than two levels.
    """
    found: set[str] = set()
    rows = 0
    reader = csv.reader(_lines(path), strict=True)
    try:
        header = next(reader, [])
        at = _column(path, header, column)
        for row in reader:
            if not row:
                continue  # a blank line: every reader passes it over
            if len(row) != len(header):
                raise TableError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, and the header has {len(header)}; "
                    "correct the line, and put values with commas in double quotes"
                )
            rows += 1
            found.add(row[at])
    except csv.Error as error:
        raise TableError(
            f"{path}, line {reader.line_num}: {error}; look there for a double quote that is not closed"
        ) from error
    found.difference_update(MISSING)
    if len(found) < 2:  # noqa: PLR2004
        raise TableError(
            f"{path}: {column} has {len(found)} different value{'' if len(found) == 1 else 's'} in {rows} rows, and "
            "indicator columns tell values apart; take another column with --column"
        )
    return rows, found


def _column(path: Path, header: list[str], column: str) -> int:
    if header.count(column) == 1:
        return header.index(column)
    seen = "twice or more" if column in header else "not there"
    listed = ", ".join(header[:20]) + (", ..." if len(header) > 20 else "")  # noqa: PLR2004
    raise TableError(
        f"{path}: column {column!r} is {seen}; its first line names: {listed or 'nothing'}; "
        "choose one of them with --column"
    )


def _lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, each with its end; a byte order mark is left out."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if b"\0" in raw:
                    raise TableError(f"{path}, line {number}: a NUL byte, which is not text; save it as CSV in UTF-8")
                try:
                    yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise TableError(
                        f"{path}, line {number}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8"
                    ) from error
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}; name a CSV file with --data") from error

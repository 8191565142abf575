"""A column of a CSV file as indicator columns, by R, pandas and scikit-learn, compared cell by cell.

R's part is `model.matrix(~ 0 + user_state, data)`, in onehot.R. The run passes only if each row that has a value has
exactly one 1, all three have the same cells, and columns of the same order and names behind their prefixes, and
`~ user_state` gives the same space from an intercept and one column less. What becomes of values that are missing, or
that were not there before, is shown, and must be what `cases.py` expects.

    PREFIX/env/bin/python onehot.py --out DIR [--scale X]            # tables made on the spot
    PREFIX/env/bin/python onehot.py --out DIR --data FILE.csv --column NAME

Exit status 1 when something did not hold or could not be read, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import table
from cases import UNSEEN, cases, require_cases
from compare import Encoded, WorkloadError, by_pandas, by_sklearn, read, require_equal, require_same_space
from fromr import RError, RResult, run_r
from picture import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20140501
SHOWN = 40  # rows in the picture
BYTES_PER_CELL = 24  # R's doubles twice, and what copying them takes, at the peak
NOTE_LEVELS = 51  # the note's user_state: 50 states and the District of Columbia
REMARKS = (
    "New rows are three: a level that was there before, one that was not, and a missing value.",
    "R leaves rows with a missing value out and says nothing. model.frame(..., na.action=na.pass) keeps them as NA.",
    "pandas gives a missing value a row of zeros, with dummy_na=True a column; scikit-learn a column if fit() met one.",
    "Levels of new data must be those of the old: factor(x, levels=) in R makes an unseen value NA, and its row goes.",
    "Of the ways tried with new data, only xlev= and handle_unknown='error' stop at an unseen value; the rest goes on.",
    "~ column has an intercept, the sum of all indicator columns, so R leaves the first out; the space is the same.",
    "Seconds: best of three in a warm process, without reading the file. R's cells are doubles, the others' are bytes.",
)


def parsed(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="onehot", description="Indicator columns by R, pandas and scikit-learn.")
    parser.add_argument("--out", type=Path, required=True, help="directory for result.json and onehot.svg")
    parser.add_argument("--data", type=Path, help="a CSV file in UTF-8 of your own; else one is made")
    parser.add_argument("--column", help=f"its column to encode; {table.COLUMN} unless said")
    parser.add_argument("--scale", type=_scale, default=1.0, help=f"size of the table made, times {table.ROWS} rows")
    parser.add_argument("--rscript", default="/usr/bin/Rscript", help="R's command for scripts")
    return parser.parse_args(argv)


def _scale(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return value


def require_memory(rows: int, levels: int) -> None:
    """Refuse before anything is computed what the memory that is free would not hold.

    Raises:
        WorkloadError: more is needed than there is.
    """
    needed = rows * levels * BYTES_PER_CELL
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return  # no Linux: then the system itself must refuse
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), needed)
    if needed > free:
        raise WorkloadError(
            f"{rows} rows of {levels} levels take about {needed / 1e9:.1f} GB at the peak, and {free / 1e9:.1f} GB of "
            "memory are free; take a smaller --scale, or fewer rows"
        )


def compare(path: Path, column: str, rscript: str, new: Path) -> tuple[Any, RResult, dict[str, Encoded]]:
    """Encode one table by all three and require that they agree; returns the data, R's result, the others'."""
    rows, levels = table.levels(path, column)
    require_memory(rows, len(levels))
    table.save(new, column, (min(levels), UNSEEN, ""))
    r = run_r(rscript, path, column, new)
    data = read(path, column)
    others = {"pandas": by_pandas(data, column), "scikit-learn": by_sklearn(data, column)}
    require_equal(r, others, data, column)
    require_same_space(r, data, column)
    return data, r, others


def row(what: str, unit: str, here: float | str, note: float | None = None) -> dict[str, Any]:
    """One row of the table of results."""
    return {"what": what, "unit": unit, "here": here, "note": note}


def figures(data: Any, r: RResult, others: dict[str, Encoded], shown: list[tuple[str, str, str]]) -> Iterator[Any]:
    """The rows of the table of results, for the main table."""
    high, levels = r.cells.shape
    sums = r.cells.sum(axis=1)
    yield row("rows of the table", "rows", len(data))
    yield row("rows without a value, which R drops", "rows", len(data) - high)
    yield row("levels", "levels", levels, NOTE_LEVELS)
    yield row("indicator columns of ~ 0 + column", "columns", levels, NOTE_LEVELS)
    yield row("least and greatest sum of a row", "", f"{sums.min()} and {sums.max()}")
    yield row("columns of ~ column: intercept and the rest", "columns", f"1 + {r.intercept.shape[1] - 1}")
    yield row("pairs of cells compared with R's", "cells", len(others) * r.cells.size)
    yield row("pairs that differ", "cells", 0)
    yield row("R, model.matrix", "s", round(r.seconds, 4))
    for name, call in (("pandas", "get_dummies"), ("scikit-learn", "OneHotEncoder")):
        yield row(f"{name}, {call}", "s", round(others[name].seconds, 4))
    for what, did, _ in shown:
        stops = did.startswith("error: ")  # whose text is long, and the same on every machine
        yield row(f"new rows: {what}", "" if stops else "rows x columns", "stops" if stops else did)


def odd_figures(r: RResult) -> Iterator[Any]:
    """The rows of the table of results for the table with odd names."""
    changed = sum(made != r.names[n] for n, made in enumerate(r.made))
    shared = sum(count for count in Counter(r.made).values() if count > 1)
    yield row("levels with odd characters that are equal in all three", "levels", len(r.names))
    yield row("of their columns, those that R's data.frame() renames", "columns", changed)
    yield row("of those, columns that end up with another's name", "columns", shared)


def picture(data: Any, r: RResult, column: str) -> str:
    """The first rows as each program encodes them, missing values included."""
    import pandas as pd  # noqa: PLC0415  (slow)
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    head = data[[column]].head(SHOWN)
    levels = [name.removeprefix(r.prefix) for name in r.names]
    at = {number: int(r.cells[n].argmax()) for n, number in enumerate(r.rows[:SHOWN].tolist())}
    dummies = pd.get_dummies(head[column].astype(pd.CategoricalDtype(levels)), dtype="uint8").to_numpy()
    encoder = OneHotEncoder(sparse_output=False, categories=[[*levels, math.nan]])
    encoded = encoder.fit_transform(head.to_numpy(dtype=object))
    panels = (
        ("R: rows with a missing value are left out (red)", [at.get(n + 1) for n in range(len(head))]),
        ("pandas: they are all 0 (white)", [int(each.argmax()) if each.any() else -1 for each in dummies]),
        ("scikit-learn: they have a column (yellow)", [int(each.argmax()) for each in encoded]),
    )
    return draw(panels, len(levels))


def save(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink()
            raise


def run(options: argparse.Namespace, place: Path) -> str:
    """Compare, write the results, and return the line to end with."""
    path, column = options.data, options.column or table.COLUMN
    if path is None:
        path, column = place / "users.csv", table.COLUMN
        require_memory(round(table.ROWS * options.scale), NOTE_LEVELS)
        table.make(path, options.scale, SEED)
    data, r, others = compare(path, column, options.rscript, place / "new.csv")
    shown = cases(r, read(place / "new.csv", column), column, [name.removeprefix(r.prefix) for name in r.names])
    require_cases(shown)
    rows = list(figures(data, r, others, shown))
    if options.data is None:
        table.make_odd(place / "odd.csv")
        rows += odd_figures(compare(place / "odd.csv", table.ODD_COLUMN, options.rscript, place / "new.csv")[1])
    levels = r.cells.shape[1]
    result = {
        "schema": 1,
        "title": f"One column of {levels} levels as indicator columns, by R, pandas and scikit-learn",
        "scale": options.scale,
        "seed": SEED,
        "rows": rows,
        "remarks": [*REMARKS, f"{r.version}."],
    }
    save(options.out / "onehot.svg", picture(data, r, column))
    save(options.out / "result.json", json.dumps(result, indent=1) + "\n")
    for each in rows:
        print(f"{each['what']}: {each['here']} {each['unit']}".rstrip())
    print(*(f"- {remark}" for remark in REMARKS), sep="\n")
    return f"passed: {levels} columns, and {len(others) * r.cells.size} pairs of cells are equal"


def main(argv: list[str]) -> int:
    """Compare, report."""
    options = parsed(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="onehot-") as place:
            options.out.mkdir(parents=True, exist_ok=True)
            print(run(options, Path(place)))
    except (WorkloadError, RError, table.TableError) as error:
        print(f"onehot: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"onehot: {error.filename or options.out}: {error.strerror}; nothing was written there", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

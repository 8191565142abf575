"""Runs onehot.R and reads back what it left."""

from __future__ import annotations

import os
import subprocess  # noqa: TID251  (this script stands alone, outside devsetup)
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SCRIPT = Path(__file__).with_name("onehot.R")


class RError(Exception):
    """R is not there, or it failed; the message says what R said."""


@dataclass
class RResult:
    """What `model.matrix` made of a column.

    Attributes:
        version: `R version 4.2.2 Patched (...)`.
        seconds: best of three runs of `model.matrix(~ 0 + column, data)`.
        prefix: what stands before a level in the names of columns.
        names: of the columns of `cells`.
        cells: (rows, levels) of 0 and 1, by `~ 0 + column`.
        intercept: (rows, levels) of 0 and 1, by `~ column`; its first column is the intercept.
        rows: numbers of the rows of the table that are in `cells`, from 1.
        made: the names that `data.frame()` makes of `names`.
        cases: name to rows, columns, and what R said: an error's text, or how many cells are NA.
    """

    version: str
    seconds: float
    prefix: str
    names: list[str]
    cells: np.ndarray
    intercept: np.ndarray
    rows: np.ndarray
    made: list[str]
    cases: dict[str, tuple[int, int, str]]

    def shape(self, case: str) -> str:
        """A case as `3 x 51`, `3 x 51, 102 NA` or `error: ...`."""
        rows, columns, said = self.cases[case]
        if not rows:
            return f"error: {said}"
        return f"{rows} x {columns}" + (f", {said} NA" if said != "0" else "")


def run_r(rscript: str, data: Path, column: str, new: Path) -> RResult:
    """Encode a column of one table, and look at another table with its levels.

    Raises:
        RError: no Rscript there, or it failed, or it left something else.
    """
    with tempfile.TemporaryDirectory(prefix="onehot-") as place:
        out = Path(place)
        _call(rscript, str(data), column, str(new), place)
        try:
            return _result(out)
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise RError(
                f"{rscript} ended well and left no results that can be read ({error}); it may not be R's own Rscript; "
                "name that with --rscript"
            ) from error


def _call(rscript: str, *arguments: str) -> None:
    # Without the user's profile and saved workspace, and with the same order of letters everywhere.
    argv = [rscript, "--vanilla", str(SCRIPT), *arguments]
    env = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "en"}
    try:
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise RError(
            f"{rscript} cannot be started: {error.strerror}; this comparison needs R; install R's package (r-base-core "
            "on Debian and Ubuntu), or name another Rscript with --rscript"
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-6:] or ["(nothing)"]
        how = f"by signal {-done.returncode}" if done.returncode < 0 else f"with status {done.returncode}"
        raise RError(
            f"{rscript} ended {how}, so there is nothing to compare with; it said:\n  "
            + "\n  ".join(said)
            + "\nTry R by hand: Rscript --vanilla -e 'sessionInfo()'"
        )


def _result(out: Path) -> RResult:
    facts = dict(line.split("\t", 1) for line in _lines(out / "facts"))
    names, made = _texts(out / "indicator.names"), _texts(out / "made")
    cases = {}
    for line in _lines(out / "cases"):
        case, high, wide, said = line.split("\t")
        cases[case] = (int(high), int(wide), _text(said))
    return RResult(
        version=_text(facts["version"]),
        seconds=float(facts["seconds"]),
        prefix=_text(facts["prefix"]),
        names=names,
        cells=_cells(out / "indicator.cells", len(names)),
        intercept=_cells(out / "intercept.cells", len(_texts(out / "intercept.names"))),
        rows=_numbers(out / "rows", "<i4"),
        made=made,
        cases=cases,
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def _text(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8")


def _texts(path: Path) -> list[str]:
    return [_text(line) for line in _lines(path)]


def _cells(path: Path, columns: int) -> np.ndarray:
    return _numbers(path, "uint8").reshape(columns, -1).T


def _numbers(path: Path, dtype: str) -> np.ndarray:
    import numpy as np  # noqa: PLC0415  (slow, and R's errors come before)

    return np.fromfile(path, dtype=dtype)

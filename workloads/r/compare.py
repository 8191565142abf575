"""The same indicator columns by pandas and by scikit-learn, and whether they are R's."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import table

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from fromr import RResult


class WorkloadError(Exception):
    """Something did not hold."""


@dataclass
class Encoded:
    """Indicator columns by one program: (rows, levels) of 0 and 1, names in the same order, best of three runs."""

    cells: np.ndarray
    names: list[str]
    seconds: float


def read(path: Path, column: str) -> Any:
    """The column as pandas reads it, as text; what R is told is missing is missing here too."""
    import pandas as pd  # noqa: PLC0415  (slow, and errors in the table are told before)

    options = {"dtype": str, "keep_default_na": False, "na_values": list(table.MISSING), "encoding": "utf-8-sig"}
    return pd.read_csv(path, usecols=[column], **options)


def best_of_three(job: Any) -> tuple[Any, float]:
    """What a job returns, and the least of three wall times."""
    seconds = math.inf
    for _ in range(3):
        began = time.perf_counter()
        result = job()
        seconds = min(seconds, time.perf_counter() - began)
    return result, seconds


def by_pandas(data: Any, column: str) -> Encoded:
    """`pandas.get_dummies` of the rows that have a value."""
    import pandas as pd  # noqa: PLC0415

    values = data[column].dropna()
    made, seconds = best_of_three(lambda: pd.get_dummies(values, prefix=column, dtype="uint8"))
    return Encoded(made.to_numpy(), list(made.columns), seconds)


def by_sklearn(data: Any, column: str) -> Encoded:
    """scikit-learn's `OneHotEncoder` of the rows that have a value, dense."""
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    values = data[[column]].dropna().to_numpy(dtype=object)
    encoder = OneHotEncoder(sparse_output=False, dtype="uint8")
    made, seconds = best_of_three(lambda: encoder.fit_transform(values))
    return Encoded(made, list(encoder.get_feature_names_out([column])), seconds)


def require_equal(r: RResult, others: dict[str, Encoded], data: Any, column: str) -> int:
    """Check R's cells, rows, order and names against the others; returns how many pairs of cells were compared."""
    import numpy as np  # noqa: PLC0415

    kept = np.flatnonzero(data[column].notna().to_numpy()) + 1
    if not np.array_equal(r.rows, kept):
        raise WorkloadError(f"R kept {len(r.rows)} rows and pandas {len(kept)}, or other ones")
    sums = r.cells.sum(axis=1)
    if not (sums == 1).all():
        raise WorkloadError(f"R's rows sum to between {sums.min()} and {sums.max()}, and each must sum to 1")
    levels = [name.removeprefix(r.prefix) for name in r.names]
    for name, other in others.items():
        theirs = [each.removeprefix(f"{column}_") for each in other.names]
        if theirs != levels:
            at = next((n for n, each in enumerate(levels) if theirs[n : n + 1] != [each]), len(levels))
            raise WorkloadError(
                f"R has {len(levels)} levels and {name} {len(theirs)}; the first that differ: "
                f"{', '.join(map(repr, levels[at : at + 1] + theirs[at : at + 1]))}"
            )
        differ = np.argwhere(r.cells != other.cells)
        if len(differ):
            row, at = differ[0]
            raise WorkloadError(f"R and {name} differ in {len(differ)} cells, first in row {row + 1}, {levels[at]!r}")
    return len(others) * r.cells.size


def require_same_space(r: RResult, data: Any, column: str) -> None:
    """Check `~ user_state`: a column of ones instead of the first level's, and no rank lost or won by it."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    if not (r.intercept[:, 0] == 1).all() or not np.array_equal(r.intercept[:, 1:], r.cells[:, 1:]):
        raise WorkloadError("R's ~ user_state is not a column of ones and all levels but the first")
    values = data[column].dropna()
    dropped = {
        "pandas with drop_first=True": pd.get_dummies(values, dtype="uint8", drop_first=True).to_numpy(),
        "scikit-learn with drop='first'": OneHotEncoder(sparse_output=False, dtype="uint8", drop="first").fit_transform(
            values.to_numpy(dtype=object).reshape(-1, 1)
        ),
    }
    for name, cells in dropped.items():
        if not np.array_equal(cells, r.cells[:, 1:]):
            raise WorkloadError(f"{name} is not R's ~ user_state without its intercept")
    levels = r.cells.shape[1]
    seen = np.unique(np.column_stack([r.intercept[:, :1], r.cells]), axis=0).astype(float)  # rank needs each row once
    for what, cells, wanted in (
        ("the indicator columns", seen[:, 1:], levels),
        ("an intercept and all indicator columns", seen, levels),
    ):
        rank = int(np.linalg.matrix_rank(cells))
        if rank != wanted:
            raise WorkloadError(f"the rank of {what} is {rank}, and {wanted} was expected")

"""What R, pandas and scikit-learn make of a value that is missing, and of one that was not there before."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from compare import WorkloadError

if TYPE_CHECKING:
    from fromr import RResult

UNSEEN = "(never seen before)"


def cases(r: RResult, new: Any, column: str, levels: list[str]) -> list[tuple[str, str, str]]:
    """(what, what it did, what was expected), for one known, one new and one missing value.

    Shapes are rows by columns; `all 0` counts rows.
    """
    import pandas as pd  # noqa: PLC0415

    n = len(levels)
    fixed = new[column].astype(pd.CategoricalDtype([*levels, UNSEEN])).cat.set_categories(levels)
    own, known = pd.get_dummies(new[column]), pd.get_dummies(fixed)
    marked = pd.get_dummies(fixed, dummy_na=True)
    found = [
        ("R, the new file's own levels", r.shape("own levels"), "2 x 2"),
        ("R, the old levels", r.shape("old levels"), f"1 x {n}"),
        ("R, the old levels, na.pass", r.shape("na.pass"), f"3 x {n}, {2 * n} NA"),
        ("R, the old levels, addNA", r.shape("addNA"), f"3 x {n + 1}"),
        ("R, xlev=", r.shape("xlev"), f"error: factor {column} has new level"),
        ("pandas, the new file's own values", _shape(own), "3 x 2, 1 all 0"),
        ("pandas, the old categories", _shape(known), f"3 x {n}, 2 all 0"),
        ("pandas, the old categories, dummy_na=True", _shape(marked), f"3 x {n + 1}"),
    ]
    for handling, gaps, expected in (
        ("error", False, "error: Found unknown categories"),
        ("ignore", False, f"3 x {n}, 2 all 0"),
        ("ignore", True, f"3 x {n + 1}, 1 all 0"),
    ):
        values = [*levels, *([math.nan] if gaps else [])]
        known_gaps = ", gaps in what it learnt" if gaps else ""
        title = f"scikit-learn, handle_unknown={handling!r}{known_gaps}"
        found.append((title, _transformed(handling, values, new[[column]].to_numpy(dtype=object)), expected))
    return found


def _shape(made: Any) -> str:
    empty = int((made.to_numpy().sum(axis=1) == 0).sum())
    return f"{made.shape[0]} x {made.shape[1]}" + (f", {empty} all 0" if empty else "")


def _transformed(handling: str, learnt: list[Any], values: Any) -> str:
    import numpy as np  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    encoder = OneHotEncoder(sparse_output=False, handle_unknown=handling)
    encoder.fit(np.array(learnt, dtype=object).reshape(-1, 1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it tells of the unknown ones, which are meant here
            made = encoder.transform(values)
    except ValueError as error:
        return f"error: {error}"
    empty = int((made.sum(axis=1) == 0).sum())
    return f"{made.shape[0]} x {made.shape[1]}" + (f", {empty} all 0" if empty else "")


def require_cases(found: list[tuple[str, str, str]]) -> None:
    """Check that each case did what was expected of it."""
    for what, did, expected in found:
        held = did.startswith(expected) if expected.startswith("error: ") else did == expected
        if not held:
            raise WorkloadError(f"{what}: {did}; expected was {expected}")

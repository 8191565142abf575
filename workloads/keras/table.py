"""What came out: the table beside the note's figures, and whether it is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import baselines
import numpy as np
from model import HIDDEN, PRINTED

if TYPE_CHECKING:
    from checkpoint import State
    from ratings import Ratings
    from splits import Split

# The note's own figures: what it learnt from, how long that took, and the RMSE on a random tenth.
NOTE_RATINGS, NOTE_LEARNT, NOTE_SECONDS, NOTE_RMSE = 100_480_507, 90_432_456, 1_183, 0.837

SPLITS = {"random": "random tenth", "latest": "each user's latest tenth", "date": "latest tenth by date"}
AVERAGE, EFFECTS, UNDATED, FLOOR = "mean of all", "user and film effects", "all known but dates", "noise floor"

# How good is good enough, on generated ratings.
LEARNT = 0.6  # of the way from the effects' RMSE to that of one who knows all but dates
SAME = 0.02  # as printed, the model can say no more than the effects do
AHEAD = 0.01  # nobody is more than this better than one who knows all but dates
LATER_IS_HARDER = 0.01
JUDGED_FROM = 0.1  # scale; below, there are too few steps to learn in


@dataclass(frozen=True)
class Trial:
    """One way of holding ratings back.

    Attributes:
        rmse: predictor to RMSE on what was held back, best last.
        known: the same on those of the held-back ratings whose user and film are in the training part.
        share: of those.
        states: model to how its training went.
    """

    split: Split
    rmse: dict[str, float]
    known: dict[str, float]
    share: float
    states: dict[str, State]


def judge(ratings: Ratings, split: Split, predictions: dict[str, np.ndarray], states: dict[str, State]) -> Trial:
    """Compare predictions, each (m,) stars, with what was held back."""
    stars = ratings.stars[split.validation]
    known = known_ones(ratings, split)
    return Trial(
        split=split,
        rmse={name: baselines.rmse(predicted, stars) for name, predicted in predictions.items()},
        known={name: baselines.rmse(predicted[known], stars[known]) for name, predicted in predictions.items()},
        share=float(known.mean()),
        states=states,
    )


def known_ones(ratings: Ratings, split: Split) -> np.ndarray:
    """Which of the held-back ratings are by a user and of a film that the training part has: (m,) bool."""
    users = np.bincount(ratings.users[split.train], minlength=ratings.user_count) > 0
    films = np.bincount(ratings.films[split.train], minlength=ratings.film_count) > 0
    which: np.ndarray = users[ratings.users[split.validation]] & films[ratings.films[split.validation]]
    return which


def rows(ratings: Ratings, trials: list[Trial]) -> list[dict[str, Any]]:
    """The table's rows."""
    first = trials[0].states[HIDDEN]
    learnt = len(trials[0].split.train)
    table = [
        _row("ratings", "", len(ratings), NOTE_RATINGS),
        _row("ratings learnt from", "", learnt, NOTE_LEARNT),
        _row(f"training, {HIDDEN}", "ratings/s", round(first.speed), round(NOTE_LEARNT / NOTE_SECONDS)),
        _row(f"training, {PRINTED}", "ratings/s", round(trials[0].states[PRINTED].speed), None),
    ]
    for trial in trials:
        for name, value in trial.rmse.items():
            noted = NOTE_RMSE if (trial.split.name, name) == ("random", HIDDEN) else None
            table.append(_row(f"{SPLITS[trial.split.name]}: {name}", "RMSE", round(value, 4), noted))
        table.append(
            _row(f"{SPLITS[trial.split.name]}: known user and film", "% of ratings", round(100 * trial.share, 1), None)
        )
        if trial.share < 0.99:  # noqa: PLR2004 - otherwise they are the same figures again
            for name, value in trial.known.items():
                table.append(_row(f"{SPLITS[trial.split.name]}, these only: {name}", "RMSE", round(value, 4), None))
    return table


def _row(what: str, unit: str, here: float | str, note: float | None) -> dict[str, Any]:
    return {"what": what, "unit": unit, "here": here, "note": note}


def shortfalls(trials: list[Trial]) -> list[str]:
    """Why generated ratings were not learnt well enough; nothing when they were."""
    by_name = {trial.split.name: trial.rmse for trial in trials}
    random, date = by_name["random"], by_name["date"]
    wanted = random[EFFECTS] - LEARNT * max(0.0, random[EFFECTS] - random[UNDATED])
    missed = []
    if not random[HIDDEN] <= wanted:
        missed.append(f"with the hidden layer the RMSE is {random[HIDDEN]:.4f}, and {wanted:.4f} was to be reached")
    if not abs(random[PRINTED] - random[EFFECTS]) <= SAME:
        missed.append(f"as printed the RMSE is {random[PRINTED]:.4f}, and that of the effects {random[EFFECTS]:.4f}")
    if not random[HIDDEN] >= random[UNDATED] - AHEAD:
        missed.append(f"an RMSE of {random[HIDDEN]:.4f} is better than possible ({random[UNDATED]:.4f}): a leak")
    if not date[HIDDEN] >= random[HIDDEN] + LATER_IS_HARDER:
        missed.append(f"later ratings are no harder ({date[HIDDEN]:.4f}) than a random tenth ({random[HIDDEN]:.4f})")
    return missed

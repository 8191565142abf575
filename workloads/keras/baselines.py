"""What a model must beat: the mean, and an effect of each user and film."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ratings import Ratings
    from splits import Split

SWEEPS = 10
DAMPING = 5.0  # as if each film and user had this many more ratings that are average


def rmse(predicted: np.ndarray | float, stars: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((np.asarray(predicted, np.float64) - stars) ** 2)))


def mean(ratings: Ratings, split: Split) -> np.ndarray:
    """Predict the training part's mean for all: (m,)."""
    return np.full(len(split.validation), ratings.stars[split.train].mean(dtype=np.float64))


def effects(ratings: Ratings, split: Split) -> np.ndarray:
    """Predict mean + film effect + user effect, fitted in turns to the training part: (m,)."""
    films, users = ratings.films[split.train], ratings.users[split.train]
    stars = ratings.stars[split.train].astype(np.float64)
    overall = stars.mean()
    film, user = np.zeros(ratings.film_count), np.zeros(ratings.user_count)
    for _ in range(SWEEPS):
        film = _fit(films, stars - overall - user[users], ratings.film_count)
        user = _fit(users, stars - overall - film[films], ratings.user_count)
    predicted: np.ndarray = overall + film[ratings.films[split.validation]] + user[ratings.users[split.validation]]
    return predicted


def _fit(which: np.ndarray, rest: np.ndarray, count: int) -> np.ndarray:
    number = np.bincount(which, minlength=count)
    effect: np.ndarray = np.bincount(which, weights=rest, minlength=count) / (number + DAMPING)
    return effect

"""Which ratings are learnt from, and which one tenth is held back to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ratings import Ratings

VALIDATION = 0.1


@dataclass(frozen=True)
class Split:
    """Positions of ratings: int64 arrays, `train` in no order, without a rating in both."""

    name: str
    train: np.ndarray
    validation: np.ndarray


def at_random(ratings: Ratings, seed: int) -> Split:
    """Hold back a tenth at random: of almost every film and user, from the same days as what is learnt from."""
    return _cut("random", np.random.default_rng(seed).permutation(len(ratings)))


def by_date(ratings: Ratings, seed: int) -> Split:
    """Hold back the latest tenth. Within the day on which the cut falls, chance decides."""
    order = np.random.default_rng(seed).permutation(len(ratings))
    return _cut("date", order[np.argsort(ratings.days[order], kind="stable")])


def latest_of_each(ratings: Ratings, seed: int) -> Split:
    """Hold back about the latest tenth of every user, as the prize did with its latest nine or so."""
    order = np.random.default_rng(seed).permutation(len(ratings))
    order = order[np.lexsort((ratings.days[order], ratings.users[order]))]
    counts = np.bincount(ratings.users, minlength=ratings.user_count)
    before = np.cumsum(counts) - counts
    users = ratings.users[order]
    rank = np.arange(len(order)) - before[users]
    late = rank >= counts[users] - np.floor(counts[users] * VALIDATION + 0.5)
    return Split(name="latest", train=order[~late], validation=order[late])


def _cut(name: str, order: np.ndarray) -> Split:
    # As in the note: 90,432,456 of the prize's 100,480,507 to learn from.
    keep = int(len(order) * (1 - VALIDATION))
    return Split(name=name, train=order[:keep], validation=order[keep:])

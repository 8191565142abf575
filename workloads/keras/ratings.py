"""Ratings: who gave which film how many stars on which day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Ratings:
    """n ratings.

    Attributes:
        films: (n,) int32, 0 to film_count - 1.
        users: (n,) int32, 0 to user_count - 1.
        days: (n,) int32, since the first day.
        stars: (n,) float32.
    """

    films: np.ndarray
    users: np.ndarray
    days: np.ndarray
    stars: np.ndarray
    film_count: int
    user_count: int

    def __len__(self) -> int:
        """How many ratings there are."""
        return len(self.stars)

    def years(self, index: np.ndarray) -> np.ndarray:
        """Years since the first day, of the ratings at these positions: float32."""
        years: np.ndarray = self.days[index] / DAYS_PER_YEAR
        return years.astype("float32")

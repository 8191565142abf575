"""A world of films and users whose ratings are known to the last parameter, so that the best RMSE is known too.

The sizes and tails are those of the Netflix prize: 100,480,507 ratings by 480,189 users of 17,770 films within 2,243
days, half of the users at most on one film. What a user thinks of a film on a day, before noise, is::

    MEAN + TREND * years + film effect + film drift * years + user effect + user drift * years since joining + tastes

where the tastes are the inner product of RANK numbers of the film and of the user. Noise is added and the sum rounded
to one of five stars. Given the sum without noise, mean and variance of the stars have closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ratings import DAYS_PER_YEAR, Ratings
from scipy.special import ndtr

if TYPE_CHECKING:
    from splits import Split

NETFLIX_RATINGS, NETFLIX_USERS, NETFLIX_FILMS, NETFLIX_DAYS = 100_480_507, 480_189, 17_770, 2_243
NETFLIX_SCALE = 64  # the scale at which the world has the size of the prize
LEAST_FILMS, LEAST_USERS = 100, 100

MEAN, TREND = 3.55, 0.04  # stars; stars per year
FILM_EFFECT, FILM_DRIFT = 0.45, 0.06  # standard deviations: stars; stars per year
USER_EFFECT, USER_DRIFT = 0.40, 0.40
RANK, TASTES = 3, 0.60  # how many numbers make a taste; standard deviation of their inner product, in stars
NOISE = 0.80

FILM_TAIL, USER_TAIL = 1.6, 1.25  # of the logarithm of how often a film is rated, a user rates: standard deviations
MOST_USERS = 0.5  # of the users at most rate the same film, as in the prize's data
ACTIVE_DAYS = 800.0  # mean time between a user's first and last rating
ROUNDS = 4  # of drawing, since nobody rates a film twice; in a small world a little is still missing after them
HALF_STARS = np.arange(1.5, 5.0)


@dataclass(frozen=True)
class World:
    """Parameters of a world of F films and U users, float32, and who joined when.

    Attributes:
        film_effect, film_drift: (F,) stars, stars per year.
        film_taste: (F, RANK).
        user_effect, user_drift: (U,).
        user_taste: (U, RANK).
        joined: (U,) years after the first day.
    """

    film_effect: np.ndarray
    film_drift: np.ndarray
    film_taste: np.ndarray
    user_effect: np.ndarray
    user_drift: np.ndarray
    user_taste: np.ndarray
    joined: np.ndarray

    def opinions(
        self, films: np.ndarray, users: np.ndarray, film_years: np.ndarray, user_years: np.ndarray
    ) -> np.ndarray:
        """What users think of films before noise, in stars: (n,).

        Args:
            films: (n,) indices.
            users: (n,) indices.
            film_years: (n,) years after the first day at which the film's drift is taken.
            user_years: the same for the user's drift and the trend.
        """
        return (
            MEAN
            + TREND * user_years
            + self.film_effect[films]
            + self.film_drift[films] * film_years
            + self.user_effect[users]
            + self.user_drift[users] * (user_years - self.joined[users])
            + np.einsum("ij,ij->i", self.film_taste[films], self.user_taste[users])
        )


def create(scale: float, seed: int, *, drift: bool = True) -> tuple[World, Ratings]:
    """Make a world and its ratings, in no order.

    Args:
        scale: NETFLIX_SCALE makes as many as the prize had. Ratings and users grow with it, films with its root.
        seed: of everything random.
        drift: whether anything changes with time.
    """
    part = scale / NETFLIX_SCALE
    users = max(LEAST_USERS, round(NETFLIX_USERS * part))
    films = max(LEAST_FILMS, round(NETFLIX_FILMS * part**0.5))
    rng = np.random.default_rng(seed)
    changes = 1.0 if drift else 0.0
    taste = (TASTES / RANK**0.5) ** 0.5
    world = World(
        film_effect=_normal(rng, FILM_EFFECT, films),
        film_drift=_normal(rng, FILM_DRIFT * changes, films),
        film_taste=_normal(rng, taste, (films, RANK)),
        user_effect=_normal(rng, USER_EFFECT, users),
        user_drift=_normal(rng, USER_DRIFT * changes, users),
        user_taste=_normal(rng, taste, (users, RANK)),
        # Few joined in the first years, and most in the last.
        joined=(NETFLIX_DAYS / DAYS_PER_YEAR * rng.random(users, dtype=np.float32) ** 0.5),
    )
    who, what = _pairs(rng, users, films, max(1, round(NETFLIX_RATINGS * part)))
    days = _days(rng, world.joined, who)
    years = days / np.float32(DAYS_PER_YEAR)
    thoughts = world.opinions(what, who, years, years).astype(np.float32)
    thoughts += NOISE * rng.standard_normal(len(thoughts), dtype=np.float32)
    stars = np.clip(np.rint(thoughts), 1, 5)
    return world, Ratings(films=what, users=who, days=days, stars=stars, film_count=films, user_count=users)


def _normal(rng: np.random.Generator, deviation: float, shape: int | tuple[int, int]) -> np.ndarray:
    return deviation * rng.standard_normal(shape, dtype=np.float32)


def _pairs(rng: np.random.Generator, users: int, films: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw who rates what, nobody the same film twice: two (n,) arrays of int32, n at most `wanted`."""
    activity = rng.lognormal(sigma=USER_TAIL, size=users)
    fame = rng.lognormal(sigma=FILM_TAIL, size=films)
    fame = np.minimum(fame / fame.sum(), MOST_USERS * users / wanted)
    ladder = np.cumsum(fame / fame.sum())
    keys = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        counts = rng.multinomial(2 * (wanted - len(keys)), activity / activity.sum())
        who = np.repeat(np.arange(users, dtype=np.int64), counts)
        what = np.minimum(np.searchsorted(ladder, rng.random(len(who))), films - 1)
        keys = np.concatenate([keys, who * films + what])
        keys.sort()  # np.unique hashes, which takes ten times as long on keys that are nearly in order
        keys = keys[np.diff(keys, prepend=-1) > 0]
        if len(keys) >= wanted:
            break
    keys = rng.permutation(keys)[:wanted]
    return (keys // films).astype(np.int32), (keys % films).astype(np.int32)


def _days(rng: np.random.Generator, joined: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Draw on which day each rating was given: (n,) int32. Users rate most when they are new."""
    start = joined * DAYS_PER_YEAR
    active = np.minimum(rng.exponential(ACTIVE_DAYS, len(joined)), NETFLIX_DAYS - 1 - start).clip(0)
    since = active[who] * rng.random(len(who)) ** 1.3
    return (start[who] + since).astype(np.int32).clip(0, NETFLIX_DAYS - 1)


def expected_stars(opinions: np.ndarray, deviation: float | np.ndarray) -> np.ndarray:
    """Mean of the stars given what was thought before noise of that standard deviation: the best prediction."""
    above = ndtr((opinions[:, None] - HALF_STARS) / np.reshape(deviation, (-1, 1)))
    mean: np.ndarray = 1 + above.sum(axis=1)
    return mean


def variance_of_stars(opinions: np.ndarray) -> np.ndarray:
    """Variance of the stars given what was thought before noise: what nobody can predict."""
    above = ndtr((opinions[:, None] - HALF_STARS) / NOISE)
    squares = 1 + above @ (2 * np.arange(1, 5) + 1.0)
    variance: np.ndarray = squares - (1 + above.sum(axis=1)) ** 2
    return variance


def floor(world: World, ratings: Ratings, index: np.ndarray) -> float:
    """Least RMSE that can be expected of anyone on these ratings, who knows all parameters and the dates."""
    years = ratings.years(index)
    opinions = world.opinions(ratings.films[index], ratings.users[index], years, years)
    return float(np.sqrt(variance_of_stars(opinions).mean()))


def undated(world: World, ratings: Ratings, split: Split) -> np.ndarray:
    """Predictions of one who knows all parameters, of films and users in the training part, but no dates.

    Drift and trend are taken at the mean date of the user's (or film's) ratings in the training part, as a model
    without dates learns them at best. For a film or user that is not there the mean of all stands.

    Returns:
        (m,) stars, for the validation part.
    """
    films, users = ratings.films[split.validation], ratings.users[split.validation]
    years = ratings.years(split.train)
    film_years, known_film = _mean_years(ratings.films[split.train], years, ratings.film_count)
    user_years, known_user = _mean_years(ratings.users[split.train], years, ratings.user_count)
    seen = World(
        film_effect=world.film_effect * known_film,
        film_drift=world.film_drift * known_film,
        film_taste=world.film_taste * known_film[:, None],
        user_effect=world.user_effect * known_user,
        user_drift=world.user_drift * known_user,
        user_taste=world.user_taste * known_user[:, None],
        joined=world.joined,
    )
    opinions = seen.opinions(films, users, film_years[films], user_years[users])
    unknown = NOISE**2 + np.where(known_user[users], 0, USER_EFFECT**2) + np.where(known_film[films], 0, FILM_EFFECT**2)
    unknown += np.where(known_user[users] & known_film[films], 0, TASTES**2)
    return expected_stars(opinions, np.sqrt(unknown))


def _mean_years(which: np.ndarray, years: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean date for each of `count` films or users, the mean of all where there is none; and which have one."""
    number = np.bincount(which, minlength=count)
    total = np.bincount(which, weights=years, minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), years.mean()), number > 0

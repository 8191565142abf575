"""The note's model in Keras, as printed and with a hidden layer, and how it is trained and resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import checkpoint
import keras
import numpy as np
from baselines import rmse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ratings import Ratings
    from splits import Split

FILM_EMBEDDING, USER_EMBEDDING = 60, 20
BATCH = 24_000
PRINTED, HIDDEN = "as printed", "hidden layer"
HIDDEN_UNITS = 64
RATE = 0.01  # of Adam
COOLING = (0.3, 0.1)  # of the rate, in the last epochs
STEPS = 400  # fewer do not suffice to learn the tastes
LEAST_EPOCHS, MOST_EPOCHS = 3, 16  # after more, users with few ratings are learnt by heart
CHUNK = 200 * BATCH  # ratings between two looks at the clock
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Training:
    """What is to be trained on what.

    Attributes:
        model: PRINTED or HIDDEN.
        digest: of the ratings.
    """

    ratings: Ratings
    split: Split
    model: str
    epochs: int
    seed: int
    digest: str

    @property
    def task(self) -> dict[str, Any]:
        """Everything on which the outcome depends, as JSON values."""
        return {
            "model": self.model,
            "split": self.split.name,
            "data": self.digest,
            "epochs": self.epochs,
            "seed": self.seed,
            "batch": BATCH,
            "versions": f"keras {keras.__version__} on {keras.backend.backend()}",
        }

    @property
    def file(self) -> str:
        """Name of its checkpoint."""
        return f"{self.split.name}-{self.model.replace(' ', '-')}.npz"


def epochs_for(count: int) -> int:
    """How often to go through so many training ratings."""
    steps = max(1, -(-count // BATCH))
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, -(-STEPS // steps)))


def build(name: str, films: int, users: int, mean: float) -> keras.Model:
    """The note's model: embeddings of film and user, concatenated, then a linear regression to the stars.

    As printed, nothing lies between: the prediction is a number per film plus a number per user. With the hidden layer
    what a user thinks of one film can differ from what he thinks of films as a whole.
    """
    film, user = keras.Input((), dtype="int32", name="film"), keras.Input((), dtype="int32", name="user")
    both = keras.layers.Concatenate()(
        [keras.layers.Embedding(films, FILM_EMBEDDING)(film), keras.layers.Embedding(users, USER_EMBEDDING)(user)]
    )
    if name == HIDDEN:
        both = keras.layers.Dense(HIDDEN_UNITS, activation="relu")(both)
    stars = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(mean))(both)
    model = keras.Model([film, user], stars)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def train(training: Training, folder: Path, say: Callable[[str], None]) -> tuple[checkpoint.State, np.ndarray]:
    """Train from the last checkpoint on, or from the beginning.

    Where a training is cut never changes what comes out: order of the ratings, rate and chunks depend on the epoch.

    Args:
        training: what.
        folder: of the checkpoints.
        say: gets a line for each epoch.

    Returns:
        The state after the last epoch, and predictions for the validation part: (m,) stars.

    Raises:
        TrainError: a checkpoint cannot be written, is damaged or of another training.
    """
    ratings, split = training.ratings, training.split
    keras.utils.set_random_seed(training.seed)
    mean = float(ratings.stars[split.train].mean(dtype=np.float64))
    model = build(training.model, ratings.film_count, ratings.user_count, mean)
    path = folder / training.file
    state = checkpoint.load(path, training.task) or checkpoint.State()
    if state.arrays:
        _restore(model, state.arrays)
        say(f"{split.name}, {training.model}: goes on from epoch {state.epoch + 1}, rating {state.done + 1:,}")
    predicted = _predict(model, ratings, split)
    compiled = False
    while state.epoch < training.epochs:
        _epoch(model, training, state, path, compiled=compiled)
        compiled = True
        predicted = _predict(model, ratings, split)
        train_rmse = (state.squares / len(split.train)) ** 0.5
        state.curve.append((train_rmse, rmse(predicted, ratings.stars[split.validation])))
        state.epoch, state.done, state.squares = state.epoch + 1, 0, 0.0
        _save(model, training, state, path)
        say(
            f"{split.name}, {training.model}: epoch {state.epoch} of {training.epochs}, RMSE {train_rmse:.4f}, "
            f"on held-back ratings {state.curve[-1][1]:.4f}"
        )
    return state, predicted


def _epoch(model: keras.Model, training: Training, state: checkpoint.State, path: Path, *, compiled: bool) -> None:
    """Learn from what is left of an epoch."""
    ratings = training.ratings
    left = training.epochs - state.epoch
    model.optimizer.learning_rate = RATE * (COOLING[-left] if left <= len(COOLING) else 1.0)
    order = np.random.default_rng([training.seed, state.epoch]).permutation(training.split.train)
    saved = time.monotonic()
    while state.done < len(order):
        now = order[state.done : state.done + CHUNK]
        inputs, stars = [ratings.films[now], ratings.users[now]], ratings.stars[now]
        started = time.monotonic()
        loss = model.fit(inputs, stars, batch_size=BATCH, epochs=1, shuffle=False, verbose=0).history["loss"][0]
        seconds = time.monotonic() - started
        state.squares += loss * len(now)
        state.done += len(now)
        state.seconds, state.learnt = state.seconds + seconds, state.learnt + len(now)
        if compiled:
            state.warm_seconds, state.warm_learnt = state.warm_seconds + seconds, state.warm_learnt + len(now)
        if state.done < len(order) and time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(model, training, state, path)
            saved = time.monotonic()


def _variables(model: keras.Model) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]


def _save(model: keras.Model, training: Training, state: checkpoint.State, path: Path) -> None:
    state.arrays = [np.asarray(variable) for variable in _variables(model)]
    checkpoint.save(path, state, training.task)


def _restore(model: keras.Model, arrays: list[np.ndarray]) -> None:
    for variable, array in zip(_variables(model), arrays, strict=True):
        variable.assign(array)


def _predict(model: keras.Model, ratings: Ratings, split: Split) -> np.ndarray:
    inputs = [ratings.films[split.validation], ratings.users[split.validation]]
    predicted: np.ndarray = model.predict(inputs, batch_size=BATCH, verbose=0)[:, 0]
    return predicted

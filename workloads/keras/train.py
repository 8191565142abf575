"""Learn ratings of films with the note's Keras model, on generated ratings or on your own, and judge it three ways.

Generated ratings come from a world whose best RMSE is known. Ratings of your own may be in the Netflix prize's format
or in MovieLens'. A tenth is held back to judge by: at random, the latest of each user, or the latest of all. What was
learnt is kept in checkpoints under --out, and the same command goes on from the last of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported

import baselines
import formats
import keras
import model
import numpy as np
import picture
import splits
import table
import world
from checkpoint import TrainError
from ratings import Ratings

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = (model.PRINTED, model.HIDDEN)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def digest(ratings: Ratings) -> str:
    """Tells these ratings, in this order, from others."""
    whole = hashlib.sha256(f"{ratings.film_count} {ratings.user_count}".encode())
    for array in (ratings.films, ratings.users, ratings.days, ratings.stars):
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:16]


def shuffled(ratings: Ratings, seed: int) -> Ratings:
    """The same with the stars dealt out anew, so that there is nothing to learn."""
    stars = np.random.default_rng(seed).permutation(ratings.stars)
    return Ratings(ratings.films, ratings.users, ratings.days, stars, ratings.film_count, ratings.user_count)


def trial(
    options: argparse.Namespace, ratings: Ratings, truth: world.World | None, cut: Callable[..., splits.Split]
) -> table.Trial:
    """Everything for one way of holding a tenth back."""
    split = cut(ratings, options.seed)
    predictions = {
        table.AVERAGE: baselines.mean(ratings, split),
        table.EFFECTS: baselines.effects(ratings, split),
    }
    states = {}
    for name in MODELS:
        training = model.Training(
            ratings=ratings,
            split=split,
            model=name,
            epochs=options.epochs or model.epochs_for(len(split.train)),
            seed=options.seed,
            digest=digest(ratings),
        )
        states[name], predictions[name] = model.train(training, options.out / "checkpoints", say)
    if truth is None:
        return table.judge(ratings, split, predictions, states)
    predictions[table.UNDATED] = world.undated(truth, ratings, split)
    judged = table.judge(ratings, split, predictions, states)
    known = split.validation[table.known_ones(ratings, split)]
    judged.rmse[table.FLOOR] = world.floor(truth, ratings, split.validation)
    judged.known[table.FLOOR] = world.floor(truth, ratings, known)
    return judged


def panels(trials: list[table.Trial]) -> list[picture.Panel]:
    """The picture's panels."""
    shown = (table.EFFECTS, table.UNDATED, table.FLOOR)
    return [
        picture.Panel(
            title=table.SPLITS[trial.split.name],
            curves={name: [validation for _, validation in state.curve] for name, state in trial.states.items()},
            levels={name: trial.rmse[name] for name in shown if name in trial.rmse},
        )
        for trial in trials
    ]


def remarks(ratings: Ratings, trials: list[table.Trial], origin: str, scale: float) -> list[str]:
    """What must be known to read the table."""
    epochs = len(trials[0].states[model.HIDDEN].curve)
    texts = [
        f"{origin}: {len(ratings):,} ratings by {ratings.user_count:,} users of {ratings.film_count:,} films",
        f"Keras {keras.__version__} on {keras.backend.backend()}, batch {model.BATCH:,}, {epochs} epochs",
        "speed is without the first epoch, in which Keras compiles",
        "as printed, the model is an effect of each film plus one of each user, and can say no more than these",
        "the note's 0.837 was on a random tenth; the prize's 0.8553 was on later ones, as each user's latest tenth",
    ]
    if table.FLOOR in trials[0].rmse:
        texts += [
            "noise floor: the least RMSE to be expected of one who knows all parameters and dates",
            "all known but dates: drift is taken at its mean over the training part, and what it does not have at 0",
        ]
    if scale < table.JUDGED_FROM:
        texts.append(f"below scale {table.JUDGED_FROM:g} there is too little to learn from, and nothing is judged")
    return texts


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[table.Trial]]:
    """Everything, in order; returns what goes into result.json."""
    started = time.monotonic()
    truth: world.World | None = None
    if options.data is not None:
        ratings, origin = formats.read(options.data)
    else:
        truth, ratings = world.create(options.scale, options.seed, drift=not options.no_drift)
        origin = "generated"
    if options.shuffle_stars:
        ratings = shuffled(ratings, options.seed)
    say(f"{origin}: {len(ratings):,} ratings, {time.monotonic() - started:.1f} s")
    trials = [trial(options, ratings, truth, cut) for cut in (splits.at_random, splits.latest_of_each, splits.by_date)]
    result = {
        "schema": 1,
        "title": "Film ratings learnt by the note's Keras model",
        "scale": options.scale,
        "seed": options.seed,
        "rows": table.rows(ratings, trials),
        "remarks": remarks(ratings, trials, origin, options.scale),
        "curves": {
            f"{trial.split.name}, {name}": state.curve for trial in trials for name, state in trial.states.items()
        },
    }
    return result, trials


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="train", description=(__doc__ or "").split("\n\n")[0], epilog="A folder --out that is kept resumes."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for results and checkpoints")
    parser.add_argument("--data", type=Path, metavar="PATH", help="ratings of your own: a file, or a folder of them")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help=f"of generated ratings: {world.NETFLIX_SCALE} is the prize's",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the training part [as many as it needs]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of everything random")
    parser.add_argument("--no-drift", action="store_true", help="control: nothing changes with time")
    parser.add_argument(
        "--shuffle-stars", action="store_true", help="control: deal the stars out anew, so that the run must fail"
    )
    options = parser.parse_args(argv)
    if not 0 < options.scale <= world.NETFLIX_SCALE:
        parser.error(f"--scale is {options.scale:g}, and must be above 0 and at most {world.NETFLIX_SCALE}")
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs is {options.epochs}, and must be at least 1")
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}, and must not be negative")
    return options


def write(path: Path, text: str) -> None:
    """Write a file beside its place and rename it.

    Raises:
        TrainError: it cannot be written.
    """
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise TrainError(
            f"{path} cannot be written: {error.strerror or error}.\n"
            "Make room there and run the same command again: what was trained is in the checkpoints"
        ) from error


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when every bar was passed, 1 when not or for a wrong file, 130 when interrupted."""
    options = parse(argv)
    try:
        result, trials = run(options)
        write(options.out / "curves.svg", picture.draw(result["title"], panels(trials)))
        write(options.out / "result.json", json.dumps(result, indent=1) + "\n")
    except TrainError as error:
        say(f"train: {error}")
        return 1
    except KeyboardInterrupt:
        say("train: interrupted; the same command goes on from the last checkpoint")
        return 130
    judged = options.data is None and options.scale >= table.JUDGED_FROM
    missed = table.shortfalls(trials) if judged else []
    for sentence in missed:
        say(f"train: {sentence}")
    hidden = [f"{table.SPLITS[trial.split.name]} {trial.rmse[model.HIDDEN]:.4f}" for trial in trials]
    print(f"RMSE with the hidden layer: {', '.join(hidden)}; {trials[0].states[model.HIDDEN].speed:,.0f} ratings/s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

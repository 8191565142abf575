"""Checkpoints: everything that a training needs to go on, in one file that is whole or not there."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


class TrainError(Exception):
    """What the user can mend: a wrong file, a full disk, options that do not fit. One sentence and a next step."""


@dataclass
class State:
    """How far a training has come.

    Attributes:
        arrays: weights, then the optimiser's variables, in Keras's order.
        epoch: the one that is under way, or the next; 0 is the first.
        done: ratings of that epoch that were learnt from.
        squares: sum of the squared errors on those, each before it was learnt from.
        curve: after each epoch: RMSE on the training part as it was learnt from, and on the validation part.
        seconds, learnt: of all training; what was learnt in them, in ratings.
        warm_seconds, warm_learnt: without the first epoch of each process, in which Keras compiles.
    """

    arrays: list[np.ndarray] = field(default_factory=list)
    epoch: int = 0
    done: int = 0
    squares: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    learnt: int = 0
    warm_seconds: float = 0.0
    warm_learnt: int = 0

    @property
    def speed(self) -> float:
        """Ratings per second once compiled; with compiling, where nothing was learnt after it."""
        if self.warm_learnt:
            return self.warm_learnt / self.warm_seconds
        return self.learnt / self.seconds if self.seconds else 0.0


_PLAIN = ("epoch", "done", "squares", "curve", "seconds", "learnt", "warm_seconds", "warm_learnt")


def save(path: Path, state: State, task: dict[str, Any]) -> None:
    """Write a checkpoint beside its place, and rename it when it is on the disk.

    Args:
        path: where.
        state: what.
        task: what was to be trained on what, as JSON values; `load` compares it.

    Raises:
        TrainError: it could not be written; the checkpoint before it is as it was.
    """
    new = path.with_suffix(".new")
    about = json.dumps({"task": task, **{name: getattr(state, name) for name in _PLAIN}})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            arrays = {f"array{i}": array for i, array in enumerate(state.arrays)}
            np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]  # the names are ours
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        kept = f"{path} is as it was" if path.exists() else "there was none before it"
        need = sum(array.nbytes for array in state.arrays) / 1e6
        raise TrainError(
            f"the checkpoint {path} cannot be written: {error.strerror or error}; {kept}.\n"
            f"Make room for {2 * need:,.0f} MB there and run the same command again: it goes on from the last one"
        ) from error


def load(path: Path, task: dict[str, Any]) -> State | None:
    """Read a checkpoint; None when there is none.

    Raises:
        TrainError: it is damaged, or of another task.
    """
    away = f"To start anew, delete {path}; to keep it, give another --out"
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = [file[f"array{i}"] for i in range(len(file.files) - 1)]
        state = State(arrays=arrays, **{name: about[name] for name in _PLAIN})
        state.curve = [(train, validation) for train, validation in state.curve]
        made_for = dict(about["task"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise TrainError(f"the checkpoint {path} cannot be read: {error}.\n{away}") from error
    other = [
        f"{name} was {made_for.get(name)!r} and is {task[name]!r}" for name in task if made_for.get(name) != task[name]
    ]
    if other:
        raise TrainError(f"the checkpoint {path} is of another training: {'; '.join(other)}.\n{away}")
    return state

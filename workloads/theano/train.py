"""Products, a scan's gradient and a logistic regression, compiled to C by Theano and judged.

Products in both precisions are compared with NumPy's, scan's gradient with its closed form. Then ten classes of points,
drawn on the spot, are told apart by a logistic regression whose gradient Theano derives. Some features are clear and
some are mostly noise, which has to be learnt: after one step, six points in ten are told right. The run passes only if
each function ran in C throughout (scan's loop apart), the BLAS that was asked for did the products, and the accuracy
on held-out points reaches ``BAR``.

Run it with the interpreter of the installed environment::

    PREFIX/env/bin/python train.py --blas openblas --out DIR
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linked import WorkloadError, linked_blas, require_blas, require_c, scratch

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "theano-logistic/1"
CLASSES, FEATURES = 10, 40
TRAIN_POINTS, TEST_POINTS = 6000, 3000
NOISE = (0.5, 8.0)  # standard deviations about a class's centre, of the clearest and the noisiest feature; centres: 1
EPOCHS = 200
RATE = 0.08
BAR = 0.90  # least accuracy on the held-out points
TOLERANCE = {"float32": 1e-4, "float64": 1e-12}  # relative, of a product's Frobenius norm


def compare_products(rng: np.random.Generator) -> dict[str, float]:
    """Relative error against NumPy, by precision: the worse of matrix by matrix and matrix by vector."""
    import numpy as np  # noqa: PLC0415  (after `scratch`)
    import theano.tensor as T  # noqa: N812, PLC0415  (the name that every Theano text uses)
    from theano import function  # noqa: PLC0415

    errors = {}
    for dtype, tolerance in TOLERANCE.items():
        left, right, vector = T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype)
        product = function([left, right, vector], [T.dot(left, right), T.dot(left, vector)])
        names = require_c(product)
        if not {"Dot22", "CGemv"} <= set(names):
            raise WorkloadError(f"the products went through {', '.join(names)}, not through BLAS")
        values = [rng.normal(size=shape).astype(dtype) for shape in ((300, 200), (200, 250), (200,))]
        wanted = [values[0] @ values[1], values[0] @ values[2]]
        got = product(*values)
        error = max(float(np.linalg.norm(got[i] - wanted[i]) / np.linalg.norm(wanted[i])) for i in range(2))
        if not error <= tolerance:
            raise WorkloadError(f"a product in {dtype} is off by {error:.1e}, more than {tolerance:.0e}")
        empty = product(values[0][:0], values[1], values[2])
        if [each.shape for each in empty] != [(0, 250), (0,)]:
            raise WorkloadError(f"a product of nothing in {dtype} is of shape {empty[0].shape}")
        errors[dtype] = error
    return errors


def check_scan() -> float:
    """Largest error of scan's gradient of v ** 5, which is 5 v ** 4."""
    import numpy as np  # noqa: PLC0415
    import theano  # noqa: PLC0415

    vector = theano.tensor.dvector("vector")
    powers, _ = theano.scan(
        lambda power, base: power * base,
        outputs_info=theano.tensor.ones_like(vector),
        non_sequences=vector,
        n_steps=5,
    )
    gradient = theano.function([vector], theano.grad(powers[-1].sum(), vector))
    values = np.linspace(-2.0, 2.0, 9)
    error = float(np.abs(gradient(values) - 5 * values**4).max())
    if not error <= 1e-9:  # noqa: PLR2004
        raise WorkloadError(f"scan's gradient is off by {error:.1e}")
    return error


def make_points(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, FEATURES) points about CLASSES centres, and (n,) labels; the first TRAIN_POINTS are for training."""
    import numpy as np  # noqa: PLC0415

    centres = rng.normal(size=(CLASSES, FEATURES))
    labels = rng.integers(0, CLASSES, size=TRAIN_POINTS + TEST_POINTS)
    noise = rng.normal(scale=np.geomspace(*NOISE, FEATURES), size=(len(labels), FEATURES))
    return centres[labels] + noise, labels


def regression() -> tuple[Any, Any]:
    """Return two Theano functions: one step of gradient descent, which gives the loss; and guesses."""
    import numpy as np  # noqa: PLC0415
    import theano  # noqa: PLC0415
    import theano.tensor as T  # noqa: N812, PLC0415

    points, labels = T.dmatrix("points"), T.lvector("labels")
    weights = theano.shared(np.zeros((FEATURES, CLASSES)), "weights")
    offsets = theano.shared(np.zeros(CLASSES), "offsets")
    likely = T.nnet.softmax(T.dot(points, weights) + offsets)
    loss = T.nnet.categorical_crossentropy(likely, labels).mean() + 0.001 * (weights**2).sum()
    slopes = T.grad(loss, [weights, offsets])
    step = theano.function(
        [points, labels], loss, updates=[(weights, weights - RATE * slopes[0]), (offsets, offsets - RATE * slopes[1])]
    )
    guess = theano.function([points], likely.argmax(axis=1))
    for function in (step, guess):
        require_c(function)
    return step, guess


def train(points: np.ndarray, labels: np.ndarray, *, shuffled: np.ndarray | None) -> list[tuple[float, float]]:
    """Train; returns (loss, accuracy on the held-out points) after each epoch.

    With `shuffled` labels, it is taught those instead of the true ones.
    """
    step, guess = regression()
    taught = labels[:TRAIN_POINTS] if shuffled is None else shuffled
    curve = []
    for _ in range(EPOCHS):
        loss = float(step(points[:TRAIN_POINTS], taught))
        right = guess(points[TRAIN_POINTS:]) == labels[TRAIN_POINTS:]
        curve.append((loss, float(right.mean())))
    return curve


def polyline(values: list[float], top: float, colour: str) -> str:
    """A curve over the epochs as SVG; 0 is at the bottom of the plot and `top` at its upper edge."""
    places = (f"{60 + 640 * i / (len(values) - 1):.1f},{360 - 320 * value / top:.1f}" for i, value in enumerate(values))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(places)}"/>'


def draw(curve: list[tuple[float, float]], file: Path) -> None:
    """Draw loss and accuracy over the epochs as SVG."""
    losses, accuracies = [loss for loss, _ in curve], [accuracy for _, accuracy in curve]
    top = max(losses)
    texts = (
        (380, 24, "middle", "#000", "Theano: logistic regression of ten classes, compiled to C"),
        (380, 396, "middle", "#000", f"epochs, 1 to {len(curve)}"),
        (696, 280, "end", "#1f77b4", f"training loss: {losses[0]:.2f} to {losses[-1]:.2f}"),
        (696, 180, "end", "#d95f02", f"accuracy on {TEST_POINTS} held-out points: {accuracies[-1]:.3f}"),
        (380, 360 - 320 * BAR + 18, "middle", "#2a7d2a", f"bar: {BAR:.2f}"),
    )
    bar = 360 - 320 * BAR
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="410" font-family="sans-serif" font-size="14">',
        '<rect width="760" height="410" fill="#fff"/><path d="M60 40V360H700" fill="none" stroke="#000"/>',
        f'<path d="M60 {bar:.1f}H700" stroke="#2a7d2a" stroke-dasharray="6 4"/>',
        polyline(losses, top, "#1f77b4"),
        polyline(accuracies, 1.0, "#d95f02"),
        *(f'<text x="{x}" y="{y:.0f}" text-anchor="{at}" fill="{c}">{text}</text>' for x, y, at, c, text in texts),
        "</svg>",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(options: argparse.Namespace, compiled: Path) -> dict[str, Any]:
    """Everything, in order; returns what goes into result.json."""
    import numpy as np  # noqa: PLC0415
    import scipy  # noqa: PLC0415
    import theano  # noqa: PLC0415

    started = time.monotonic()
    rng = np.random.default_rng(options.seed)
    products = compare_products(rng)
    blas = linked_blas(compiled)
    require_blas(blas, options.blas)
    scan = check_scan()
    points, labels = make_points(rng)
    shuffled = rng.permutation(labels[:TRAIN_POINTS]) if options.shuffle_labels else None
    curve = train(points, labels, shuffled=shuffled)
    draw(curve, options.out / "curve.svg")
    return {
        "schema": SCHEMA,
        "theano": theano.__version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "device": theano.config.device,
        "compiler": theano.config.cxx,
        "blas": asdict(blas),
        "product_errors": products,
        "scan_error": scan,
        "points": {"train": TRAIN_POINTS, "test": TEST_POINTS},
        "seed": options.seed,
        "labels_shuffled": options.shuffle_labels,
        "loss": [round(loss, 5) for loss, _ in curve],
        "accuracy": round(curve[-1][1], 5),
        "bar": BAR,
        "seconds": round(time.monotonic() - started, 2),
    }


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when every bar was passed, 1 when not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--blas", choices=("openblas", "reference"), required=True, help="what must be linked")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument(
        "--shuffle-labels", action="store_true", help="control: permute the training labels, so that the run must fail"
    )
    options = parser.parse_args(argv)
    try:
        result = run(options, scratch())
    except WorkloadError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    reached = f"accuracy {result['accuracy']} on held-out points, bar {BAR}"
    if result["accuracy"] < BAR:
        print(f"train: {reached}: below", file=sys.stderr)
        return 1
    print(f"{reached}; products by {result['blas']['loaded']}; {result['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

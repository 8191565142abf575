"""Train a LeNet-sized Caffe network on rendered digits and judge it.

Ten thousand 28x28 grey images of the digits 0-9 are drawn on the spot (several
typefaces, sizes, rotations, shifts, strokes of clutter, noise), written as PNG
files, packed into LMDB by Caffe's own ``convert_imageset``, and used to train a
network through ``caffe.SGDSolver``.  The run passes only if the accuracy on the
held-out images reaches ``BAR`` and clearly beats a linear model.

Run it with the interpreter of the installed tree::

    PREFIX/env/bin/python workload.py --out DIR
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess  # noqa: TID251  (this script stands alone, outside devsetup)
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# LeNet's products are small: one BLAS thread is as fast as two, and does not collapse on a busy machine.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import matplotlib as mpl

mpl.use("Agg")

import caffe
import numpy as np
from caffe import layers as L  # noqa: N812  (the names every Caffe text uses)
from caffe import params as P  # noqa: N812
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFont

SCHEMA = "caffe-digits/1"
SIDE = 28  # image height and width, pixels
CLASSES = 10
TRAIN_IMAGES = 8000
TEST_IMAGES = 2000
TRAIN_BATCH = 64
TEST_BATCH = 100
ITERATIONS = 500
LOSS_EVERY = 10  # iterations between two points of the loss curve
TEST_EVERY = 100  # iterations between two points of the accuracy curve
BAR = 0.90  # least accuracy on the held-out images
NO_GPU = 3  # exit status of gpu.sh
LINEAR_MARGIN = 0.10  # the network must beat the linear model by this much
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSansMono.ttf",
)


class WorkloadError(Exception):
    """The workload could not be run to its end."""


@dataclass
class Curves:
    """What the training recorded: [iteration, value] pairs."""

    loss: list[tuple[int, float]]
    accuracy: list[tuple[int, float]]


@dataclass
class Device:
    """Where the training runs: `gpu` is its name, or None; `words` say which, and without a GPU why."""

    gpu: str | None
    words: str


def choose_device(*, try_gpu: bool) -> Device:
    """Return the first GPU when one is wanted and there, else the processor (see gpu.sh beside this file)."""
    if not try_gpu:
        return Device(gpu=None, words="on the processor")
    script = Path(__file__).with_name("gpu.sh")
    done = subprocess.run(["/bin/sh", script, caffe_prefix()], stdout=subprocess.PIPE, text=True, check=False)
    said = done.stdout.strip()
    if done.returncode == 0:
        return Device(gpu=said, words=f"on {said}")
    if done.returncode == NO_GPU:
        return Device(gpu=None, words=f"on the processor: {said}")
    raise WorkloadError("the first call that needs a GPU failed, and not for want of one")


def load_fonts() -> list[list[ImageFont.FreeTypeFont]]:
    """Return matplotlib's own typefaces, each in sizes from 16 to 24 pixels."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return [[ImageFont.truetype(str(folder / name), size) for size in range(16, 25)] for name in FONTS]


def render_digit(digit: int, fonts: list[list[ImageFont.FreeTypeFont]], rng: np.random.Generator) -> np.ndarray:
    """Draw one digit, distorted; returns (28, 28) uint8, 0 is black."""
    sizes = fonts[rng.integers(len(fonts))]
    font = sizes[rng.integers(len(sizes))]
    canvas = Image.new("L", (SIDE, SIDE), 0)
    draw = ImageDraw.Draw(canvas)
    shift_x, shift_y = rng.uniform(-3.5, 3.5, size=2)  # pixels
    centre = (SIDE / 2 + shift_x, SIDE / 2 + shift_y)
    draw.text(centre, str(digit), fill=255, font=font, anchor="mm")
    angle = rng.uniform(-25.0, 25.0)  # degrees
    canvas = canvas.rotate(angle, resample=Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    for _ in range(2):  # clutter: two thin strokes across the picture
        ends = rng.integers(0, SIDE, size=4).tolist()
        draw.line(ends, fill=int(rng.integers(80, 200)), width=1)
    pixels = np.asarray(canvas, dtype=np.float32) * rng.uniform(0.5, 1.0)
    pixels += rng.normal(0.0, 25.0, size=pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def make_images(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (count, 28, 28) uint8 images and (count,) int labels 0-9."""
    fonts = load_fonts()
    labels = rng.integers(0, CLASSES, size=count)
    images = np.stack([render_digit(int(label), fonts, rng) for label in labels])
    return images, labels


def linear_accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Accuracy (0-1) of a ridge-regularised linear classifier on the pixels."""

    def features(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float64) / 255.0 - 0.5
        return np.hstack([flat, np.ones((len(flat), 1))])

    design, wanted = features(train[0]), np.eye(CLASSES)[train[1]]
    gram = design.T @ design + 10.0 * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ wanted)
    guesses = (features(test[0]) @ weights).argmax(axis=1)
    return float((guesses == test[1]).mean())


def caffe_prefix() -> Path:
    """Return the tree that caffe came from."""
    return Path(caffe.__file__).resolve().parents[2]


def converter() -> Path:
    """Return the path of that tree's ``convert_imageset``."""
    tool = caffe_prefix() / "bin" / "convert_imageset"
    if not tool.is_file():
        raise WorkloadError(f"no convert_imageset at {tool}")
    return tool


def write_lmdb(name: str, images: np.ndarray, labels: np.ndarray, work: Path) -> Path:
    """Write PNG files and pack them with convert_imageset; returns the LMDB folder."""
    folder = work / f"{name}-png"
    folder.mkdir()
    lines = []
    for index, label in enumerate(labels):
        file = f"{index:05d}.png"
        Image.fromarray(images[index]).save(folder / file, compress_level=1)
        lines.append(f"{file} {label}\n")
    listing = work / f"{name}.txt"
    listing.write_text("".join(lines))
    database = work / f"{name}-lmdb"
    command = [str(converter()), "--gray", "--backend=lmdb", f"{folder}/", str(listing)]
    done = subprocess.run([*command, str(database)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WorkloadError(f"convert_imageset failed ({done.returncode}): {done.stderr[-400:]}")
    return database


def lenet(database: Path, batch: int) -> str:
    """Return the network as prototxt: conv20-pool-conv50-pool-ip500-ip10."""
    net = caffe.NetSpec()
    net.data, net.label = L.Data(
        batch_size=batch,
        backend=P.Data.LMDB,
        source=str(database),
        transform_param={"scale": 1 / 255.0, "mean_value": 127.5},
        ntop=2,
    )
    xavier = {"type": "xavier"}
    net.conv1 = L.Convolution(net.data, kernel_size=5, num_output=20, weight_filler=xavier)
    net.pool1 = L.Pooling(net.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    net.conv2 = L.Convolution(net.pool1, kernel_size=5, num_output=50, weight_filler=xavier)
    net.pool2 = L.Pooling(net.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    net.ip1 = L.InnerProduct(net.pool2, num_output=500, weight_filler=xavier)
    net.relu1 = L.ReLU(net.ip1, in_place=True)
    net.ip2 = L.InnerProduct(net.relu1, num_output=CLASSES, weight_filler=xavier)
    net.loss = L.SoftmaxWithLoss(net.ip2, net.label)
    net.accuracy = L.Accuracy(net.ip2, net.label)
    return str(net.to_proto())


def make_solver(work: Path, databases: tuple[Path, Path], seed: int) -> caffe.SGDSolver:
    """Write the two networks and the solver, and load them."""
    files = (work / "train.prototxt", work / "test.prototxt")
    for index, batch in enumerate((TRAIN_BATCH, TEST_BATCH)):
        files[index].write_text(lenet(databases[index], batch))
    solver = work / "solver.prototxt"
    solver.write_text(
        f'train_net: "{files[0]}"\ntest_net: "{files[1]}"\n'
        f"test_iter: {TEST_IMAGES // TEST_BATCH}\ntest_interval: 1000000\n"
        "test_initialization: false\nbase_lr: 0.02\nmomentum: 0.9\nweight_decay: 0.0005\n"
        'lr_policy: "inv"\ngamma: 0.001\npower: 0.75\n'
        f"snapshot: 0\nsnapshot_after_train: false\nsolver_mode: CPU\nrandom_seed: {seed}\n"
    )
    return caffe.SGDSolver(str(solver))


def held_out_accuracy(solver: caffe.SGDSolver) -> float:
    """Accuracy (0-1) over the whole held-out set, read once through LMDB."""
    net = solver.test_nets[0]
    net.share_with(solver.net)
    batches = TEST_IMAGES // TEST_BATCH
    return sum(float(net.forward()["accuracy"]) for _ in range(batches)) / batches


def train(solver: caffe.SGDSolver, iterations: int) -> Curves:
    """Train; record the mean loss of every LOSS_EVERY iterations and the accuracy."""
    curves = Curves(loss=[], accuracy=[(0, round(held_out_accuracy(solver), 5))])
    recent: list[float] = []
    for iteration in range(1, iterations + 1):
        solver.step(1)
        recent.append(float(solver.net.blobs["loss"].data))
        if iteration % LOSS_EVERY == 0 or iteration == iterations:
            curves.loss.append((iteration, round(sum(recent) / len(recent), 5)))
            recent = []
        if iteration % TEST_EVERY == 0 or iteration == iterations:
            curves.accuracy.append((iteration, round(held_out_accuracy(solver), 5)))
    return curves


def draw_curves(curves: Curves, linear: float, file: Path) -> None:
    """Draw training loss and held-out accuracy over the iterations as SVG."""
    figure, left = plt.subplots(figsize=(8.0, 4.8), layout="constrained")
    left.plot(*np.transpose(curves.loss), color="tab:blue", label="training loss")
    left.set_xlabel("iteration")
    left.set_ylabel("training loss (mean cross-entropy)", color="tab:blue")
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    right = left.twinx()
    right.plot(*np.transpose(curves.accuracy), color="tab:orange", marker="o", label="held-out accuracy")
    right.axhline(BAR, color="tab:green", linestyle="--", label=f"bar, {BAR:.2f}")
    right.axhline(linear, color="tab:gray", linestyle=":", label=f"linear model, {linear:.2f}")
    right.set_ylabel(f"accuracy on {TEST_IMAGES} held-out images", color="tab:orange")
    right.set_ylim(0, 1.02)
    handles = left.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    right.legend(handles=handles, loc="center right")
    left.set_title("Caffe: LeNet-sized network on rendered digits")
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seed", type=int, default=1, help="seed, a positive number")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="training steps")
    parser.add_argument("--gpu", action="store_true", help="train on the first GPU when there is one")
    parser.add_argument(
        "--shuffle-labels",
        action="store_true",
        help="control: permute the training labels, so that the run must fail",
    )
    options = parser.parse_args(argv)
    if options.iterations < 1 or options.seed < 1:
        parser.error("--iterations and --seed must be positive")
    return options


def run(options: argparse.Namespace) -> dict[str, object]:
    """Make the images, train, judge; returns what goes into result.json."""
    started = time.monotonic()
    caffe.init_log(2)  # glog: errors only
    device = choose_device(try_gpu=options.gpu)
    if device.gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(0)
        caffe.set_mode_gpu()
    caffe.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    train_set = make_images(TRAIN_IMAGES, rng)
    test_set = make_images(TEST_IMAGES, rng)
    if options.shuffle_labels:
        train_set = (train_set[0], rng.permutation(train_set[1]))
    linear = linear_accuracy(train_set, test_set)
    with tempfile.TemporaryDirectory(prefix="caffe-workload-") as name:
        work = Path(name)
        databases = (write_lmdb("train", *train_set, work), write_lmdb("test", *test_set, work))
        prepared = time.monotonic()
        solver = make_solver(work, databases, options.seed)
        curves = train(solver, options.iterations)
        del solver
    draw_curves(curves, linear, options.out / "curve.svg")
    finished = time.monotonic()
    return {
        "schema": SCHEMA,
        "caffe": caffe.__version__,
        "gpu": device.gpu,
        "trained": device.words,
        "seed": options.seed,
        "images": {"train": TRAIN_IMAGES, "test": TEST_IMAGES},
        "iterations": options.iterations,
        "labels_shuffled": options.shuffle_labels,
        "accuracy": curves.accuracy[-1][1],
        "bar": BAR,
        "linear_accuracy": round(linear, 5),
        "linear_margin": LINEAR_MARGIN,
        "seconds": {
            "prepare": round(prepared - started, 2),
            "train": round(finished - prepared, 2),
            "total": round(finished - started, 2),
        },
        "loss": curves.loss,
        "accuracy_curve": curves.accuracy,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the workload; 0 only if the network passed."""
    options = parse_arguments(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        result = run(options)
    except (WorkloadError, OSError, RuntimeError) as error:
        print(f"workload: {error}", file=sys.stderr)
        return 2
    accuracy, linear = float(str(result["accuracy"])), float(str(result["linear_accuracy"]))
    passed = accuracy >= BAR and accuracy >= linear + LINEAR_MARGIN
    result["passed"] = passed
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    line = (
        f"accuracy {accuracy:.4f} on {TEST_IMAGES} held-out images after "
        f"{options.iterations} iterations (bar {BAR:.2f}, linear model {linear:.4f}), {result['trained']}"
    )
    print(("passed: " if passed else "failed: ") + line)
    if not passed:
        print(f"workload: below the bar: {line}", file=sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

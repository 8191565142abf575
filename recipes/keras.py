"""Keras 3 on JAX, on the processor, and the note's model of film ratings.

Keras needs a backend. Of the three, JAX is the smallest here by far, and it compiles the whole training step: see
docs/recipes/keras.md for what was measured. Everything comes in wheels, so that nothing is compiled; what does not work
out of the box is a set of versions that fit together on each Python, and a Keras that writes into the user's home.

docs/recipes/keras.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env
from devsetup.recipe import Check, Context, LinkClosure, Recipe, When, Workload
from devsetup.steps import PREFIX, Env, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = (
    *("train.py", "world.py", "ratings.py", "formats.py", "splits.py", "baselines.py"),
    *("model.py", "checkpoint.py", "table.py", "picture.py"),
)

# The whole environment, the newest releases that each Python takes: (its version, packages).
PINS = (
    (">=3.12", ("jax==0.12.0.1", "jaxlib==0.12.0.1", "keras==3.15.1", "numpy==2.5.5", "scipy==1.18.1")),
    (">=3.11", ("jax==0.10.2", "jaxlib==0.10.2", "keras==3.15.1", "numpy==2.4.6", "scipy==1.17.1")),
    (">=3.10", ("jax==0.6.2", "jaxlib==0.6.2", "keras==3.12.4", "numpy==2.2.6", "scipy==1.15.3")),
)
BESIDE = (
    *("Pygments==2.21.0", "absl-py==2.5.1", "h5py==3.16.0", "markdown-it-py==4.3.0", "mdurl==0.1.2"),
    *("ml_dtypes==0.6.0", "namex==0.1.0", "opt_einsum==3.4.0", "optree==0.20.0", "packaging==26.3"),
    *("rich==15.0.0", "typing_extensions==4.16.0"),
)
# Without KERAS_HOME, Keras writes ~/.keras when it is imported.
PROOF_ENV = ("env", "KERAS_BACKEND=jax", "KERAS_HOME=keras")


def steps(ctx: Context) -> Iterator[Step]:
    """The environment, the program that trains, its name on PATH, and the backend for whoever uses the install."""
    yield python_env(ctx.facts, tuple(sorted((*ctx.pins(PINS), *BESIDE))))
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/keras/{name}"))
    yield WriteFile(
        path=f"{PREFIX}/bin/train-ratings",
        content=f'#!/bin/sh\nexec "{PYTHON}" "{SHARE}/train.py" "$@"\n',
        executable=True,
    )
    yield Env(name="PATH", value=f"{PREFIX}/bin:{PREFIX}/env/bin")
    yield Env(name="KERAS_BACKEND", value="jax", mode="set")


def supports(facts: Facts, _options: Mapping[str, str]) -> str | None:
    """Linux with glibc, on the processors that JAX has wheels for, and a Python that the newest Keras still takes."""
    if facts.os.id == "macos":
        return "there is no plan for Keras on macOS yet"
    if facts.arch not in {"x86_64", "aarch64"}:
        return f"JAX has wheels for x86_64 and aarch64, and this is {facts.arch}"
    if facts.libc is not None and facts.libc.family != "glibc":
        return f"JAX has wheels for glibc, and the C library here is {facts.libc.family}"
    if not When(libraries={"python": ">=3.10"}).verdict(facts).holds:
        python = facts.library("python") or "unknown"
        return f"Keras 3 on JAX needs Python 3.10, and this is {python}; use a newer release of {facts.os.id}"
    return None


RECIPE = Recipe(
    name="keras",
    version="3",
    summary="Keras 3 on JAX, and a model of film ratings like those of the Netflix prize",
    homepage="https://keras.io",
    licence="Apache-2.0",
    keywords=("deep learning", "neural network", "jax", "embedding", "recommender", "netflix", "movielens"),
    libraries=("python",),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Check(
            title="import keras in a fresh process, on JAX",
            argv=(
                *(*PROOF_ENV, PYTHON, "-I", "-c"),
                "import keras; print(keras.__version__, keras.backend.backend())",
            ),
            expect=r"^3\.[0-9]+\.[0-9]+ jax$",
        ),
        Workload(
            title="film ratings learnt by the note's model, as well as is known to be possible",
            argv=(*PROOF_ENV, PYTHON, f"{SHARE}/train.py", "--out", "@ARTIFACTS@", "--scale", "@SCALE@"),
            artifacts=("result.json", "curves.svg"),
        ),
    ),
    supports=supports,
    steps=steps,
    disk_mb=900,
    seen=(
        ("Debian 12, x86-64", "run", "installed and verified; Python 3.11, Keras 3.15.1, JAX 0.10.2"),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04", "simulated", "its versions ran on Debian 12 with a Python 3.10 of another origin"),
        ("Ubuntu 24.04, Fedora 40 and 42", "simulated", "planned from declared facts"),
        ("aarch64", "untried", "JAX has wheels for it"),
        ("GPUs", "untried", "the plan installs JAX for processors alone"),
    ),
)

"""R from the distribution's packages, beside pandas and scikit-learn in a Python environment of their own.

The note is about one line of R, `model.matrix(~ 0 + user_state, data)`, which turns a factor of 51 levels into 51
indicator columns. What goes wrong is not building R: it is that the same three words mean other things in each of the
three programs once a value is missing or was never seen before. So the proof encodes the same file with all of them.

docs/recipes/r.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env
from devsetup.recipe import Check, Context, Import, LinkClosure, Recipe, When, Workload
from devsetup.steps import PREFIX, Env, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

RSCRIPT = "/usr/bin/Rscript"
PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("onehot.py", "onehot.R", "cases.py", "compare.py", "fromr.py", "picture.py", "table.py")

# The whole environment: (Python's version, the newest releases that the oldest such Python takes).
PANDAS_2 = ("pandas==2.3.3", "python-dateutil==3.0.0", "pytz==2026.6", "six==1.17.0", "tzdata==2026.6")
PINS = (
    (
        ">=3.11",
        (
            *("cloudpickle==3.1.3", "joblib==1.6.0", "narwhals==2.29.0", "numpy==2.4.6", "pandas==3.1.1"),
            *("python-dateutil==4.0.0", "scikit-learn==1.9.1", "scipy==1.17.1", "threadpoolctl==3.8.0"),
            "tzdata==2026.6",
        ),
    ),
    (
        ">=3.10",
        (
            *(*PANDAS_2, "cloudpickle==3.1.3", "joblib==1.6.0", "numpy==2.2.6", "scikit-learn==1.7.2"),
            *("scipy==1.15.3", "threadpoolctl==3.8.0"),
        ),
    ),
    (
        ">=3.9",
        (
            *(*PANDAS_2, "cloudpickle==3.1.2", "joblib==1.5.3", "numpy==2.0.2", "scikit-learn==1.6.1"),
            *("scipy==1.13.1", "threadpoolctl==3.7.0"),
        ),
    ),
)


def steps(ctx: Context) -> Iterator[Step]:
    """The environment, the program that compares, and its name on PATH; R itself is a system package."""
    yield python_env(ctx.facts, tuple(sorted(ctx.pins(PINS))))
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/r/{name}"))
    yield WriteFile(
        path=f"{PREFIX}/bin/onehot", content=f'#!/bin/sh\nexec "{PYTHON}" "{SHARE}/onehot.py" "$@"\n', executable=True
    )
    yield Env(name="PATH", value=f"{PREFIX}/bin:{PREFIX}/env/bin")


def supports(facts: Facts, _options: Mapping[str, str]) -> str | None:
    """Linux with R 4, whose data frames keep texts as texts, and a Python that scikit-learn has wheels for."""
    if facts.os.id == "macos":
        return "there is no plan for R on macOS yet; https://www.r-project.org leads to R's own installer"
    for when, why in (
        (When(libraries={"r-base": ">=4"}), "the comparison is for R 4"),
        (
            When(libraries={"python": ">=3.9"}),
            "the comparison needs a pandas and a scikit-learn for Python 3.9 or newer",
        ),
    ):
        verdict = when.verdict(facts)
        if not verdict.holds:
            return f"{verdict.because}, and {why}; use a newer release of {facts.os.id}"
    return None


RECIPE = Recipe(
    name="r",
    version="4",
    summary="R, with pandas and scikit-learn beside it to compare indicator columns",
    homepage="https://www.r-project.org",
    licence="GPL-2.0-or-later",
    keywords=("statistics", "one-hot", "model.matrix", "factor", "dummy variables", "pandas", "scikit-learn"),
    libraries=("r-base", "python"),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Check(
            title="R computes",
            argv=(RSCRIPT, "--vanilla", "-e", "cat(R.version.string, sum(stats::model.matrix(~ 0 + gl(51, 1))))"),
            expect=r"^R version 4\..* 51$",
        ),
        Import(python=PYTHON, module="pandas", show="pandas.__version__"),
        Import(python=PYTHON, module="sklearn", show="sklearn.__version__"),
        Workload(
            title="a factor of 51 levels as indicator columns, equal cell by cell in R, pandas and scikit-learn",
            argv=(PYTHON, f"{SHARE}/onehot.py", "--out", "@ARTIFACTS@", "--scale", "@SCALE@", "--rscript", RSCRIPT),
            artifacts=("result.json", "onehot.svg"),
        ),
    ),
    supports=supports,
    steps=steps,
    disk_mb=600,
    seen=(
        ("Debian 12, x86-64", "run", "R 4.2.2, pandas 3.1.1, scikit-learn 1.9.1: installed and compared by the tests"),
        ("Debian 13, x86-64", "run", "R 4.5.0, the same packages: installed and compared once, in a fresh root"),
        ("Debian 11, Ubuntu 22.04 and 24.04, Fedora 40 and 42", "simulated", "planned from declared facts"),
    ),
)

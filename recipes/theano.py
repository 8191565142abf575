"""Theano 1.0.5, from its sdist, on the Python and NumPy of today: its last release knows neither.

The sdist is of July 2020. Since then Python lost distutils, imp and parts of configparser; NumPy lost numpy.distutils,
through which Theano found its BLAS, and changed the C API that Theano's generated code speaks. Each of these is a
patch. Theano compiles C++ when it runs, so compiler and BLAS belong to the install and not only to its making.

docs/recipes/theano.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env, site_packages
from devsetup.recipe import Check, Context, LinkClosure, Option, Patch, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, Env, PyPISource, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

TREE = f"{BUILD}/theano"
PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"

# The whole environment, the newest releases that each Python takes: (its version, NumPy and SciPy).
PINS = (
    (">=3.12", ("numpy==2.5.5", "scipy==1.18.1")),
    (">=3.11", ("numpy==2.4.6", "scipy==1.17.1")),
    (">=3.10", ("numpy==2.2.6", "scipy==1.15.3")),
    (">=3.9", ("numpy==2.0.2", "scipy==1.13.1")),
)
BESIDE = ("packaging==26.3", "setuptools==82.0.1", "six==1.17.0", "wheel==0.48.0")

CUDA = When(options={"device": "cuda"})
PYTHON_3_12 = When(libraries={"python": ">=3.12"})
NUMPY_2 = "https://numpy.org/doc/stable/numpy_2_0_migration_guide.html"


def steps(ctx: Context) -> Iterator[Step]:
    """Environment first, since its pip fetches the sdist; then source, patches, install."""
    pygpu = (f"@PREFIX:libgpuarray@/env/{site_packages(ctx.facts)}",) if ctx.options["device"] == "cuda" else ()
    yield python_env(ctx.facts, tuple(sorted((*ctx.pins(PINS), *BESIDE))), paths=pygpu)
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check")
    yield Run(
        argv=(*pip, "--no-index", "--no-deps", "--no-build-isolation", TREE), title="install Theano in its environment"
    )
    for name in ("linked.py", "train.py"):
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/theano/{name}"))
    yield Env(name="PATH", value=f"{PREFIX}/env/bin")


def supports(facts: Facts, options: Mapping[str, str]) -> str | None:
    """Linux with a Python that has NumPy 2; the reference BLAS where it can be told from others."""
    if facts.os.id == "macos":
        return "there is no plan for Theano on macOS yet"
    if not When(libraries={"python": ">=3.9"}).verdict(facts).holds:
        return (
            f"the patches are for NumPy 2, which needs Python 3.9, and this is {facts.library('python') or 'unknown'}"
        )
    if options["blas"] == "reference" and facts.package_manager != "apt":
        return "only Debian and its kin keep the reference BLAS in a directory of its own; take --option blas=openblas"
    if options["device"] == "cuda" and not facts.library("pygpu"):
        return (
            "the distribution's pygpu is built for its own NumPy, not for this environment's; add --option from=source"
        )
    return None


def proofs(blas: str) -> tuple[LinkClosure | Check | Workload, ...]:
    """All of them compile into directories of their own: the user's ~/.theano stays as it is."""
    flags = "THEANO_FLAGS=base_compiledir=compiled"
    return (
        LinkClosure(paths=(f"{PREFIX}/env",)),
        Check(
            title="import theano in a fresh process",
            argv=("env", flags, PYTHON, "-I", "-X", "faulthandler", "-c", "import theano; print(theano.__version__)"),
            expect=r"^1\.0\.5$",
        ),
        Check(
            title=f"a function compiles to C and links {blas}",
            argv=(PYTHON, f"{SHARE}/linked.py", blas),
            expect="run by the C linker",
        ),
        Workload(
            title="products against NumPy, scan's gradient, and a logistic regression in C, to a stated accuracy",
            argv=(PYTHON, f"{SHARE}/train.py", "--blas", blas, "--out", "@ARTIFACTS@"),
            artifacts=("result.json", "curve.svg"),
        ),
    )


PATCHES = (
    Patch(
        name="0001-versioneer-configparser.patch",
        when=PYTHON_3_12,
        why="Python 3.12 removed SafeConfigParser, which the sdist's own setup.py calls",
        upstream="https://docs.python.org/3/whatsnew/3.12.html#removed",
    ),
    Patch(
        name="0002-distutils.patch",
        why="Python 3.12 removed distutils, and NumPy its numpy.distutils with it; Debian 12 packages it apart",
        upstream="https://peps.python.org/pep-0632/",
    ),
    Patch(
        name="0003-imp.patch",
        when=PYTHON_3_12,
        why="Python 3.12 removed imp",
        upstream="https://docs.python.org/3/whatsnew/3.12.html#imp",
    ),
    Patch(
        name="0004-escape-sequences.patch",
        when=PYTHON_3_12,
        why="Python 3.12 warns of backslashes that escape nothing, and Theano's docstrings are full of formulas",
        upstream="https://docs.python.org/3/whatsnew/3.12.html#other-language-changes",
    ),
    Patch(
        name="0005-pkg-resources.patch",
        why="setuptools 82 removed pkg_resources, and scan imports it even without a GPU",
        upstream="https://setuptools.pypa.io/en/latest/history.html",
    ),
    Patch(
        name="0006-scan-loop-in-python.patch",
        why="scan's loop is C from Cython 0.28.5 that Python 3.11 and later do not compile; one in Python stands in",
        upstream="https://github.com/aesara-devs/aesara/issues/1446",
    ),
    Patch(
        name="0007-npy-3kcompat.patch",
        why="NumPy 2.1 cleared npy_3kcompat.h, without which the C linker was compiled for Python 2",
        upstream="https://github.com/numpy/numpy/pull/26842",
    ),
    Patch(
        name="0008-numpy-2-descr.patch",
        why="NumPy 2 hides PyArray_Descr's members from code that does not say that it is for NumPy 2",
        upstream=NUMPY_2,
    ),
    Patch(
        name="0009-numpy-2-ravel-axis.patch",
        why="NumPy 2 no longer takes NPY_MAXDIMS for the axis that means all of them",
        upstream=NUMPY_2,
    ),
    Patch(
        name="0010-numpy-2-complex.patch",
        why="NumPy 2's complex types have no members real and imag",
        upstream=NUMPY_2,
    ),
    Patch(
        name="0011-numpy-2-map-iterator.patch",
        why="NumPy 2 removed PyArray_MapIter, which Theano alone used",
        upstream="https://github.com/numpy/numpy/pull/25138",
    ),
    Patch(
        name="0012-numpy-2-names.patch",
        why="NumPy 2 removed or moved product, complex, cast, sctype2char, ComplexWarning, core and linalg.linalg",
        upstream=NUMPY_2,
    ),
    Patch(
        name="0013-scipy-signal.patch",
        why="SciPy 1.8 made private what Theano's convolutions in Python import",
        upstream="https://docs.scipy.org/doc/scipy/release/1.8.0-notes.html",
    ),
    Patch(
        name="0014-blas-openblas.patch",
        when=When(options={"blas": "openblas"}),
        why="Theano asked numpy.distutils for a BLAS; the one that this recipe installs is now the first it tries",
        upstream="https://github.com/Theano/Theano/issues/6788",
    ),
    Patch(
        name="0015-blas-reference.patch",
        when=When(options={"blas": "reference"}),
        why="as 0014; and the plain name libblas.so.3 is whatever Debian's alternatives say, often OpenBLAS",
        upstream="https://github.com/Theano/Theano/issues/6788",
    ),
    Patch(
        name="0016-numpy-empty-strides.patch",
        why="NumPy 1.23 gives empty arrays strides of 0, with which every product failed",
        upstream="https://github.com/numpy/numpy/pull/21477",
    ),
    Patch(
        name="0017-numpy-2-unique.patch",
        why="NumPy 2 shapes unique's inverse like its input, and Theano promises a vector",
        upstream="https://github.com/numpy/numpy/pull/25553",
    ),
    Patch(
        name="0018-device.patch",
        when=CUDA,
        why="the device that was chosen becomes the default, so that no .theanorc is needed",
        upstream="https://theano-pymc.readthedocs.io/en/latest/library/config.html",
    ),
)

RECIPE = Recipe(
    name="theano",
    version="1.0.5",
    summary="Theano, which compiles mathematical expressions to C",
    homepage="https://github.com/Theano/Theano",
    licence="BSD-3-Clause",
    keywords=("deep learning", "symbolic", "autodiff", "neural network", "numpy"),
    sources=(
        PyPISource(
            id="1.0.5",
            package="Theano",
            version="1.0.5",
            file="Theano-1.0.5.tar.gz",
            sha256="6e9439dd53ba995fcae27bf20626074bfc2fff446899dc5c53cb28c1f9202e89",
            python=PYTHON,
        ),
    ),
    options=(
        Option(
            name="blas",
            help="linear algebra library that compiled functions link",
            choices=("openblas", "reference"),
            default="openblas",
        ),
        Option(name="device", help="what compiled functions run on", choices=("cpu", "cuda"), default="cpu"),
    ),
    option_needs=((CUDA, ("libgpuarray",)),),
    libraries=("gcc", "patch", "python"),
    option_libraries=(
        (When(options={"blas": "openblas"}), ("openblas",)),
        (When(options={"blas": "reference"}), ("blas-reference",)),
    ),
    patches=PATCHES,
    proofs=proofs("openblas"),
    option_proofs=((When(options={"blas": "reference"}), proofs("reference")),),
    supports=supports,
    steps=steps,
    disk_mb=700,
    seen=(
        ("Debian 12, x86-64", "run", "installed, trained and verified by the tests; with the reference BLAS by hand"),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Debian 11, Fedora", "simulated", "planned from declared facts"),
        ("GPUs", "untried", "device=cuda is planned on libgpuarray from source"),
    ),
)

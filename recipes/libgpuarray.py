"""libgpuarray and pygpu: arrays on CUDA and OpenCL devices, the base of Theano's GPU code.

Three things go wrong by hand, for one reason: nothing knows where things are. The build does not find the library, the
import does not, and the library does not find CUDA's. Here every place comes from facts: as flags for the build, as run
paths in what was built, and, around the distribution's packages, which were built without, as LD_LIBRARY_PATH.

docs/recipes/libgpuarray.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env, with_library
from devsetup.linking import build_ext, cmake_install, toolkit_libraries, under
from devsetup.recipe import Context, Import, LinkClosure, Option, Patch, Recipe, When, Workload
from devsetup.steps import BUILD, JOBS, PREFIX, DebianSource, Env, Run, Step, UrlSource, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

VERSION = "0.7.6"
TREE = f"{BUILD}/libgpuarray"
ENV = f"{PREFIX}/env"
SHARE = f"{PREFIX}/share/devsetup"
SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES, SOURCE = {"from": "packages"}, {"from": "source"}
# What pygpu is built and runs with, newest Python first. Cython 3 is the first that knows Python 3.13, 3.0 the last
# that knows 3.8; NumPy's releases are the last for each Python that have wheels.
PINS = (
    (">=3.10", ("Cython==3.0.12", "Mako==1.3.10", "MarkupSafe==3.0.2", "numpy==2.2.6", "setuptools==75.8.0")),
    (">=3.9", ("Cython==3.0.12", "Mako==1.3.10", "MarkupSafe==3.0.2", "numpy==2.0.2", "setuptools==75.8.0")),
    (">=3.8", ("Cython==3.0.12", "Mako==1.3.10", "MarkupSafe==2.1.5", "numpy==1.24.4", "setuptools==75.3.2")),
)
SIX = "six==1.17.0"
MODULES = ("gpuarray", "blas", "_elemwise", "collectives")
MACOS = (
    (When(os="macos", arch="arm64"), "Apple's processors have no CUDA, and upstream builds for Intel alone"),
    (When(os="macos >=10.14"), "NVIDIA has no driver for macOS 10.14 or newer"),
    (When(os="macos"), "there is no plan for macOS yet"),
)

PATCHES = (
    Patch(
        name="0001-slice-object-type.patch",
        when=When(options=SOURCE, os="linux"),
        why="GCC 14 refuses the pointer type that PySlice_GetIndicesEx is given",
        upstream="https://gcc.gnu.org/gcc-14/porting_to.html",
    ),
    Patch(
        name="0002-driver-soname.patch",
        when=When(options=SOURCE, os="linux"),
        why="libcuda.so.1 is what a driver installs; libcuda.so is a link for compiling, and may not be there",
        upstream="https://github.com/pytorch/tensorpipe/pull/296",
    ),
    Patch(
        name="0003-versioneer-configparser.patch",
        when=When(options=SOURCE, os="linux", libraries={"python": ">=3.12"}),
        why="Python 3.12 removed configparser's SafeConfigParser and readfp",
        upstream="https://github.com/python-versioneer/python-versioneer/issues/200",
    ),
    Patch(
        name="0004-cmake-4-policy.patch",
        when=When(options=SOURCE, os="linux", libraries={"cmake": ">=4"}),
        why="CMake 4 stops at the old behaviour of policy CMP0063",
        upstream="https://cmake.org/cmake/help/v4.0/policy/CMP0063.html",
    ),
)


def steps(ctx: Context) -> Iterator[Step]:
    """The library and its Python package, from source or as installed by the package manager; then the example."""
    yield from _source(ctx) if ctx.options["from"] == "source" else _packages(ctx.facts)
    yield WriteFile(path=f"{SHARE}/example.py", content=ctx.text("workloads/libgpuarray/example.py"))
    version = _cuda_version(ctx.facts)
    if version:
        yield Env(name="GPUARRAY_CUDA_VERSION", value=version, mode="set")


def _source(ctx: Context) -> Iterator[Step]:
    facts, place = ctx.facts, under(PREFIX)
    python = f"{ENV}/bin/python"
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    yield python_env(facts, (*ctx.pins(PINS), SIX), path=ENV)
    yield _library(cmake_install(PREFIX, toolkit_libraries(facts)))
    # Division of integers is Python 2's in these files, and Cython 3 reads them as Python 3's unless told.
    yield Run(
        argv=(python, "-m", "cython", "-2", *(f"pygpu/{name}.pyx" for name in MODULES)),
        cwd=TREE,
        title="translate pygpu to C",
    )
    wheel = ("bdist_wheel", "--dist-dir", f"{BUILD}/wheels")
    install = ("-m", "pip", "install", "--disable-pip-version-check", "--no-index", "--no-deps")
    yield Run(
        argv=(python, "setup.py", *build_ext(place), *wheel),
        then=((python, *install, "--find-links", f"{BUILD}/wheels", "pygpu"),),
        cwd=TREE,
        env=(("CONDA_BUILD", "1"),),  # upstream's own switch against looking into the build tree first
        title="compile and install pygpu",
    )
    yield Env(name="PATH", value=f"{ENV}/bin")
    yield Env(name="CPATH", value=place.include)  # Theano compiles against the headers
    yield Env(name="LIBRARY_PATH", value=place.lib)


def _library(install: tuple[str, ...]) -> Run:
    """CMake's build; tests off.

    The generated files are touched, so that they are not generated again, by whatever `python` is.
    """
    options = ("-DCMAKE_POLICY_VERSION_MINIMUM=3.5", "-DCMAKE_DISABLE_FIND_PACKAGE_Check=TRUE")
    return Run(
        argv=("touch", "src/gpuarray_types.c", "src/gpuarray/types.h"),
        then=(
            ("cmake", "-S", ".", "-B", "build", *install, *options),
            ("cmake", "--build", "build", "--parallel", JOBS, "--target", "install"),
        ),
        cwd=TREE,
        title="compile and install libgpuarray",
    )


def _packages(facts: Facts) -> Iterator[Step]:
    """The distribution's Python under a name of ours; what it loads is found through LD_LIBRARY_PATH where it must be.

    Never with an empty entry, which would mean the current directory.
    """
    libraries = ":".join(toolkit_libraries(facts))
    export = f"export LD_LIBRARY_PATH='{libraries}'\"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n" if libraries else ""
    script = f'#!/bin/sh\n{export}exec {SYSTEM_PYTHON} "$@"\n'
    yield WriteFile(path=f"{PREFIX}/bin/python", content=script, executable=True)
    yield Env(name="PATH", value=f"{PREFIX}/bin")
    if libraries:
        yield Env(name="LD_LIBRARY_PATH", value=libraries)


def _cuda_version(facts: Facts) -> str:
    """`80` where the driver speaks another CUDA than the toolkit 8.0; empty where it need not or cannot be said.

    The variable holds two digits, so that it ends with CUDA 9.2. libgpuarray 0.7 reads it on Windows and macOS alone;
    0.6, which Ubuntu 18.04 packages, everywhere.
    """
    digits = facts.toolkit.split(".")[:2]
    speaks = facts.driver.cuda if facts.driver else ""
    differ = bool(speaks) and speaks.split(".")[:2] != digits
    return "".join(digits) if differ and [len(each) for each in digits] == [1, 1] else ""


def supports(facts: Facts, options: Mapping[str, str]) -> str | None:
    """None, or the first thing that cannot work on this machine with these options."""
    here = f"{facts.os.id} {facts.os.version}".rstrip()
    for when, why in MACOS:
        if when.verdict(facts).holds:
            return f"{here}: {why}; use Linux"
    if options["from"] == "packages":
        if facts.library("libgpuarray"):
            return None
        return f"{here} is not known to have libgpuarray and pygpu as packages; use --option from=source"
    for when, why in (
        (When(libraries={"python": ">=3.8, <3.14"}), "the Cython that reads pygpu's files is for Python 3.8 to 3.13"),
        (When(libraries={"cmake": ">=3.13"}), "building is planned for CMake 3.13 and newer"),
    ):
        verdict = when.verdict(facts)
        if not verdict.holds:
            other = "use --option from=packages" if facts.library("libgpuarray") else "use a newer release"
            return f"{here}: {verdict.because}, and {why}; {other}"
    return None


def provides(facts: Facts, options: Mapping[str, str]) -> Facts:
    """The pygpu that environments of ours can use: built from source, with the NumPy of today."""
    if options["from"] == "packages":
        return facts
    return with_library(facts, "pygpu", VERSION)


def _proofs(route: str, opencl: str) -> tuple[LinkClosure | Import | Workload, ...]:
    source = route == "source"
    python = f"{ENV}/bin/python" if source else f"{PREFIX}/bin/python"
    return (
        LinkClosure(paths=(f"{PREFIX}/lib", ENV) if source else ("/usr/lib/python3/dist-packages/pygpu",)),
        Import(python=python, module="pygpu", show="pygpu.__version__"),
        Workload(
            title="elementwise kernel, on a GPU or else on the processor",
            argv=(python, f"{SHARE}/example.py", "--out", "@ARTIFACTS@", "--opencl", opencl),
            artifacts=("result.json",),
        ),
    )


RECIPE = Recipe(
    name="libgpuarray",
    version=VERSION,
    summary="Arrays on CUDA and OpenCL devices, with pygpu; what Theano's device=cuda stands on",
    homepage="https://github.com/Theano/libgpuarray",
    licence="ISC",
    keywords=("pygpu", "gpu", "cuda", "opencl", "theano", "gpuarray"),
    sources=(
        UrlSource(
            id="0.7.6",
            url="https://github.com/Theano/libgpuarray/archive/v0.7.6.tar.gz",
            sha256="ad1c00dd47c3d36ee1708e5167377edbfcdb7226e837ef9c68b841afbb4a4f6a",
        ),
        DebianSource(
            id="0.7.6",
            package="libgpuarray",
            version="0.7.6",
            suite="bookworm",
            file="libgpuarray_0.7.6.orig.tar.gz",
            sha256="ad1c00dd47c3d36ee1708e5167377edbfcdb7226e837ef9c68b841afbb4a4f6a",
            strip=1,
        ),
    ),
    options=(
        Option(
            name="from",
            help="the distribution's packages, or upstream's source",
            choices=("packages", "source"),
            default="source",
            defaults=((When(libraries={"libgpuarray": ">=0"}), "packages"),),
        ),
        Option(
            name="opencl",
            help="OpenCL on the processor, so that kernels run, and the proof computes, without a GPU",
            choices=("cpu", "off"),
            default="cpu",
        ),
        Option(
            name="toolkit",
            help="whose CUDA libraries to load: of the toolkit found, if any, or of one made by the cuda recipe",
            choices=("found", "own"),
            default="found",
        ),
    ),
    option_needs=((When(options={"toolkit": "own"}), ("cuda",)),),
    option_libraries=(
        (When(options=PACKAGES), ("libgpuarray",)),
        (When(options=SOURCE), ("cmake", "gcc", "make", "patch", "python")),
        (When(options={"opencl": "cpu"}), ("pocl", "gcc")),  # PoCL links kernels with the compiler's linker
    ),
    patches=PATCHES,
    proofs=_proofs("source", "cpu"),
    option_proofs=tuple(
        (When(options={"from": route, "opencl": opencl}), _proofs(route, opencl))
        for route in ("packages", "source")
        for opencl in ("cpu", "off")
    ),
    supports=supports,
    provides=provides,
    steps=steps,
    memory_per_job_mb=250,  # gpuarray.c as Cython writes it
    disk_mb=250,
    seen=(
        ("Debian 12, packages", "run", "imported; kernels computed by OpenCL on the processor; not run on a GPU"),
        ("Debian 12 and 13, source", "run", "every step, on trees put together from Debian's packages"),
        ("upstream's own tarball", "untried", "it was not to be had; the C library was not compiled"),
        ("Ubuntu, Debian 11, Fedora", "simulated", "planned from declared facts"),
        ("CUDA", "simulated", "NVRTC 13.5 was loaded for a driver without GPU; no kernel ran on a GPU"),
    ),
)

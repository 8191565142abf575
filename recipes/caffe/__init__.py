"""BVLC Caffe, on the CPU, from source: the recipe this project began with.

What breaks on a current Linux: OpenCV 4 took away constants, protobuf 3.18 an argument, NumPy and scikit-image a few
names; the distribution moved HDF5's headers and named Boost.Python after the interpreter. The last two are settings in
Makefile.config, made from facts; the others are patches, each with its condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import make
from devsetup.recipe import Check, Context, Import, LinkClosure, Option, Patch, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, DebianSource, Env, PythonEnv, Run, Step, UrlSource, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

TREE = f"{BUILD}/caffe"
PYTHON = f"{PREFIX}/env/bin/python"
TOOLS = (
    "caffe",
    "compute_image_mean",
    "convert_imageset",
    "extract_features",
    "upgrade_net_proto_binary",
    "upgrade_net_proto_text",
    "upgrade_solver_proto_text",
)
# The whole closure, so that the environment is the same everywhere. protobuf's Python runtime must be of protoc's own
# release: 4.21.12 belongs to protoc 3.21.12, which Debian 12 and 13 and Ubuntu 24.04 have. contourpy, networkx and
# tifffile are the last releases that Python 3.11 takes. Every pin has wheels for 3.11 and 3.13, x86-64 and arm64.
REQUIREMENTS = (
    "contourpy==1.3.3",
    "cycler==0.12.1",
    "fonttools==4.68.0",
    "imageio==2.38.1",
    "kiwisolver==1.5.1",
    "lazy-loader==0.6",
    "matplotlib==3.11.2",
    "networkx==3.6.1",
    "numpy==2.4.6",
    "packaging==26.3",
    "pillow==13.0.0",
    "protobuf==4.21.12",
    "pyparsing==3.3.3",
    "python-dateutil==4.0.0",
    "scikit-image==0.26.0",
    "scipy==1.17.1",
    "six==1.17.0",
    "tifffile==2026.3.3",
    "tzdata==2026.6",
)
BLAS = {"openblas": "open", "atlas": "atlas", "mkl": "mkl"}


def supports(facts: Facts, options: Mapping[str, str]) -> str | None:
    """Linux with Python 3.11 or newer and protobuf 3.21, which the pinned packages fit; the reason otherwise."""
    here = f"{facts.os.id} {facts.os.version}".rstrip()
    if facts.os.id == "macos" or options["blas"] == "accelerate":
        return "only Linux is supported so far"
    for library, wanted, reason in (
        ("python", ">=3.11", "the pinned Python packages need 3.11 or newer"),
        ("protobuf", ">=3.21, <3.22", "the pinned Python runtime of protobuf fits protoc 3.21 alone"),
    ):
        if not When(libraries={library: wanted}).verdict(facts).holds:
            return f"{library} of {here} is {facts.library(library) or 'unknown'}, and {reason}"
    if options["blas"] == "atlas" and When(os="debian >=13").verdict(facts).holds:
        return f"{here} has no ATLAS package; use --option blas=openblas"
    return None


def _python(facts: Facts) -> str:
    """`3.11`: the distribution's Python, which its Boost.Python is built for."""
    return ".".join(facts.library("python").split(".")[:2])


def _site_packages(facts: Facts) -> str:
    return f"lib/python{_python(facts)}/site-packages"


def config(ctx: Context) -> str:
    """Makefile.config for this machine."""
    facts = ctx.facts
    version = _python(facts)
    numpy = f"{PREFIX}/env/{_site_packages(facts)}/numpy/_core/include"
    includes = ["$(PYTHON_INCLUDE)"]
    libraries = ["/usr/lib"]
    if When(libraries={"opencv": ">=4"}).verdict(facts).holds:
        includes.append("/usr/include/opencv4")
    if When(package_manager="apt").verdict(facts).holds:
        # Debian keeps HDF5's serial and MPI builds apart, and plain names exist for neither.
        includes.append("/usr/include/hdf5/serial")
        libraries = [f"/usr/lib/{facts.multiarch}", f"/usr/lib/{facts.multiarch}/hdf5/serial"]
    lines = [
        "CPU_ONLY := 1",
        f"BLAS := {BLAS[ctx.options['blas']]}",
        "OPENCV_VERSION := 3",  # which means: 3 or newer, imread is in imgcodecs
        f"PYTHON_LIBRARIES := boost_python{version.replace('.', '')}",
        f"PYTHON_INCLUDE := /usr/include/python{version} {numpy}",
        f"INCLUDE_DIRS := {' '.join(includes)}",
        f"LIBRARY_DIRS := {' '.join(libraries)}",
        "BUILD_DIR := build",
        "Q ?= @",
    ]
    return "".join(f"{line}\n" for line in lines)


def steps(ctx: Context) -> Iterator[Step]:
    """Environment first, since pycaffe compiles against its NumPy; then source, patches, make, install."""
    yield PythonEnv(
        path=f"{PREFIX}/env",
        python=f"/usr/bin/python{_python(ctx.facts)}",
        requirements=REQUIREMENTS,
        site_packages=_site_packages(ctx.facts),
        paths=("../../../../python",),
    )
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    yield WriteFile(path=f"{TREE}/Makefile.config", content=config(ctx))
    yield make(TREE, "tools", "pycaffe", title="compile Caffe and pycaffe")
    yield _install()
    yield WriteFile(path=f"{PREFIX}/share/devsetup/train.py", content=ctx.text("workloads/caffe/train.py"))
    yield WriteFile(path=f"{PREFIX}/share/devsetup/lenet.prototxt", content=ctx.text("workloads/caffe/lenet.prototxt"))
    yield Env(name="PATH", value=f"{PREFIX}/env/bin:{PREFIX}/bin")


def _install() -> Run:
    """By hand: `make distribute` also builds every example, and keeps names that end in `.bin`.

    Pointing DISTRIBUTE_DIR at the prefix would be worse: `make clean` removes that directory with all that is in it.
    """
    install = ("install", "-D", "-m", "755")
    tools = tuple((*install, f"build/tools/{tool}.bin", f"{PREFIX}/bin/{tool}") for tool in TOOLS)
    return Run(
        argv=(*install, "build/lib/libcaffe.so.1.0.0", f"{PREFIX}/lib/libcaffe.so.1.0.0"),
        then=(
            ("ln", "-sfn", "libcaffe.so.1.0.0", f"{PREFIX}/lib/libcaffe.so"),
            *tools,
            ("cp", "-R", "include", "python", PREFIX),
            (
                "install",
                "-D",
                "-m",
                "644",
                "build/src/caffe/proto/caffe.pb.h",
                f"{PREFIX}/include/caffe/proto/caffe.pb.h",
            ),
        ),
        cwd=TREE,
        title="install tools, library, headers and pycaffe",
    )


RECIPE = Recipe(
    name="caffe",
    version="1.0",
    summary="BVLC Caffe, the deep learning framework of 2014, with pycaffe",
    homepage="https://caffe.berkeleyvision.org",
    licence="BSD-2-Clause",
    keywords=("deep learning", "neural network", "pycaffe", "bvlc", "lenet"),
    sources=(
        UrlSource(
            id="1.0",
            url="https://github.com/BVLC/caffe/archive/1.0.tar.gz",
            sha256="71d3c9eb8a183150f965a465824d01fe82826c22505f7aa314f700ace03fa77f",
        ),
        DebianSource(
            id="1.0+git20180821",
            package="caffe",
            version="1.0.0+git20180821.99bd997",
            suite="bullseye",
            file="caffe_1.0.0+git20180821.99bd997.orig.tar.gz",
            sha256="e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c",
        ),
    ),
    options=(
        Option(
            name="blas",
            help="linear algebra library",
            choices=("openblas", "atlas", "mkl", "accelerate"),
            default="openblas",
            defaults=((When(os="macos"), "accelerate"),),
        ),
    ),
    libraries=(
        *("gcc", "make", "patch", "python"),
        *("boost", "boost-python", "gflags", "glog", "hdf5", "leveldb", "lmdb", "opencv", "protobuf", "snappy"),
    ),
    option_libraries=(
        (When(options={"blas": "openblas"}), ("openblas",)),
        (When(options={"blas": "atlas"}), ("atlas",)),
        (When(options={"blas": "mkl"}), ("mkl",)),
    ),
    patches=(
        Patch(
            name="0001-opencv4-imread-flags.patch",
            when=When(libraries={"opencv": ">=4"}),
            why="OpenCV 4 has no CV_LOAD_IMAGE_* macros",
            upstream="https://github.com/BVLC/caffe/pull/6625",
        ),
        Patch(
            name="0002-protobuf-total-bytes-limit.patch",
            when=When(libraries={"protobuf": ">=3.18"}),
            why="protobuf 3.18 removed the two-argument SetTotalBytesLimit",
            upstream="https://github.com/BVLC/caffe/pull/7044",
        ),
        Patch(
            name="0003-opencv-imgcodecs-instead-of-highgui.patch",
            when=When(libraries={"opencv": ">=3"}),
            why="imread lives in imgcodecs since OpenCV 3; highgui would need about 150 more packages for nothing",
            upstream="https://github.com/BVLC/caffe/pull/3186",
        ),
        Patch(
            name="0004-pycaffe-run-path.patch",
            when=When(os="linux"),
            why="pycaffe looked for libcaffe in the build tree; installed it is in ../../lib",
            upstream="https://github.com/BVLC/caffe/issues/4411",
        ),
        Patch(
            name="0005-skimage-as-gray.patch",
            why="scikit-image 0.16 renamed imread's as_grey to as_gray",
            upstream="https://github.com/BVLC/caffe/pull/6902",
        ),
        Patch(
            name="0006-numpy-datum-bytes.patch",
            why="NumPy 2.3 removed tostring and binary fromstring",
            upstream="https://github.com/BVLC/caffe/pull/7108",
        ),
        Patch(
            name="0007-detector-integer-slices.patch",
            why="NumPy 1.12 stopped accepting float slice bounds",
            upstream="https://github.com/BVLC/caffe/pull/3180",
        ),
        Patch(
            name="0008-skimage-no-anti-aliasing.patch",
            why="scikit-image 0.15 smooths when resizing, which silently changes what a net sees",
            upstream="https://github.com/scikit-image/scikit-image/pull/2802",
        ),
    ),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/bin", f"{PREFIX}/lib", f"{PREFIX}/python")),
        Import(python=PYTHON, module="caffe", show="caffe.__version__"),
        Check(
            title="caffe time",
            argv=(
                f"{PREFIX}/bin/caffe",
                *("time", "-model", f"{PREFIX}/share/devsetup/lenet.prototxt", "-iterations", "5"),
            ),
            expect=r"Average Forward-Backward: [0-9.]+ ms",
        ),
        Workload(
            title="train a LeNet on images made on the spot, to a stated accuracy",
            argv=(PYTHON, f"{PREFIX}/share/devsetup/train.py", "--out", "@ARTIFACTS@"),
            artifacts=("result.json", "curve.svg"),
        ),
    ),
    supports=supports,
    steps=steps,
    memory_per_job_mb=1250,  # _caffe.cpp, with g++ 14; every other file needs under 400,
    disk_mb=2500,
)

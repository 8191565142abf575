"""BVLC Caffe, from source, on the machines of 2013 to today: the recipe this project began with.

Caffe stopped in 2018 and everything under it went on. OpenCV 4 took away constants, protobuf 3.18 an argument and
protobuf 22 the old C++, CUDA 13 members of a struct, C++17 a function, NumPy and scikit-image a few names; macOS moved
its BLAS three times, and each Makefile knew the places of its own year. What is a setting goes into Makefile.config,
made from facts; the rest are patches, each with its condition on the machine and on the generation of the source.

docs/recipes/caffe.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import GPU_ARCHS, make, python_env
from devsetup.recipe import Check, Context, Import, LinkClosure, Option, Recipe, When, Workload
from devsetup.steps import BUILD, JOBS, PREFIX, DebianSource, Env, Run, Step, UrlSource, WriteFile

from .config import ABSEIL, config, requirements
from .limits import CUDA, OWN_TOOLKIT, PYCAFFE, supports
from .patches import GENERATIONS, PATCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.facts import Facts

TREE = f"{BUILD}/caffe"
PYTHON = f"{PREFIX}/env/bin/python"
SHARE = f"{PREFIX}/share/devsetup"
TOOLS = (
    *("caffe", "compute_image_mean", "convert_imageset", "extract_features"),
    *("upgrade_net_proto_binary", "upgrade_net_proto_text", "upgrade_solver_proto_text"),
)


def steps(ctx: Context) -> Iterator[Step]:
    """Environment first, since pycaffe compiles against its NumPy; then source, patches, make, install."""
    python = ctx.options["python"] == "on"
    if python:
        yield python_env(ctx.facts, requirements(ctx), paths=("../../../../python",))
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    yield WriteFile(path=f"{TREE}/Makefile.config", content=config(ctx))
    yield _make(ctx.facts, python=python)
    yield _install(python=python)
    files = ("train.py",) if python else ("train.sh", "digits.awk")
    for name in (*files, *(("gpu.sh",) if ctx.options["cuda"] == "on" else ()), "lenet.prototxt"):
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/caffe/{name}"))
    yield Env(name="PATH", value=f"{PREFIX}/env/bin:{PREFIX}/bin" if python else f"{PREFIX}/bin")


def _make(facts: Facts, *, python: bool) -> Run:
    targets = ("tools", "pycaffe") if python else ("tools",)
    title = f"compile Caffe{' and pycaffe' if python else ''}"
    if When(libraries={"make": ">=4"}).verdict(facts).holds:
        return make(TREE, *targets, title=title)
    return Run(argv=("make", f"-j{JOBS}", *targets), cwd=TREE, title=title)  # 3.81, as on every Mac, keeps no order


def _install(*, python: bool) -> Run:
    """By hand: `make distribute` also builds every example, and keeps names that end in `.bin`.

    Pointing DISTRIBUTE_DIR at the prefix would be worse: `make clean` removes that directory with all that is in it.
    """
    place = ("install", "-m", "755")
    proto = f"{PREFIX}/include/caffe/proto"
    return Run(
        argv=("mkdir", "-p", f"{PREFIX}/bin", f"{PREFIX}/lib"),
        then=(
            (*place, "build/lib/libcaffe.so.1.0.0", f"{PREFIX}/lib/libcaffe.so.1.0.0"),
            ("ln", "-sfn", "libcaffe.so.1.0.0", f"{PREFIX}/lib/libcaffe.so"),
            *((*place, f"build/tools/{tool}.bin", f"{PREFIX}/bin/{tool}") for tool in TOOLS),
            ("cp", "-R", "include", *(("python",) if python else ()), PREFIX),
            ("mkdir", "-p", proto),
            ("install", "-m", "644", "build/src/caffe/proto/caffe.pb.h", f"{proto}/caffe.pb.h"),
        ),
        cwd=TREE,
        title=f"install tools, library, headers{' and pycaffe' if python else ''}",
    )


TIME = Check(
    title="caffe time",
    argv=(f"{PREFIX}/bin/caffe", "time", "-model", f"{SHARE}/lenet.prototxt", "-iterations", "5"),
    expect=r"Average Forward-Backward: [0-9.]+ ms",
)


def _proofs(*, python: bool, gpu: bool) -> tuple[LinkClosure | Import | Check | Workload, ...]:
    """What must hold; `gpu`: train on the first GPU, and say where that stopped when there is none."""
    wanted = ("--gpu",) if gpu else ()
    title = "train a LeNet on images made on the spot, to a stated accuracy"
    if not python:
        tools = ("sh", f"{SHARE}/train.sh", PREFIX, "@ARTIFACTS@", *wanted)
        return (
            LinkClosure(paths=(f"{PREFIX}/bin", f"{PREFIX}/lib")),
            TIME,
            Workload(title=title, argv=tools, artifacts=("result.json", "train.log")),
        )
    return (
        LinkClosure(paths=(f"{PREFIX}/bin", f"{PREFIX}/lib", f"{PREFIX}/python")),
        Import(python=PYTHON, module="caffe", show="caffe.__version__"),
        TIME,
        Workload(
            title=title,
            argv=(PYTHON, f"{SHARE}/train.py", "--out", "@ARTIFACTS@", *wanted),
            artifacts=("result.json", "curve.svg"),
        ),
    )


RECIPE = Recipe(
    name="caffe",
    version="1.0",
    summary="BVLC Caffe, the deep learning framework of 2014, with pycaffe",
    homepage="https://caffe.berkeleyvision.org",
    licence="BSD-2-Clause",
    keywords=("deep learning", "neural network", "pycaffe", "bvlc", "lenet"),
    generations=GENERATIONS,
    sources=(
        UrlSource(
            id="1.0",
            url="https://github.com/BVLC/caffe/archive/1.0.tar.gz",
            sha256="71d3c9eb8a183150f965a465824d01fe82826c22505f7aa314f700ace03fa77f",
            generation="1.0",
        ),
        DebianSource(
            id="1.0+git20180821",
            package="caffe",
            version="1.0.0+git20180821.99bd997",
            suite="bullseye",
            file="caffe_1.0.0+git20180821.99bd997.orig.tar.gz",
            sha256="e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c",
            generation="1.0",
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
        Option(name="python", help="pycaffe", choices=("on", "off"), default="off", defaults=((PYCAFFE, "on"),)),
        Option(name="cuda", help="use NVIDIA GPUs", choices=("on", "off"), default="off"),
        Option(
            name="toolkit",
            help="CUDA's toolkit: the machine's, or one made of NVIDIA's wheels",
            choices=("own", "found"),
            default="own",
            defaults=((When(cuda=">=0"), "found"),),
        ),
        Option(
            name="gpu",
            help="GPUs to compile for: auto means those of this machine, or all where none is known",
            choices=("auto", "all", *GPU_ARCHS),
            default="auto",
        ),
        Option(name="cudnn", help="use cuDNN, with CUDA", choices=("on", "off"), default="off"),
    ),
    option_needs=((When(os="linux", options=OWN_TOOLKIT), ("cuda",)),),
    libraries=(
        *("gcc", "make", "patch", "boost", "gflags", "glog", "hdf5", "leveldb", "lmdb", "opencv", "protobuf", "snappy"),
    ),
    option_libraries=(
        (When(options={"python": "on"}), ("python", "boost-python")),
        (When(options={"blas": "openblas"}), ("openblas",)),
        (When(options={"blas": "atlas"}), ("atlas",)),
        (When(options={"blas": "mkl"}), ("mkl",)),
        *((when, ("pkg-config",)) for when in ABSEIL),
    ),
    patches=PATCHES,
    proofs=_proofs(python=True, gpu=False),
    option_proofs=(
        (When(options={**CUDA, "python": "off"}), _proofs(python=False, gpu=True)),
        (When(options={"python": "off"}), _proofs(python=False, gpu=False)),
        (When(options=CUDA), _proofs(python=True, gpu=True)),
    ),
    supports=supports,
    steps=steps,
    memory_per_job_mb=1250,  # _caffe.cpp, with g++ 14; every other file needs under 400
    disk_mb=2500,
    seen=(
        ("Debian 12 and 13, x86-64", "run", "built, trained and verified by the tests"),
        ("Ubuntu, Debian 11, Fedora", "simulated", "planned from declared facts"),
        ("macOS 10.9 to 26", "simulated", "planned; the Makefiles evaluated by GNU make with stub commands"),
        (
            "CUDA 13.5 on Debian 12, x86-64",
            "run",
            "compiled and linked for sm_90, not run on a GPU; trained without one",
        ),
        ("CUDA otherwise", "simulated", "planned; the patch for CUDA 13 compiled against its headers"),
    ),
)

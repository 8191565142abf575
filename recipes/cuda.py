"""A CUDA toolkit without root: NVIDIA's own wheels of one release, laid out in the prefix as its installer would.

Wheels of 13.0 and later hold all that compiling needs: nvcc with its helpers, cicc, headers and libraries. Those of
12.0 to 12.9 hold ptxas but no nvcc, so no such toolkit can be made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import archs_for, gpu_archs, gxx_too_new, with_toolkit
from devsetup.facts import Cuda
from devsetup.recipe import Check, Context, LinkClosure, Option, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, Env, PythonEnv, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

ENV = f"{BUILD}/env"
SHARE = f"{PREFIX}/share/devsetup"
PIP = "pip==25.0.1"  # Python 3.8 may bring a pip that does not know tags such as manylinux_2_27
# What each release of NVIDIA's `cuda-toolkit` metapackage asks for (its newest patch release), new releases first:
# nvcc, crt, nvvm, runtime, nvrtc (which cuBLAS wants), cccl, cublas, curand.
RELEASES = {
    "13.5": ("13.5.37", "13.5.37", "13.5.37", "13.5.37", "13.5.37", "13.3.5.0.6", "13.10.0.20", "10.4.5.25"),
    "13.4": ("13.4.92", "13.4.92", "13.4.92", "13.4.92", "13.4.92", "13.3.4.3.1", "13.8.0.4", "10.4.4.72"),
    "13.3": ("13.3.73", "13.3.73", "13.3.73", "13.3.29", "13.3.33", "13.3.3.4.1", "13.6.0.2", "10.4.3.29"),
    "13.2": ("13.2.86", "13.2.86", "13.2.86", "13.2.86", "13.2.86", "13.2.86", "13.4.1.3", "10.4.2.66"),
    "13.1": ("13.1.115", "13.1.115", "13.1.115", "13.1.80", "13.1.115", "13.1.115", "13.2.2.2", "10.4.1.81"),
    "13.0": ("13.0.88", "13.0.88", "13.0.88", "13.0.96", "13.0.88", "13.0.85", "13.1.1.3", "10.4.0.35"),
}
WHEELS = (
    *("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc"),
    *("nvidia-cuda-cccl", "nvidia-cublas", "nvidia-curand"),
)
# The wheels hold libraries under the name that programs load alone; linking wants them without the number.
LIBRARIES = (
    *("libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10", "libnvblas.so.13"),
    *("libnvrtc.so.13", "libnvvm.so.4"),
)
DRIVER = 580  # NVIDIA's floor for every toolkit 13.x: its page on minor version compatibility
MACHINES = When(os="linux", arch="x86_64 | aarch64")
INSTEAD = "install NVIDIA's or the distribution's toolkit instead"
OLDER = f"NVIDIA's wheels have nvcc from 13.0 on alone; for CUDA 12 {INSTEAD}"


def steps(ctx: Context) -> Iterator[Step]:
    """An environment to install the wheels in, then their contents to the prefix by renaming: they are 1.2 GB."""
    version = ".".join(ctx.facts.library("python").split(".")[:2])
    packages = f"lib/python{version}/site-packages"
    pins = tuple(f"{name}=={pin}" for name, pin in zip(WHEELS, RELEASES[ctx.options["cuda-version"]], strict=True))
    install = ("-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--no-compile")
    yield PythonEnv(path=ENV, python="/usr/bin/python3", requirements=(PIP,), site_packages=packages)
    yield Run(
        argv=(f"{ENV}/bin/python", *install, "--no-deps", "--only-binary=:all:", *pins),
        title=f"NVIDIA's wheels: {len(pins)}, about 0.7 GB",
    )
    root = f"{ENV}/{packages}/nvidia/cu13"
    yield Run(
        argv=("mkdir", "-p", PREFIX),
        then=(
            ("mv", *(f"{root}/{name}" for name in ("bin", "include", "lib", "nvvm")), PREFIX),
            ("ln", "-sfn", "lib", f"{PREFIX}/lib64"),
            *(("ln", "-sfn", name, f"{PREFIX}/lib/{name.partition('.so')[0]}.so") for name in LIBRARIES),
        ),
        title="lay out the toolkit",
    )
    for name in ("product.cu", "product.sh"):
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/cuda/{name}"))
    yield Env(name="PATH", value=f"{PREFIX}/bin")
    # All that tools ask for a toolkit, so that none of them finds another one.
    for name in ("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT"):
        yield Env(name=name, value=PREFIX, mode="set")
    yield Env(name="CUDACXX", value=f"{PREFIX}/bin/nvcc", mode="set")


def supports(facts: Facts, options: Mapping[str, str]) -> str | None:
    """None, or the first thing that keeps the wheels, their nvcc or its programs from working here."""
    for when, reason in (
        (MACHINES, "NVIDIA's wheels are for Linux on x86-64 and arm64; install it on such a machine"),
        (When(libc="glibc >=2.27"), f"NVIDIA's wheels need glibc 2.27 or newer; {INSTEAD}"),
        (When(libraries={"python": ">=3.8"}), f"installing NVIDIA's wheels needs Python 3.8 or newer; {INSTEAD}"),
    ):
        verdict = when.verdict(facts)
        if not verdict.holds:
            return f"{verdict.because}, and {reason}"
    toolkit = options["cuda-version"]
    too_new = gxx_too_new(facts, toolkit)
    if too_new:
        newest = next(iter(RELEASES))
        better = not gxx_too_new(facts, newest)
        return f"{too_new}; {f'use --option cuda-version={newest}' if better else 'install an older g++'}"
    return _no_gpu_for_it(facts, toolkit)


def _no_gpu_for_it(facts: Facts, toolkit: str) -> str | None:
    """Why this machine's driver or GPUs could not run what the toolkit compiles; None when nothing is against it."""
    driver = (facts.driver.module or facts.driver.library) if facts.driver else ""
    major = driver.partition(".")[0]
    if major.isdecimal() and int(major) < DRIVER:
        return f"NVIDIA's driver is {driver}, and programs of CUDA {toolkit} need {DRIVER} or newer; {OLDER}"
    if not archs_for(facts, toolkit):
        oldest = gpu_archs(toolkit)[0]
        capabilities = ", ".join(sorted({gpu.capability for gpu in facts.gpus if gpu.capability}))
        return (
            f"compute capability of the GPUs here: {capabilities}; CUDA {toolkit} compiles for "
            f"{oldest[:-1]}.{oldest[-1]} and newer; {OLDER}"
        )
    return None


def provides(facts: Facts, options: Mapping[str, str]) -> Facts:
    """The machine with this toolkit, which wins over those found."""
    own = Cuda(
        path="@PREFIX:cuda@",
        version=options["cuda-version"],
        origin="the cuda recipe",
        why="made of NVIDIA's wheels for what is installed with it",
        nvcc="@PREFIX:cuda@/bin/nvcc",
        libdir="@PREFIX:cuda@/lib",
    )
    return with_toolkit(facts, own)


def proofs(toolkit: str) -> tuple[Check | LinkClosure | Workload, ...]:
    """The compiler is the one asked for, everything finds its libraries, and a cuBLAS program is right."""
    nvcc = RELEASES[toolkit][0].replace(".", r"\.")
    release = toolkit.replace(".", r"\.")
    return (
        Check(
            title="nvcc --version",
            argv=(f"{PREFIX}/bin/nvcc", "--version"),
            expect=rf"release {release}, V{nvcc}",
            timeout_s=60,
        ),
        LinkClosure(paths=(f"{PREFIX}/bin", f"{PREFIX}/lib", f"{PREFIX}/nvvm")),
        Workload(
            title="compile, link and run a program on cuBLAS and cuRAND",
            argv=("sh", f"{SHARE}/product.sh", PREFIX, "@ARTIFACTS@"),
            artifacts=("result.json", "product"),
        ),
    )


RECIPE = Recipe(
    name="cuda",
    version="13",
    summary="NVIDIA's CUDA toolkit: nvcc, runtime, cuBLAS, cuRAND and NVRTC, without root",
    homepage="https://developer.nvidia.com/cuda-toolkit",
    licence="LicenseRef-NVIDIA-Proprietary",
    keywords=("nvcc", "nvidia", "gpu", "cublas", "curand", "nvrtc"),
    options=(
        Option(
            name="cuda-version",
            help="toolkit: the newest one takes every g++ that an older one takes, and the same drivers",
            choices=tuple(RELEASES),
            default=next(iter(RELEASES)),
        ),
    ),
    libraries=("gcc", "python"),
    option_proofs=tuple((When(options={"cuda-version": each}), proofs(each)) for each in RELEASES),
    proofs=proofs(next(iter(RELEASES))),
    supports=supports,
    provides=provides,
    steps=steps,
    disk_mb=3000,
    seen=(
        ("Debian 12, x86-64", "run", "every version: compiled and linked a cuBLAS program; not run on a GPU"),
        ("other Linux with glibc 2.27 or newer, arm64", "simulated", "planned from declared facts"),
    ),
)

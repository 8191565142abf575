"""Where Caffe cannot work, and why: said by the plan, before anything is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.recipe import When

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.facts import Facts

CUDA = {"cuda": "on"}
PYCAFFE = When(os="linux", libraries={"python": ">=3.8, <3.14", "protobuf": ">=3, <3.22", "boost": ">=1.67"})
# (toolkit, first g++ that it refuses): from crt/host_config.h from 11.7 on, before that as Spack has it.
NVCC_REFUSES = (
    *(("<7", "4.9"), ("<8", "5"), ("<9", "6"), ("<9.2", "7"), ("<10.1", "8"), ("<11", "9"), ("<11.1", "10")),
    *(("<11.4.1", "11"), ("<12", "12"), ("<12.4", "13"), ("<12.8", "14"), ("<13", "15"), ("<13.4", "16")),
    ("<14", "17"),
)
# What cannot work, and why: the first that holds.
REFUSALS = (
    (When(os="linux", options={"blas": "accelerate"}), "Accelerate is macOS's own; use --option blas=openblas"),
    (When(os="macos", options={"blas": "atlas"}), "macOS packages ATLAS as Accelerate; use --option blas=accelerate"),
    (When(os="macos", options={"blas": "mkl"}), "MKL on macOS is untried; use --option blas=accelerate"),
    (
        When(os="debian >=13", options={"blas": "atlas"}),
        "this release has no ATLAS package; use --option blas=openblas",
    ),
    (
        When(package_manager="dnf", options={"blas": "atlas"}),
        "ATLAS is one library, satlas or tatlas, there, which no Makefile of Caffe knows; use --option blas=openblas",
    ),
    (When(os="macos", options={"python": "on"}), "pycaffe on macOS has no plan yet; use --option python=off"),
    (When(os="macos >=10.14", options=CUDA), "NVIDIA has no driver for macOS 10.14 or newer; use --option cuda=off"),
    (When(arch="arm64", os="macos", options=CUDA), "Apple's processors have no CUDA; use --option cuda=off"),
    (
        When(options={"cuda": "off", "cudnn": "on"}),
        "cuDNN is of use with CUDA alone; add --option cuda=on, or use --option cudnn=off",
    ),
    (
        When(libraries={"cudnn": ">=8"}, options={"cudnn": "on"}),
        "cuDNN 8 took away the functions that Caffe calls, and there is no patch; use --option cudnn=off",
    ),
    (
        When(libraries={"cudnn": "<5"}, options={"cudnn": "on"}),
        "Caffe 1.0 wants cuDNN 5, 6 or 7; use --option cudnn=off",
    ),
)


def supports(facts: Facts, options: Mapping[str, str]) -> str | None:
    """None, or the first thing that cannot work on this machine with these options."""
    here = f"{facts.os.id} {facts.os.version}".rstrip()
    if not facts.library("protobuf"):
        return f"which protobuf {here} has is not known, and no other library breaks Caffe in more ways"
    for when, reason in REFUSALS:
        if when.verdict(facts, options).holds:
            return f"{here}: {reason}"
    if options["python"] == "on" and not PYCAFFE.verdict(facts).holds:
        return f"{PYCAFFE.verdict(facts).because}, and pycaffe is planned for {PYCAFFE}; use --option python=off"
    return _no_cuda(facts, options) if options["cuda"] == "on" else None


def _no_cuda(facts: Facts, options: Mapping[str, str]) -> str | None:
    if not facts.toolkit:
        return "there is no CUDA toolkit; install one, or use --option cuda=off"
    if options["cudnn"] == "on" and not facts.library("cudnn"):
        return "which cuDNN is there is not known, and only 5, 6 and 7 work; use --option cudnn=off"
    limit = next((gcc for cuda, gcc in NVCC_REFUSES if When(cuda=cuda).verdict(facts).holds), "")
    if facts.os.id == "macos" or not limit:
        return None
    version = facts.compiler("g++")
    too_new = When(compilers={"g++": f">={limit}"}) if version else When(libraries={"gcc": f">={limit}"})
    if not too_new.verdict(facts).holds:
        return None
    return (
        f"nvcc of CUDA {facts.toolkit} accepts g++ below {limit}, and g++ here is {version or facts.library('gcc')}; "
        "use another toolkit or --option cuda=off"
    )

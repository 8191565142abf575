"""Where Caffe cannot work, and why: said by the plan, before anything is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import archs_for, gpu_archs, gxx_too_new
from devsetup.recipe import When

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.facts import Facts

CUDA = {"cuda": "on"}
OWN_TOOLKIT = {**CUDA, "toolkit": "own"}
PYCAFFE = When(os="linux", libraries={"python": ">=3.8, <3.14", "protobuf": ">=3, <3.22", "boost": ">=1.67"})
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
        When(os="macos", options=OWN_TOOLKIT),
        "there is no CUDA toolkit, and NVIDIA's wheels are for Linux alone; install one, or use --option cuda=off",
    ),
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


def archs(facts: Facts, options: Mapping[str, str]) -> tuple[str, ...]:
    """The GPU architectures to compile for; empty when the toolkit knows none of those that are wanted."""
    wanted = options["gpu"]
    if wanted == "auto":
        return archs_for(facts, facts.toolkit)
    known = gpu_archs(facts.toolkit)
    return known if wanted == "all" else tuple(arch for arch in known if arch == wanted)


def _no_cuda(facts: Facts, options: Mapping[str, str]) -> str | None:
    if not facts.toolkit:
        return "there is no CUDA toolkit here; use --option toolkit=own, which makes one without root, or cuda=off"
    chosen = next(each for each in facts.cuda if each.chosen)
    if chosen.lacks:
        return (
            f"the CUDA toolkit in {chosen.path} has no {' and no '.join(chosen.lacks)} to link to; "
            "use --option toolkit=own, which makes a whole one without root, or cuda=off"
        )
    if options["cudnn"] == "on" and not facts.library("cudnn"):
        return "which cuDNN is there is not known, and only 5, 6 and 7 work; use --option cudnn=off"
    too_new = gxx_too_new(facts, facts.toolkit) if facts.os.id != "macos" else ""
    if too_new:
        return f"{too_new}; use another toolkit (--option toolkit=own makes the newest without root) or cuda=off"
    if not archs(facts, options):
        wanted = options["gpu"] if options["gpu"] != "auto" else "any GPU of this machine"
        return (
            f"CUDA {facts.toolkit} compiles for {', '.join(gpu_archs(facts.toolkit))}, not for {wanted}; "
            "use another toolkit or another --option gpu"
        )
    return None

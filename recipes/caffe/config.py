"""Makefile.config and the Python packages for a machine: tables of conditions, and what is read off them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_minor, site_packages
from devsetup.recipe import Context, When
from devsetup.steps import PREFIX

from .limits import CUDA, archs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.facts import Facts

# Environments, the whole closure of each: the last releases that this Python takes and that exist as wheels
# for x86-64 and arm64, newest Python first: (its version, file under workloads/caffe).
PINS = (
    *((">=3.11", "requirements-3.11.txt"), (">=3.10", "requirements-3.10.txt")),
    *((">=3.9", "requirements-3.9.txt"), (">=3.8", "requirements-3.8.txt")),
)
# protobuf's Python runtime reads what protoc of its own line wrote; 4.21 also what 3.19 and 3.20 wrote.
RUNTIMES = ((">=3.19", "protobuf==4.21.12"), (">=3", "protobuf==3.20.3"))
BLAS = {"openblas": "open", "atlas": "atlas", "mkl": "mkl", "accelerate": "atlas"}  # the Makefile's names
# protobuf 22 is 3.22 in Debian's counting.
ABSEIL = (When(libraries={"protobuf": ">=22"}), When(libraries={"protobuf": ">=3.22, <21"}))
# The C++ standard, where the compiler's default is too old: the first that holds. Apple's clang starts from C++98.
STANDARDS = (
    *((when, "c++17") for when in ABSEIL),
    (When(os="macos", libraries={"glog": ">=0.7"}), "c++14"),
    (When(os="macos", libraries={"boost": ">=1.82"}), "c++14"),
    (When(os="macos", libraries={"opencv": ">=4"}), "c++11"),
    (When(libraries={"protobuf": ">=3.6"}, os="macos"), "c++11"),
    (When(libraries={"protobuf": ">=3.6"}, os="linux", compilers={"g++": "<6"}), "c++11"),
)
# Further lines of Makefile.config.
SETTINGS = (
    (When(libraries={"opencv": ">=3"}), "OPENCV_VERSION := 3"),  # which means: 3 or newer, imread is in imgcodecs
    (When(libraries={"glog": ">=0.7"}), "COMMON_FLAGS += -DGLOG_USE_GLOG_EXPORT"),  # github.com/google/glog/issues/1079
    *((when, "LDFLAGS += $(shell pkg-config --libs protobuf)") for when in ABSEIL),
    (When(options={"blas": "openblas"}, package_manager="dnf"), "BLAS_INCLUDE := /usr/include/openblas"),
    # memcpy of the newer glibc is ambiguous to these nvcc: github.com/BVLC/caffe/issues/4046
    (When(options=CUDA, cuda=">=7, <8", libc="glibc >=2.23"), "NVCCFLAGS += -D_FORCE_INLINES"),
    (When(options={**CUDA, "cudnn": "on"}), "USE_CUDNN := 1"),
)


def _first(table: tuple[tuple[str, str], ...], facts: Facts, library: str) -> str:
    """The entry of a table whose version condition on a library holds."""
    return next(value for spec, value in table if When(libraries={library: spec}).verdict(facts).holds)


def requirements(ctx: Context) -> tuple[str, ...]:
    """The pinned Python packages, protobuf's runtime among them."""
    text = ctx.text(f"workloads/caffe/{_first(PINS, ctx.facts, 'python')}")
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(sorted((*pins, _first(RUNTIMES, ctx.facts, "protobuf"))))


def config(ctx: Context) -> str:
    """Makefile.config for this machine."""
    facts, options = ctx.facts, ctx.options
    lines = ["CPU_ONLY := 1"] if options["cuda"] == "off" else _cuda(facts, options)
    lines.append(f"BLAS := {BLAS[options['blas']]}")
    lines += [line for when, line in SETTINGS if when.verdict(facts, options).holds]
    standard = next((standard for when, standard in STANDARDS if when.verdict(facts).holds), "")
    if standard:
        lines += [f"CXXFLAGS += -std={standard}", f"NVCCFLAGS += -std={standard}"]
    if options["python"] == "on":
        version = python_minor(facts)  # which the distribution's Boost.Python is built for
        core = "core" if any(each.startswith("numpy==1.") for each in requirements(ctx)) else "_core"
        numpy = f"{PREFIX}/env/{site_packages(facts)}/numpy/{core}/include"
        lines.append(f"PYTHON_LIBRARIES := boost_python{version.replace('.', '')}")
        # NumPy first: Debian's python3-numpy links its own, older headers into the directory of Python's.
        lines.append(f"PYTHON_INCLUDE := {numpy} /usr/include/python{version}")
    lines += _macos(facts, options) if facts.os.id == "macos" else _linux(facts, options)
    lines += ["BUILD_DIR := build", "Q ?= @"]
    return "".join(f"{line}\n" for line in lines)


def _linux(facts: Facts, options: Mapping[str, str]) -> list[str]:
    includes, libraries = ["$(PYTHON_INCLUDE)"] if options["python"] == "on" else [], ["/usr/lib"]
    if When(libraries={"opencv": ">=4"}).verdict(facts).holds:
        includes.append("/usr/include/opencv4")
    if When(package_manager="dnf").verdict(facts).holds:
        libraries = ["/usr/lib64"]
    if When(package_manager="apt").verdict(facts).holds:
        libraries = [f"/usr/lib/{facts.multiarch}"]
    if When(package_manager="apt", libraries={"hdf5": ">=1.8.13"}).verdict(facts).holds:
        # Debian 8 set HDF5's serial and MPI builds apart, and plain names exist for neither.
        includes.append("/usr/include/hdf5/serial")
        libraries.append(f"/usr/lib/{facts.multiarch}/hdf5/serial")
    return [f"INCLUDE_DIRS := {' '.join(includes)}", f"LIBRARY_DIRS := {' '.join(libraries)}"]


def _macos(facts: Facts, options: Mapping[str, str]) -> list[str]:
    brew = "/opt/homebrew" if facts.arch == "arm64" else "/usr/local"
    includes = [f"{brew}/include"]
    if When(libraries={"opencv": ">=4"}).verdict(facts).holds:
        includes.append(f"{brew}/include/opencv4")
    lines = [f"INCLUDE_DIRS := {' '.join(includes)}", f"LIBRARY_DIRS := {brew}/lib"]
    if options["blas"] == "openblas":  # which Homebrew does not link into its prefix
        lines += [f"BLAS_INCLUDE := {brew}/opt/openblas/include", f"BLAS_LIB := {brew}/opt/openblas/lib"]
    return lines


def _cuda(facts: Facts, options: Mapping[str, str]) -> list[str]:
    """Where the toolkit is, what to compile for, and a run path, since the loader need not know the place."""
    toolkit = next(each for each in facts.cuda if each.chosen)
    wanted = archs(facts, options)
    virtual = {"21": "20"}  # sm_21 is compiled through compute_20
    codes = [f"-gencode arch=compute_{virtual.get(arch, arch)},code=sm_{arch}" for arch in wanted]
    newest = virtual.get(wanted[-1], wanted[-1])
    codes.append(f"-gencode arch=compute_{newest},code=compute_{newest}")  # for later GPUs, by their driver
    lines = [f"CUDA_DIR := {toolkit.path}", f"CUDA_ARCH := {' '.join(codes)}"]
    places = (toolkit.libdir,) if toolkit.libdir else (f"{toolkit.path}/lib64", f"{toolkit.path}/lib")
    system = {"/usr/lib", "/usr/lib64", f"/usr/lib/{facts.multiarch}"}
    if facts.os.id != "macos" and toolkit.path != "/usr":  # macOS's Makefiles set theirs themselves
        lines += [f"LDFLAGS += -Wl,-rpath,{place}" for place in places if place not in system]
    return lines

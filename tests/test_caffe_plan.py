"""What the recipe plans for machines and options of every kind: Makefile.config, Python packages, refusals, proofs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_caffe_patches import machine, plan, refusal, wanted

from devsetup.facts import Compiler, Cuda, Facts, Libc, Library
from devsetup.proofs import Import, Workload
from devsetup.steps import PythonEnv, WriteFile


def config(facts: Facts, **options: str) -> dict[str, str]:
    """Makefile.config of a plan: variable to value; `+=` lines joined."""
    texts = [
        step.content for step in plan(facts, **options).steps if isinstance(step, WriteFile) and "config" in step.path
    ]
    values: dict[str, str] = {}
    for name, value in re.findall(r"^(\w+) (?::|\+|\?)= ?(.*)$", texts[0], re.MULTILINE):
        values[name] = f"{values[name]} {value}" if name in values else value
    return values


REFUSED = [
    ("debian-12", {"blas": "accelerate"}, "Accelerate is macOS's own"),
    ("debian-13", {"blas": "atlas"}, "no ATLAS package"),
    ("fedora-42", {"blas": "atlas"}, "satlas or tatlas"),
    ("macos-15", {"blas": "atlas"}, "as Accelerate"),
    ("macos-15", {"blas": "mkl"}, "untried"),
    ("macos-12", {"python": "on"}, "no plan yet"),
    ("ubuntu-16.04", {"python": "on"}, "python is 3.5.1, and pycaffe is planned for"),
    ("debian-12+protobuf-25.1", {"python": "on"}, "protobuf is 25.1"),
    ("debian-12+python-3.14", {"python": "on"}, "python is 3.14"),
    ("macos-10.14+cuda-10.2", {"cuda": "on"}, "no driver for macOS 10.14 or newer"),
    ("macos-15-arm64", {"cuda": "on"}, "no driver"),
    ("debian-12", {"cuda": "on", "toolkit": "found"}, "there is no CUDA toolkit here; use --option toolkit=own"),
    ("macos-10.13", {"cuda": "on"}, "NVIDIA's wheels are for Linux alone"),
    (
        "debian-12+cuda-13.0",
        {"cuda": "on", "gpu": "61"},
        "CUDA 13.0 compiles for 75, 80, 86, 89, 90, 100, 120, not for 61",
    ),
    ("ubuntu-22.04+cuda-11.8", {"cuda": "on", "gpu": "120"}, "not for 120"),
    ("debian-12", {"cudnn": "on"}, "with CUDA alone"),
    ("debian-12+cuda-12.4", {"cuda": "on", "cudnn": "on"}, "which cuDNN is there is not known"),
    ("ubuntu-16.04+cuda-7.5", {"cuda": "on"}, "nvcc of CUDA 7.5 accepts g++ below 5, and g++ here is 5.4.0"),
    ("ubuntu-24.04+cuda-12.0", {"cuda": "on"}, "accepts g++ below 13"),
    ("fedora-42+cuda-12.9", {"cuda": "on"}, "accepts g++ below 15"),
    ("ubuntu-18.04+cuda-9.1", {"cuda": "on"}, "accepts g++ below 7"),
]


@pytest.mark.parametrize(("host", "options", "reason"), REFUSED)
def test_what_cannot_work_is_refused_with_its_reason(host: str, options: dict[str, str], reason: str) -> None:
    said = refusal(machine(host), **options)
    assert reason in said
    assert "--option" in said, "it says what to do instead"


COMPILERS = [  # toolkit, the newest g++ that its nvcc takes, and one that it does not
    ("6.5", "4.8.5", "4.9.0"),
    ("7.0", "4.9.4", "5.1"),
    ("7.5", "4.9.4", "5.1"),
    ("8.0", "5.5.0", "6.1"),
    ("9.1", "6.5.0", "7.1"),
    ("9.2", "7.5.0", "8.1"),
    ("10.0", "7.5.0", "8.1"),
    ("10.2", "8.5.0", "9.1"),
    ("11.0", "9.5.0", "10.1"),
    ("11.1", "10.5.0", "11.1"),
    ("11.8", "11.5.0", "12.1"),
    ("12.3", "12.4.0", "13.1"),
    ("12.6", "13.4.0", "14.1"),
    ("12.9", "14.3.0", "15.1"),
    ("13.3", "15.2.0", "16.1"),
    ("13.4", "16.1.0", "17.1"),
]


@pytest.mark.parametrize(("cuda", "taken", "refused"), COMPILERS)
def test_nvcc_takes_no_newer_compiler_than_it_knows(cuda: str, taken: str, refused: str) -> None:
    def host(version: str) -> Facts:
        gcc = (Compiler(name="g++", family="gcc", version=version, path="/usr/bin/g++"),)
        return machine(f"debian-12+cuda-{cuda}", compilers=gcc)

    assert config(host(taken), cuda="on")["CUDA_DIR"] == f"/usr/local/cuda-{cuda}"
    assert f"nvcc of CUDA {cuda} accepts g++ below" in refusal(host(refused), cuda="on")


def test_a_compiler_that_is_not_installed_yet_counts_too() -> None:
    bare = machine("ubuntu-24.04+cuda-12.0", compilers=())
    assert "accepts g++ below 13, and g++ here is 13.2.0" in refusal(bare, cuda="on")
    assert "0016" not in wanted(machine("ubuntu-22.04+cuda-12.0", compilers=()), cuda="on")


@pytest.mark.parametrize(("version", "works"), [("4.0", False), ("5.1", True), ("7.6.5", True), ("8.9", False)])
def test_cudnn_by_version(version: str, works: bool) -> None:
    host = machine("ubuntu-22.04+cuda-11.8")
    host = replace(host, libraries={**host.libraries, "cudnn": Library(version=version)})
    if works:
        assert config(host, cuda="on", cudnn="on")["USE_CUDNN"] == "1"
        assert "USE_CUDNN" not in config(host, cuda="on")
    else:
        assert "cudnn=off" in refusal(host, cuda="on", cudnn="on")


ARCHS = [  # as Spack's table has them, Tegra left out
    ("4.2", "20 21"),
    ("6.0", "20 21 30 35 50"),
    ("6.5", "20 21 30 35 37 50 52"),
    ("7.5", "20 21 30 35 37 50 52"),
    ("8.0", "20 21 30 35 37 50 52 60 61"),
    ("9.2", "30 35 37 50 52 60 61 70"),
    ("10.2", "30 35 37 50 52 60 61 70 75"),
    ("11.0", "35 37 50 52 60 61 70 75 80"),
    ("11.8", "35 37 50 52 60 61 70 75 80 86 89"),
    ("12.4", "50 52 60 61 70 75 80 86 89 90"),
    ("12.8", "50 52 60 61 70 75 80 86 89 90 100 120"),
    ("13.0", "75 80 86 89 90 100 120"),
]


@pytest.mark.parametrize(("cuda", "archs"), ARCHS)
def test_a_toolkit_compiles_for_the_gpus_that_it_knows(cuda: str, archs: str) -> None:
    gcc = (Compiler(name="g++", family="gcc", version="4.4.7", path="/usr/bin/g++"),)
    toolkit = Cuda(path=f"/usr/local/cuda-{cuda}", version=cuda, origin="test", chosen=True)
    found = config(machine("debian-12", compilers=gcc, cuda=(toolkit,)), cuda="on")
    assert re.findall(r"code=sm_(\d+)", found["CUDA_ARCH"]) == archs.split()
    newest = archs.rsplit(maxsplit=1)[-1].replace("21", "20")
    assert found["CUDA_ARCH"].endswith(f"-gencode arch=compute_{newest},code=compute_{newest}")
    assert "arch=compute_21" not in found["CUDA_ARCH"]
    assert found["CUDA_DIR"] == f"/usr/local/cuda-{cuda}"
    assert f"-Wl,-rpath,/usr/local/cuda-{cuda}/lib64" in found["LDFLAGS"]
    assert "CPU_ONLY" not in found


FORCE_INLINES = [("7.5", "2.23", True), ("7.0", "2.31", True), ("7.5", "2.19", False), ("8.0", "2.23", False)]


@pytest.mark.parametrize(("cuda", "glibc", "needed"), FORCE_INLINES)
def test_old_nvcc_with_new_glibc_needs_a_definition(cuda: str, glibc: str, needed: bool) -> None:
    host = machine(f"ubuntu-16.04+cuda-{cuda}+gcc-4.9", libc=Libc(family="glibc", version=glibc))
    flags = config(host, cuda="on").get("NVCCFLAGS", "")
    assert ("-D_FORCE_INLINES" in flags) is needed
    assert "NVCCFLAGS" not in config(host)


STANDARDS = [
    ("debian-12", ""),  # g++ 12 has C++17 by itself
    ("ubuntu-16.04", ""),  # protobuf 2.6 wants no more than g++ 5 has
    ("ubuntu-16.04+protobuf-3.6.1", "c++11"),
    ("macos-10.10", ""),
    ("macos-10.13", "c++11"),  # OpenCV 4
    ("macos-10.12+protobuf-3.6.1", "c++11"),
    ("macos-12", "c++11"),
    ("macos-12+glog-0.7.0", "c++14"),
    ("macos-12+boost-1.83.0", "c++14"),
    ("macos-14", "c++17"),  # protobuf 29
    ("debian-12+protobuf-3.25.3", "c++17"),
    ("debian-12+protobuf-21.12", ""),
]


@pytest.mark.parametrize(("host", "standard"), STANDARDS)
def test_the_cxx_standard_follows_the_libraries(host: str, standard: str) -> None:
    found = config(machine(host))
    assert found.get("CXXFLAGS", "") == (f"-std={standard}" if standard else "")
    assert found.get("NVCCFLAGS", "") == found.get("CXXFLAGS", "")
    assert ("pkg-config --libs protobuf" in found.get("LDFLAGS", "")) is (standard == "c++17")


def test_glog_7_is_told_how_it_is_used() -> None:
    assert config(machine("macos-14"))["COMMON_FLAGS"] == "-DGLOG_USE_GLOG_EXPORT"
    assert "COMMON_FLAGS" not in config(machine("macos-13"))


def test_opencv_2_is_not_called_3() -> None:
    assert "OPENCV_VERSION" not in config(machine("ubuntu-16.04"))
    assert config(machine("ubuntu-18.04"))["OPENCV_VERSION"] == "3"


PLACES = [
    (
        "debian-12",
        "$(PYTHON_INCLUDE) /usr/include/opencv4 /usr/include/hdf5/serial",
        "/usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/hdf5/serial",
    ),
    ("ubuntu-14.04", "", "/usr/lib/x86_64-linux-gnu"),  # before HDF5's builds were set apart
    ("fedora-42", "$(PYTHON_INCLUDE) /usr/include/opencv4", "/usr/lib64"),
    ("macos-10.10", "/usr/local/include", "/usr/local/lib"),
    ("macos-15", "/usr/local/include /usr/local/include/opencv4", "/usr/local/lib"),
    ("macos-15-arm64", "/opt/homebrew/include /opt/homebrew/include/opencv4", "/opt/homebrew/lib"),
]


@pytest.mark.parametrize(("host", "includes", "libraries"), PLACES)
def test_headers_and_libraries_are_where_the_packager_puts_them(host: str, includes: str, libraries: str) -> None:
    found = config(machine(host))
    assert (found["INCLUDE_DIRS"], found["LIBRARY_DIRS"]) == (includes, libraries)


def test_blas_by_option() -> None:
    assert config(machine("macos-15"))["BLAS"] == "atlas"  # which the Makefile takes for Accelerate on a Mac
    open_blas = config(machine("macos-15-arm64"), blas="openblas")
    assert (open_blas["BLAS"], open_blas["BLAS_INCLUDE"]) == ("open", "/opt/homebrew/opt/openblas/include")
    assert config(machine("fedora-42"))["BLAS_INCLUDE"] == "/usr/include/openblas"
    assert config(machine("debian-12"), blas="atlas")["BLAS"] == "atlas"


PYTHONS = [  # host, NumPy, protobuf's runtime, Boost.Python, NumPy's headers
    ("ubuntu-20.04", "numpy==1.24.4", "protobuf==3.20.3", "boost_python38", "numpy/core/include"),
    ("debian-11", "numpy==2.0.2", "protobuf==3.20.3", "boost_python39", "numpy/_core/include"),
    ("ubuntu-22.04", "numpy==2.2.6", "protobuf==3.20.3", "boost_python310", "numpy/_core/include"),
    ("debian-12", "numpy==2.4.6", "protobuf==4.21.12", "boost_python311", "numpy/_core/include"),
    ("ubuntu-24.04", "numpy==2.4.6", "protobuf==4.21.12", "boost_python312", "numpy/_core/include"),
    ("fedora-42", "numpy==2.4.6", "protobuf==4.21.12", "boost_python313", "numpy/_core/include"),
]


@pytest.mark.parametrize(("host", "numpy", "runtime", "boost", "headers"), PYTHONS)
def test_python_packages_fit_python_and_protoc(host: str, numpy: str, runtime: str, boost: str, headers: str) -> None:
    (env,) = (step for step in plan(machine(host)).steps if isinstance(step, PythonEnv))
    assert {numpy, runtime} <= set(env.requirements)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", each) for each in env.requirements)
    found = config(machine(host))
    assert found["PYTHON_LIBRARIES"] == boost
    of_numpy, of_python = found["PYTHON_INCLUDE"].split()
    assert of_numpy.endswith(headers)  # first: the system may keep an older NumPy beside Python.h
    assert of_python.startswith("/usr/include/python3.")


@pytest.mark.parametrize("host", ["ubuntu-16.04", "macos-12", "debian-12"])
def test_without_pycaffe_caffe_still_proves_itself_by_training(host: str) -> None:
    part = plan(machine(host), python="off")
    assert not any(isinstance(step, PythonEnv) for step in part.steps)
    assert not any(isinstance(proof, Import) for proof in part.proofs)
    (training,) = (proof for proof in part.proofs if isinstance(proof, Workload))
    written = {step.path for step in part.steps if isinstance(step, WriteFile)}
    assert {argument for argument in training.argv if "/share/" in argument} <= written
    assert "@PREFIX@/share/devsetup/digits.awk" in written, "train.sh looks for it beside itself"
    assert "boost-python" not in " ".join(part.packages)


def drawn(folder: Path, *settings: str) -> tuple[list[str], list[str]]:
    """Pixels and labels of twenty digits that the workload without Python draws."""
    folder.mkdir()
    variables = [
        f"-v{setting}" for setting in ("seed=1", "count=20", f"folder={folder}", f"list={folder}.txt", *settings)
    ]
    script = Path(__file__).parent.parent / "workloads/caffe/digits.awk"
    subprocess.run(["awk", *variables, "-f", str(script)], check=True)
    names, labels = zip(*(line.split() for line in Path(f"{folder}.txt").read_text().splitlines()), strict=True)
    return [(folder / name).read_text() for name in names], list(labels)


def test_the_workload_without_python_draws_the_digits_that_it_says(tmp_path: Path) -> None:
    images, labels = drawn(tmp_path / "one")
    assert (images, labels) == drawn(tmp_path / "two"), "the same seed draws the same"
    for image in images:
        kind, width, height, highest, *pixels = image.split()
        assert (kind, width, height, highest, len(pixels)) == ("P2", "28", "28", "255", 28 * 28)
        assert all(0 <= int(pixel) <= 255 for pixel in pixels)
        assert max(map(int, pixels)) > 100
    assert set(labels) <= set("0123456789")
    assert len(set(images)) == 20
    assert drawn(tmp_path / "lots", "shuffle=1")[1] != labels

"""CUDA for real and without root: the toolkit is assembled, and Caffe built on it for one architecture.

Run with `./dev test --all` or `-m real`; takes some minutes and installs system packages.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_real import Home

pytestmark = pytest.mark.real
CAFFE = ("install", "caffe", "--option", "cuda=on", "--option", "toolkit=own", "--option", "gpu=90")
without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="this machine has a GPU's driver")
PROGRAM = """#include <cstdio>
#include <cublas_v2.h>
__global__ void Double(float* value) { *value *= 2; }
int main() { size_t version = cublasGetCudartVersion(); std::printf("%zu\\n", version); }
"""


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def result(home: Home, name: str) -> dict[str, Any]:
    return json.loads(only(home.path / "receipts", f"{name}-*/result.json").read_text())  # type: ignore[no-any-return]


def loaded(program: Path) -> dict[str, Path]:
    """Library to the file that the loader takes for it, without any library path."""
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(["ldd", program], env=env, capture_output=True, text=True, check=True)
    lines = (line.split() for line in done.stdout.splitlines() if "=> /" in line)
    return {words[0]: Path(words[2]) for words in lines}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("home"))
    made.run("install", "cuda", "-y")
    return made


@pytest.fixture(scope="module")
def caffe(home: Home) -> Home:
    home.run(*CAFFE, "-y")
    return home


@pytest.fixture(scope="module")
def toolkit(home: Home) -> Path:
    return only(home.path / "store", "cuda-*")


def test_the_program_of_the_proof_loads_its_libraries_from_the_toolkit(home: Home, toolkit: Path) -> None:
    libraries = loaded(only(home.path / "receipts", "cuda-*/product"))
    for name in ("libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10"):
        assert libraries[name].parent == toolkit / "lib"


@without_gpu
def test_the_proof_says_that_it_was_not_run(home: Home) -> None:
    found = result(home, "cuda")
    assert found["gpu"] is None
    assert found["said"].startswith("compiled and linked, not run: no GPU: ")
    assert found["said"].endswith(("driver version is insufficient for CUDA runtime version", "device is detected"))


def test_nvcc_of_the_install_compiles_a_program(home: Home, toolkit: Path, tmp_path: Path) -> None:
    (tmp_path / "program.cu").write_text(PROGRAM)
    program = tmp_path / "program"
    flags = ("-arch=sm_90", "-lcublas", "-Xlinker", f"-rpath={toolkit}/lib")
    home.run("run", "cuda", "--", "nvcc", str(tmp_path / "program.cu"), "-o", str(program), *flags)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert 13000 <= int(done.stdout) < 14000


def test_every_variable_names_this_toolkit(home: Home, toolkit: Path) -> None:
    script = 'echo "$CUDA_HOME $CUDA_PATH $CUDAToolkit_ROOT $CUDACXX $(command -v nvcc)"'
    said = home.run("run", "cuda", "--", "sh", "-c", script).stdout.split()
    assert said == [str(toolkit)] * 3 + [f"{toolkit}/bin/nvcc"] * 2


def test_caffe_is_linked_to_the_toolkit_of_the_store(caffe: Home, toolkit: Path) -> None:
    prefix = only(caffe.path / "store", "caffe-*")
    for file in ("bin/caffe", "lib/libcaffe.so.1.0.0", "python/caffe/_caffe.so"):
        libraries = loaded(prefix / file)
        for name in ("libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10"):
            assert libraries[name].parent == toolkit / "lib", file
    (verified,) = caffe.json("verify", "caffe")["verified"]  # type: ignore[misc]
    assert [finding["status"] for finding in verified["findings"]] == ["ok", "ok", "ok", "skip"]  # type: ignore[index]


def test_caffe_holds_code_for_the_architecture_asked_for_alone(caffe: Home) -> None:
    library = (only(caffe.path / "store", "caffe-*") / "lib/libcaffe.so.1.0.0").read_bytes()
    assert b"sm_90" in library or b"arch=90" in library
    assert b"sm_80" not in library


def test_caffe_passed_its_bar(caffe: Home) -> None:
    found = result(caffe, "caffe")
    assert found["accuracy"] >= found["bar"] > found["linear_accuracy"]


@without_gpu
def test_caffe_says_where_it_stopped_and_that_it_went_on_without(caffe: Home) -> None:
    found = result(caffe, "caffe")
    assert found["gpu"] is None
    assert found["trained"].startswith("on the processor: caffe device_query stopped at common.cpp:")
    assert "CUDA error 35: " in found["trained"] or "CUDA error 100: " in found["trained"]


def test_the_toolkit_is_not_thrown_away_while_caffe_uses_it(caffe: Home, toolkit: Path) -> None:
    caffe.run("gc")
    assert (toolkit / "bin/nvcc").exists()

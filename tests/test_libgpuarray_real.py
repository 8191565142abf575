"""libgpuarray for real on this machine, both ways.

Upstream's tarball cannot be had everywhere. The tree that `from=source` is tried on here is made of Debian's packages:
the library as they have it, and pygpu's C files, which they ship, compiled by the recipe's own steps.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from test_hosts import indexes
from test_libgpuarray import LOADERS, PXD, VERSIONEER
from test_real import Home

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not indexes("12"), reason="not a Debian 12 with package lists"),
]

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "workloads/libgpuarray/example.py"
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "POCL_CACHE_DIR": "/tmp"}
NO_GPU = pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="this machine has NVIDIA's driver")


def receipt(home: Home, *options: str) -> dict[str, object]:
    (found,) = home.json("install", "libgpuarray", *options)["receipts"]  # type: ignore[misc]
    return found  # type: ignore[no-any-return]


def result(home: Home, *options: str) -> dict[str, object]:
    artifacts = home.path / "receipts" / str(receipt(home, *options)["key"])
    return json.loads((artifacts / "result.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("packaged"))
    home.run("install", "libgpuarray", "-y")
    return home


def test_the_packages_import_and_compute(packaged: Home) -> None:
    found = receipt(packaged)
    assert [proof["status"] for proof in found["proofs"]] == ["ok", "ok", "ok"]  # type: ignore[attr-defined]
    seen = result(packaged)
    assert seen["pygpu"] == "0.7.6"
    assert seen["gpu"] or seen["why_no_gpu"]
    assert seen["max_error"] is not None, "OpenCL on the processor computed"
    done = packaged.run("run", "libgpuarray", "--", "python", "-c", "import pygpu; print(pygpu.__version__)")
    assert done.stdout == "0.7.6\n"


def example(out: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/python3", EXAMPLE, "--out", out, *argv],
        env={**CLEAN, "POCL_CACHE_DIR": str(out / "pocl"), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("packaged")
def test_the_example_can_fail(tmp_path: Path) -> None:
    done = example(tmp_path, "--wrong")
    assert done.returncode == 1
    assert "elementwise: off by" in done.stderr
    assert not (tmp_path / "result.json").exists()


DRIVER = """
#define STUB(name) int name(void) {{ return 0; }}
{stubs}
int cuInit(unsigned flags) {{ return {init}; }}
int cuDriverGetVersion(int *version) {{ *version = 13000; return 0; }}
int cuGetErrorName(int error, const char **name) {{ *name = "CUDA_ERROR_NO_DEVICE"; return 0; }}
int cuGetErrorString(int error, const char **text) {{ *text = "no CUDA-capable device is detected"; return 0; }}
"""
DEFINED = {"cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString"}


def driver(where: Path, *, init: int) -> dict[str, str]:
    """A libcuda.so that has every function which libgpuarray asks for, and answers cuInit so."""
    said = subprocess.run(["strings", "-a", "/usr/lib/libgpuarray.so.3"], capture_output=True, text=True, check=True)
    names = {line for line in said.stdout.split("\n") if line.startswith("cu") and line.replace("_v2", "").isalnum()}
    stubs = "\n".join(f"STUB({name})" for name in sorted(names - DEFINED))
    (where / "cuda.c").write_text(DRIVER.format(stubs=stubs, init=init))
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", "libcuda.so", "cuda.c"], cwd=where, check=True)
    return {"LD_LIBRARY_PATH": str(where)}


@NO_GPU
@pytest.mark.usefixtures("packaged")
def test_without_a_driver_or_a_device_the_reason_is_kept(tmp_path: Path) -> None:
    done = example(tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'no GPU (Could not load "libcuda.so"' in done.stdout
    done = example(tmp_path, **driver(tmp_path, init=100))
    assert done.returncode == 0, done.stderr
    seen = json.loads((tmp_path / "result.json").read_text())
    assert seen["gpu"] is None
    assert seen["why_no_gpu"] == "cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"


@NO_GPU
@pytest.mark.usefixtures("packaged")
def test_a_driver_without_a_toolkit_fails_and_says_what_is_missing(tmp_path: Path) -> None:
    env = driver(tmp_path, init=0)
    for more in ({}, {"GPUARRAY_CUDA_VERSION": "80"}):  # on Linux, 0.7.6 asks for the same name whatever that says
        done = example(tmp_path, **env, **more)
        assert done.returncode == 1
        assert 'Could not load "libnvrtc.so"' in done.stderr
        assert "--option toolkit=own" in done.stderr


@NO_GPU
@pytest.mark.usefixtures("packaged")
def test_without_any_device_what_needs_none_is_checked(tmp_path: Path) -> None:
    done = example(tmp_path, OCL_ICD_VENDORS=str(tmp_path))
    assert done.returncode == 1
    assert "OpenCL has no device" in done.stderr
    done = example(tmp_path, "--opencl", "off", OCL_ICD_VENDORS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "computed on no device" in done.stdout
    assert json.loads((tmp_path / "result.json").read_text())["max_error"] is None


TREE_CMAKE = """
cmake_minimum_required(VERSION 3.0)
project(libgpuarray C)
install(PROGRAMS src/libgpuarray.so.3 src/libgpuarray.so DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY src/gpuarray DESTINATION include)
"""
TREE_SETUP = """
import os
import numpy, versioneer
from setuptools import Extension, setup
assert os.environ["CONDA_BUILD"], "upstream's setup.py would add the build tree's own directories"
names = ("gpuarray", "blas", "_elemwise", "collectives")
macros = [("GPUARRAY_SHARED", None)]
setup(
    name="pygpu",
    version=versioneer.get_versions()["version"],
    packages=["pygpu"],
    package_data={"pygpu": ["*.h"]},
    ext_modules=[
        Extension(f"pygpu.{name}", [f"c/{name}.c"], [numpy.get_include()], macros, libraries=["gpuarray"])
        for name in names
    ],
)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as upstream's: its library and its pygpu, as Debian's packages have them."""
    made, root = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("root")
    subprocess.run(["apt-get", "download", "libgpuarray3", "libgpuarray-dev", "python3-pygpu"], cwd=root, check=True)
    for package in root.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    for name in ("src/loaders", "pygpu", "c"):
        (made / name).mkdir(parents=True)
    (root / "usr/include/gpuarray").rename(made / "src/gpuarray")
    for name in ("libgpuarray.so", "libgpuarray.so.3"):
        (made / "src" / name).write_bytes((root / "usr/lib/libgpuarray.so.3.0").read_bytes())
    (made / "src/gpuarray_types.c").touch()
    for path in (root / "usr/lib/python3/dist-packages/pygpu").iterdir():
        if path.suffix in {".py", ".h", ".c"}:
            path.rename(made / ("c" if path.suffix == ".c" else "pygpu") / path.name)
    for path in (made / "c").iterdir():  # made by Cython 0.29, which takes fields that NumPy 2 has in another struct
        path.write_text(re.sub(r"(?<!sizeof\()\bPyArray_Descr\b", "_PyArray_LegacyDescr", path.read_text()))
    for name in ("gpuarray", "blas", "_elemwise", "collectives"):
        (made / f"pygpu/{name}.pyx").write_text("# its C file is in c/\n")
    (made / "pygpu/gpuarray.pxd").write_text(PXD)
    (made / "src/loaders/libcuda.c").write_text(LOADERS)
    (made / "versioneer.py").write_text(f"{VERSIONEER}\n\ndef get_versions():\n    return {{'version': '0.7.6'}}\n")
    (made / "CMakeLists.txt").write_text(TREE_CMAKE)
    (made / "setup.py").write_text(TREE_SETUP)
    return made


def test_the_source_route_builds_links_imports_and_computes(tree: Path, tmp_path: Path) -> None:
    home, options = Home(tmp_path / "home"), ("--option", "from=source", "--source", str(tree))
    home.run("install", "libgpuarray", "-y", *options)
    found = receipt(home, *options)
    assert [proof["status"] for proof in found["proofs"]] == ["ok", "ok", "ok"]  # type: ignore[attr-defined]
    statuses = {patch["name"][:4]: patch["status"] for patch in found["patches"]}  # type: ignore[attr-defined]
    assert statuses == {"0001": "applied", "0002": "applied", "0003": "not needed here", "0004": "not needed here"}
    seen = result(home, *options)
    assert str(seen["numpy"]).startswith("2.")
    assert seen["max_error"] is not None
    prefix = Path(str(found["prefix"]))
    maps = "import pygpu; print(*{line.split()[-1] for line in open('/proc/self/maps') if 'libgpuarray.so' in line})"
    done = subprocess.run([prefix / "env/bin/python", "-c", maps], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(prefix / "lib/libgpuarray.so.3"), "its own library, with no variable set"

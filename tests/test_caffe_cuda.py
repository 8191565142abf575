"""Caffe with CUDA, planned: which toolkit, which GPUs, and what its training makes of a machine without one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_caffe_patches import CATALOGUE, machine, plan, refusal, wanted
from test_caffe_plan import config

from devsetup.errors import Refused
from devsetup.facts import Cuda, Driver, Facts, Gpu
from devsetup.planner import Wish, make_plan
from devsetup.proofs import LinkClosure, Workload
from devsetup.steps import WriteFile


def parts(facts: Facts, **options: str) -> list[str]:
    return [part.name for part in make_plan(Wish(names=("caffe",), options=options), facts, CATALOGUE).parts]


def test_without_a_toolkit_one_is_made_and_built_with() -> None:
    host = machine("debian-13")
    assert parts(host, cuda="on") == ["cuda", "caffe"]
    assert parts(host) == ["caffe"]
    part = plan(host, cuda="on")
    assert part.options["toolkit"] == "own"
    assert part.needs[0].startswith("cuda-13-")
    found = config(host, cuda="on")
    assert found["CUDA_DIR"] == "@PREFIX:cuda@"
    assert found["LDFLAGS"] == "-Wl,-rpath,@PREFIX:cuda@/lib"
    assert re.findall(r"code=sm_(\d+)", found["CUDA_ARCH"]) == ["75", "80", "86", "89", "90", "100", "120"]
    assert "0016" in wanted(host, cuda="on"), "the toolkit is a 13.x, although the bare machine has none"
    assert "0016" not in wanted(host)


def test_another_release_of_the_toolkit_is_another_build() -> None:
    host = machine("debian-12")
    assert plan(host, cuda="on").key != plan(host, cuda="on", **{"cuda-version": "13.0"}).key


def test_a_toolkit_that_is_there_is_used_unless_ones_own_is_asked_for() -> None:
    host = machine("debian-13+cuda-12.4+gcc-13")
    assert parts(host, cuda="on") == ["caffe"]
    assert config(host, cuda="on")["CUDA_DIR"] == "/usr/local/cuda-12.4"
    assert parts(host, cuda="on", toolkit="own") == ["cuda", "caffe"]
    assert config(host, cuda="on", toolkit="own")["CUDA_DIR"] == "@PREFIX:cuda@"


def test_a_compiler_too_new_for_the_toolkit_that_is_there_has_a_way_out() -> None:
    host = machine("debian-13+cuda-12.4")
    said = refusal(host, cuda="on")
    assert "nvcc of CUDA 12.4 accepts g++ below 14, and g++ here is 14.2.0" in said
    assert "--option toolkit=own" in said
    assert parts(host, cuda="on", toolkit="own") == ["cuda", "caffe"], "and that way is open"


@pytest.mark.parametrize("host", ["ubuntu-14.04", "ubuntu-16.04"])
def test_no_toolkit_is_made_for_an_old_c_library(host: str) -> None:
    said = refusal(machine(host), cuda="on")
    assert "cuda cannot be installed here" in said
    assert "need glibc 2.27 or newer" in said


GPUS = [  # compute capabilities here, toolkit, option, compiled for
    (("9.0",), "13.0", "auto", "90"),
    (("8.9", "9.0", "9.0"), "13.0", "auto", "89 90"),
    (("6.1", "9.0"), "13.0", "auto", "90"),
    (("6.1",), "12.4", "auto", "61"),
    (("9.0",), "13.0", "all", "75 80 86 89 90 100 120"),
    (("9.0",), "13.0", "80", "80"),
    (("",), "13.0", "auto", "75 80 86 89 90 100 120"),  # a GPU without a driver that could tell
    ((), "13.0", "90", "90"),
]


@pytest.mark.parametrize(("capabilities", "toolkit", "option", "archs"), GPUS)
def test_what_is_compiled_for_follows_the_gpus(
    capabilities: tuple[str, ...], toolkit: str, option: str, archs: str
) -> None:
    gpus = tuple(Gpu(address=f"{number}", capability=each) for number, each in enumerate(capabilities))
    driver = Driver(module="580.65.06", library="580.65.06", cuda="13.0")
    found = config(machine(f"debian-12+cuda-{toolkit}", gpus=gpus, driver=driver), cuda="on", gpu=option)
    assert re.findall(r"code=sm_(\d+)", found["CUDA_ARCH"]) == archs.split()
    newest = archs.rsplit(maxsplit=1)[-1]
    assert re.findall(r"code=compute_(\d+)", found["CUDA_ARCH"]) == [newest], "and for later ones by their driver"


def test_a_gpu_that_the_toolkit_no_longer_knows_is_refused() -> None:
    host = machine("debian-12+cuda-13.0", gpus=(Gpu(capability="6.1"),))
    assert "not for any GPU of this machine" in refusal(host, cuda="on")
    assert config(host, cuda="on", gpu="90")["CUDA_DIR"] == "/usr/local/cuda-13.0"


RUN_PATHS = [  # where the runtime library is, the run path that is set
    ("/opt/cuda/targets/x86_64-linux/lib", "-Wl,-rpath,/opt/cuda/targets/x86_64-linux/lib"),
    ("/usr/lib/x86_64-linux-gnu", ""),  # the loader looks there by itself
    ("", "-Wl,-rpath,/opt/cuda/lib64 -Wl,-rpath,/opt/cuda/lib"),
]


@pytest.mark.parametrize(("libdir", "flags"), RUN_PATHS)
def test_the_run_path_leads_to_the_runtime_library(libdir: str, flags: str) -> None:
    toolkit = Cuda(path="/opt/cuda", version="12.4", origin="test", chosen=True, libdir=libdir)
    assert config(machine("debian-12", cuda=(toolkit,)), cuda="on").get("LDFLAGS", "") == flags


@pytest.mark.parametrize("python", ["on", "off"])
def test_with_cuda_the_training_tries_a_gpu(python: str) -> None:
    part = plan(machine("debian-12"), cuda="on", python=python)
    (training,) = (proof for proof in part.proofs if isinstance(proof, Workload))
    assert "--gpu" in training.argv
    assert any(isinstance(proof, LinkClosure) for proof in part.proofs)
    assert "@PREFIX@/share/devsetup/gpu.sh" in {step.path for step in part.steps if isinstance(step, WriteFile)}
    (training,) = (proof for proof in plan(machine("debian-12"), python=python).proofs if isinstance(proof, Workload))
    assert "--gpu" not in training.argv


QUERIES = [  # exit status of `caffe device_query`, its output, exit status of gpu.sh, what it prints
    (0, "I1 1 common.cpp:190] Name:                          NVIDIA H100 PCIe", 0, "NVIDIA H100 PCIe"),
    (134, "100 vs. 0)  no CUDA-capable device is detected", 3, "CUDA error 100: no CUDA-capable device is detected"),
    (134, "209 vs. 0)  no kernel image is available for execution on the device", 2, ""),
    (134, "804 vs. 0)  forward compatibility was attempted on non supported HW", 2, ""),
    (127, "caffe: error while loading shared libraries: libcublas.so.13: cannot open shared object file", 2, ""),
    (0, "nothing that names a GPU", 2, ""),
]


@pytest.mark.parametrize(("status", "output", "wanted_status", "words"), QUERIES)
def test_only_want_of_a_gpu_lets_the_training_go_on_without(
    status: int, output: str, wanted_status: int, words: str, tmp_path: Path
) -> None:
    if " vs. 0)" in output:
        output = f"F1124 08:00:00.000000 77 common.cpp:152] Check failed: error == cudaSuccess ({output}"
    tool = tmp_path / "bin/caffe"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END' >&2\n{output}\n*** Check failure stack trace: ***\nEND\nexit {status}\n")
    tool.chmod(0o755)
    script = Path(__file__).parent.parent / "workloads/caffe/gpu.sh"
    done = subprocess.run(["sh", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == wanted_status, done.stderr
    assert words in done.stdout
    if wanted_status == 3:
        assert "stopped at common.cpp:152" in done.stdout
    if wanted_status == 2:
        assert output in done.stderr, "what Caffe said is shown"


def test_a_toolkit_with_nothing_to_link_to_is_refused_before_anything_is_compiled() -> None:
    partial = Cuda(path="/usr/local/cuda", version="13.0", origin="test", chosen=True, lacks=("libcublas.so",))
    with pytest.raises(Refused, match=r"in /usr/local/cuda has no libcublas\.so to link to; use --option toolkit=own"):
        plan(replace(machine("debian-12"), cuda=(partial,)), cuda="on")

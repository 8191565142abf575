"""The cuda recipe: its pins, its refusals, what it gives to others, and that its workload tells right from wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from makefiles.harness import LOADER
from msgspec.structs import replace

from devsetup.building import archs_for, gxx_too_new
from devsetup.errors import Refused
from devsetup.facts import Compiler, Cuda, Driver, Facts, Gpu, Libc
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.proofs import Check
from devsetup.steps import Env, Run

RECIPE = LOADER.recipe("cuda")
(OPTION,) = RECIPE.options
SCRIPT = Path(__file__).parent.parent / "workloads/cuda/product.sh"
# There the workload takes error 35 for what it is: a driver too old.
NO_DRIVER = pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="this machine has NVIDIA's driver")


def machine(host: str = "debian-12", **changes: object) -> Facts:
    return replace(LOADER.host(host), **changes)


def plan(facts: Facts, version: str = OPTION.default) -> Part:
    wish = Wish(names=("cuda",), options={"cuda-version": version})
    return make_plan(wish, facts, LOADER.catalogue()).parts[0]


def refusal(facts: Facts, version: str = OPTION.default) -> str:
    with pytest.raises(Refused) as caught:
        plan(facts, version)
    return caught.value.message


def commands(part: Part) -> list[tuple[str, ...]]:
    return [argv for step in part.steps if isinstance(step, Run) for argv in (step.argv, *step.then)]


def gxx(version: str) -> tuple[Compiler, ...]:
    return (Compiler(name="g++", family="gcc", version=version, path="/usr/bin/g++"),)


@pytest.mark.parametrize("version", OPTION.choices)
def test_every_wheel_of_a_toolkit_is_pinned(version: str) -> None:
    part = plan(machine(), version)
    (install,) = (argv for argv in commands(part) if "pip" in argv)
    pins = dict(word.split("==") for word in install if re.fullmatch(r"[a-z-]+==[0-9.]+", word))
    assert len(pins) == 8
    assert {"--no-deps", "--only-binary=:all:"} <= set(install), "nothing comes along, and nothing is compiled"
    for name in ("nvcc", "cuda-crt", "nvvm", "cuda-runtime", "nvrtc"):
        assert next(pin for wheel, pin in pins.items() if wheel.endswith(name)).startswith(f"{version}.")
    (check,) = (proof for proof in part.proofs if isinstance(proof, Check))
    said = f"Cuda compilation tools, release {version}, V{pins['nvidia-cuda-nvcc']}"
    assert re.search(check.expect, said)
    assert not re.search(check.expect, said.replace(version, "12.9"))


def test_the_default_is_the_newest_and_takes_every_compiler_that_another_takes() -> None:
    assert max(OPTION.choices, key=lambda text: tuple(map(int, text.split(".")))) == OPTION.default
    for version in OPTION.choices:
        for major in range(5, 20):
            host = machine(compilers=gxx(f"{major}.1.0"))
            assert not gxx_too_new(host, OPTION.default) or gxx_too_new(host, version)


def test_the_toolkit_is_laid_out_as_tools_expect_it() -> None:
    made = commands(plan(machine()))
    (move,) = (argv for argv in made if argv[0] == "mv")
    assert [word.rpartition("/")[2] for word in move[1:-1]] == ["bin", "include", "lib", "nvvm"]
    assert move[-1] == "@PREFIX@"
    links = {argv[3].removeprefix("@PREFIX@/"): argv[2] for argv in made if argv[0] == "ln"}
    assert links["lib64"] == "lib", "nvcc of 13.0 and 13.1 looks there"
    assert links["lib/libcublas.so"] == "libcublas.so.13"
    assert links["lib/libcurand.so"] == "libcurand.so.10"


def test_activation_leaves_no_tool_another_toolkit() -> None:
    activation = {step.name: step for step in plan(machine()).steps if isinstance(step, Env)}
    assert {name for name, step in activation.items() if step.mode == "set"} == {
        *("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT", "CUDACXX")
    }
    assert activation["CUDACXX"].value == "@PREFIX@/bin/nvcc"
    assert (activation["PATH"].mode, activation["PATH"].value) == ("prepend", "@PREFIX@/bin")


def test_it_wins_over_toolkits_that_were_found() -> None:
    found = Cuda(path="/usr/local/cuda-12.4", version="12.4", origin="/usr/local/cuda", chosen=True)
    assert RECIPE.provides
    facts = RECIPE.provides(machine(cuda=(found,)), {"cuda-version": "13.0"})
    assert [(each.version, each.chosen) for each in facts.cuda] == [("13.0", True), ("12.4", False)]
    assert facts.toolkit == "13.0"
    own, other = facts.cuda
    assert (own.path, own.nvcc, own.libdir) == ("@PREFIX:cuda@", "@PREFIX:cuda@/bin/nvcc", "@PREFIX:cuda@/lib")
    assert other.why == "the cuda recipe comes first"


REFUSED = [
    ("macos-15", {}, "this is macos 15.5, and NVIDIA's wheels are for Linux"),
    ("debian-12", {"arch": "armv7l"}, "the processor is armv7l"),
    ("debian-12", {"libc": Libc(family="musl", version="1.2.5")}, "the C library is musl 1.2.5"),
    ("ubuntu-16.04", {}, "the C library is glibc 2.23, and NVIDIA's wheels need glibc 2.27"),
    ("ubuntu-18.04", {}, "python is 3.6.7, and installing NVIDIA's wheels needs Python 3.8"),
    ("debian-12", {"compilers": gxx("17.1.0")}, "accepts g++ below 17, and g++ here is 17.1.0; install an older g++"),
    ("debian-12", {"driver": Driver(module="535.54.03")}, "driver is 535.54.03, and programs of CUDA 13.5 need 580"),
    ("debian-12", {"driver": Driver(library="570.86.10")}, "driver is 570.86.10"),
    (
        "debian-12",
        {"gpus": (Gpu(capability="6.1"), Gpu(capability="7.0"))},
        "GPUs here: 6.1, 7.0; CUDA 13.5 compiles for 7.5",
    ),
]


@pytest.mark.parametrize(("host", "changes", "reason"), REFUSED)
def test_what_cannot_work_is_refused_with_its_reason(host: str, changes: dict[str, object], reason: str) -> None:
    said = refusal(machine(host, **changes))
    assert reason in said
    assert "install" in said, "it says what to do instead"


def test_a_compiler_that_only_a_newer_toolkit_takes_points_to_it() -> None:
    host = machine(compilers=gxx("16.1.0"))
    said = refusal(host, "13.0")
    assert "nvcc of CUDA 13.0 accepts g++ below 16" in said
    assert f"--option cuda-version={OPTION.default}" in said
    assert plan(host).options["cuda-version"] == OPTION.default


FINE = [
    {"arch": "aarch64"},
    {"driver": Driver(module="580.65.06", library="580.65.06", cuda="13.0")},
    {"driver": Driver(problem="libcuda.so.1 cannot be loaded")},
    {"gpus": (Gpu(capability="6.1"), Gpu(capability="9.0"))},
    {"gpus": (Gpu(address="0000:01:00.0"),)},
]


@pytest.mark.parametrize("changes", FINE)
def test_what_can_work_is_planned(changes: dict[str, object]) -> None:
    assert plan(machine(**changes)).steps


CAPABILITIES = [  # of the GPUs here, what CUDA 13 compiles for them
    (("9.0",), ("90",)),
    (("8.9",), ("89",)),
    (("8.7",), ("86",)),  # an earlier one of its generation
    (("12.1",), ("120",)),
    (("15.0",), ("120",)),  # later than the toolkit: its driver translates the newest
    (("6.1",), ()),
    (("6.1", "9.0"), ("90",)),
    (("10.0", "9.0"), ("90", "100")),
    ((), ("75", "80", "86", "89", "90", "100", "120")),
    (("",), ("75", "80", "86", "89", "90", "100", "120")),
]


@pytest.mark.parametrize(("capabilities", "archs"), CAPABILITIES)
def test_a_gpu_gets_the_newest_code_that_it_runs(capabilities: tuple[str, ...], archs: tuple[str, ...]) -> None:
    gpus = tuple(Gpu(capability=each) for each in capabilities)
    assert archs_for(machine(gpus=gpus), "13.0") == archs


RIGHT = '{"gpu": "NVIDIA H100", "capability": "9.0", "mean": 0.5, "saxpy_error": 1e-07, "sgemm_error": 2e-06}'
NVCC = """#!/bin/sh
[ "$1" != --version ] || { echo "Cuda compilation tools, release 13.5, V13.5.37"; exit; }
while [ "$1" != -o ]; do shift; done
cp "$(dirname "$0")/program" "$2"
chmod 755 "$2"
"""


LIBRARIES = ("libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcurand.so.10")


def work(
    prefix: Path, program: str, loaded: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    """The workload with an nvcc whose programs are this shell script; what it did, and its result.json.

    `loaded` is what the loader takes for a library, where that is not the toolkit's own.
    """
    (prefix / "bin").mkdir()
    found = {name: f"{prefix}/lib/{name} (0x00007f0000000000)" for name in LIBRARIES} | (loaded or {})
    lines = "".join(f"\t{name} => {place}\n" for name, place in found.items())
    for name, text in (("nvcc", NVCC), ("ldd", f"#!/bin/sh\ncat <<'END'\n{lines}END\n")):
        (prefix / "bin" / name).write_text(text)
        (prefix / "bin" / name).chmod(0o755)
    (prefix / "bin/program").write_text(f"#!/bin/sh\n{program}\n")
    env = {**os.environ, "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["sh", SCRIPT, prefix, prefix / "out"], env=env, capture_output=True, text=True, check=False)
    result = prefix / "out/result.json"
    return done, json.loads(result.read_text()) if result.exists() else {}


def test_the_workload_says_what_it_ran_on(tmp_path: Path) -> None:
    done, result = work(tmp_path, f"echo '{RIGHT}'")
    assert done.returncode == 0, done.stderr
    assert result["gpu"] == "NVIDIA H100"
    assert result["numbers"] == json.loads(RIGHT)
    assert result["said"] == "compiled, linked and run on NVIDIA H100: the numbers are right"


NO_GPU = [
    (100, "no CUDA-capable device is detected"),
    (35, "CUDA driver version is insufficient for CUDA runtime version"),
]


@NO_DRIVER
@pytest.mark.parametrize(("error", "words"), NO_GPU)
def test_without_a_gpu_the_workload_says_so_and_passes(error: int, words: str, tmp_path: Path) -> None:
    done, result = work(tmp_path, f'echo "cudaGetDeviceCount: CUDA error {error}: {words}"; exit 3')
    assert done.returncode == 0, done.stderr
    said = f"compiled and linked, not run: no GPU: {words}"
    assert done.stdout.splitlines()[-1] == said
    assert (result["nvcc"], result["gpu"], result["numbers"], result["said"]) == ("13.5.37", None, None, said)


WRONG = [
    f"echo '{RIGHT}'; exit 1",  # wrong numbers
    "echo 'cudaGetDeviceCount: CUDA error 804: forward compatibility was attempted'; exit 1",
    "echo 'error while loading shared libraries: libcublas.so.13' >&2; exit 127",
    "kill -SEGV $$",
]


@pytest.mark.parametrize("program", WRONG)
def test_the_workload_can_fail(program: str, tmp_path: Path) -> None:
    done, result = work(tmp_path, program)
    assert done.returncode != 0
    assert not result
    assert "workload: the program ended with status" in done.stderr


@pytest.mark.parametrize("place", ["/usr/local/cuda/lib64/libcublasLt.so.13 (0x00007f0000000000)", "not found"])
def test_a_library_from_elsewhere_fails_the_workload(place: str, tmp_path: Path) -> None:
    done, result = work(tmp_path, f"echo '{RIGHT}'", {"libcublasLt.so.13": place})
    assert done.returncode == 1
    assert not result
    assert f"does not load libcublasLt from {tmp_path}/lib" in done.stderr
    assert place in done.stderr

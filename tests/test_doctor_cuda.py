"""CUDA toolkits on constructed machines: which wins, who takes another, and names that lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from doctor_cuda import WANTED, WELL, fix_of, having, silent, toolkit
from doctor_goals import wanting
from doctoring import Couch, check, only

from devsetup.doctor import Exam
from devsetup.facts import Driver, Gpu


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    return Couch(tmp_path / "root")


def test_a_machine_without_anything_of_nvidias_has_no_line(couch: Couch) -> None:
    assert check("cuda", couch.exam()) == ()


def test_a_toolkit_without_a_driver_compiles(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    result = only("cuda.find", couch.exam())
    assert result.status == "info"
    assert "CUDA 12.4 in /usr/local/cuda-12.4: it compiles; nothing runs on a GPU here" in result.summary
    facts = msgspec.structs.replace(couch.facts(), driver=WELL)
    result = only("cuda.find", couch.exam(facts=facts))
    assert (result.status, result.summary) == ("ok", "CUDA 12.4 in /usr/local/cuda-12.4")


def test_no_toolkit_matters_to_who_wants_one(couch: Couch) -> None:
    result = only("cuda.find", couch.exam(goals=(WANTED,), CUDA_HOME="/nowhere"))
    assert result.status == "fail"
    assert "looked at: /opt/cuda" in result.detail
    assert {"CUDA_HOME": "/nowhere", "CUDA_PATH": "not set"}.items() <= {
        each.source: each.value for each in result.evidence
    }.items()
    assert fix_of(result)[1] == ("devsetup install cuda",)


@pytest.mark.parametrize(("driver", "gpus"), [(WELL, ()), (None, (Gpu(address="0000:01:00.0"),))])
def test_no_toolkit_beside_a_gpu_is_worth_knowing(couch: Couch, driver: Driver | None, gpus: tuple[Gpu, ...]) -> None:
    result = only("cuda.find", couch.exam(facts=having(couch, "", driver, *gpus)))
    assert (result.status, result.summary, result.detail) == ("info", "no CUDA toolkit", ())


def test_toolkit_without_the_libraries_to_link_to(couch: Couch) -> None:
    """NVIDIA's own packages can be installed one by one: nvcc and the runtime alone are a toolkit, too."""
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    assert only("cuda.find", couch.exam()).detail == ()
    for name in ("libcublas.so", "libcurand.so"):
        Path(f"{couch.root}/usr/local/cuda-12.4/lib64/{name}").unlink()
    facts = couch.facts()
    result = only("cuda.find", couch.exam(facts=facts))
    assert (result.status, result.detail) == ("info", ("it has no libcublas.so, libcurand.so to link to",))
    result = only("cuda.find", couch.exam(facts=facts, goals=(WANTED,)))
    assert result.status == "fail"
    assert "has no libcublas.so, libcurand.so to link to (asked for: caffe)" in result.summary
    assert "--option toolkit=own" in fix_of(result)[0]
    own = wanting(facts, name="cuda", options={"cuda-version": "13.0"})
    assert only("cuda.find", couch.exam(facts=facts, goals=own)).status == "info"


def test_other_toolkits_are_listed(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    couch.program("/opt/cuda/bin/nvcc", "echo what")
    result = only("cuda.find", couch.exam())
    assert result.summary.startswith("CUDA 12.4 in /usr/local/cuda-12.4")
    assert len(result.detail) == 1
    assert result.detail[0].startswith("CUDA of unknown version in /opt/cuda: ")


def test_who_brings_a_toolkit_misses_none(couch: Couch) -> None:
    goals = wanting(couch.facts(), name="cuda", options={"cuda-version": "13.0"})
    assert only("cuda.find", couch.exam(goals=goals)).status == "ok"


def test_toolkit_without_nvcc(couch: Couch) -> None:
    couch.write("/usr/local/cuda-12.4/include/cuda.h", "#define CUDA_VERSION 12040\n")
    assert only("cuda.find", couch.exam()).status == "info"
    result = only("cuda.find", couch.exam(goals=(WANTED,)))
    assert result.status == "fail"
    assert result.summary.startswith("no CUDA toolkit with an nvcc")
    assert "/usr/local/cuda-12.4: it has no nvcc" in result.detail


# cuda.multi


def two(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    toolkit(couch, "/usr/local/cuda-13.0", "13.0")
    couch.link("/usr/local/cuda", "cuda-13.0")


def test_tools_that_take_different_toolkits(couch: Couch) -> None:
    two(couch)
    couch.link("/usr/bin/nvcc", "/usr/local/cuda-13.0/bin/nvcc")
    environ = {"CUDA_HOME": "/usr/local/cuda-12.4", "XDG_CONFIG_HOME": "/home/user/.config"}
    result = only("cuda.multi", couch.exam(**environ))
    assert result.status == "info"
    assert result.summary == "2 CUDA toolkits are named, and tools take different ones"
    assert result.detail == (
        "CUDA_HOME: /usr/local/cuda-12.4 (CUDA 12.4)",
        "nvcc on PATH: /usr/local/cuda-13.0 (CUDA 13.0)",
        "/usr/local/cuda: /usr/local/cuda-13.0 (CUDA 13.0)",
        "CMake takes /usr/local/cuda-13.0 (CUDA 13.0)",  # it does not know CUDA_HOME
        "PyTorch takes /usr/local/cuda-12.4 (CUDA 12.4)",
        "devsetup takes /usr/local/cuda-12.4 (CUDA 12.4)",
    )
    text, _ = fix_of(result)
    assert 'cuda = "/usr/local/cuda-12.4"' in text
    assert "/home/user/.config/devsetup/config.toml" in text
    assert only("cuda.multi", couch.exam(goals=(WANTED,), **environ)).status == "warn"


def test_variables_that_differ(couch: Couch) -> None:
    two(couch)
    environ = {"CUDA_HOME": "/usr/local/cuda-12.4", "CUDA_PATH": "/usr/local/cuda"}
    detail = only("cuda.multi", couch.exam(**environ)).detail
    assert "CUDA_PATH: /usr/local/cuda-13.0 (CUDA 13.0)" in detail
    assert "CMake takes /usr/local/cuda-13.0 (CUDA 13.0)" in detail
    assert "PyTorch takes /usr/local/cuda-12.4 (CUDA 12.4)" in detail


def test_names_that_differ_and_tools_that_do_not(couch: Couch) -> None:
    """CUDAToolkit_ROOT is asked first by CMake and by us, and CUDA_HOME by PyTorch; what is behind them is the same."""
    two(couch)
    root = "/usr/local/cuda-12.4"
    result = only("cuda.multi", couch.exam(CUDAToolkit_ROOT=root, CUDA_HOME=root))
    assert result.status == "info"
    assert result.summary == f"2 CUDA toolkits are named, and all tools take {root}"


def test_the_settings_decide(couch: Couch) -> None:
    two(couch)
    facts = couch.facts(CUDA_HOME="/usr/local/cuda-12.4")
    chosen = msgspec.structs.replace(facts.cuda[0], origin="--cuda or config.toml")
    facts = msgspec.structs.replace(facts, cuda=(chosen, *facts.cuda[1:]))
    result = only("cuda.multi", couch.exam(facts=facts, goals=(WANTED,), CUDA_HOME="/usr/local/cuda-12.4"))
    assert result.status == "info"
    assert result.fix is None


def test_toolkits_without_nvcc(couch: Couch) -> None:
    for version in ("11.8", "12.4"):
        major, minor = version.split(".")
        couch.write(f"/usr/local/cuda-{version}/include/cuda.h", f"#define CUDA_VERSION {major}0{minor}0\n")
    environ = {"CUDA_HOME": "/usr/local/cuda-11.8", "CUDA_PATH": "/usr/local/cuda-12.4"}
    result = only("cuda.multi", couch.exam(**environ))
    assert not any(line.startswith("devsetup takes") for line in result.detail)
    assert 'cuda = "/usr/local/cuda-11.8"' in fix_of(result)[0]


def test_name_that_leads_nowhere_is_no_rival(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    couch.link("/usr/local/cuda", "cuda-12.4")
    assert silent("cuda.multi", couch.exam(CUDA_HOME="/opt/gone"))


def test_wrapper_says_which_toolkit_it_means(couch: Couch) -> None:
    two(couch)
    couch.program("/usr/bin/nvcc", "echo '#$ TOP=/usr/local/cuda-12.4' >&2; exit 1")
    facts = couch.facts()
    assert facts.cuda[0].origin == "nvcc on PATH"
    detail = only("cuda.multi", couch.exam(facts=facts)).detail
    assert "nvcc on PATH: /usr/local/cuda-12.4 (CUDA 12.4)" in detail


def test_two_toolkits_of_which_all_mean_one_are_no_trouble(couch: Couch) -> None:
    two(couch)
    assert silent("cuda.multi", couch.exam(goals=(WANTED,), CUDA_HOME="/usr/local/cuda-13.0"))


def test_debians_package_under_several_names_is_one(couch: Couch) -> None:
    toolkit(couch, "/usr/lib/nvidia-cuda-toolkit", "11.8")
    couch.link("/usr/bin/nvcc", "../lib/nvidia-cuda-toolkit/bin/nvcc")
    couch.write("/usr/lib/cuda/version.txt", "CUDA Version 11.8.89\n")
    assert silent("cuda.multi", couch.exam(CUDA_HOME="/usr/lib/cuda", CUDA_PATH="/usr"))
    assert silent("cuda.dangling", couch.exam(CUDA_HOME="/usr/lib/cuda", CUDA_PATH="/usr"))
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    detail = only("cuda.multi", couch.exam(CUDA_HOME="/usr/local/cuda-12.4")).detail
    assert "CUDA_HOME: /usr/local/cuda-12.4 (CUDA 12.4)" in detail
    assert "nvcc on PATH: /usr/lib/nvidia-cuda-toolkit (CUDA 11.8)" in detail


def test_usr_is_no_toolkit_without_debians_package(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    assert "CUDA_PATH=/usr holds no CUDA toolkit" in only("cuda.dangling", couch.exam(CUDA_PATH="/usr")).summary


# cuda.dangling


def test_link_to_a_toolkit_that_is_gone(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    toolkit(couch, "/usr/local/cuda-9.2", "9.2")
    couch.link("/usr/local/cuda", "/usr/local/cuda-11.8")
    result = only("cuda.dangling", couch.exam())
    assert result.status == "info"
    assert "/usr/local/cuda is a link to /usr/local/cuda-11.8, which does not exist" in result.summary
    assert fix_of(result)[1] == ("sudo ln -sfn /usr/local/cuda-12.4 /usr/local/cuda",)
    assert only("cuda.dangling", couch.exam(goals=(WANTED,))).status == "warn"


def test_link_by_alternatives_and_link_to_leftovers(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    couch.link("/usr/local/cuda", "/etc/alternatives/cuda")
    couch.link("/etc/alternatives/cuda", "/usr/local/cuda-11.8")
    couch.write("/usr/local/cuda-11.8/lib64/leftover")
    result = only("cuda.dangling", couch.exam())
    assert "which holds no toolkit" in result.summary
    assert fix_of(result)[1] == ("sudo update-alternatives --set cuda /usr/local/cuda-12.4",)


def test_link_to_nothing_where_there_is_nothing_to_lead_to(couch: Couch) -> None:
    couch.link("/usr/local/cuda", "/usr/local/cuda-11.8")
    toolkit(couch, "/opt/cuda", "12.4")  # no place that this name should lead to
    assert fix_of(only("cuda.dangling", couch.exam()))[1] == ("sudo rm /usr/local/cuda",)


def test_variable_that_leads_nowhere(couch: Couch) -> None:
    toolkit(couch, "/usr/local/cuda-12.4", "12.4")
    result = only("cuda.dangling", couch.exam(CUDA_PATH="/opt/gone", CUDA_HOME="/usr/local/cuda-12.4"))
    assert result.summary.startswith("CUDA_PATH=/opt/gone holds no CUDA toolkit")
    assert fix_of(result)[1] == ("unset CUDA_PATH",)


def test_names_that_lead_to_a_toolkit(couch: Couch) -> None:
    two(couch)
    assert silent("cuda.dangling", couch.exam(CUDA_PATH="/usr/local/cuda-12.4", CUDA_HOME="/usr/local/cuda"))


# cuda.wsl


@pytest.fixture
def wsl(couch: Couch) -> Couch:
    couch.write("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")
    return couch


def test_wsl_without_windows_driver(wsl: Couch) -> None:
    result = only("cuda.wsl", wsl.exam())
    assert result.status == "info"
    assert "Windows has no NVIDIA driver" in result.summary
    assert only("cuda.wsl", wsl.exam(goals=(WANTED,))).status == "fail"


def test_linux_driver_inside_wsl(wsl: Couch) -> None:
    facts = wsl.facts()
    wsl.write("/usr/lib/wsl/lib/libcuda.so.1")
    wsl.write("/etc/ld.so.conf", "/usr/lib/wsl/lib\n")
    assert silent("cuda.wsl", wsl.exam(facts=facts))
    inside = f"/usr/lib/{facts.multiarch}/libcuda.so.1"
    wsl.write(f"{inside.removesuffix('.1')}.570.1")
    wsl.link(inside, "libcuda.so.570.1")
    facts = msgspec.structs.replace(facts, package_manager="apt")
    result = only("cuda.wsl", wsl.exam(facts=facts))
    assert result.status == "warn"
    assert inside in result.summary
    assert fix_of(result)[1] == (f'sudo apt-get remove "$(dpkg -S {inside} | cut -d: -f1)"',)


def test_loader_that_does_not_know_windows_driver(wsl: Couch) -> None:
    facts = wsl.facts()
    wsl.write("/usr/lib/wsl/lib/libcuda.so.1")
    result = only("cuda.wsl", wsl.exam(facts=facts))
    assert result.status == "info"
    assert "the loader does not look into /usr/lib/wsl/lib" in result.summary


def test_no_wsl(couch: Couch) -> None:
    couch.write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
    assert silent("cuda.wsl", couch.exam(goals=(WANTED,)))


# cuda.stub


def test_stub_in_the_users_path(couch: Couch) -> None:
    facts = couch.facts()
    couch.write("/opt/stubs/libnvidia-ml.so")
    assert silent("cuda.stub", couch.exam(facts=facts, LD_LIBRARY_PATH=":/opt/stubs"))
    couch.write("/usr/local/cuda-12.4/lib64/stubs/libcuda.so")
    environ = {"LD_LIBRARY_PATH": "/usr/lib:/usr/local/cuda-12.4/lib64/stubs"}
    result = only("cuda.stub", couch.exam(facts=facts, **environ))
    assert result.status == "info"
    assert "LD_LIBRARY_PATH names /usr/local/cuda-12.4/lib64/stubs" in result.summary
    couch.write("/usr/local/cuda-12.4/lib64/stubs/libcuda.so.1")
    result = only("cuda.stub", couch.exam(facts=facts, **environ))
    assert result.status == "warn"
    assert "hides the driver's" in result.summary
    assert silent("cuda.stub", couch.exam(facts=facts))


def test_stub_in_the_loaders_configuration(couch: Couch) -> None:
    facts = couch.facts()
    couch.write("/opt/stubs/libcuda.so.1")
    couch.write("/etc/ld.so.conf", "/opt/stubs\n")
    result = only("cuda.stub", couch.exam(facts=facts))
    assert result.summary.startswith("ld.so.conf names /opt/stubs")
    assert fix_of(result)[1][-1] == "sudo ldconfig"


def test_forward_compatibility_where_the_driver_does_not_answer(couch: Couch) -> None:
    couch.write("/usr/local/cuda-12.4/compat/libcuda.so.1")
    environ = {"LD_LIBRARY_PATH": "/usr/local/cuda-12.4/compat"}
    broken = Driver(module="535.1", library="550.1", problem="cuInit says 804")
    result = only("cuda.stub", couch.exam(facts=having(couch, "12.4", broken), **environ))
    assert result.status == "warn"
    assert "cuInit says 804" in result.summary
    assert silent("cuda.stub", couch.exam(facts=having(couch, "12.4", WELL), **environ))


def test_this_machine_raises_no_alarm() -> None:
    """Whatever is true here, nothing that nobody asked for is a warning, unless a GPU's driver is broken."""
    from devsetup import probe
    from devsetup.probe.host import Host
    from devsetup.runner import Runner
    from devsetup.store import Store

    facts = probe.machine(Runner(), {}, lambda _: None)
    if facts.driver and facts.driver.problem:
        pytest.skip(f"its driver is broken: {facts.driver.problem}")
    home = Path("/nonexistent")
    exam = Exam(
        host=Host(Runner(), "", dict(os.environ)),
        facts=facts,
        goals=(),
        home=home,
        receipts=(),
        store=Store(home),
        uid=os.getuid(),
        groups=tuple(os.getgroups()),
    )
    results = (*check("gpu", exam), *check("cuda", exam), *check("blas", exam))
    assert [result for result in results if result.status not in {"ok", "info"}] == []

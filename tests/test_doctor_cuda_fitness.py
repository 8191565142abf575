"""Whether toolkit, driver, GPU and cuDNN fit each other, on declared machines."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from doctor_cuda import WANTED, WELL, fix_of, having, silent
from doctor_goals import wanting
from doctor_linked import installed
from doctoring import Couch, only

from devsetup.facts import Driver, Gpu, Library


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    return Couch(tmp_path / "root")


# cuda.driver-too-old


DRIVERS = (
    ("13.0", Driver(module="535.54.03"), "fail", "CUDA 13.0 needs driver 580 or newer, and 535.54.03 is here"),
    ("12.4", Driver(library="470.42.01", cuda="11.4"), "fail", "which speaks up to CUDA 11.4"),
    ("9.2", Driver(module="390.46"), "fail", "CUDA 9.2 needs driver 396.26 or newer"),
    ("14.1", Driver(module="610.43.02", cuda="13.3"), "fail", "CUDA 14.1 needs a newer driver"),
    ("12.8", Driver(module="535.54.03", cuda="12.2"), "info", "made for driver 570.86.10, and 535.54.03 is here"),
)


@pytest.mark.parametrize(("cuda", "driver", "status", "told"), DRIVERS)
def test_driver_too_old(couch: Couch, cuda: str, driver: Driver, status: str, told: str) -> None:
    facts = having(couch, cuda, driver)
    result = only("cuda.driver-too-old", couch.exam(facts=facts, goals=(WANTED,)))
    assert result.status == status
    assert told in result.summary
    assert only("cuda.driver-too-old", couch.exam(facts=facts)).status == "info"  # nobody asked


def test_old_driver_names_the_toolkit_that_it_can_do(couch: Couch) -> None:
    facts = having(couch, "13.0", Driver(module="535.54.03"))
    result = only("cuda.driver-too-old", couch.exam(facts=facts, goals=(WANTED,)))
    assert "CUDA 12.2 or older" in fix_of(result)[0]
    assert [each.source for each in result.evidence] == ["NVIDIA's driver"]
    facts = having(couch, "13.0", Driver(module="535.54.03", cuda="12.2"))
    result = only("cuda.driver-too-old", couch.exam(facts=facts))
    assert [each.value for each in result.evidence] == ["535.54.03", "12.2"]


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ("12.8", WELL),
        ("12.4", Driver(module="550.54.14")),
        ("13.3", Driver(library="570.1", cuda="13.3")),  # a newer libcuda for forward compatibility
        ("12.4", None),
        ("", WELL),
        ("14.1", Driver(module="610.43.02")),  # what that needs is not known
        ("13.4", Driver(module="590.44.01")),  # nor is the driver that this was made for
        ("12.4", Driver(problem="WSL's libcuda has no version in its name")),
    ],
)
def test_driver_new_enough(couch: Couch, cuda: str, driver: Driver | None) -> None:
    assert silent("cuda.driver-too-old", couch.exam(facts=having(couch, cuda, driver), goals=(WANTED,)))


def test_own_toolkit_of_the_goal_counts(couch: Couch) -> None:
    """What is asked for brings CUDA 13.0; that the machine has 12.4 is of no use to it."""
    facts = having(couch, "12.4", Driver(module="550.54.14", cuda="12.4"))
    goals = wanting(facts, name="cuda", options={"cuda-version": "13.0"})
    assert "CUDA 13.0 needs driver 580" in only("cuda.driver-too-old", couch.exam(facts=facts, goals=goals)).summary


def test_toolkit_of_an_install_counts(couch: Couch) -> None:
    facts = having(couch, "", Driver(module="550.54.14", cuda="12.4"))
    own = installed(couch, "cuda", **{"cuda-version": "13.0"})
    caffe = installed(couch, "caffe", needs=(own.key,), cuda="on")
    result = only("cuda.driver-too-old", couch.exam(facts=facts, receipts=(caffe, own)))
    assert result.status == "warn"
    assert result.summary.endswith("(installed: caffe, cuda)")
    other = installed(couch, "caffe", cuda="on", toolkit="found")  # built with what the machine had, which fits
    other = msgspec.structs.replace(other, facts=having(couch, "12.4"))
    result = only("cuda.driver-too-old", couch.exam(facts=facts, receipts=(other, own)))
    assert result.summary.endswith("(installed: cuda)")


# cuda.arch


@pytest.mark.parametrize(
    ("capability", "cuda", "status", "told"),
    [
        ("5.2", "13.0", "fail", "too old for CUDA 13.0, which compiles for 7.5 and newer"),
        ("2.1", "9.0", "fail", "too old for CUDA 9.0"),
        ("9.0", "11.8", "info", "newer than all that CUDA 11.8 compiles for"),
    ],
)
def test_gpu_outside_the_toolkits_range(couch: Couch, capability: str, cuda: str, status: str, told: str) -> None:
    gpu = Gpu(name="A GPU", capability=capability)
    facts = having(couch, cuda, WELL, gpu, gpu)  # two of a kind are one line
    result = only("cuda.arch", couch.exam(facts=facts, goals=(WANTED,)))
    assert result.status == status
    assert told in result.summary
    assert f"A GPU (compute capability {capability})" in result.summary
    assert only("cuda.arch", couch.exam(facts=facts)).status == "info"


def test_old_gpu_names_the_last_toolkit_that_knows_it(couch: Couch) -> None:
    facts = having(couch, "13.0", WELL, Gpu(capability="3.0"))
    result = only("cuda.arch", couch.exam(facts=facts, goals=(WANTED,)))
    assert result.summary.startswith("the GPU (compute capability 3.0)")
    assert "use CUDA 10.2" in fix_of(result)[0]
    facts = having(couch, "13.0", WELL, Gpu(address="0000:01:00.0", capability="3.0"))
    assert only("cuda.arch", couch.exam(facts=facts)).summary.startswith("0000:01:00.0 (compute capability 3.0)")


@pytest.mark.parametrize(("capability", "cuda"), [("9.0", "13.0"), ("8.7", "12.4"), ("", "13.0"), ("5.2", "")])
def test_gpu_that_the_toolkit_compiles_for(couch: Couch, capability: str, cuda: str) -> None:
    exam = couch.exam(facts=having(couch, cuda, WELL, Gpu(capability=capability)), goals=(WANTED,))
    assert silent("cuda.arch", exam)


def test_install_for_newer_gpus(couch: Couch) -> None:
    facts = having(couch, "13.0", WELL, Gpu(name="T4", capability="7.5"))
    receipt = installed(couch, "caffe", cuda="on", gpu="90")
    result = only("cuda.arch", couch.exam(facts=facts, receipts=(receipt,)))
    assert result.status == "warn"
    assert "caffe is for GPUs of compute capability 9.0 and newer (--option gpu=90)" in result.summary
    assert fix_of(result)[1] == ("devsetup install caffe --option cuda=on --option gpu=auto",)
    goals = wanting(facts, name="caffe", options={"cuda": "on", "gpu": "90"})
    assert only("cuda.arch", couch.exam(facts=facts, goals=goals)).status == "fail"
    fitting = having(couch, "13.0", WELL, Gpu(capability="9.0"))
    assert silent("cuda.arch", couch.exam(facts=fitting, receipts=(receipt,)))
    for_all = installed(couch, "caffe", cuda="on", gpu="auto")
    assert silent("cuda.arch", couch.exam(facts=facts, receipts=(for_all,)))
    without = wanting(facts, name="caffe", options={"cuda": "off", "gpu": "90"})
    assert silent("cuda.arch", couch.exam(facts=facts, goals=without))


# cuda.cudnn


def test_cudnn(couch: Couch) -> None:
    facts = couch.facts()
    goals = wanting(facts, name="caffe", options={"cuda": "on", "cudnn": "on"})
    expected = msgspec.structs.replace(facts, libraries={"cudnn": Library(version="8.9")})
    for absent in (facts, expected):
        result = only("cuda.cudnn", couch.exam(facts=absent, goals=goals))
        assert result.status == "fail"
        assert "(asked for: caffe)" in result.summary
    there = msgspec.structs.replace(facts, libraries={"cudnn": Library(version="7.6.5", installed=True)})
    assert only("cuda.cudnn", couch.exam(facts=there, goals=goals)).summary == "cuDNN 7.6.5"
    without = wanting(facts, name="caffe", options={"cuda": "on", "cudnn": "off"})
    assert silent("cuda.cudnn", couch.exam(facts=facts, goals=without))

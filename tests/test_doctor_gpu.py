"""GPUs, driver and device files on constructed machines."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from doctor_cuda import WANTED, WELL, silent
from doctor_linked import installed
from doctoring import Couch, check, goal, only

from devsetup.doctor import Goal
from devsetup.facts import Cuda, Driver, Facts, Gpu
from devsetup.steps import Env

H100 = Gpu(address="0000:01:00.0", name="NVIDIA H100", capability="9.0")
UNKNOWN = Gpu(address="0000:01:00.0")
MUTE = Driver(module="570.124.06", library="570.124.06", cuda="12.8", problem="cuInit says 999: unknown error")
STRANGER = 54321  # no user of any machine that runs the tests
TOOLKIT = Cuda(path="/usr/local/cuda-12.4", version="12.4", origin="/usr/local/cuda", chosen=True)


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    couch = Couch(tmp_path / "root")
    couch.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    couch.write("/etc/group", "root:x:0:\nvideo:x:44:\nuser:x:1000:\n")
    couch.program("/usr/bin/apt-get", "exit 1")
    return couch


def on(couch: Couch, *gpus: Gpu, driver: Driver | None = None, cuda: tuple[Cuda, ...] = ()) -> Facts:
    return msgspec.structs.replace(couch.facts(), gpus=gpus, driver=driver, cuda=cuda)


def test_a_machine_without_anything_of_nvidias_has_one_line(couch: Couch) -> None:
    (result,) = check("gpu", couch.exam())
    assert (result.id, result.status, result.summary) == ("gpu.present", "info", "no NVIDIA GPU")


def test_no_gpu_is_a_warning_for_who_wants_one(couch: Couch) -> None:
    result = only("gpu.present", couch.exam(goals=(WANTED,)))
    assert result.status == "warn"
    assert "caffe" in result.summary
    assert result.fix
    assert "cuda=off" in result.fix.text


def test_gpus_are_named(couch: Couch) -> None:
    result = only("gpu.present", couch.exam(facts=on(couch, H100)))
    assert (result.status, result.summary) == ("ok", "NVIDIA H100, compute capability 9.0")
    assert result.detail == ()
    assert [each.source for each in result.evidence] == ["/sys/bus/pci/devices/0000:01:00.0"]
    assert only("gpu.present", couch.exam(facts=on(couch, Gpu()))).evidence == ()
    second = msgspec.structs.replace(H100, address="0000:02:00.0")
    result = only("gpu.present", couch.exam(facts=on(couch, H100, second, Gpu(address="0000:03:00.0"))))
    assert result.summary == "NVIDIA H100, compute capability 9.0 (2 of them); NVIDIA GPU"
    assert result.detail[2] == "0000:03:00.0: NVIDIA GPU"


@pytest.mark.parametrize(("goals", "status"), [((), "info"), ((WANTED,), "fail")])
def test_nouveau(couch: Couch, goals: tuple[Goal, ...], status: str) -> None:
    couch.link("/sys/bus/pci/devices/0000:01:00.0/driver", "../../../bus/pci/drivers/nouveau")
    exam = couch.exam(facts=on(couch, UNKNOWN), goals=goals)
    result = only("gpu.nouveau", exam)
    assert result.status == status
    assert "0000:01:00.0 is driven by nouveau" in result.summary
    assert result.fix
    assert result.fix.needs_root
    assert result.fix.commands[1] == "sudo update-initramfs -u"
    assert "blacklist nouveau" in result.fix.commands[0]
    assert silent("gpu.driver", exam)  # one line is enough


def test_another_driver_is_not_nouveau(couch: Couch) -> None:
    couch.link("/sys/bus/pci/devices/0000:01:00.0/driver", "../../../bus/pci/drivers/vfio-pci")
    assert silent("gpu.nouveau", couch.exam(facts=on(couch, UNKNOWN)))


def test_driver_that_answers(couch: Couch) -> None:
    result = only("gpu.driver", couch.exam(facts=on(couch, H100, driver=WELL), goals=(WANTED,)))
    assert (result.status, result.summary) == ("ok", "driver 570.124.06 speaks CUDA 12.8")
    for driver in (Driver(library="570.1", cuda="12.8"), Driver(module="570.1", cuda="12.8")):
        exam = couch.exam(facts=on(couch, H100, driver=driver))
        assert only("gpu.driver", exam).summary == "driver 570.1 speaks CUDA 12.8"
    declared = on(couch, H100, driver=Driver(module="570.1", library="570.1"))
    assert silent("gpu.driver", couch.exam(facts=declared))


DRIVERS = (
    (None, "no driver of NVIDIA's", "info"),
    (Driver(module="570.1", problem="there is a kernel module"), "no libcuda.so.1 that answers", "warn"),
    (
        Driver(library="570.1", problem="cuInit says 100"),
        "libcuda.so.1 (570.1) is installed, and NVIDIA's kernel",
        "warn",
    ),
    (MUTE, "driver 570.124.06 does not answer: cuInit says 999", "warn"),
)


@pytest.mark.parametrize(("driver", "told", "status"), DRIVERS)
def test_broken_driver_of_a_gpu(couch: Couch, driver: Driver | None, told: str, status: str) -> None:
    facts = on(couch, UNKNOWN, driver=driver)
    result = only("gpu.driver", couch.exam(facts=facts))
    assert told in result.summary
    assert result.status == status
    assert result.fix
    assert only("gpu.driver", couch.exam(facts=facts, goals=(WANTED,))).status == "fail"


def test_evidence_of_a_broken_driver(couch: Couch) -> None:
    result = only("gpu.driver", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE)))
    assert [each.value for each in result.evidence] == ["570.124.06", "570.124.06", MUTE.problem]
    result = only("gpu.driver", couch.exam(facts=on(couch, UNKNOWN, driver=Driver(module="570.1"))))
    assert [each.value for each in result.evidence] == ["570.1", "no version in the name of its file"]
    result = only("gpu.driver", couch.exam(facts=on(couch, UNKNOWN, driver=Driver(library="570.1"))))
    assert [each.value for each in result.evidence] == ["absent", "570.1"]


def test_missing_driver_of_debian_is_a_package(couch: Couch) -> None:
    fix = only("gpu.driver", couch.exam(facts=on(couch, UNKNOWN))).fix
    assert fix
    assert any("apt-get install" in command and "nvidia-driver" in command for command in fix.commands)


def test_in_a_container_the_host_brings_the_driver(couch: Couch) -> None:
    couch.write("/.dockerenv")
    for driver in (None, Driver(module="570.1")):
        exam = couch.exam(facts=on(couch, UNKNOWN, driver=driver))
        (result,) = (result for result in check("gpu", exam) if result.id != "gpu.present")
        assert (result.id, result.status) == ("gpu.driver", "info")  # nobody asked for GPUs in here
        assert result.fix
        assert result.fix.commands == ("docker run --gpus all IMAGE",)
        exam = couch.exam(facts=exam.facts, goals=(WANTED,))
        assert only("gpu.driver", exam).status == "fail"


def test_a_variable_tells_of_a_container(couch: Couch) -> None:
    fix = only("gpu.driver", couch.exam(facts=on(couch, UNKNOWN), container="lxc")).fix
    assert fix
    assert fix.commands == ("docker run --gpus all IMAGE",)


def test_library_without_gpu_is_a_machine_to_build_on(couch: Couch) -> None:
    facts = on(couch, driver=Driver(library="570.1", problem="cuInit says 100"))
    result = only("gpu.driver", couch.exam(facts=facts, goals=(WANTED,)))
    assert result.status == "info"
    assert "compile and link here, and do not run" in result.summary


def test_wsl_has_no_kernel_module(couch: Couch) -> None:
    couch.write("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")
    assert silent("gpu.driver", couch.exam(facts=on(couch, Gpu())))
    facts = on(couch, Gpu(), driver=Driver(problem="cuInit says 100: no CUDA-capable device is detected"))
    assert "libcuda.so.1 does not answer: cuInit says 100" in only("gpu.driver", couch.exam(facts=facts)).summary


def test_module_and_library_of_two_versions(couch: Couch) -> None:
    skewed = Driver(module="570.124.06", library="570.133.07", problem="cuInit says 803")
    facts = on(couch, UNKNOWN, driver=skewed)
    exam = couch.exam(facts=facts)
    result = only("gpu.driver-skew", exam)
    assert result.status == "warn"
    assert "kernel module 570.124.06, libcuda 570.133.07" in result.summary
    assert result.fix
    assert result.fix.commands == ("sudo reboot",)
    assert silent("gpu.driver", exam)
    assert only("gpu.driver-skew", couch.exam(facts=facts, goals=(WANTED,))).status == "fail"
    couch.write("/.dockerenv")
    fix = only("gpu.driver-skew", couch.exam(facts=facts)).fix
    assert fix
    assert "remove NVIDIA's driver packages" in fix.text


def test_forward_compatibility_that_works_is_no_skew(couch: Couch) -> None:
    facts = on(couch, H100, driver=Driver(module="535.54.03", library="570.124.06", cuda="12.8"))
    assert only("gpu.driver-skew", couch.exam(facts=facts, goals=(WANTED,))).status == "info"
    for driver in (WELL, Driver(module="570.1"), Driver(library="570.1"), None):
        assert silent("gpu.driver-skew", couch.exam(facts=on(couch, H100, driver=driver)))


def test_missing_device_files(couch: Couch) -> None:
    couch.write("/dev/nvidiactl")
    couch.write("/etc/modprobe.d/gpu.conf", "# ours\noptions nvidia NVreg_ModifyDeviceFiles=0\n")
    couch.write("/etc/modprobe.d/gpu.conf.bak", "options nvidia NVreg_ModifyDeviceFiles=0\n")
    couch.write("/etc/modprobe.d/other.conf", "options nvidia NVreg_DeviceFileMode=0666\n")
    couch.write("/dev/null")
    facts = on(couch, UNKNOWN, driver=MUTE)
    result = only("gpu.dev-nodes", couch.exam(facts=facts))
    assert [each.value for each in result.evidence][:2] == ["nvidiactl", "options nvidia NVreg_ModifyDeviceFiles=0"]
    assert result.status == "warn"
    assert result.summary.startswith("/dev/nvidia-uvm, /dev/nvidia0 not there")
    assert result.detail == ("/etc/modprobe.d/gpu.conf:2 tells the driver to leave device files alone",)
    assert result.fix
    assert any("nvidia-modprobe" in command and "install" in command for command in result.fix.commands)
    assert result.fix.commands[-1] == "sudo nvidia-modprobe -u -c 0"
    assert "as root instead hides the fault" in result.fix.text
    assert only("gpu.dev-nodes", couch.exam(facts=facts, goals=(WANTED,))).status == "fail"


def test_helper_that_is_there_is_not_installed(couch: Couch) -> None:
    couch.program("/usr/bin/nvidia-modprobe", "exit 0")
    result = only("gpu.dev-nodes", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE)))
    assert result.evidence[0].value == "none"
    assert result.fix
    assert result.fix.commands == ("sudo nvidia-modprobe -u -c 0",)


def test_device_files_are_there_or_the_driver_answers_all_the_same(couch: Couch) -> None:
    assert silent("gpu.dev-nodes", couch.exam(facts=on(couch, H100, driver=WELL)))
    unasked = Driver(module="570.1", library="570.1")
    assert only("gpu.dev-nodes", couch.exam(facts=on(couch, UNKNOWN, driver=unasked))).status == "warn"
    for driver in (None, Driver(library="570.1"), Driver(module="570.1")):
        assert silent("gpu.dev-nodes", couch.exam(facts=on(couch, driver=driver)))
    for name in ("nvidia3", "nvidiactl", "nvidia-uvm"):
        couch.write(f"/dev/{name}")
    assert silent("gpu.dev-nodes", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE)))


def devices(couch: Couch, mode: int) -> int:
    """Device files with a mode; returns the group that they belong to, which /etc/group calls `video`."""
    for name in ("nvidia0", "nvidiactl"):
        couch.write(f"/dev/{name}").chmod(mode)
    gid = Path(f"{couch.root}/dev/nvidia0").stat().st_gid
    if os.getuid() == 0:  # root's own group is nobody's to join
        gid = 44
        for name in ("nvidia0", "nvidiactl"):
            os.chown(f"{couch.root}/dev/{name}", STRANGER + 1, gid)
    couch.write("/etc/group", f"root:x:0:\nvideo:x:{gid}:other\nuser:x:1000:\n")
    return gid


def test_group_that_may_use_the_devices(couch: Couch) -> None:
    gid = devices(couch, 0o660)
    couch.write("/etc/passwd", f"root:x:0:0::/root:/bin/sh\nuser:x:{STRANGER}:1::/home/user:/bin/sh\n")
    couch.write(
        "/etc/modprobe.d/virtualgl.conf", f"options nvidia NVreg_DeviceFileGID={gid} NVreg_DeviceFileMode=0660\n"
    )
    facts = on(couch, UNKNOWN, driver=MUTE)
    result = only("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER))
    assert result.status == "warn"
    assert "/dev/nvidia0 belongs to" in result.summary
    assert ":video with mode 0660" in result.summary
    assert "/dev/nvidiactl too" in result.detail
    assert any(line.startswith("/etc/modprobe.d/virtualgl.conf:1 sets this") for line in result.detail)
    assert result.fix
    assert result.fix.commands == ("sudo usermod -aG video user",)
    assert result.fix.needs_root
    assert "as root instead hides the fault" in result.fix.text
    assert only("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER, goals=(WANTED,))).status == "fail"
    assert silent("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER, groups=(STRANGER, gid)))
    couch.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")  # the user is known to a directory server alone
    fix = only("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER, USER="ada")).fix
    assert fix
    assert fix.commands == ("sudo usermod -aG video ada",)


def test_group_that_was_joined_since_login(couch: Couch) -> None:
    gid = devices(couch, 0o660)
    couch.write("/etc/passwd", f"user:x:{STRANGER}:1::/home/user:/bin/sh\n")
    couch.write("/etc/group", f"audio:x:29:other\nvideo:x:{gid}:other,user\n")
    fix = only("gpu.dev-perms", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE), uid=STRANGER)).fix
    assert fix
    assert fix.commands == ()
    assert "log out, and in again" in fix.text


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file to root's group")
def test_nobody_is_told_to_join_roots_group(couch: Couch) -> None:
    devices(couch, 0o660)
    for name in ("nvidia0", "nvidiactl"):
        os.chown(f"{couch.root}/dev/{name}", 0, 0)
    fix = only("gpu.dev-perms", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE), uid=STRANGER)).fix
    assert fix
    assert not any("usermod" in command for command in fix.commands)


def test_mode_that_lets_no_group_in_is_the_settings_fault(couch: Couch) -> None:
    devices(couch, 0o600)
    facts = on(couch, UNKNOWN, driver=MUTE)
    fix = only("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER)).fix
    assert fix
    assert "a rule of udev" in fix.text
    couch.write("/etc/modprobe.d/nvidia.conf", "\noptions nvidia-current NVreg_DeviceFileMode=0600\n")
    fix = only("gpu.dev-perms", couch.exam(facts=facts, uid=STRANGER)).fix
    assert fix
    assert "correct /etc/modprobe.d/nvidia.conf:2" in fix.text
    assert fix.commands == ("sudoedit /etc/modprobe.d/nvidia.conf",)


def test_device_files_for_everybody_or_a_driver_that_answers(couch: Couch) -> None:
    devices(couch, 0o660)
    assert silent("gpu.dev-perms", couch.exam(facts=on(couch, H100, driver=WELL), uid=STRANGER))  # by an ACL
    assert silent("gpu.dev-perms", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE), uid=0))
    devices(couch, 0o666)
    assert silent("gpu.dev-perms", couch.exam(facts=on(couch, UNKNOWN, driver=MUTE), uid=STRANGER))


def test_nvrtc_goes_by_the_driver(couch: Couch) -> None:
    receipt = installed(couch, "libgpuarray")
    facts = on(couch, H100, driver=WELL, cuda=(TOOLKIT,))
    result = only("gpu.nvrtc-env", couch.exam(facts=facts, receipts=(receipt,)))
    assert result.status == "warn"
    assert "NVRTC of CUDA 12.8" in result.summary
    assert "toolkit is CUDA 12.4" in result.summary
    assert result.fix
    assert result.fix.commands == ("export GPUARRAY_CUDA_VERSION=124",)


def test_nvrtc_is_told_or_needs_not_be(couch: Couch) -> None:
    facts = on(couch, H100, driver=WELL, cuda=(TOOLKIT,))
    plain = installed(couch, "libgpuarray")
    told = installed(
        couch, "libgpuarray", steps=(Env(name="GPUARRAY_CUDA_VERSION", value="124", mode="set"),), device="cuda"
    )
    same = on(couch, H100, driver=msgspec.structs.replace(WELL, cuda="12.4"), cuda=(TOOLKIT,))
    assert silent("gpu.nvrtc-env", couch.exam(facts=facts, receipts=(told,)))
    assert silent("gpu.nvrtc-env", couch.exam(facts=same, receipts=(plain,)))
    assert silent("gpu.nvrtc-env", couch.exam(facts=facts, receipts=(plain,), GPUARRAY_CUDA_VERSION="124"))
    mute = on(couch, H100, driver=Driver(module="570.1"), cuda=(TOOLKIT,))
    for unknown in (mute, on(couch, H100, driver=WELL), on(couch, cuda=(TOOLKIT,))):
        assert silent("gpu.nvrtc-env", couch.exam(facts=unknown, receipts=(plain,)))
    assert silent("gpu.nvrtc-env", couch.exam(facts=facts, goals=(goal("caffe", "debian-12"),)))

"""NVIDIA's GPUs and driver: constructed /sys, /proc and /dev, and real libraries that stand for libcuda."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from test_probe import Tree

from devsetup.console import views
from devsetup.console.blocks import plain
from devsetup.errors import UsageError
from devsetup.facts import Driver, Gpu, from_json, to_json
from devsetup.loader import Loader, default_root
from devsetup.probe.gpu import nvidia
from devsetup.runner import Completed, Runner

MULTIARCH = "x86_64-linux-gnu"
LIBRARIES = f"/usr/lib/{MULTIARCH}"
LOADER = Loader(default_root({}))
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc 13\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build  (dvs-builder@U16)\n"

LIBCUDA = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int cuInit(unsigned flags) { INIT }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetCount(int *count) { *count = getenv("CUDA_VISIBLE_DEVICES") ? 0 : 2; return 0; }
int cuDeviceGet(int *device, int number) { *device = number + 7; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 7 ? "NVIDIA H100 80GB HBM3" : "Tesla K80", size);
    return 0;
}
int cuDeviceGetPCIBusId(char *address, int size, int device) {
    strncpy(address, device == 7 ? "0000:0A:00.0" : "0000:0B:00.0", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? (device == 7 ? 9 : 3) : attribute == 76 ? (device == 7 ? 0 : 7) : -1;
    return 0;
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


def pci(tree: Tree, address: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    tree.write(f"/sys/bus/pci/devices/{address}/vendor", f"{vendor}\n")
    tree.write(f"/sys/bus/pci/devices/{address}/class", f"{kind}\n")


def libcuda(tree: Tree, init: str = "return 0;", *, version: str = "570.124.06", directory: str = LIBRARIES) -> None:
    """Compile a libcuda whose cuInit does what a test wants, with the links that the driver's installer makes."""
    source = tree.write("/libcuda.c", LIBCUDA.replace("INIT", init))
    file = tree.write(f"{directory}/libcuda.so.{version}")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", file, source], check=True)
    tree.link(f"{directory}/libcuda.so.1", f"libcuda.so.{version}")


def driver(tree: Tree, timeout_s: float = 10.0, **environ: str) -> Driver:
    _, found = nvidia(tree.host(**environ), MULTIARCH, timeout_s=timeout_s)
    assert found is not None
    return found


class TestWithoutLibrary:
    def test_nothing_at_all(self, tree: Tree) -> None:
        assert nvidia(tree.host(), MULTIARCH) == ((), None)

    def test_no_process_is_started(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        def capture(*argv: object, **options: object) -> Completed:
            raise AssertionError(argv)

        monkeypatch.setattr(Runner, "capture", capture)
        pci(tree, "0000:01:00.0")
        tree.write("/proc/driver/nvidia/version", OPEN)
        assert nvidia(tree.host(), MULTIARCH)[0] == (Gpu(address="0000:01:00.0"),)
        libcuda(tree)
        with pytest.raises(AssertionError):
            nvidia(tree.host(), MULTIARCH)

    def test_a_gpu_is_a_display_device_of_nvidias(self, tree: Tree) -> None:
        pci(tree, "0000:01:00.0", kind="0x030000")
        pci(tree, "0000:01:00.1", kind="0x040300")  # the same card's sound
        pci(tree, "0000:02:00.0", kind="0x030200")
        pci(tree, "0000:03:00.0", vendor="0x1002", kind="0x030000")
        pci(tree, "0000:04:00.0", kind="0x068000")  # an NVSwitch
        gpus, found = nvidia(tree.host(), MULTIARCH)
        assert gpus == (Gpu(address="0000:01:00.0"), Gpu(address="0000:02:00.0"))
        assert found is None

    def test_wsl_has_a_gpu_without_address(self, tree: Tree) -> None:
        tree.write("/dev/dxg")
        assert nvidia(tree.host(), MULTIARCH) == ((Gpu(),), None)

    @pytest.mark.parametrize(
        ("path", "text", "version"),
        [
            ("/proc/driver/nvidia/version", PROPRIETARY, "535.183.01"),
            ("/proc/driver/nvidia/version", OPEN, "570.124.06"),
            ("/sys/module/nvidia/version", "580.65.06\n", "580.65.06"),
        ],
    )
    def test_a_module_alone(self, tree: Tree, path: str, text: str, version: str) -> None:
        tree.write(path, text)
        problem = "there is a kernel module, but no libcuda.so.1 where the loader looks"
        assert driver(tree) == Driver(module=version, problem=problem)


class TestLibrary:
    def test_it_answers(self, tree: Tree) -> None:
        pci(tree, "0000:0a:00.0")
        pci(tree, "0000:0c:00.0")
        tree.write("/sys/module/nvidia/version", "570.124.06\n")
        libcuda(tree)
        gpus, found = nvidia(tree.host(), MULTIARCH)
        assert gpus == (
            Gpu(address="0000:0a:00.0", name="NVIDIA H100 80GB HBM3", capability="9.0"),
            Gpu(address="0000:0c:00.0"),
            Gpu(name="Tesla K80", capability="3.7"),
        )
        assert found == Driver(module="570.124.06", library="570.124.06", cuda="12.8")

    def test_gpus_that_the_user_hid_from_programs_are_counted(self, tree: Tree) -> None:
        libcuda(tree)
        gpus, _ = nvidia(tree.host(CUDA_VISIBLE_DEVICES=""), MULTIARCH)
        assert [gpu.capability for gpu in gpus] == ["9.0", "3.7"]

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (3, "not initialised"),
            (34, "stub"),
            (35, "the driver is too old"),
            (100, "no CUDA-capable device is detected"),
            (803, "the kernel module and the library are of different versions"),
            (999, "unknown error"),
            (12345, "see CUresult in cuda.h"),
        ],
    )
    def test_it_refuses(self, tree: Tree, code: int, words: str) -> None:
        libcuda(tree, f"return {code};")
        gpus, found = nvidia(tree.host(), MULTIARCH)
        assert gpus == ()
        assert found is not None
        assert found.problem.startswith(f"cuInit says {code}: ")
        assert words in found.problem
        assert (found.library, found.cuda) == ("570.124.06", "12.8")

    def test_it_crashes(self, tree: Tree) -> None:
        libcuda(tree, "raise(SIGSEGV); return 0;")
        problem = f"{LIBRARIES}/libcuda.so.1 crashed when it was asked: Segmentation fault"
        assert driver(tree) == Driver(library="570.124.06", problem=problem)

    def test_it_hangs(self, tree: Tree) -> None:
        libcuda(tree, "for (;;) pause();")
        problem = f"{LIBRARIES}/libcuda.so.1 did not answer within 0.5 s"
        assert driver(tree, timeout_s=0.5) == Driver(library="570.124.06", problem=problem)

    def test_it_ends_the_process_without_an_answer(self, tree: Tree) -> None:
        libcuda(tree, 'write(2, "no way\\n", 7); _exit(4);')
        assert driver(tree).problem == f"{LIBRARIES}/libcuda.so.1 gave no answer (status 4): 'no way'"

    def test_it_is_no_library(self, tree: Tree) -> None:
        tree.write(f"{LIBRARIES}/libcuda.so.1", "text")
        assert driver(tree).library == ""
        assert "file too short" in driver(tree).problem or "invalid ELF header" in driver(tree).problem

    def test_it_lacks_the_functions(self, tree: Tree) -> None:
        source = tree.write("/other.c", "int other;\n")
        tree.write(f"{LIBRARIES}/libcuda.so.1")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", f"{tree.root}{LIBRARIES}/libcuda.so.1", source], check=True)
        assert driver(tree).problem.endswith("undefined symbol: cuInit")

    def test_a_crash_does_not_spoil_the_other_facts(self, tree: Tree) -> None:
        libcuda(tree, "abort();")
        pci(tree, "0000:0a:00.0")
        facts = tree.facts()
        assert facts.os.id == "debian"
        assert facts.gpus == (Gpu(address="0000:0a:00.0"),)
        assert facts.driver is not None
        assert "Aborted" in facts.driver.problem
        assert facts.notes == tree.facts().notes
        assert not [note for note in facts.notes if "NVIDIA" in note]


class TestWhereItIs:
    @pytest.mark.parametrize(
        "directory", [f"/lib/{MULTIARCH}", "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib", "/opt/gpu"]
    )
    def test_the_loaders_directories(self, tree: Tree, directory: str) -> None:
        tree.write("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        tree.write("/etc/ld.so.conf.d/00-gpu.conf", "# a driver\nopt/old\n/opt/gpu # here\n")
        tree.write("/etc/ld.so.conf.d/00-gpu.conf.bak", "/opt/old\n")
        libcuda(tree, "return 100;", directory=directory)
        libcuda(tree, "return 3;", directory="/opt/old")
        assert driver(tree).problem.startswith("cuInit says 100")

    def test_ld_library_path_comes_first(self, tree: Tree) -> None:
        libcuda(tree, "return 100;")
        libcuda(tree, "return 34;", directory="/stubs")
        libcuda(tree, "return 3;", directory="/relative")
        assert driver(tree, LD_LIBRARY_PATH=":relative:/empty:/stubs").problem.startswith("cuInit says 34")

    def test_a_library_for_32_bit_programs_is_passed_over(self, tree: Tree) -> None:
        """On Debian, i386's directory is configured before amd64's."""
        tree.write("/etc/ld.so.conf.d/i386-linux-gnu.conf", "/usr/lib/i386-linux-gnu\n")
        tree.write("/usr/lib/i386-linux-gnu/libcuda.so.1", "\x7fELF\x01\x01\x01")
        libcuda(tree)
        assert driver(tree).cuda == "12.8"

    def test_debians_alternatives_lead_to_the_version(self, tree: Tree) -> None:
        libcuda(tree, version="535.183.01", directory=f"{LIBRARIES}/nvidia/current")
        tree.link("/etc/alternatives/glx--libcuda.so.1", f"{LIBRARIES}/nvidia/current/libcuda.so.1")
        tree.link(f"{LIBRARIES}/libcuda.so.1", "/etc/alternatives/glx--libcuda.so.1")
        assert driver(tree).library == "535.183.01"

    def test_wsls_library_has_no_version_in_its_name(self, tree: Tree) -> None:
        tree.write("/dev/dxg")
        libcuda(tree, version="1.1", directory="/usr/lib/wsl/lib")
        gpus, found = nvidia(tree.host(), MULTIARCH)
        assert found == Driver(cuda="12.8")
        assert [gpu.capability for gpu in gpus] == ["9.0", "3.7"]


class TestView:
    def test_toolkit_gpu_and_driver_are_shown(self, tree: Tree) -> None:
        tree.write("/usr/local/cuda/include/cuda.h", "#define CUDA_VERSION 12080\n")
        tree.program("/usr/local/cuda/bin/nvcc", "echo release 12.8, V12.8.93")
        tree.write("/usr/local/cuda/lib64/libcudart.so.12")
        pci(tree, "0000:0a:00.0")
        tree.write("/sys/module/nvidia/version", "570.124.06\n")
        libcuda(tree, "return 999;")
        facts = tree.facts()
        assert from_json(to_json(facts), "test") == facts
        lines = [" ".join(line.split()) for line in plain(views.facts(facts)).splitlines()]
        assert "/usr/local/cuda 12.8 /usr/local/cuda yes lib64 /usr/local/cuda comes first" in lines
        assert "unknown unknown 0000:0a:00.0" in lines
        assert "570.124.06 570.124.06 12.8 cuInit says 999: unknown error" in lines

    def test_a_machine_without_any_of_it_is_not_told_so(self, tree: Tree) -> None:
        shown = plain(views.facts(tree.facts()))
        assert not [word for word in ("CUDA", "GPU", "NVIDIA", "driver") if word in shown]


class TestDeclared:
    def test_a_gpu_and_a_driver(self) -> None:
        host = LOADER.host("debian-12+cuda-12.8+gpu-9.0+gpu-8.6+driver-570.124")
        assert host.gpus == (Gpu(capability="9.0"), Gpu(capability="8.6"))
        assert host.driver == Driver(module="570.124", library="570.124")
        assert host.notes[-1] == "changed by --on: cuda-12.8, gpu-9.0, gpu-8.6, driver-570.124"
        assert (LOADER.host("debian-12").gpus, LOADER.host("debian-12").driver) == ((), None)

    def test_a_gpu_is_added_to_those_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "host.json"
        path.write_text(to_json(LOADER.host("debian-12+gpu-7.5+driver-535.1")))
        host = LOADER.host(f"{path}+gpu-9.0+driver-580.65.06")
        assert [gpu.capability for gpu in host.gpus] == ["7.5", "9.0"]
        assert host.driver == Driver(module="580.65.06", library="580.65.06")

    @pytest.mark.parametrize(("base", "libdir"), [("ubuntu-16.04", "lib64"), ("macos-10.12", "lib")])
    def test_a_toolkit_has_its_compiler_and_libraries_where_nvidias_installer_puts_them(
        self, base: str, libdir: str
    ) -> None:
        (cuda,) = LOADER.host(f"{base}+cuda-8.0").cuda
        assert (cuda.nvcc, cuda.libdir) == (f"{cuda.path}/bin/nvcc", f"{cuda.path}/{libdir}")

    @pytest.mark.parametrize(
        ("part", "message", "hint"),
        [
            ("gpu-90", "gpu-90 is not a compute capability, major and minor", "write for example +gpu-9.0"),
            ("gpu-9.0.1", "gpu-9.0.1 is not a compute capability", "write for example +gpu-9.0"),
            ("gpu-sm_90", "'gpu-sm_90' is not NAME-VERSION", "gpu-9.0"),
            ("driver-570", "driver-570 is no version of NVIDIA's driver", "write for example +driver-570.124"),
            ("driver-12.8", "driver-12.8 is no version of NVIDIA's driver", "write for example +driver-570.124"),
            ("gpus-9.0", "gpus-9.0 names no toolkit", "did you mean 'gpu'?"),
            ("drivers-570.124", "drivers-570.124 names no toolkit", "did you mean 'driver'?"),
        ],
    )
    def test_what_cannot_be_is_refused(self, part: str, message: str, hint: str) -> None:
        with pytest.raises(UsageError) as raised:
            LOADER.host(f"debian-12+{part}")
        assert message in raised.value.message
        assert hint in (raised.value.hint or "")

"""CUDA toolkits of constructed machines: layouts, precedence, contradictions; and the toolkit of this one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_probe import Tree

from devsetup import probe
from devsetup.errors import InvalidInput
from devsetup.facts import Cuda, Library, Python
from devsetup.probe.cuda import cuda, cudnn, require_toolkit
from devsetup.runner import Runner

MULTIARCH = "x86_64-linux-gnu"
ASKED_FOR = "--cuda or config.toml"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


def toolkit(tree: Tree, root: str, version: str, *, nvcc: bool = True) -> None:
    major, minor = version.split(".")
    tree.write(f"{root}/include/cuda.h", f"/* licence */\n#define CUDA_VERSION {major}0{minor}0\n")
    if nvcc:
        compiler(tree, root, version)


def compiler(tree: Tree, root: str, version: str) -> None:
    tree.program(f"{root}/bin/nvcc", f"echo 'Cuda compilation tools, release {version}, V{version}.88'")


def found(tree: Tree, notes: list[str] | None = None, *, toolkit: str = "", **environ: str) -> tuple[Cuda, ...]:
    return cuda(tree.host(**environ), (), MULTIARCH, [] if notes is None else notes, toolkit=toolkit)


def chosen(toolkits: tuple[Cuda, ...]) -> Cuda:
    (one,) = [toolkit for toolkit in toolkits if toolkit.chosen]
    return one


def test_no_toolkit(tree: Tree) -> None:
    notes: list[str] = []
    assert found(tree, notes) == ()
    assert notes == []


def test_one_toolkit_under_several_names_is_one_candidate(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda-12.4", "12.4")
    tree.write("/usr/local/cuda-12.4/lib64/libcudart.so.12.4.127")
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.4")
    tree.link("/usr/bin/nvcc", "/usr/local/cuda/bin/nvcc")
    notes: list[str] = []
    assert found(tree, notes, CUDA_HOME="/usr/local/cuda") == (
        Cuda(
            path="/usr/local/cuda-12.4",
            version="12.4",
            origin="CUDA_HOME",
            chosen=True,
            why="CUDA_HOME comes first (also: nvcc on PATH, /usr/local/cuda, /usr/local/cuda-12.4)",
            nvcc="/usr/local/cuda-12.4/bin/nvcc",
            libdir="/usr/local/cuda-12.4/lib64",
            lacks=("libcudart.so", "libcublas.so", "libcurand.so"),  # its runtime has a version alone
        ),
    )
    assert notes == []


def test_the_order_of_precedence(tree: Tree) -> None:
    for number, root in enumerate(["/root", "/home", "/path", "/tools", "/usr/local/cuda", "/opt/cuda"], start=1):
        toolkit(tree, root, f"1{number}.0")
    toolkit(tree, "/usr/local/cuda-12.9", "12.9")
    toolkit(tree, "/usr/local/cuda-12.10", "12.8")
    tree.program("/usr/lib/nvidia-cuda-toolkit/bin/nvcc", "")
    toolkit(tree, "/conda", "12.1")
    toolkit(tree, "/venv/lib/python3.12/site-packages/nvidia/cu13", "13.0")
    toolkit(tree, "/asked/for", "10.2")
    variables = {"CUDAToolkit_ROOT": "/root", "CUDA_HOME": "/home", "CUDA_PATH": "/path", "PATH": "/tools/bin"}
    everything = found(tree, toolkit="/asked/for", **variables, CONDA_PREFIX="/conda", VIRTUAL_ENV="/venv")
    assert [one.path for one in everything] == [
        "/asked/for",
        "/root",
        "/home",
        "/path",
        "/tools",
        "/usr/local/cuda",
        "/usr/local/cuda-12.10",
        "/usr/local/cuda-12.9",
        "/opt/cuda",
        "/usr/lib/nvidia-cuda-toolkit",
        "/conda",
        "/venv/lib/python3.12/site-packages/nvidia/cu13",
    ]
    assert (chosen(everything).path, chosen(everything).origin) == ("/asked/for", ASKED_FOR)
    assert {one.why for one in everything if not one.chosen} == {f"{ASKED_FOR} comes first"}
    assert chosen(found(tree, **variables)).path == "/root"
    del variables["CUDAToolkit_ROOT"]
    assert chosen(found(tree, **variables)).path == "/home"
    del variables["CUDA_HOME"]
    assert chosen(found(tree, **variables)).path == "/path"
    del variables["CUDA_PATH"]
    assert chosen(found(tree, **variables)).path == "/tools"


def test_what_was_asked_for_is_set_against_what_other_tools_take(tree: Tree) -> None:
    toolkit(tree, "/mine", "12.4")
    toolkit(tree, "/usr/local/cuda", "11.8")
    notes: list[str] = []
    assert chosen(found(tree, notes, toolkit="/mine")).path == "/mine"
    (note,) = notes
    assert note.startswith(
        f"CUDA 12.4 in /mine is used because {ASKED_FOR} comes first, but /usr/local/cuda means 11.8"
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere", "there is no such directory"),
        ("/runtime", "/runtime/bin/nvcc is not there, or is no program"),
        ("cuda-12.4", "it is no absolute path"),
    ],
)
def test_what_was_asked_for_must_be_a_toolkit(tree: Tree, path: str, reason: str) -> None:
    toolkit(tree, "/runtime", "12.4", nvcc=False)
    toolkit(tree, "/usr/local/cuda", "11.8")
    with pytest.raises(InvalidInput) as raised:
        probe.machine(Runner(), {}, lambda _: None, root=tree.root, environ={}, toolkit=path)
    assert raised.value.message == f"{path} is not a CUDA toolkit: {reason}"
    assert "--cuda DIR" in (raised.value.hint or "")
    require_toolkit(tree.host(), "/usr/local/cuda")


def test_a_contradiction_is_said_with_both_sides(tree: Tree) -> None:
    toolkit(tree, "/opt/cuda-11.8", "11.8")
    toolkit(tree, "/usr/local/cuda-12.4", "12.4")
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.4")
    notes: list[str] = []
    both = found(tree, notes, CUDA_HOME="/opt/cuda-11.8", PATH="/usr/local/cuda/bin")
    assert chosen(both).version == "11.8"
    rivals = "nvcc on PATH means 12.4 in /usr/local/cuda-12.4; /usr/local/cuda means 12.4 in /usr/local/cuda-12.4"
    assert chosen(both).why == f"CUDA_HOME comes first; {rivals}"
    assert notes == [
        f"CUDA 11.8 in /opt/cuda-11.8 is used because CUDA_HOME comes first, but {rivals}: other tools may mix them"
    ]


def test_toolkits_that_only_lie_there_are_no_contradiction(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda-11.8", "11.8")
    toolkit(tree, "/usr/local/cuda-12.4", "12.4")
    notes: list[str] = []
    assert chosen(found(tree, notes)).version == "12.4"
    assert notes == []


def test_a_variable_that_names_no_toolkit_is_said_and_skipped(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    notes: list[str] = []
    assert chosen(found(tree, notes, CUDA_HOME="/gone")).origin == "/usr/local/cuda"
    assert notes == ["CUDA_HOME=/gone holds no CUDA toolkit: neither include/cuda.h nor bin/nvcc"]


def test_a_relative_variable_names_no_toolkit(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    notes: list[str] = []
    assert chosen(found(tree, notes, CUDA_HOME="usr/local/cuda")).origin == "/usr/local/cuda"
    assert notes == ["CUDA_HOME=usr/local/cuda holds no CUDA toolkit: neither include/cuda.h nor bin/nvcc"]


def test_a_dangling_link_is_said(tree: Tree) -> None:
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.4")
    notes: list[str] = []
    assert found(tree, notes) == ()
    assert notes == ["/usr/local/cuda is a link to /usr/local/cuda-12.4, which does not exist"]


def test_a_toolkit_without_nvcc_is_listed_but_never_chosen(tree: Tree) -> None:
    toolkit(tree, "/runtime", "12.4", nvcc=False)
    toolkit(tree, "/usr/local/cuda", "11.8")
    both = found(tree, CUDA_HOME="/runtime")
    assert chosen(both).path == "/usr/local/cuda"
    assert (both[0].path, both[0].why) == ("/runtime", "it has no nvcc")


def test_a_wrapper_is_asked_where_its_toolkit_is(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda-13.0", "13.0")
    tree.program(
        "/usr/local/bin/nvcc", "echo '#$ _HERE_=/x' >&2; echo '#$ TOP=/usr/local/cuda-13.0/bin/..' >&2; exit 1"
    )
    (one,) = found(tree)
    assert (one.path, one.origin) == ("/usr/local/cuda-13.0", "nvcc on PATH")


def test_a_wrapper_that_does_not_answer_is_said(tree: Tree) -> None:
    tree.program("/usr/local/bin/nvcc", "exit 1")
    notes: list[str] = []
    found(tree, notes)
    assert notes == [
        "/usr/local/bin/nvcc -v does not say where its toolkit is (#$ TOP=)",
        "/usr/local/bin/nvcc --version names no release: it may not work here",
    ]


def test_a_wrappers_answer_may_be_condas_target_directory(tree: Tree) -> None:
    """conda-forge's nvcc.profile says TOP=PREFIX/bin/../targets/x86_64-linux, which has a link to PREFIX/bin/nvcc."""
    compiler(tree, "/conda", "12.4")
    tree.write("/conda/targets/x86_64-linux/include/cuda.h", "#define CUDA_VERSION 12040\n")
    tree.write("/conda/targets/x86_64-linux/lib/libcudart.so.12")
    tree.link("/conda/targets/x86_64-linux/bin/nvcc", "/conda/bin/nvcc")
    tree.program("/usr/local/bin/nvcc", "echo '#$ TOP=/conda/bin/../targets/x86_64-linux' >&2; exit 1")
    (one,) = found(tree, CONDA_PREFIX="/conda")
    assert (one.path, one.version, one.origin) == ("/conda", "12.4", "nvcc on PATH")
    assert (one.nvcc, one.libdir) == ("/conda/bin/nvcc", "/conda/targets/x86_64-linux/lib")


@pytest.mark.parametrize("name", ["/usr", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit"])
def test_debians_package_is_spread_over_usr_and_one_toolkit_by_any_of_its_names(tree: Tree, name: str) -> None:
    tree.write("/usr/include/cuda.h", "#define CUDA_VERSION 11080\n")
    compiler(tree, "/usr/lib/nvidia-cuda-toolkit", "11.8")
    tree.program("/usr/bin/nvcc", "echo '#$ TOP=/usr/lib/nvidia-cuda-toolkit/bin/..' >&2; exit 1")
    tree.write("/usr/lib/x86_64-linux-gnu/libcudart.so")
    tree.write("/usr/lib/cuda/version.txt", "CUDA Version 11.8.0\n")
    notes: list[str] = []
    (one,) = found(tree, notes, CUDA_HOME=name)
    assert (one.path, one.version, one.chosen) == ("/usr/lib/nvidia-cuda-toolkit", "11.8", True)
    assert one.why == "CUDA_HOME comes first (also: nvcc on PATH, the distribution's package)"
    assert (one.nvcc, one.libdir) == ("/usr/lib/nvidia-cuda-toolkit/bin/nvcc", "/usr/lib/x86_64-linux-gnu")
    assert notes == []
    require_toolkit(tree.host(), name)


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        ("targets/x86_64-linux/include/cuda.h", "#define CUDA_VERSION 12060\n", "12.6"),
        ("version.json", '{"cuda" : {"name" : "CUDA SDK", "version" : "11.7.1"}, "nvcc": {"version": "1.2"}}', "11.7"),
        ("version.txt", "CUDA Version 10.1.243\n", "10.1"),
        ("README", "", "9.2"),
    ],
)
def test_the_version_is_where_the_layout_keeps_it(tree: Tree, path: str, text: str, version: str) -> None:
    tree.write(f"/usr/local/cuda/{path}", text)
    tree.program("/usr/local/cuda/bin/nvcc", "echo 'Cuda compilation tools, release 9.2, V9.2.148'")
    assert [one.version for one in found(tree)] == [version]


@pytest.mark.parametrize(
    ("files", "libdir"),
    [
        (("lib64/libcudart.so.12", "lib/libcudart.so.12"), "lib64"),
        (("lib64/libcudart_static.a", "lib64/stubs/libcuda.so", "lib/libcudart.so.13"), "lib"),
        (
            ("targets/aarch64-linux/lib/libcudart.so", "targets/x86_64-linux/lib/libcudart.so"),
            "targets/x86_64-linux/lib",
        ),
        (("lib/libcudart.8.0.dylib",), "lib"),
        (("lib64/libcublas.so.12",), ""),
    ],
)
def test_the_library_directory_is_the_one_that_holds_the_runtime(
    tree: Tree, files: tuple[str, ...], libdir: str
) -> None:
    toolkit(tree, "/opt/cuda", "12.4")
    for file in files:
        tree.write(f"/opt/cuda/{file}")
    (one,) = found(tree)
    assert one.libdir == (f"/opt/cuda/{libdir}" if libdir else "")


def test_arm_servers_have_a_target_of_their_own_name(tree: Tree) -> None:
    toolkit(tree, "/opt/cuda", "12.4")
    for name in ("x86_64-linux", "sbsa-linux"):
        tree.write(f"/opt/cuda/targets/{name}/lib/libcudart.so")
    (one,) = cuda(tree.host(), (), "aarch64-linux-gnu", [])
    assert one.libdir == "/opt/cuda/targets/sbsa-linux/lib"


def test_a_root_that_contradicts_itself_is_said(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    compiler(tree, "/usr/local/cuda", "12.6")
    notes: list[str] = []
    assert chosen(found(tree, notes)).version == "12.4"
    (note,) = notes
    assert note.startswith("/usr/local/cuda mixes two toolkits: /usr/local/cuda/include/cuda.h is of CUDA 12.4")
    assert "/usr/local/cuda/bin/nvcc is of CUDA 12.6" in note


def test_an_nvcc_that_does_not_run_is_said(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    tree.program("/usr/local/cuda/bin/nvcc", "exit 126")
    notes: list[str] = []
    found(tree, notes)
    assert notes == ["/usr/local/cuda/bin/nvcc --version names no release: it may not work here"]


def test_wheels_and_conda_come_last(tree: Tree) -> None:
    tree.program("/opt/py/bin/python3.12", "")
    site = "/opt/py/lib/python3.12/site-packages/nvidia"
    toolkit(tree, f"{site}/cu13", "13.0")
    toolkit(tree, f"{site}/cuda_runtime", "12.4", nvcc=False)
    tree.write(f"{site}/cuda_runtime/lib/libcudart.so.12")
    tree.program(f"{site}/cuda_nvcc/bin/ptxas", "")
    toolkit(tree, "/conda", "12.1")
    interpreters = (Python(path="/opt/py/bin/python3.12", version="3.12.1"),)
    everything = cuda(tree.host(CONDA_PREFIX="/conda"), interpreters, MULTIARCH, [])
    assert [(one.origin, one.version, one.chosen) for one in everything] == [
        ("CONDA_PREFIX", "12.1", True),
        ("wheels of /opt/py/bin/python3.12", "13.0", False),
        ("wheels of /opt/py/bin/python3.12", "12.4", False),
    ]
    assert (everything[2].nvcc, everything[2].libdir) == ("", f"{site}/cuda_runtime/lib")
    assert everything[2].why == "it has no nvcc"


@pytest.mark.parametrize(
    "site",
    [
        "/usr/lib/python3.11/site-packages",
        "/usr/local/lib/python3.11/dist-packages",
        "/home/user/.local/lib/python3.11/site-packages",
    ],
)
def test_wheels_are_where_pip_of_a_system_python_puts_them(tree: Tree, site: str) -> None:
    toolkit(tree, f"{site}/nvidia/cu13", "13.0")
    system = Python(path="/usr/bin/python3.11", version="3.11.2", system=True)
    (one,) = cuda(tree.host(HOME="/home/user"), (system,), MULTIARCH, [])
    assert (one.path, one.chosen, one.origin) == (f"{site}/nvidia/cu13", True, "wheels of /usr/bin/python3.11")


def test_the_whole_probe_finds_the_wheels_of_the_pythons_it_found(tree: Tree) -> None:
    tree.program("/usr/local/bin/python3.12", "echo Python 3.12.1")
    site = "/usr/local/lib/python3.12/site-packages/nvidia"
    toolkit(tree, f"{site}/cu13", "13.0")
    tree.write(f"{site}/cudnn/include/cudnn_version.h", CUDNN_9)
    facts = tree.facts()
    (one,) = facts.cuda
    assert (one.version, one.chosen) == ("13.0", True)
    assert facts.library("cudnn") == "9.13.1"


CUDNN_9 = "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 13\n#define CUDNN_PATCHLEVEL 1\n"
CUDNN_6 = "#define CUDNN_MAJOR      6\n#define CUDNN_MINOR      0\n#define CUDNN_PATCHLEVEL 21\n"


@pytest.mark.parametrize(
    "directory",
    [
        "/usr/local/cuda/include",
        "/usr/local/cuda/targets/x86_64-linux/include",
        "/usr/include",
        "/usr/include/x86_64-linux-gnu",
        "/conda/include",
        "/venv/lib/python3.12/site-packages/nvidia/cudnn/include",
    ],
)
def test_cudnn_is_found_by_its_header(tree: Tree, directory: str) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    host = tree.host(CONDA_PREFIX="/conda", VIRTUAL_ENV="/venv")
    toolkits = found(tree)
    assert cudnn(host, toolkits, (), MULTIARCH) == {}
    tree.write(f"{directory}/cudnn.h", CUDNN_6)
    assert cudnn(host, toolkits, (), MULTIARCH) == {"cudnn": Library(version="6.0.21", installed=True)}
    # Since version 8 the numbers are in a file of their own, which cudnn.h includes.
    tree.write(f"{directory}/cudnn.h", '#include "cudnn_version.h"\n')
    tree.write(f"{directory}/cudnn_version.h", CUDNN_9)
    assert cudnn(host, toolkits, (), MULTIARCH)["cudnn"].version == "9.13.1"


def test_cudnn_of_a_toolkit_that_lost_does_not_count(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda", "12.4")
    toolkit(tree, "/opt/cuda", "11.8")
    tree.write("/opt/cuda/include/cudnn.h", CUDNN_6)
    tree.write("/usr/include/cudnn_version.h", CUDNN_9)
    assert cudnn(tree.host(), found(tree), (), MULTIARCH)["cudnn"].version == "9.13.1"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc on PATH")
def test_the_toolkit_here_is_what_its_nvcc_says() -> None:
    """The probe read files; nvcc is the judge."""
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    here = probe.machine(Runner(), {}, lambda _: None)
    (one,) = [each for each in here.cuda if each.origin == "nvcc on PATH" or "nvcc on PATH" in each.why]
    assert re.findall(r"release (\S+),", said) == [one.version]
    assert list(Path(one.libdir).glob("libcudart.so*"))
    assert subprocess.run([one.nvcc, "--version"], capture_output=True, text=True, check=True).stdout == said

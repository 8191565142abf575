"""CUDA toolkits of constructed machines: layouts, precedence, contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_probe import Tree

from devsetup.facts import Cuda, Python
from devsetup.probe.cuda import cuda


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


def toolkit(tree: Tree, root: str, version: str, *, nvcc: bool = True) -> None:
    major, minor = version.split(".")
    tree.write(f"{root}/include/cuda.h", f"/* licence */\n#define CUDA_VERSION {major}0{minor}0\n")
    if nvcc:
        tree.program(f"{root}/bin/nvcc", "exit 3")


def found(tree: Tree, notes: list[str] | None = None, **environ: str) -> tuple[Cuda, ...]:
    return cuda(tree.host(**environ), (), [] if notes is None else notes)


def chosen(toolkits: tuple[Cuda, ...]) -> Cuda:
    (one,) = [toolkit for toolkit in toolkits if toolkit.chosen]
    return one


def test_no_toolkit(tree: Tree) -> None:
    notes: list[str] = []
    assert found(tree, notes) == ()
    assert notes == []


def test_one_toolkit_under_several_names_is_one_candidate(tree: Tree) -> None:
    toolkit(tree, "/usr/local/cuda-12.4", "12.4")
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
        ),
    )
    assert notes == []


def test_the_order_of_precedence(tree: Tree) -> None:
    for number, root in enumerate(["/root", "/home", "/path", "/tools", "/usr/local/cuda", "/opt/cuda"], start=1):
        toolkit(tree, root, f"1{number}.0")
    toolkit(tree, "/usr/local/cuda-12.9", "12.9")
    toolkit(tree, "/usr/local/cuda-12.10", "12.8")
    everything = found(tree, CUDAToolkit_ROOT="/root", CUDA_HOME="/home", CUDA_PATH="/path", PATH="/tools/bin")
    assert [one.path for one in everything] == [
        "/root",
        "/home",
        "/path",
        "/tools",
        "/usr/local/cuda",
        "/usr/local/cuda-12.10",
        "/usr/local/cuda-12.9",
        "/opt/cuda",
    ]
    assert chosen(everything).path == "/root"
    assert {one.why for one in everything if not one.chosen} == {"CUDAToolkit_ROOT comes first"}


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
    assert notes == ["/usr/local/bin/nvcc -v does not say where its toolkit is (#$ TOP=)"]


def test_debians_package_is_spread_over_usr(tree: Tree) -> None:
    tree.write("/usr/include/cuda.h", "#define CUDA_VERSION 11080\n")
    tree.program("/usr/lib/nvidia-cuda-toolkit/bin/nvcc", "exit 1")
    tree.program("/usr/bin/nvcc", "echo '#$ TOP=/usr/lib/nvidia-cuda-toolkit/bin/..' >&2; exit 1")
    (one,) = found(tree)
    assert (one.path, one.version, one.chosen) == ("/usr/lib/nvidia-cuda-toolkit", "11.8", True)
    assert one.why == "nvcc on PATH comes first (also: the distribution's package)"


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


def test_wheels_and_conda_come_last(tree: Tree) -> None:
    tree.program("/opt/py/bin/python3.12", "")
    site = "/opt/py/lib/python3.12/site-packages/nvidia"
    toolkit(tree, f"{site}/cu13", "13.0")
    toolkit(tree, f"{site}/cuda_runtime", "12.4", nvcc=False)
    toolkit(tree, "/conda", "12.1")
    interpreters = (Python(path="/opt/py/bin/python3.12", version="3.12.1"),)
    everything = cuda(tree.host(CONDA_PREFIX="/conda"), interpreters, [])
    assert [(one.origin, one.version, one.chosen) for one in everything] == [
        ("CONDA_PREFIX", "12.1", True),
        ("wheels of /opt/py/bin/python3.12", "13.0", False),
        ("wheels of /opt/py/bin/python3.12", "12.4", False),
    ]


def test_the_whole_probe_finds_the_wheels_of_the_pythons_it_found(tree: Tree) -> None:
    tree.program("/usr/local/bin/python3.12", "echo Python 3.12.1")
    toolkit(tree, "/usr/local/lib/python3.12/site-packages/nvidia/cu13", "13.0")
    (one,) = tree.facts().cuda
    assert (one.version, one.chosen) == ("13.0", True)

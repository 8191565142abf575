"""Compilers, Pythons and BLAS libraries of constructed machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_probe import Tree

from devsetup.facts import Blas, Compiler, Python
from devsetup.probe.blas import blas
from devsetup.probe.compilers import compilers
from devsetup.probe.host import Host
from devsetup.probe.pythons import pythons, site_packages
from devsetup.runner import Runner

GCC = "echo 'gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0'; echo 'Copyright (C) 2022 Free Software Foundation, Inc.'"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


def test_every_name_of_a_compiler_is_listed_and_its_file_asked_once(tree: Tree) -> None:
    tree.program("/usr/bin/x86_64-linux-gnu-gcc-12", f"echo asked >> {tree.root}/log; {GCC}")
    tree.link("/usr/bin/gcc-12", "x86_64-linux-gnu-gcc-12")
    tree.link("/usr/bin/gcc", "gcc-12")
    tree.link("/etc/alternatives/cc", "/usr/bin/gcc")
    tree.link("/usr/bin/cc", "/etc/alternatives/cc")
    notes: list[str] = []
    assert compilers(tree.host(), notes) == (
        Compiler(name="gcc", family="gcc", version="12.2.0", path="/usr/bin/gcc"),
        Compiler(name="cc", family="gcc", version="12.2.0", path="/usr/bin/cc"),
    )
    assert (tree.root / "log").read_text() == "asked\n"
    assert notes == []


def test_a_versioned_name_is_listed_when_it_is_another_compiler(tree: Tree) -> None:
    tree.program("/usr/bin/g++-12", GCC)
    tree.program("/usr/bin/g++-11", GCC.replace("12.2.0", "11.4.0"))
    tree.link("/usr/bin/g++", "g++-12")
    found = compilers(tree.host(), [])
    assert [(compiler.name, compiler.version) for compiler in found] == [("g++", "12.2.0"), ("g++-11", "11.4.0")]


@pytest.mark.parametrize(
    ("text", "family", "version"),
    [
        ("Debian clang version 14.0.6", "clang", "14.0.6"),
        ("Apple clang version 17.0.0 (clang-1700.0.13.5)", "clang", "17.0.0"),
        ("Apple LLVM version 6.1.0 (clang-602.0.53) (based on LLVM 3.6.0svn)", "clang", "6.1.0"),
        ("gcc (GCC) 15.1.1 20250521 (Red Hat 15.1.1-2)\\nCopyright (C) 2025 Free Software Foundation", "gcc", "15.1.1"),
        ("c++ (Ubuntu 9.4.0-1ubuntu1~20.04.2) 9.4.0\\nCopyright (C) 2019 Free Software Foundation", "gcc", "9.4.0"),
    ],
)
def test_what_compilers_print(tree: Tree, text: str, family: str, version: str) -> None:
    tree.program("/usr/bin/c++", f"printf '{text}\\n'")
    assert compilers(tree.host(), []) == (Compiler(name="c++", family=family, version=version, path="/usr/bin/c++"),)


def test_a_wrapper_is_asked_under_each_of_its_names(tree: Tree) -> None:
    """Ccache looks at the name that it was started by, so its links must not be taken for one program."""
    tree.program("/wrap/ccache", f"case $0 in *clang) echo 'clang version 14.0.6';; *) {GCC};; esac")
    tree.link("/wrap/gcc", "ccache")
    tree.link("/wrap/clang", "ccache")
    host = Host(Runner(), "", {"PATH": f"{tree.root}/wrap"})
    found = [(compiler.name, compiler.family, compiler.version) for compiler in compilers(host, [])]
    assert found == [("gcc", "gcc", "12.2.0"), ("clang", "clang", "14.0.6")]


def test_a_compiler_that_hangs_is_stopped_and_said(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devsetup.probe.host._TIMEOUT_S", 0.2)
    tree.program("/usr/bin/gcc", "sleep 60")
    tree.program("/usr/bin/g++", GCC)
    found = tree.facts()
    assert [compiler.name for compiler in found.compilers] == ["g++"]
    assert found.notes == ("/usr/bin/gcc did not end within 0.2 s and was stopped",)


@pytest.mark.parametrize(("script", "said"), [("echo hello", "'hello'"), ("echo broken >&2; exit 1", "'broken'")])
def test_a_compiler_that_prints_garbage_is_said(tree: Tree, script: str, said: str) -> None:
    tree.program("/usr/bin/cc", script)
    notes: list[str] = []
    assert compilers(tree.host(), notes) == ()
    assert notes == [f"/usr/bin/cc --version names neither gcc nor clang: {said}"]


def python(tree: Tree, prefix: str, version: str, *parts: str) -> None:
    """An interpreter that must not be started, with the parts (`headers`, `venv`, `managed`) around it."""
    minor = "python" + ".".join(version.split(".")[:2])
    tree.program(f"{prefix}/bin/{minor}", f"echo started > {tree.root}/started; echo Python {version}")
    files = {
        "headers": (f"{prefix}/include/{minor}/Python.h", f"{prefix}/include/{minor}/patchlevel.h"),
        "venv": (f"{prefix}/lib/{minor}/ensurepip/__init__.py",),
        "managed": (f"{prefix}/lib/{minor}/EXTERNALLY-MANAGED",),
    }
    for part in parts:
        for path in files[part]:
            tree.write(path, f'#define PY_VERSION      \t"{version}"\n')


def test_the_distributions_python_is_described_without_starting_it(tree: Tree) -> None:
    python(tree, "/usr", "3.11.2", "headers", "venv", "managed")
    tree.link("/usr/bin/python3", "python3.11")
    found = pythons(tree.host(), [])
    assert found == (
        Python(path="/usr/bin/python3", version="3.11.2", system=True, headers=True, venv=True, managed=True),
    )
    assert site_packages(tree.host(), found[0]) == "/usr/lib/python3.11/site-packages"
    assert not (tree.root / "started").exists()


def test_a_python_without_headers_is_asked_for_its_version(tree: Tree) -> None:
    python(tree, "/usr", "3.9.2")
    assert pythons(tree.host(), []) == (Python(path="/usr/bin/python3.9", version="3.9.2", system=True),)


def test_a_python_outside_usr_bin_is_not_the_systems(tree: Tree) -> None:
    python(tree, "/usr/local", "3.12.1", "headers", "venv")
    found = pythons(tree.host(PATH=""), [])
    assert found == (Python(path="/usr/local/bin/python3.12", version="3.12.1", headers=True, venv=True),)


def test_fedora_keeps_the_standard_library_in_lib64_and_36_has_an_abi_letter(tree: Tree) -> None:
    python(tree, "/usr", "3.13.5")
    tree.write("/usr/lib64/python3.13/ensurepip/__init__.py")
    tree.write("/usr/lib64/python3.13/EXTERNALLY-MANAGED")
    python(tree, "/usr/local", "3.6.15")
    tree.write("/usr/local/include/python3.6m/Python.h")
    assert pythons(tree.host(), []) == (
        Python(path="/usr/local/bin/python3.6", version="3.6.15", headers=True),
        Python(path="/usr/bin/python3.13", version="3.13.5", system=True, venv=True, managed=True),
    )


def test_pyenv_is_read_newest_first_and_its_shims_are_not(tree: Tree) -> None:
    for version in ("3.9.18", "3.10.13", "2.7.18"):
        python(tree, f"/home/me/.pyenv/versions/{version}", version, "headers")
    tree.program("/home/me/.pyenv/shims/python3", f"echo started > {tree.root}/started")
    host = tree.host(HOME="/home/me", PATH="/home/me/.pyenv/shims")
    assert [one.version for one in pythons(host, [])] == ["3.10.13", "3.9.18"]
    assert [one.version for one in pythons(tree.host(PYENV_ROOT="/home/me/.pyenv"), [])] == ["3.10.13", "3.9.18"]
    assert not (tree.root / "started").exists()


def test_a_virtual_environment_counts_as_the_interpreter_that_made_it(tree: Tree) -> None:
    python(tree, "/opt/base", "3.12.1", "headers")
    tree.write("/venv/pyvenv.cfg", "home = /opt/base/bin\ninclude-system-site-packages = false\n")
    tree.program("/venv/bin/python3", f"echo started > {tree.root}/started")
    assert [one.path for one in pythons(tree.host(PATH="/venv/bin"), [])] == ["/opt/base/bin/python3.12"]
    assert not (tree.root / "started").exists()


def test_the_same_interpreter_is_listed_once_where_it_is_found_first(tree: Tree) -> None:
    python(tree, "/opt/base", "3.12.1", "headers")
    tree.link("/usr/local/bin/python3", "/opt/base/bin/python3.12")
    tree.link("/usr/bin/python3.12", "/opt/base/bin/python3.12")
    assert [one.path for one in pythons(tree.host(), [])] == ["/usr/local/bin/python3"]


def test_a_link_in_usr_bin_does_not_make_a_python_the_systems(tree: Tree) -> None:
    python(tree, "/opt/base", "3.12.1", "headers")
    tree.link("/usr/bin/python3", "/opt/base/bin/python3.12")
    assert pythons(tree.host(), []) == (Python(path="/usr/bin/python3", version="3.12.1", headers=True),)


def test_macos_python_is_the_one_of_the_command_line_tools(tree: Tree) -> None:
    tools = "/Library/Developer/CommandLineTools"
    framework = f"{tools}/Library/Frameworks/Python3.framework/Versions/3.9"
    tree.write("/System/Library/CoreServices/SystemVersion.plist")
    tree.program(f"{tools}/usr/bin/clang", "")
    tree.program("/usr/bin/python3", f"echo started > {tree.root}/started")
    tree.link(f"{tools}/usr/bin/python3", "../../Library/Frameworks/Python3.framework/Versions/3.9/bin/python3.9")
    python(tree, framework, "3.9.6", "headers", "venv")
    assert pythons(tree.host(), []) == (
        Python(path="/usr/bin/python3", version="3.9.6", system=True, headers=True, venv=True),
    )
    assert not (tree.root / "started").exists()


def test_a_broken_python_is_said_and_left_out(tree: Tree) -> None:
    tree.program("/usr/bin/python3.11", "echo Segmentation fault; exit 139")
    notes: list[str] = []
    assert pythons(tree.host(), notes) == ()
    assert notes == ["/usr/bin/python3.11 -V printed no version: 'Segmentation fault\\n'"]


TRIPLE = "x86_64-linux-gnu"
LIB = f"/usr/lib/{TRIPLE}"


def test_debians_alternatives_lead_to_openblas(tree: Tree) -> None:
    tree.write(f"{LIB}/openblas-pthread/libopenblasp-r0.3.21.so")
    tree.link(f"{LIB}/openblas-pthread/libopenblas.so", "libopenblasp-r0.3.21.so")
    tree.write(f"{LIB}/openblas-pthread/libblas.so.3")
    tree.link(f"/etc/alternatives/libopenblas.so-{TRIPLE}", f"{LIB}/openblas-pthread/libopenblas.so")
    tree.link(f"{LIB}/libopenblas.so", f"/etc/alternatives/libopenblas.so-{TRIPLE}")
    tree.link(f"{LIB}/libblas.so.3", f"{LIB}/openblas-pthread/libblas.so.3")
    assert blas(tree.host(), TRIPLE) == (Blas(name="openblas", path=f"{LIB}/libopenblas.so", version="0.3.21"),)


def test_reference_atlas_and_mkl(tree: Tree) -> None:
    tree.write(f"{LIB}/blas/libblas.so.3.11.0")
    tree.link(f"{LIB}/blas/libblas.so.3", "libblas.so.3.11.0")
    tree.write("/usr/lib64/atlas/libsatlas.so.3.10")
    tree.write("/opt/intel/oneapi/mkl/2024.1/lib/libmkl_rt.so")
    tree.link("/opt/intel/oneapi/mkl/latest", "2024.1")
    assert blas(tree.host(), TRIPLE) == (
        Blas(name="atlas", path="/usr/lib64/atlas/libsatlas.so.3.10", version="3.10"),
        Blas(name="mkl", path="/opt/intel/oneapi/mkl/latest/lib/libmkl_rt.so", version="2024.1"),
        Blas(name="reference", path=f"{LIB}/blas/libblas.so.3", version="3.11.0"),
    )


def test_a_link_that_leads_nowhere_is_no_library(tree: Tree) -> None:
    tree.link(f"{LIB}/libopenblas.so", "/etc/alternatives/gone-openblas")
    assert blas(tree.host(), TRIPLE) == ()


def test_macos_has_accelerate(tree: Tree) -> None:
    tree.write("/System/Library/Frameworks/Accelerate.framework/Accelerate")
    assert [one.name for one in blas(tree.host(), TRIPLE)] == ["accelerate"]

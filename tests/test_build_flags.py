"""What the flags of `linking` are for, on a small C library and an extension module that uses it.

Without them the build fails and then the import does, in the words of the installation note; with them both work in an
empty environment. CMake's options are tried on a library that opens another one by name, as libgpuarray does CUDA's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from devsetup import linking
from devsetup.app.using import Setting, activated, shell_code
from devsetup.facts import Cuda, Facts, OperatingSystem
from devsetup.verify.elf import read

pytestmark = pytest.mark.skipif(
    not shutil.which("cc") or not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="needs a C compiler and Python's headers",
)

LIBRARY = "#include <answer.h>\nint answer(void) { return 42; }\n"
HEADER = "int answer(void);\n"
MODULE = r"""
#include <Python.h>
#include <answer.h>
static PyObject *ask(PyObject *self, PyObject *none) { return PyLong_FromLong(answer()); }
static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "asking", NULL, -1, methods};
PyMODINIT_FUNC PyInit_asking(void) { return PyModule_Create(&module); }
"""
SETUP = """
from setuptools import Extension, setup
setup(name="asking", ext_modules=[Extension("asking", ["asking.c"], libraries=["answer"])])
"""
# setuptools may be missing from the environment that runs the tests, and its command is what is tried.
HAVE_SETUPTOOLS = subprocess.run([sys.executable, "-c", "import setuptools"], check=False, capture_output=True)
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def cc(*argv: str, cwd: Path) -> None:
    subprocess.run(["cc", *argv], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A library in a prefix that no tool looks into by itself, and the source of a module that uses it."""
    prefix, tree = tmp_path / "prefix", tmp_path / "tree"
    for directory in (prefix / "include", prefix / "lib", tree):
        directory.mkdir(parents=True)
    (prefix / "include/answer.h").write_text(HEADER)
    (tmp_path / "answer.c").write_text(LIBRARY)
    cc(
        "-shared",
        "-fPIC",
        "-Iprefix/include",
        "-Wl,-soname,libanswer.so.1",
        "-o",
        "prefix/lib/libanswer.so.1",
        "answer.c",
        cwd=tmp_path,
    )
    (prefix / "lib/libanswer.so").symlink_to("libanswer.so.1")
    (tree / "asking.c").write_text(MODULE)
    (tree / "setup.py").write_text(SETUP)
    return tmp_path


def build(world: Path, *command: str) -> subprocess.CompletedProcess[str]:
    if HAVE_SETUPTOOLS.returncode:
        pytest.skip("needs setuptools")
    return subprocess.run(
        [sys.executable, "setup.py", *command, "--build-lib", str(world / "built")],
        cwd=world / "tree",
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )


def ask(world: Path, **env: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(world / 'built')!r}); import asking; print(asking.ask())"
    return subprocess.run(
        [sys.executable, "-c", code], env={**CLEAN, **env}, capture_output=True, text=True, check=False
    )


def flags(world: Path) -> tuple[str, ...]:
    return linking.build_ext(linking.under(str(world / "prefix")))


def without(command: tuple[str, ...], flag: str) -> tuple[str, ...]:
    at = command.index(flag)
    return (*command[:at], *command[at + 2 :])


def test_without_the_include_directory_the_header_is_not_found(world: Path) -> None:
    done = build(world, *without(flags(world), "-I"))
    assert done.returncode != 0
    assert "answer.h: No such file or directory" in done.stdout + done.stderr


def test_without_the_library_directory_the_linker_does_not_find_it(world: Path) -> None:
    done = build(world, *without(flags(world), "-L"))
    assert done.returncode != 0
    assert "cannot find -lanswer" in done.stdout + done.stderr


def test_without_the_run_path_it_builds_and_does_not_import(world: Path) -> None:
    done = build(world, *without(flags(world), "-R"))
    assert done.returncode == 0, done.stderr
    failed = ask(world)
    assert failed.returncode != 0
    assert "libanswer.so.1: cannot open shared object file: No such file or directory" in failed.stderr
    assert ask(world, LD_LIBRARY_PATH=str(world / "prefix/lib")).stdout == "42\n", "the note's way round it"


def test_with_all_three_it_imports_in_a_clean_environment(world: Path) -> None:
    done = build(world, *flags(world))
    assert done.returncode == 0, done.stderr
    assert ask(world).stdout == "42\n"
    (module,) = (world / "built").glob("asking*.so")
    elf = read(module)
    assert elf is not None
    assert str(world / "prefix/lib") in elf.runpath


PLUG = "int plugged(void) { return 7; }\n"
OPENS = """
#include <dlfcn.h>
int opens(void) {
    void *plug = dlopen("libplug.so", RTLD_NOW);
    int (*plugged)(void) = plug ? (int (*)(void))dlsym(plug, "plugged") : 0;
    return plugged ? plugged() : -1;
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.13)
project(opens C)
add_library(opens SHARED opens.c)
target_link_libraries(opens ${CMAKE_DL_LIBS})
install(TARGETS opens DESTINATION ${CMAKE_INSTALL_LIBDIR})
"""


@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
@pytest.mark.parametrize(("told", "answer"), [(True, "7"), (False, "-1")])
def test_a_run_path_counts_for_what_a_library_opens_by_name(tmp_path: Path, *, told: bool, answer: str) -> None:
    toolkit, prefix = tmp_path / "toolkit", tmp_path / "prefix"
    toolkit.mkdir()
    for name, text in (("plug.c", PLUG), ("opens.c", OPENS), ("CMakeLists.txt", CMAKE)):
        (tmp_path / name).write_text(text)
    cc("-shared", "-fPIC", "-o", "toolkit/libplug.so", "plug.c", cwd=tmp_path)
    options = linking.cmake_install(str(prefix), (str(toolkit),) if told else ())
    for argv in (["cmake", "-S", ".", "-B", "b", *options], ["cmake", "--build", "b", "--target", "install"]):
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    code = f"import ctypes; print(ctypes.CDLL({str(prefix / 'lib/libopens.so')!r}).opens())"
    done = subprocess.run([sys.executable, "-c", code], env=CLEAN, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == answer


def machine(libdir: str) -> Facts:
    toolkit = Cuda(path="/t", version="12.4", origin="a test", chosen=True, libdir=libdir)
    other = Cuda(path="/o", version="11.8", origin="a test", libdir="/o/lib64")
    return Facts(os=OperatingSystem(id="debian", version="12"), arch="x86_64", cuda=(other, toolkit))


@pytest.mark.parametrize(
    ("libdir", "told"),
    [("/usr/local/cuda-12.4/lib64", True), ("/opt/cuda/lib", True), ("", False)]
    + [(where, False) for where in ("/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu")],
)
def test_the_loader_is_told_of_the_chosen_toolkit_where_it_does_not_look_itself(libdir: str, *, told: bool) -> None:
    assert linking.toolkit_libraries(machine(libdir)) == ((libdir,) if told else ())


@pytest.mark.parametrize("before", [None, "", "/a:/b"])
def test_prepending_never_leaves_an_empty_entry(before: str | None) -> None:
    """An empty entry of LD_LIBRARY_PATH is the current directory, from which anyone's library would be loaded."""
    settings = (Setting(name="LD_LIBRARY_PATH", value="/toolkit/lib", prepend=True),)
    environ = {} if before is None else {"LD_LIBRARY_PATH": before}
    wanted = "/toolkit/lib:/a:/b" if before else "/toolkit/lib"
    assert activated(environ, settings)["LD_LIBRARY_PATH"] == wanted
    script = shell_code(settings, "sh") + 'printf %s "$LD_LIBRARY_PATH"'
    done = subprocess.run(["sh", "-c", script], env={**CLEAN, **environ}, capture_output=True, text=True, check=True)
    assert done.stdout == wanted

"""Remedies in a bare Debian 12: each failure really happens there, and the remedy's own commands really end it.

The commands are the symptom's, with sudo and the package manager; only words such as PACKAGE are filled in. After them
the script that failed succeeds. `./dev test --all` runs these, as does `-m chroot`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bare_root import ALL, Failure, Layer, ended
from failing import LOADER, Taken, causes

from devsetup.symptom import Symptom

pytestmark = [pytest.mark.chroot, pytest.mark.xdist_group("remedies")]

INSTALL = "apt-get install -y -qq --no-install-recommends"
C = ("a.c", "int main(void) { return 0; }\n")
PROJECT = "cmake_minimum_required(VERSION 3.13)\nproject(x NONE)\n"
FIND = "find_library(NONE none)\ninclude(FindPackageHandleStandardArgs)\n"
CXX = ("a.cpp", "#include <vector>\nint main() { return static_cast<int>(std::vector<int>().size()); }\n")
SETUP = ("thing/setup.py", "from setuptools import setup\nsetup(name='thing', version='2')\n")


TOOLS = (
    Failure("compiler-missing", "gcc a.c -o a && ./a", files=(C,)),
    Failure("make-missing", "make --version"),
    Failure("cmake-missing", "cmake --version", Taken(only=("apt-get install",))),
    Failure("pkg-config-missing", "pkg-config --version"),
    Failure("git-missing", "make", root="building", files=(("Makefile", "all:\n\tgit --version\n"),)),
    Failure(
        "gfortran-missing",
        "gfortran a.f -o a && ./a",
        files=(("a.f", "      program a\n      end\n"),),
        root="building",
    ),
    Failure(
        "ninja-missing",
        "cmake -G Ninja -S . -B build",
        before=f"{INSTALL} cmake",
        files=(("CMakeLists.txt", "cmake_minimum_required(VERSION 3.13)\nproject(x C)\n"),),
        root="building",
    ),
    Failure(
        "autotools-missing",
        "autoreconf --install && ./configure",
        files=(("configure.ac", "AC_INIT([x], [1])\nAC_PROG_CC\nAC_OUTPUT\n"),),
        root="building",
    ),
    Failure(
        "apt-package-unknown",
        "sudo apt-get install -y make",
        Taken(only=("apt-get update",)),
        before="rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin",
    ),
    Failure("apt-not-root", "apt-get install -y make", Taken(filled=(("PACKAGE", "-y make"),)), user=1000),
)
FOUND = (  # what lies in a place that is not looked in
    Failure(
        "cmake-package-missing",
        "cmake .",
        Taken(only=("rm CMakeCache", "cmake -DCMAKE_PREFIX_PATH"), filled=(("DIRECTORY", "/root/work/there"),)),
        files=(("CMakeLists.txt", f"{PROJECT}find_package(Nowhere REQUIRED)\n"), ("there/NowhereConfig.cmake", "")),
        root="developing",
    ),
    Failure(
        "cmake-package-missing",
        "cmake .",
        None,
        files=(
            ("CMakeLists.txt", f"{PROJECT}set(CMAKE_MODULE_PATH ${{CMAKE_SOURCE_DIR}})\nfind_package(None REQUIRED)\n"),
            (
                "FindNone.cmake",
                f"{FIND}find_package_handle_standard_args(None DEFAULT_MSG NONE)\n",
            ),
        ),
        root="developing",
        then="gcc -shared -x c /dev/null -o /usr/lib/libnone.so; rm CMakeCache.txt  # as its package does",
    ),
    Failure(
        "pkg-config-module-missing",
        "pkg-config --cflags nowhere",
        Taken(only=("export",), filled=(("DIRECTORY", "there"),)),
        files=(("there/nowhere.pc", "Name: x\nDescription: x\nVersion: 1\n"),),
        root="developing",
    ),
)
COMPILING = (
    Failure(
        "c-library-headers",
        "gcc a.c -o a && ./a",
        before=f"{INSTALL} gcc",
        files=(("a.c", f"#include <stdio.h>\n{C[1]}"),),
    ),
    Failure(
        "c-library-headers",
        "gcc a.c -o a && ./a",
        before=f"{INSTALL} gcc",
        files=(C,),
    ),
    Failure(
        "cxx-compiler-missing",
        "gcc -c a.cpp",
        before=f"{INSTALL} gcc libc6-dev",
        files=(CXX,),
    ),
    Failure(
        "multilib-missing",
        "gcc -m32 a.c -o a && ./a",
        files=(("a.c", f"#include <stdio.h>\n{C[1]}"),),
        root="building",
    ),
    Failure(
        "python-headers",
        "gcc -shared -fPIC a.c -o a.so",
        files=(("a.c", "#include <Python.h>\nPyObject *f(void) { return PyLong_FromLong(1); }\n"),),
        root="building",
    ),
    Failure(
        "numpy-headers",
        "gcc -shared -fPIC -I$(echo /usr/include/python3.*) a.c -o a.so",
        before=f"{INSTALL} python3-dev",
        files=(("a.c", "#include <Python.h>\n#include <numpy/arrayobject.h>\n"),),
        root="building",
    ),
)
ANSWER = ("lib/answer.c", "int answer(void) { return 0; }\n")
ASK = ("ask.c", "int answer(void);\nint main(void) { return answer(); }\n")
STRTOL = """long __isoc23_strtol(const char *, char **, int);
int main(void) { return __isoc23_strtol("0", 0, 10); }
"""
SHARED = "gcc -shared -fPIC lib/answer.c -Wl,-soname,libanswer.so.7 -o lib/libanswer.so.7"
# What a newer Debian's compiler would link to: its library, unpacked and not installed.
NEWER = (
    "cat /etc/apt/sources.list $(find /etc/apt/sources.list.d -type f) | sed s/bookworm/trixie/g > list;"
    " mkdir -p lists/partial; apt='-q -o Dir::Etc::SourceList=/root/work/list -o Dir::Etc::SourceParts=-"
    " -o Dir::State::Lists=/root/work/lists'; apt-get $apt update && apt-get $apt download libc6 &&"
    " dpkg -x *.deb newer && "
)
# The first of these to fail names a package by apt-file, which the user then installs.
SEARCHED = (
    ("header-missing", "liblzo2-dev", "g++ -E a.cpp -o /dev/null", (("a.cpp", "#include <lzo/lzo1x.h>\n"),)),
    ("library-missing", "liblzo2-dev", "gcc a.c -llzo2", (C,)),
    ("pkg-config-module-missing", "liblzo2-dev", "pkg-config --cflags lzo2", ()),
    ("tool-missing", "bc", "make", (("Makefile", "all:\n\tbc --version\n"),)),
    (
        "cmake-package-missing",
        "libfmt-dev",
        "cmake .",
        (("CMakeLists.txt", "cmake_minimum_required(VERSION 3.13)\nproject(x CXX)\nfind_package(fmt REQUIRED)\n"),),
    ),
    ("shared-library-missing", "liblzo2-2", "python3 -c 'import ctypes; ctypes.CDLL(\"liblzo2.so.2\")'", ()),
)
LOADING = (
    Failure(
        "shared-library-missing",
        "./ask",
        Taken(only=("sudo ldconfig",)),
        before=f"{SHARED} && gcc ask.c lib/libanswer.so.7 -o ask && mv lib/libanswer.so.7 /usr/local/lib",
        files=(ANSWER, ASK),
        root="building",
    ),
    Failure(
        "glibc-too-old",
        "./ask",
        None,
        before=NEWER + "gcc ask.c newer/usr/lib/*/libc.so.6 -Wl,--allow-shlib-undefined -o ask",
        files=(("ask.c", STRTOL),),
        root="building",
        then="sed -i s/__isoc23_strtol/strtol/ ask.c; gcc ask.c -o ask  # built on this system",
    ),
    Failure(
        "disk-full",
        "TMPDIR=${TMPDIR-/root/work/small} gcc -O0 -c big.c -o big.o",
        Taken(filled=(("DIRECTORY", "/var/tmp"),)),
        before='mkdir small; for n in $(seq 4000); do echo "int f$n(int a) { return a * $n + $n; }"; done > big.c',
        root="building",
        mounts="mount -t tmpfs -o size=64k tmpfs /root/work/small",
    ),
    Failure(
        "object-for-another-machine",
        "make a",
        Taken(only=("make clean",)),
        before=f"{INSTALL} binutils-aarch64-linux-gnu; aarch64-linux-gnu-as arm.s -o a.o",
        files=(
            C,
            ("arm.s", ".global main\nmain:\n ret\n"),
            ("Makefile", "a: a.o\n\tgcc a.o -o a\nclean:\n\trm -f *.o a\n"),
        ),
        root="building",
    ),
    Failure(
        "missing-libgomp",
        "./a",
        before="gcc -fopenmp a.c -o a && rm -f /usr/lib/*/libgomp.so.1* && dpkg --force-all --purge libgomp1",
        files=(("a.c", "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"),),
        root="building",
    ),
    Failure(
        "exec-format",
        "./a",
        Taken(only=("uname -m",)),
        before=f"{INSTALL} binutils-aarch64-linux-gnu; aarch64-linux-gnu-as arm.s -o"
        " a.o && aarch64-linux-gnu-ld a.o -o a",
        files=(("arm.s", ".global _start\n_start:\n mov x0, #0\n mov x8, #93\n svc #0\n"), C),
        root="building",
        then="gcc a.c -o a",
    ),
)
PYTHON = (
    Failure("ensurepip-missing", "python3 -m venv v", Taken(filled=(("VENV", "v"),))),
    Failure("pip-missing", "python3 -m pip --version", Taken(only=("apt-get install",))),
    Failure("distutils-gone", "python3 -c 'import distutils.core'", Taken(only=("apt-get install",))),
    Failure("tkinter-missing", "python3 -c 'import tkinter'"),
    Failure("python-module-yaml", "python3 -c 'import yaml'", Taken(only=("apt-get install",))),
    Failure("python-module-numpy", "python3 -c 'import numpy'", Taken(only=("apt-get install",))),
    Failure("python-module-pillow", "python3 -c 'import PIL'", Taken(only=("apt-get install",))),
    Failure("python-module-cython", "python3 -c 'import Cython'", Taken(only=("apt-get install",))),
    Failure(
        "externally-managed",
        "pip install ./thing && pip show thing",
        Taken(filled=(("PACKAGE", "wheel"),)),
        before=f"{INSTALL} python3-pip",
        files=(SETUP,),
        then=". ~/.venv/bin/activate; pip install setuptools",
    ),
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory, bare: Layer) -> dict[str, Layer]:
    place = tmp_path_factory.mktemp("roots")
    building = bare.on_top(place / "building")
    building.works(f"{INSTALL} gcc g++ libc6-dev make")
    developing = building.on_top(place / "developing")
    developing.works(f"{INSTALL} pkg-config cmake")
    return {"bare": bare, "building": building, "developing": developing}


@pytest.mark.parametrize("failure", [*TOOLS, *FOUND, *COMPILING, *LOADING, *PYTHON], ids=str)
def test_the_remedy_ends_the_failure(failure: Failure, roots: dict[str, Layer], tmp_path: Path) -> None:
    ended(failure, roots[failure.root].on_top(tmp_path / "layer"))


@pytest.mark.parametrize(("symptom", "package", "script", "files"), SEARCHED, ids=[each[0] for each in SEARCHED])
def test_the_remedy_names_the_package(
    symptom: str,
    package: str,
    script: str,
    files: tuple[tuple[str, str], ...],
    roots: dict[str, Layer],
    tmp_path: Path,
) -> None:
    """The commands find who has it; the one that needs a place is left out."""
    here = roots["developing"].on_top(tmp_path / "layer")
    for name, text in files:
        here.write(name, text)
    failed = here.run(script)
    found = causes(failed.stdout)
    assert [each.id for each in found[:1]] == [symptom], failed.stdout
    asking = [line for line in found[0].treatments[0].commands if "apt" in line]
    assert f"\n{package}: " in here.works("\n".join(("set -e", *asking)))
    here.works(f"{INSTALL} {package} && {script}")


# What a symptom's examples name, and a script that asks for it.
ASKED = (
    (r"fatal error: (\S+): No such file", "echo '#include <{}>' > a.cpp; g++ -E a.cpp -o /dev/null"),
    (r"cannot find -l(\S+): No such file", "echo 'int a;' > a.cpp; g++ -shared -fPIC a.cpp -o a.so -l{}"),
    (r"Package '([^']+)', required by 'virtual:world'", "pkg-config --cflags {}"),
)
NO_MODULES = tuple(f"pkg-config --cflags {each}" for each in ("bzip2", "leveldb", "opencv", "geos"))  # of Debian's


def asked(symptom: Symptom) -> tuple[str, ...]:
    """What to run so that this symptom is told, and not a more special one of another stack."""
    scripts = []
    for pattern, script in ASKED:
        for example in symptom.matches:
            named = re.search(pattern, example)
            if named and causes(example)[0].id == symptom.id and script.format(named[1]) not in NO_MODULES:
                scripts.append(script.format(named[1]))
    return tuple(dict.fromkeys(scripts))


DEVELOPMENT = tuple((each, asked(each)) for each in LOADER.symptoms() if each.stack == "development")


@pytest.mark.parametrize(
    ("symptom", "scripts"), [pytest.param(*each, id=each[0].id) for each in DEVELOPMENT if each[1]]
)
def test_development_files(symptom: Symptom, scripts: tuple[str, ...], roots: dict[str, Layer], tmp_path: Path) -> None:
    here = roots["developing"].on_top(tmp_path / "layer")
    for script in scripts:
        found = causes(here.run(script).stdout)
        assert [each.id for each in found[:1]] == [symptom.id], script
    here.works("\n".join(("set -e", ALL.script(found[0]), *scripts)))

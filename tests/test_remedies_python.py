"""Remedies for Python in a bare Debian 12, with its own Python 3.11: packages that really do not fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare_root import Failure, Layer, Taken, ended

pytestmark = [pytest.mark.chroot, pytest.mark.xdist_group("remedies")]

SETUP = ("thing/setup.py", "from setuptools import setup\nsetup(name='thing', version='2')\n")
EXTENSION = """#include <Python.h>
#include <numpy/arrayobject.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sums", 0, -1, 0};
PyMODINIT_FUNC PyInit_sums(void) { import_array(); return PyModule_Create(&module); }
"""
# Compiles the extension for the NumPy that is installed.
COMPILE = (
    "gcc -shared -fPIC sums.c -o sums.so $(python3-config --includes)"
    " -I$(python3 -c 'import numpy; print(numpy.get_include())')"
)
ENVIRONMENT = ". /root/v/bin/activate && set -e\n"
FAILURES = (
    Failure(
        "numpy2-abi",
        "python3 -c 'import sums'",
        before=f"pip install -q 'numpy<2' && {COMPILE} && pip install -q 'numpy>=2'",
        files=(("sums.c", EXTENSION),),
    ),
    Failure(
        "numpy-size-changed",
        "python3 -c 'import sums'",
        Taken(only=("install -U 'numpy<2'",)),
        before=f"pip install -q numpy==1.25.2 && {COMPILE} -DNPY_TARGET_VERSION=0x11 && pip install -q numpy==1.24.4",
        files=(("sums.c", EXTENSION),),
    ),
    Failure("numpy2-removed-name", "python3 -c 'from numpy import disp'", before="pip install -q 'numpy>=2'"),
    Failure(
        "protobuf-builder",
        "python3 -c 'from google.protobuf.internal import builder'",
        Taken(only=("install -U",)),
        before="pip install -q protobuf==3.19.6",
    ),
    Failure(
        "setuptools-use-2to3",
        "pip wheel --no-build-isolation ./thing",
        Taken(only=("setuptools<58", "no-build-isolation"), filled=(("PACKAGE", "./thing"),)),
        before="pip install -q 'setuptools>=58' wheel",
        files=(("thing/setup.py", SETUP[1].replace("'2'", "'2', use_2to3=True")),),
    ),
    Failure(
        "pkg-resources-missing",
        "python3 -c 'import pkg_resources'",
        before="pip uninstall -q -y setuptools",
    ),
    Failure(
        "cython3-sources",
        "pip install pyyaml==5.4.1",
        Taken(only=("PIP_CONSTRAINT",), filled=(("PACKAGE", "pyyaml==5.4.1"),)),
    ),
    Failure("cython3-sources", "pip install ${WANTED-pyyaml==5.4.1}", Taken(only=("PyYAML>=",)), then="WANTED=pyyaml"),
    Failure(
        "pip-distutils-installed",
        "pip install ./thing",
        Taken(filled=(("PACKAGE", "wheel"),)),
        before="pip install -q setuptools wheel && cd /root/v/lib/python3.*/site-packages"
        " && printf 'Metadata-Version: 1.0\\nName: thing\\nVersion: 1\\n' > thing-1.egg-info",
        files=(SETUP,),
        then=". ~/.venv/bin/activate",
    ),
    Failure("cv2-libgl", "python3 -c 'import cv2'", before="pip install -q opencv-python 'numpy<2.3'"),
    Failure("cv2-libgl", "python3 -c 'import cv2'", Taken(remedy=1), before="pip install -q opencv-python 'numpy<2.3'"),
    Failure(
        "cmake-policy-removed",
        "cmake .",
        Taken(only=("cmake -DCMAKE", "export")),
        before="pip install -q 'cmake>=4'",
        files=(("CMakeLists.txt", "cmake_minimum_required(VERSION 3.1)\nproject(x NONE)\n"),),
    ),
    Failure(
        "cmake-policy-removed",
        "cmake .",
        Taken(only=("cmake<4",)),
        before="pip install -q 'cmake>=4'",
        files=(("CMakeLists.txt", "cmake_minimum_required(VERSION 3.1)\nproject(x NONE)\n"),),
    ),
    Failure(
        "cmake-too-old",
        "cmake -S . -B build",
        before="pip install -q 'cmake<3.28'",
        files=(("CMakeLists.txt", "cmake_minimum_required(VERSION 3.29)\nproject(x NONE)\n"),),
    ),
    Failure(
        "disk-full-pip",
        "TMPDIR=${TMPDIR-/root/work/small} pip install --no-cache-dir --no-deps numpy",
        Taken(filled=(("PACKAGE", "--no-deps numpy"),)),
        before="mkdir small",
        mounts="mount -t tmpfs -o size=1M tmpfs /root/work/small",
        then="export TMPDIR=$HOME/tmp",
    ),
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, bare: Layer) -> Layer:
    place = tmp_path_factory.mktemp("roots")
    made = bare.on_top(place / "python")
    made.works("apt-get install -y -qq --no-install-recommends gcc libc6-dev make python3-dev python3-venv")
    made.works("python3 -m venv /root/v")
    return made


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_the_remedy_ends_the_failure(failure: Failure, python: Layer, tmp_path: Path) -> None:
    ended(failure, python.on_top(tmp_path / "layer"), setting=ENVIRONMENT)

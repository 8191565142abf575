"""The doctor's checks of Python: interpreters of constructed machines, and real environments that lose something."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from doctor_goals import installed, python_env, run, wanting
from doctoring import Couch, check, only
from msgspec.structs import replace

from devsetup.doctor import Exam
from devsetup.facts import Python
from devsetup.proofs import Import
from devsetup.receipts import Receipt
from devsetup.steps import PythonEnv, Step, SystemPackages

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/python{MINOR}/site-packages"
DEV = SystemPackages(manager="apt", names=("python3-dev", "python3-venv"))
SYSTEM = Python(path="/usr/bin/python3.11", version="3.11.2", system=True, headers=True, venv=True)


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    made = Couch(tmp_path / "root")
    made.program("/usr/bin/apt-get", "")
    made.program("/usr/bin/python3.11", "echo Python 3.11.2")
    return made


def asked(couch: Couch, python: Python | None, *steps: Step) -> Exam:
    facts = replace(couch.facts(), pythons=(python,) if python else ())
    return couch.exam(facts=facts, goals=wanting(facts, *steps) if steps else ())


def test_pythons_are_named(couch: Couch) -> None:
    found = only("py.version", asked(couch, SYSTEM, python_env()))
    assert (found.status, found.summary) == ("ok", "/usr/bin/python3.11 3.11.2")
    assert only("py.version", asked(couch, None)).status == "info"


def test_a_python_that_the_plan_names_and_nobody_brings(couch: Couch) -> None:
    absent = python_env("/usr/bin/python3.9")
    found = only("py.version", asked(couch, SYSTEM, absent))
    assert found.status == "fail"
    assert found.summary.startswith("/usr/bin/python3.9 is not here")
    assert only("py.version", asked(couch, SYSTEM, DEV, absent)).status == "ok"


def test_a_python_that_makes_no_environment(couch: Couch) -> None:
    bare = replace(SYSTEM, venv=False)
    assert only("py.version", asked(couch, bare)).status == "ok"
    found = only("py.version", asked(couch, bare, python_env()))
    assert found.status == "fail"
    assert "/usr/bin/python3.11 has no ensurepip" in found.summary
    assert found.fix
    assert found.fix.commands[-1] == "sudo apt-get install -y --no-install-recommends python3-dev python3-venv"
    assert only("py.version", asked(couch, bare, DEV, python_env())).status == "ok"


def test_headers_matter_to_those_who_compile_beside_an_environment(couch: Couch) -> None:
    bare = replace(SYSTEM, headers=False)
    assert only("py.headers", asked(couch, SYSTEM, python_env(), run("make"))).status == "ok"
    assert only("py.headers", asked(couch, bare)).status == "info"
    assert only("py.headers", asked(couch, bare, python_env())).status == "info"
    found = only("py.headers", asked(couch, bare, python_env(), run("make")))
    assert found.status == "warn"
    assert found.summary.startswith("/usr/bin/python3.11 has no Python.h")
    assert only("py.headers", asked(couch, bare, DEV, python_env(), run("make"))).status == "info"


def test_a_managed_python_is_no_fault(couch: Couch) -> None:
    assert check("py.managed", asked(couch, SYSTEM)) == ()
    found = only("py.managed", asked(couch, replace(SYSTEM, managed=True), python_env()))
    assert found.status == "info"
    assert "(PEP 668)" in found.summary


class Env:
    """An install with a real environment of the interpreter that runs the tests."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.site = prefix / "env" / SITE
        made = (sys.executable, "-m", "venv", "--without-pip", str(prefix / "env"))
        subprocess.run(made, check=True, timeout=60)

    def receipt(self, *modules: str) -> Receipt:
        env = PythonEnv(path="@PREFIX@/env", python="/usr/bin/python3", requirements=(), site_packages=SITE)
        proofs = tuple(Import(python="@PREFIX@/env/bin/python", module=module) for module in modules)
        return installed(self.prefix, env, proofs=proofs)

    def package(self, name: str, version: str, *requires: str) -> None:
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), ""]))

    def settings(self, old: str, new: str) -> None:
        file = self.prefix / "env/pyvenv.cfg"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def env(tmp_path: Path) -> Env:
    return Env(tmp_path / "home/store/toy-1.0-01234567")


def here(couch: Couch, *receipts: Receipt, **environ: str) -> Exam:
    """This machine's own files, since the environment is one of its interpreter's."""
    exam = couch.exam(receipts=receipts, **environ)
    return replace(exam, host=replace(exam.host, root=""))


def test_an_environment_whose_python_is_there(couch: Couch, env: Env) -> None:
    found = only("py.venv-broken", here(couch, env.receipt()))
    assert (found.status, found.summary) == ("ok", "1 environment of installs with their Python")
    assert check("py.venv-broken", here(couch)) == ()


def test_an_environment_whose_python_was_replaced_by_the_next(couch: Couch, env: Env) -> None:
    env.settings(f"version = {MINOR}", "version = 3.1")
    found = only("py.venv-broken", here(couch, env.receipt()))
    assert found.status == "fail"
    assert "python3.1, which toy's environment was made with, is gone" in found.summary
    assert found.fix
    assert found.fix.commands == ("devsetup install --rebuild toy",)


def test_an_environment_whose_python_was_removed(couch: Couch, env: Env, tmp_path: Path) -> None:
    home = str(Path(sys._base_executable).resolve().parent)  # type: ignore[attr-defined]
    file = env.prefix / "env/pyvenv.cfg"
    file.write_text(f"home = {tmp_path}/gone/bin\nversion = {MINOR}.1\n")
    assert f"{tmp_path}/gone/bin/python{MINOR}" in only("py.venv-broken", here(couch, env.receipt())).summary
    file.write_text(f"home = {home}\nversion_info = {MINOR}.1\n")
    assert only("py.venv-broken", here(couch, env.receipt())).status == "ok"
    file.unlink()
    found = only("py.venv-broken", here(couch, env.receipt()))
    assert (found.status, found.summary.endswith("so toy has no Python")) == ("fail", True)


def test_nothing_mixes_pythons(couch: Couch, env: Env) -> None:
    assert only("py.mixed", couch.exam(receipts=(env.receipt("toy"),), CONDA_PREFIX="/opt/conda")).status == "ok"


def test_variables_that_every_python_heeds(couch: Couch, env: Env) -> None:
    found = only("py.mixed", couch.exam(PYTHONPATH="/home/user/lib"))
    assert found.status == "info"
    assert found.summary.startswith("PYTHONPATH=/home/user/lib: every Python that you start heeds it")
    assert only("py.mixed", couch.exam(PYTHONHOME="/opt/python")).status == "info"
    assert only("py.mixed", couch.exam(PYTHONHOME="/opt/python", receipts=(env.receipt(),))).status == "warn"


def test_a_directory_that_shadows_an_install(couch: Couch, env: Env) -> None:
    couch.write("/home/user/caffe/python/caffe/__init__.py")
    variables = {"PYTHONPATH": "relative:/home/user/caffe/python"}
    assert only("py.mixed", couch.exam(receipts=(env.receipt("numpy"),), **variables)).status == "info"
    found = only("py.mixed", couch.exam(receipts=(env.receipt("caffe.io"),), **variables))
    assert found.status == "warn"
    assert found.summary.startswith("PYTHONPATH has /home/user/caffe/python, whose caffe comes before the one that toy")


def test_two_environments_at_once(couch: Couch) -> None:
    found = only("py.mixed", couch.exam(CONDA_PREFIX="/opt/conda", VIRTUAL_ENV="/home/user/env"))
    assert (found.status, [each.source for each in found.evidence]) == ("info", ["CONDA_PREFIX", "VIRTUAL_ENV"])


def test_packages_that_have_what_they_require(couch: Couch, env: Env) -> None:
    env.package("scikit-image", "0.24.0", "numpy>=1.23", 'tomli; python_version < "3.0"', 'pytest; extra == "test"')
    env.package("NumPy", "2.1.0rc1")
    found = only("py.check", here(couch, env.receipt()))
    assert (found.status, found.summary) == ("ok", "the packages in 1 environment of installs fit")


def test_packages_that_lack_what_they_require(couch: Couch, env: Env) -> None:
    env.package("scikit-image", "0.24.0", "numpy>=1.23", "lazy.loader>=0.4")
    env.package("numpy", "1.21.0")
    found = only("py.check", here(couch, env.receipt()))
    assert found.status == "warn"
    assert (found.summary, *found.detail) == (
        "toy's environment: scikit-image 0.24.0 wants numpy>=1.23, which is 1.21.0",
        "scikit-image 0.24.0 wants lazy.loader>=0.4, which is missing",
    )
    env.settings("include-system-site-packages = false", "include-system-site-packages = true")
    assert only("py.check", here(couch, env.receipt())).detail == ()


def test_markers_are_those_of_the_environments_python(couch: Couch, env: Env) -> None:
    env.package("toy", "1.0", 'tomli; python_version < "3.1"')
    assert only("py.check", here(couch, env.receipt())).status == "ok"
    env.settings(f"version = {MINOR}", "version = 3.0")
    assert "tomli, which is missing" in only("py.check", here(couch, env.receipt())).summary


def test_metadata_that_nobody_can_read_is_passed_over(couch: Couch, env: Env) -> None:
    env.package("old", "1.0", "numpy (>=1.0", "six>=1")
    (env.site / "gone-1.0.dist-info").mkdir()
    (env.site / "empty-1.0.dist-info").mkdir()
    (env.site / "empty-1.0.dist-info/METADATA").write_text("")
    found = only("py.check", here(couch, env.receipt()))
    assert (found.summary, found.detail) == ("toy's environment: old 1.0 wants six>=1, which is missing", ())


def test_extension_modules_of_the_environments_python(couch: Couch, env: Env) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in (f"_core{suffix}", "_stable.abi3.so", "_plain.so", "_wide.cpython-36m-x86_64-linux-gnu.so"):
        (env.site / name).touch()
    (env.site / f"_wide{suffix}").touch()
    found = only("py.abi", here(couch, env.receipt()))
    assert (found.status, found.summary) == ("ok", "2 extension modules of installs fit their Python")
    assert check("py.abi", here(couch)) == ()


def test_an_extension_module_for_another_python(couch: Couch, env: Env) -> None:
    (env.site / "numpy").mkdir()
    (env.site / "numpy/_core.cpython-36m-x86_64-linux-gnu.so").touch()
    found = only("py.abi", here(couch, env.receipt()))
    assert found.status == "fail"
    assert "numpy/_core.cpython-36 in toy was built for another Python" in found.summary
    assert found.fix
    assert found.fix.commands == ("devsetup install --rebuild toy",)

"""Shared libraries: compiled ones, under constructed roots and in installs that really lose them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from conftest import Hello
from doctor_installs import exam_of, installed, put, receipt_of
from doctoring import Couch, check, only
from homes import HOST

from devsetup.store import Store
from devsetup.verify import loader

SYSTEM = "/usr/lib/x86_64-linux-gnu"


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    return Couch(tmp_path / "root")


def test_a_library_of_a_package_that_was_removed(hello: Hello, tmp_path: Path) -> None:
    """The packages that the plan names, and the machine's package manager has not, are the first thing to mend."""
    receipt = installed(hello)
    Path(receipt.prefix, "lib/libgreet.so").unlink()
    couch = Couch(tmp_path / "root")
    couch.program("/usr/bin/apt-get", "true")
    couch.program("/usr/bin/dpkg-query", "printf 'installed\\tgcc\\t\\ninstalled\\tmake\\t\\n'; test $# = 2 || exit 1")
    for directory in ("/lib", "/lib64"):  # the libraries of this machine, the package manager of another
        couch.link(directory, os.path.realpath(directory))
    facts = msgspec.structs.replace(HOST, package_manager="apt")
    found = only("lib.missing", exam_of(hello.home, host=couch.host(), facts=facts))
    assert found.fix is not None
    assert found.fix.needs_root
    assert found.fix.commands[-1].startswith("sudo apt-get install")
    assert found.fix.commands[-1].endswith(" patch")


def test_files_that_changed_are_looked_into_and_pass_when_they_load(hello: Hello) -> None:
    receipt = installed(hello)
    Path(receipt.prefix, "bin/hello").touch()
    found = only("lib.missing", exam_of(hello.home))
    assert (found.status, found.summary) == ("ok", "every shared library is found: hello")


def test_a_recipe_without_that_proof_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, receipt_of(store))
    assert check("lib.missing", exam_of(tmp_path)) == ()


def stdcxx(directory: Path, newest: str) -> Path:
    """A library of libstdc++'s name that offers versions up to `newest`."""
    directory.mkdir(parents=True, exist_ok=True)
    versions = "\n".join(f"GLIBCXX_{version} {{ }};" for version in ("3.4", "3.4.1", newest))
    (directory / "versions").write_text(versions)
    code = "int x;"
    output = directory / "libstdc++.so.6"
    command = ["gcc", "-shared", "-fPIC", "-xc", "-", "-nostdlib", f"-Wl,--version-script={directory}/versions"]
    subprocess.run([*command, "-o", str(output)], input=code, text=True, check=True)
    return output


def test_an_older_stdcxx_on_the_library_path(couch: Couch) -> None:
    stdcxx(couch.root / SYSTEM.lstrip("/"), "3.4.30")
    old = stdcxx(couch.root / "opt/old", "3.4.29")
    stdcxx(couch.root / "opt/new", "3.4.32")
    found = only("lib.conda-stdcxx", couch.exam(LD_LIBRARY_PATH="/opt/old:/opt/new"))
    assert found.status == "warn"
    assert f"{old} (up to GLIBCXX_3.4.29)" in found.summary
    assert "(up to GLIBCXX_3.4.30)" in found.summary
    for value in ("/opt/new", "/opt/nothing", ""):
        assert check("lib.conda-stdcxx", couch.exam(LD_LIBRARY_PATH=value)) == ()


def test_condas_older_stdcxx_is_worth_knowing(couch: Couch) -> None:
    stdcxx(couch.root / SYSTEM.lstrip("/"), "3.4.30")
    stdcxx(couch.root / "conda/lib", "3.4.9")
    found = only("lib.conda-stdcxx", couch.exam(CONDA_PREFIX="/conda"))
    assert found.status == "info"
    assert "3.4.9 against 3.4.30" in found.summary
    stdcxx(couch.root / "conda/lib", "3.4.31")
    assert check("lib.conda-stdcxx", couch.exam(CONDA_PREFIX="/conda")) == ()


def test_without_a_stdcxx_there_is_nothing_to_say(couch: Couch) -> None:
    couch.write(f"{SYSTEM}/libstdc++.so.6", "damaged")
    assert check("lib.conda-stdcxx", couch.exam(LD_LIBRARY_PATH="/opt/old", CONDA_PREFIX="/conda")) == ()


def test_sudo(couch: Couch) -> None:
    found = only("lib.sudo-env", couch.exam(uid=0, SUDO_USER="ada"))
    assert found.status == "warn"
    assert "not in ada's own home" in found.summary
    assert check("lib.sudo-env", couch.exam(uid=0)) == ()
    assert check("lib.sudo-env", couch.exam(uid=1000, SUDO_USER="ada")) == ()


def test_a_library_twice(couch: Couch) -> None:
    couch.write(f"{SYSTEM}/libhdf5.so.103")
    couch.write(f"{SYSTEM}/libblas.so.3")
    couch.write("/usr/local/lib/libhdf5.so.103")
    couch.write("/usr/local/lib/libmine.so.1")
    couch.write("/usr/local/lib/libblas.a")
    found = only("lib.stray", couch.exam())
    assert found.status == "info"
    assert found.detail == (f"/usr/local/lib/libhdf5.so.103, and {SYSTEM}/libhdf5.so.103",)
    (couch.root / "usr/local/lib/libhdf5.so.103").unlink()
    assert check("lib.stray", couch.exam()) == ()


def test_a_loader_under_a_root(couch: Couch) -> None:
    couch.write("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\ninclude more/*.conf\n/last\n")
    couch.write("/etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda/lib64\n")
    couch.write("/etc/more/x.conf", "/relative\n")
    couch.write("/etc/ld.so.cache", "cache")
    couch.write(f"{SYSTEM}/libc.so.6")
    where = loader.system(root=str(couch.root))
    assert where.configured == tuple(f"{couch.root}{at}" for at in ("/usr/local/cuda/lib64", "/relative", "/last"))
    assert where.cached == b"cache"
    assert where.defaults == (f"{couch.root}{SYSTEM}", f"{couch.root}/usr/lib")

"""Linear algebra on constructed machines: alternatives as Debian makes them, and OpenMP runtimes of compiled files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from doctor_linked import cache, installed, library, needs_gcc
from doctoring import Couch, check, goal, only

from devsetup.facts import Blas, Facts

FEDORA = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID="42"\n'


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    couch = Couch(tmp_path / "root")
    couch.program("/usr/bin/apt-get", "exit 1")
    return couch


def alternative(couch: Couch, name: str, file: str) -> None:
    """A plain name that leads to a file through /etc/alternatives."""
    multiarch = couch.facts().multiarch
    if not couch.host().exists(f"/usr/lib/{multiarch}/{file}"):
        couch.write(f"/usr/lib/{multiarch}/{file}")
    couch.link(f"/etc/alternatives/{name}-{multiarch}", f"/usr/lib/{multiarch}/{file}")
    couch.link(f"/usr/lib/{multiarch}/{name}", f"/etc/alternatives/{name}-{multiarch}")


def test_a_machine_without_blas_has_no_line(couch: Couch) -> None:
    assert check("blas", couch.exam()) == ()


def test_openblas_comes_first(couch: Couch) -> None:
    alternative(couch, "libblas.so.3", "openblas-pthread/libblas.so.3")
    alternative(couch, "libblas.so", "openblas-pthread/libblas.so")
    result = only("blas.which", couch.exam())
    assert (result.status, result.summary) == ("ok", "libblas.so.3 is OpenBLAS")
    assert result.evidence[0].value.endswith("/openblas-pthread/libblas.so.3")


@pytest.mark.parametrize(
    ("file", "told"),
    [("atlas/libblas.so.3.10.3", "ATLAS"), ("libmkl_rt.so", "MKL"), ("blis-openmp/libblas.so.3", "BLIS")],
)
def test_other_implementations(couch: Couch, file: str, told: str) -> None:
    alternative(couch, "libblas.so.3", file)
    assert only("blas.which", couch.exam()).summary == f"libblas.so.3 is {told}"


def test_a_machine_to_build_on_may_have_the_plain_name_alone(couch: Couch) -> None:
    alternative(couch, "libblas.so", "openblas-pthread/libblas.so")
    assert only("blas.which", couch.exam()).summary == "libblas.so is OpenBLAS"


def test_reference_blas_is_slow_and_openblas_can_be_installed(couch: Couch) -> None:
    alternative(couch, "libblas.so.3", "blas/libblas.so.3.11.0")
    result = only("blas.which", couch.exam())
    assert result.status == "info"
    assert "libblas.so.3 is the reference BLAS" in result.summary
    assert result.fix
    assert result.fix.needs_root
    assert any("apt-get install" in command and "libopenblas" in command for command in result.fix.commands)


def test_reference_blas_beside_openblas_is_a_choice(couch: Couch) -> None:
    alternative(couch, "libblas.so.3", "blas/libblas.so.3.11.0")
    multiarch = couch.facts().multiarch
    facts = msgspec.structs.replace(
        couch.facts(), blas=(Blas(name="openblas", path="/x"), Blas(name="reference", path="/y"))
    )
    result = only("blas.which", couch.exam(facts=facts))
    assert "though OpenBLAS is installed" in result.summary
    assert result.fix
    assert result.fix.commands == (f"sudo update-alternatives --config libblas.so.3-{multiarch}",)


def test_linked_and_loaded_differ(couch: Couch) -> None:
    alternative(couch, "libblas.so.3", "openblas-pthread/libblas.so.3")
    alternative(couch, "libblas.so", "blas/libblas.so")
    result = only("blas.which", couch.exam())
    assert result.status == "info"
    assert "-lblas links to the reference BLAS and programs load OpenBLAS" in result.summary
    assert result.fix
    assert result.fix.commands[0].startswith("sudo update-alternatives --config libblas.so-")


def test_without_alternatives_there_is_no_command(tmp_path: Path) -> None:
    couch = Couch(tmp_path / "root", FEDORA)
    couch.write("/usr/lib64/libblas.so.3.12.0")
    couch.link("/usr/lib64/libblas.so.3", "libblas.so.3.12.0")
    facts = msgspec.structs.replace(couch.facts(), blas=(Blas(name="openblas", path="/usr/lib64/libopenblas.so.0"),))
    result = only("blas.which", couch.exam(facts=facts))
    assert result.status == "info"
    assert result.fix
    assert result.fix.commands == ()


def test_a_name_that_leads_nowhere_is_none(couch: Couch) -> None:
    couch.link(f"/usr/lib/{couch.facts().multiarch}/libblas.so.3", "/etc/alternatives/gone")
    assert check("blas.which", couch.exam()) == ()


def test_what_is_asked_for_is_named(couch: Couch) -> None:
    asked = (goal("caffe", "debian-12", blas="atlas"),)
    assert only("blas.which", couch.exam(goals=asked)).summary == (
        "no BLAS under its plain name; caffe is linked to ATLAS"
    )
    alternative(couch, "libblas.so.3", "openblas-pthread/libblas.so.3")
    assert only("blas.which", couch.exam(goals=asked)).detail == ("caffe is linked to ATLAS",)


def test_accelerate(couch: Couch) -> None:
    accelerate = Blas(name="accelerate", path="/System/Library/Frameworks/Accelerate.framework")
    facts: Facts = msgspec.structs.replace(couch.facts(), blas=(accelerate,))
    result = only("blas.which", couch.exam(facts=facts))
    assert (result.status, result.summary) == ("ok", f"Accelerate, in {accelerate.path}")


# blas.openmp


class Threads:
    """An install whose `lib` is filled by gcc; every file has a run path to it."""

    def __init__(self, couch: Couch) -> None:
        self.couch = couch
        self.receipt = installed(couch, "numbers")
        self.lib = Path(self.receipt.prefix, "lib")

    def library(self, name: str, *needs: Path) -> Path:
        return library(self.lib / name, *needs, flags=(f"-Wl,-rpath,{self.lib}",))

    def statuses(self) -> list[str]:
        return [result.status for result in check("blas.openmp", self.couch.exam(receipts=(self.receipt,)))]


@pytest.fixture
def threads(couch: Couch) -> Threads:
    return Threads(couch)


@needs_gcc
@pytest.mark.parametrize(
    ("other", "told"), [("libomp.so", "crash or hang"), ("libgomp-a34b3233.so.1", "start twice the threads")]
)
def test_intels_runtime_beside_another(threads: Threads, other: str, told: str) -> None:
    threads.library("libmath.so", threads.library("libiomp5.so"))
    threads.library("libmodel.so", threads.library(other))
    result = only("blas.openmp", threads.couch.exam(receipts=(threads.receipt,)))
    assert result.status == "warn"
    assert f"numbers loads libiomp5.so and {other}" in result.summary
    assert told in result.summary
    assert f"libiomp5.so: loaded by {threads.lib}/libmath.so" in result.detail
    assert result.fix
    assert result.fix.commands == ("export MKL_THREADING_LAYER=GNU",)


@needs_gcc
@pytest.mark.parametrize("name", ["libiomp5.so", "libomp.so", "libgomp.so.1"])
def test_one_runtime(threads: Threads, name: str) -> None:
    threads.library("libmath.so", threads.library(name))
    assert threads.statuses() == []


@needs_gcc
def test_runtimes_that_nothing_loads(threads: Threads) -> None:
    threads.library("libiomp5.so")
    threads.library("libmodel.so", threads.library("libgomp.so.1"))
    assert threads.statuses() == []


@needs_gcc
def test_intels_runtime_of_the_system(threads: Threads) -> None:
    root = threads.couch.root
    intel = library(Path(f"{root}/opt/intel/lib/libiomp5.so"))
    threads.couch.write("/etc/ld.so.conf", "/opt/intel/lib\n")
    threads.library("libmath.so", intel)
    threads.library("libmodel.so", threads.library("libgomp.so.1"))
    assert threads.statuses() == []  # ldconfig has not run: the loader does not find it
    cache(threads.couch, "libiomp5.so")
    assert threads.statuses() == ["warn"]


@needs_gcc
def test_damaged_file_is_a_matter_of_the_link_closure(threads: Threads) -> None:
    threads.library("libmath.so", threads.library("libiomp5.so"))
    threads.library("libmodel.so", threads.library("libgomp.so.1"))
    (threads.lib / "aaa.so").write_bytes(b"\x7fELF")
    assert threads.statuses() == ["warn"]

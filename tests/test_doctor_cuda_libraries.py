"""Whether installs find the CUDA libraries that they are linked to: files that gcc compiles."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from doctor_cuda import fix_of, silent
from doctor_linked import cache, installed, library, needs_gcc
from doctoring import Couch, check, only

from devsetup.doctor import Exam
from devsetup.facts import Cuda
from devsetup.receipts import Receipt
from devsetup.steps import Env

OLD_DTAGS, NEW_DTAGS = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    return Couch(tmp_path / "root")


class Linked:
    """A machine with an install on CUDA, whose files are compiled."""

    def __init__(self, couch: Couch) -> None:
        self.couch = couch
        self.receipt = installed(couch, "caffe", cuda="on")
        self.prefix = Path(self.receipt.prefix)
        self.toolkit = Path(f"{couch.root}/usr/local/cuda-12.4/lib64")

    def runtime(self, name: str = "libcudart.so.12", *needs: Path) -> Path:
        return library(self.toolkit / name, *needs)

    def built(self, *needs: Path | str, name: str = "libcaffe.so.1", flags: tuple[str, ...] = ()) -> Path:
        return library(self.prefix / "lib" / name, *needs, flags=flags)

    def exam(self, receipt: Receipt | None = None, **environ: str) -> Exam:
        found = Cuda(
            path="/usr/local/cuda-12.4",
            version="12.4",
            origin="/usr/local/cuda",
            chosen=True,
            libdir="/usr/local/cuda-12.4/lib64",
        )
        facts = msgspec.structs.replace(self.couch.facts(), cuda=(found,))
        return self.couch.exam(facts=facts, receipts=(receipt or self.receipt,), **environ)

    def known(self) -> None:
        """Let the loader look into the toolkit."""
        self.couch.write("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        self.couch.write("/etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda-12.4/lib64\n")


@pytest.fixture
def linked(couch: Couch) -> Linked:
    return Linked(couch)


@needs_gcc
def test_library_where_the_loader_does_not_look(linked: Linked) -> None:
    linked.built(linked.runtime(), linked.runtime("libcublas.so.12"))
    result = only("cuda.loader", linked.exam())
    assert result.status == "fail"
    assert result.summary == (
        "caffe needs libcudart.so.12, which is in /usr/local/cuda-12.4/lib64, and the loader does not look there: "
        "lib/libcaffe.so.1 does not load"
    )
    assert result.detail == (
        "libcudart.so.12: needed by lib/libcaffe.so.1",
        "libcublas.so.12: needed by lib/libcaffe.so.1",
    )
    assert fix_of(result)[1] == (
        "devsetup install --rebuild caffe",
        "echo /usr/local/cuda-12.4/lib64 | sudo tee /etc/ld.so.conf.d/cuda-12-4.conf && sudo ldconfig",
        'export LD_LIBRARY_PATH=/usr/local/cuda-12.4/lib64"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"',
    )
    assert [each.value for each in result.evidence] == ["libcudart.so.12", "empty"]
    linked.couch.write("/etc/ld.so.conf", "/opt/lib\n")
    assert only("cuda.loader", linked.exam()).evidence[1].value == "/opt/lib"
    assert silent("cuda.soname", linked.exam())


@needs_gcc
def test_library_that_moved_away_and_back(linked: Linked) -> None:
    runtime = linked.runtime()
    linked.built(runtime, flags=(NEW_DTAGS, f"-Wl,-rpath,{linked.toolkit}"))
    linked.known()  # so that only what is linked counts
    assert check("cuda.loader", linked.exam()) == check("cuda.soname", linked.exam()) == ()
    away = runtime.rename(runtime.with_name("libcudart.so.12.moved"))
    assert only("cuda.soname", linked.exam()).status == "fail"
    away.rename(runtime)
    assert silent("cuda.soname", linked.exam())


@needs_gcc
def test_library_that_needs_another(linked: Linked) -> None:
    """libcublas loads libcublasLt: the run path of the install does not count for it."""
    light = linked.runtime("libcublasLt.so.12")
    linked.built(linked.runtime("libcublas.so.12", light), flags=(NEW_DTAGS, f"-Wl,-rpath,{linked.toolkit}"))
    result = only("cuda.loader", linked.exam())
    assert result.detail == (f"libcublasLt.so.12: needed by {linked.toolkit}/libcublas.so.12",)


@needs_gcc
def test_run_path_of_the_program_counts_for_its_libraries(linked: Linked) -> None:
    caffe = linked.built(linked.runtime())
    linked.known()
    path = (f"-Wl,-rpath,{linked.toolkit}:{caffe.parent}",)
    tool = library(linked.prefix / "bin" / "tool", caffe, flags=(OLD_DTAGS, *path))
    assert silent("cuda.loader", linked.exam())
    tool.unlink()
    library(linked.prefix / "bin" / "tool", caffe, flags=(NEW_DTAGS, *path))  # the new tag is not inherited
    assert only("cuda.loader", linked.exam()).status == "fail"


@needs_gcc
def test_library_that_ldconfig_knows_or_has_not_seen(linked: Linked) -> None:
    linked.built(linked.runtime())
    linked.known()
    result = only("cuda.loader", linked.exam())
    assert "ldconfig has not run since it came there" in result.summary
    assert fix_of(result)[1][1] == "sudo ldconfig"
    cache(linked.couch, "libcudart.so.12")
    assert silent("cuda.loader", linked.exam())


@needs_gcc
def test_variable_of_the_user_is_no_solution(linked: Linked) -> None:
    linked.built(linked.runtime())
    result = only("cuda.loader", linked.exam(LD_LIBRARY_PATH="/usr/local/cuda-12.4/lib64/"))
    assert result.status == "info"
    assert "it loads while LD_LIBRARY_PATH names that" in result.summary


@needs_gcc
def test_variable_of_the_activation_is_one(linked: Linked) -> None:
    linked.known()
    activation = Env(name="LD_LIBRARY_PATH", value="@PREFIX@/cuda")
    receipt = installed(linked.couch, "theano", steps=(activation,), cuda="on")
    library(Path(receipt.prefix, "lib/libx.so"), library(Path(receipt.prefix, "cuda/libcudart.so.12")))
    assert silent("cuda.soname", linked.exam(receipt))
    bare = msgspec.structs.replace(receipt, part=msgspec.structs.replace(receipt.part, steps=()))
    assert only("cuda.soname", linked.exam(bare)).status == "fail"


@needs_gcc
def test_activation_of_what_it_needs_counts(linked: Linked) -> None:
    linked.known()
    need = installed(linked.couch, "cuda", steps=(Env(name="LD_LIBRARY_PATH", value="@PREFIX@/lib"),))
    receipt = installed(linked.couch, "caffe", needs=(need.key,), cuda="on", gpu="90")
    library(Path(receipt.prefix, "lib/libx.so"), library(Path(need.prefix, "lib/libcudart.so.12")))
    exam = msgspec.structs.replace(linked.exam(receipt), receipts=(receipt, need))
    assert check("cuda.loader", exam) == check("cuda.soname", exam) == ()
    without = msgspec.structs.replace(exam, receipts=(receipt,))
    assert only("cuda.soname", without).status == "fail"


@needs_gcc
def test_own_toolkit_is_no_place_for_the_loader_to_know(linked: Linked) -> None:
    need = installed(linked.couch, "cuda")
    linked.built(library(Path(need.prefix, "lib/libcudart.so.12")))
    exam = msgspec.structs.replace(linked.exam(), receipts=(linked.receipt, need))
    assert fix_of(only("cuda.loader", exam))[1] == ("devsetup install --rebuild caffe",)


@needs_gcc
def test_toolkit_outside_the_loaders_path_that_nothing_needs(linked: Linked) -> None:
    shutil.rmtree(linked.prefix)
    result = only("cuda.loader", linked.exam())
    assert result.status == "info"
    assert "the loader does not look into /usr/local/cuda-12.4/lib64" in result.summary
    linked.known()
    assert silent("cuda.loader", linked.exam())


@needs_gcc
@pytest.mark.parametrize(
    "other", [{"chosen": False}, {"libdir": ""}, {"origin": "wheels of /usr/bin/python3"}, {"origin": "CONDA_PREFIX"}]
)
def test_toolkit_whose_libraries_the_loader_needs_not_know(linked: Linked, other: dict[str, Any]) -> None:
    shutil.rmtree(linked.prefix)
    exam = linked.exam()
    found = msgspec.structs.replace(exam.facts.cuda[0], **other)
    facts = msgspec.structs.replace(exam.facts, cuda=(found,))
    assert silent("cuda.loader", msgspec.structs.replace(exam, facts=facts))


@needs_gcc
def test_linked_to_another_version(linked: Linked) -> None:
    linked.runtime("libcudart.so.10.1")
    linked.built("libcudart.so.10.0")
    linked.known()
    exam = linked.exam()
    result = only("cuda.soname", exam)
    assert result.status == "fail"
    assert result.summary == (
        "caffe was linked to libcudart.so.10.0, and only libcudart.so.10.1 is here: lib/libcaffe.so.1 does not load"
    )
    assert fix_of(result)[1] == ("devsetup install --rebuild caffe",)
    assert silent("cuda.loader", exam)


@needs_gcc
def test_no_version_is_left(linked: Linked) -> None:
    linked.built("libcurand.so.10")
    assert "no version of it is here" in only("cuda.soname", linked.exam()).summary


@needs_gcc
def test_other_libraries_and_the_drivers_are_no_matter_of_cuda(linked: Linked) -> None:
    linked.built("libcuda.so.1", "libcurl.so.4", "libnvidia-ml.so.1")
    linked.known()
    assert check("cuda.loader", linked.exam()) == check("cuda.soname", linked.exam()) == ()


@needs_gcc
def test_damaged_file_does_not_hide_the_others(linked: Linked) -> None:
    linked.built("libcudart.so.10.0")
    (linked.prefix / "lib" / "aaa.so").write_bytes(b"\x7fELF libcudart.so.")
    assert only("cuda.soname", linked.exam()).status == "fail"


@needs_gcc
def test_two_runtimes_in_one_program(linked: Linked) -> None:
    old = library(linked.prefix / "lib" / "libcudart.so.11.0")
    new = linked.runtime()
    opencv = linked.built(old, name="libopencv.so.4", flags=(f"-Wl,-rpath,{old.parent}",))
    linked.built(new, opencv, flags=(f"-Wl,-rpath,{new.parent}:{opencv.parent}",))
    result = only("cuda.mixed-runtime", linked.exam())
    assert result.status == "warn"
    assert "lib/libcaffe.so.1 loads libcudart.so.11.0 and libcudart.so.12" in result.summary
    assert result.detail[0].startswith(f"{old} needed by {opencv} needed by ")


@needs_gcc
def test_one_runtime_in_each_of_two_programs(linked: Linked) -> None:
    old = library(linked.prefix / "lib" / "libcudart.so.11.0")
    linked.built(old, name="liba.so", flags=(f"-Wl,-rpath,{old.parent}",))
    new = linked.runtime()
    linked.built(new, name="libb.so", flags=(f"-Wl,-rpath,{new.parent}",))
    assert silent("cuda.mixed-runtime", linked.exam())


@needs_gcc
def test_minor_versions_of_old_runtimes_are_different_ones(linked: Linked) -> None:
    old = library(linked.prefix / "lib" / "libcudart.so.10.0")
    other = library(linked.prefix / "lib" / "libcudart.so.10.1")
    opencv = linked.built(old, name="libopencv.so.4", flags=(f"-Wl,-rpath,{old.parent}",))
    linked.built(other, opencv, flags=(f"-Wl,-rpath,{opencv.parent}",))
    assert "libcudart.so.10.0 and libcudart.so.10.1" in only("cuda.mixed-runtime", linked.exam()).summary

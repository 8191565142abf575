"""What Caffe's Makefiles compute on a Mac, with our patches and without, as GNU make itself says.

`uname`, `sw_vers`, `pkgutil`, `xcrun` and `nvcc` are stubs that answer for one Mac; `make -pn` reads the Makefile and
prints its variables. `makefiles/*.mk` are Makefiles of our own with the documented lines of each generation; the
tests marked `real` take the file of 2018 from the Debian source package.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from makefiles.harness import (
    GENERATION,
    LOADER,
    MAKEFILES,
    RECIPE,
    TEXTS,
    Mac,
    evaluate,
    facts,
    patched,
    real_tree,
    run_patch,
    tree_of,
)
from msgspec.structs import replace

from devsetup.patching import check
from devsetup.planner import Wish, make_plan
from devsetup.recipe import identify
from devsetup.steps import ApplyPatch, WriteFile

__all__ = ["real_tree"]  # a fixture


VECLIB = "/System/Library/Frameworks/vecLib.framework/Versions/Current/Headers/"
# Upstream's path for Xcode 6's tools; it stays on 10.9, where our later patches do not go.
UPSTREAM = "/System/Library/Frameworks/Accelerate.framework/Versions/Current/Frameworks/vecLib.framework/Headers/"
SYSTEM = (
    "/System/Library/Frameworks/Accelerate.framework/Versions/Current/Frameworks"
    "/vecLib.framework/Versions/Current/Headers"
)
SDK = f"/stub.sdk{SYSTEM}"


class Row(NamedTuple):
    version: str
    clt: str
    framework: str
    headers: str
    why: str


# By hand, from the facts about each release.
BLAS = (
    Row("10.9", "5.0.1", "vecLib", VECLIB, "Xcode 5: the headers of 10.9 are in vecLib"),
    Row("10.9.5", "5.1.1", "vecLib", VECLIB, "as 10.9"),
    Row("10.9.5", "6.2", "Accelerate", SYSTEM, "Xcode 6's tools moved them on 10.9 too (pull 1310)"),
    Row("10.9.5", "", "vecLib", VECLIB, "no tools' receipt says nothing of Xcode 6"),
    Row("10.10", "6.1.1", "Accelerate", SYSTEM, "Yosemite: Accelerate (pull 1740)"),
    Row("10.10.5", "7.2", "Accelerate", SYSTEM, "the same with Xcode 7 (issue 3092)"),
    Row("10.10.5", "", "Accelerate", SYSTEM, "the same with Xcode alone (issue 3333)"),
    Row("10.11", "7.0", "Accelerate", SDK, "El Capitan: the headers are in the SDK alone (issue 3841)"),
    Row("10.11.6", "8.2", "Accelerate", SDK, "as 10.11"),
    Row("10.12.6", "9.2", "Accelerate", SDK, "as 10.11"),
    Row("10.13.6", "9.4.1", "Accelerate", SDK, "as 10.11"),
    Row("10.13.6", "10.1", "Accelerate", SDK, "two digits: upstream reads 1"),
    Row("10.14.6", "11.3.1", "Accelerate", SDK, "two digits"),
    Row("10.15.7", "11.5", "Accelerate", SDK, "no headers outside the SDK"),
    Row("10.15.7", "12.4", "Accelerate", SDK, "two digits: upstream reads 1"),
    Row("11.7.10", "13.2", "Accelerate", SDK, "major version 11: no minor to compare with 10"),
    Row("12.7.6", "14.2", "Accelerate", SDK, "as 11"),
    Row("13.7", "14.3.1", "Accelerate", SDK, "as 11"),
    Row("14.8", "15.3", "Accelerate", SDK, "two digits: upstream reads 1"),
    Row("14.8", "16.2", "Accelerate", SDK, "as 11"),
    Row("15.5", "16.4", "Accelerate", SDK, "as 11"),
    Row("15.5", "", "Accelerate", SDK, "Xcode alone"),
    Row("26.1", "26.1", "Accelerate", SDK, "two digits: upstream reads 2"),
    Row("27.0", "27.0", "Accelerate", SDK, "a macOS that does not exist yet"),
)
# (macOS, CUDA or CPU_ONLY, whether libstdc++ is asked for, why)
STDLIB = (
    ("10.9.5", "", False, "on the CPU everything is libc++ (issue 1180)"),
    ("10.9.5", "5.5", True, "CUDA before 7 has no libc++ (pull 1667)"),
    ("10.9.5", "6.5", True, "the same"),
    ("10.9.5", "7.0", False, "CUDA 7 has libc++"),
    ("10.10.5", "", False, "CPU"),
    ("10.10.5", "6.5", True, "the flag that the test for 10.9 lost"),
    ("10.10.5", "7.0", False, "CUDA 7 on Yosemite: nothing to relink (issue 2258)"),
    ("10.11.6", "6.5", True, "the last release with both"),
    ("10.11.6", "7.5", False, "libc++"),
    ("10.12.6", "6.5", False, "no such CUDA runs there, and Xcode 10 took libstdc++ away"),
    ("10.13.6", "9.2", False, "libc++"),
    ("10.13.6", "10.0", False, "the 1 of 10 is not a version before 7"),
)


GUARDS = {
    line[1:]
    for text in TEXTS.values()
    for line in text.splitlines()
    if "+++ b/Makefile\n" in text and line.startswith("-") and not line.startswith("---")
}


def shifted(text: str) -> str:
    return "".join(f"# line {number}\n" for number in range(70)) + text


def interleaved(text: str) -> str:
    """A comment after every line, so that no line has the neighbour that it had."""
    return "".join(f"{line}\n# {number}\n" for number, line in enumerate(text.splitlines()))


def respaced(text: str) -> str:
    """Blanks for tabs, wherever the line is not one that a patch replaces."""
    return "".join(f"{line if line in GUARDS else line.expandtabs(4)}\n" for line in text.splitlines())


SURROUNDINGS = {each.__name__: each for each in (shifted, interleaved, respaced)}


def expected(makefile: str, mac: Mac, row: Row, *, libstdcxx: bool) -> dict[str, str]:
    """The five variables of our own Makefiles, in full."""
    early = makefile in {"2014", "rc"}
    # Nothing of ours goes to 10.9 from 2015 on, since upstream's path is right there.
    headers = (
        UPSTREAM if row.framework == "Accelerate" and row.version.startswith("10.9") and not early else row.headers
    )
    thread = {"2014": []}.get(makefile, ["boost_thread" if mac.boost == "1.87.0" else "boost_thread-mt"])
    libraries = {
        "2014": ["glog", "protobuf", "boost_system"],
        "1.0": ["glog", "gflags", "protobuf", "boost_system", "boost_filesystem", "m"],
    }.get(makefile, ["glog", "gflags", "protobuf", "boost_system"])
    libraries = [*libraries, *thread, "cblas"]
    toolkit = ["-stdlib=libstdc++"] if libstdcxx else []
    gtest = "-DGTEST_USE_OWN_TR1_TUPLE=1"
    include = f"-I{headers}"
    return {
        "BLAS_INCLUDE": headers,
        "LDFLAGS": " ".join(["-framework", row.framework, *(f"-l{library}" for library in libraries)]),
        "CXXFLAGS": " ".join([gtest, *toolkit, include] if early else [*toolkit, gtest, include]),
        # The Makefile of 2014 links with CXXFLAGS, and has no LINKFLAGS of its own.
        "LINKFLAGS": " ".join({"2014": [include], "rc": [*toolkit, include]}.get(makefile, [*toolkit, gtest, include])),
        "LIBRARIES": " ".join(libraries),
    }


def row_of(version: str) -> Row:
    """What BLAS is on a release, with tools of its time."""
    return next(row for row in reversed(BLAS) if row.clt and row.version == version)


@pytest.mark.parametrize("row", BLAS, ids=lambda row: f"{row.version}-clt-{row.clt or 'none'}")
@pytest.mark.parametrize("makefile", GENERATION)
def test_every_mac_gets_its_blas(makefile: str, row: Row, tmp_path: Path) -> None:
    mac = Mac(row.version, row.clt)
    tree = patched(tmp_path, MAKEFILES[makefile], mac, GENERATION[makefile])
    found = evaluate(tree, mac)
    wanted = expected(makefile, mac, row, libstdcxx=False)
    assert {name: found[name] for name in wanted} == wanted, row.why


@pytest.mark.parametrize(("version", "cuda", "libstdcxx", "why"), STDLIB)
@pytest.mark.parametrize("makefile", GENERATION)
def test_libstdcxx_is_asked_for_where_cuda_needs_it(
    makefile: str, version: str, cuda: str, libstdcxx: bool, why: str, tmp_path: Path
) -> None:
    row = row_of(version)
    mac = Mac(version, row.clt, cuda)
    found = evaluate(patched(tmp_path, MAKEFILES[makefile], mac, GENERATION[makefile]), mac)
    wanted = expected(makefile, mac, row, libstdcxx=libstdcxx)
    assert {name: found[name] for name in wanted} == wanted, why


@pytest.mark.parametrize("row", BLAS, ids=lambda row: f"{row.version}-clt-{row.clt or 'none'}")
@pytest.mark.parametrize("makefile", GENERATION)
def test_a_tree_patched_for_one_mac_is_right_on_every_other(makefile: str, row: Row, tmp_path: Path) -> None:
    mac = Mac(row.version, row.clt)
    found = evaluate(patched(tmp_path, MAKEFILES[makefile], Mac("12.7.6", "14.2"), GENERATION[makefile]), mac)
    wanted = expected(makefile, mac, row, libstdcxx=False)
    assert {name: found[name] for name in wanted} == wanted, row.why


@pytest.mark.parametrize("makefile", GENERATION)
def test_a_toolkit_that_is_not_used_asks_for_nothing(makefile: str, tmp_path: Path) -> None:
    mac = Mac("10.9.5", "5.1.1", cuda="6.5")
    tree = patched(tmp_path, MAKEFILES[makefile], mac, GENERATION[makefile])
    config = f"CPU_ONLY := 1\nCUDA_DIR := {tmp_path}/stubs/cuda\nBLAS := atlas\n"
    assert "-stdlib=libstdc++" in evaluate(tree, mac)["CXXFLAGS"]
    assert "-stdlib" not in evaluate(tree, mac, config)["CXXFLAGS"]


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("version", ["10.10.5", "14.8"])
@pytest.mark.parametrize("makefile", GENERATION)
def test_what_surrounds_the_lines_does_not_matter(
    makefile: str, version: str, surroundings: str, tmp_path: Path
) -> None:
    row = row_of(version)
    mac = Mac(version, row.clt, cuda="6.5" if version == "10.10.5" else "")
    text = SURROUNDINGS[surroundings](MAKEFILES[makefile])
    assert text != MAKEFILES[makefile]
    found = evaluate(patched(tmp_path, text, mac, GENERATION[makefile]), mac)
    wanted = expected(makefile, mac, row, libstdcxx=bool(mac.cuda))
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("makefile", ["rc", "2015", "rc3", "1.0"])
@pytest.mark.parametrize(("boost", "thread"), [("1.86.0", "boost_thread-mt"), ("1.87.0", "boost_thread")])
def test_homebrews_boost_thread_has_the_name_of_its_version(
    makefile: str, boost: str, thread: str, tmp_path: Path
) -> None:
    mac = Mac("14.8", "16.2", boost=boost)
    found = evaluate(patched(tmp_path, MAKEFILES[makefile], mac, GENERATION[makefile]), mac)
    wanted = expected(makefile, mac, row_of("14.8"), libstdcxx=False)
    assert thread in wanted["LIBRARIES"].split()
    assert {name: found[name] for name in wanted} == wanted


def test_boost_system_is_not_asked_for_where_it_is_gone(tmp_path: Path) -> None:
    mac = Mac("26.1", "26.1", boost="1.89.0")
    found = evaluate(patched(tmp_path, MAKEFILES["1.0"], mac, "1.0"), mac)
    assert found["LIBRARIES"] == "glog gflags protobuf boost_filesystem m boost_thread cblas"


class TestWithoutOurPatches:
    """The failures that the notes and the issues tell of; if one of these passes, a patch has lost its reason."""

    def unpatched(self, tmp_path: Path, makefile: str, mac: Mac) -> dict[str, str]:
        return evaluate(tree_of(tmp_path, MAKEFILES[makefile]), mac)

    @pytest.mark.parametrize("makefile", ["2014", "rc"])
    def test_yosemite_loses_its_flag_and_keeps_veclib(self, makefile: str, tmp_path: Path) -> None:
        found = self.unpatched(tmp_path, makefile, Mac("10.10.5", "6.2", cuda="6.5"))
        assert "-stdlib" not in found["CXXFLAGS"] + found["LINKFLAGS"]
        assert "-framework vecLib" in found["LDFLAGS"]
        assert found["BLAS_INCLUDE"] == VECLIB

    @pytest.mark.parametrize("makefile", ["2014", "rc"])
    def test_mavericks_has_the_flag_on_the_cpu_too(self, makefile: str, tmp_path: Path) -> None:
        assert "-stdlib=libstdc++" in self.unpatched(tmp_path, makefile, Mac("10.9.5", "5.1.1"))["CXXFLAGS"]

    @pytest.mark.parametrize("clt", ["12.4", "15.3", "26.1"])
    @pytest.mark.parametrize("makefile", ["rc3", "1.0"])
    def test_two_digits_fall_through_to_veclib(self, makefile: str, clt: str, tmp_path: Path) -> None:
        found = self.unpatched(tmp_path, makefile, Mac("10.15.7", clt))
        assert "-framework vecLib" in found["LDFLAGS"]
        assert found["BLAS_INCLUDE"] == VECLIB

    def test_xcode_7_gets_no_framework_at_all(self, tmp_path: Path) -> None:
        found = self.unpatched(tmp_path, "1.0", Mac("10.11.6", "8.2"))
        assert "-framework" not in found["LDFLAGS"]

    def test_the_summer_of_2015_knows_xcode_6_alone(self, tmp_path: Path) -> None:
        assert "-framework vecLib" in self.unpatched(tmp_path, "2015", Mac("10.10.5", "7.2"))["LDFLAGS"]

    @pytest.mark.parametrize("makefile", ["2015", "rc3", "1.0"])
    def test_the_test_for_old_cuda_never_holds(self, makefile: str, tmp_path: Path) -> None:
        found = self.unpatched(tmp_path, makefile, Mac("10.10.5", "6.2", cuda="6.5"))
        assert "-stdlib" not in found["CXXFLAGS"] + found["LINKFLAGS"]

    @pytest.mark.parametrize("makefile", GENERATION)
    def test_yosemite_with_its_first_tools_is_why_nobody_noticed(self, makefile: str, tmp_path: Path) -> None:
        framework = "vecLib" if makefile in {"2014", "rc"} else "Accelerate"
        found = self.unpatched(tmp_path, makefile, Mac("10.10.5", "6.2"))
        assert f"-framework {framework}" in found["LDFLAGS"]


@pytest.mark.real
class TestRealMakefile:
    def test_it_is_of_the_last_generation(self, real_tree: Path) -> None:
        assert identify(RECIPE.generations, lambda name: (real_tree / name).read_text()) == "1.0"

    def test_our_extract_has_its_lines(self, real_tree: Path) -> None:
        theirs = (real_tree / "Makefile").read_text().splitlines()
        guards = [line for line in MAKEFILES["1.0"].splitlines() if line in GUARDS]
        assert len(guards) == 4
        assert all(theirs.count(line) == 1 for line in guards)

    @pytest.mark.parametrize("row", BLAS, ids=lambda row: f"{row.version}-clt-{row.clt or 'none'}")
    def test_every_mac_gets_its_blas_with_the_plans_own_config(self, row: Row, real_tree: Path, tmp_path: Path) -> None:
        mac = Mac(row.version, row.clt, boost="1.81.0")
        planned = replace(LOADER.host("macos-12"), os=facts(mac).os, apple=facts(mac).apple)
        part = make_plan(Wish(names=("caffe",)), planned, LOADER.catalogue()).parts[0]
        config = next(step.content for step in part.steps if isinstance(step, WriteFile) and "config" in step.path)
        applied = [step for step in part.steps if isinstance(step, ApplyPatch)]
        tree = tree_of(tmp_path, (real_tree / "Makefile").read_text())
        for patch in (patch for patch in RECIPE.patches if any(patch.name == each.name for each in applied)):
            for file in check(TEXTS[f"patches/caffe/{patch.name}"], name=patch.name).files:
                if not (tree / file).exists():
                    (tree / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(real_tree / file, tree / file)
            assert run_patch(tree, patch, "--forward").returncode == 0
        found = evaluate(tree, mac, config)
        wanted = expected("1.0", mac, row, libstdcxx=False)
        assert found["BLAS_INCLUDE"] == wanted["BLAS_INCLUDE"], row.why
        assert re.findall(r"-framework \S+", found["LDFLAGS"]) == [f"-framework {row.framework}"]
        assert "-stdlib" not in found["CXXFLAGS"] + found["LINKFLAGS"]
        assert f"-I{wanted['BLAS_INCLUDE']}" in found["CXXFLAGS"].split()
        assert "-std=c++11" in found["CXXFLAGS"].split()
        assert found["LIBRARIES"] == (
            "glog gflags protobuf boost_system boost_filesystem m leveldb snappy lmdb hdf5_hl hdf5"
            " opencv_core opencv_imgproc opencv_imgcodecs boost_thread-mt cblas"
        )

    @pytest.mark.parametrize(("version", "cuda", "libstdcxx", "why"), STDLIB)
    def test_libstdcxx_is_asked_for_where_cuda_needs_it(
        self, version: str, cuda: str, libstdcxx: bool, why: str, real_tree: Path, tmp_path: Path
    ) -> None:
        mac = Mac(version, row_of(version).clt, cuda)
        found = evaluate(patched(tmp_path, (real_tree / "Makefile").read_text(), mac, "1.0"), mac)
        for name in ("CXXFLAGS", "LINKFLAGS"):
            assert ("-stdlib=libstdc++" in found[name].split()) is libstdcxx, why

    @pytest.mark.parametrize("clt", ["12.4", "15.3", "26.1"])
    def test_unpatched_it_falls_through_to_veclib(self, clt: str, real_tree: Path, tmp_path: Path) -> None:
        found = evaluate(tree_of(tmp_path, (real_tree / "Makefile").read_text()), Mac("10.15.7", clt))
        assert re.findall(r"-framework \S+", found["LDFLAGS"]) == ["-framework vecLib"]

"""Caffe's patches: where each is needed, and that it applies strictly, only there, once, and comes off again."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from makefiles.harness import GENERATION, LOADER, MAKEFILES, RECIPE, TEXTS, real_tree, run_patch, tree_of
from msgspec.structs import replace

from devsetup.errors import DevsetupError, Refused
from devsetup.facts import Apple, Facts, OperatingSystem
from devsetup.patching import check
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.recipe import Patch, identify
from devsetup.steps import LocalSource

__all__ = ["real_tree"]  # a fixture

CATALOGUE = LOADER.catalogue()
PATCHES = {patch.name[:4]: patch for patch in RECIPE.patches}
DIFFS = {number: check(TEXTS[f"patches/caffe/{patch.name}"], name=patch.name) for number, patch in PATCHES.items()}
# 0004 is about the rule for pycaffe, and our own Makefiles build nothing.
OF_THE_MAKEFILE = [number for number, diff in DIFFS.items() if diff.files == ("Makefile",) and number != "0004"]
# rc3 lists its libraries on other lines.
UNFIT = {("0015", "rc3")}
OVERVIEW = Path(__file__).parent / "makefiles" / "overview.txt"


def machine(host: str, **changes: object) -> Facts:
    return replace(LOADER.host(host), **changes)


def plan(facts: Facts, generation: str = "1.0", **options: str) -> Part:
    tree = LocalSource(id="tree", path="/tree", sha256="0" * 64, tree=True, generation=generation)
    wish = Wish(names=("caffe",), options=options, sources={} if generation == "1.0" else {"caffe": tree})
    return next(part for part in make_plan(wish, facts, CATALOGUE).parts if part.name == "caffe")


def wanted(facts: Facts, generation: str = "1.0", **options: str) -> list[str]:
    return [patch.name[:4] for patch in plan(facts, generation, **options).patches if patch.needed]


def refusal(facts: Facts, **options: str) -> str:
    with pytest.raises(Refused) as caught:
        plan(facts, **options)
    return caught.value.message


def expected_by(number: str) -> Path | dict[str, str]:
    """The files that a patch wants to find: those lines of its hunks, at their places, and nothing else."""
    files: dict[str, list[str]] = {}
    path, line = "", 0
    for text in TEXTS[f"patches/caffe/{PATCHES[number].name}"].splitlines():
        hunk = re.match(r"@@ -(\d+)", text)
        if text.startswith("+++ b/"):
            path = text.removeprefix("+++ b/")
            files[path] = []
        elif hunk:
            line = int(hunk.group(1)) - 1
            files[path] += [f"// filler {each}" for each in range(len(files[path]), line)]
        elif path and text[:1] in {" ", "-"} and not text.startswith("--- "):
            files[path].append(text[1:])
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()}


def contents(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in sorted(tree.rglob("*")) if path.is_file()}


def check_life(tree: Path, patch: Patch) -> None:
    """Applies, then not again, is seen to be in, and comes off without a trace."""
    before = contents(tree)
    assert run_patch(tree, patch, "--reverse", "--dry-run").returncode != 0, "it looks applied before it is"
    assert run_patch(tree, patch, "--forward", "--dry-run").returncode == 0
    assert contents(tree) == before
    assert run_patch(tree, patch, "--forward").returncode == 0
    after = contents(tree)
    assert after != before
    assert run_patch(tree, patch, "--forward").returncode != 0
    assert contents(tree) == after
    assert run_patch(tree, patch, "--reverse").returncode == 0
    assert contents(tree) == before


def sources(number: str) -> list[str]:
    """The generations that a patch is for; one without a condition on the source is written for the recipe's own."""
    return [each.strip() for each in (PATCHES[number].when.source or "1.0").split("|")]


@pytest.mark.parametrize("makefile", MAKEFILES)
@pytest.mark.parametrize("number", OF_THE_MAKEFILE)
def test_a_makefile_patch_fits_its_generations_alone(number: str, makefile: str, tmp_path: Path) -> None:
    patch, tree = PATCHES[number], tree_of(tmp_path, MAKEFILES[makefile])
    if GENERATION[makefile] in sources(number) and (number, makefile) not in UNFIT:
        check_life(tree, patch)
        return
    before = contents(tree)
    assert run_patch(tree, patch, "--forward").returncode != 0
    assert contents(tree) == before
    if patch.when.source:
        said = patch.when.verdict(machine("macos-26"), {}, GENERATION[makefile])
        assert not said.holds
        assert said.because == f"the source is of generation {GENERATION[makefile]}"


@pytest.mark.parametrize("number", PATCHES)
def test_a_patch_applies_once_and_comes_off(number: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, text in expected_by(number).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    check_life(tree, PATCHES[number])


@pytest.mark.parametrize("makefile", MAKEFILES)
def test_a_tree_is_known_with_our_patches_and_without(makefile: str, tmp_path: Path) -> None:
    tree = tree_of(tmp_path, MAKEFILES[makefile])

    def known() -> str:
        return identify(RECIPE.generations, lambda name: (tree / name).read_text())

    assert known() == GENERATION[makefile]
    for number in OF_THE_MAKEFILE:
        if GENERATION[makefile] in sources(number) and (number, makefile) not in UNFIT:
            assert run_patch(tree, PATCHES[number], "--forward").returncode == 0
            assert known() == GENERATION[makefile], number


def test_another_makefile_is_of_no_generation() -> None:
    assert identify(RECIPE.generations, lambda name: "all:\n\tcc main.c\n") == ""
    assert identify(RECIPE.generations, lambda name: None) == ""


NEEDED = [
    # number, host, generation, options, needed
    ("0001", "debian-12", "1.0", {}, True),
    ("0001", "ubuntu-18.04", "1.0", {}, False),  # OpenCV 3.2
    ("0002", "debian-12", "1.0", {}, True),
    ("0002", "ubuntu-22.04", "1.0", {}, False),  # protobuf 3.12
    ("0002", "macos-26", "1.0", {}, True),
    ("0003", "ubuntu-18.04", "1.0", {}, True),
    ("0003", "ubuntu-16.04", "1.0", {}, False),  # OpenCV 2.4, which 0003 would break
    ("0004", "debian-12", "1.0", {}, True),
    ("0004", "debian-12", "1.0", {"python": "off"}, False),
    ("0006", "ubuntu-20.04", "1.0", {}, True),
    ("0006", "ubuntu-14.04", "1.0", {}, False),  # no pycaffe
    ("0009", "macos-10.10", "2014", {}, True),
    ("0009", "macos-10.10", "rc", {}, True),
    ("0009", "macos-10.10", "2015", {}, False),
    ("0009", "ubuntu-14.04", "2014", {}, False),
    ("0010", "macos-10.10+cuda-6.5", "1.0", {"cuda": "on"}, True),
    ("0010", "macos-10.10+cuda-7.5", "1.0", {"cuda": "on"}, False),
    ("0010", "macos-10.10+cuda-6.5", "1.0", {}, False),
    ("0011", "macos-10.9", "2014", {}, True),
    ("0011", "macos-26", "rc", {}, True),
    ("0011", "macos-26", "2015", {}, False),
    ("0012", "macos-10.9", "2015", {}, False),
    ("0012", "macos-10.11", "2015", {}, True),
    ("0013", "macos-10.9", "1.0", {}, False),
    ("0013", "macos-10.10", "1.0", {}, True),
    ("0013", "macos-15-arm64", "1.0", {}, True),
    ("0013", "debian-12", "1.0", {}, False),
    ("0014", "macos-13", "1.0", {}, False),  # Boost 1.84
    ("0014", "macos-14", "1.0", {}, True),  # Boost 1.87
    ("0015", "macos-15", "1.0", {}, False),  # Boost 1.88
    ("0015", "macos-26", "1.0", {}, True),  # Boost 1.89
    ("0016", "debian-12+cuda-12.8", "1.0", {"cuda": "on"}, False),
    ("0016", "debian-12+cuda-13.0", "1.0", {"cuda": "on"}, True),
    ("0016", "debian-12+cuda-13.0", "1.0", {}, False),
    ("0017", "macos-12", "1.0", {}, False),  # protobuf 21
    ("0017", "macos-13", "1.0", {}, True),
    ("0018", "debian-12+cuda-12.8", "1.0", {"cuda": "on"}, True),
    ("0018", "debian-12+cuda-12.8", "1.0", {}, False),
]


@pytest.mark.parametrize(("number", "host", "generation", "options", "needed"), NEEDED)
def test_a_patch_is_needed_where_its_reason_is_true(
    number: str, host: str, generation: str, options: dict[str, str], needed: bool
) -> None:
    assert (number in wanted(machine(host), generation, **options)) is needed


def test_every_patch_has_its_yes_and_its_no() -> None:
    of_python = {"0005", "0007", "0008"}  # as 0004 and 0006
    for number in PATCHES.keys() - of_python:
        assert {case[4] for case in NEEDED if case[0] == number} == {True, False}, number


def test_every_host_and_generation_is_as_recorded(request: pytest.FixtureRequest) -> None:
    lines = []
    for host in LOADER.hosts():
        for generation in GENERATION.values():
            try:
                found = " ".join(wanted(machine(host), generation)) or "none"
            except DevsetupError as error:
                found = f"refused: {error.message}"
            lines.append(f"{host:16} {generation:5} {found}")
    text = "".join(f"{line}\n" for line in dict.fromkeys(lines))
    if request.config.getoption("--refresh"):
        OVERVIEW.write_text(text)
    assert text == OVERVIEW.read_text()


FUTURE = [
    ("macos-26-arm64", OperatingSystem(id="macos", version="27.0"), "as macOS 26"),
    ("macos-26", OperatingSystem(id="macos", version="30.1"), "as macOS 26"),
    ("debian-13", OperatingSystem(id="debian", version="14"), "as Debian 13"),
    ("ubuntu-24.04", OperatingSystem(id="ubuntu", version="26.04", like=("debian",)), "as Ubuntu 24.04"),
    ("debian-12", OperatingSystem(id="devuan", version="5", like=("debian",)), "as Debian 12"),
]


@pytest.mark.parametrize(("host", "system", "why"), FUTURE)
@pytest.mark.parametrize("generation", dict.fromkeys(GENERATION.values()))
def test_an_unknown_release_gets_what_its_libraries_need(
    host: str, system: OperatingSystem, why: str, generation: str
) -> None:
    assert wanted(machine(host, os=system), generation) == wanted(machine(host), generation), why


@pytest.mark.parametrize("version", ["27.0", "10.16", "", "unknown"])
def test_a_mac_of_which_little_is_known_is_no_exception(version: str) -> None:
    bare = Facts(os=OperatingSystem(id="macos", version=version), arch="arm64", apple=Apple())
    assert "which protobuf" in refusal(bare)


def test_a_tree_of_no_generation_gets_no_patch_to_its_makefile() -> None:
    assert not {"0009", "0010", "0011", "0012", "0013", "0014"} & set(wanted(machine("macos-26"), ""))


def stub_headers(source: str) -> dict[str, str]:
    """As much of cuBLAS and cuRAND as that file uses."""
    headers = {}
    for file, name in (("cublas_v2.h", "cublas"), ("curand.h", "curand")):
        codes = ", ".join(sorted(set(re.findall(rf"{name.upper()}_STATUS_\w+", source))))
        functions = sorted(set(re.findall(rf"\b({name}(?!GetErrorString)[A-Z]\w+)\(", source)))
        headers[file] = (
            f"#pragma once\nenum {name}Status_t {{ {codes} }};\nenum {{ {name.upper()}_RNG_PSEUDO_DEFAULT }};\n"
            f"typedef struct {name}Any *{name}Handle_t, *{name}Generator_t;\n"
            + "".join(f"{name}Status_t {function}(...);\n" for function in functions)
        )
    return headers


@pytest.mark.real
class TestOnTheTreeOf2018:
    def copy(self, real_tree: Path, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        for diff in DIFFS.values():
            for file in diff.files:
                (tree / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(real_tree / file, tree / file)
        return tree

    @pytest.mark.parametrize("number", PATCHES)
    def test_each_patch_for_it_applies_alone(self, number: str, real_tree: Path, tmp_path: Path) -> None:
        tree = self.copy(real_tree, tmp_path)
        if "1.0" in sources(number):
            check_life(tree, PATCHES[number])
        else:
            assert run_patch(tree, PATCHES[number], "--forward").returncode != 0

    @pytest.mark.parametrize("backwards", [False, True])
    def test_all_of_them_go_together_in_any_order(self, backwards: bool, real_tree: Path, tmp_path: Path) -> None:
        tree = self.copy(real_tree, tmp_path)
        before = contents(tree)
        numbers = sorted((number for number in PATCHES if "1.0" in sources(number)), reverse=backwards)
        for number in numbers:
            assert run_patch(tree, PATCHES[number], "--forward").returncode == 0, number
        for number in numbers:
            assert run_patch(tree, PATCHES[number], "--reverse", "--dry-run").returncode == 0, number
        for number in reversed(numbers):
            assert run_patch(tree, PATCHES[number], "--reverse").returncode == 0
        assert contents(tree) == before

    def test_cuda_13_compiles_the_patched_file_alone(self, real_tree: Path, tmp_path: Path) -> None:
        """`common.cpp` against the toolkit's real headers; cuBLAS and cuRAND, often not installed, are stubs."""
        toolkits = [path.parent for path in Path("/usr/local").glob("cuda*/include/cuda.h")]
        toolkits = [path for path in toolkits if "#define CUDA_VERSION 13" in (path / "cuda.h").read_text()]
        if not toolkits or not Path("/usr/include/glog/logging.h").exists():
            pytest.skip("no CUDA 13 toolkit, or no glog")
        tree = tmp_path / "caffe"
        shutil.copytree(real_tree, tree, ignore=shutil.ignore_patterns("examples", "docs", "models", "matlab"))
        for name, header in stub_headers((tree / "src/caffe/common.cpp").read_text()).items():
            (tree / "include" / name).write_text(header)
        compiler = ["g++", "-std=c++17", "-fsyntax-only", f"-I{tree}/include", f"-I{toolkits[0]}"]
        command = [*compiler, str(tree / "src/caffe/common.cpp")]
        pristine = subprocess.run(command, capture_output=True, text=True, check=False)
        lost = set(re.findall(r"no member named .(\w+).", pristine.stderr))
        assert lost == {"clockRate", "deviceOverlap", "kernelExecTimeoutEnabled"}, pristine.stderr[-2000:]
        assert run_patch(tree, PATCHES["0016"], "--forward").returncode == 0
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

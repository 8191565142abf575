"""The doctor's checks of compilers and tools: real gcc behind stubs that take something away, constructed toolkits."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from doctor_goals import run, wanting
from doctoring import Couch, check, goal, only
from msgspec.structs import replace

from devsetup.doctor import Exam
from devsetup.facts import Compiler, Cuda, Library
from devsetup.steps import ApplyPatch, Step, SystemPackages, WriteFile

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs a real g++ to take things away from")

GXX = SystemPackages(manager="apt", names=("g++", "make"))
MAKE = run("make", "-j2", "--output-sync=target")
MODERN_HEADER = """#if defined(__GNUC__)
#if __GNUC__ > 13
#error -- unsupported GNU version! gcc versions later than 13 are not supported!
#endif
"""
OLD_HEADER = "#if __GNUC__ > 4 || (__GNUC__ == 4 && __GNUC_MINOR__ > 9)\n#error -- unsupported GNU version!\n"


class Workshop(Couch):
    """A Debian whose compilers are the real ones of this machine, and whose other tools are stubs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.program("/usr/bin/apt-get", "")
        self.compiler("cc", "gcc")
        self.compiler("g++", "g++")
        self.version("make", "GNU Make 4.3")
        self.version("cmake", "cmake version 3.25.1")
        self.program("/usr/bin/pkg-config", 'test "$1" = --version && echo 1.8.1 || echo /usr/lib/pkgconfig')
        (self.root / "usr/lib/pkgconfig").mkdir(parents=True)

    def compiler(self, name: str, real: str, before: str = "") -> None:
        self.program(f"/usr/bin/{name}", f'{before}\nexec /usr/bin/{real} "$@"')

    def version(self, name: str, text: str, at: str = "/usr/bin") -> None:
        self.program(f"{at}/{name}", f"echo '{text}'")

    def gcc(self, name: str, version: str, at: str = "/usr/bin") -> None:
        self.program(f"{at}/{name}", f"echo '{name} (Debian) {version}'; echo 'Free Software Foundation'")

    def remove(self, *names: str) -> None:
        for name in names:
            (self.root / "usr/bin" / name).unlink()

    def asked(self, *steps: Step, has_gxx: bool = True, options: dict[str, str] | None = None) -> Exam:
        facts = replace(self.facts(), libraries={"gcc": Library(version="12.2.0", installed=has_gxx)})
        return self.exam(facts=facts, goals=wanting(facts, *steps, options=options or {}) if steps else ())


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "root")


def scratch() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("devsetup-doctor-*"))


def test_compilers_that_work_are_tried_for_real_and_leave_nothing(shop: Workshop) -> None:
    before = scratch()
    found = only("tc.compiler", shop.exam())
    assert found.status == "ok"
    assert found.summary.startswith("compiled, linked and ran C with /usr/bin/cc ")
    assert " and C++ with /usr/bin/g++ " in found.summary
    assert scratch() <= before


def test_a_compiler_is_tried_in_a_clean_environment(shop: Workshop) -> None:
    environ = {"C_INCLUDE_PATH": "/nowhere", "GCC_EXEC_PREFIX": "/nowhere/", "LD_PRELOAD": "/nowhere.so"}
    assert only("tc.compiler", shop.exam(**environ)).status == "ok"


def test_a_machine_without_compiler_gets_one_when_something_asks(shop: Workshop) -> None:
    shop.remove("cc", "g++")
    found = only("tc.compiler", shop.asked())
    assert (found.status, found.summary) == (
        "info",
        "no C and no C++ compiler: installing a recipe that compiles asks apt for g++",
    )
    brought = only("tc.compiler", shop.asked(GXX, MAKE))
    assert (brought.status, brought.summary) == (
        "info",
        "no C and no C++ compiler yet: the plan installs g++ first (asked for: toy)",
    )


def test_a_plan_that_compiles_without_bringing_a_compiler_cannot_work(shop: Workshop) -> None:
    shop.remove("g++")
    results = {result.status: result for result in check("tc.compiler", shop.asked(MAKE))}
    assert set(results) == {"fail", "ok"}
    assert results["fail"].summary == "no C++ compiler: nothing that needs one can be built (asked for: toy)"
    assert results["fail"].fix
    assert results["fail"].fix.needs_root
    assert results["fail"].fix.commands == (
        "sudo apt-get update",
        "sudo apt-get install -y --no-install-recommends g++",
    )


@pytest.mark.parametrize(
    ("stub", "cause", "package"),
    [
        ('PATH=/nowhere exec /usr/bin/gcc "$@"', "the linker or the assembler is missing", "binutils"),
        (
            'exec /usr/bin/gcc --sysroot=/nowhere "$@"',
            "the C library's files for development are missing",
            "libc6-dev",
        ),
    ],
)
def test_a_compiler_that_lacks_something_says_what(shop: Workshop, stub: str, cause: str, package: str) -> None:
    shop.program("/usr/bin/cc", stub)
    found = check("tc.compiler", shop.asked())[0]
    assert found.status == "warn"
    assert found.summary.startswith(f"/usr/bin/cc makes no C program that runs; {cause}: ")
    assert found.fix
    assert found.fix.commands[-1].endswith(f" {package}")
    assert check("tc.compiler", shop.asked(GXX, MAKE))[0].status == "fail"


def test_what_the_whole_package_would_mend_is_not_yet_a_fault(shop: Workshop) -> None:
    shop.program("/usr/bin/cc", 'exec /usr/bin/gcc --sysroot=/nowhere "$@"')
    shop.remove("g++")
    alone, asked = shop.asked(has_gxx=False), shop.asked(GXX, MAKE, has_gxx=False)
    assert {result.status for result in check("tc.compiler", alone)} == {"info"}
    assert {result.status for result in check("tc.compiler", asked)} == {"info"}
    broken = check("tc.compiler", asked)[0]
    assert "files for development are missing, which g++ brings: " in broken.summary
    assert {result.status for result in check("tc.compiler", shop.asked(MAKE, has_gxx=False))} == {"fail"}


def test_a_program_that_is_made_but_does_not_run(shop: Workshop) -> None:
    shop.program("/usr/bin/g++", 'printf "#!/bin/sh\\nkill -ILL \\$\\$\\n" > "$2" && chmod +x "$2"')
    found = check("tc.compiler", shop.asked())[0]
    assert found.status == "warn"
    assert "the program that it made is ended by SIGILL" in found.summary


def test_success_without_a_program_is_none(shop: Workshop) -> None:
    shop.program("/usr/bin/g++", "exit 0")
    assert "/usr/bin/g++ reports success, but made no program" in check("tc.compiler", shop.asked())[0].summary


def test_a_compiler_of_another_prefix_first_on_path_is_told(shop: Workshop) -> None:
    shop.gcc("g++", "14.2.0", at="/opt/conda/bin")
    path = "/opt/conda/bin:/usr/bin"
    found = check("tc.compiler", shop.exam(facts=shop.facts(PATH=path), PATH=path))
    assert [result.status for result in found] == ["ok", "info"]
    assert found[1].summary.startswith("g++ on PATH is /opt/conda/bin/g++ 14.2.0, by which plans go; devsetup's builds")


def test_a_standard_that_the_compiler_does_not_know(shop: Workshop) -> None:
    config = WriteFile(path="@BUILD@/Makefile.config", content="CXXFLAGS += -std=c++98\n")
    assert check("tc.cxxstd", shop.exam()) == ()
    assert only("tc.cxxstd", shop.asked(config)).status == "ok"
    future = ApplyPatch(name="a.patch", tree="t", why="w", text="-CXXFLAGS = -std=c++98\n+CXXFLAGS = -std=c++99\n")
    found = only("tc.cxxstd", shop.asked(future))
    assert found.status == "fail"
    assert "does not know c++99, which is compiled with (asked for: toy)" in found.summary
    assert only("tc.cxxstd", shop.asked(run("cmake", "-DCMAKE_CXX_STANDARD=99"))).status == "fail"
    shop.remove("g++")
    assert check("tc.cxxstd", shop.asked(future)) == ()


def test_a_compiler_broken_in_another_way_is_no_matter_of_standards(shop: Workshop) -> None:
    shop.program("/usr/bin/g++", "echo 'error: out of order' >&2; exit 1")
    assert check("tc.cxxstd", shop.asked(run("g++", "-std=c++17"))) == ()


def test_fortran_counts_where_it_is_asked_for(shop: Workshop) -> None:
    assert check("tc.fortran", shop.asked(MAKE)) == ()
    package = SystemPackages(manager="apt", names=("gfortran",))
    assert only("tc.fortran", shop.asked(package)).status == "info"
    assert only("tc.fortran", shop.asked(run("gfortran", "x.f90"))).status == "fail"
    shop.program("/usr/bin/gfortran", "echo 'f951: fatal error: out of order' >&2; exit 1")
    assert only("tc.fortran", shop.asked(run("gfortran", "x.f90"))).status == "fail"
    stand_in = '[ -z "$2" ] || { printf "int main(void) { return 0; }" > "$2.c"; set -- -o "$2" "$2.c"; }'
    shop.compiler("gfortran", "gcc", stand_in)
    assert only("tc.fortran", shop.asked()).status == "ok"


def test_make_and_cmake_that_will_do(shop: Workshop) -> None:
    found = only("tc.make-cmake", shop.asked(MAKE, run("cmake", "..")))
    assert (found.status, found.summary) == ("ok", "/usr/bin/make 4.3, /usr/bin/cmake 3.25.1")


def test_make_without_the_option_that_recipes_use(shop: Workshop) -> None:
    shop.version("make", "GNU Make 3.81")
    assert only("tc.make-cmake", shop.asked()).status == "ok"
    assert only("tc.make-cmake", shop.asked(run("make", "-j2"))).status == "ok"
    found = check("tc.make-cmake", shop.asked(MAKE))[0]
    assert found.status == "fail"
    assert found.summary.startswith("make is 3.81, and --output-sync, with which the plan runs it, came with 4.0")


def test_a_tool_that_is_missing_matters_when_the_plan_does_not_bring_it(shop: Workshop) -> None:
    shop.remove("make", "cmake")
    assert only("tc.make-cmake", shop.asked()).status == "info"
    assert only("tc.make-cmake", shop.asked(GXX, MAKE)).status == "info"
    assert [result.status for result in check("tc.make-cmake", shop.asked(MAKE, run("cmake", "..")))] == [
        "fail",
        "fail",
    ]


def test_a_cmake_that_refuses_old_trees(shop: Workshop) -> None:
    shop.version("cmake", "cmake version 4.0.2")

    def status(*steps: Step) -> str:
        return check("tc.make-cmake", shop.asked(*steps))[0].status

    patch = ApplyPatch(name="a.patch", tree="t", why="w", text="+cmake_minimum_required(VERSION 3.5)\n")
    assert status(MAKE) == "ok"
    assert status(run("cmake", "..")) == "warn"
    assert status(run("cmake", "-DCMAKE_POLICY_VERSION_MINIMUM=3.5", "..")) == "ok"
    assert status(patch, run("cmake", "..")) == "ok"


def test_pkg_config_of_the_system_is_in_order(shop: Workshop) -> None:
    found = only("tc.pkgconfig", shop.exam())
    assert (found.status, found.summary) == ("ok", "/usr/bin/pkg-config 1.8.1")


def test_pkg_config_that_looks_elsewhere(shop: Workshop) -> None:
    shop.program("/usr/local/bin/pkg-config", 'test "$1" = --version && echo 0.29 || echo /usr/local/lib/pkgconfig')
    uses = run("pkg-config", "--libs", "opencv")
    assert only("tc.pkgconfig", shop.asked()).status == "info"
    found = only("tc.pkgconfig", shop.asked(uses))
    assert found.status == "warn"
    assert "/usr/local/bin/pkg-config does not look in /usr/lib/pkgconfig" in found.summary


def test_pkg_config_that_is_missing(shop: Workshop) -> None:
    shop.remove("pkg-config")
    assert check("tc.pkgconfig", shop.asked()) == ()
    assert only("tc.pkgconfig", shop.asked(run("pkg-config"))).status == "fail"
    assert only("tc.pkgconfig", shop.asked(SystemPackages(manager="apt", names=("pkg-config",)))).status == "info"


def test_another_pkg_config_and_its_variable_do_not_reach_builds(shop: Workshop) -> None:
    shop.program("/opt/conda/bin/pkg-config", "echo 0.29")
    found = check("tc.pkgconfig", shop.exam(PATH="/opt/conda/bin:/usr/bin", PKG_CONFIG_PATH="/opt/conda/lib/pkgconfig"))
    assert [result.status for result in found] == ["ok", "info", "info"]
    assert "devsetup's builds use /usr/bin/pkg-config" in found[1].summary
    assert found[2].summary.startswith("PKG_CONFIG_PATH=/opt/conda/lib/pkgconfig:")


def test_variables_that_steer_compilers_do_not_reach_builds(shop: Workshop) -> None:
    assert only("tc.env-flags", shop.exam(PATH="/usr/bin", CFLAGS="")).status == "ok"
    found = only("tc.env-flags", shop.exam(CFLAGS="-O9", CPATH="/opt/include"))
    assert found.status == "info"
    assert found.summary.startswith("CFLAGS, CPATH set: builds by hand obey them; devsetup's builds")
    assert [(each.source, each.value) for each in found.evidence] == [("CFLAGS", "-O9"), ("CPATH", "/opt/include")]


class Toolkit(Workshop):
    """A workshop with a CUDA toolkit, and a g++ of a chosen version."""

    def with_cuda(self, version: str, gxx: str, header: str, at: str = "include/crt/host_config.h") -> Exam:
        root = f"/usr/local/cuda-{version}"
        if header:
            self.write(f"{root}/{at}", header)
        self.gcc("g++", gxx)
        facts = replace(self.facts(), cuda=(Cuda(path=root, version=version, origin="test", chosen=True),))
        return self.exam(facts=facts, goals=wanting(facts, MAKE, options={"cuda": "on"}))


@pytest.fixture
def toolkit(tmp_path: Path) -> Toolkit:
    return Toolkit(tmp_path / "root")


def test_a_gxx_that_nvcc_accepts(toolkit: Toolkit) -> None:
    found = only("tc.gcc-nvcc", toolkit.with_cuda("12.6", "13.3.0", MODERN_HEADER))
    assert (found.status, found.summary) == (
        "ok",
        "nvcc of CUDA 12.6 accepts g++ 13.3.0 (/usr/local/cuda-12.6/include/crt/host_config.h)",
    )


def test_a_gxx_that_nvcc_refuses_and_one_that_would_do(toolkit: Toolkit) -> None:
    toolkit.gcc("g++-12", "12.2.0")
    toolkit.gcc("g++-13", "13.3.0", at="/opt/bin")
    exam = toolkit.with_cuda("12.6", "15.1.0", MODERN_HEADER)
    found = only("tc.gcc-nvcc", exam)
    assert found.status == "fail"
    assert found.summary.startswith("nvcc of CUDA 12.6 accepts g++ below 14, and /usr/bin/g++ is 15.1.0")
    assert "/usr/bin/g++-12 12.2.0 would do" in found.summary
    assert found.evidence[0].source == "/usr/local/cuda-12.6/include/crt/host_config.h"
    assert found.fix
    assert found.fix.commands == ("export CUDAHOSTCXX=/usr/bin/g++-12",)
    assert only("tc.gcc-nvcc", replace(exam, goals=())).status == "info"
    newer = Compiler(name="g++-13", family="gcc", version="13.3.0", path="/opt/bin/g++-13")
    on_path = replace(exam, facts=replace(exam.facts, compilers=(*exam.facts.compilers, newer)))
    fix = only("tc.gcc-nvcc", on_path).fix
    assert fix
    assert fix.commands == ("export CUDAHOSTCXX=/opt/bin/g++-13",)


def test_old_toolkits_count_minor_versions(toolkit: Toolkit) -> None:
    accepted = toolkit.with_cuda("7.5", "4.9.4", OLD_HEADER, at="include/host_config.h")
    assert only("tc.gcc-nvcc", accepted).status == "ok"
    refused = toolkit.with_cuda("7.5", "5.4.0", OLD_HEADER, at="include/host_config.h")
    found = only("tc.gcc-nvcc", refused)
    assert (found.status, found.evidence[0].value) == ("fail", "refuses g++ 4.10 and newer")


def test_headers_of_a_split_toolkit_are_found(toolkit: Toolkit) -> None:
    at = "targets/x86_64-linux/include/crt/host_config.h"
    assert only("tc.gcc-nvcc", toolkit.with_cuda("12.6", "14.1.0", MODERN_HEADER, at=at)).status == "fail"


def test_without_its_header_the_table_has_the_word(toolkit: Toolkit) -> None:
    found = only("tc.gcc-nvcc", toolkit.with_cuda("12.6", "15.1.0", ""))
    assert found.status == "fail"
    assert found.summary.startswith("nvcc of CUDA 12.6 accepts g++ below 14, and g++ here is 15.1.0")
    assert check("tc.gcc-nvcc", toolkit.with_cuda("12.6", "12.2.0", "")) == ()


def test_a_toolkit_that_the_plan_brings_is_judged_by_the_table(toolkit: Toolkit) -> None:
    toolkit.gcc("g++", "19.1.0")
    facts = toolkit.facts()
    goals = wanting(facts, MAKE, name="cuda", options={"cuda-version": "13.0"})
    assert only("tc.gcc-nvcc", toolkit.exam(facts=facts, goals=goals)).status == "fail"
    assert check("tc.gcc-nvcc", toolkit.exam(facts=facts)) == ()


def test_a_recipe_of_the_catalogue_on_a_bare_machine_is_no_fault(tmp_path: Path) -> None:
    bare = Couch(tmp_path / "root")
    bare.program("/usr/bin/apt-get", "")
    exam = bare.exam(goals=(goal("caffe", "debian-12"),))
    assert {result.status for result in check("tc", exam)} <= {"ok", "info"}

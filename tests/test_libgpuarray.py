"""The libgpuarray recipe: which route is planned where, with which places, and that its patches fit their lines."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from makefiles.harness import LOADER
from msgspec.structs import replace

from devsetup import linking
from devsetup.errors import Refused
from devsetup.facts import Cuda, Driver, Facts, Library
from devsetup.lower import patch_command
from devsetup.patching import check
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.proofs import Import, LinkClosure
from devsetup.steps import Env, Fetch, PythonEnv, Run, SystemPackages, WriteFile

RECIPE = LOADER.recipe("libgpuarray")
TEXTS = LOADER.texts(RECIPE)
TOOLKIT = "/usr/local/cuda-12.4/lib64"


def machine(host: str = "debian-12", **changes: object) -> Facts:
    return replace(LOADER.host(host), **changes)


def with_toolkit(facts: Facts, version: str = "12.4", libdir: str = TOOLKIT, speaks: str = "") -> Facts:
    toolkit = Cuda(path=libdir.rpartition("/")[0], version=version, origin="a test", chosen=True, libdir=libdir)
    return replace(facts, cuda=(toolkit,), driver=Driver(module="550.54", cuda=speaks) if speaks else None)


def plan(facts: Facts, **options: str) -> Part:
    options = {name.rstrip("_"): value for name, value in options.items()}
    made = make_plan(Wish(names=("libgpuarray",), options=options), facts, LOADER.catalogue())
    return next(part for part in made.parts if part.name == "libgpuarray")


def refusal(facts: Facts, **options: str) -> str:
    with pytest.raises(Refused) as caught:
        plan(facts, **options)
    return caught.value.message


def commands(part: Part) -> list[tuple[str, ...]]:
    return [argv for step in part.steps if isinstance(step, Run) for argv in (step.argv, *step.then)]


def activation(part: Part) -> dict[str, str]:
    return {step.name: step.value for step in part.steps if isinstance(step, Env)}


def cmake_options(part: Part) -> dict[str, str]:
    (configure,) = (argv for argv in commands(part) if argv[:2] == ("cmake", "-S"))
    return dict(word.removeprefix("-D").split("=", 1) for word in configure if word.startswith("-D"))


ROUTES = [("debian-11", "packages"), ("debian-12", "packages"), ("ubuntu-22.04", "packages")]
ROUTES += [("debian-13", "source"), ("ubuntu-24.04", "source"), ("fedora-42", "source")]


@pytest.mark.parametrize(("host", "route"), ROUTES)
def test_packages_where_they_are_known_else_source(host: str, route: str) -> None:
    part = plan(machine(host))
    assert part.options["from"] == route
    (packages,) = (step for step in part.steps if isinstance(step, SystemPackages))
    assert ("python3-pygpu" in packages.names) == (route == "packages")
    assert ("cmake" in packages.names) == (route == "source")
    assert any(isinstance(step, Fetch) for step in part.steps) == (route == "source")


REFUSED = [
    ("macos-15-arm64", {}, "Apple's processors have no CUDA"),
    ("macos-10.14", {}, "NVIDIA has no driver for macOS 10.14 or newer"),
    ("macos-10.11", {}, "no plan for macOS yet"),
    ("debian-13", {"from_": "packages"}, "use --option from=source"),
    ("fedora-42", {"from_": "packages"}, "use --option from=source"),
    ("ubuntu-16.04", {}, "python is 3.5.1, and the Cython that reads pygpu's files is for Python 3.8 to 3.13"),
    ("ubuntu-18.04", {"from_": "source"}, "use --option from=packages"),
    ("debian-13+python-3.14", {}, "python is 3.14"),
]


@pytest.mark.parametrize(("host", "options", "reason"), REFUSED)
def test_what_cannot_work_is_refused_with_its_reason(host: str, options: dict[str, str], reason: str) -> None:
    assert reason in refusal(machine(host), **options)


def test_an_old_cmake_is_refused() -> None:
    facts = machine("debian-13")
    facts = replace(facts, libraries={**facts.libraries, "cmake": Library(version="3.10.2")})
    assert "cmake is 3.10.2" in refusal(facts)


@pytest.mark.parametrize(
    ("host", "numpy"), [("debian-13", "2.2.6"), ("debian-11", "2.0.2"), ("ubuntu-20.04", "1.24.4")]
)
def test_the_environment_fits_the_python(host: str, numpy: str) -> None:
    (env,) = (step for step in plan(machine(host), from_="source").steps if isinstance(step, PythonEnv))
    assert f"numpy=={numpy}" in env.requirements
    assert all("==" in requirement for requirement in env.requirements)
    assert env.python.removeprefix("/usr/bin/python") in env.site_packages


def test_pygpu_is_built_with_the_library_s_own_place() -> None:
    part = plan(machine("debian-13"))
    (build,) = (argv for argv in commands(part) if "setup.py" in argv)
    flags = linking.build_ext(linking.under("@PREFIX@"))
    assert build[2 : 2 + len(flags)] == flags
    assert flags[1:] == ("-I", "@PREFIX@/include", "-L", "@PREFIX@/lib", "-R", "@PREFIX@/lib")
    assert cmake_options(part)["CMAKE_INSTALL_PREFIX"] == "@PREFIX@"
    assert cmake_options(part)["CMAKE_INSTALL_LIBDIR"] == "lib"
    assert "LD_LIBRARY_PATH" not in activation(part)
    assert activation(part)["CPATH"] == "@PREFIX@/include"
    (closure,) = (proof for proof in part.proofs if isinstance(proof, LinkClosure))
    assert closure.paths == ("@PREFIX@/lib", "@PREFIX@/env")


def test_a_toolkit_becomes_a_run_path_of_what_is_built() -> None:
    assert "CMAKE_INSTALL_RPATH" not in cmake_options(plan(machine("debian-13")))
    part = plan(with_toolkit(machine("debian-13")))
    assert cmake_options(part)["CMAKE_INSTALL_RPATH"] == TOOLKIT
    assert "LD_LIBRARY_PATH" not in activation(part)


def test_one_s_own_toolkit_is_needed_and_used() -> None:
    part = plan(with_toolkit(machine("debian-13")), toolkit="own")
    assert cmake_options(part)["CMAKE_INSTALL_RPATH"] == "@PREFIX:cuda@/lib"
    assert [key.partition("-")[0] for key in part.needs] == ["cuda"]
    assert activation(plan(machine(), toolkit="own"))["LD_LIBRARY_PATH"] == "@PREFIX:cuda@/lib"


def test_the_distribution_s_library_finds_a_toolkit_by_activation() -> None:
    assert "LD_LIBRARY_PATH" not in activation(plan(machine()))
    assert activation(plan(with_toolkit(machine())))["LD_LIBRARY_PATH"] == TOOLKIT
    split = with_toolkit(machine(), "11.8", "/usr/lib/x86_64-linux-gnu")  # Debian's own packages
    assert "LD_LIBRARY_PATH" not in activation(plan(split))


def written(part: Part, name: str) -> str:
    return next(step.content for step in part.steps if isinstance(step, WriteFile) and step.path.endswith(name))


@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="the distribution's Python is not there")
@pytest.mark.parametrize(("before", "after"), [(None, TOOLKIT), ("", TOOLKIT), ("/mine", f"{TOOLKIT}:/mine")])
def test_the_python_of_the_packages_puts_the_toolkit_first(before: str | None, after: str, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(written(plan(with_toolkit(machine())), "bin/python"))
    script.chmod(0o755)
    env = {} if before is None else {"LD_LIBRARY_PATH": before}
    code = "import os, sys; print(os.environ['LD_LIBRARY_PATH'], *sys.argv[1:], sep='|')"
    done = subprocess.run([script, "-c", code, "a b", "*"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{after}|a b|*\n"


def test_proofs_use_the_python_that_has_pygpu() -> None:
    for route, python in (("packages", "@PREFIX@/bin/python"), ("source", "@PREFIX@/env/bin/python")):
        proofs = plan(machine(), from_=route).proofs
        assert [proof.python for proof in proofs if isinstance(proof, Import)] == [python]


VERSIONS = [  # what the driver speaks, the toolkit, the variable
    ("9.0", "8.0", "80"),
    ("12.4", "9.2", "92"),
    ("8.0", "8.0.61", ""),
    ("", "8.0", ""),
    ("13.0", "12.4", ""),  # the variable has two digits
]


@pytest.mark.parametrize(("speaks", "toolkit", "variable"), VERSIONS)
def test_a_driver_of_another_cuda_than_the_toolkit(speaks: str, toolkit: str, variable: str) -> None:
    part = plan(with_toolkit(machine(), toolkit, speaks=speaks))
    assert activation(part).get("GPUARRAY_CUDA_VERSION", "") == variable


# Patches. Upstream's tarball cannot be had everywhere, so they are tried on the lines that they are about.

PXD = """cimport libc.stdio

# This is used in a hack to silence some over-eager warnings.
cdef extern from *:
    ctypedef object slice_object "PySliceObject *"

cdef extern from "stdlib.h":
    void *memcpy(void *dst, void *src, size_t n)
"""
LOADERS = """#if defined(WIN32)
static char libname[] = "nvcuda.dll";
#else /* Unix */
#ifdef __APPLE__
static char libname[] = "/Library/Frameworks/CUDA.framework/CUDA";
#else
static char libname[] = "libcuda.so";
#endif
#endif
"""
VERSIONEER = """import configparser
import os


def get_config_from_root(root):
    setup_cfg = os.path.join(root, "setup.cfg")
    parser = configparser.SafeConfigParser()
    with open(setup_cfg, "r") as f:
        parser.readfp(f)
    VCS = parser.get("versioneer", "VCS")  # mandatory
    return VCS
"""
CMAKE = """cmake_minimum_required(VERSION 3.0)
project(libgpuarray C)

if(POLICY CMP0063)
    cmake_policy(SET CMP0063 OLD)
endif()
"""
PATCHED = [
    ("0001", "pygpu/gpuarray.pxd", PXD, '"PySliceObject *"', '"PyObject *"'),
    ("0002", "src/loaders/libcuda.c", LOADERS, '"libcuda.so"', '"libcuda.so.1"'),
    ("0003", "versioneer.py", VERSIONEER, "readfp", "read_file"),
    ("0004", "CMakeLists.txt", CMAKE, "CMP0063 OLD", "CMP0063 NEW"),
]


def patched(number: str, path: str, text: str, tree: Path) -> str:
    (name,) = (patch.name for patch in RECIPE.patches if patch.name.startswith(number))
    file, diff = tree / path, tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    diff.write_text(check(TEXTS[f"patches/libgpuarray/{name}"], name=name).text)
    subprocess.run(patch_command(str(tree), str(diff), "--forward"), check=True, capture_output=True)
    return file.read_text()


@pytest.mark.parametrize(("number", "path", "text", "before", "after"), PATCHED)
def test_a_patch_changes_its_lines_alone(
    number: str, path: str, text: str, before: str, after: str, tmp_path: Path
) -> None:
    now = patched(number, path, text, tmp_path)
    assert before in text
    assert before not in now
    assert after in now
    assert sum(a != b for a, b in zip(text.splitlines(), now.splitlines(), strict=True)) == (
        2 if number == "0003" else 1
    )


def test_the_patched_versioneer_reads_its_settings_on_this_python(tmp_path: Path) -> None:
    code = patched("0003", "versioneer.py", VERSIONEER, tmp_path)
    (tmp_path / "setup.cfg").write_text("[versioneer]\nVCS = git\n")
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - our own text
    assert names["get_config_from_root"](str(tmp_path)) == "git"  # type: ignore[operator]


def test_patches_are_for_the_source_and_for_what_needs_them() -> None:
    def needed(host: str, **options: str) -> list[str]:
        return [patch.name[:4] for patch in plan(machine(host), **options).patches if patch.needed]

    assert needed("debian-12") == []
    assert needed("debian-12", from_="source") == ["0001", "0002"]
    assert needed("debian-13") == ["0001", "0002", "0003"]
    facts = machine("debian-13")
    facts = replace(facts, libraries={**facts.libraries, "cmake": Library(version="4.1.1")})
    assert [patch.name[:4] for patch in plan(facts).patches if patch.needed] == ["0001", "0002", "0003", "0004"]


def test_every_source_is_the_same_tarball() -> None:
    assert {source.sha256 for source in RECIPE.sources} == {  # type: ignore[union-attr]
        "ad1c00dd47c3d36ee1708e5167377edbfcdb7226e837ef9c68b841afbb4a4f6a"
    }
    assert re.search(r"v0\.7\.6", RECIPE.sources[0].url)  # type: ignore[union-attr]

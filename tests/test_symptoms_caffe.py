"""Caffe's symptoms: failures that compilers, linkers and Python really produce, found, and cured as the remedy says.

A small Makefile reads Makefile.config as Caffe's does. What needs development packages is in test_remedies_caffe.py.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from devsetup.amendment import Amendment, SetOption, SetVariable, UsePatch
from devsetup.diagnosis import Cause, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.errors import Refused
from devsetup.loader import Loader, default_root
from devsetup.planner import Wish, make_plan
from devsetup.symptom import Symptom

LOADER = Loader(default_root({}))
CAFFE = tuple(symptom for symptom in LOADER.symptoms() if symptom.stack == "caffe")

# Caffe's Makefile, cut down to the lines that these failures turn on.
MAKEFILE = """
include Makefile.config
BLAS ?= atlas
LIBRARIES += $(WANTED)
ifeq ($(BLAS), open)
  LIBRARIES += openblas
else ifeq ($(WITH_BLAS), 1)
  LIBRARIES += cblas atlas
endif
ifeq ($(OPENCV_VERSION), 3)
  LIBRARIES += opencv_imgcodecs
endif
ifeq ($(WITH_BOOST), 1)
  LIBRARIES += $(PYTHON_LIBRARIES)
endif
COMMON_FLAGS += $(foreach each,$(INCLUDE_DIRS),-I$(each))
CXXFLAGS += -fPIC $(COMMON_FLAGS)
LDFLAGS += $(foreach each,$(LIBRARY_DIRS),-L$(each)) $(foreach each,$(LIBRARIES),-l$(each))
compile:
\t$(CXX) $(CXXFLAGS) -fsyntax-only $(FILE)
link:
\t$(CXX) $(CXXFLAGS) $(FILE) -o program $(LDFLAGS)
run: link
\t./program
clean:
\trm -f program
"""


class Tree:
    """A directory with Caffe's way to build, and what its failures are diagnosed as."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("Makefile", MAKEFILE)
        self.write("Makefile.config", "")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def shell(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.root), **variables}
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.root,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def fails(self, script: str, symptom: str, **variables: str) -> Cause:
        done = self.shell(script, **variables)
        assert done.returncode != 0, done.stdout
        cause = causes(done.stdout)[0]
        assert cause.id == symptom, done.stdout
        return cause

    def works(self, script: str, **variables: str) -> str:
        done = self.shell(script, **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def cured_by_commands(self, cause: Cause, script: str, *, remedy: int = 0, **variables: str) -> None:
        """The remedy's commands, except those that install packages, and then the same again."""
        lines = [line for line in cause.treatments[remedy].commands if not line.startswith("sudo ")]
        assert lines
        self.works("\n".join((*lines, script)), **variables)

    def cured_by_action(self, cause: Cause, script: str, **variables: str) -> None:
        """The first remedy that sets a variable, as devsetup sets it for a build."""
        actions = [each.action for each in cause.treatments if isinstance(each.action, SetVariable)]
        self.works(script, **{actions[0].name: actions[0].value}, **variables)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@functools.cache
def matcher() -> Matcher:
    return Matcher(LOADER.symptoms())


def causes(log: str, host: str = "debian-12") -> tuple[Cause, ...]:
    machine = Machine(replace(LOADER.host(host), arch=platform.machine()), LOADER.libraries())
    found = diagnose((log.encode(),), matcher(), machine).causes
    assert found, log
    return found


def actions_of(symptoms: tuple[Symptom, ...]) -> list[tuple[str, Amendment]]:
    return [(each.id, remedy.action) for each in symptoms for remedy in each.remedies if remedy.action]


@pytest.mark.parametrize(("name", "action"), actions_of(CAFFE))
def test_every_action_changes_a_plan_of_caffe(name: str, action: Amendment) -> None:
    facts = LOADER.host("macos-15" if "macos" in name else "debian-12")
    amended = Wish(names=("caffe",), amendments={"caffe": (action,)})
    part = make_plan(amended, facts, LOADER.catalogue()).parts[-1]
    assert part.amendments == (action,)
    if isinstance(action, UsePatch):
        assert next(patch for patch in part.patches if patch.name == action.patch).needed
    if isinstance(action, SetOption):
        assert part.options[action.option] == action.value


def test_a_patch_that_does_not_exist_is_refused() -> None:
    wish = Wish(names=("caffe",), amendments={"caffe": (UsePatch(patch="none"),)})
    with pytest.raises(Exception, match="no patch 'none'"):
        make_plan(wish, LOADER.host("debian-12"), LOADER.catalogue())


def test_an_option_that_a_remedy_sets_may_still_be_refused() -> None:
    wish = Wish(names=("caffe",), amendments={"caffe": (SetOption(option="blas", value="accelerate"),)})
    with pytest.raises(Refused):
        make_plan(wish, LOADER.host("debian-12"), LOADER.catalogue())


@pytest.mark.parametrize(
    ("host", "packages"),
    [("debian-13", "libopenblas-dev"), ("fedora-42", "openblas-devel"), ("macos-15", "openblas")],
)
def test_no_atlas_is_answered_with_the_machine_s_openblas(tree: Tree, host: str, packages: str) -> None:
    log = tree.shell("printf 'int main() {}' > a.cpp; make link FILE=a.cpp WITH_BLAS=1").stdout
    found = causes(log, host)[0]
    assert found.id == "caffe-cblas-atlas-link"
    assert any(packages in line for line in found.treatments[0].commands)
    assert found.treatments[0].action == SetOption(option="blas", value="openblas")


def test_cxx98_is_told_from_the_standard_library_s_words(tree: Tree) -> None:
    tree.write("a.cpp", "#include <atomic>\nint main() { return std::atomic<int>(0); }\n")
    tree.write("Makefile.config", "CXXFLAGS += $(OLD)\n")
    found = tree.fails("make compile FILE=a.cpp OLD=-std=c++98", "caffe-protobuf-cxx11")
    tree.cured_by_commands(found, "make compile FILE=a.cpp OLD=-std=c++98")
    tree.write("Makefile.config", "")
    tree.cured_by_action(found, "make compile FILE=a.cpp")


def test_imread_is_in_imgcodecs(tree: Tree) -> None:
    tree.write("codecs.cpp", "namespace cv { int imread(const char*) { return 0; } }\n")
    tree.write("a.cpp", "namespace cv { int imread(const char*); }\nint main() { return cv::imread(0); }\n")
    tree.write("Makefile.config", "LIBRARY_DIRS := .\n")
    tree.works("g++ -shared -fPIC codecs.cpp -o libopencv_imgcodecs.so")
    found = tree.fails("make link FILE=a.cpp", "caffe-opencv3-imgcodecs")
    tree.cured_by_action(found, "make link FILE=a.cpp")
    tree.cured_by_commands(found, "make link FILE=a.cpp")


def test_a_library_that_was_moved_away_is_found_by_a_run_path(tree: Tree) -> None:
    tree.write("caffe.cpp", "int answer() { return 0; }\n")
    tree.write("a.cpp", "int answer();\nint main() { return answer(); }\n")
    made = (
        "mkdir -p build/lib; g++ -shared -fPIC caffe.cpp -Wl,-soname,libcaffe.so.1.0.0 -o build/lib/libcaffe.so.1.0.0"
    )
    tree.works(f"{made}; g++ a.cpp build/lib/libcaffe.so.1.0.0 -o tool")
    found = tree.fails("./tool", "caffe-libcaffe-missing")
    assert found.treatments[0].action == UsePatch(patch="0004-pycaffe-run-path.patch")
    tree.cured_by_commands(found, "./tool", remedy=1, CAFFE_ROOT=str(tree.root))
    tree.works("g++ a.cpp build/lib/libcaffe.so.1.0.0 -Wl,-rpath,'$ORIGIN/build/lib' -o tool; ./tool")


def test_pycaffe_off_the_path(tree: Tree) -> None:
    tree.write("checkout/python/caffe/__init__.py", "")
    run = f"'{sys.executable}' -c 'import caffe'"
    found = tree.fails(run, "caffe-python-module-missing")
    (export,) = [line for line in found.treatments[0].commands if line.startswith("export ")]
    tree.works(f"{export}\n{run}", CAFFE_ROOT=str(tree.root / "checkout"))


def test_pycaffe_that_was_not_built(tree: Tree) -> None:
    tree.write("caffe/__init__.py", "from ._caffe import Net\n")
    tree.fails(f"PYTHONPATH=. '{sys.executable}' -c 'import caffe'", "caffe-python-module-missing")


def test_requirements_of_pycaffe_are_named(tree: Tree) -> None:
    found = tree.fails(f"'{sys.executable}' -S -c 'import skimage.io'", "caffe-python-requirements")
    assert found.title.startswith("skimage, which pycaffe imports,")


@pytest.mark.parametrize(
    ("library", "symptom", "title"),
    [
        ("boost_python-py35", "caffe-boost-python3-lib", "boost_python-py35"),
        ("python3.5m", "caffe-libpython", "libpython3.5m"),
        ("boost_thread-mt-none", "", ""),
    ],
)
def test_names_of_libraries(tree: Tree, library: str, symptom: str, title: str) -> None:
    tree.write("a.cpp", "int main() {}\n")
    log = tree.shell(f"make link FILE=a.cpp WANTED={library}").stdout
    found = [each for each in diagnosed_as_caffe(log) if each.id == symptom]
    assert bool(found) == bool(symptom)
    assert all(title in each.title for each in found)


def diagnosed_as_caffe(log: str) -> tuple[Cause, ...]:
    machine = Machine(LOADER.host("debian-12"), LOADER.libraries())
    return diagnose((log.encode(),), Matcher(CAFFE), machine).causes


@pytest.mark.parametrize("release", ["newer", "older"])
def test_protoc_and_headers_of_two_versions(tree: Tree, release: str) -> None:
    """The test that protoc writes at the top of what it generates, with versions that do not fit."""
    bound = {"newer": "#if 3006001 < 3021000", "older": "#if 3021012 < 3022000"}[release]
    article = {"newer": "a newer", "older": "an older"}[release]
    said = f"#error This file was generated by {article} version of protoc which is"
    tree.write("caffe.pb.h", f"{bound}\n{said}\n#error incompatible with your Protocol Buffer headers.\n#endif\n")
    tree.write("a.cpp", '#include "caffe.pb.h"\n')
    tree.fails("make compile FILE=a.cpp", f"caffe-protoc-{release}-than-headers")

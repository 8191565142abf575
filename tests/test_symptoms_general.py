"""The symptoms of any build, of packages, Python and R: their examples, what a hostile log can do, and clean logs."""

from __future__ import annotations

import pytest
from failing import LOADER, causes

from devsetup.amendment import AddLibrary, Amendment, LimitJobs, PinPackage, SetVariable
from devsetup.diagnosis import Log, Matcher, read
from devsetup.symptom import Symptom

STACKS = ("development", "packages", "python", "r", "toolchain")
OURS = tuple(symptom for symptom in LOADER.symptoms() if symptom.stack in STACKS)


@pytest.mark.parametrize("symptom", OURS, ids=lambda symptom: symptom.id)
def test_each_example_is_told_first(symptom: Symptom) -> None:
    """Or a more special symptom of another stack, on the same line, is."""
    special = {each.id for each in LOADER.symptoms() if not each.general}
    for text in symptom.matches:
        found = [cause.id for cause in causes(text)]
        assert found[:1] == [symptom.id] or (symptom.general and set(found) <= special and found), (text, found)


@pytest.mark.parametrize("symptom", OURS, ids=lambda symptom: symptom.id)
def test_a_hostile_log_writes_no_command(symptom: Symptom) -> None:
    """What a pattern's group takes into a command to copy is a name, never shell."""
    for text in symptom.matches:
        for value in {value for hit in _groups(symptom, text) for value in hit.values() if value}:
            middle = max(1, len(value) // 2)
            hostile = text.replace(value, f"{value[:middle]}$(touch x);`id`|y{value[middle:]}")
            for cause in causes(hostile):
                for line in (line for treatment in cause.treatments for line in treatment.commands):
                    assert "touch x" not in line
                    assert "`id`" not in line


def _groups(symptom: Symptom, text: str) -> list[dict[str, str]]:
    return [hit.groups for window in read((text.encode(),), Log()) for hit in Matcher((symptom,)).hits(window)]


CLEAN = """
checking for zlib.h... no
checking for stdint.h... (cached) yes
checking whether the C compiler works... yes
checking for library containing dlopen... none required
configure: WARNING: unrecognized options: --with-x, error: not fatal
-- Could NOT find ZLIB (missing: ZLIB_LIBRARY ZLIB_INCLUDE_DIR)
--   Package 'nowhere', required by 'virtual:world', not found
CMake Warning at CMakeLists.txt:3 (find_package):
  By not providing "FindNowhere.cmake" in CMAKE_MODULE_PATH this project has
CMake Deprecation Warning at CMakeLists.txt:1 (cmake_minimum_required):
  Compatibility with CMake < 3.5 will be removed from a future version of
g++ -Werror=format-security -c error.cc -o error.o
gcc -o fatal_error.o -c src/cannot_find.c
a.c:3:5: warning: unused variable 'error' [-Wunused-variable]
/usr/bin/ld: skipping incompatible /usr/lib32/libz.so when searching for -lz
/usr/bin/ld: warning: libfoo.so.1, needed by libbar.so, not found (try using -rpath or -rpath-link)
ld: warning: ignoring file /usr/local/lib/libz.dylib, building for macOS-arm64 but attempting to link with file built
make: warning:  Clock skew detected.  Your build may be incomplete.
/bin/sh: 1: pdflatex: not found
gcc -c again.c
/bin/sh: 1: git: not found
gcc -c once-more.c
find: '/root': Permission denied
test_no_space_left_on_device ... ok
test_import_error (tests.Loading) ... ok
WARNING: The scripts pip and pip3 are installed in '/x/bin' which is not on PATH.
Requirement already satisfied: numpy in /x/lib/python3.11/site-packages (1.26.4)
debconf: unable to initialize frontend: Dialog
W: Download is performed unsandboxed as root: file 'x' couldn't be accessed by user '_apt'. (13: Permission denied)
Hunk #1 succeeded at 14 (offset 2 lines).
100% tests passed, 0 tests failed out of 12
ran 3 tests, 0 errors, 0 failures
"""


def test_clean_logs_have_no_cause() -> None:
    assert causes(CLEAN) == ()


@pytest.mark.parametrize(
    ("text", "amendment"),
    [
        ("a.c:1:10: fatal error: zlib.h: No such file or directory", AddLibrary(name="zlib")),
        ("g++: fatal error: Killed signal terminated program cc1plus", LimitJobs(jobs=1)),
        (
            "CMake Error at CMakeLists.txt:1 (x):\n  Compatibility with CMake < 3.5 has been removed from CMake.",
            SetVariable(name="CMAKE_POLICY_VERSION_MINIMUM", value="3.5"),
        ),
        ("AttributeError: _ARRAY_API not found", PinPackage(requirement="numpy<2")),
    ],
)
def test_what_devsetup_can_do_itself(text: str, amendment: Amendment) -> None:
    assert amendment in [treatment.action for treatment in causes(text)[0].treatments]


@pytest.mark.parametrize(
    ("host", "command"),
    [("debian-12", "apt-get install"), ("fedora-41", "dnf"), ("macos-14", "brew install")],
)
def test_the_command_is_the_machines_own(host: str, command: str) -> None:
    hosts = [name for name in LOADER.hosts() if name.startswith(host.partition("-")[0])]
    first = causes("a.c:1:10: fatal error: openssl/ssl.h: No such file or directory", hosts[-1])[0]
    assert any(command in line for line in first.treatments[0].commands)


@pytest.mark.parametrize(
    "text",
    [
        "a.c:1:10: fatal error: zlib.h: No such file or directory",
        "/usr/bin/ld: cannot find -lz: No such file or directory",
        "m.c:(.text+0x30): undefined reference to `pow'",
        "ModuleNotFoundError: No module named 'yaml'",
    ],
)
def test_of_general_symptoms_only_the_most_particular_is_told(text: str) -> None:
    shown = {each.id for each in OURS if each.general and any(True for _ in _groups(each, text))}
    assert len(shown) > 1, "the example shows one symptom only, and proves nothing"
    assert len(causes(text)) == 1

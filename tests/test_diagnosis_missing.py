"""What is missing, in whatever words: one phrase is known for every library, one library in every phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from failing import LOADER, causes

from devsetup.app import symptoms
from devsetup.app.workspace import Workspace
from devsetup.diagnosis import Matcher
from devsetup.diagnosis.missing import PHRASES
from devsetup.errors import InvalidInput
from devsetup.loader import Loader
from devsetup.symptom import Missing

if TYPE_CHECKING:
    from pathlib import Path

FAR = "compiling\n" * 40


def first(log: str) -> str:
    return next((cause.id for cause in causes(log)), "nothing")


@pytest.mark.parametrize(
    ("log", "library"),
    [
        ("configure: error: *** zlib.h missing - please install first ***", "zlib"),
        ("configure: error: netcdf.h could not be found. Please set CPPFLAGS.", "netcdf"),
        ("configure: error: libbzip2 development files not found", "bzip2"),
        ("configure: error: no termcap library found", "ncurses"),
        ("configure: error: --with-readline=yes (default) and headers/libs are not available", "readline"),
        ("configure: error: Could not find a version of the Boost::System library!", "boost"),
        ("configure: error: \nlibthing requires libpng (a part of nothing)", "png"),
        ('ERROR: "fftw3 not found"', "fftw"),
        ("CMake Error at CMakeLists.txt:9 (message):\n  This project requires Eigen3, which is not there", "eigen"),
        ("Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'", "curl"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/opt/bin/gdal-config'", "gdal"),
        ("Fatal Error: Cannot open module file 'netcdf.mod' for reading at (1): No such file or directory", "netcdf"),
        ("Schwerwiegender Fehler: Moduldatei »netcdf.mod« kann bei (1) nicht zum Lesen geöffnet werden: x", "netcdf"),
        ("error: could not find native static library `z`, perhaps an -L flag is missing?", "zlib"),
        ('a.cu(1): catastrophic error: cannot open source file "hdf5.h"', "hdf5"),
        ("x.c:1:10: fatal error: H5public.h: No such file or directory", "hdf5"),
    ],
)
def test_a_library_is_known_in_many_words(log: str, library: str) -> None:
    assert first(log) == f"{library}-development-files"


def test_what_was_only_asked_about_is_no_failure() -> None:
    asked = "Can't find the 'libpq-fe.h header\n"
    assert first(asked) == "postgresql-development-files"
    assert first(asked + FAR) == "nothing"
    assert first(asked + "x\nextconf failed, exit code 1\n") == "postgresql-development-files"


def test_what_was_only_asked_about_comes_behind_what_failed_long_after() -> None:
    log = f"dot not found, simple charts only\n{FAR}a.c:1:10: fatal error: zlib.h: No such file or directory\n"
    assert [cause.id for cause in causes(log)] == ["zlib-development-files", "tool-missing"]


def test_a_warning_that_something_is_missing_is_none_of_the_causes() -> None:
    log = "configure: WARNING: dot not found - simple charts\nconfigure: error: zlib is required\n"
    assert [cause.id for cause in causes(log)] == ["zlib-development-files"]


def test_what_a_wrapper_reports_comes_behind_what_it_ran() -> None:
    log = "ERROR: Failed building wheel for x\n" + FAR + "a.c:1:10: fatal error: zlib.h: No such file or directory\n"
    assert [cause.id for cause in causes(log)] == ["zlib-development-files", "pip-build-failed"]


def test_a_step_that_may_be_tried_again_is_no_failure_when_the_log_goes_on() -> None:
    refused = "curl: (7) Failed to connect to mirror.example port 80: Connection refused\n"
    assert first(refused) == "connection-failed"
    assert first(refused + "trying another mirror\n" + FAR) == "nothing"
    assert first(refused + FAR + "make: *** [Makefile:3: get] Error 7\n") == "connection-failed"


def test_a_job_that_ends_well_was_allowed_to_fail_before() -> None:
    lint = "src/a.cpp:4:5: error: use auto [modernize-use-auto]\nmake: *** [Makefile:6: lint] Error 1\n"
    assert causes(f"{lint}ok\nJob succeeded\n") == ()
    assert first(lint.replace("use auto", "zlib is required") + "[100%] Built target a\n") == "nothing"


def test_an_error_that_r_goes_on_after_is_no_failure() -> None:
    tried = "Error in library(forecast) : there is no package called 'forecast'\n"
    assert first(tried + "Execution halted\n") == "r-package-missing"
    assert first(tried + "using lm\n[1] 3\n[1] 4\n") == "nothing"


def test_two_tools_are_two_causes_and_two_headers_of_a_library_one() -> None:
    tools = "configure: error: flex is required\nx\nx\nx\nx\nconfigure: error: bison is required\n"
    assert [cause.title for cause in causes(tools)] == [
        "the program flex is not installed",
        "the program bison is not installed",
    ]
    headers = "".join(f"a.c:1:10: fatal error: {name}: No such file or directory\n" for name in ("zlib.h", "zconf.h"))
    assert [cause.count for cause in causes(headers)] == [2]


def test_every_kind_of_thing_has_a_phrase_and_every_phrase_a_kind() -> None:
    assert {phrase.kind for phrase in PHRASES} == {*Missing.__struct_fields__, "errors"}


def test_every_expression_of_all_symptoms_together_is_well_formed() -> None:
    Matcher(LOADER.symptoms()).check()


def test_a_library_with_a_field_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "symptoms").mkdir()
    (tmp_path / "symptoms" / "x.toml").write_text('[[library]]\nname = "a"\ntitle = "a"\nheader = ["a.h"]\n')
    with pytest.raises(InvalidInput, match="header"):
        Loader(tmp_path).symptoms()


@pytest.mark.parametrize("word", ["No such file or directory", "no such file or directory"])
def test_an_error_of_the_c_library_is_known_in_the_form_of_every_language(word: str) -> None:
    for line in (
        f"OSError: [Errno 2] {word}: '/x/data.bin'",
        f"error: failed to write `/x/data.bin`: {word} (os error 2)",
        f"Error: ENOENT: {word}, open '/x/data.bin'",
        f"panic: open /x/data.bin: {word}",
        f"Error: writing blob: write /x/data.bin: {word}",
        f"tool: /x/data.bin: {word}\nmake: *** [Makefile:3: all] Error 1",
    ):
        assert first(line) in {"file-missing", "python-file-missing"}, line


def test_what_a_program_that_only_looks_does_not_find_is_no_cause() -> None:
    log = "ls: cannot access '/etc/cdi': No such file or directory\nconfigure: error: zlib is required\n"
    assert [cause.id for cause in causes(log)] == ["zlib-development-files"]


def test_in_german_and_french_too() -> None:
    assert first("cc: erreur fatale: ne peut exécuter « cc1 »: vfork: Ressource temporairement non disponible") == (
        "process-limit"
    )
    assert first("tar: a: Funktion write fehlgeschlagen: Fehler: a: Das Dateisystem ist nur lesbar") == (
        "read-only-file-system"
    )
    assert first("dpkg-checkbuilddeps: Fehler: Nicht erfüllte Bauabhängigkeiten: libnl-3-dev") == (
        "build-dependencies-unmet"
    )


def test_a_message_by_which_no_line_is_chosen_is_told_to_who_adds_it(tmp_path: Path) -> None:
    (tmp_path / "symptoms").mkdir()
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "libraries.toml").write_text("")
    (tmp_path / "symptoms" / "x.toml").write_text(
        '[[symptom]]\nid = "a"\ntitle = "a"\nwhere = "build"\npatterns = ["re:fatal error: a|quite another thing"]\n'
        'cause = "a"\nremedies = []\nconfidence = "C"\nsources = []\nmatches = ["fatal error: a"]\n'
    )
    (result,) = symptoms.tested(Workspace(tmp_path, {"DEVSETUP_CATALOGUE": str(tmp_path)}), ())
    assert "'quite another thing' has no trigger" in result.problems[0]

"""Rules of order and of what is no failure, each on the smallest log that shows it; without the rule the test fails."""

from __future__ import annotations

import msgspec
import pytest

from devsetup.diagnosis import Diagnosis, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.facts import Facts, OperatingSystem
from devsetup.loader import Loader, default_root
from devsetup.symptom import Symptom

LOADER = Loader(default_root({}))
DEBIAN = Facts(os=OperatingSystem(id="debian", version="12"), arch="x86_64", package_manager="apt")
FAR = "cc x.c\n" * 9


def symptom(name: str, pattern: str, *, general: bool = False) -> Symptom:
    return Symptom(
        id=name,
        title=name,
        where="build",
        patterns=(pattern,),
        cause="c",
        remedies=(),
        confidence="A",
        sources=("x",),
        matches=(),
        general=general,
    )


SPECIAL = symptom("special", "error: special")
GENERAL = symptom("general", "error: general", general=True)
PARTICULAR = symptom("particular", "error: particular", general=True)


def diagnosed(log: str, *symptoms: Symptom) -> Diagnosis:
    return diagnose((log.encode(),), Matcher(symptoms), Machine(DEBIAN, LOADER.libraries()))


def order(log: str, *symptoms: Symptom) -> list[str]:
    return [each.id for each in diagnosed(log, *symptoms).causes]


def test_a_general_cause_of_one_source_file_comes_behind_a_special_one_far_below_it() -> None:
    log = f"a.c:1:1: error: general\n{FAR}a.c:90:1: error: special\n"
    assert order(log, SPECIAL, GENERAL) == ["special", "general"]
    assert order(log.replace("a.c:90", "b.c:90"), SPECIAL, GENERAL) == ["general", "special"]


def test_of_two_general_causes_on_next_lines_the_more_particular_file_decides() -> None:
    log = "error: general\nerror: particular\n"
    assert order(log, PARTICULAR, GENERAL) == ["particular", "general"]
    assert order(log.replace("\n", "\n" + FAR, 1), PARTICULAR, GENERAL) == ["general", "particular"]


def test_what_cmake_quotes_below_its_complaint_is_the_cause_of_it() -> None:
    complaint = symptom("complaint", "CMake Error", general=True)
    log = f"CMake Error at x (message):\n{FAR}    error: particular\n"
    assert order(log, PARTICULAR, complaint) == ["particular", "complaint"]
    other = f"CMake Error at x (message):\n{FAR}CMake Error: error: particular\n"
    assert order(other, PARTICULAR, complaint)[0] == "complaint"


def test_what_follows_a_stop_is_another_event() -> None:
    stop = symptom("stop", "re:\\*\\*\\* .* error: stop", general=True)
    assert order("make: *** [x] Error 1 error: stop\nerror: particular\n", PARTICULAR, stop) == ["stop", "particular"]


def test_a_general_cause_within_three_lines_of_a_special_one_is_left_out() -> None:
    assert order("error: general\nx\nx\nerror: special\n", SPECIAL, GENERAL) == ["special"]
    assert order("error: general\nx\nx\nx\nerror: special\n", SPECIAL, GENERAL) == ["general", "special"]


def test_on_one_line_a_special_cause_hides_every_general_one() -> None:
    both = "error: special, error: general, error: particular\n"
    assert order(both, SPECIAL, PARTICULAR, GENERAL) == ["special"]
    assert order(both, PARTICULAR, GENERAL) == ["particular"]


@pytest.mark.parametrize(
    ("section", "is_failure"), [("= PASSES =", False), ("= FAILURES =", True), ("= warnings summary =", True)]
)
def test_what_passed_tests_printed_is_no_error(section: str, is_failure: bool) -> None:
    log = f"===={section}====\nerror: special\n====== short test summary info ======\n{FAR}make: *** [x] Error 1\n"
    assert order(log, SPECIAL) == (["special"] if is_failure else [])


def test_after_the_section_of_passes_errors_count_again() -> None:
    log = "======= PASSES =======\nerror: general\n======= short test summary info =======\nerror: special\n"
    assert order(log, SPECIAL, GENERAL) == ["special"]


@pytest.mark.parametrize("again", ["Warning: Problem : timeout. Will retry in 1 second", "Retrying.", "x: will retry"])
def test_a_download_that_is_tried_again_is_no_error(again: str) -> None:
    assert not order(f"curl: (28) error: special\n{again}\n{FAR}", SPECIAL)
    assert order(f"curl: (28) error: special\nno more\n{again}\n{FAR}", SPECIAL) == ["special"]


@pytest.mark.parametrize(
    ("summary", "is_failure"),
    [
        ("12 passed, 0 failed", False),
        ("Tests run: 12, Failures: 0, Errors: 0", False),
        ("12 passing (30ms)", False),
        ("0 tests failed out of 12", False),
        ("12 passed, 1 failed", True),
        ("Tests run: 12, Failures: 1, Errors: 0", True),
        ("12 tests", True),
        ("version 1.0 failed", True),
    ],
)
def test_a_count_of_tests_without_a_failure_ends_a_log_well(summary: str, is_failure: bool) -> None:
    assert diagnosed(f"error: special\n{FAR}{summary}\n", SPECIAL).failed is is_failure


ASKED = "Package 'foo', required by 'virtual:world', not found"


@pytest.mark.parametrize(
    "end", ["config.status: creating Makefile", "-- Configuring done", "configure: creating ./config.status"]
)
def test_a_package_that_configuring_went_on_without_is_not_the_root(end: str) -> None:
    asked = symptom("asked", "re:^Package 'foo'.* not found")
    assert order(f"{ASKED}\n{FAR}{end}\nerror: special\n", asked, SPECIAL) == ["special", "asked"]
    assert order(f"{ASKED}\nerror: special\n", asked, SPECIAL) == ["asked", "special"]
    assert order(f"{end}\n{ASKED}\nerror: special\n", asked, SPECIAL) == ["asked", "special"]


def test_what_failed_long_after_a_package_was_asked_for_has_words_of_its_own() -> None:
    asked = symptom("asked", "re:^Package 'foo'.* not found")
    assert order(f"{ASKED}\n{FAR}error: special\n", asked, SPECIAL) == ["special", "asked"]
    reports = msgspec.structs.replace(SPECIAL, reports=True)
    assert order(f"{ASKED}\n{FAR}error: special\n", asked, reports) == ["asked", "special"]


@pytest.mark.parametrize("object_", ["/tmp/ffconf.rxd9UUCW/test.o", "CMakeFiles/cmTC_0a1b.dir/src.c.o"])
def test_what_the_linker_says_below_the_object_of_an_attempt_is_of_the_attempt(object_: str) -> None:
    unresolved = symptom("unresolved", "undefined reference to ")
    line = "test.c:(.text+0xb5): undefined reference to `cexp'\n"
    assert not order(f"/usr/bin/ld: {object_}: in function `foo':\n{line}{line}{FAR}", unresolved)
    assert order(f"/usr/bin/ld: a.o: in function `foo':\n{line}{FAR}", unresolved) == ["unresolved"]
    assert order(f"/usr/bin/ld: {object_}: in function `foo':\nx\n{line}{FAR}", unresolved) == ["unresolved"]


@pytest.mark.parametrize(
    "looked", ["ls: cannot access 'x': No such file or directory", "grep: x: No such file or directory"]
)
def test_what_only_looked_at_a_file_ends_no_log_badly(looked: str) -> None:
    assert not diagnosed(f"make: 'libx.a' is up to date.\n{looked}\n").failed
    assert not diagnosed(f"make: „libx.a“ ist bereits aktuell.\n{looked}\n").failed
    assert diagnosed(f"{looked}\nmake: *** [x] Error 2\n").failed


def test_a_pattern_that_excludes_line_ends_reads_one_line() -> None:
    only = symptom("only", r"re:error: [^\n]{1,20}end$")
    assert order("error: the end\nand more\n", only) == ["only"]


def test_an_alternative_without_a_trigger_is_found_on_a_line_chosen_by_another_word() -> None:
    either = symptom("either", "re:error: this|wholly other words")
    assert order("x wholly other words, not found\n", either) == ["either"]


@pytest.mark.parametrize(
    "said",
    [
        "E: Schreiben des Protokolls nicht möglich (Ist /dev/pts eingebunden?) - posix_openpt (19: Fehler)",
        "Residual standard error: 0.2928 on 2 degrees of freedom",
    ],
)
def test_what_only_has_the_word_is_no_error(said: str) -> None:
    assert not diagnosed(f"{said}\nProcessing triggers for libc-bin (2.36-9) ...\n").failed
    assert not diagnosed(f"{said}\n").failed
    assert diagnosed(f"{said}\nE: Unable to locate package nothing\n").failed

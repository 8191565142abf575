"""How what was found in a log is judged: which causes, in which order, what is folded, and remedies for a machine."""

from __future__ import annotations

import pytest

from devsetup.app.symptoms import slow_patterns
from devsetup.diagnosis import Diagnosis, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.errors import InvalidInput
from devsetup.facts import Facts, OperatingSystem
from devsetup.loader import Loader, default_root
from devsetup.symptom import Remedy, Symptom
from devsetup.when import When

LOADER = Loader(default_root({}))
DEBIAN = Facts(os=OperatingSystem(id="debian", version="12"), arch="x86_64", package_manager="apt")
FEDORA = Facts(os=OperatingSystem(id="fedora", version="42"), arch="x86_64", package_manager="dnf")


def symptom(name: str = "s", *patterns: str, **fields: object) -> Symptom:
    made: dict[str, object] = {
        "id": name,
        "title": name,
        "where": "build",
        "patterns": patterns or ("error: boom",),
        "cause": "c",
        "remedies": (),
        "confidence": "A",
        "sources": ("x",),
        "matches": (),
    }
    return Symptom(**{**made, **fields})  # type: ignore[arg-type]


def diagnosed(log: str, *symptoms: Symptom, facts: Facts = DEBIAN) -> Diagnosis:
    return diagnose((log.encode(),), Matcher(symptoms), Machine(facts, LOADER.libraries()))


def test_a_literal_and_a_regular_expression_match() -> None:
    found = diagnosed(
        "error: a+b\nerror: 12\n", symptom("plain", "error: a+b"), symptom("regex", r"re:error: (?P<n>\d+)")
    )
    assert [(each.id, each.lines[0].number) for each in found.causes] == [("plain", 1), ("regex", 2)]


@pytest.mark.parametrize(
    "pattern", [r"re:error: one[^\n]*\n\s+two\n[^\n]*\nfour", "error: one\n  two", "re:error: one\n  two"]
)
def test_a_pattern_spans_lines_and_counts_once(pattern: str) -> None:
    log = "start\nerror: one\n  two\nthree\nfour\nerror: other\n"
    (cause,) = diagnosed(log, symptom("multi", pattern)).causes
    assert (cause.count, [line.number for line in cause.lines]) == (1, [2])
    assert not diagnosed("error: one\nnot two\n", symptom("multi", pattern)).causes


def test_a_pattern_over_lines_begins_on_the_line_it_is_reported_for() -> None:
    log = "error: first\nerror: one\n  two\n"
    (cause,) = diagnosed(log, symptom("multi", r"re:error: one\n\s+two")).causes
    assert [line.number for line in cause.lines] == [2]


def test_curved_quotes_in_a_pattern_match_either_kind() -> None:
    for log in ("error: there is \u2018x\u2019\n", "error: there is 'x'\n"):
        assert diagnosed(log, symptom("quotes", "re:error: there is ['\u2018]x['\u2019]")).causes


@pytest.mark.parametrize(("pattern", "words"), [("re:error: (", "malformed"), ("hello", "trigger")])
def test_a_bad_pattern_is_told(pattern: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"symptom s: .*{words}"):
        Matcher((symptom("s", pattern),)).check()


def test_causes_come_in_the_order_of_the_log_and_a_special_one_hides_the_general_beside_it() -> None:
    log = "error: late.h\n" + "x\n" * 10 + "error: hdf5.h\n"
    general = symptom("general", r"re:error: (?P<header>\w+)\.h", general=True)
    special = symptom("special", "error: hdf5.h")
    found = diagnosed(log, general, special)
    assert [each.id for each in found.causes] == ["general", "special"]
    assert [each.lines[0].number for each in found.causes] == [1, 12]


def test_what_a_pattern_names_tells_causes_apart_but_only_a_few() -> None:
    log = "".join(f"error: {name}.h\n" for name in ("a", "b", "a", "c", "d", "e"))
    found = diagnosed(log, symptom("header", r"re:error: (?P<header>\w)\.h", title="no <%= seen.header %>"))
    assert [each.title for each in found.causes] == ["no a", "no b", "no c"]
    assert found.causes[0].count == 2
    assert found.folded == 2


def test_of_many_lines_five_are_kept_and_all_are_counted() -> None:
    (cause,) = diagnosed("error: boom\n" * 12, symptom()).causes
    assert (cause.count, [line.number for line in cause.lines]) == (12, [1, 2, 3, 4, 5])


def test_what_follows_is_folded_and_what_came_before_is_shown() -> None:
    log = (
        "a.c:1:1: error: who knows\nerror: boom\nb.c:1:1: error: after\ncollect2: error: ld returned 1 exit status\n"
        "make: *** [Makefile:3: all] Error 1\n"
    )
    found = diagnosed(log, symptom())
    assert [each.id for each in found.causes] == ["s"]
    assert [line.number for line in found.unexplained] == [1]
    assert found.folded == 3


def test_an_unknown_failure_shows_its_first_errors() -> None:
    log = "".join(f"a.c:{number}:1: error: who knows {number}\n" for number in range(1, 31)) + "make: *** [x] Error 1\n"
    found = diagnosed(log)
    assert found.failed
    assert [line.number for line in found.unexplained] == [1, 2, 3, 4, 5]
    assert found.folded == 26


@pytest.mark.parametrize(
    "log",
    [
        "fatal: not a git repository (or any of the parent directories): .git\n" + "g++ -c x.cpp\n" * 40,
        "conftest.c:9:10: fatal error: foo.h: No such file or directory\nconfigure: exit 0\n",
        "_configtest.c:1:10: fatal error: foo.h: No such file or directory\nfailure.\ng++ -c x.c\n",
        "error: boom, as expected\nok 1 - refuses bad input\n100% tests passed, 0 tests failed out of 12\n",
        "test_bad (t.T) ... error: boom\nok\n\nRan 3 tests in 0.1s\n\nOK\n",
        "error: boom\n=== 12 passed, 1 skipped in 0.10s ===\n",
        "rm: cannot remove 'x': No such file or directory\nmake: [Makefile:3: clean] Error 1 (ignored)\n"
        + "cc x.c\n" * 30,
        "error: boom\nmake: [Makefile:3: all] Error 1 (ignored)\ncc x.c\n",
        "-- Could NOT find error: boom\n-- Build files have been written to: /b\n",
    ],
)
def test_a_log_that_ended_well_shows_no_failure(log: str) -> None:
    found = diagnosed(log, symptom("s", "error: boom"))
    assert not found.failed
    assert not found.folded


@pytest.mark.parametrize(
    "log",
    [
        "error: boom\nmake: *** [x] Error 1\n100% tests passed, 0 tests failed out of 12\n",
        "=== 12 passed in 0.10s ===\nerror: boom\n",
        "error: boom\n=== 2 failed, 12 passed in 0.10s ===\n",
        "configure: exit 0\nerror: boom\n",
        "error: boom\n",
    ],
)
def test_words_of_success_do_not_hide_a_failure(log: str) -> None:
    assert [each.id for each in diagnosed(log, symptom("s", "error: boom")).causes] == ["s"]


TRACEBACK = """{0}Traceback (most recent call last):
{0}  File "/v/setup.py", line 3, in <module>
{0}    raise RuntimeError("error: never said so")
{0}{1}
"""


@pytest.mark.parametrize("indent", ["", "      "])
@pytest.mark.parametrize("raised", ["ValueError: who knows", "jinja2.exceptions.TemplateNotFound: who knows"])
def test_a_traceback_is_folded_under_the_error_that_ends_it(indent: str, raised: str) -> None:
    found = diagnosed("start\n" + TRACEBACK.format(indent, raised) + "make: *** [x] Error 1\n")
    assert [(line.number, line.text.strip()) for line in found.unexplained] == [(5, raised)]
    assert found.folded == 3  # the first line, the frame that says `error:`, and make's


def test_a_traceback_before_a_known_cause_is_no_unexplained_error() -> None:
    found = diagnosed(TRACEBACK.format("", "ImportError: error: boom"), symptom())
    assert [(each.id, each.lines[0].number) for each in found.causes] == [("s", 4)]
    assert not found.unexplained


def test_after_a_traceback_indented_errors_count_again() -> None:
    found = diagnosed(TRACEBACK.format("", "ValueError: one") + "    error: two\nmake: *** [x] Error 1\n")
    assert [line.number for line in found.unexplained] == [4, 5]


@pytest.mark.parametrize(
    ("warning", "first"),
    [
        ("WARNING (theano.configdefaults): error: boom", "other"),
        ("/v/x.py:3: UserWarning: error: boom", "other"),
        ("W0412 10:01:02 x.cc:3] error: boom", "other"),
        ("ld: warning: error: boom", "s"),
        ("x.c:1: error: boom", "s"),
    ],
)
def test_what_a_program_only_warned_of_comes_after_what_stopped_it(warning: str, first: str) -> None:
    found = diagnosed(f"{warning}\n" + "x\n" * 9 + "error: stop\n", symptom(), symptom("other", "error: stop"))
    assert {each.id for each in found.causes} == {"s", "other"}
    assert found.causes[0].id == first


def test_a_log_that_only_says_that_something_stopped_is_a_failure() -> None:
    found = diagnosed("3 tests\nmake: *** [Makefile:2: check] Error 1\n")
    assert found.failed
    assert [(line.number, line.text) for line in found.unexplained] == [(2, "make: *** [Makefile:2: check] Error 1")]
    assert not diagnosed("make: *** [Makefile:2: probe] Error 1\n" + "cc x.c\n" * 40).failed


def test_cmake_that_generated_and_says_that_it_failed_did_not_end_well() -> None:
    log = "error: boom\n-- Generating done\nCMake Generate step failed.  Build files cannot be regenerated correctly.\n"
    assert [each.id for each in diagnosed(log, symptom()).causes] == ["s"]


@pytest.mark.parametrize(
    "place", ["/b/CMakeFiles/CMakeScratch/TryCompile-x1/src.c", "/b/meson-private/tmpx1/testfile.c"]
)
def test_what_cmake_and_meson_try_is_a_probe(place: str) -> None:
    assert not diagnosed(f"{place}:3:1: error: boom\n" + "cc x.c\n" * 40, symptom()).failed


def test_a_probe_is_not_the_first_error_of_a_build_that_failed_later() -> None:
    probe = "_configtest.c:1:10: fatal error: foo.h: No such file or directory\nfailure.\nremoving: _configtest.c\n"
    link = "/usr/bin/ld: cannot find -lfoo: No such file or directory\ncollect2: error: ld returned 1\nfailure.\n"
    found = diagnosed(f"{probe}{link}x.c:1:1: error: boom\n", symptom(), symptom("other", "cannot find -lfoo"))
    assert [(each.id, each.lines[0].number) for each in found.causes] == [("s", 7)]
    assert not found.unexplained


def test_remedies_are_those_of_the_machine_with_its_package_names() -> None:
    remedies = (
        Remedy(text="on dnf", when=When(package_manager="dnf"), libraries=("hdf5",)),
        Remedy(text="on apt for <%= facts.arch %>", when=When(package_manager="apt"), libraries=("hdf5",)),
        Remedy(text="anywhere", packages={"apt": ("thing-dev",)}, commands=("try <%= facts.os.version %>",)),
    )
    (cause,) = diagnosed("error: boom\n", symptom(remedies=remedies)).causes
    assert [each.text for each in cause.treatments] == ["on apt for x86_64", "anywhere"]
    update, install = cause.treatments[0].commands
    assert update == "sudo apt-get update", "a fresh container has no lists of packages"
    assert install.startswith("sudo apt-get install")
    assert "libhdf5-dev" in install
    assert cause.treatments[0].needs_root
    assert cause.treatments[1].commands[1].endswith("thing-dev")
    assert cause.treatments[1].commands[2] == "try 12"
    (cause,) = diagnosed("error: boom\n", symptom(remedies=remedies), facts=FEDORA).causes
    assert "hdf5-devel" in cause.treatments[0].commands[0]


@pytest.mark.parametrize("value", ["x;reboot", "$(reboot)", "`reboot`", "a b", "-rf", "a'b", "x&y", "a>b", "a\tb"])
def test_a_hostile_log_puts_nothing_into_a_command(value: str) -> None:
    remedies = (Remedy(text="get <%= seen.name %>", commands=("apt-file search '<%= seen.name %>'", "true")),)
    hostile = symptom("s", r"re:error: no (?P<name>.{1,40})!", remedies=remedies)
    (cause,) = diagnosed(f"error: no {value}!\n", hostile).causes
    assert cause.treatments[0].commands == ("true",)
    (cause,) = diagnosed("error: no boost/a+b.h!\n", hostile).causes
    assert cause.treatments[0].commands == ("apt-file search 'boost/a+b.h'", "true")


def test_a_remedy_with_an_unknown_library_is_told() -> None:
    with pytest.raises(InvalidInput, match="'nonesuch'"):
        diagnosed("error: boom\n", symptom(remedies=(Remedy(text="t", libraries=("nonesuch",)),)))


def test_a_pattern_that_backtracks_is_found() -> None:
    slow = symptom("slow", r"re:error: (\w+\s?)*$", matches=("error: abc def",))
    assert [text for text, _ in slow_patterns(slow)] == [r"error: (\w+\s?)*$"]

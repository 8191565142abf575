"""`devsetup doctor` as a command: what is asked, what is shown, exit statuses; with checks of our own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest
from conftest import Hello
from doctor_clinic import Clinic


@pytest.fixture
def clinic(hello: Hello) -> Clinic:
    return Clinic(hello).checks("FINE, NEWS, AWAY, ODD")


def test_the_real_checks_find_nothing_wrong_here(hello: Hello) -> None:
    data = json.loads(hello.run("doctor", "--json").stdout)["doctor"]
    text = hello.run("doctor", "--verbose")
    wrong = [result for result in data["results"] if result["status"] in {"warn", "error", "fail"}]
    assert wrong == []
    assert text.returncode == 0, text.stdout
    seen = re.findall(r"^  ([a-z]+\.[a-z0-9-]+) +(ok|info|skip) +\S", text.stdout, re.MULTILINE)
    assert sorted(seen) == sorted((result["id"], result["status"]) for result in data["results"])
    assert not hello.home.exists()


def test_text_has_a_line_for_each_result_and_problems_in_full(clinic: Clinic) -> None:
    done = clinic.doctor()
    assert done.stderr == ""
    assert (
        done.stdout
        == """\
check             status  what was seen
Operating system
  os.fine         ok      all is well
  os.news         info    something new

Libraries
  lib.odd         warn    libodd.so is odd

warn: lib.odd

libodd.so is odd
oddly so
next: make it even

  sudo even /lib/libodd.so

1 warning, 1 skipped, 1 info, 1 ok; do what is shown above, then look again
"""
    )


def test_verbose_adds_evidence_details_times_and_skips(clinic: Clinic) -> None:
    lines = [line.split() for line in clinic.doctor("--verbose").stdout.splitlines()]
    for words in ("/etc/well: 1", "2", "quite new", "/lib/libodd.so: odd"):
        assert words.split() in lines, words
    assert ["mac.away", "skip"] in [line[:2] for line in lines]
    assert all(line[2].isdigit() for line in lines if line[:1] == ["os.fine"])


def test_json_is_the_same_results_in_the_envelope(clinic: Clinic) -> None:
    data = json.loads(clinic.doctor("--json").stdout)
    assert data["schema"] == 1
    found = data["doctor"]
    assert found["status"] == "warn"
    assert found["counts"] == {"ok": 1, "info": 1, "skip": 1, "warn": 1, "error": 0, "fail": 0}
    assert [result["id"] for result in found["results"]] == ["os.fine", "os.news", "mac.away", "lib.odd"]
    odd = found["results"][3]
    assert odd.pop("ms") >= 0
    assert odd == {
        "id": "lib.odd",
        "group": "lib",
        "status": "warn",
        "summary": "libodd.so is odd",
        "detail": ["oddly so"],
        "evidence": [{"source": "/lib/libodd.so", "value": "odd"}],
        "fix": {"text": "make it even", "commands": ["sudo even /lib/libodd.so"], "needs_root": True, "auto": False},
    }
    assert found["machine"]["processor"].startswith(os.uname().machine)


@pytest.mark.parametrize(
    ("checks", "argv", "code"),
    [
        ("FINE, NEWS, AWAY", (), 0),
        ("FINE, NEWS, AWAY", ("--strict",), 0),
        ("FINE, ODD", (), 0),
        ("FINE, ODD", ("--strict",), 1),
        ("FINE, BAD", (), 1),
        ("FINE, BAD", ("--json",), 1),
        ("FINE, BAD", ("--only", "os"), 0),
    ],
)
def test_exit_status(clinic: Clinic, checks: str, argv: tuple[str, ...], code: int) -> None:
    clinic.checks(checks).doctor(*argv, code=code)


def test_a_check_that_breaks_or_hangs_costs_only_its_own_line(clinic: Clinic) -> None:
    hang = 'Check(id="os.hangs", about="", run=lambda exam: time.sleep(600), timeout_s=0.3)'
    crash = 'Check(id="os.breaks", about="", run=lambda exam: 1 // 0)'
    results = clinic.checks(f"{hang}, {crash}, FINE").results(code=1)
    assert [result["status"] for result in results] == ["error", "error", "ok"]
    assert "given up" in results[0]["summary"]
    text = clinic.doctor(code=1).stdout
    assert "the check itself broke: ZeroDivisionError" in text
    assert "2 checks broke, 1 ok" in text


def test_what_a_file_said_cannot_steer_the_terminal(clinic: Clinic) -> None:
    clinic.checks(
        'Check(id="os.odd", about="", run=finding("warn", "file says \\x1b[2J\\x07\\nand more", '
        'detail=("\\x9b31m",), fix=Fix(text="x", commands=("echo \\x1b]0;title\\x07",))))'
    )
    text = clinic.doctor("--verbose").stdout
    assert not set(text) & {"\x1b", "\x07", "\x9b"}
    assert r"file says \x1b[2J\x07 and more" in text
    assert "\nand more\n" in text


def test_bytes_that_are_no_text_are_shown_by_their_number(clinic: Clinic, tmp_path: Path) -> None:
    clinic.checks('Check(id="os.odd", about="", run=lambda exam: finding("warn", os.environ["ODD"])(exam))')
    page = tmp_path / "page.html"
    env = {**{os.fsencode(k): os.fsencode(v) for k, v in clinic.env().items()}, b"ODD": b"caf\xe9"}
    for argv in ([], ["--json", "--html", str(page)]):
        done = subprocess.run(
            [sys.executable, "-m", "devsetup", "doctor", *argv], env=env, capture_output=True, check=True
        )
        assert rb"caf\udce9" in done.stdout.replace(rb"\\", b"\\")
    assert r"caf\udce9" in page.read_text("utf-8")


def test_personal_data_is_taken_out_of_json_and_stays_in_text(clinic: Clinic, tmp_path: Path) -> None:
    home = tmp_path / "alices-own"
    home.mkdir()
    clinic.checks(
        'Check(id="os.who", about="", run=lambda exam: [Finding(status="warn", summary=exam.host.environ["TOLD"], '
        'fix=Fix(text="see", commands=(exam.host.environ["TOLD"],)))])'
    )
    told = f"{home}/lib of alice on {os.uname().nodename}: http://alice:hunter2@proxy:3128"
    variables = {"HOME": str(home), "USER": "alice", "TOLD": told}
    (result,) = clinic.results(**variables)
    clean = "~/lib of USER on HOST: http://user:***@proxy:3128"
    assert (result["summary"], result["fix"]["commands"]) == (clean, [clean])
    assert told in clinic.doctor(**variables).stdout


def test_names_are_recipes_checks_or_groups(clinic: Clinic) -> None:
    clinic.checks("FINE, ODD, GOALS")
    assert [result["id"] for result in clinic.results("os", "lib.odd")] == ["os.fine", "lib.odd"]
    about = clinic.results("hello")
    assert [result["summary"] for result in about[2:]] == ["hello: planned", "1 goals, 0 receipts"]
    both = clinic.results("hello", "goal")
    assert [result["id"] for result in both] == ["goal.plan", "goal.plan"]


def test_a_recipe_wins_over_a_group_of_its_name_and_only_means_the_group(clinic: Clinic) -> None:
    clinic.checks('GOALS, Check(id="hello.said", about="", run=finding("ok", "hello"))')
    assert [result["id"] for result in clinic.results("hello")] == ["goal.plan", "goal.plan", "hello.said"]
    assert [result["id"] for result in clinic.results("--only", "hello")] == ["hello.said"]
    (result,) = clinic.results("--only", "hello", "--only", "hello.said")
    assert result["id"] == "hello.said"


def test_options_reach_the_goal(clinic: Clinic) -> None:
    found = clinic.checks("GOALS").results("hello", "--option", "volume=loud")
    assert found[0]["detail"][1] == "[('volume', 'loud')]"


def test_an_option_goes_to_those_recipes_that_have_it(clinic: Clinic) -> None:
    plain = (clinic.catalogue / "recipes/hello.py").read_text().replace('name="hello"', 'name="other"')
    (clinic.catalogue / "recipes/other.py").write_text(re.sub(r"options=.*\n", "", plain))
    for kind in ("patches", "workloads"):
        (clinic.catalogue / kind / "hello").rename(clinic.catalogue / kind / "other")
        (clinic.catalogue / kind / "hello").symlink_to("other")
    recipe = clinic.catalogue / "recipes/other.py"
    recipe.write_text(recipe.read_text().replace("workloads/hello", "workloads/other"))
    found = clinic.checks("GOALS").results("hello", "other", "--option", "volume=loud")
    assert [result["summary"] for result in found[:2]] == ["hello: planned", "other: planned"]
    assert found[0]["detail"][1:] == ["[('volume', 'loud')]", "[]"]


def test_a_goal_that_cannot_be_planned_is_a_finding_with_the_recipes_reason(clinic: Clinic) -> None:
    recipe = clinic.catalogue / "recipes/hello.py"
    recipe.write_text(
        recipe.read_text().replace("    steps=steps,", '    steps=steps, supports=lambda f, o: "no luck",')
    )
    assert clinic.checks("GOALS").results("hello", code=1)[0]["summary"].endswith("cannot be installed here: no luck")
    recipe.write_text("RECIPE = 1 / 0\n")
    assert "ZeroDivisionError" in clinic.results("hello", code=1)[0]["summary"]
    assert clinic.results()[0]["summary"].startswith("0 goals")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("os.fin",), "did you mean 'os.fine'?"),
        (("helo",), "did you mean 'hello'?"),
        (("zzz",), "`devsetup list` for recipes"),
        (("--only", "hello"), "see `devsetup doctor --list`"),
        (("--option", "volume=loud"), "none is named"),
        (("hello", "--option", "volume"), "K=V"),
        (("hello", "--option", "volume=louder"), "soft, loud"),
        (("hello", "--option", "colour=red"), "no option 'colour'"),
        (("-y",), "--fix"),
        (("--dry-run",), "--fix"),
        (("--list", "zzz"), "zzz"),
    ],
)
def test_bad_input(clinic: Clinic, argv: tuple[str, ...], words: str) -> None:
    done = clinic.doctor(*argv, code=2)
    assert words in done.stderr
    assert done.stdout == ""


def test_list_shows_every_check_without_running_one(clinic: Clinic) -> None:
    clinic.checks('FINE, AWAY, LITTER, NET, Check(id="os.kills", about="", run=lambda exam: os._exit(9))')
    text = clinic.doctor("--list").stdout
    assert re.search(r"^own\.litter +own +repairs +any +litter$", text, re.MULTILINE)
    assert re.search(r"^mac\.away +mac +says how +macos +a Mac$", text, re.MULTILINE)
    assert re.search(r"^net\.reach +net +says how +any, --network +the network$", text, re.MULTILINE)
    data = json.loads(clinic.doctor("--list", "--json", "os").stdout)
    assert [each["id"] for each in data["checks"]] == ["os.fine", "os.kills"]


def test_what_opens_the_network_waits_to_be_asked(clinic: Clinic) -> None:
    clinic.checks("NET")
    (result,) = clinic.results("net.reach")
    assert (result["status"], result["summary"]) == ("skip", "opens the network, so it runs with --network alone")
    assert "net.reach" in clinic.doctor("net").stdout  # what is named is shown, skipped or not
    assert "net.reach" not in clinic.doctor().stdout
    assert clinic.results("--network")[0]["summary"] == "reached"


def test_nothing_is_changed(clinic: Clinic) -> None:
    clinic.checks("FINE, LITTER, GOALS")
    clinic.doctor("hello")
    before = clinic.snapshot()
    clinic.doctor("hello")
    clinic.doctor("--fix")
    assert clinic.snapshot() == before
    assert not clinic.home.exists()


def test_settings_leave_checks_out_in_one_line(clinic: Clinic) -> None:
    clinic.settings('[doctor]\nignore = ["os", "lib.odd", "os.fien"]\n')
    done = clinic.doctor()
    assert not re.search(r"^  (os|lib)\.", done.stdout, re.MULTILINE)
    assert "\nignored by config.toml: os, lib.odd\n" in done.stdout
    assert "ignores 'os.fien', and there is no such check; did you mean 'os.fine'?" in done.stdout
    assert [result["id"] for result in clinic.results("os.fine")] == ["os.fine"]  # asked for by its own name


def test_malformed_settings_are_noted_and_the_defaults_used(clinic: Clinic) -> None:
    path = clinic.settings("[doctor\nignore = 1")
    done = clinic.doctor()
    assert f"note: the settings are not used: {path} is not a valid configuration" in done.stdout
    assert "all is well" in done.stdout


@pytest.mark.parametrize("damage", ["no database", "a file in its place"])
def test_unreadable_receipts_are_noted(clinic: Clinic, damage: str) -> None:
    if damage == "no database":
        (clinic.home / "receipts").mkdir(parents=True)
        (clinic.home / "receipts/receipts.sqlite").write_text("this is no database" * 100)
    else:
        clinic.home.write_text("")
    done = clinic.checks("GOALS").doctor()
    assert "note: what is installed was not looked at: cannot use" in done.stdout
    assert "0 goals, 0 receipts" in done.stdout


def test_installs_are_in_the_exam(clinic: Clinic) -> None:
    assert clinic.run("install", "hello", "-y").returncode == 0
    assert "0 goals, 1 receipts" in clinic.checks("GOALS").results()[0]["summary"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it(clinic: Clinic, number: signal.Signals, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    clinic.checks(
        f'Check(id="os.x", about="", run=lambda exam: (Path({str(begun)!r}).touch(), time.sleep(600)), timeout_s=500)'
    )
    process = clinic.start("doctor")
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err


def test_a_closed_pipe_is_no_error_message(clinic: Clinic) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m devsetup doctor --json | head -1"],
        env=clinic.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_they_are_unwanted(clinic: Clinic, no_color: str) -> None:
    env = clinic.env(TERM="xterm", NO_COLOR=no_color)
    child = pexpect.spawn(sys.executable, ["-m", "devsetup", "doctor"], env=env, timeout=60, dimensions=(40, 120))
    shown = child.read().decode()
    assert ("\x1b[33mwarn" in shown) == (not no_color)
    assert "sudo even /lib/libodd.so" in shown


def test_names_are_completed(clinic: Clinic) -> None:
    def complete(line: str) -> str:
        words = line.split(" ")
        env = clinic.env(_DEVSETUP_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        program = Path(sys.executable).with_name("devsetup")
        return subprocess.run([program], env=env, capture_output=True, text=True, check=True).stdout

    assert complete("devsetup doctor he") == "plain,hello\n"
    assert complete("devsetup doctor os") == "plain,os.fine\nplain,os.news\nplain,os\n"
    assert complete("devsetup doctor --only lib.") == "plain,lib.odd\n"


def test_html_writes_a_page_beside_the_report_without_personal_data(clinic: Clinic, tmp_path: Path) -> None:
    clinic.checks(
        'Check(id="os.who", about="", run=lambda exam: finding("ok", exam.host.environ["HOME"] + "/x")(exam))'
    )
    page = tmp_path / "report.html"
    done = clinic.doctor("--html", str(page), HOME="/home/of-alice")
    assert f"wrote {page}" in done.stderr
    assert "/home/of-alice/x" in done.stdout
    assert "of-alice" not in page.read_text()
    assert "~/x" in page.read_text()
    page.unlink()
    assert clinic.results("--html", str(page), HOME="/home/of-alice")[0]["summary"] == "~/x"
    assert page.exists()


def test_html_that_cannot_be_written_is_a_clear_error(clinic: Clinic, tmp_path: Path) -> None:
    done = clinic.doctor("--html", str(tmp_path / "gone/report.html"), code=1)
    assert f"error: cannot write {tmp_path}/gone/report.html: No such file or directory" in done.stderr
    assert done.stdout == ""

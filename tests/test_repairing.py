"""Installs that repair themselves, with real builds of a small recipe and remedies of a catalogue of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from terminal import answered

from devsetup.amendment import SetVariable, UsePatch
from devsetup.store import Store

if TYPE_CHECKING:
    from conftest import Hello

    from devsetup.receipts import Receipt

SYMPTOM = """
[[symptom]]
id = "{id}"
title = "{title}"
where = "build"
patterns = ["{pattern}"]
cause = "The test says so."
confidence = "A"
sources = ["reproduced by the tests"]
matches = ["{match}"]
"""
REMEDY = """
[[symptom.remedies]]
text = "{text}"
action = {{ {action} }}
"""
UNDECLARED = SYMPTOM.format(
    id="loudness",
    title="nobody says how loud",
    pattern="error: 'LOUDNESS' undeclared",
    match="error: 'LOUDNESS' undeclared",
)
MISSPELT = "--- fail: exit status 0, but nothing in its output matches 'hello'"
SPELLING = SYMPTOM.format(
    id="misspelt", title="it greets with a misspelt word", pattern=MISSPELT, match=MISSPELT
)  # fmt: skip
LOUD = """#include "greet.h"
static const int loudness = LOUDNESS;
const char *greet(void) { return loudness ? "hello" : ""; }
"""
DEFINE = REMEDY.format(
    text="Say it.", action='do = "set-variable", name = "CFLAGS", value = "-DLOUDNESS=1"'
)  # fmt: skip


def known(hello: Hello, *tables: str) -> None:
    """The symptoms of the catalogue."""
    (hello.catalogue / "symptoms").mkdir(exist_ok=True)
    (hello.catalogue / "symptoms/hello.toml").write_text("".join(tables))


def loud(hello: Hello, *remedies: str) -> None:
    """A source that only compiles with LOUDNESS, and what is known about that."""
    hello.files["greet.c"] = LOUD
    hello.write_source()
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace('when=When(os="linux")', 'when=When(os="macos")'))
    known(hello, UNDECLARED, *remedies)


def receipt_of(hello: Hello) -> Receipt:
    (receipt,) = Store(hello.home).receipts.all()
    return receipt


def test_a_failed_build_is_repaired_where_it_failed(hello: Hello) -> None:
    loud(hello, DEFINE)
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 0, done.stderr
    assert "nobody says how loud" in done.stderr
    assert "CFLAGS=-DLOUDNESS=1" in done.stderr
    assert re.search(r"\[1/\d+\] done in 0\.0 s \(done before\)", done.stderr)  # packages, fetch, unpack stand
    receipt = receipt_of(hello)
    (attempt,) = receipt.attempts
    assert (attempt.symptom, attempt.step) == ("loudness", "compile hello")
    assert attempt.amendment == SetVariable(name="CFLAGS", value="-DLOUDNESS=1")
    assert "LOUDNESS" in (hello.home / attempt.log).read_text()
    assert receipt.part.amendments == (attempt.amendment,)
    assert receipt.digest == receipt.part.digest != receipt.key.rpartition("-")[2]
    assert "already installed" in hello.run("install", "hello", "-y").stderr
    assert hello.run("run", "hello", "--", "hello").stdout == "hello\n"


def test_what_was_repaired_is_built_again_as_it_was(hello: Hello) -> None:
    loud(hello, DEFINE)
    assert hello.run("install", "hello", "-y", "--repair").returncode == 0
    before = receipt_of(hello)
    done = hello.run("install", "--rebuild", "hello", "-y", "--no-repair")
    assert done.returncode == 0, done.stderr
    assert "changed by repairs" in done.stderr
    after = receipt_of(hello)
    assert (after.digest, after.key, after.attempts) == (before.digest, before.key, ())


@pytest.mark.parametrize("flags", [(), ("--no-repair",)])
def test_without_consent_the_failure_is_explained_and_nothing_is_installed(
    hello: Hello, flags: tuple[str, ...]
) -> None:
    loud(hello, DEFINE)
    done = hello.run("install", "hello", "-y", *flags)
    assert done.returncode == 1
    assert "step failed: compile hello" in done.stderr
    assert "nobody says how loud" in done.stderr
    assert "fix: Say it." in done.stderr
    assert "build with CFLAGS=-DLOUDNESS=1" in done.stderr
    assert "run it again with --repair" in done.stderr
    assert Store(hello.home).receipts.all() == ()
    assert "Traceback" not in done.stderr


def test_an_unknown_failure_is_told_as_such(hello: Hello) -> None:
    loud(hello, DEFINE)
    (hello.catalogue / "symptoms/hello.toml").unlink()
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 1
    assert "No known failure fits. The first errors:" in done.stderr
    assert "--repair" not in done.stderr


def test_malformed_symptoms_do_not_hide_the_failure(hello: Hello) -> None:
    loud(hello, DEFINE)
    (hello.catalogue / "symptoms/hello.toml").write_text("[[symptom]\n")
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 1
    assert "step failed: compile hello" in done.stderr
    assert "it was not diagnosed: " in done.stderr
    assert "hello.toml" in done.stderr


def test_remedies_are_tried_in_order_and_each_once(hello: Hello) -> None:
    wrong = REMEDY.format(text="Whisper.", action='do = "set-variable", name = "CFLAGS", value = "-DWHISPER"')
    loud(hello, wrong, DEFINE)
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 0, done.stderr
    assert [attempt.amendment for attempt in receipt_of(hello).attempts] == [
        SetVariable(name="CFLAGS", value="-DWHISPER"),
        SetVariable(name="CFLAGS", value="-DLOUDNESS=1"),
    ]


def test_what_does_not_help_ends(hello: Hello) -> None:
    wrong = REMEDY.format(text="Whisper.", action='do = "set-variable", name = "CFLAGS", value = "-DWHISPER"')
    loud(hello, wrong)
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 1
    assert done.stderr.count("repair 1: ") == 1
    assert "repair 2: " not in done.stderr
    assert Store(hello.home).receipts.all() == ()


@pytest.mark.parametrize(
    "action",
    [
        'do = "use-patch", patch = "0009-not-here.patch"',
        'do = "set-option", option = "colour", value = "red"',
        'do = "pin-package", requirement = "numpy<2"',
        'do = "add-library", name = "gcc"',
    ],
    ids=["no such patch", "no such option", "no Python environment", "there already"],
)
def test_a_remedy_that_changes_nothing_here_is_not_tried(hello: Hello, action: str) -> None:
    loud(hello, REMEDY.format(text="Do it.", action=action))
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 1
    assert "nobody says how loud" in done.stderr
    assert "repair 1" not in done.stderr
    assert "--repair" not in done.stderr


def test_a_failed_proof_is_repaired_by_a_patch_that_the_facts_did_not_ask_for(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace('when=When(os="linux")', 'when=When(os="macos")'))
    known(hello, SPELLING, REMEDY.format(text="Patch it.", action='do = "use-patch", patch = "0001-spelling.patch"'))
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 0, done.stderr
    receipt = receipt_of(hello)
    assert receipt.part.amendments == (UsePatch(patch="0001-spelling.patch"),)
    assert [(patch.name, patch.status) for patch in receipt.patches] == [
        ("0001-spelling.patch", "applied"),
        ("0002-never.patch", "not needed here"),
    ]
    assert receipt.attempts[0].step == "greets"


def test_on_a_terminal_it_asks(hello: Hello) -> None:
    loud(hello, DEFINE)
    code, shown = answered(hello, ("install", "hello", "-y"), {"Go on with this plan?": "n\n"})
    assert code == 1
    assert "CFLAGS=-DLOUDNESS=1" in shown
    assert Store(hello.home).receipts.all() == ()
    code, shown = answered(hello, ("install", "hello"), {"Go on?": "y\n", "Go on with this plan?": "y\n"})
    assert code == 0, shown
    assert len(receipt_of(hello).attempts) == 1


def test_ctrl_c_at_the_question_leaves_nothing(hello: Hello) -> None:
    loud(hello, DEFINE)
    code, shown = answered(hello, ("install", "hello", "-y"), {"Go on with this plan?": "\x03"})
    assert code == 130, shown
    assert "nothing is half-installed" in shown
    assert Store(hello.home).receipts.all() == ()
    assert hello.run("install", "hello", "-y", "--repair").returncode == 0


def test_a_package_manager_that_fails_is_explained(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace('libraries=("gcc"', 'libraries=("nonesuch", "gcc"'))
    with (hello.catalogue / "hosts/libraries.toml").open("a") as file:
        file.write('\n[nonesuch]\napt = ["devsetup-has-no-such-package"]\n')
    text = "E: Unable to locate package devsetup-has-no-such-package"
    known(
        hello,
        SYMPTOM.format(id="unknown-package", title="nobody has it", pattern="Unable to locate package", match=text),
        DEFINE,
    )
    done = hello.run("install", "hello", "-y", "--repair")
    assert done.returncode == 1
    assert "nobody has it" in done.stderr
    assert Store(hello.home).receipts.all() == ()


def test_a_proof_that_fails_later_is_explained(hello: Hello) -> None:
    known(hello, SPELLING, DEFINE)
    assert hello.run("install", "hello", "-y").returncode == 0
    program = hello.prefixes()[0] / "bin/hello"
    program.write_text("#!/bin/sh\necho helo\n")
    done = hello.run("verify", "hello")
    assert done.returncode == 1
    assert "it greets with a misspelt word" in done.stderr

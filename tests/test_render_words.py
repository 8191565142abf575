"""Quoting, patterns, and what a form refuses."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendering import (
    plan_of,
)

from devsetup.errors import CannotRender
from devsetup.render import RENDERERS
from devsetup.render.regex import extended
from devsetup.render.shell import shell
from devsetup.render.words import quote
from devsetup.steps import (
    BUILD,
    Command,
    Fetch,
    LocalSource,
    PackagesInstalled,
    Run,
    Unpack,
    UrlSource,
)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"Average: [0-9.]+ ms", "Average: 1.5 ms", True),
        (r"^a\.b$", "a.b", True),
        (r"^a\.b$", "axb", False),
        (r"(ab|cd){2}", "abcd", True),
        (r"\d\s\w\S", "1 ab", True),
        (r"[^\d.]x", "1x", False),
        (r"\[\]\*", "[]*", True),
        (r"a/b'c\"", "a/b'c\"", True),
        ("[]x]+y", "]y", True),
    ],
)
def test_patterns_mean_the_same_to_grep(pattern: str, text: str, matches: bool) -> None:
    import re

    assert bool(re.search(pattern, text, re.MULTILINE)) is matches
    done = subprocess.run(["grep", "-E", "-e", extended(pattern)], input=f"{text}\n", text=True, check=False)
    assert (done.returncode == 0) is matches


@pytest.mark.parametrize(
    "pattern", [r"(?i)a", r"a+?", r"\bword", r"(a)\1", r"[[:x]", "a\nb", r"a{", r"[\]x]", r"\A", "a*+"]
)
def test_patterns_that_grep_does_not_have_are_refused(pattern: str) -> None:
    with pytest.raises(CannotRender, match="nothing that means"):
        extended(pattern)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))))
def test_a_quoted_word_is_the_text_itself(text: str) -> None:
    import shlex

    assert shlex.split(f"x {quote(text)}") == ["x", text]


@pytest.mark.parametrize(
    "step",
    [
        Run(argv=("A=b",), title="t"),
        Run(argv=("x",), title="t", env=(("A B", ""),)),
        Run(argv=("x\0",), title="t"),
        Run(argv=("x", "@PREFIX:other@"), title="t"),
        Run(argv=("x",), title="t", unless=PackagesInstalled(manager="apt", names=("a",))),
        Fetch(name="x", sources=(LocalSource(id="x", path="/x", sha256="0" * 64, tree=True),)),
        Fetch(name="x", sources=(UrlSource(id="x", url="https://example.org/x.zip", sha256="0" * 64),)),
        Unpack(name="never", into=BUILD),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", sorted(RENDERERS))
def test_what_cannot_be_expressed_is_refused(step: Run, form: str) -> None:
    with pytest.raises(CannotRender):
        RENDERERS[form](plan_of(step))


def test_no_command_is_lost() -> None:
    """Each command that a step lowers to stands in the script once, in order."""
    from devsetup.lower import lower

    step = Run(argv=("a", "b c"), then=(("d", "$e"),), title="t")
    text = shell(plan_of(step))
    places = [text.index(" ".join(map(quote, each.argv))) for each in lower(step) if isinstance(each, Command)]
    assert places == sorted(places)
    assert len(places) == 2

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devsetup.errors import InvalidInput
from devsetup.patching import FileDiff, Hunk, check, misfit, render, state, turned

GOOD = """Why: a reason
--- a/src/io.cpp
+++ b/src/io.cpp
@@ -1,2 +1,2 @@
 one
-two
+2
"""


def test_a_plain_diff_passes_with_its_files_and_counts() -> None:
    diff = check(GOOD, name="good")
    assert diff.files == ("src/io.cpp",)
    assert (diff.added, diff.removed) == (1, 1)


def diff_of(path: str) -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n"


BAD = {
    "empty": ("", "newline"),
    "only words": ("Why: nothing follows\n", "empty"),
    "header without hunk": ("--- a/x\n+++ b/x\n", "empty"),
    "outside": (diff_of("../../etc/passwd"), "outside the tree"),
    "outside in the middle": (diff_of("src/../../x"), "outside the tree"),
    "absolute": ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
    "absolute target": ("--- a/x\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
    "git hook": (diff_of(".git/hooks/post-checkout"), "may not touch .git"),
    "git hook in capitals": (diff_of("sub/.GIT/config"), "may not touch .git"),
    "no leading component": ("--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "leading component"),
    "copy": ("diff --git a/x b/y\ncopy from ../victim\ncopy to y\n", "`copy from` header"),
    "rename": ("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n", "header"),
    "mode": ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n" + diff_of("x"), "`old mode` header"),
    "binary": ("diff --git a/x b/x\nGIT binary patch\nliteral 1\nAcmZ\n", "GIT binary patch"),
    "binary files differ": ("Binary files a/x and b/x differ\n", "Binary files"),
    "carriage returns": (GOOD.replace("\n", "\r\n"), "carriage returns"),
    "cut off": (GOOD[:-1], "newline"),
    "hunk too short": (GOOD.replace("-1,2 +1,2", "-1,5 +1,5"), "well-formed"),
    "hunk too long": (GOOD.replace("-1,2 +1,2", "-1,1 +1,1"), "outside its hunk|does not fit"),
}


@pytest.mark.parametrize("name", BAD)
def test_anything_but_edits_inside_the_tree_is_refused(name: str) -> None:
    text, reason = BAD[name]
    with pytest.raises(InvalidInput, match=reason) as caught:
        check(text, name="patches/x/0001.patch")
    assert "patches/x/0001.patch" in caught.value.message


def test_holes_are_filled_and_the_last_newline_survives() -> None:
    text = render("+ path = <%= facts.sdk %>\n", {"facts": {"sdk": "/SDK"}}, name="p")
    assert text == "+ path = /SDK\n"


def test_braces_of_cpp_are_left_alone() -> None:
    text = "+ int a[2][2] = {{1,2},{3,4}}; {% not a block %} {# nor a comment #} <%= x %>\n"
    assert render(text, {"x": 1}, name="p") == text.replace("<%= x %>", "1")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("<%= missing %>", "undefined"),
        ("<%= facts.nothing %>", "no attribute"),
        ("<% if x %>y<% endif %>", "no block tags"),
        ("<%= x", "unexpected|end of"),
        ("<%= ''.__class__.__mro__ %>", "unsafe"),
        ("<%= cycler.__init__.__globals__.os.system('true') %>", "unsafe"),
    ],
)
def test_templates_cannot_do_more_than_name_variables(template: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        render(template, {"facts": {}}, name="p")


LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=4), min_size=1, max_size=12
)


@given(LINES, LINES)
def test_every_diff_of_two_texts_is_read_as_what_it_does(old: list[str], new: list[str]) -> None:
    text = "\n".join(difflib.unified_diff(old, new, "a/x", "b/x", lineterm=""))
    if not text:
        return
    diff = check(text + "\n", name="made")
    made = list(old)
    for hunk in reversed(diff.changes[0].hunks):
        assert made[hunk.start - 1 : hunk.start - 1 + len(hunk.old)] == list(hunk.old)
        made[hunk.start - 1 : hunk.start - 1 + len(hunk.old)] = hunk.new
    assert made == new
    for hunk in reversed(turned(diff.changes[0]).hunks):
        made[hunk.start - 1 : hunk.start - 1 + len(hunk.old)] = hunk.new
    assert made == old


def hunk(old: list[str], new: list[str], start: int = 1) -> Hunk:
    return Hunk(start=start, new_start=start, old=tuple(old), new=tuple(new), added=1, removed=1)


def test_what_a_hunk_is_to_a_file() -> None:
    change = hunk(["a", "b"], ["a", "c"])
    assert state(change, ["x", "a", "b"]) == "out"
    assert state(change, ["x", "a", "c"]) == "in"
    assert state(change, ["a", "b", "a", "c"]) == "unclear"
    assert state(change, ["a", "x", "b"]) == "nowhere"
    assert state(change, []) == "nowhere"


def nearest(old: list[str], lines: list[str], start: int = 1) -> str:
    change = FileDiff(path="f", creates=False, deletes=False, hunks=(hunk(old, ["n"], start),))
    return str(misfit(change, 1, lines))


def test_the_nearest_place() -> None:
    body = [f"line {n}" for n in range(100)]
    assert nearest(["line 60", "int old(void);", "line 62"], [*body[:61], "int old();", *body[62:]], 50) == (
        "f:51: expected `int old(void);`, nearest is line 62 `int old();` (83 % similar)"
    )
    assert nearest(["}", "", "}"], ["{"]) == "f:1: expected `}`, and nothing in the file is like it"
    assert nearest(["line 1", "line 3"], body[:5]) == (
        "f:2: expected `line 3`, nearest is line 3 `line 2` (83 % similar)"
    ), "all lines are there, with another one between"
    assert nearest(["\tx = 1;"], ["    x = 1;"]) == "f:1: expected `x = 1;`, nearest is line 1 `x = 1;` (100 % similar)"


def test_two_equal_places_are_told_apart_by_distance() -> None:
    lines = ["a", "b", "c1", *["filler"] * 50, "a", "b", "c2"]
    assert "line 3 `c1`" in nearest(["a", "b", "c"], lines, 2)
    assert "line 56 `c2`" in nearest(["a", "b", "c"], lines, 50)


def test_a_file_of_one_endless_line_is_no_trouble() -> None:
    assert "nothing in the file is like it" in nearest(["ab" * 100_000], ["cd" * 1_000_000])
    assert "nearest is line 1" in nearest(["ab" * 100_000], ["ab" * 1_000_000])


def test_a_hole_may_ask_the_machine_for_a_version() -> None:
    class Facts:
        def library(self, name: str) -> str:
            return f"{name} 4"

    assert render("+<%= facts.library('opencv') %>\n", {"facts": Facts()}, name="p") == "+opencv 4\n"

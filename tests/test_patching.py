from __future__ import annotations

import pytest

from devsetup.errors import InvalidInput
from devsetup.patching import check, render

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

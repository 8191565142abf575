"""Malicious and broken patches, templates, trees and records: none reaches out of the tree, each is told why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Hello
from patchtree import Canary, Demo, canary, created, deleted, diff, memory, snapshot

from devsetup.app import trees
from devsetup.errors import InvalidInput

__all__ = ["canary", "memory"]  # fixtures


@pytest.fixture
def demo(memory: Path) -> Demo:
    made = Demo(Hello(memory, 9))
    made.file("x.c", "old\n")
    made.file("y.c", "other\n")
    made.file(".git/config", "[core]\n")
    return made


def two(old: str, new: str) -> str:
    return f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-old\n+new\n"


GOOD = diff("x.c", "old", "new")
PATCHES = {
    # places
    "write outside": (diff("../outside/secret", "the canary's own words", "x"), "outside the tree"),
    "write outside by a detour": (diff("sub/../../outside/new", "a", "b"), "outside the tree"),
    "create outside": (created("../outside/new", "x"), "outside the tree"),
    "delete outside": (deleted("../outside/secret", "the canary's own words"), "outside the tree"),
    "absolute": (two("/etc/hostname", "/etc/hostname"), "outside the tree"),
    "absolute in the new name alone": (two("a/x.c", "/etc/hostname"), "outside the tree"),
    "outside in the old name alone": (two("a/../outside/secret", "b/x.c"), "outside the tree"),
    "strip reaches the root": (two("//etc/hostname", "//etc/hostname"), "outside the tree"),
    "a hook of git": (created(".git/hooks/post-checkout", "#!/bin/sh"), "may not touch .git"),
    "a hook of git below": (created("sub/.git/hooks/pre-commit", "#!/bin/sh"), "may not touch .git"),
    "a hook in capitals": (created(".GIT/hooks/pre-commit", "#!/bin/sh"), "may not touch .git"),
    "a hook as HFS+ reads it": (
        created(".g\u200cit/hooks/pre-commit", "#!/bin/sh"),
        "control characters|may not touch",
    ),
    "a hook as NTFS reads it": (created("GIT~1/hooks/pre-commit", "#!/bin/sh"), "may not touch .git"),
    "our own record": (created(".devsetup/patches.json", "{}"), "devsetup's own record"),
    "no leading component": (two("x.c", "x.c"), "leading component"),
    "two names": (two("a/x.c", "b/y.c"), "names x.c and y.c for one file"),
    "empty components": (two("a//x.c", "b//x.c"), "empty components"),
    "a directory": (two("a/sub/", "b/sub/"), "empty components"),
    "quoted with octal dots": (two('"a/\\056\\056/outside/secret"', '"b/\\056\\056/outside/secret"'), "quoted"),
    "a time after blanks": (two("a/x.c 2024-01-01", "b/x.c 2024-01-01"), "after a name with spaces put a tab"),
    "a bell in the name": (two("a/x\x07.c", "b/x\x07.c"), "control characters"),
    "a name too long": (created("n" * 300, "x"), "longer than file systems allow"),
    "a path too long": (created("n/" * 2000 + "x", "x"), "longer than file systems allow"),
    "a file twice": (GOOD + diff("x.c", "new", "newer"), "names x.c twice"),
    # git's own headers
    "copy from outside": (
        "diff --git a/x.c b/z\nsimilarity index 100%\ncopy from ../outside/secret\ncopy to z\n",
        "`similarity index` header",
    ),
    "copy from, alone": ("diff --git a/x.c b/z\ncopy from ../outside/secret\ncopy to z\n", "`copy from` header"),
    "rename": ("diff --git a/x.c b/z\nrename from x.c\nrename to ../outside/z\n", "`rename from` header"),
    "mode": ("diff --git a/x.c b/x.c\nold mode 100644\nnew mode 104755\n", "`old mode` header"),
    "setuid": ("diff --git a/z b/z\nnew file mode 104755\n" + created("z", "x"), "states mode 104755"),
    "a link": (
        "diff --git a/z b/z\nnew file mode 120000\n"
        + created("z", "../outside/secret")
        + "\\ No newline at end of file\n",
        "states mode 120000",
    ),
    "a link, indented": (" diff --git a/z b/z\n new file mode 120000\n" + created("z", "x"), "states mode 120000"),
    "a link that changes": (
        "diff --git a/z b/z\nindex 1234567..89abcde 120000\n" + diff("z", "x.c", "../outside/secret"),
        "states mode 120000",
    ),
    "a submodule": (
        "diff --git a/m b/m\nindex 1234567..89abcde 160000\n" + diff("m", "Subproject", "x"),
        "mode 160000",
    ),
    "git binary": ("diff --git a/z b/z\nGIT binary patch\nliteral 1\nAcmZ\n", "GIT binary patch"),
    "binary files": ("Binary files a/x.c and b/x.c differ\n", "Binary files"),
    "an empty file by header alone": (
        "diff --git a/z b/z\nnew file mode 100755\nindex 0000000..e69de29\n",
        "no change",
    ),
    "a header alone before another": ("diff --git a/z b/z\ndiff --git a/x.c b/x.c\n" + GOOD, "no change that it shows"),
    "git names another file": ("diff --git a/y.c b/y.c\n" + GOOD, "name different files"),
    # other kinds of diff
    "an ed script": ("1c\nevil\n.\n", "ed or normal diff command"),
    "an ed script that starts a shell": ("0a\nx\n.\n!cp ../outside/secret .\nw\n", "ed or normal diff command"),
    "an ed script after a diff": (GOOD + "\n1,2d\n", "ed or normal diff command"),
    "an ed script, indented": ("  1d\n", "ed or normal diff command"),
    "a normal diff": ("1c1\n< old\n---\n> new\n", "ed or normal diff command"),
    "a context diff": ("*** a/x.c\n--- b/x.c\n***************\n*** 1 ****\n! old\n--- 1 ----\n! new\n", "context diff"),
    "Index": ("Index: ../outside/secret\n" + GOOD, "`Index:` line"),
    "Prereq": ("Prereq: old\n" + GOOD, "`Prereq:` line"),
    "indented": ("  --- a/../outside/secret\n  +++ b/../outside/secret\n  @@ -1 +1 @@\n", "header out of place"),
    "indented by X": ("X--- a/x.c\nX+++ b/x.c\nX@@ -1 +1 @@\nX-old\nX+new\n", "header out of place"),
    "a mail digest": ("- --- a/x.c\n- +++ b/x.c\n- @@ -1 +1 @@\n", "header out of place"),
    "a new name alone": ("+++ b/x.c\n@@ -1 +1 @@\n-old\n+new\n", "header out of place"),
    # hunks
    "empty": ("", "newline"),
    "only words": ("Why: nothing follows\n", "empty"),
    "no hunk": ("--- a/x.c\n+++ b/x.c\n", "empty"),
    "a hunk without change": ("--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n old\n", "changes nothing"),
    "a huge line number": (GOOD.replace("-1 ", "-99999999999999999999 "), "numbers are too large"),
    "a huge count": (GOOD.replace("-1 ", "-1,18446744073709551617 "), "numbers are too large"),
    "a negative count": (GOOD.replace("-1 ", "-1,-1 "), "not the header of a hunk"),
    "more lines than promised": (GOOD + "+evil\n", "outside its hunk"),
    "a lost minus": (GOOD.replace("-old", "old"), "no line of a hunk"),
    "fewer lines than promised": (GOOD.replace("-1 +1", "-1,3 +1,3"), "cut off"),
    "too many on one side": (GOOD.replace("-1 +1", "-1 +1,2").replace("-old", "-old\n-older"), "line counts"),
    "hunks out of order": (GOOD.replace("-1 +1", "-9 +9") + "@@ -1 +1 @@\n-old\n+new\n", "out of order"),
    "no context": ("--- a/x.c\n+++ b/x.c\n@@ -1,0 +2 @@\n+evil\n", "without context"),
    "nothing left": ("--- a/x.c\n+++ b/x.c\n@@ -1 +0,0 @@\n-old\n", "without context"),
    "nowhere to nowhere": ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+x\n", "names no file"),
    "created in the middle": ("--- /dev/null\n+++ b/x.c\n@@ -1 +1 @@\n-old\n+new\n", "create or delete a whole file"),
    "deleted in part": ("--- a/x.c\n+++ /dev/null\n@@ -1 +1 @@\n-old\n+new\n", "create or delete a whole file"),
    "created twice": (created("z", "a") + "@@ -0,0 +1 @@\n+b\n", "out of order|more than one hunk"),
    "carriage returns": (GOOD.replace("\n", "\r\n"), "carriage returns"),
    "one carriage return": (GOOD.replace("+new", "+new\r"), "carriage returns"),
    "no last newline": (GOOD[:-1], "newline"),
    "a NUL": (GOOD.replace("new", "n\0w"), "NUL"),
    # templates
    "a block": (GOOD.replace("new", "<% for a in b %>"), "no block tags"),
    "a comment": (GOOD.replace("new", "<# x #>"), "no block tags"),
    "an unknown name": (GOOD.replace("new", "<%= secret %>"), "undefined"),
    "out by classes": (GOOD.replace("new", "<%= ''.__class__.__mro__ %>"), "unsafe"),
    "out by a method": (GOOD.replace("new", "<%= facts.library.__globals__ %>"), "unsafe"),
    "out by globals": (GOOD.replace("new", "<%= cycler.__init__.__globals__.os.system('x') %>"), "unsafe"),
    "out by a string's method": (GOOD.replace("new", "<%= 'a'.format(facts) %>"), "unsafe"),
    "all memory": (GOOD.replace("new", "<%= 'a' * 10 ** 12 %>"), "unsafe"),
    "for ever": (GOOD.replace("new", "<%= range(10 ** 9)|list %>"), "unsafe"),
    "a filter": (GOOD.replace("new", "<%= facts|pprint %>"), "unsafe"),
    "all of a list": (GOOD.replace("new", "<%= [1, 2, 3] %>"), "unsafe"),
    "a question to the wrong one": (GOOD.replace("new", "<%= options.library('x') %>"), "unsafe"),
    "a question too many": (GOOD.replace("new", "<%= facts.library(facts.arch) %>"), "unsafe"),
    "a hole left open": (GOOD.replace("new", "<%= facts"), "unexpected|end of"),
}


def test_there_are_enough_of_them() -> None:
    assert len(PATCHES) >= 40


@pytest.mark.parametrize("name", PATCHES)
def test_a_bad_patch_is_refused_with_its_reason(demo: Demo, canary: Canary, name: str) -> None:
    text, reason = PATCHES[name]
    demo.patch("1.patch", text)
    before = snapshot(demo.tree)
    for call in (demo.check, demo.apply):
        with pytest.raises(InvalidInput, match=reason) as caught:
            call()
        assert "patches/demo/1.patch" in caught.value.message
    assert snapshot(demo.tree) == before


@pytest.mark.parametrize("name", ["write outside", "a link", "an ed script that starts a shell", "out by globals"])
def test_a_bad_patch_ends_the_command_in_words(demo: Demo, canary: Canary, name: str) -> None:
    text, reason = PATCHES[name]
    demo.patch("1.patch", text)
    done = demo.hello.run("patch", "demo", "--tree", str(demo.tree), "--on", "debian-12")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(rf"^error: patches/demo/1\.patch: .*({reason})", done.stderr)
    assert "Traceback" not in done.stderr


def test_one_bad_patch_keeps_the_good_ones_away(demo: Demo, canary: Canary) -> None:
    demo.patch("1.patch", GOOD)
    demo.patch("2.patch", PATCHES["a link"][0])
    with pytest.raises(InvalidInput):
        demo.apply()
    assert (demo.tree / "x.c").read_text() == "old\n"


def test_prose_around_a_diff_is_left_alone(demo: Demo) -> None:
    prose = (
        "Why: it breaks\nUpstream: https://example.org/1\n\n- a list\n  of words; 3d models, index of things\n---\n"
        " x.c | 2 +-\ndiff --git a/x.c b/x.c\nindex 1234567..89abcde 100644\n"
    )
    demo.patch("1.patch", prose + GOOD + "\nThe end.\n")
    assert demo.apply() == {"1.patch": "applied"}


# Values of a machine that someone else described.


def host(demo: Demo, value: str) -> str:
    """A file of facts in which one value is of an attacker's choosing."""
    path = demo.hello.root / "host.json"
    facts = {"os": {"id": "debian", "version": "12", "name": value}, "arch": "x86_64"}
    path.write_text(json.dumps(facts))
    return str(path)


@pytest.mark.parametrize(
    "value",
    [
        "a\n+evil",
        "a\n--- a/../outside/secret\n+++ b/../outside/secret\n@@ -1 +1 @@\n-x\n+y",
        "a\n1c\nevil\n.\n",
        "a\r",
        "a\u2028b",
        "\x1b[2J",
        "\0",
    ],
)
def test_a_value_cannot_leave_its_line(demo: Demo, canary: Canary, value: str) -> None:
    demo.patch("1.patch", GOOD.replace("new", "<%= facts.os.name %>"))
    target = trees.Target(name="demo", tree=demo.tree, on=host(demo, value))
    with pytest.raises(InvalidInput, match=r"1\.patch: the value .* has a line break or control character"):
        trees.apply(demo.workspace, target)
    assert (demo.tree / "x.c").read_text() == "old\n"


@pytest.mark.parametrize(
    "value",
    [
        "$(touch ../outside/pwned)",
        "`touch ../outside/pwned`",
        "; touch ../outside/pwned #",
        "' \" \\ | & > ../outside/pwned",
        "<%= 7 %>",
        "{{ 7 }}",
        "@PREFIX@ %s {0}",
        "../../outside/secret",
    ],
)
def test_a_value_is_written_as_it_is(demo: Demo, canary: Canary, value: str) -> None:
    demo.patch("1.patch", GOOD.replace("new", "<%= facts.os.name %>"))
    trees.apply(demo.workspace, trees.Target(name="demo", tree=demo.tree, on=host(demo, value)))
    assert (demo.tree / "x.c").read_text() == f"{value}\n"


def test_a_value_cannot_choose_the_file(demo: Demo, canary: Canary) -> None:
    demo.patch("1.patch", diff("<%= facts.os.name %>", "the canary's own words", "x"))
    with pytest.raises(InvalidInput, match="outside the tree"):
        trees.apply(demo.workspace, trees.Target(name="demo", tree=demo.tree, on=host(demo, "../outside/secret")))


def test_the_environment_cannot_make_gnu_patch_do_otherwise(demo: Demo, canary: Canary) -> None:
    demo.patch("1.patch", GOOD)
    demo.patch("2.patch", deleted("y.c", "other"))
    more = {"PATCH_GET": "1", "POSIXLY_CORRECT": "1", "PATCH_VERSION_CONTROL": "numbered", "SIMPLE_BACKUP_SUFFIX": "/x"}
    done = demo.hello.run("patch", "demo", "--tree", str(demo.tree), "--on", "debian-12", **more)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in demo.tree.iterdir()} == {".devsetup", ".git", "x.c"}

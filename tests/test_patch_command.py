"""`devsetup patch`: statuses, all or nothing, and back again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import Hello, tarball
from patchtree import Demo, created, deleted, diff, memory, snapshot

from devsetup.app import trees
from devsetup.errors import DevsetupError, InvalidInput, UsageError

__all__ = ["memory"]  # a fixture


@pytest.fixture
def demo(memory: Path) -> Demo:
    return Demo(Hello(memory, 9))


def hello_tree(hello: Hello) -> Path:
    tree = hello.root / "src"
    for name, text in hello.files.items():
        tree.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    return tree


def test_the_whole_walk_on_the_command_line(hello: Hello) -> None:
    tree = hello_tree(hello)
    pristine = snapshot(tree)
    argv = ("patch", "hello", "--tree", str(tree), "--on", "debian-12")

    done = hello.run(*argv, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0001-spelling.patch  applies" in done.stdout
    assert "0002-never.patch     not needed here  this is debian 12" in done.stdout
    assert snapshot(tree) == pristine

    done = hello.run(*argv)
    assert done.returncode == 0
    assert "0001-spelling.patch  applied" in done.stdout
    assert "changed: greet.c" in done.stdout
    assert '"hello"' in (tree / "greet.c").read_text()
    patched = snapshot(tree)

    record = json.loads(hello.run(*argv, "--json").stdout)["patch"]
    assert [each["status"] for each in record["patches"]] == ["applied", "not needed here"]
    assert record["changed"] == []
    assert snapshot(tree) == patched

    done = hello.run("patch", "hello", "--tree", str(tree), "--reverse")
    assert (done.returncode, done.stderr) == (0, "")
    assert "taken back" in done.stdout
    assert snapshot(tree) == pristine
    assert "nothing is applied" in hello.run("patch", "hello", "--tree", str(tree), "--reverse").stdout


def test_a_stale_patch_names_the_place_and_changes_nothing(hello: Hello) -> None:
    tree = hello_tree(hello)
    (tree / "greet.c").write_text('#include "greet.h"\n\nconst char *greet(int n) { return "helo"; }\n')
    pristine = snapshot(tree)
    argv = ("patch", "hello", "--tree", str(tree), "--on", "debian-12")
    place = (
        'greet.c:2: expected `const char *greet(void) { return "helo"; }`, '
        'nearest is line 3 `const char *greet(int n) { return "helo"; }`'
    )
    done = hello.run(*argv, "--check")
    assert done.returncode == 1
    assert place in done.stdout
    assert "needs rebase" in done.stdout
    done = hello.run(*argv)
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert place in done.stderr
    assert "hint: `devsetup patch ... --check`" in done.stderr
    record = json.loads(hello.run(*argv, "--check", "--json").stdout)["patch"]["patches"][0]
    assert record["misfit"]["file"] == "greet.c"
    assert (record["misfit"]["hunk"], record["misfit"]["line"], record["misfit"]["nearest_line"]) == (1, 2, 3)
    assert 60 < record["misfit"]["similarity"] < 100
    assert snapshot(tree) == pristine


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("demo", "--tree", "{root}/none"), 2, "does not exist"),
        (("demo", "--tree", "{root}/catalogue/recipes/demo.py"), 2, "is not a directory"),
        (("dmo", "--tree", "{root}/tree"), 2, "did you mean 'demo'?"),
        (("demo", "--tree", "{root}/tree", "--option", "colour"), 2, "K=V"),
        (("demo", "--tree", "{root}/tree", "--option", "colour=green", "--on", "debian-12"), 2, "red, blue"),
        (("demo", "--tree", "{root}/tree", "--on", "./none.json"), 2, "host"),
        (("demo",), 2, "--tree"),
    ],
)
def test_wrong_words_are_told(demo: Demo, argv: tuple[str, ...], code: int, words: str) -> None:
    done = demo.hello.run("patch", *(word.format(root=demo.hello.root) for word in argv))
    assert done.returncode == code
    assert words in done.stderr


def test_all_five_statuses_in_one_report(demo: Demo) -> None:
    demo.write(a_c="one\n", b_c="two\n", c_c="THREE\n", d_c="other\n")
    demo.patch("1.patch", diff("a.c", "one", "ONE"))
    demo.apply()
    demo.patch("2.patch", diff("b.c", "two", "TWO"))
    demo.patch("3.patch", diff("c.c", "three", "THREE"))
    demo.patch("4.patch", diff("d.c", "four", "FOUR"))
    demo.patch("5.patch", diff("e.c", "five", "FIVE"), when="When(os='macos')")
    before = snapshot(demo.tree)
    expected = {
        "1.patch": "applied",
        "2.patch": "applies",
        "3.patch": "already upstream",
        "4.patch": "needs rebase",
        "5.patch": "not needed here",
    }
    assert demo.check() == expected
    assert demo.apply() == expected, "one that does not fit keeps all others away"
    assert snapshot(demo.tree) == before
    demo.write(d_c="four\n")
    assert demo.apply() == {**expected, "2.patch": "applied", "4.patch": "applied"}
    assert demo.apply() == {**expected, "2.patch": "applied", "4.patch": "applied"}
    assert (demo.tree / "d.c").read_text() == "FOUR\n"


def test_patches_may_build_on_each_other_and_come_off_again(demo: Demo) -> None:
    demo.write(a_c="one\n")
    before = snapshot(demo.tree)
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.patch("2.patch", diff("a.c", "two", "three"))
    demo.patch("3.patch", created("new/deep/x.c", "first"))
    demo.patch("4.patch", diff("new/deep/x.c", "first", "second"))
    assert set(demo.apply().values()) == {"applied"}
    assert (demo.tree / "a.c").read_text() == "three\n"
    assert (demo.tree / "new/deep/x.c").read_text() == "second\n"
    assert set(demo.check().values()) == {"applied"}
    assert set(demo.check(reverse=True).values()) == {"applied"}
    assert set(demo.apply(reverse=True).values()) == {"taken back"}
    assert snapshot(demo.tree) == before


def test_what_half_fits_leaves_nothing_for_the_next_one(demo: Demo) -> None:
    demo.write(a_c="one\n", b_c="other\n")
    demo.patch("1.patch", diff("a.c", "one", "two") + diff("b.c", "three", "four"))
    demo.patch("2.patch", diff("a.c", "one", "five"))
    assert demo.check() == {"1.patch": "needs rebase", "2.patch": "applies"}


def test_modes_survive_and_deleted_files_come_back_as_they_were(demo: Demo) -> None:
    demo.file("run.sh", "old\n").chmod(0o755)
    demo.file("fixed.h", "old\n").chmod(0o444)
    demo.file("gone.sh", "bye\n").chmod(0o750)
    before = snapshot(demo.tree)
    demo.patch("1.patch", diff("run.sh", "old", "new") + diff("fixed.h", "old", "new"))
    demo.patch("2.patch", deleted("gone.sh", "bye"))
    demo.patch("3.patch", "diff --git a/tool b/tool\nnew file mode 100755\n" + created("tool", "#!/bin/sh"))
    demo.apply()
    modes = {path.name: path.stat().st_mode & 0o777 for path in demo.tree.iterdir() if path.is_file()}
    assert modes == {"run.sh": 0o755, "fixed.h": 0o444, "tool": 0o755}
    demo.apply(reverse=True)
    assert snapshot(demo.tree) == before


@pytest.mark.parametrize(
    "name", ["ünï/çödé.c", "日本.c", "with space.c", "a b/c d.c", "-dash.c", "$(touch x).c", "'q'.c"]
)
def test_names_of_all_kinds(demo: Demo, name: str) -> None:
    tab = "\t" if " " in name else ""
    demo.file(name, "one\n")
    before = snapshot(demo.tree)
    demo.patch("1.patch", f"--- a/{name}{tab}\n+++ b/{name}{tab}\n@@ -1 +1 @@\n-one\n+two\n")
    assert demo.apply() == {"1.patch": "applied"}
    assert (demo.tree / name).read_text() == "two\n"
    demo.apply(reverse=True)
    assert snapshot(demo.tree) == before


def test_bytes_that_are_no_text_survive(demo: Demo) -> None:
    path = demo.file("a.c", b"\xff\xfe\tone\x0cpage\n\x00\none\n")
    demo.patch("1.patch", "--- a/a.c\n+++ b/a.c\n@@ -3 +3 @@\n-one\n+two\n")
    demo.apply()
    assert path.read_bytes() == b"\xff\xfe\tone\x0cpage\n\x00\ntwo\n"


def test_a_form_feed_is_part_of_a_line(demo: Demo) -> None:
    demo.file("a.c", "one\n\x0c\x0b\u2028two\x85\nthree\n")
    demo.patch("1.patch", "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n-one\n+ONE\n \x0c\x0b\u2028two\x85\n three\n")
    assert demo.apply() == {"1.patch": "applied"}


def test_a_missing_last_newline_can_be_patched_when_the_patch_says_so(demo: Demo) -> None:
    path = demo.file("a.c", "one")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    assert demo.check() == {"1.patch": "needs rebase"}
    assert "no newline at its end" in demo.reason()
    demo.patch("1.patch", "--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-one\n\\ No newline at end of file\n+two\n")
    assert demo.apply() == {"1.patch": "applied"}
    assert path.read_bytes() == b"two\n"
    demo.apply(reverse=True)
    assert path.read_bytes() == b"one"


REASONS = {
    "missing": ({}, diff("src/x.c", "a", "b"), "src/x.c is not in the tree"),
    "crlf": ({"x.c": "ctx\r\na\r\n"}, diff("x.c", "a", "b", "ctx"), "x.c has CRLF line ends"),
    "created otherwise": ({"x.c": "mine\n"}, created("x.c", "yours"), "is in the tree already, with other content"),
    "deleted with more": ({"x.c": "a\nmore\n"}, deleted("x.c", "a"), "Not deleting|differs|nearest|FAILED"),
    "nothing like it": ({"x.c": "qqq\n"}, diff("x.c", "alpha beta", "b"), "nothing in the file is like it"),
    "half in one file": (
        {"x.c": "B\n1\n2\n3\n4\n5\n6\nc\n"},
        "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n-b\n+B\n 1\n@@ -7,2 +7,2 @@\n 6\n-c\n+C\n",
        "half applied: hunk 1 of x.c is in the tree already, hunk 2 of x.c is not",
    ),
    "half over two files": (
        {"x.c": "b\n", "y.c": "z\n"},
        diff("x.c", "a", "b") + diff("y.c", "z", "Z"),
        "half applied: hunk 1 of x.c is in the tree already, hunk 1 of y.c is not",
    ),
    "stands twice": (
        {"x.c": "ctx\nold\nend\n\nctx\nnew\nend\n"},
        "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n ctx\n-old\n+new\n end\n",
        "stand more than once",
    ),
    "comes off elsewhere": (
        {"x.c": "ctx\nnew\nend\n1\n2\n3\nctx\nold\nend\n4\n5\n6\np\nq\nr\n"},
        "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n ctx\n-old\n+new\n end\n@@ -13,3 +13,3 @@\n p\n-q\n+Q\n r\n",
        "stand more than once",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_a_patch_needs_rebase(demo: Demo, name: str) -> None:
    files, text, reason = REASONS[name]
    for path, content in files.items():
        demo.file(path, content)
    demo.patch("1.patch", text)
    before = snapshot(demo.tree)
    assert demo.apply() == {"1.patch": "needs rebase"}
    assert snapshot(demo.tree) == before
    assert any(part in demo.reason() for part in reason.split("|")), demo.reason()


def test_the_nearest_place_is_found_in_a_long_file(demo: Demo) -> None:
    filler = [f"    call_{n}(argument_{n});" for n in range(30_000)]
    filler[20_000:20_003] = ["}", "  cv::Mat image = cv::imread(name, cv::IMREAD_COLOR);", "  if (!image.data) {"]
    demo.file("src/x.cpp", "\n".join(filler) + "\n")
    old = "  cv::Mat image = cv::imread(name, CV_LOAD_IMAGE_COLOR);"
    demo.patch("1.patch", f"--- a/src/x.cpp\n+++ b/src/x.cpp\n@@ -57,3 +57,2 @@\n }}\n-{old}\n   if (!image.data) {{\n")
    misfit = demo.report().patches[0].misfit
    assert misfit is not None
    assert (misfit.line, misfit.nearest_line, misfit.expected) == (58, 20_002, old.strip())
    assert 70 < misfit.similarity < 100


def test_a_line_that_would_drive_a_terminal_is_shown_harmless(demo: Demo) -> None:
    demo.file("x.c", "int main(void) \x1b[31m\x07{ return 0; }\n")
    demo.patch("1.patch", diff("x.c", "int main(void) { return 0; }", "x"))
    assert "`int main(void) ?[31m?{ return 0; }`" in demo.reason()


def test_a_patch_that_someone_edited_after_it_was_applied(demo: Demo) -> None:
    path = demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.apply()
    path.write_text("three\n")
    before = snapshot(demo.tree)
    assert demo.apply(reverse=True) == {"1.patch": "needs rebase"}
    assert "changed since it was applied: a.c:1: expected `two`" in demo.report(reverse=True).patches[0].because
    assert snapshot(demo.tree) == before
    path.write_text("one\n")
    assert demo.report(reverse=True).patches[0].because == "is not in the tree any more"
    assert demo.check() == {"1.patch": "applies"}, "the tree was restored from elsewhere"
    assert demo.apply() == {"1.patch": "applied"}
    assert demo.apply(reverse=True) == {"1.patch": "taken back"}


def test_taking_back_what_is_gone_clears_the_record(demo: Demo) -> None:
    path = demo.file("a.c", "one\n")
    before = snapshot(demo.tree)
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.apply()
    path.write_text("one\n")
    assert demo.apply(reverse=True) == {"1.patch": "taken back"}
    assert snapshot(demo.tree) == before


def test_a_patch_that_changed_in_the_recipe_asks_to_be_taken_back(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.apply()
    demo.patch("1.patch", diff("a.c", "one", "three"))
    assert demo.check() == {"1.patch": "needs rebase"}
    assert "--reverse" in demo.reason()
    assert demo.apply(reverse=True) == {"1.patch": "taken back"}, "by the text that was applied"
    assert demo.apply() == {"1.patch": "applied"}


def test_patches_of_two_recipes_in_one_tree(demo: Demo) -> None:
    for name, text in demo.hello.files.items():
        demo.file(name, text)
    before = snapshot(demo.tree)
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.apply()
    other = trees.Target(name="hello", tree=demo.tree, on="debian-12")
    assert trees.apply(demo.workspace, other).changed == ("greet.c",)
    demo.apply(reverse=True)
    assert trees.apply(demo.workspace, other).changed == (), "still recorded"
    (demo.tree / "greet.c").write_text("edited by hand\n")
    demo.apply()
    demo.apply(reverse=True)
    (demo.tree / "greet.c").write_text(demo.hello.files["greet.c"].replace("helo", "hello"))
    trees.apply(demo.workspace, other, reverse=True)
    (demo.tree / "a.c").unlink()
    assert snapshot(demo.tree) == before


def test_the_generation_of_the_tree_decides(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"), when="When(source='old')")
    for version, generation, status in (
        ("1.4\n", "old", "applies"),
        ("2.0\n", "new", "not needed here"),
        ("1.0 beta\n", "", "not needed here"),
    ):
        demo.file("VERSION", version)
        report = demo.report()
        assert (report.generation, report.patches[0].status) == (generation, status)
    assert "generation unknown" in demo.reason()


def test_the_generation_of_a_local_source_reaches_the_plan(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.file("VERSION", "1.4\n")
    demo.patch("1.patch", diff("a.c", "one", "two"), when="When(source='old')")
    packed = demo.hello.root / "demo.tar.gz"
    packed.write_bytes(tarball({"sub/VERSION": "2.", "VERSION": "1.4\n", "a.c": "one\n"}))
    for path in (demo.tree, packed):
        assert demo.workspace.local_source("demo", path).generation == "old"
    packed.write_bytes(tarball({"other/VERSION": "1.4", "a.c": "one\n"}))
    assert demo.workspace.local_source("demo", packed).generation == ""


def test_plan_with_source_takes_the_patches_of_its_generation(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    text = recipe.read_text().replace("Check, LinkClosure", "Check, Generation, LinkClosure")
    text = text.replace('When(os="linux")', 'When(source="first")')
    mark = 'generations=(Generation(id="first", about="", file="greet.c", contains="helo"),), options='
    recipe.write_text(text.replace("options=", mark, 1))
    argv = ("plan", "hello", "--on", "debian-12", "--json")
    tree = hello_tree(hello)
    part = json.loads(hello.run(*argv, "--source", str(tree)).stdout)["plan"]["parts"][0]
    assert part["sources"][0]["generation"] == "first"
    assert part["patches"][0]["needed"]
    (tree / "greet.c").write_text("quite another\n")
    part = json.loads(hello.run(*argv, "--source", str(tree)).stdout)["plan"]["parts"][0]
    assert not part["patches"][0]["needed"]


def test_a_damaged_record_is_told(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "two"))
    demo.apply()
    record = demo.tree / ".devsetup/patches.json"
    data = json.loads(record.read_text())
    assert (data["patches"][0]["recipe"], data["patches"][0]["name"]) == ("demo", "1.patch")
    assert data["patches"][0]["sha256"] == hashlib.sha256(diff("a.c", "one", "two").encode()).hexdigest()
    data["patches"][0]["text"] = diff("a.c", "one", "evil")
    for text in (json.dumps(data), "{", "[]", ""):
        record.write_text(text)
        for call in (demo.check, demo.apply):
            with pytest.raises(InvalidInput, match=r"patches\.json is damaged"):
                call()
    record.unlink()
    assert demo.check() == {"1.patch": "already upstream"}


def test_option_and_host_reach_the_holes(demo: Demo) -> None:
    demo.file("a.c", "one\n")
    demo.patch("1.patch", diff("a.c", "one", "<%= options.colour %> <%= facts.os.id %>"))
    trees.apply(demo.workspace, demo.target(colour="blue"))
    assert (demo.tree / "a.c").read_text() == "blue debian\n"
    with pytest.raises(UsageError, match="colour"):
        trees.check(demo.workspace, demo.target(colour="green"))


def test_the_failure_of_a_stale_patch_is_one_error(demo: Demo) -> None:
    demo.patch("1.patch", diff("a.c", "one", "two"))
    error = trees.stale_error(demo.report())
    assert isinstance(error, DevsetupError)
    assert error.detail == ("1.patch: a.c is not in the tree",)

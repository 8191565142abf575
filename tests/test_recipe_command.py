"""`devsetup recipe new|lint|test`, as commands on real catalogues."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Hello

from devsetup.app import authoring
from devsetup.errors import Refused, StateError, UsageError
from devsetup.loader import Loader, default_root
from devsetup.recipe import Patch, Recipe, When
from devsetup.steps import UrlSource

HOST_COUNT = len(list((ROOT / "hosts").glob("*.json")))


def devsetup(*argv: str, catalogue: Path, home: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
    env = {**kept, "DEVSETUP_CATALOGUE": str(catalogue), "DEVSETUP_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "devsetup", *argv], env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def hello(tmp_path: Path) -> Hello:
    """conftest's catalogue without its server: nothing here fetches."""
    return Hello(tmp_path, port=9)


class TestNew:
    def test_the_scaffold_passes_lint_and_test_and_really_installs(self, tmp_path: Path) -> None:
        mine, home = tmp_path / "my catalogue", tmp_path / "home"
        done = devsetup("recipe", "new", "add-er_2", "--dir", str(mine), catalogue=ROOT, home=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"wrote {mine}/recipes/add-er_2.py" in done.stdout
        assert f"DEVSETUP_CATALOGUE='{mine}' devsetup install add-er_2" in done.stdout

        lint = devsetup("recipe", "lint", "--json", catalogue=mine, home=home)
        assert (lint.returncode, json.loads(lint.stdout)) == (0, {"schema": 1, "findings": []})
        test = devsetup("recipe", "test", "add-er_2", "--json", catalogue=mine, home=home)
        outcomes = json.loads(test.stdout)["tested"]["plans"]
        assert test.returncode == 0
        assert {outcome["status"] for outcome in outcomes} == {"planned"}
        assert len(outcomes) == HOST_COUNT
        assert not home.exists()

        install = devsetup("install", "add-er_2", "-y", "--json", catalogue=mine, home=home)
        assert install.returncode == 0, install.stderr
        ran = devsetup("run", "add-er_2", "--", "sh", "-c", "echo 1 2 3 | add-er_2", catalogue=mine, home=home)
        assert ran.stdout == "3 numbers, sum 6\n"
        (result,) = (home / "receipts").glob("*/result.json")
        assert json.loads(result.read_text()) == {"said": "1000 numbers, sum 500500"}

    def test_its_workload_can_fail(self, tmp_path: Path) -> None:
        """A program that adds wrongly must not count as installed."""
        mine, home = tmp_path / "mine", tmp_path / "home"
        authoring.new("adder", mine, like=ROOT)
        recipe = mine / "recipes/adder.py"
        recipe.write_text(recipe.read_text().replace("sum += number;", "sum += number == 1000 ? 0 : number;"))
        done = devsetup("install", "adder", "-y", catalogue=mine, home=home)
        assert done.returncode == 1
        assert "add up the first thousand numbers" in done.stderr
        listed = json.loads(devsetup("list", "--json", catalogue=mine, home=home).stdout)["recipes"]
        assert [(recipe["name"], recipe["installed"]) for recipe in listed] == [("adder", None)]

    def test_what_it_says_about_sources_and_patches_is_right(self, tmp_path: Path) -> None:
        text = authoring.new("adder", tmp_path, like=ROOT)[0].read_text()
        shown = text[text.index("    sources=(") : text.index("and its steps begin")]
        fields = eval(f"dict({shown})", {"UrlSource": UrlSource, "Patch": Patch, "When": When})  # noqa: S307 - our own
        recipe = Recipe(name="x", version="1", summary="", homepage="", licence="", steps=iter, **fields)
        assert recipe.patches[0].when.libraries == {"boost": ">=1.67"}
        for call in ("yield from ctx.source(into=TREE)", "yield from ctx.patches(tree=TREE)"):
            assert call in text

    def test_the_catalogue_in_use_is_the_default(self, hello: Hello) -> None:
        done = hello.run("recipe", "new", "adder")
        assert done.returncode == 0, done.stderr
        assert "  devsetup install adder" in done.stdout
        assert "adder" in hello.run("list").stdout

    @pytest.mark.parametrize("there", ["recipes/adder.py", "workloads/adder/mine.sh", "patches/adder/0001.patch"])
    def test_what_is_there_stays(self, tmp_path: Path, there: str) -> None:
        path = tmp_path / there
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(Refused, match="is there already"):
            authoring.new("adder", tmp_path, like=ROOT)
        assert path.read_text() == "mine"
        assert sorted(tmp_path.rglob("*")) == before

    def test_an_installed_package_is_not_written_into(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="belongs to the installed package") as caught:
            authoring.new("adder", tmp_path / "_data", like=ROOT)
        assert "--dir" in str(caught.value.hint)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["Adder", "2adder", "-adder", "ad/der", "..", "", "ad der", "adder\n"])
    def test_a_name_that_cannot_be_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="cannot name a recipe"):
            authoring.new(name, tmp_path, like=ROOT)
        assert not list(tmp_path.iterdir())

    def test_a_catalogue_that_cannot_be_written_leaves_no_half_recipe(self, tmp_path: Path) -> None:
        (tmp_path / "workloads").write_text("a file where a directory should be")
        with pytest.raises(StateError, match="cannot write a recipe into"):
            authoring.new("adder", tmp_path, like=ROOT)
        assert not (tmp_path / "recipes/adder.py").exists()

    def test_the_hosts_of_a_catalogue_that_has_some_stay(self, tmp_path: Path) -> None:
        (tmp_path / "hosts").mkdir()
        authoring.new("adder", tmp_path, like=ROOT)
        assert not list((tmp_path / "hosts").iterdir())

    def test_files_are_plain(self, tmp_path: Path) -> None:
        for path in authoring.new("adder", tmp_path, like=ROOT):
            assert not path.stat().st_mode & stat.S_IXUSR
            assert "NAME" not in path.read_text()
            assert all(len(line) <= 120 for line in path.read_text().splitlines())

    def test_the_scaffold_keeps_the_catalogues_own_rules(self, tmp_path: Path) -> None:
        """ruff with the rules of recipes/, and mypy's reading of it, find nothing."""
        path = authoring.new("adder", tmp_path, like=ROOT)[0]
        ruff = [sys.executable, "-m", "ruff"]
        config = ("--config", str(ROOT / "recipes/ruff.toml"), "--config", "lint.per-file-ignores={'**'=['INP001']}")
        for argv in (
            ("check", "--no-cache", *config, str(path)),
            ("format", "--check", "--no-cache", *config, str(path)),
        ):
            done = subprocess.run([*ruff, *argv], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


class TestLint:
    def rules(self, hello: Hello, name: str = "hello") -> dict[str, authoring.Finding]:
        """The last finding of each rule."""
        return {finding.rule: finding for finding in authoring.lint(Loader(hello.catalogue), (name,))}

    def change(self, hello: Hello, old: str, new: str) -> str:
        path = hello.catalogue / "recipes/hello.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path.read_text()

    def line(self, text: str, needle: str) -> int:
        return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)

    def test_every_recipe_of_the_catalogue_is_clean(self) -> None:
        assert authoring.lint(Loader(default_root({})), ()) == ()

    def test_findings_are_told_with_file_line_fix_and_a_status(self, hello: Hello) -> None:
        text = self.change(hello, 'licence="MIT"', 'licence="do what you like"')
        done = hello.run("recipe", "lint", "hello")
        assert done.returncode == 1
        row = next(line for line in done.stdout.splitlines() if "licence" in line)
        assert row.startswith(f"recipes/hello.py:{self.line(text, 'do what you like')} ")
        for words in ("error", "licence 'do what you like' is no SPDX expression", "MIT OR Apache-2.0"):
            assert words in row
        found = json.loads(hello.run("recipe", "lint", "hello", "--json").stdout)["findings"]
        assert {"recipe": "hello", "rule": "licence", "level": "error"}.items() <= found[1].items()
        assert not hello.home.exists()

    def test_warnings_alone_are_no_failure(self, hello: Hello) -> None:
        path = hello.catalogue / "recipes/hello.py"
        text = path.read_text().replace("http://127.0.0.1", "https://127.0.0.1")
        text = re.sub(r"        Workload\(.*?\n        \),\n", "", text, flags=re.DOTALL)
        text = re.sub(r"    patches=\(.*?\n    \),\n", "", text, flags=re.DOTALL)
        path.write_text(f'"""A greeting."""\n{text}')
        for patch in (hello.catalogue / "patches/hello").iterdir():
            patch.unlink()
        assert {rule: finding.level for rule, finding in self.rules(hello).items()} == {"workload": "warning"}
        done = hello.run("recipe", "lint")
        assert done.returncode == 0
        assert "1 warning in 1 recipe" in done.stdout

    @pytest.mark.parametrize(
        ("old", "new", "rule", "at"),
        [
            ('licence="MIT"', 'licence=""', "licence", "licence="),
            ('licence="MIT"', 'licence="MIT AND"', "licence", "licence="),
            ('homepage="https', 'homepage="http', "homepage", "homepage="),
            ('summary="A greeting, from source"', 'summary=" "', "summary", "summary="),
            ('why="it greets with a misspelt word"', 'why=""', "patch-why", "0001-spelling"),
            ("0002-never.patch", "0002-ever.patch", "patch-missing", "0002-ever"),
            ("0002-never.patch", "0002-ever.patch", "patch-unnamed", "patches="),
            ('libraries=("gcc"', 'libraries=("gccc"', "library", "gccc"),
            ("    libraries=", '    needs=("helo",),\n    libraries=', "needs", '"helo"'),
            ("TREE =", "import os\nTREE =", "impure", "import os"),
        ],
    )  # fmt: skip
    def test_a_rule_finds_its_line(self, hello: Hello, old: str, new: str, rule: str, at: str) -> None:
        before = self.rules(hello).get(rule)
        text = self.change(hello, old, new)
        found = self.rules(hello)[rule]
        assert (found.level, found.path, found.line) == ("error", "recipes/hello.py", self.line(text, at))
        assert found.fix
        assert found != before

    def test_a_patch_without_upstream(self, hello: Hello) -> None:
        assert self.rules(hello)["patch-upstream"].message.startswith("0002-never.patch")
        self.change(hello, 'why="only for a Mac"', 'why="only for a Mac", upstream="https://example.org/2"')
        assert self.rules(hello)["patch-upstream"].message.startswith("0001-spelling.patch")
        self.change(hello, 'misspelt word", ', 'misspelt word", upstream="http://example.org/1", ')
        assert "patch-upstream" in self.rules(hello)
        self.change(hello, "http://example.org/1", "https://example.org/1")
        assert "patch-upstream" not in self.rules(hello)

    @pytest.mark.parametrize("sha256", ["", "abc", "A" * 64, "0" * 63, "0" * 65])
    def test_a_bad_sha256(self, hello: Hello, sha256: str) -> None:
        hello.write_source(sha256=sha256 or "x")
        if not sha256:
            self.change(hello, "sha256='x'", "sha256=''")
        assert "64 lower-case hex digits" in self.rules(hello)["source-sha256"].message
        hello.write_source()
        assert "source-sha256" not in self.rules(hello)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "does not end with a newline"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n", "cut off"),
            ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "outside the tree"),
            ("<% if facts %>\n", "no block tags"),
        ],
    )
    def test_a_malformed_patch(self, hello: Hello, text: str, said: str) -> None:
        (hello.catalogue / "patches/hello/0002-never.patch").write_text(text)
        found = self.rules(hello)["patch-form"]
        assert "0002-never.patch" in found.message
        assert said in found.message

    def test_a_hole_in_a_patch_is_no_malformation(self, hello: Hello) -> None:
        path = hello.catalogue / "patches/hello/0002-never.patch"
        path.write_text(path.read_text().replace('"hello"', '"<%= facts.apple.sdk %>"'))
        assert "patch-form" not in self.rules(hello)

    def test_no_proofs(self, hello: Hello) -> None:
        path = hello.catalogue / "recipes/hello.py"
        path.write_text(re.sub(r"    proofs=\(.*?\n    \),\n", "", path.read_text(), flags=re.DOTALL))
        rules = self.rules(hello)
        assert rules["proofs"].level == "error"
        assert "workload" not in rules

    def test_documentation_and_length(self, hello: Hello) -> None:
        assert self.rules(hello)["undocumented"].line == 1
        text = self.change(hello, "def steps(ctx):\n", "def steps(ctx):\n" + "    ctx.facts\n" * 60)
        found = self.rules(hello)["long-function"]
        assert found.line == self.line(text, "def steps")
        assert re.search(r"steps has \d\d lines, more than 60", found.message)

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("import os", "imports os"),
            ("import os.path as p", "imports os.path"),
            ("from pathlib import Path", "imports pathlib"),
            ("from devsetup.runner import Runner", "imports devsetup.runner"),
            ("from . import other", "imports ."),
            ("from .re import sub", "imports .re"),
            ("import subprocess, re", "imports subprocess"),
            ("X = lambda: open('x')", "uses open"),
            ("f = open", "uses open"),
            ("def late():\n    import socket\n", "imports socket"),
            ("X = lambda: eval('1')", "uses eval"),
            ("X = lambda: __import__('os')", "uses __import__"),
            ("X = ().__class__.__bases__", "reaches for __bases__"),
            ("from devsetup.recipe import *\nX = platform.system()", "uses platform"),
        ],
    )
    def test_impure_code_is_told_and_not_run(self, hello: Hello, tmp_path: Path, code: str, said: str) -> None:
        mark = tmp_path / "ran"
        path = hello.catalogue / "recipes/hello.py"
        path.write_text(f'"""Doc."""\n{code}\nraise SystemExit(9)\n')
        found = authoring.lint(Loader(hello.catalogue), ())
        assert {finding.rule for finding in found} == {"impure"}
        assert any(finding.message.startswith(f"{said}, but") for finding in found)
        assert not mark.exists()

    @pytest.mark.parametrize(
        ("code", "said", "line"),
        [
            ("def steps(:\n", "is not Python", 1),
            ("x = '\0'\n", "is not Python", None),
            ('"""Doc."""\n1 / 0\n', "ZeroDivisionError", None),
            ('"""Doc."""\n', "must define RECIPE", None),
        ],
    )
    def test_a_file_that_does_not_load(self, hello: Hello, code: str, said: str, line: int | None) -> None:
        (hello.catalogue / "recipes/hello.py").write_text(code)
        found = self.rules(hello)["loads"]
        assert said in found.message
        if line:
            assert found.line == line
        done = hello.run("recipe", "lint")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr

    def test_an_unknown_recipe_is_named(self, hello: Hello) -> None:
        done = hello.run("recipe", "lint", "helo")
        assert done.returncode == 2
        assert "did you mean 'hello'?" in done.stderr

    def test_all_recipes_are_looked_at_without_a_name(self, hello: Hello) -> None:
        for name in ("one", "two"):
            (hello.catalogue / f"recipes/{name}.py").write_text("import os\n")
        found = authoring.lint(Loader(hello.catalogue), ())
        assert {finding.recipe for finding in found} == {"hello", "one", "two"}


BODY = '''"""A recipe under test."""

from devsetup.recipe import Recipe
from devsetup.steps import ApplyPatch, Run
COUNT = []


def steps(ctx):
    {body}
    yield Run(argv=("true",), title="nothing")


def supports(facts, options):
    return "too old" if facts.os.id == "fedora" else None


RECIPE = Recipe(name="tried", version="1", summary="s", homepage="https://x", licence="MIT", steps=steps,
                supports=supports)
'''


class TestTest:
    def outcomes(self, hello: Hello, body: str) -> dict[str, authoring.Outcome]:
        (hello.catalogue / "recipes/tried.py").write_text(BODY.format(body=body))
        return {outcome.host: outcome for outcome in authoring.trial(Loader(hello.catalogue), ("tried",))}

    def test_every_host_has_an_outcome(self, hello: Hello) -> None:
        found = self.outcomes(hello, "pass")
        assert len(found) == HOST_COUNT
        assert {host for host, outcome in found.items() if outcome.status == "refused"} == {"fedora-40", "fedora-42"}
        assert found["fedora-40"].reason.endswith("too old")
        assert (found["debian-12"].status, found["debian-12"].steps, found["debian-12"].patches) == ("planned", 1, 0)
        assert not [outcome for outcome in found.values() if outcome.status == "error"]

    def test_the_table_and_the_status(self, hello: Hello) -> None:
        done = hello.run("recipe", "test", "hello")
        assert (done.returncode, done.stderr) == (0, "")
        rows = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("hello ")}
        assert len(rows) == HOST_COUNT
        assert rows["debian-12"].split(maxsplit=2)[2] == rows["fedora-42"].split(maxsplit=2)[2]
        assert re.search(r"planned +\d+ steps, 1 patches", rows["debian-12"])
        assert f"{HOST_COUNT} planned" in done.stdout
        assert not hello.home.exists()

    def test_what_devsetup_itself_imports_late_is_no_touch(self, hello: Hello) -> None:
        """A hole in a patch loads the template engine, in the middle of planning, in a fresh process."""
        path = hello.catalogue / "patches/hello/0001-spelling.patch"
        path.write_text(path.read_text().replace('+const char *greet(void) { return "hello"', "+<%= facts.os.id %>"))
        done = hello.run("recipe", "test", "hello")
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("open('/etc/passwd').close()", "it did: open '/etc/passwd'"),
            ("import os; os.listdir('/')", "it did: os.listdir '/'"),
            ("import os; os.system('true')", "it did: os.system"),
            ("import subprocess; subprocess.run(['true'])", "it did: subprocess.Popen"),
            ("import socket; socket.socket()", "it did: socket.__new__"),
            ("import os; os.putenv('A', 'b')", "it did: os.putenv"),
            ("import pathlib; pathlib.Path('/tmp/devsetup-no').mkdir()", "it did: os.mkdir"),
        ],
    )
    def test_a_recipe_that_touches_the_machine_is_an_error(self, hello: Hello, body: str, said: str) -> None:
        found = self.outcomes(hello, body)["debian-12"]
        assert found.status == "error"
        assert said in found.reason
        assert not Path("/tmp/devsetup-no").exists()

    def test_also_when_it_hides_that(self, hello: Hello) -> None:
        body = "try:\n        open('/etc/passwd')\n    except Exception:\n        pass"
        found = self.outcomes(hello, body)
        assert "it did: open '/etc/passwd'" in found["debian-12"].reason
        assert found["fedora-42"].status == "refused"

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("COUNT.append(1); yield Run(argv=(str(len(COUNT)),), title='x')", "two different plans"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("yield 3", "it yields 3, which is not one of devsetup.steps"),
            ("ctx.text('workloads/tried/none.sh')", "does not ship with it"),
        ],
    )
    def test_other_mistakes_are_errors_too(self, hello: Hello, body: str, said: str) -> None:
        found = self.outcomes(hello, body)["debian-12"]
        assert found.status == "error"
        assert said in found.reason

    def test_an_error_anywhere_is_the_exit_status(self, hello: Hello) -> None:
        (hello.catalogue / "recipes/tried.py").write_text(
            BODY.format(body="if ctx.facts.os.id == 'macos': open('/etc/passwd')")
        )
        done = hello.run("recipe", "test", "hello", "tried", "--json")
        assert done.returncode == 1
        found = {(o["recipe"], o["host"]): o["status"] for o in json.loads(done.stdout)["tested"]["plans"]}
        assert (found["tried", "macos-26"], found["tried", "debian-12"]) == ("error", "planned")
        assert found["hello", "macos-26"] == "planned"

    def test_the_machine_is_within_reach_again_afterwards(self, hello: Hello) -> None:
        self.outcomes(hello, "open('/etc/passwd')")
        assert Path("/etc/os-release").read_text()

    def test_an_unknown_recipe_or_none_is_a_usage_error(self, hello: Hello) -> None:
        assert "did you mean 'hello'?" in hello.run("recipe", "test", "helo").stderr
        assert hello.run("recipe", "test").returncode == 2


class TestTree:
    """Patches on real trees, with the real `patch`."""

    def tree(self, hello: Hello, name: str, **changed: str) -> Path:
        tree = hello.root / name
        tree.mkdir()
        for file, text in {**hello.files, **changed}.items():
            (tree / file).write_text(text)
        return tree

    def on_trees(self, hello: Hello, *trees: Path) -> tuple[int, dict[tuple[str, str], dict[str, object]]]:
        argv = [word for tree in trees for word in ("--tree", str(tree))]
        done = hello.run("recipe", "test", "hello", "--json", *argv)
        found = json.loads(done.stdout)["tested"]["trees"]
        return done.returncode, {(Path(each["tree"]).name, each["host"]): each for each in found}

    def test_every_host_on_every_tree(self, hello: Hello) -> None:
        fresh = self.tree(hello, "fresh")
        done = self.tree(hello, "done", **{"greet.c": hello.files["greet.c"].replace("helo", "hello")})
        before = hello.snapshot()
        status, found = self.on_trees(hello, fresh, done)
        assert status == 0
        assert len(found) == 2 * HOST_COUNT
        assert found["fresh", "debian-12"]["counts"] == {"applies": 1, "not needed here": 1}
        assert found["done", "debian-12"]["counts"] == {"already upstream": 1, "not needed here": 1}
        assert found["fresh", "macos-10.9"]["counts"] == {"not needed here": 2}
        assert {each["status"] for each in found.values()} == {"fits"}
        assert hello.snapshot() == before

    def test_a_tree_that_moved_is_an_error_with_the_patch_and_the_reason(self, hello: Hello) -> None:
        moved = self.tree(hello, "moved", **{"greet.c": "int other;\n"})
        status, found = self.on_trees(hello, moved)
        assert status == 1
        assert found["moved", "debian-12"]["status"] == "error"
        assert "0001-spelling.patch: " in str(found["moved", "debian-12"]["reason"])
        assert found["moved", "macos-10.9"]["status"] == "fits"
        text = hello.run("recipe", "test", "hello", "--tree", str(moved)).stdout
        row = next(line for line in text.splitlines() if line.startswith(str(moved)) and " debian-12 " in line)
        assert "0001-spelling.patch" in row
        assert "2 not needed here" in text

    def test_a_tree_is_of_one_recipe_and_there(self, hello: Hello) -> None:
        (hello.catalogue / "recipes/tried.py").write_text(BODY.format(body="pass"))
        several = hello.run("recipe", "test", "hello", "tried", "--tree", str(hello.root))
        assert (several.returncode, "name just that one" in several.stderr) == (2, True)
        absent = hello.run("recipe", "test", "hello", "--tree", str(hello.root / "absent"))
        assert (absent.returncode, "does not exist" in absent.stderr) == (2, True)


def test_recipe_alone_explains_itself(hello: Hello) -> None:
    done = hello.run("recipe", "--help")
    for words in ("Start a recipe that works as it is.", "Check the files", "on every declared host", "--home"):
        assert words in done.stdout
    wrong = hello.run("recipe", "lnt")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr

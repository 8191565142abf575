from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Hello

import devsetup
from devsetup.cli.root import COMMANDS


def test_version_imports_nothing_of_ours_but_the_version() -> None:
    code = (
        "import sys; sys.argv = ['devsetup', '--version']; from devsetup.__main__ import main; main(); "
        "print([m for m in sys.modules if m.startswith(('devsetup.', 'click', 'msgspec'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"devsetup {devsetup.__version__}", "['devsetup.__main__']"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(hello: Hello, command: str) -> None:
    done = hello.run(command, "--help")
    assert done.returncode == 0
    assert "Usage: devsetup" in done.stdout
    assert "--home" in done.stdout


def test_help_lists_every_command(hello: Hello) -> None:
    text = hello.run("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert name in text
        assert line in text


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("instal", "hello"), 2, "did you mean 'install'?"),
        (("install", "helo", "-y"), 2, "did you mean 'hello'?"),
        (("info", "zzz"), 2, "known: hello"),
        (("install",), 2, "Missing argument"),
        (("install", "hello", "--jobs", "0"), 2, "--jobs"),
        (("install", "hello", "--option", "volume"), 2, "K=V"),
        (("install", "hello", "--option", "volume=louder"), 2, "soft, loud"),
        (("install", "hello", "--option", "colour=red"), 2, "no option 'colour'"),
        (("plan", "hello", "--on", "debian-3"), 2, "debian-11"),
        (("facts", "--on", "/etc/hostname"), 1, "not a valid host description"),
        (("env", "hello"), 2, "devsetup install hello"),
        (("env", "helo"), 2, "did you mean 'hello'?"),
        (("run", "hello"), 2, "devsetup run"),
        (("log", "hello"), 2, "nothing is recorded"),
        (("search", "zzz"), 1, "devsetup list"),
        (("--frobnicate",), 2, "--help"),
    ],
)
def test_bad_input_gets_a_clear_error_and_the_right_status(
    hello: Hello, argv: tuple[str, ...], code: int, words: str
) -> None:
    done = hello.run(*argv)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not hello.home.exists()


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (("list",), "recipes"),
        (("search", "greet"), "recipes"),
        (("info", "hello"), "recipe"),
        (("facts",), "facts"),
        (("facts", "--on", "debian-13"), "facts"),
        (("plan", "hello"), "plan"),
        (("plan", "hello", "--on", "debian-13"), "plan"),
        (("install", "hello", "--dry-run"), "plan"),
        (("verify",), "verified"),
        (("gc", "--dry-run"), "garbage"),
    ],
)
def test_every_query_has_json(hello: Hello, argv: tuple[str, ...], kind: str) -> None:
    done = hello.run(*argv, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["schema"] == 1
    assert kind in data
    assert not hello.home.exists()


def test_facts_of_this_machine_are_a_valid_declared_host(hello: Hello, tmp_path: Path) -> None:
    path = tmp_path / "here.json"
    path.write_text(hello.run("facts", "--json").stdout)
    here = json.loads(hello.run("plan", "hello", "--json").stdout)["plan"]
    there = json.loads(hello.run("plan", "hello", "--json", "--on", str(path)).stdout)["plan"]
    assert here["digest"] == there["digest"]
    assert here["facts"] == there["facts"]


def test_a_plan_shows_packages_sources_patches_steps_and_proofs(hello: Hello) -> None:
    text = hello.run("plan", "hello").stdout
    for words in (
        "g++",
        hello.url,
        "0001-spelling.patch",
        "misspelt",
        "this is debian",
        "compile hello",
        "link closure",
    ):
        assert words in text, words
    other = hello.run("plan", "hello", "--on", "debian-13").stdout
    assert "plan" in other
    assert "debian 13" in other


def test_info_says_where_each_patch_applies(hello: Hello) -> None:
    text = hello.run("info", "hello").stdout
    line = next(line for line in text.splitlines() if line.startswith("0002-never.patch"))
    assert "macos >=10.10" in line
    assert "macos 10.10 to 26-arm64" in line
    assert "debian" not in line
    other = next(line for line in text.splitlines() if line.startswith("0001-spelling.patch"))
    assert "debian; fedora; ubuntu" in " ".join(other.split())


def test_home_is_accepted_before_and_after_the_command(hello: Hello, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert hello.run("install", "hello", "-y", "--home", str(other)).returncode == 0
    assert (other / "store").is_dir()
    assert not hello.home.exists()
    found = json.loads(hello.run("--home", str(other), "list", "--json").stdout)
    assert found["recipes"][0]["installed"]


@pytest.fixture
def installed(hello: Hello) -> Hello:
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    return hello


def test_run_passes_arguments_output_and_status_through(installed: Hello) -> None:
    done = installed.run("run", "hello", "--", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    done = installed.run("run", "hello", "--", "sh", "-c", 'echo "$1" "$HELLO_HOME"; exit 5', "x", "--json")
    assert done.returncode == 5
    assert done.stdout == f"--json {installed.prefixes()[0]}\n"
    missing = installed.run("run", "hello", "--", "no-such-program")
    assert missing.returncode == 1
    assert "no-such-program was not found" in missing.stderr


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_env_activates_in_real_shells(installed: Hello, shell: str) -> None:
    program = shutil.which(shell)
    assert program, f"{shell} is needed by this test; .ci/run installs it"
    code = installed.run("env", "hello", "--shell", shell).stdout
    home = installed.root / "shell-home"
    home.mkdir()
    done = subprocess.run(
        [program, "-c", f"{code}\nhello; echo $HELLO_HOME"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"hello\n{installed.prefixes()[0]}\n"


def test_env_never_leaves_an_empty_entry_in_a_path(installed: Hello) -> None:
    code = installed.run("env", "hello", "--shell", "sh").stdout
    done = subprocess.run(
        ["/bin/sh", "-c", f'unset PATH\n{code}\necho "$PATH"'], env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{installed.prefixes()[0]}/bin\n"


def test_shell_starts_the_users_shell_with_the_install_active(installed: Hello, tmp_path: Path) -> None:
    shell = tmp_path / "myshell"
    shell.write_text("#!/bin/sh\nhello\necho $DEVSETUP_ACTIVE\nexit 4\n")
    shell.chmod(0o755)
    done = installed.run("shell", "hello", SHELL=str(shell))
    assert done.returncode == 4
    assert done.stdout == "hello\nhello\n"


def test_verify_repeats_the_proofs_and_notices_damage(installed: Hello) -> None:
    good = installed.run("verify", "hello", "--workload", "--json")
    assert good.returncode == 0, good.stderr
    assert [f["status"] for f in json.loads(good.stdout)["verified"][0]["findings"]] == ["ok", "ok", "ok"]
    quick = json.loads(installed.run("verify", "--json").stdout)["verified"][0]["findings"]
    assert [f["status"] for f in quick] == ["ok", "ok", "skip"]
    (installed.prefixes()[0] / "lib/libgreet.so").unlink()
    bad = installed.run("verify", "hello")
    assert bad.returncode == 1
    assert "libgreet.so" in bad.stdout
    events = [e["event"] for e in json.loads(installed.run("log", "hello", "--json").stdout)["history"]]
    assert events == ["installed", "verified", "verified", "verified"]


def test_list_shows_what_is_installed(installed: Hello) -> None:
    line = next(line for line in installed.run("list").stdout.splitlines() if line.startswith("hello"))
    assert "installed" in line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(hello: Hello, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(hello.run("completion", shell).stdout)
    program = shutil.which(shell)
    assert program, f"{shell} is needed by this test; .ci/run installs it"
    subprocess.run([program, "-n", str(script)], check=True)


def test_completion_knows_recipes_and_hosts(hello: Hello) -> None:
    def complete(line: str) -> str:
        words = line.split(" ")
        env = hello.env(_DEVSETUP_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        program = Path(sys.executable).with_name("devsetup")
        return subprocess.run([program], env=env, capture_output=True, text=True, check=True).stdout

    assert "plain,install" in complete("devsetup ins")
    assert "plain,hello" in complete("devsetup install he")
    assert "plain,debian-13" in complete("devsetup plan hello --on debian-1")


def test_a_closed_pipe_is_not_an_error_message(hello: Hello) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m devsetup facts --json | head -1"],
        env=hello.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_a_bug_is_reported_with_a_log_file_and_status_3(hello: Hello, tmp_path: Path) -> None:
    broken = tmp_path / "sitecustomize.py"
    broken.write_text(
        "import devsetup.app.workspace as w\ndef boom(*a): raise RuntimeError('boom')\nw.Workspace.facts = boom\n"
    )
    done = hello.run("facts", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}", TMPDIR=str(tmp_path))
    assert done.returncode == 3
    assert "bug in devsetup: RuntimeError: boom" in done.stderr
    assert "Traceback" not in done.stderr
    (log,) = tmp_path.glob("devsetup-bug-*.log")
    assert str(log) in done.stderr
    assert "boom" in log.read_text()


def test_a_recipe_that_does_not_load_is_named(hello: Hello) -> None:
    (hello.catalogue / "recipes/broken.py").write_text("RECIPE = 1/0\n")
    done = hello.run("info", "broken")
    assert done.returncode == 1
    assert "broken.py" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_no_color_and_pipes_give_plain_lines(hello: Hello) -> None:
    assert "\x1b" not in hello.run("plan", "hello").stdout

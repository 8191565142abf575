"""The shell form, run for real by dash: the same commands, the same files, and failures that say what to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Hello
from rendering import (
    check,
    contents,
    differences,
    install,
    run_script,
    trace,
    workspace,
)

from devsetup.planner import Wish
from devsetup.render.shell import shell


def write(hello: Hello) -> Path:
    script = hello.root / "hello.sh"
    script.write_text(shell(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)))))
    return script


def test_the_script_runs_the_same_commands_and_makes_the_same_prefix(hello: Hello) -> None:
    ours = install(workspace(hello.home, hello.catalogue), "hello", jobs=2)
    script = write(hello)
    check(script)
    mine = hello.root / "by-devsetup"
    hello.home.rename(mine)
    done = run_script(script, hello.home, DEVSETUP_JOBS="2", DEVSETUP_TRACE=str(hello.root / "trace"))
    assert done.returncode == 0, done.stderr
    assert trace(hello.root / "trace") == ours
    assert len(ours) == 5
    (prefix,) = (hello.home / "store").iterdir()
    by_devsetup = contents(mine / "store" / prefix.name)
    assert "bin/hello" in by_devsetup
    assert differences(contents(prefix), by_devsetup) == []


def test_it_leaves_what_the_workload_made_and_no_build_tree(hello: Hello) -> None:
    done = run_script(write(hello), hello.home)
    assert done.returncode == 0, done.stderr
    (prefix,) = (hello.home / "store").iterdir()
    assert (hello.home / "receipts" / prefix.name / "result.json").read_text() == '{"greetings": 20}'
    assert not list((hello.home / "build").iterdir())
    assert f"export PATH={prefix}/bin${{PATH:+:$PATH}}" in done.stdout
    assert f"export HELLO_HOME={prefix}\n" in done.stdout


def test_a_second_run_builds_nothing_and_a_foreign_prefix_is_left_alone(hello: Hello) -> None:
    script = write(hello)
    run_script(script, hello.home)
    done = run_script(script, hello.home, DEVSETUP_TRACE=str(hello.root / "trace"))
    assert done.returncode == 0
    assert "is there already" in done.stderr
    assert not (hello.root / "trace").exists()
    (prefix,) = (hello.home / "store").iterdir()
    shutil.rmtree(hello.home / "receipts")
    before = contents(prefix)
    done = run_script(script, hello.home)
    assert done.returncode == 1
    assert "was not made by this script" in done.stderr
    assert contents(prefix) == before


def test_a_failed_step_is_named_with_a_line_that_repeats_it_and_the_next_run_starts_over(hello: Hello) -> None:
    hello.gate("test -e ok\n")
    script = write(hello)
    done = run_script(script, hello.home)
    assert done.returncode == 1
    assert "failed in step: gate" in done.stderr
    line = next(line for line in done.stderr.splitlines() if "by hand: " in line).partition("by hand: ")[2]
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 1
    (tree,) = (hello.home / "build").iterdir()
    (tree / "hello/ok").touch()
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 0
    assert f"kept for a look: {tree}" in done.stderr
    (prefix,) = (hello.home / "store").iterdir()
    (prefix / "left").touch()
    assert run_script(script, hello.home).returncode == 1  # over from the start: the tree is new
    assert not (prefix / "left").exists()


def test_interrupted_it_says_where_it_was(hello: Hello) -> None:
    hello.gate("touch started; exec sleep 60\n")  # nothing is forked that the signal could miss
    env = {"PATH": os.environ["PATH"], "DEVSETUP_HOME": str(hello.home), "HOME": str(hello.root)}
    process = subprocess.Popen(
        ["/bin/sh", write(hello)], env=env, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while not list(hello.home.glob("build/*/hello/started")):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"failed in step: gate" in error


def test_two_at_once_do_not_disturb_each_other(hello: Hello) -> None:
    script = write(hello)
    here = workspace(hello.home, hello.catalogue)
    key = here.plan(Wish(names=("hello",))).parts[0].key
    with here.store.lock(key):
        done = run_script(script, hello.home)
    assert done.returncode == 1
    assert f"{key} is being built by another process" in done.stderr
    assert not list(hello.prefixes())
    assert run_script(script, hello.home).returncode == 0


def test_a_failing_proof_ends_it_and_removes_nothing(hello: Hello) -> None:
    work = hello.catalogue / "workloads/hello/work.sh"
    work.write_text("exit 3\n")
    done = run_script(write(hello), hello.home)
    assert done.returncode == 1
    assert "failed in step: proof: greet twenty times" in done.stderr
    (prefix,) = (hello.home / "store").iterdir()
    assert (prefix / "bin/hello").exists()
    work.write_text("exit 0\n")
    assert "it left no result.json" in run_script(write(hello), hello.home).stderr


def test_a_wrong_hash_and_an_absent_source_are_told(hello: Hello) -> None:
    hello.write_source("0" * 64)
    done = run_script(write(hello), hello.home)
    assert done.returncode == 1
    assert f"1.0: another sha256: expected {'0' * 64}, got" in done.stderr
    (hello.served / "hello-1.0.tar.gz").unlink()
    done = run_script(write(hello), hello.home)
    assert "404" in done.stderr
    assert f"by hand, download {hello.url} to {hello.home}/downloads/{'0' * 64}/hello-1.0.tar.gz" in done.stderr


@pytest.mark.parametrize("without", ["curl", "wget"])
def test_what_another_download_left_is_thrown_away(hello: Hello, tmp_path: Path, without: str) -> None:
    data = (hello.served / "hello-1.0.tar.gz").read_bytes()
    plan = workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)))
    part = hello.home / "downloads" / plan.parts[0].sources[0].sha256 / "hello-1.0.tar.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file" * 3)  # the test server knows no ranges, so this must be thrown away
    script = write(hello)
    text = script.read_text().replace(f"command -v {without} ", "command -v absent ")
    script.write_text(text)
    done = run_script(script, hello.home)
    assert done.returncode == 0, done.stderr
    assert part.with_suffix("").read_bytes() == data


def test_a_corrupt_file_in_the_cache_is_fetched_again(hello: Hello) -> None:
    script = write(hello)
    run_script(script, hello.home)
    (cached,) = (hello.home / "downloads").glob("*/*")
    cached.write_bytes(b"rot")
    shutil.rmtree(hello.home / "store")
    done = run_script(script, hello.home)
    assert done.returncode == 0, done.stderr
    assert "corrupt" in done.stderr


def test_a_patch_that_is_upstream_already_is_no_failure(hello: Hello) -> None:
    hello.files["greet.c"] = hello.files["greet.c"].replace("helo", "hello")
    hello.write_source()
    done = run_script(write(hello), hello.home)
    assert done.returncode == 0, done.stderr
    assert "it is so already" in done.stdout


def test_the_command_line_prints_it(hello: Hello) -> None:
    done = hello.run("plan", "hello", "--format", "shell")
    assert done.returncode == 0, done.stderr
    assert done.stdout == write(hello).read_text()

"""Installing for real: a small C program from source, with everything that can go wrong on the way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Hello


def one_prefix(world: Hello) -> Path:
    (prefix,) = world.prefixes()
    return prefix


def test_one_command_installs_proves_and_records(hello: Hello) -> None:
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    assert "applied" in done.stderr
    assert "ok: link closure" in done.stderr
    prefix = one_prefix(hello)
    assert re.fullmatch(r"hello-1\.0-[0-9a-f]{8}", prefix.name)
    assert subprocess.run([prefix / "bin/hello"], capture_output=True, text=True, check=True).stdout == "hello\n"
    assert json.loads((hello.home / "receipts" / prefix.name / "result.json").read_text()) == {"greetings": 20}
    assert not list((hello.home / "build").iterdir())
    history = json.loads(hello.run("log", "hello", "--json").stdout)
    assert history["schema"] == 1
    assert [entry["event"] for entry in history["history"]] == ["installed"]


def test_the_receipt_says_what_was_really_done(hello: Hello) -> None:
    done = hello.run("install", "hello", "-y", "--json")
    (receipt,) = json.loads(done.stdout)["receipts"]
    assert receipt["sources"][0]["id"] == "1.0"
    statuses = {patch["name"]: patch["status"] for patch in receipt["patches"]}
    assert statuses == {"0001-spelling.patch": "applied", "0002-never.patch": "not needed here"}
    assert [proof["status"] for proof in receipt["proofs"]] == ["ok", "ok", "ok"]
    assert receipt["digest"][:8] in receipt["key"]
    assert "compile hello" in Path(receipt["log"]).read_text()


def test_a_second_install_has_nothing_to_do(hello: Hello) -> None:
    hello.run("install", "hello", "-y")
    before = hello.snapshot()
    done = hello.run("install", "hello")
    assert done.returncode == 0, done.stderr
    assert "already installed" in done.stderr
    assert hello.snapshot() == before


def test_a_dry_run_changes_nothing_at_all(hello: Hello) -> None:
    hello.run("list")  # compiles the recipe
    before = hello.snapshot()
    done = hello.run("install", "hello", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "0001-spelling.patch" in done.stdout
    assert "misspelt" in done.stdout
    assert hello.snapshot() == before
    assert not hello.home.exists()


def test_without_a_terminal_nothing_happens_unasked(hello: Hello) -> None:
    done = hello.run("install", "hello")
    assert done.returncode == 1
    assert "pass -y" in done.stderr
    assert not hello.prefixes()


def test_a_source_that_already_has_the_fix_is_a_success_that_says_so(hello: Hello) -> None:
    hello.files["greet.c"] = hello.files["greet.c"].replace("helo", "hello")
    hello.write_source()
    done = hello.run("install", "hello", "-y", "--json")
    assert done.returncode == 0, done.stderr
    (receipt,) = json.loads(done.stdout)["receipts"]
    assert receipt["patches"][0]["status"] == "already upstream"


def test_a_patch_that_no_longer_fits_changes_nothing_and_is_named(hello: Hello) -> None:
    hello.files["greet.c"] = '#include "greet.h"\nconst char *greet(void) { return "moved on"; }\n'
    hello.write_source()
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "step failed: patch 0001-spelling.patch" in done.stderr
    assert "FAILED" in done.stderr
    assert hello.run("env", "hello").returncode == 2


def test_a_failed_build_names_step_error_log_and_replay(hello: Hello) -> None:
    hello.files["hello.c"] = hello.files["hello.c"].replace("stdio.h", "stdoi.h")
    hello.write_source()
    done = hello.run("install", "hello", "-y", LANG="de_DE.UTF-8")
    assert done.returncode == 1
    assert "step failed: compile hello" in done.stderr
    error = next(line for line in done.stderr.splitlines() if "fatal error: stdoi.h" in line)
    assert error.startswith("    ")
    log = re.search(r"^log: (.*)$", done.stderr, re.MULTILINE)
    assert log
    assert "stdoi.h" in Path(log.group(1)).read_text()
    replay = re.search(r"^replay: (.*)$", done.stderr, re.MULTILINE)
    assert replay
    again = subprocess.run(["sh", "-c", replay.group(1)], capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert "stdoi.h" in again.stderr
    history = json.loads(hello.run("log", "hello", "--json").stdout)["history"]
    assert history[-1]["event"] == "failed"


def test_after_a_failure_the_next_run_cleans_up_and_succeeds(hello: Hello) -> None:
    hello.gate("touch ../leftover; exit 1\n")
    assert hello.run("install", "hello", "-y").returncode == 1
    hello.gate("test ! -e ../leftover\n")
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    listed = json.loads(hello.run("list", "--json").stdout)["recipes"]
    assert listed[0]["installed"]


def test_a_proof_that_fails_leaves_no_receipt(hello: Hello) -> None:
    (hello.catalogue / "workloads/hello/work.sh").write_text("echo below the bar >&2; exit 1\n")
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "was built but does not work" in done.stderr
    assert "below the bar" in done.stderr
    assert hello.run("run", "hello", "--", "hello").returncode == 2


def test_a_library_that_is_not_found_fails_the_link_closure(hello: Hello) -> None:
    hello.files["Makefile"] = hello.files["Makefile"].replace("$$ORIGIN/../lib", "$$ORIGIN/../nowhere")
    hello.write_source()
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "libgreet.so" in done.stderr
    assert "link closure" in done.stderr


def test_a_clean_environment_is_used_whatever_the_user_has_set(hello: Hello) -> None:
    hello.gate('test -z "${CFLAGS-}${LD_LIBRARY_PATH-}${PYTHONPATH-}" && test "$LC_ALL" = C.UTF-8\n')
    done = hello.run("install", "hello", "-y", CFLAGS="-broken", LD_LIBRARY_PATH="/tmp", PYTHONPATH="")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_the_next_run_succeeds(hello: Hello, number: signal.Signals) -> None:
    pid = hello.root / "pid"
    hello.gate(f"echo $$ > {pid}; sleep 60 & wait\n")
    process = hello.start("install", "hello", "-y")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not running(int(pid.read_text()))
    hello.gate("true\n")
    assert hello.run("install", "hello", "-y").returncode == 0
    events = [entry["event"] for entry in json.loads(hello.run("log", "hello", "--json").stdout)["history"]]
    assert events == ["interrupted", "installed"]


def test_kill_9_leaves_no_receipt_and_the_next_run_succeeds(hello: Hello) -> None:
    pid = hello.root / "pid"
    hello.gate(f"echo $$ > {pid}; exec sleep 60\n")
    process = hello.start("install", "hello", "-y")
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    process.kill()
    process.communicate()
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert hello.run("env", "hello").returncode == 2
    hello.gate("true\n")
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr


def test_two_at_once_build_once(hello: Hello) -> None:
    count = hello.root / "builds"
    hello.gate(f"echo built >> {count}; sleep 1\n")
    processes = [hello.start("install", "hello", "-y") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert count.read_text() == "built\n"
    together = "".join(err for _, err in outputs)
    assert "waiting for another devsetup" in together
    assert "already installed" in together


def test_a_wrong_sha256_is_refused_with_both_values(hello: Hello) -> None:
    hello.write_source(sha256="0" * 64)
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "0" * 64 in done.stderr
    assert "--source" in done.stderr
    assert not hello.prefixes() or not (hello.prefixes()[0] / "bin").exists()


def test_no_network_says_how_to_go_on_without(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace(hello.url, "http://127.0.0.1:9/hello.tar.gz"))
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert "--source PATH" in done.stderr


def test_the_cache_serves_when_the_network_is_gone(hello: Hello) -> None:
    hello.run("install", "hello", "-y")
    assert hello.run("uninstall", "hello", "-y").returncode == 0
    (hello.served / "hello-1.0.tar.gz").unlink()
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr


def test_source_takes_a_tarball_or_a_tree(hello: Hello) -> None:
    tree = hello.root / "tree"
    tree.mkdir()
    for name, text in hello.files.items():
        (tree / name).write_text(text)
    for source in (hello.served / "hello-1.0.tar.gz", tree):
        done = hello.run("install", "hello", "-y", "--source", str(source), "--json")
        assert done.returncode == 0, done.stderr
        (receipt,) = json.loads(done.stdout)["receipts"]
        assert receipt["sources"][0]["id"].startswith("local:")
    assert len(hello.prefixes()) == 2


@pytest.mark.parametrize("kind", ["absent", "not an archive", "truncated", "empty directory"])
def test_a_bad_source_is_told_before_anything_is_built(hello: Hello, kind: str) -> None:
    path = hello.root / "source"
    if kind == "not an archive":
        path.write_text("just text\n")
    elif kind == "truncated":
        path.write_bytes((hello.served / "hello-1.0.tar.gz").read_bytes()[:200])
    elif kind == "empty directory":
        path.mkdir()
    done = hello.run("install", "hello", "-y", "--source", str(path))
    assert done.returncode in {1, 2}
    assert str(path) in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not hello.prefixes()


def test_a_tree_without_a_makefile_fails_with_makes_own_words(hello: Hello) -> None:
    tree = hello.root / "tree"
    tree.mkdir()
    (tree / "greet.c").write_text(hello.files["greet.c"])
    done = hello.run("install", "hello", "-y", "--source", str(tree))
    assert done.returncode == 1
    assert "No rule to make target" in done.stderr


def test_no_compiler_is_found_out_before_the_build(hello: Hello) -> None:
    """A package manager that does not know g++ stands for a machine without it."""
    bin_dir = hello.root / "bin"
    bin_dir.mkdir()
    stub = bin_dir / "dpkg-query"
    stub.write_text('#!/bin/sh\n/usr/bin/dpkg-query "$@" | grep -v g++\nexit 0\n')
    stub.chmod(0o755)
    done = hello.run("install", "hello", "--dry-run", PATH=f"{bin_dir}:{os.environ['PATH']}")
    assert "missing" in done.stdout, done.stdout
    assert "apt-get install" in done.stdout


def test_a_home_that_is_a_file_is_a_clear_error(hello: Hello) -> None:
    hello.home.write_text("")
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 1
    assert str(hello.home) in done.stderr
    assert "--home" in done.stderr


def test_uninstall_removes_prefix_receipt_and_artifacts(hello: Hello) -> None:
    hello.run("install", "hello", "-y")
    prefix = one_prefix(hello)
    done = hello.run("uninstall", "hello", "-y")
    assert done.returncode == 0, done.stderr
    assert not prefix.exists()
    with sqlite3.connect(hello.home / "receipts/receipts.sqlite") as database:
        assert database.execute("select count(*) from receipts").fetchone() == (0,)
    database.close()
    assert hello.run("uninstall", "hello", "-y").returncode == 2


def test_gc_removes_what_a_failed_build_left(hello: Hello) -> None:
    hello.gate("exit 1\n")
    hello.run("install", "hello", "-y")
    assert list((hello.home / "build").iterdir())
    shown = hello.run("gc", "--dry-run")
    assert "build" in shown.stdout
    assert list((hello.home / "build").iterdir())
    hello.run("gc")
    assert not list((hello.home / "build").iterdir())
    assert "nothing to remove" in hello.run("gc").stdout


def wait_for(condition: object, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_install_keeps_its_place_when_its_plan_would_have_another_digest_now(hello: Hello) -> None:
    """As when a later devsetup adds a field to a step: the receipt's key is the name of the prefix, for ever."""
    assert hello.run("install", "hello", "-y").returncode == 0
    with contextlib.closing(sqlite3.connect(hello.home / "receipts/receipts.sqlite")) as db, db:
        ((body,),) = db.execute("SELECT body FROM receipts").fetchall()
        db.execute("UPDATE receipts SET body = ?", (body.replace("A greeting, from source", "Another summary"),))
    (prefix,) = hello.prefixes()
    assert str(prefix) in hello.run("env", "hello").stdout
    assert hello.run("run", "hello", "--", "hello").stdout == "hello\n"
    assert hello.run("verify", "hello", "--workload").returncode == 0

"""`devsetup install --rebuild`: the install before stays until the new one has proved itself, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from conftest import Hello
from homes import make_receipt

from devsetup.app.installing import as_installed
from devsetup.app.workspace import Workspace
from devsetup.errors import StateError, UsageError
from devsetup.planner import Wish
from devsetup.receipts import Receipt
from devsetup.store import Store


@pytest.fixture
def world(hello: Hello) -> Iterator[Hello]:
    """`hello` is installed. Files beside its catalogue, not in its plan, make the next build fail or wait."""
    hello.gate(
        f"test ! -e {hello.root}/broken || exit 1\n"
        f"if test -e {hello.root}/slow; then touch {hello.root}/reached; fi\n"
        f"while test -e {hello.root}/slow; do sleep 0.05; done\n"
    )
    work = hello.catalogue / "workloads/hello/work.sh"
    work.write_text(f"test ! -e {hello.root}/useless || exit 1\n{work.read_text()}")
    done = hello.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    yield hello
    (hello.root / "slow").unlink(missing_ok=True)  # a build whose devsetup was killed would wait for ever


def prefix_of(world: Hello) -> Path:
    (prefix,) = world.prefixes()
    return prefix


def inode(world: Hello) -> int:
    return (prefix_of(world) / "bin/hello").stat().st_ino


def events(world: Hello) -> list[str]:
    return [entry["event"] for entry in json.loads(world.run("log", "hello", "--json").stdout)["history"]]


def works(world: Hello) -> bool:
    return world.run("run", "hello", "--", "hello").stdout == "hello\n"


def in_the_gate(world: Hello, *argv: str) -> subprocess.Popen[str]:
    """A process that has come to the gate of its build, and waits there."""
    (world.root / "slow").touch()
    process = world.start(*argv)
    while not (world.root / "reached").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_it_builds_again_and_drops_the_old(world: Hello) -> None:
    before, receipt = inode(world), Store(world.home).receipts.latest("hello")
    held = (prefix_of(world) / "bin/hello").open()  # its inode is not given to another file
    done = world.run("install", "--rebuild", "hello", "-y")
    held.close()
    assert done.returncode == 0, done.stderr
    assert "stays until the new one has proved itself" in done.stderr
    assert inode(world) != before
    assert events(world) == ["installed", "rebuilt"]
    after = Store(world.home).receipts.latest("hello")
    assert receipt is not None
    assert after is not None
    assert (after.key, after.explicit) == (receipt.key, True)
    assert after.log != receipt.log
    assert Store(world.home).garbage() == ()
    assert [path.name for path in (world.home / "store").iterdir()] == [receipt.key]
    assert works(world)


def test_it_asks_first(world: Hello) -> None:
    before = inode(world)
    done = world.run("install", "--rebuild", "hello")
    assert done.returncode == 1
    assert "pass -y" in done.stderr
    assert inode(world) == before
    done = world.run("install", "--rebuild", "hello", "--dry-run")
    assert done.returncode == 0
    assert inode(world) == before
    assert events(world) == ["installed"]


def test_what_is_not_installed_is_installed(hello: Hello) -> None:
    done = hello.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 0, done.stderr
    assert events(hello) == ["installed"]


def test_a_build_that_fails_leaves_the_old_install(world: Hello) -> None:
    before = inode(world)
    (world.root / "broken").touch()
    done = world.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 1
    assert "gate" in done.stderr
    assert inode(world) == before
    assert works(world)
    assert events(world) == ["installed", "failed"]
    result = world.home / "receipts" / prefix_of(world).name / "result.json"
    assert json.loads(result.read_text()) == {"greetings": 20}
    assert {item.kind for item in Store(world.home).garbage()} == {"build"}


def test_a_proof_that_fails_leaves_the_old_install(world: Hello) -> None:
    before = inode(world)
    (world.root / "useless").touch()
    done = world.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 1
    assert "was built but does not work" in done.stderr
    assert inode(world) == before
    assert works(world)


def test_a_source_that_cannot_be_had_any_more_leaves_the_old_install(world: Hello) -> None:
    before = inode(world)
    shutil.rmtree(world.home / "downloads")
    (world.served / "hello-1.0.tar.gz").unlink()
    assert world.run("install", "--rebuild", "hello", "-y").returncode == 1
    assert inode(world) == before
    assert works(world)


def test_control_c_leaves_the_old_install(world: Hello) -> None:
    before = inode(world)
    process = in_the_gate(world, "install", "--rebuild", "hello", "-y")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.communicate()
    assert inode(world) == before
    assert works(world)
    assert events(world)[-1] == "interrupted"


@pytest.mark.parametrize("then", ["install", "rebuild", "gc", "run"])
def test_a_killed_rebuild_is_settled_by_the_next_run(world: Hello, then: str) -> None:
    before = inode(world)
    process = in_the_gate(world, "install", "--rebuild", "hello", "-y")
    process.kill()
    process.communicate()
    store = Store(world.home)
    (receipt,) = store.receipts.all()
    assert store.rebuilding(receipt.key)
    (world.root / "slow").unlink()
    argv = {"install": ["install", "hello"], "rebuild": ["install", "--rebuild", "hello", "-y"], "gc": ["gc"]}.get(
        then, ["run", "hello", "--", "hello"]
    )
    done = world.run(*argv)
    assert done.returncode == 0, done.stderr
    assert not store.rebuilding(receipt.key)
    assert (inode(world) == before) == (then != "rebuild")
    if then in {"install", "rebuild"}:
        assert "a rebuild was cut short; the install before it is back" in done.stderr
    assert works(world)
    assert [item for item in store.garbage() if item.kind != "build"] == []


def test_what_is_being_built_again_cannot_be_used_just_now(world: Hello) -> None:
    process = in_the_gate(world, "install", "--rebuild", "hello", "-y")
    done = world.run("run", "hello", "--", "hello")
    assert done.returncode == 1
    assert "is being built again just now" in done.stderr
    (world.root / "slow").unlink()
    process.communicate()
    assert works(world)


def test_another_process_waits_for_a_rebuild(world: Hello) -> None:
    first = in_the_gate(world, "install", "--rebuild", "hello", "-y")
    second = world.start("install", "hello")
    assert second.stderr is not None
    while "wait" not in (line := second.stderr.readline()):
        assert line, "it did not wait"
    (world.root / "slow").unlink()
    assert first.wait(timeout=60) == 0
    assert second.wait(timeout=60) == 0
    for process in (first, second):
        process.communicate()
    assert events(world) == ["installed", "rebuilt"]
    assert works(world)


def test_uninstalling_after_a_kill_leaves_nothing(world: Hello) -> None:
    process = in_the_gate(world, "install", "--rebuild", "hello", "-y")
    process.kill()
    process.communicate()
    assert world.run("uninstall", "hello", "-y").returncode == 0
    assert list((world.home / "store").iterdir()) == []
    assert [path.name for path in (world.home / "receipts").iterdir()] == ["receipts.sqlite"]
    assert Store(world.home).garbage() == ()


def test_options_stay_unless_others_are_given(world: Hello) -> None:
    assert world.run("install", "hello", "-y", "--option", "volume=loud").returncode == 0
    loud = Store(world.home).receipts.latest("hello")
    assert world.run("install", "--rebuild", "hello", "-y").returncode == 0
    again = Store(world.home).receipts.latest("hello")
    assert loud is not None
    assert again is not None
    assert again.key == loud.key
    workspace = Workspace(world.home, world.env())
    assert as_installed(workspace, Wish(names=("hello",))).options == {"volume": "loud"}
    assert as_installed(workspace, Wish(names=("hello",), options={"volume": "soft"})).options == {"volume": "soft"}


def test_an_option_value_that_the_recipe_lost_is_left_to_it(world: Hello) -> None:
    recipe = world.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace('("soft", "loud"), default="soft"', '("mute",), default="mute"'))
    assert as_installed(Workspace(world.home, world.env()), Wish(names=("hello",))).options == {}


def test_a_local_source_stays(hello: Hello) -> None:
    tree = hello.root / "mine"
    for name, text in hello.files.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    assert hello.run("install", "hello", "-y", "--source", str(tree)).returncode == 0
    done = hello.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 0, done.stderr
    (receipt,) = Store(hello.home).receipts.all()
    assert receipt.sources[0].origin == str(tree)
    shutil.rmtree(tree)
    done = hello.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 1
    assert str(tree) in done.stderr
    assert works(hello)


def test_what_only_another_needs_stays_so(world: Hello) -> None:
    store = Store(world.home)
    (receipt,) = store.receipts.all()
    store.receipts.add(msgspec.structs.replace(receipt, explicit=False))
    assert world.run("install", "--rebuild", "hello", "-y").returncode == 0
    (again,) = store.receipts.all()
    assert not again.explicit


def test_the_manifest_names_files_and_the_libraries_from_outside(world: Hello) -> None:
    from devsetup.store import manifest

    prefix = prefix_of(world)
    found = manifest.recorded(Store(world.home).artifacts(prefix.name))
    assert found is not None
    assert set(found.files) == {"bin/hello", "lib/libgreet.so", "share/work.sh"}
    (libc,) = (path for path in found.libraries if "libc.so" in path)
    assert found.libraries[libc].by == "bin/hello"
    assert found.libraries[libc].stamp == manifest.stamp(libc)
    assert not any("libgreet" in path for path in found.libraries)


# The store alone.


def installed(store: Store, receipt: Receipt) -> Receipt:
    store.prepare(receipt.key)
    (store.prefix(receipt.key) / "tool").write_text("old")
    store.drop_build(receipt.key)
    store.commit(receipt)
    return receipt


def test_an_install_that_lost_its_prefix_is_built_again_though_another_needs_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    below = installed(store, make_receipt("below"))
    above = installed(store, make_receipt("above", needs=(below.key,)))
    shutil.rmtree(store.prefix(below.key))
    store.set_aside(below.key)
    (store.prefix(below.key) / "half").write_text("x")
    assert store.settle(below.key)
    assert not store.prefix(below.key).exists()
    store.set_aside(below.key)
    (store.prefix(below.key) / "tool").write_text("new")
    store.drop_build(below.key)
    store.commit(below)
    assert not store.settle(below.key)
    assert (store.prefix(below.key) / "tool").read_text() == "new"
    assert {receipt.key for receipt in store.receipts.all()} == {below.key, above.key}
    assert store.garbage() == ()


def test_set_aside_needs_an_install_and_settling_nothing_is_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = make_receipt().key
    with pytest.raises(UsageError, match="is not installed"):
        store.set_aside(key)
    assert not store.settle(key)
    assert not store.rebuilding(key)


def test_orphans_go_although_what_they_used_was_rebuilt_after_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    below = installed(store, make_receipt("below", explicit=False))
    above = installed(store, make_receipt("above", needs=(below.key,), explicit=False))
    store.receipts.add(below)
    store.collect(store.garbage())
    assert store.receipts.all() == ()
    assert not store.prefix(above.key).exists()


def test_a_damaged_journal_is_told_and_uninstalling_helps(tmp_path: Path) -> None:
    store = Store(tmp_path)
    receipt = installed(store, make_receipt())
    store.set_aside(receipt.key)
    journal = tmp_path / "store" / f".old-{receipt.key}.json"
    journal.write_text("{")
    with pytest.raises(StateError, match="journal of a rebuild"):
        store.settle(receipt.key)
    store.uninstall(receipt.key)
    assert list((tmp_path / "store").iterdir()) == []


def test_names_that_are_no_utf8_have_a_place_in_the_manifest(tmp_path: Path) -> None:
    from devsetup.store import manifest

    prefix = tmp_path / "prefix"
    prefix.mkdir()
    with contextlib.suppress(OSError):  # some file systems take no such names
        Path(os.fsdecode(os.fsencode(prefix) + b"/caf\xe9")).write_text("x")
    (prefix / "café").write_text("x")
    (prefix / "sub/__pycache__").mkdir(parents=True)
    (prefix / "sub/__pycache__/x.pyc").write_text("x")
    (prefix / "link").symlink_to("café")
    manifest.record(prefix, tmp_path, {"/no/such/library.so": "bin/x"})
    found = manifest.recorded(tmp_path)
    assert found is not None
    assert found.files == manifest.survey(prefix)
    assert {"caf\\udce9", "café", "link"} >= set(found.files) >= {"café", "link"}
    assert found.files["link"].target == "café"
    assert found.libraries == {}
    (tmp_path / ".files.json").write_text("[]")
    assert manifest.recorded(tmp_path) is None


def test_a_rebuild_that_runs_is_no_garbage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    receipt = installed(store, make_receipt())
    with store.lock(receipt.key):
        store.set_aside(receipt.key)
        assert store.garbage() == ()
    assert {item.kind for item in store.garbage()} == {"rebuild", "build"}
    store.collect(store.garbage())
    assert (store.prefix(receipt.key) / "tool").read_text() == "old"

"""Trees, records and journals that someone else made: no link is followed, and no forged one reaches outside."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from conftest import Hello
from patchtree import SECRET, Canary, Demo, canary, created, diff, memory, snapshot

from devsetup.errors import DevsetupError, InvalidInput, Refused
from devsetup.execute import treechange

__all__ = ["canary", "memory"]  # fixtures


@pytest.fixture
def demo(memory: Path) -> Demo:
    made = Demo(Hello(memory, 9))
    made.file("x.c", "old\n")
    return made


GOOD = diff("x.c", "old", "new")
# What grammar refuses in a recipe's patch, it refuses in a record's.
FORGED = {
    "write outside": (diff("../outside/secret", "the canary's own words", "x"), "outside the tree"),
    "a hook of git": (created(".git/hooks/post-checkout", "#!/bin/sh"), "may not touch .git"),
    "a link": ("diff --git a/z b/z\nnew file mode 120000\n" + created("z", "../outside"), "states mode 120000"),
    "an ed script": ("1c\nevil\n.\n", "ed or normal diff command"),
}


@pytest.mark.parametrize(
    ("link", "leads", "path", "reason"),
    [
        ("z.c", "../outside/secret", "z.c", "z.c is a symbolic link that leads outside the tree"),
        ("z.c", "{root}/outside/secret", "z.c", "z.c is a symbolic link that leads outside the tree"),
        ("d", "../outside", "d/secret", "d is a symbolic link that leads outside the tree"),
        ("d", "..", "d/outside/secret", "d is a symbolic link that leads outside the tree"),
        ("d", "../outside", "d/new", "d is a symbolic link that leads outside the tree"),
        ("z.c", "x.c", "z.c", "z.c is a symbolic link"),
        ("d", ".", "d/x.c", "d is a symbolic link"),
        ("d", "d", "d/x.c", "d is a symbolic link"),
        ("z.c", "nowhere", "z.c", "z.c is a symbolic link"),
    ],
)
def test_links_are_not_followed(demo: Demo, canary: Canary, link: str, leads: str, path: str, reason: str) -> None:
    (demo.tree / link).symlink_to(leads.format(root=demo.hello.root))
    demo.patch("1.patch", diff(path, "the canary's own words", "x"))
    demo.patch("2.patch", created(path, "x"))
    before = snapshot(demo.tree)
    assert set(demo.apply().values()) == {"needs rebase"}
    assert demo.reason("1.patch") == demo.reason("2.patch") == reason
    assert snapshot(demo.tree) == before


def test_what_is_no_plain_file_is_not_opened(demo: Demo) -> None:
    os.mkfifo(demo.tree / "pipe")
    (demo.tree / "directory").mkdir()
    for name, path, reason in (
        ("1.patch", "pipe", "pipe is not a regular file"),
        ("2.patch", "directory", "directory is not a regular file"),
        ("3.patch", "x.c/below", "x.c is not a directory"),
    ):
        demo.patch(name, diff(path, "a", "b"))
        assert demo.check()[name] == "needs rebase"
        assert demo.reason(name) == reason


def test_another_name_of_a_file_outside_keeps_its_content(demo: Demo) -> None:
    outside = demo.hello.root / "hard"
    outside.write_text("old\n")
    (demo.tree / "x.c").unlink()
    os.link(outside, demo.tree / "x.c")
    demo.patch("1.patch", GOOD)
    demo.apply()
    assert ((demo.tree / "x.c").read_text(), outside.read_text()) == ("new\n", "old\n")


@pytest.mark.parametrize(
    "name", [".devsetup", ".devsetup/patches.json", ".devsetup/journal", ".devsetup/journal/journal.json"]
)
def test_our_own_directory_may_not_be_a_link(demo: Demo, canary: Canary, name: str) -> None:
    path = demo.tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    leads = canary.secret if name.endswith(".json") else canary.root
    path.symlink_to(leads)
    demo.patch("1.patch", GOOD)
    for call in (demo.check, demo.apply):
        with pytest.raises(Refused, match="is a symbolic link that leads outside the tree"):
            call()
    assert (demo.tree / "x.c").read_text() == "old\n"


def test_the_generation_is_not_read_through_a_link(demo: Demo, canary: Canary) -> None:
    (demo.tree / "VERSION").symlink_to("../outside/secret")
    assert demo.report().generation == ""
    assert demo.workspace.local_source("demo", demo.tree).generation == ""


def record(demo: Demo, text: str, **more: object) -> None:
    entry = {
        "recipe": "demo",
        "name": "1.patch",
        "text": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        **more,
    }
    demo.file(".devsetup/patches.json", json.dumps({"schema": 1, "patches": [entry]}))


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record_can_do_no_more_than_a_patch(demo: Demo, canary: Canary, name: str) -> None:
    text, reason = FORGED[name]
    record(demo, text)
    before = snapshot(demo.tree)
    for call in (demo.check, demo.apply):
        with pytest.raises(InvalidInput, match=reason):
            call(reverse=True)
    assert snapshot(demo.tree) == before


def test_a_forged_record_removes_no_directory_outside(demo: Demo) -> None:
    victim = demo.hello.root / "empty"
    victim.mkdir()
    (demo.tree / "link").symlink_to("..")
    demo.file("x.c", "new\n")
    record(demo, GOOD, made=["../empty", "link/empty", str(victim), ".git/../../empty"])
    assert demo.apply(reverse=True) == {"1.patch": "taken back"}
    assert victim.is_dir()


def journal(demo: Demo, path: str, before: str, after: str, old: str | None = None) -> None:
    """A journal as a cut-short run leaves it, but of an attacker's choosing."""
    step = {
        "path": path,
        "before": hashlib.sha256(before.encode()).hexdigest() if before else "",
        "after": hashlib.sha256(after.encode()).hexdigest() if after else "",
    }
    demo.file(".devsetup/journal/journal.json", json.dumps({"schema": 1, "steps": [step], "made": ["../empty"]}))
    if old is not None:
        demo.file(".devsetup/journal/0.old", old)


@pytest.mark.parametrize(
    "path", ["../outside/secret", "{root}/outside/secret", "sub/../../outside/secret", "link/secret"]
)
def test_a_forged_journal_restores_nothing_outside(demo: Demo, canary: Canary, path: str) -> None:
    (demo.tree / "link").symlink_to("../outside")
    journal(demo, path.format(root=demo.hello.root), before="evil", after=SECRET, old="evil")
    with pytest.raises(Refused, match="outside the tree"):
        demo.apply()


def test_a_forged_journal_puts_no_other_bytes_in_place(demo: Demo, canary: Canary) -> None:
    journal(demo, "x.c", before="what it was", after="old\n", old="evil")
    with pytest.raises(Refused, match=r"x\.c has been changed since"):
        demo.apply()
    (demo.tree / ".devsetup/journal/0.old").unlink()
    with pytest.raises(DevsetupError):
        demo.apply()
    (demo.tree / ".devsetup/journal/0.old").symlink_to(canary.secret)
    with pytest.raises(Refused, match="symbolic link"):
        demo.apply()
    assert (demo.tree / "x.c").read_text() == "old\n"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": 3, "made": []}', '{"steps": [{}], "made": []}', "\xff"])
def test_a_damaged_journal_is_told(demo: Demo, text: str) -> None:
    demo.file(".devsetup/journal/journal.json", text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"journal\.json is damaged"), treechange.locked(demo.tree):
        treechange.repair(demo.tree)
    with pytest.raises(Refused, match="cut short"):
        demo.check()

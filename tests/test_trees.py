"""Measuring and removing trees that builds leave: deep, write-protected, linked."""

from __future__ import annotations

import os
from pathlib import Path

from homes import memory, powerless, told_by

from devsetup.store import Store
from devsetup.store.trees import disk_usage, remove_tree


def test_removal_stays_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "dir" / "precious").write_text("x" * 1_000_000)
    store = Store(tmp_path / "home")
    store.prepare("toy-1-00000000")
    prefix = store.prefix("toy-1-00000000")
    (prefix / "to_dir").symlink_to(outside / "dir")
    (prefix / "to_file").symlink_to(outside / "dir" / "precious")
    (prefix / "broken").symlink_to("nowhere")
    (prefix / "sub").mkdir()
    (prefix / "sub" / "up").symlink_to("../../../../outside")
    os.mkfifo(prefix / "pipe")
    assert disk_usage(prefix) < 100_000
    store.discard("toy-1-00000000")
    assert not prefix.exists()
    prefix.symlink_to(outside)
    store.discard("toy-1-00000000")
    assert not prefix.is_symlink()
    assert (outside / "dir" / "precious").stat().st_size == 1_000_000


def test_removal_of_a_deep_tree() -> None:
    """Deeper than recursion goes, paths longer than the kernel takes, names that the removal itself would choose."""
    with memory() as made:
        top = Path(made, "top")
        top.mkdir()
        for number in range(30):
            (top / f".{number}" / "below").mkdir(parents=True)
        descriptor = os.open(top, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("a" * 5, dir_fd=descriptor)
            below = os.open("a" * 5, os.O_RDONLY, dir_fd=descriptor)
            os.mkdir(".0", dir_fd=below)
            os.close(descriptor)
            descriptor = below
        os.close(descriptor)
        assert disk_usage(top) >= 0
        remove_tree(top)
        assert list(Path(made).iterdir()) == []


def test_removal_of_what_is_not_writable(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("x")
    (tree / "a" / "b" / "file").chmod(0o400)
    (tree / "locked").mkdir()
    for path, mode in ((tree / "a" / "b", 0o555), (tree / "a", 0o500), (tree / "locked", 0), (tree, 0o111)):
        path.chmod(mode)
    code = "from devsetup.store.trees import remove_tree\nremove_tree(home / 'tree')\nprint('gone')"
    assert told_by(tmp_path, code, *powerless()) == "gone"
    assert not tree.exists()


def test_removal_that_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    tmp_path.chmod(0o555)
    code = "from devsetup.store.trees import remove_tree\nremove_tree(home / 'tree')"
    try:
        said = told_by(tmp_path, code, *powerless())
    finally:
        tmp_path.chmod(0o755)
    assert said.startswith(f"StateError: cannot remove {tree}: Permission denied | ")


def test_disk_usage_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 8192)
    alone = disk_usage(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert disk_usage(tmp_path) == alone > 0

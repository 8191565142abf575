"""Copying and hashing trees, and what `--source PATH` makes of a path."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
from typing import TYPE_CHECKING

import pytest

from devsetup.errors import SourceError, StateError
from devsetup.fetch import copy_tree, files, local_source, sha256_file, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "lib" / "empty").mkdir(parents=True)
    (root / "lib.c").write_bytes(b"int lib;\n")
    (root / "lib" / "a.c").write_bytes(b"int a;\n")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("lib//a.c")
    (root / "dangling").symlink_to("/nowhere")
    (root / "ä\udcff").write_bytes(b"named in bytes")
    (root / ".git" / "objects").mkdir(parents=True)
    (root / ".git" / "config").write_bytes(b"[core]\n")
    (root / ".gitignore").write_bytes(b"*.o\n")
    return root


def seen(root: Path) -> dict[str, object]:
    """Everything below a directory that a copy must keep."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        times = None if path.is_symlink() else status.st_mtime_ns
        found[str(path.relative_to(root))] = (status.st_mode, times, content)
    return found


def test_copy_keeps_all_but_git(tree: Path, tmp_path: Path) -> None:
    os.utime(tree / "lib" / "a.c", (1, 123456789))
    os.utime(tree / "lib", (1, 987654321))
    copy_tree(tree, tmp_path / "new" / "copy")
    expected = {name: what for name, what in seen(tree).items() if name.split("/")[0] != ".git"}
    assert seen(tmp_path / "new" / "copy") == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]
    assert tree_digest(tree) == tree_digest(tmp_path / "new" / "copy")


def test_copy_drops_setuid_and_makes_directories_usable(tree: Path, tmp_path: Path) -> None:
    (tree / "run.sh").chmod(0o6555)
    (tree / "lib").chmod(0o555)
    copy_tree(tree, tmp_path / "copy")
    assert (tmp_path / "copy" / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "copy" / "lib").stat().st_mode & 0o7777 == 0o755
    assert tree_digest(tree) == tree_digest(tmp_path / "copy")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "lib.c").write_bytes(b"int lib:\n"),
    "moved byte": lambda root: (
        (root / "lib.c").write_bytes(b"int lib;"),
        (root / "lib/a.c").write_bytes(b"\nint a;\n"),
    ),
    "execute bit": lambda root: (root / "run.sh").chmod(0o644),
    "name": lambda root: (root / "lib.c").rename(root / "lib.d"),
    "new file": lambda root: (root / "new").touch(),
    "new empty directory": lambda root: (root / "lib" / "void").mkdir(),
    "file to directory": lambda root: ((root / "lib.c").unlink(), (root / "lib.c").mkdir()),
    "file to link": lambda root: ((root / "lib.c").unlink(), (root / "lib.c").symlink_to("lib/a.c")),
    "link's target": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("lib/a.c")),
    "hidden file": lambda root: (root / ".gitignore").write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_digest_sees(tree: Path, change: str) -> None:
    before = tree_digest(tree)
    CHANGES[change](tree)
    assert tree_digest(tree) != before


def test_digest_ignores(tree: Path) -> None:
    before = tree_digest(tree)
    (tree / ".git" / "config").write_bytes(b"changed")
    (tree / "lib" / ".git").write_bytes(b"gitdir: elsewhere")
    os.utime(tree / "lib.c", (1, 1))
    (tree / "lib.c").chmod(0o600)
    assert tree_digest(tree) == before


def test_digest_is_fixed(tmp_path: Path) -> None:
    """A plan saved by one version must still fit in the next; change this only with a note in the changelog."""
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to("a")
    assert tree_digest(tmp_path) == "0ad63de51ee5995c535a6d26f299e93cdbe539241f681d0524414030291b5de4"


def test_a_very_deep_tree(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(600):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    assert len(tree_digest(tmp_path)) == 64


@pytest.mark.parametrize("act", [tree_digest, lambda path: copy_tree(path, path.parent / "copy")])
def test_special_files_are_refused(tree: Path, act: Callable[[Path], object]) -> None:
    os.mkfifo(tree / "lib" / "pipe")
    with pytest.raises(SourceError, match="lib/pipe is a socket, pipe or device"):
        act(tree)
    assert not (tree.parent / "copy").exists()


def test_sockets_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        with pytest.raises(SourceError, match="socket"):
            tree_digest(tree)


@pytest.mark.parametrize("name", ["missing", "lib.c"])
def test_not_a_directory(tree: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"cannot read .*{name}"):
        tree_digest(tree / name)


def test_copy_into_itself(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tree)
    for into in (tree / "copy", tree, tmp_path / "alias" / "copy"):
        with pytest.raises(SourceError, match="lies inside"):
            copy_tree(tree, into)
    assert not (tree / "copy").exists()


def test_copy_over_something(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(SourceError, match="exists"):
        copy_tree(tree, tmp_path / "there")


def test_failed_copy_leaves_nothing(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devsetup.fetch.tree.shutil.copyfileobj", full)
    with pytest.raises(StateError, match="No space left on device"):
        copy_tree(tree, tmp_path / "new" / "copy")
    assert list((tmp_path / "new").iterdir()) == []


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(SourceError, match="cannot read"):
        sha256_file(tmp_path / "g")


def tarball(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    return gzip.compress(buffer.getvalue())


@pytest.mark.parametrize(("names", "strip"), [(("top/a", "top/b"), 1), (("a", "b/c"), 0), (("a",), 0)])
def test_local_archive(tmp_path: Path, names: tuple[str, ...], strip: int) -> None:
    path = tmp_path / "caffe-1.0.tar.gz"
    path.write_bytes(tarball(*names))
    source = local_source(path)
    assert (source.id, source.path, source.strip) == ("local:caffe-1.0.tar.gz", str(path), strip)
    assert (source.sha256, source.tree) == (sha256_file(path), False)


def test_local_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    for path in (tree, type(tree)(), type(tree)("../tree")):
        source = local_source(path)
        assert (source.id, source.path, source.strip) == ("local:tree", str(tree), 0)
        assert (source.sha256, source.tree) == (tree_digest(tree), True)


def test_local_home(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree.parent))
    assert local_source(type(tree)("~/tree")).path == str(tree)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "does not exist"),
        ("notes.txt", "is not a complete tar or zip archive"),
        ("empty", "holds no files"),
        ("only-git", "holds no files"),
        ("nothing.tar", "is an empty file"),
        ("evil.tar.gz", r"'\.\.'"),
        ("pipe", "is neither a file nor a directory"),
    ],
)
def test_local_source_that_is_none(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "notes.txt").write_bytes(b"notes\n" * 200)
    (tmp_path / "nothing.tar").touch()
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "only-git" / ".git").mkdir(parents=True)
    (tmp_path / "only-git" / ".git" / "HEAD").touch()
    (tmp_path / "evil.tar.gz").write_bytes(tarball("../evil"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match=reason) as caught:
        local_source(tmp_path / name)
    assert name in caught.value.message
    assert caught.value.hint


def test_writing_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot write .*x/y") as caught, files.writing(tmp_path / "x" / "y"):
        raise PermissionError(13, "Permission denied")
    assert "--home" in (caught.value.hint or "")

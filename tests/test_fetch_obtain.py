"""Choosing among equivalent sources: cache first, then each in order, and a reason for every one passed over."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from badserver import BadServer, page, running, served, status

from devsetup.errors import InvalidInput, SourceError, StateError
from devsetup.events import Event, Note
from devsetup.fetch import Obtained, obtain, tree_digest
from devsetup.steps import DebianSource, LocalSource, UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b"source\n" * 10_000
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = b"another, as good\n" * 10_000
DEBIAN = DebianSource(
    id="1.0+git", package="demo", version="1.0+git", suite="oldish", file="demo_1.0+git.orig.tar.gz", sha256=SHA256
)


@pytest.fixture(autouse=True)
def _no_proxies_no_apt_no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path / "no-apt-get-here"))
    monkeypatch.setattr("devsetup.fetch.download.time.sleep", lambda _: None)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with running() as started:
        yield started


class World:
    """A cache, and what obtaining said."""

    def __init__(self, root: Path) -> None:
        self.downloads = root / "home" / "downloads"
        self.events: list[Event] = []

    def obtain(self, *sources: UrlSource | DebianSource | LocalSource) -> Obtained:
        self.events.clear()
        return obtain("caffe", sources, self.downloads, _no_processes, self.events.append)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.downloads)) for path in self.downloads.rglob("*") if path.is_file())


def _no_processes(*_: Any, **__: Any) -> Any:
    pytest.fail("started a process")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def url_source(url: str, body: bytes = BODY, name: str = "1.0") -> UrlSource:
    return UrlSource(id=name, url=url, sha256=hashlib.sha256(body).hexdigest())


def test_download_then_cache(world: World, server: BadServer) -> None:
    source = url_source(server.on("/v/1.0.tar.gz", served(BODY)))
    place = world.downloads / SHA256 / "1.0.tar.gz"
    assert world.obtain(source) == Obtained(source, str(place), ())
    assert world.notes == ["caffe: using 1.0 from 127.0.0.1"]
    assert world.obtain(source) == Obtained(source, str(place), ())
    assert world.notes == ["caffe: using 1.0 from the cache"]
    assert len(server.requests) == 1
    assert place.read_bytes() == BODY


def test_second_alternative(world: World, server: BadServer) -> None:
    first = url_source(server.on("/a.tgz", status(404)))
    second = url_source(server.on("/b.tgz", served(OTHER)), OTHER, "1.1")
    obtained = world.obtain(first, second)
    assert obtained.source == second
    assert obtained.reasons == ("1.0: 127.0.0.1 answered 404 Not Found",)
    assert world.notes == ["caffe: using 1.1 from 127.0.0.1 (1.0: 127.0.0.1 answered 404 Not Found)"]


def test_a_cached_later_alternative_spares_the_network(world: World, server: BadServer) -> None:
    first = url_source(server.on("/a.tgz", served(BODY)))
    second = url_source(server.on("/b.tgz", served(OTHER)), OTHER, "1.1")
    world.obtain(second)
    obtained = world.obtain(first, second)
    assert obtained.source == second
    assert obtained.reasons == ("1.0: not in the cache",)
    assert [path for path, _ in server.requests] == ["/b.tgz"]


def test_a_cached_debian_file(world: World) -> None:
    place = world.downloads / SHA256 / DEBIAN.file
    place.parent.mkdir(parents=True)
    place.write_bytes(BODY)
    assert world.obtain(DEBIAN).path == str(place)


@pytest.mark.parametrize("damage", [b"", BODY[:-1], BODY + b"x", b"S" + BODY[1:]])
def test_corrupt_cache(world: World, server: BadServer, damage: bytes) -> None:
    source = url_source(server.on("/1.0.tar.gz", served(BODY)))
    place = world.downloads / SHA256 / "1.0.tar.gz"
    world.obtain(source)
    place.write_bytes(damage)
    assert world.obtain(source).path == str(place)
    assert place.read_bytes() == BODY
    assert len(world.notes) == 2
    assert "was corrupt" in world.notes[0]
    assert str(place) in world.notes[0]
    assert hashlib.sha256(damage).hexdigest() in world.notes[0]
    assert len(server.requests) == 2


def test_corrupt_cache_and_no_network(world: World) -> None:
    source = url_source("http://127.0.0.1:9/1.0.tar.gz")
    place = world.downloads / SHA256 / "1.0.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"rubbish")
    with pytest.raises(SourceError):
        world.obtain(source)
    assert not place.exists()


def test_every_byte_of_a_cached_file_counts(world: World, server: BadServer) -> None:
    source = url_source(server.on("/f", served(BODY)))
    place = world.downloads / SHA256 / "f"
    world.obtain(source)
    for at in range(0, len(BODY), len(BODY) // 50):
        damaged = bytearray(BODY)
        damaged[at] ^= 0x80
        place.write_bytes(damaged)
        world.obtain(source)
        assert place.read_bytes() == BODY


def test_all_fail(world: World, server: BadServer, tmp_path: Path) -> None:
    first = url_source(server.on("/a.tgz", page("<html>sign in</html>")))
    second = url_source("http://127.0.0.1:9/b.tgz", OTHER, "1.1")
    local = LocalSource(id="local:x", path=str(tmp_path / "x"), sha256=SHA256)
    with pytest.raises(SourceError) as caught:
        world.obtain(local, first, second, DEBIAN)
    error = caught.value
    assert error.message == "no source of caffe could be had"
    assert error.hint == f"download {first.url} (sha256 {SHA256}) by hand and give it with --source PATH"
    got = hashlib.sha256(b"<html>sign in</html>").hexdigest()
    assert error.detail == (
        f"local:x: {tmp_path}/x does not exist",
        f"1.0: what 127.0.0.1 sent (20 bytes) has another sha256: expected {SHA256}, got {got}",
        "1.1: no connection to 127.0.0.1: Connection refused",
        "1.0+git: no apt-get on this machine",
    )
    assert world.files() == []


def test_hint_without_a_url(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        world.obtain(DEBIAN)
    assert DEBIAN.file in str(caught.value.hint)
    assert SHA256 in str(caught.value.hint)
    assert "--source PATH" in str(caught.value.hint)
    with pytest.raises(SourceError) as caught:
        world.obtain(LocalSource(id="local:x", path=str(tmp_path / "x"), sha256=SHA256))
    assert "--source PATH" in str(caught.value.hint)


def test_a_bad_url_is_one_more_reason(world: World, server: BadServer) -> None:
    bad = url_source("ftp://127.0.0.1/f", name="0.9")
    obtained = world.obtain(bad, url_source(server.on("/f", served(BODY))))
    assert obtained.reasons == ("0.9: 'ftp://127.0.0.1/f' is not an http or https URL",)


def test_local_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(BODY)
    source = LocalSource(id="local:mine.tar.gz", path=str(path), sha256=SHA256, strip=1)
    assert world.obtain(source) == Obtained(source, str(path), ())
    assert world.notes == [f"caffe: using local:mine.tar.gz from {path}"]
    assert not world.downloads.exists()


def test_local_file_changed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(OTHER)
    with pytest.raises(SourceError) as caught:
        world.obtain(LocalSource(id="mine", path=str(path), sha256=SHA256))
    got = hashlib.sha256(OTHER).hexdigest()
    assert caught.value.detail == (f"mine: {path} has another sha256: expected {SHA256}, got {got}",)
    assert path.read_bytes() == OTHER


def test_local_tree(world: World, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"1")
    source = LocalSource(id="local:tree", path=str(tree), sha256=tree_digest(tree), tree=True)
    assert world.obtain(source).path == str(tree)
    (tree / "a").write_bytes(b"2")
    with pytest.raises(SourceError) as caught:
        world.obtain(source)
    assert "has another sha256" in caught.value.detail[0]


@pytest.mark.parametrize("tree", [True, False])
def test_local_source_of_the_other_kind(world: World, tmp_path: Path, tree: bool) -> None:
    path = tmp_path / "x"
    _ = path.touch() if tree else path.mkdir()
    with pytest.raises(SourceError) as caught:
        world.obtain(LocalSource(id="x", path=str(path), sha256=SHA256, tree=tree))
    assert f"is not a {'directory' if tree else 'file'}" in caught.value.detail[0]


@pytest.mark.parametrize("sha256", ["", "abc", "../" * 20, SHA256.upper(), SHA256 + "\n"])
def test_malformed_sha256(world: World, sha256: str) -> None:
    with pytest.raises(InvalidInput, match="malformed sha256"):
        world.obtain(UrlSource(id="1.0", url="http://127.0.0.1:9/f", sha256=sha256))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1.0.tar.gz?raw=1#x", "v1.0.tar.gz"),
        ("/", "source"),
        ("/..", "source"),
        ("/.hidden", "hidden"),
        ("/a%2f..%2fb", "a_2f.._2fb"),
        ("/" + "n" * 300, "n" * 200),
    ],
)
def test_file_names_in_the_cache(world: World, server: BadServer, path: str, name: str) -> None:
    server.on(path.partition("#")[0], served(BODY))
    world.obtain(url_source(server.url(path)))
    assert world.files() == [f"{SHA256}/{name}"]


def test_cache_not_ours_to_write(world: World, server: BadServer, tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"a file where a directory should be")
    with pytest.raises(StateError, match=r"cannot write .*downloads"):
        world.obtain(url_source(server.on("/f", served(BODY))))
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_that_is_really_full(world: World, server: BadServer, tmp_path: Path) -> None:
    world.downloads.mkdir(parents=True)
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(world.downloads)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount")
    big = BODY * 10
    try:
        with pytest.raises(StateError, match=r"f\.part after \d+ bytes: No space left on device") as caught:
            world.obtain(url_source(server.on("/f", served(big)), big))
        assert "--home" in str(caught.value.hint)
        assert world.files() == [f"{hashlib.sha256(big).hexdigest()}/f.part"]
    finally:
        subprocess.run(["/bin/umount", str(world.downloads)], check=True)


def test_a_full_disk_ends_the_search(world: World, server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another source would not fit either, and the user should hear of the disk."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devsetup.fetch.files.os.write", full)
    first = url_source(server.on("/a", served(BODY)))
    with pytest.raises(StateError, match="No space"):
        world.obtain(first, url_source(server.on("/b", served(OTHER)), OTHER))
    assert [path for path, _ in server.requests] == ["/a"]


def test_read_only_cache_is_still_used(world: World, server: BadServer) -> None:
    source = url_source(server.on("/f", served(BODY)))
    place = world.downloads / SHA256 / "f"
    world.obtain(source)
    for path in (place, place.parent, world.downloads):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    try:
        assert world.obtain(source).path == str(place)
    finally:
        for path in (world.downloads, place.parent):
            path.chmod(0o755)


def test_obtained_is_data() -> None:
    obtained = Obtained(DEBIAN, "/x", ("1.0: no connection",))
    assert msgspec.json.decode(msgspec.json.encode(obtained), type=Obtained) == obtained


def test_importing_fetch_is_cheap() -> None:
    """http, TLS, tar and zip are loaded when they are used."""
    heavy = ("ssl", "urllib.request", "http.client", "tarfile", "zipfile")
    code = f"import sys, devsetup.fetch; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


def test_the_whole_way(world: World, server: BadServer, tmp_path: Path) -> None:
    """From a server to an unpacked tree."""
    from devsetup.fetch import extract

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as made:
        member = tarfile.TarInfo("demo-1.0/README")
        member.size = 5
        made.addfile(member, io.BytesIO(b"hello"))
    body = buffer.getvalue()
    source = url_source(server.on("/demo-1.0.tar.xz", served(body)), body)
    obtained = world.obtain(source)
    extract(tmp_path / obtained.path, tmp_path / "tree", strip=source.strip)
    assert (tmp_path / "tree" / "README").read_bytes() == b"hello"

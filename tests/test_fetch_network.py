"""Downloads where the network, the disk or another process is in the way; proxies and TLS."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from badserver import (
    BadServer,
    redirected,
    running,
    served,
)

from devsetup.errors import SourceError, StateError
from devsetup.events import Event, silent
from devsetup.fetch import files
from devsetup.fetch.download import Limits, download
from devsetup.fetch.opener import checked_host
from devsetup.fetch.part import claimed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BODY = hashlib.shake_256(b"a source").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
FAST = Limits(connect_s=5, stall_s=0.3, backoff_s=0.001)
PATIENT = Limits(backoff_s=0.001)  # where the server does not stall, a busy machine must not either


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with running() as started:
        yield started


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return tmp_path / "source.tar.gz"


def part_of(final: Path) -> Path:
    return final.with_name(final.name + ".part")


def fetch(url: str, final: Path, limits: Limits = PATIENT) -> None:
    download(url, SHA256, final, silent, limits)


def assert_fetched(final: Path) -> None:
    assert final.read_bytes() == BODY
    assert [entry.name for entry in final.parent.iterdir()] == [final.name]


def refused(url: str, final: Path, limits: Limits = PATIENT) -> str:
    """Download in vain; the reason. What is left is a `.part` at most."""
    with pytest.raises(SourceError) as caught:
        fetch(url, final, limits)
    assert {entry.name for entry in final.parent.iterdir()} <= {part_of(final).name}
    return caught.value.message


def test_nobody_listens(final: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/f"
        assert refused(url, final) == "no connection to 127.0.0.1: Connection refused"


def test_no_such_host(final: Path) -> None:
    assert refused("https://nothing.invalid/f", final).startswith("no connection to nothing.invalid: ")


def test_connection_timeout(final: Path) -> None:
    """A listener whose queue is full does not answer: the connection itself times out, and is not tried again."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/f"
        assert "timed out" in refused(url, final, Limits(connect_s=0.2))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.invalid/f", "not an http"),
        ("file:///etc/passwd", "not an http"),
        ("https:///f", "not an http"),
        ("rubbish", "not an http"),
        ("http://[::1/f", "not a URL"),
        ("https://me:secret@example.invalid/f", "user name"),
    ],
)
def test_bad_urls(url: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        checked_host(url)
    assert "secret" not in caught.value.message


def test_interrupted_leaves_a_part_and_resumes(server: BadServer, final: Path) -> None:
    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    url = server.on("/f", served(BODY))
    with pytest.raises(KeyboardInterrupt):
        download(url, SHA256, final, interrupt, PATIENT)
    assert [entry.name for entry in final.parent.iterdir()] == [part_of(final).name]
    assert BODY.startswith(part_of(final).read_bytes())
    fetch(url, final)
    assert_fetched(final)
    assert "range" in server.requests[1][1]


def test_full_disk(server: BadServer, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        if written >= 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += min(len(data), 1000)  # short writes are continued
        return os.pwrite(descriptor, bytes(data[:1000]), written - min(len(data), 1000))

    monkeypatch.setattr(files.os, "write", write)
    with pytest.raises(StateError) as caught:
        fetch(server.on("/f", served(BODY)), final)
    assert str(part_of(final)) in caught.value.message
    assert f"after {written} bytes: No space left on device" in caught.value.message
    assert "--home" in (caught.value.hint or "")
    assert not final.exists()
    monkeypatch.undo()
    fetch(server.url("/f"), final)
    assert_fetched(final)


def test_directory_not_ours_to_write(server: BadServer, final: Path) -> None:
    url = server.on("/f", served(BODY))
    final.parent.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(StateError, match="Permission denied") as caught:
            fetch(url, final)
    finally:
        if root:
            os.seteuid(0)
        final.parent.chmod(0o755)
    assert str(final) in caught.value.message
    assert server.requests == []


def test_two_at_once_do_not_disturb_each_other(server: BadServer, final: Path) -> None:
    url = server.on("/f", served(BODY))
    with claimed(final) as ours:
        ours.append(BODY[:1000])
        fetch(url, final)
        assert final.read_bytes() == BODY
        assert part_of(final).read_bytes() == BODY[:1000]
        ours.append(BODY[1000:])
        ours.publish(final)
    assert_fetched(final)


def test_a_part_that_is_finished_while_we_wait_for_it(final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process publishes between our open and our lock: what we then hold is the finished file."""
    part_of(final).write_bytes(BODY)

    def flock(_descriptor: int, _operation: int) -> None:
        if part_of(final).exists():
            part_of(final).rename(final)

    monkeypatch.setattr("devsetup.fetch.part.fcntl.flock", flock)
    with claimed(final) as part:
        part.append(b"rubbish")
        part.restart()
    assert_fetched(final)


def test_many_at_once(server: BadServer, final: Path) -> None:
    url = server.on("/f", served(BODY))
    failures: list[BaseException] = []

    def one() -> None:
        try:
            fetch(url, final)
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_fetched(final)


def test_a_link_in_the_place_of_the_part_is_not_followed(server: BadServer, final: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    part_of(final).symlink_to(victim)
    with pytest.raises(StateError):
        fetch(server.on("/f", served(BODY)), final)
    assert victim.read_bytes() == b"precious"


def test_proxy(server: BadServer, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    server.on("http://example.invalid/f", served(BODY))
    fetch("http://example.invalid/f", final)
    assert_fetched(final)


def test_dead_proxy_is_named(final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    reason = refused("http://example.invalid/f", final)
    assert "through the proxy of http_proxy" in reason
    assert "secret" not in reason


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    where = tmp_path_factory.mktemp("tls") / "both.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(where), "-out", f"{where}.crt")
    subprocess.run(["openssl", "req", "-x509", *key, *name, *files], check=True, capture_output=True)
    with where.open("ab") as both:
        both.write(where.with_name("both.pem.crt").read_bytes())
    return where


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[BadServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running(context) as started:
        yield started


def test_tls(tls_server: BadServer, certificate: Path, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = tls_server.on("/f", served(BODY))
    assert "certificate of 127.0.0.1 was not accepted" in refused(url, final)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetch(url, final)
    assert_fetched(final)


def test_tls_downgrade(
    tls_server: BadServer, server: BadServer, certificate: Path, final: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = tls_server.on("/f", redirected(server.on("/f", served(BODY))))
    assert "from https to unencrypted http" in refused(url, final)
    assert server.requests == []


def test_http_server_where_tls_is_expected(server: BadServer, final: Path) -> None:
    url = server.on("/f", served(BODY)).replace("http:", "https:")
    assert refused(url, final).startswith("no connection to 127.0.0.1: ")

"""Downloads through a server that misbehaves: what is wrong never appears under its final name."""

from __future__ import annotations

import hashlib
import io
import os
import urllib.request
from email.message import Message
from typing import TYPE_CHECKING

import pytest
from badserver import (
    BadServer,
    dripping,
    page,
    partial,
    promising,
    raw,
    redirected,
    reset,
    running,
    served,
    slow,
    stalled,
    status,
    truncated,
    unannounced,
)

from devsetup.errors import SourceError
from devsetup.events import Event, Progress, silent
from devsetup.fetch.download import Limits, download
from devsetup.fetch.opener import CarefulRedirects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from badserver import Behaviour

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


def test_download_with_progress(server: BadServer, final: Path) -> None:
    events: list[Event] = []
    download(server.on("/f", served(BODY)), SHA256, final, events.append, PATIENT)
    assert_fetched(final)
    assert all(isinstance(event, Progress) and event.total == len(BODY) for event in events)
    assert events[-1] == Progress("source.tar.gz", len(BODY), len(BODY))
    assert final.stat().st_mode & 0o777 == 0o644


def test_progress_is_throttled(server: BadServer, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devsetup.fetch.download._CHUNK", 1000)
    monkeypatch.setattr("devsetup.fetch.download._PROGRESS_EVERY_S", 1000.0)
    events: list[Event] = []
    download(server.on("/f", served(BODY)), SHA256, final, events.append, PATIENT)
    assert len(events) == 2


def test_download_without_content_length(server: BadServer, final: Path) -> None:
    fetch(server.on("/f", unannounced(BODY)), final)
    assert_fetched(final)


@pytest.mark.parametrize("at", [0, 1, 4096, 65536, 150_000, len(BODY) - 1])
def test_always_truncated(server: BadServer, final: Path, at: int) -> None:
    reason = refused(server.on("/f", truncated(BODY, at)), final)
    assert f"sent {at} of {len(BODY)} bytes" in reason
    assert len(server.requests) == 4


@pytest.mark.parametrize("at", [1, 4096, 65536, 150_000, len(BODY) - 1])
@pytest.mark.parametrize("cut", [truncated, reset])
def test_cut_then_resumed(server: BadServer, final: Path, at: int, cut: type) -> None:
    fetch(server.on("/f", cut(BODY, at, etag='"v1"'), served(BODY, etag='"v1"')), final)
    assert_fetched(final)
    if cut is truncated:  # a reset may also take bytes that had arrived
        assert server.requests[1][1]["range"] == f"bytes={at}-"
        assert server.requests[1][1]["if-range"] == '"v1"'


def test_weak_etags_are_not_sent_back(server: BadServer, final: Path) -> None:
    fetch(server.on("/f", truncated(BODY, 100, etag='W/"v1"'), served(BODY)), final)
    assert_fetched(final)
    assert "if-range" not in server.requests[1][1]


@pytest.mark.parametrize("at", [0, 1, 511, 65536, 200_000, len(BODY) - 1])
def test_flipped_bit(server: BadServer, final: Path, at: int) -> None:
    bad = bytearray(BODY)
    bad[at] ^= 1
    reason = refused(server.on("/f", served(bytes(bad))), final)
    assert f"expected {SHA256}" in reason
    assert f"got {hashlib.sha256(bad).hexdigest()}" in reason
    assert not part_of(final).exists()


@pytest.mark.parametrize("promised", [0, 1, 100_000, len(BODY) - 1])
def test_content_length_too_small(server: BadServer, final: Path, promised: int) -> None:
    assert "another sha256" in refused(server.on("/f", promising(BODY, promised)), final)


def test_content_length_too_large(server: BadServer, final: Path) -> None:
    reason = refused(server.on("/f", promising(BODY, len(BODY) + 5)), final)
    assert f"of {len(BODY) + 5} bytes" in reason


def test_more_than_promised_is_not_read(server: BadServer, final: Path) -> None:
    fetch(server.on("/f", promising(BODY + b"more", len(BODY))), final)
    assert_fetched(final)


def test_416_restarts(server: BadServer, final: Path) -> None:
    part_of(final).write_bytes(BODY + b"too long")
    fetch(server.on("/f", served(BODY)), final)
    assert_fetched(final)
    assert [("range" in headers) for _, headers in server.requests] == [True, False]


def test_ignored_range_restarts(server: BadServer, final: Path) -> None:
    part_of(final).write_bytes(b"x" * 1000)
    fetch(server.on("/f", served(BODY, ranges=False)), final)
    assert_fetched(final)


def test_resume_of_an_earlier_run(server: BadServer, final: Path) -> None:
    part_of(final).write_bytes(BODY[:123_456])
    fetch(server.on("/f", served(BODY)), final)
    assert_fetched(final)
    assert server.requests == [("/f", server.requests[0][1])]
    assert server.requests[0][1]["range"] == "bytes=123456-"


def test_a_complete_part_needs_no_network(final: Path) -> None:
    part_of(final).write_bytes(BODY)
    fetch("http://127.0.0.1:9/f", final)
    assert_fetched(final)


def test_part_of_another_file_is_fetched_again(server: BadServer, final: Path) -> None:
    part_of(final).write_bytes(b"<html>log in to this network</html>")
    fetch(server.on("/f", served(BODY)), final)
    assert_fetched(final)
    assert [("range" in headers) for _, headers in server.requests] == [True, False]


def test_part_of_another_file_and_a_bad_server(server: BadServer, final: Path) -> None:
    part_of(final).write_bytes(b"old")
    assert "another sha256" in refused(server.on("/f", served(BODY[:-1])), final)
    assert len(server.requests) == 2


def test_file_changes_before_the_resume(server: BadServer, final: Path) -> None:
    old = bytes(len(BODY))
    fetch(server.on("/f", truncated(old, 5000, etag='"old"'), served(BODY, etag='"new"')), final)
    assert_fetched(final)


def test_file_changes_and_if_range_is_ignored(server: BadServer, final: Path) -> None:
    old = bytes(len(BODY))
    rest = partial(BODY[5000:], f"bytes 5000-{len(BODY) - 1}/{len(BODY)}", etag='"new"')
    fetch(server.on("/f", truncated(old, 5000, etag='"old"'), rest, served(BODY)), final)
    assert_fetched(final)
    assert "range" not in server.requests[2][1]


def test_file_changes_and_no_etag_tells(server: BadServer, final: Path) -> None:
    fetch(server.on("/f", truncated(bytes(len(BODY)), 5000), served(BODY)), final)
    assert_fetched(final)


@pytest.mark.parametrize("answer", ["bytes 0-9/10", "bytes 4999-5010/9000", "bytes */300000", "rubbish", ""])
def test_wrong_content_range_restarts(server: BadServer, final: Path, answer: str) -> None:
    part_of(final).write_bytes(BODY[:5000])
    events: list[Event] = []
    url = server.on("/f", partial(b"0123456789", answer), served(BODY))
    download(url, SHA256, final, events.append, PATIENT)
    assert_fetched(final)
    assert {event.total for event in events if isinstance(event, Progress)} == {len(BODY)}


def test_206_without_being_asked(server: BadServer, final: Path) -> None:
    assert "answered 206" in refused(server.on("/f", partial(BODY, "bytes 0-9/10")), final)


def test_redirect(server: BadServer, final: Path) -> None:
    server.on("/real", served(BODY))
    for code in (301, 302, 303, 307, 308):
        fetch(server.on("/f", redirected("/real", code)), final)
        assert_fetched(final)
        final.unlink()


def test_resume_through_a_redirect(server: BadServer, final: Path) -> None:
    server.on("/real", served(BODY))
    part_of(final).write_bytes(BODY[:1000])
    fetch(server.on("/f", redirected("/real")), final)
    assert_fetched(final)
    assert server.requests[1][1]["range"] == "bytes=1000-"


def test_redirect_circle(server: BadServer, final: Path) -> None:
    server.on("/b", redirected("/a"))
    assert "redirects in a circle" in refused(server.on("/a", redirected("/b")), final)


def test_too_many_redirects(server: BadServer, final: Path) -> None:
    for number in range(20):
        server.on(f"/{number}", redirected(f"/{number + 1}"))
    server.on("/20", served(BODY))
    assert "too often" in refused(server.url("/0"), final)
    assert len(server.requests) <= 7


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/f", "data:text/plain,x", "http://a:b@127.0.0.1/"]
)
def test_redirect_elsewhere(server: BadServer, final: Path, to: str) -> None:
    reason = refused(server.on("/f", redirected(to)), final)
    assert "not an http or https URL" in reason or "away from http" in reason or "user name" in reason
    assert "a:b" not in reason


def test_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://example.invalid/f")
    with pytest.raises(SourceError, match="from https to unencrypted http"):
        CarefulRedirects().redirect_request(request, io.BytesIO(), 302, "", Message(), "http://example.invalid/f")


def test_redirects_leave_proxy_credentials_behind() -> None:
    request = urllib.request.Request("http://example.invalid/f", headers={"Range": "bytes=5-"})
    request.add_header("Proxy-authorization", "Basic c2VjcmV0")
    following = CarefulRedirects().redirect_request(
        request, io.BytesIO(), 302, "", Message(), "https://example.invalid/g"
    )
    assert following.headers == {"Range": "bytes=5-"}


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429, 408])
def test_passing_errors_are_retried(server: BadServer, final: Path, code: int) -> None:
    fetch(server.on("/f", status(code), status(code), status(code), served(BODY)), final)
    assert_fetched(final)


def test_retries_are_bounded(server: BadServer, final: Path) -> None:
    assert refused(server.on("/f", status(503)), final) == "127.0.0.1 answered 503 Service Unavailable"
    assert len(server.requests) == 4
    assert not part_of(final).exists()


@pytest.mark.parametrize("code", [204, 301, 400, 401, 403, 404, 410, 416])
def test_lasting_errors_are_not_retried(server: BadServer, final: Path, code: int) -> None:
    assert "127.0.0.1" in refused(server.on("/f", status(code)), final)
    assert len(server.requests) == 1


def test_backoff_doubles(server: BadServer, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("devsetup.fetch.download.time.sleep", naps.append)
    refused(server.on("/f", status(503)), final, Limits(backoff_s=0.5))
    assert naps == [0.5, 1.0, 2.0]


def test_stall_then_resume(server: BadServer, final: Path) -> None:
    fetch(server.on("/f", stalled(BODY, 70_000, etag='"1"'), served(BODY, etag='"1"')), final, FAST)
    assert_fetched(final)


@pytest.mark.parametrize("behaviour", [stalled(BODY, 100), dripping(BODY, 0.02)])
def test_endless_stall(server: BadServer, final: Path, behaviour: Behaviour) -> None:
    once = Limits(connect_s=5, stall_s=0.2, retries=0)
    assert "stopped sending" in refused(server.on("/f", behaviour), final, once)


def test_page_instead_of_the_file(server: BadServer, final: Path) -> None:
    assert "another sha256" in refused(server.on("/f", page("<html>sign in</html>")), final)
    assert not part_of(final).exists()


def test_an_announced_size_is_refused_unread(server: BadServer, final: Path) -> None:
    events: list[Event] = []
    with pytest.raises(SourceError, match="more than 100000 bytes"):
        download(server.on("/f", served(BODY)), SHA256, final, events.append, Limits(max_bytes=100_000))
    assert events == []


def test_a_server_that_thinks_first(server: BadServer, final: Path) -> None:
    """The time to connect is short, the time to answer is not."""
    fetch(server.on("/f", slow(BODY, 0.5)), final, Limits(connect_s=0.2, retries=0))
    assert_fetched(final)


@pytest.mark.parametrize("behaviour", [served(BODY), unannounced(BODY)])
def test_size_bound(server: BadServer, final: Path, behaviour: Behaviour) -> None:
    reason = refused(server.on("/f", behaviour), final, Limits(max_bytes=100_000))
    assert "more than 100000 bytes" in reason
    assert not part_of(final).exists()


@pytest.mark.parametrize(
    "data", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000]
)
def test_not_http(server: BadServer, final: Path, data: bytes) -> None:
    assert "127.0.0.1" in refused(server.on("/f", raw(data)), final)
    assert len(server.requests) == 4


def test_broken_chunks(server: BadServer, final: Path) -> None:
    answer = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert "127.0.0.1" in refused(server.on("/f", answer), final)

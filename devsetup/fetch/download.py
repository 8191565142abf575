"""Downloading over http and https with the standard library, resuming and bounded.

The pinned sha256 decides what is accepted, so a resumed download needs no remembered ETag to be safe: when bytes of an
earlier run turn out to be of another file, the whole is fetched once more. Proxies (`https_proxy`, `no_proxy`) and
`SSL_CERT_FILE`/`SSL_CERT_DIR` are honoured as Python and OpenSSL honour them.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import msgspec

from devsetup import __version__
from devsetup.errors import SourceError
from devsetup.events import Emit, Progress
from devsetup.fetch.opener import build_opener, checked_host
from devsetup.fetch.part import Part, claimed

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 16
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-\d+/(?:\d+|\*)$")
_PROGRESS_EVERY_S = 0.1
# Below this in one stall time a server is keeping us on the line, not sending.
_SLOWEST_BYTES = 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much.

    Attributes:
        connect_s: for the connection and the TLS handshake.
        stall_s: without any (or with hardly any) bytes.
        retries: after a failure that may pass: a 5xx answer, a cut or stalled connection.
        backoff_s: before the first retry; doubled each time.
        max_bytes: of the whole file.
    """

    connect_s: float = 10.0
    stall_s: float = 30.0
    retries: int = 3
    backoff_s: float = 0.5
    max_bytes: int = 2 << 30


class _Passing(Exception):
    """A failure that another try may not meet."""


def download(url: str, sha256: str, final: Path, emit: Emit, limits: Limits | None = None) -> None:
    """Have the file of a URL under its final name, verified.

    Interrupted or failed, it leaves `<final>.part` at most, which the next call goes on with.

    Args:
        url: http or https, without credentials.
        sha256: what the file must hash to.
        final: where it goes; its directory exists.
        emit: told of the progress, about ten times a second.
        limits: for tests; the defaults suit a slow line.

    Raises:
        SourceError: no connection, an HTTP error, too large, or another sha256; the message is one short sentence.
        StateError: the disk is full or not ours to write.
    """
    with claimed(final) as part:
        if part.size and part.sha256() == sha256:
            part.publish(final)
            return
        transfer = _Transfer(url, part, limits or Limits(), _Meter(final.name, emit))
        transfer.run()
        got = part.sha256()
        if got != sha256 and transfer.resumed:
            part.restart()
            transfer.run()
            got = part.sha256()
        if got != sha256:
            size = part.size
            part.discard()
            raise SourceError(
                f"what {transfer.host} sent ({size} bytes) has another sha256: expected {sha256}, got {got}"
            )
        part.publish(final)


class _Meter:
    """Progress events, throttled."""

    def __init__(self, label: str, emit: Emit) -> None:
        self._label = label
        self._emit = emit
        self._due = 0.0

    def at(self, done: int, total: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now >= self._due:
            self._due = now + _PROGRESS_EVERY_S
            self._emit(Progress(self._label, done, total))


class _Transfer:
    """Fills a part from a URL, over as many requests as it takes.

    Attributes:
        host: whom the messages name.
        resumed: some bytes came in an earlier request, which may have been of another file.
    """

    def __init__(self, url: str, part: Part, limits: Limits, meter: _Meter) -> None:
        self.host = checked_host(url)
        self._url = url
        self._part = part
        self._limits = limits
        self._meter = meter
        self._opener = build_opener(limits.stall_s)
        self._validator = ""
        self.resumed = False

    def run(self) -> None:
        """Fill the part completely.

        Raises:
            SourceError: it cannot be had, or not after all retries.
            StateError: it cannot be written.
        """
        for attempt in range(self._limits.retries + 1):
            failure = self._try()
            if failure is None:
                return
            if attempt < self._limits.retries:
                time.sleep(self._limits.backoff_s * 2**attempt)
        raise SourceError(str(failure))

    def _try(self) -> _Passing | None:
        try:
            self._request()
        except _Passing as failure:
            return failure
        return None

    def _request(self) -> None:
        offset = self._part.size
        headers = {"User-Agent": f"devsetup/{__version__}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._validator:
                headers["If-Range"] = self._validator
        request = urllib.request.Request(self._url, headers=headers)
        try:
            with self._opener.open(request, timeout=self._limits.connect_s) as response:
                self._receive(response, self._begin(response, offset))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                self._part.restart()
                raise _Passing(f"{self.host} could not resume") from error
            raise _status_failure(error, self.host) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _connection_failure(error, self._url, self.host) from error

    def _begin(self, response: http.client.HTTPResponse, offset: int) -> int:
        """Where the body that follows belongs; the part is cut to there."""
        if response.status == http.HTTPStatus.PARTIAL_CONTENT and offset:
            match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if match is None or int(match.group(1)) != offset:
                self._part.restart()
                raise _Passing(f"{self.host} resumed with other bytes than were asked for")
            self.resumed = True
            return offset
        if response.status != http.HTTPStatus.OK:
            raise SourceError(f"{self.host} answered {response.status} {response.reason}".rstrip())
        self._part.restart()
        self._validator = _validator(response)
        return 0

    def _receive(self, response: http.client.HTTPResponse, done: int) -> None:
        total = done + response.length if response.length is not None else 0
        self._check_size(total)
        mark, at_mark = time.monotonic(), done
        while chunk := response.read1(_CHUNK):
            done += len(chunk)
            self._check_size(done)
            self._part.append(chunk)
            self._meter.at(done, total)
            if time.monotonic() - mark > self._limits.stall_s:
                if done - at_mark < _SLOWEST_BYTES:
                    raise _Passing(self._stalled())
                mark, at_mark = time.monotonic(), done
        if done < total:
            raise _Passing(f"{self.host} sent {done} of {total} bytes")
        self._meter.at(done, total, last=True)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            self._part.discard()
            raise SourceError(f"{self.host} sends more than {self._limits.max_bytes} bytes")

    def _stalled(self) -> str:
        return f"{self.host} stopped sending for {self._limits.stall_s:g} s"


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range takes: a strong ETag, or else the date of the last change."""
    tag = str(response.headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _status_failure(error: urllib.error.HTTPError, host: str) -> Exception:
    if error.code in {301, 302, 303, 307, 308}:
        return SourceError(f"{host} redirects in a circle, too often, or away from http")
    answer = f"{host} answered {error.code} {error.reason}".rstrip()
    if error.code in {408, 429} or error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return _Passing(answer)
    return SourceError(answer)


def _connection_failure(error: Exception, url: str, host: str) -> Exception:
    """What the failure was: urllib wraps what fails until the request is sent in URLError, not what fails later."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return SourceError(f"the certificate of {host} was not accepted: {cause.verify_message}")
    if isinstance(cause, ConnectionError) and not isinstance(cause, ConnectionRefusedError):
        return _Passing(f"{host} cut the connection")
    if isinstance(error, urllib.error.URLError):
        why = getattr(cause, "strerror", None) or str(cause)
        return SourceError(f"no connection to {host}{_proxy(url, host)}: {why}")
    if isinstance(cause, TimeoutError):
        return _Passing(f"{host} stopped sending")
    if isinstance(cause, OSError):
        return _Passing(f"{host} cut the connection: {cause.strerror or cause}")
    return _Passing(f"{host} sent something that is not HTTP ({type(cause).__name__})")


def _proxy(url: str, host: str) -> str:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return f" through the proxy of {scheme}_proxy"
    return ""

"""A urllib opener that speaks only http and https, and follows redirects with care."""

from __future__ import annotations

import functools
import http.client
import ssl
import urllib.parse
import urllib.request
from typing import IO, TYPE_CHECKING, Any

from devsetup.errors import SourceError

if TYPE_CHECKING:
    from email.message import Message

_SCHEMES = ("https", "http")
_OURS = ("Range", "If-range", "User-agent")  # as urllib spells them


def checked_host(url: str) -> str:
    """The host of an http or https URL.

    Raises:
        SourceError: another scheme, no host, or a user name in it (it would end up in logs and receipts).
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise SourceError(f"{url!r} is not a URL: {error}") from error
    if parts.username is not None:
        raise SourceError(f"a source's URL must not carry a user name or password (host {host})")
    if parts.scheme not in _SCHEMES or not host:
        raise SourceError(f"{url!r} is not an http or https URL")
    return host


def build_opener(stall_s: float) -> urllib.request.OpenerDirector:
    """An opener for http and https alone: no file, ftp or data URLs, not even by redirect.

    Args:
        stall_s: socket timeout once connected; the timeout given to `open` is that of connecting.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _HttpHandler(stall_s),
        _HttpsHandler(stall_s),
        urllib.request.HTTPDefaultErrorHandler(),
        CarefulRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, never from https to http."""

    max_redirections = 5
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302  # Python 3.10 does not know it

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request:
        """The request for the place that an answer points to; proxy credentials stay behind.

        Raises:
            SourceError: it leads from https to http, or away from both.
        """
        del code, msg, headers
        try:
            _check_redirect(req, newurl)
        except SourceError:
            fp.close()
            raise
        kept = {name: value for name, value in req.headers.items() if name in _OURS}
        return urllib.request.Request(newurl, headers=kept, unverifiable=True)


def _check_redirect(request: urllib.request.Request, to: str) -> None:
    host = checked_host(to)
    if request.full_url.lower().startswith("https:") and not to.lower().startswith("https:"):
        raise SourceError(f"{request.host} redirects from https to unencrypted http on {host}")


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, stall_s: float, **options: Any) -> None:
        super().__init__(host, **options)
        self._stall_s = stall_s

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._stall_s)


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    """Connecting ends with the TLS handshake: `_Connection.connect` calls HTTPSConnection's."""


class _HttpHandler(urllib.request.AbstractHTTPHandler):
    http_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self._stall_s = stall_s

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_Connection, stall_s=self._stall_s), req)


class _HttpsHandler(urllib.request.AbstractHTTPHandler):
    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, stall_s: float) -> None:
        super().__init__()
        self._stall_s = stall_s

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        # Made here, not in __init__: reading the system's certificates takes 20 ms that http does not need.
        connection = functools.partial(_TlsConnection, stall_s=self._stall_s, context=ssl.create_default_context())
        return self.do_open(connection, req)

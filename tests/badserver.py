"""An HTTP server on 127.0.0.1 that misbehaves on request.

    with running() as server:
        server.on("/file", truncated(body, 100), served(body, etag='"1"'))
        url = server.url("/file")

The n-th request of a path gets the n-th behaviour; the last one repeats.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    Behaviour = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.close_connection = True
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self.server.owner.next_behaviour(self)(self)

    def log_message(self, *_: Any) -> None:
        pass

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def offset(self) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match.group(1)) if match else None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    owner: BadServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients hang up; that is what is being tested


class BadServer:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.release = threading.Event()  # ends every stall

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"

    def on(self, path: str, *behaviours: Behaviour) -> str:
        self._behaviours[path] = list(behaviours)
        return self.url(path)

    def next_behaviour(self, handler: Handler) -> Behaviour:
        self.requests.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        waiting = self._behaviours.get(handler.path, [status(404)])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[BadServer]:
    server = BadServer(tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def served(body: bytes, *, etag: str | None = None, modified: str | None = None, ranges: bool = True) -> Behaviour:
    """A decent server: 206 with Content-Range, 416 beyond the end, If-Range honoured."""

    def behave(handler: Handler) -> None:
        offset = handler.offset() if ranges else None
        unchanged = handler.headers.get("If-Range") in {None, etag, modified}
        marks = {"ETag": etag, "Last_Modified": modified}
        if offset is None or not unchanged:
            handler.head(200, Content_Length=len(body), **marks)
            handler.wfile.write(body)
        elif offset >= len(body):
            handler.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        else:
            span = f"bytes {offset}-{len(body) - 1}/{len(body)}"
            handler.head(206, Content_Length=len(body) - offset, Content_Range=span, **marks)
            handler.wfile.write(body[offset:])

    return behave


def truncated(body: bytes, at: int, *, promised: int | None = None, etag: str | None = None) -> Behaviour:
    """Promises everything, sends `at` bytes from where it was asked, and closes."""

    def behave(handler: Handler) -> None:
        handler.head(200, Content_Length=promised or len(body), ETag=etag)
        handler.wfile.write(body[:at])

    return behave


def reset(body: bytes, at: int, *, etag: str | None = None) -> Behaviour:
    """Sends `at` bytes, lets them arrive, and drops the connection with a TCP reset."""

    def behave(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body), ETag=etag)
        handler.wfile.write(body[:at])
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.server.shutdown_request = handler.server.close_request  # type: ignore[method-assign] # no FIN first

    return behave


def stalled(body: bytes, at: int, *, etag: str | None = None) -> Behaviour:
    """Sends `at` bytes and then nothing, with the connection open."""

    def behave(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body), ETag=etag)
        handler.wfile.write(body[:at])
        handler.wfile.flush()
        handler.server.owner.release.wait(30)

    return behave


def dripping(body: bytes, every_s: float) -> Behaviour:
    """Sends one byte now and then."""

    def behave(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body))
        for byte in body:
            handler.wfile.write(bytes((byte,)))
            handler.wfile.flush()
            if handler.server.owner.release.wait(every_s):
                return

    return behave


def slow(body: bytes, pause_s: float) -> Behaviour:
    """Answers well, after a while."""

    def behave(handler: Handler) -> None:
        handler.server.owner.release.wait(pause_s)
        served(body)(handler)

    return behave


def status(code: int, **headers: object) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.head(code, Content_Length=0, **headers)

    return behave


def redirected(to: str, code: int = 302) -> Behaviour:
    return status(code, Location=to)


def page(text: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.head(200, Content_Type="text/html", Content_Length=len(text.encode()))
        handler.wfile.write(text.encode())

    return behave


def promising(body: bytes, promised: int) -> Behaviour:
    """Content-Length says `promised`, the body is what it is."""

    def behave(handler: Handler) -> None:
        handler.head(200, Content_Length=promised)
        handler.wfile.write(body)

    return behave


def unannounced(body: bytes) -> Behaviour:
    """No Content-Length: the end of the connection ends the body."""

    def behave(handler: Handler) -> None:
        handler.head(200)
        handler.wfile.write(body)

    return behave


def partial(body: bytes, content_range: str, *, etag: str | None = None) -> Behaviour:
    """Always 206, with that Content-Range, whatever was asked."""

    def behave(handler: Handler) -> None:
        handler.head(206, Content_Length=len(body), Content_Range=content_range, ETag=etag)
        handler.wfile.write(body)

    return behave


def raw(data: bytes) -> Behaviour:
    """Bytes instead of HTTP."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(data)

    return behave

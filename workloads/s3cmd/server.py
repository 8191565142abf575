"""An S3 server on loopback: moto's, behind a socket that is bound here, so that no port is guessed.

    PREFIX/server/bin/python server.py [--port N]

Prints `port N` once it listens, then a line when a request begins and one when it is done. Exit status 2 when the port
is taken.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

HOST = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A socket that listens on loopback; any free port for 0."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(128)
    return listener


def main(argv: list[str]) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="server")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    try:
        listener = bound(options.port)
    except (OSError, OverflowError) as error:
        print(f"port {options.port} of {HOST} cannot be had: {error}", file=sys.stderr)
        return 2
    # moto would ask for a signature's account and for credentials of its own; neither leaves this machine.
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415 - a taken port comes first
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def run_wsgi(self) -> None:
            print(f"begin {self.command} {self.path}", flush=True)
            super().run_wsgi()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            print(f"{self.command} {self.path} {code} {size}", flush=True)

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(HOST, 0, app, threaded=True, request_handler=Handler, fd=listener.fileno())
    print(f"port {listener.getsockname()[1]}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

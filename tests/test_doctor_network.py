"""The network: variables on constructed machines, and a real server on the loopback."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doctor_goals import wanting
from doctoring import Couch, check, only
from homes import HOST, make_receipt

from devsetup.doctor.checks import every
from devsetup.fetch.reach import reach
from devsetup.steps import SystemPackages, UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor import Goal

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    made = Couch(tmp_path / "root")
    made.write(BUNDLE, PEM)
    return made


def fetching(*urls: str) -> tuple[Goal, ...]:
    return wanting(HOST, sources=tuple(UrlSource(id=url, url=url, sha256="0" * 64) for url in urls))


def test_proxies(couch: Couch) -> None:
    assert check("net.proxy", couch.exam()) == check("net.ca", couch.exam()) == ()
    found = only("net.proxy", couch.exam(https_proxy="http://ada:secret@proxy:3128"))
    assert (found.status, found.summary) == ("info", "downloads go through http://***@proxy:3128 (https_proxy)")
    assert "secret" not in str(found)
    assert only("net.proxy", couch.exam(HTTP_PROXY="proxy:3128")).status == "info"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("http://", "names no host"),
        ("http://proxy:port", "is no URL"),
        ("http://[::1", "is no URL"),
        ("socks5://proxy:1080", "can speak socks5"),
    ],
)
def test_proxies_that_lead_nowhere(couch: Couch, value: str, says: str) -> None:
    found = only("net.proxy", couch.exam(all_proxy=value))
    assert found.status == "warn"
    assert f"all_proxy is {value!r}" in found.summary
    assert says in found.summary


def test_proxies_that_differ(couch: Couch) -> None:
    differ, *_ = check("net.proxy", couch.exam(http_proxy="http://a:1", HTTP_PROXY="http://b:1"))
    assert differ.status == "warn"
    assert [evidence.value for evidence in differ.evidence] == ["http://a:1", "http://b:1"]


def test_certificates_that_do_not_exist(couch: Couch) -> None:
    found = only("net.ca", couch.exam(REQUESTS_CA_BUNDLE="/x"))
    assert found.status == "warn"
    assert found.summary == "REQUESTS_CA_BUNDLE is /x, which does not exist: pip cannot verify any https server"
    assert found.fix is not None
    assert found.fix.commands == ("unset REQUESTS_CA_BUNDLE",)
    goals = fetching("https://example.org/x.tar.gz")
    assert only("net.ca", couch.exam(goals=goals, SSL_CERT_FILE="/x")).status == "fail"
    assert only("net.ca", couch.exam(goals=fetching("http://example.org/x"), SSL_CERT_FILE="/x")).status == "warn"


def test_certificates_that_are_none(couch: Couch) -> None:
    couch.write("/x", "no certificate")
    (couch.root / "empty").mkdir()
    assert "holds no certificate" in only("net.ca", couch.exam(CURL_CA_BUNDLE="/x")).summary
    assert "is empty" in only("net.ca", couch.exam(SSL_CERT_DIR="/empty")).summary
    assert "Is a directory" in only("net.ca", couch.exam(SSL_CERT_FILE="/empty")).summary
    assert check("net.ca", couch.exam(SSL_CERT_FILE=BUNDLE, SSL_CERT_DIR="/etc/ssl/certs")) == ()


def test_a_machine_without_certificates(couch: Couch) -> None:
    (couch.root / BUNDLE.lstrip("/")).unlink()
    couch.program("/usr/bin/apt-get", "true")
    found = only("net.ca", couch.exam())
    assert found.status == "info"
    assert found.fix is not None
    assert found.fix.commands[-1].endswith(" ca-certificates")
    goals = fetching("https://example.org/x.tar.gz")
    assert only("net.ca", couch.exam(goals=goals)).status == "fail"
    coming = wanting(
        HOST, SystemPackages(manager="apt", names=("ca-certificates",)),
        sources=(UrlSource(id="1", url="https://example.org/x", sha256="0" * 64),),
    )  # fmt: skip
    assert only("net.ca", couch.exam(goals=coming)).status == "info"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if self.path.startswith("/forbidden"):
                self.send_error(403)
            elif self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "/there.tar.gz")
                self.end_headers()
            else:
                super().do_HEAD()

        def log_message(self, *args: object) -> None:
            pass

    served = tmp_path / "served"
    served.mkdir()
    (served / "there.tar.gz").write_text("x")
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()
    thread.join()


def test_reaching(server: str) -> None:
    assert reach(f"{server}/there.tar.gz", 3.0) == ""
    assert reach(f"{server}/moved", 3.0) == ""
    assert reach(f"{server}/forbidden", 3.0) == ""  # the server is there, and does not like HEAD
    assert reach(f"{server}/gone.tar.gz", 3.0) == "it answered 404 File not found"
    assert "refused" in reach("http://127.0.0.1:1/x", 3.0)
    assert "not an http or https URL" in reach("file:///etc/passwd", 3.0)


def test_sources_are_asked_for_with_network_alone(couch: Couch, server: str) -> None:
    (listed,) = (each for each in every() if each.id == "net.reach")
    assert listed.network
    goals = fetching(f"{server}/there.tar.gz", f"{server}/gone.tar.gz", "http://localhost:1/x.tar.gz")
    there, refused = check("net.reach", couch.exam(goals=goals))
    assert (there.status, there.summary) == ("ok", "127.0.0.1 has there.tar.gz")
    assert refused.status == "warn"
    assert refused.summary.startswith("localhost does not give http://localhost:1/x.tar.gz: ")
    assert only("net.reach", couch.exam()).status == "skip"
    assert goals[0].plan is not None
    part = goals[0].plan.parts[0]
    there_already = make_receipt(part=part, key=part.key)
    assert only("net.reach", couch.exam(goals=goals, receipts=(there_already,))).status == "skip"

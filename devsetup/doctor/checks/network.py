"""The network: variables that lead nowhere, certificates, and (with --network alone) whether sources can be reached."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devsetup.doctor.finding import Check, Evidence, Finding, Fix
from devsetup.doctor.remedies import installation
from devsetup.steps import UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.doctor.exam import Exam

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_SCHEMES = ("http", "https")
_BUNDLES = {
    "SSL_CERT_FILE": "Python and OpenSSL, and so devsetup's own downloads",
    "REQUESTS_CA_BUNDLE": "pip",
    "PIP_CERT": "pip",
    "CURL_CA_BUNDLE": "curl and pip",
    "GIT_SSL_CAINFO": "git",
}
_DIRECTORIES = {"SSL_CERT_DIR": "Python and OpenSSL, and so devsetup's own downloads"}
# Debian, Arch, Alpine; Fedora; openSUSE. Where OpenSSL looks by itself, on each of them.
_SYSTEM_BUNDLES = (
    *("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"),
    *(
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/ca-bundle.pem",
    ),
)
_BUNDLE_PACKAGE = ("ca-certificates",)  # apt's, dnf's and pacman's name alike
_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----")
_SECRET = re.compile(r"//[^/@]*@")
_ANSWER_S = 3.0


def _fetches(exam: Exam) -> bool:
    """Whether something that is asked about is to be fetched with https: then what stops that is a failure."""
    return any(source.url.startswith("https:") for source in _sources(exam))


def _sources(exam: Exam) -> tuple[UrlSource, ...]:
    there = {receipt.key for receipt in exam.receipts}
    wanted = (source for part in exam.wanted if part.key not in there for source in part.sources)
    return tuple(source for source in wanted if isinstance(source, UrlSource))


def _proxy(exam: Exam) -> Iterator[Finding]:
    variables = exam.host.environ
    for name in _PROXIES:
        lower, upper = variables.get(name, ""), variables.get(name.upper(), "")
        if lower and upper and lower != upper:
            yield Finding(
                status="warn",
                summary=f"{name} and {name.upper()} name different proxies: programs differ in which they take",
                evidence=(_shown(name, lower), _shown(name.upper(), upper)),
                fix=Fix(text="set both to the same, or only the lower-case one, which all programs read"),
            )
        for variable, value in ((name, lower), (name.upper(), upper)):
            if value:
                yield from _judged(variable, value)


def _judged(variable: str, value: str) -> Iterator[Finding]:
    problem = _proxy_problem(value)
    evidence = _shown(variable, value)
    if problem:
        yield Finding(
            status="warn",
            summary=f"{variable} is {evidence.value!r}, {problem}: downloads fail",
            evidence=(evidence,),
            fix=Fix(text="correct or unset it", commands=(f"export {variable}=http://HOST:PORT", f"unset {variable}")),
        )
    else:
        yield Finding(
            status="info", summary=f"downloads go through {evidence.value} ({variable})", evidence=(evidence,)
        )


def _proxy_problem(value: str) -> str:
    """Why a proxy cannot be used; empty when it has the form of one."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"which is no URL ({error})"
    if not host:
        return "which names no host"
    if parts.scheme not in _SCHEMES:
        return f"and neither devsetup's downloads nor pip can speak {parts.scheme} without more software"
    return ""


def _shown(variable: str, value: str) -> Evidence:
    return Evidence(source=variable, value=_SECRET.sub("//***@", value))


def _ca(exam: Exam) -> Iterator[Finding]:
    variables = exam.host.environ
    for name, users in {**_BUNDLES, **_DIRECTORIES}.items():
        value = variables.get(name, "")
        problem = _ca_problem(Path(exam.host.real(value)), directory=name in _DIRECTORIES) if value else ""
        if problem:
            yield Finding(
                status="fail" if _fetches(exam) else "warn",
                summary=f"{name} is {value}, which {problem}: {users} cannot verify any https server",
                evidence=(Evidence(source=name, value=value),),
                fix=Fix(text="unset it, or point it at a bundle of certificates", commands=(f"unset {name}",)),
            )
    yield from _no_bundle(exam)


def _ca_problem(path: Path, *, directory: bool) -> str:
    try:
        if directory:
            return "" if any(path.iterdir()) else "is empty"
        return "" if _CERTIFICATE.search(path.read_bytes()) else "holds no certificate"
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _no_bundle(exam: Exam) -> Iterator[Finding]:
    named = any(exam.host.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if exam.facts.os.id == "macos" or named or any(map(exam.host.exists, _SYSTEM_BUNDLES)):
        return
    needed = _fetches(exam)
    coming = any(set(_BUNDLE_PACKAGE) & set(part.packages) for part in exam.wanted)
    yield Finding(
        status="fail" if needed and not coming else "info",
        summary=f"no bundle of CA certificates ({_SYSTEM_BUNDLES[0]} and others): https downloads cannot be verified",
        evidence=tuple(Evidence(source=path, value="not there") for path in _SYSTEM_BUNDLES),
        fix=installation(exam, "install the distribution's certificates", _BUNDLE_PACKAGE),
    )


def _reach(exam: Exam) -> Iterator[Finding]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - with --network alone

    from devsetup.fetch.reach import reach  # noqa: PLC0415 - loads http and ssl

    first: dict[str, str] = {}
    for source in _sources(exam):
        first.setdefault(urlsplit(source.url).hostname or source.url, source.url)
    if not first:
        yield Finding(status="skip", summary="nothing that is asked about is fetched from a URL")
        return
    with ThreadPoolExecutor(max_workers=len(first)) as pool:
        answers = tuple(pool.map(lambda url: reach(url, _ANSWER_S), first.values()))
    for (host, url), problem in zip(first.items(), answers, strict=True):
        evidence = (Evidence(source=f"HEAD {url}", value=problem or "it is there"),)
        if problem:
            yield Finding(
                status="warn",
                summary=f"{host} does not give {url}: {problem}",
                evidence=evidence,
                fix=Fix(text="check the connection and the proxy; a source of your own goes with `--source PATH`"),
            )
        else:
            yield Finding(status="ok", summary=f"{host} has {url.rpartition('/')[2]}", evidence=evidence)


CHECKS: tuple[Check, ...] = (
    Check(id="net.proxy", about="proxy variables that are malformed or contradict each other", run=_proxy),
    Check(id="net.ca", about="CA certificates that are missing, or variables that lead to none", run=_ca),
    Check(
        id="net.reach",
        about="whether the sources of what is asked about can be reached",
        run=_reach,
        network=True,
        timeout_s=15.0,
    ),
)

"""Which Debian archive this machine's apt uses: its own mirror, never one that we name.

apt's indexes know it (`apt-get indextargets`); a bare root has none yet, so there the files under /etc/apt are read,
in both formats: one-line `.list` and deb822 `.sources` (sources.list(5)).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Pockets of a release: they hold updates only, and security lives at another address.
_POCKET = re.compile(r"[-/](security|updates|proposed-updates|proposed|backports|backports-sloppy)$|^experimental$")
# deb [options] URI SUITE COMPONENT... # comment
_ONE_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)\s*(?:#.*)?$")

INDEX_FORMAT = "$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"


class Archive(msgspec.Struct, frozen=True):
    """A package archive: its base URI, and the keyrings that its release files may be signed with."""

    uri: str
    keyrings: tuple[str, ...] = ()


class _Configured(msgspec.Struct, frozen=True, kw_only=True):
    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str


def main_archives(indexes: str, configuration: Path) -> list[Archive]:
    """The machine's Debian archives, without those of updates, security and third parties.

    Args:
        indexes: what `apt-get indextargets --format INDEX_FORMAT` printed.
        configuration: /etc/apt.
    """
    configured = list(_configured(configuration))
    uris = [uri for uri in map(_indexed_uri, indexes.splitlines()) if uri]
    if not uris:
        uris = [entry.uri for entry in configured if "main" in entry.components and not _POCKET.search(entry.suite)]
    reachable = [uri for uri in dict.fromkeys(uris) if not uri.startswith("cdrom:")]
    return [Archive(uri, _keyrings(uri, configured)) for uri in reachable]


def _indexed_uri(line: str) -> str:
    kind, origin, label, component, codename, uri = (line.split("|") + [""] * 6)[:6]
    main = (kind, origin, label, component) == ("Packages", "Debian", "Debian", "main")
    return _normal(uri) if main and not _POCKET.search(codename) else ""


def _keyrings(uri: str, configured: Iterable[_Configured]) -> tuple[str, ...]:
    """The keyring that the machine's configuration names, and Debian's own, which knows older releases too."""
    named = [entry.keyring for entry in configured if entry.uri == uri and entry.keyring]
    own = [str(_KEYRING)] if _KEYRING.exists() else []
    return tuple(dict.fromkeys(named + own))


def _normal(uri: str) -> str:
    return uri.rstrip("/") + "/"


def _configured(configuration: Path) -> Iterator[_Configured]:
    files = [configuration / "sources.list", *sorted((configuration / "sources.list.d").glob("*"))]
    for file in files:
        if file.suffix not in {".list", ".sources"}:
            continue
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # apt cannot use it either
        yield from _deb822(text) if file.suffix == ".sources" else _one_line(text)


def _one_line(text: str) -> Iterator[_Configured]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line)
        if match is None:
            continue
        options, uri, suite, components = match.groups(default="")
        signed = re.search(r"(?:^|\s)signed-by=(\S+)", options, re.IGNORECASE)
        yield _Configured(
            uri=_normal(uri),
            suite=suite,
            components=tuple(components.split()),
            keyring=_path(signed.group(1) if signed else ""),
        )


def _deb822(text: str) -> Iterator[_Configured]:
    for stanza in stanzas(text):
        if stanza.get("enabled", "yes").lower() in {"no", "false", "0", "off", "without", "disable"}:
            continue
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                yield _Configured(
                    uri=_normal(uri),
                    suite=suite,
                    components=tuple(stanza.get("components", "").split()),
                    keyring=_path(stanza.get("signed-by", "")),
                )


def _path(signed_by: str) -> str:
    """A keyring's path; keys given inline or by fingerprint are left out."""
    first = signed_by.split(",", maxsplit=1)[0].strip()
    return first if first.startswith("/") and not re.search(r"\s", first) else ""


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of Debian's control format (deb-src-control(5)): field names in lower case, comments left out."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0].isspace():
            if name:
                fields[name] += f"\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()

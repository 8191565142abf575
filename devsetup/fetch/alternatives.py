"""Trying equivalent sources in order, cache first, and saying which one it was and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from devsetup.errors import InvalidInput, SourceError
from devsetup.events import Emit, Note, Progress
from devsetup.fetch import debian, pypi
from devsetup.fetch.files import make_directory, sha256_file, writing
from devsetup.fetch.local import checked
from devsetup.steps import DebianSource, LocalSource, PyPISource, Source, UrlSource

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.fetch.asking import Capture

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._+~-]+")
_Remote: TypeAlias = UrlSource | DebianSource | PyPISource
_MAX_NAME = 200  # leaves room for `.part` and a unique suffix in 255 bytes


class Obtained(msgspec.Struct, frozen=True):
    """A verified source on this machine.

    Attributes:
        source: the alternative that was used.
        path: absolute path of the file, or of the directory when the source is a tree.
        reasons: for each alternative before it, one sentence that says why it was not used.
    """

    source: Source
    path: str
    reasons: tuple[str, ...]


def obtain(name: str, sources: tuple[Source, ...], downloads: Path, capture: Capture, emit: Emit) -> Obtained:
    """Have one of several equivalent sources as a verified local file or tree.

    The cache, `downloads/<sha256>/<file>`, is searched for all of them first; then each is tried in order.

    Args:
        name: what the sources are of, for messages.
        sources: alternatives, the preferred one first.
        downloads: the cache's directory; created when something must be downloaded.
        capture: runs apt for Debian sources and pip for sdists.
        emit: told of progress, and by a Note which source is used and why.

    Raises:
        SourceError: none could be had; `detail` holds every reason.
        StateError: the cache cannot be written.
        InvalidInput: a source is malformed.
    """
    for index, source in enumerate(sources):
        if not isinstance(source, LocalSource) and _is_cached(name, source, _place(source, downloads), emit):
            reasons = tuple(f"{earlier.id}: not in the cache" for earlier in sources[:index])
            return _used(name, Obtained(source, str(_place(source, downloads)), reasons), "the cache", emit)
    reasons = ()
    for source in sources:
        path, whence = _tried(source, downloads, capture, emit)
        if path is not None:
            return _used(name, Obtained(source, str(path), reasons), whence, emit)
        reasons = (*reasons, f"{source.id}: {whence}")
    raise SourceError(f"no source of {name} could be had", _by_hand(sources), detail=reasons)


def _used(name: str, obtained: Obtained, whence: str, emit: Emit) -> Obtained:
    why = f" ({'; '.join(obtained.reasons)})" if obtained.reasons else ""
    emit(Note(f"{name}: using {obtained.source.id} from {whence}{why}"))
    return obtained


def _place(source: _Remote, downloads: Path) -> Path:
    """Where the cache keeps a source."""
    if not _SHA256.fullmatch(source.sha256):
        raise InvalidInput(f"source {source.id} has a malformed sha256: {source.sha256!r}")
    name = re.split("[?#]", source.url)[0].rsplit("/", 1)[-1] if isinstance(source, UrlSource) else source.file
    plain = _UNUSUAL.sub("_", name).lstrip(".")[-_MAX_NAME:]
    return downloads.absolute() / source.sha256 / (plain or "source")


def _is_cached(name: str, source: _Remote, place: Path, emit: Emit) -> bool:
    if not place.is_file():
        return False
    got = sha256_file(place)
    if got == source.sha256:
        return True
    with writing(place):
        place.unlink()
    emit(Note(f"{name}: removed {place} from the cache: it was corrupt (expected {source.sha256}, got {got})"))
    return False


def _tried(source: Source, downloads: Path, capture: Capture, emit: Emit) -> tuple[Path | None, str]:
    """Try one source: its path and whence it came, in words; or None and why not."""
    try:
        return _have(source, downloads, capture, emit)
    except SourceError as error:
        return None, error.message


def _have(source: Source, downloads: Path, capture: Capture, emit: Emit) -> tuple[Path, str]:
    if isinstance(source, LocalSource):
        return checked(source), source.path
    place = _place(source, downloads)
    make_directory(place.parent)
    if isinstance(source, DebianSource):
        emit(Progress(place.name, 0, 0))  # apt does not say how far it is
        debian.download(source, place, capture)
        return place, f"the Debian source package {source.package}"
    if isinstance(source, PyPISource):
        emit(Progress(place.name, 0, 0))  # nor does pip, to a pipe
        pypi.download(source, place, capture)
        return place, f"pip, as {source.package} {source.version}"
    from devsetup.fetch.download import download  # noqa: PLC0415 - 60 ms of http and TLS that a cached source spares
    from devsetup.fetch.opener import checked_host  # noqa: PLC0415 - same

    download(source.url, source.sha256, place, emit)
    return place, checked_host(source.url)


def _by_hand(sources: tuple[Source, ...]) -> str:
    """The way that is left: a file that the user brings."""
    for source in sources:
        if isinstance(source, UrlSource):
            return f"download {source.url} (sha256 {source.sha256}) by hand and give it with --source PATH"
    for source in sources:
        if isinstance(source, DebianSource | PyPISource):
            whence = "the Debian source package" if isinstance(source, DebianSource) else "the Python package"
            wanted = f"{source.file} of {whence} {source.package}"
            return f"download {wanted} (sha256 {source.sha256}) by hand and give it with --source PATH"
    return "give the source's archive or directory with --source PATH"

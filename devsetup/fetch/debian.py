"""One file of a Debian source package, by name, through the machine's own apt mirror.

apt runs on a configuration of ours in a scratch directory: no root is needed, the machine's indexes, caches and sources
are not touched, and its proxies and credentials still count. The package's release may be older than the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import SourceError
from devsetup.fetch.aptsources import INDEX_FORMAT, Archive, main_archives, stanzas
from devsetup.fetch.asking import TIME_WAS_UP, ended, without_credentials
from devsetup.fetch.files import adopt, sha256_file, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.fetch.asking import Capture, Ended
    from devsetup.steps import DebianSource

_ASK_S = 60.0
_UPDATE_S = 300.0
_DOWNLOAD_S = 1800.0
_ARCHIVES_TRIED = 3

# Given with --config-file, so that it wins over /etc/apt/apt.conf.d. The hooks there would clean the machine's own
# cache; `target=Sources` keeps indexes away that other packages add. The pinned sha256 makes the age of the release
# file and the clock irrelevant; older versions of apt know only Check-Valid-Until.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::State "{root}/state";
Dir::State::lists "{root}/state/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "{root}/log";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
"""


def download(source: DebianSource, final: Path, capture: Capture, *, configuration: Path = Path("/etc/apt")) -> None:
    """Have the file of a Debian source package under its final name, verified.

    Args:
        source: its version is upstream's; the package's own adds a revision, and the file's sha256 picks it.
        final: where it goes; its directory exists.
        capture: runs apt.
        configuration: where apt's own configuration lies.

    Raises:
        SourceError: no apt here, no Debian archive known to it, no connection, no such package or file, or another
            sha256; the message is one sentence.
        StateError: the disk is full or not ours to write.
    """
    if shutil.which("apt-get") is None:
        raise SourceError("no apt-get on this machine")
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    indexes = ended(capture, ("apt-get", "indextargets", "--format", INDEX_FORMAT), environment, timeout_s=_ASK_S)
    archives = main_archives(indexes.output if indexes.returncode == 0 else "", configuration)
    if not archives:
        raise SourceError("apt's sources on this machine name no Debian archive")
    reasons: list[str] = []
    for archive in archives[:_ARCHIVES_TRIED]:
        with writing(final):
            scratch = tempfile.TemporaryDirectory(prefix=".apt-", dir=final.parent, ignore_cleanup_errors=True)
        with scratch as name:
            try:
                _Apt(Path(name), archive, capture, environment).fetch(source, final)
            except SourceError as error:
                reasons.append(error.message)
            else:
                return
    raise SourceError("; ".join(dict.fromkeys(reasons)))


class _Listed(msgspec.Struct, frozen=True):
    version: str
    sha256: str


class _Apt:
    """apt in a scratch directory, knowing one archive."""

    def __init__(self, root: Path, archive: Archive, capture: Capture, environment: Mapping[str, str]) -> None:
        self._root = root
        self._archive = archive
        self._capture = capture
        self._environment = environment

    def fetch(self, source: DebianSource, final: Path) -> None:
        """Update, choose the package's version, download it and move its file into place.

        Raises:
            SourceError: as `download`.
        """
        self._prepare(source.suite)
        self._run("apt-get", "update", timeout_s=_UPDATE_S)
        listed = self._run("apt-cache", "showsrc", "--only-source", source.package, timeout_s=_ASK_S)
        chosen = choose(source, listed.output)
        if chosen.sha256 != source.sha256:
            raise SourceError(
                f"{source.file} has another sha256 in {source.suite}: expected {source.sha256}, got {chosen.sha256}"
            )
        wanted = f"{source.package}={chosen.version}"
        self._run("apt-get", "source", "--download-only", "--only-source", wanted, timeout_s=_DOWNLOAD_S)
        got = sha256_file(self._root / source.file)
        if got != source.sha256:
            raise SourceError(f"{source.file} came with another sha256: expected {source.sha256}, got {got}")
        adopt(self._root / source.file, final)

    def _prepare(self, suite: str) -> None:
        if re.search(r'["\n]', str(self._root)):
            raise SourceError(f"apt cannot work in {self._root}, whose name holds a quote or newline")
        options = ["target=Sources"]
        if self._archive.keyrings:
            options.append(f"signed-by={','.join(self._archive.keyrings)}")
        with writing(self._root):
            for name in ("state/lists/partial", "cache", "log"):
                (self._root / name).mkdir(parents=True)
            (self._root / "status").touch()
            (self._root / "apt.conf").write_text(_CONFIGURATION.format(root=self._root))
            line = f"deb-src [{' '.join(options)}] {self._archive.uri} {suite} main\n"
            (self._root / "sources.list").write_text(line)

    def _run(self, program: str, *arguments: str, timeout_s: float) -> Ended:
        argv = (program, f"--config-file={self._root / 'apt.conf'}", *arguments)
        done = ended(self._capture, argv, self._environment, timeout_s=timeout_s, cwd=str(self._root))
        if done.returncode != 0:
            raise SourceError(f"{program} {arguments[0]}: {_complaint(done, timeout_s)}")
        return done


def choose(source: DebianSource, showsrc: str) -> _Listed:
    """The package version to download: one of upstream's version, and with the very file if there are several.

    Args:
        source: what is wanted.
        showsrc: what `apt-cache showsrc` printed.

    Raises:
        SourceError: there is none.
    """
    found: list[_Listed] = []
    versions: list[str] = []
    for stanza in stanzas(showsrc):
        version = stanza.get("version", "")
        versions.append(version)
        if source.version not in {version, upstream_version(version)}:
            continue
        rows = [row.split() for row in stanza.get("checksums-sha256", "").splitlines()]
        found += [_Listed(version, row[0]) for row in rows if len(row) == 3 and row[2] == source.file]  # noqa: PLR2004
    if not versions:
        raise SourceError(f"{source.suite} has no source package {source.package}")
    if not found:
        wanted = f"{source.file} of {source.package} {source.version}"
        raise SourceError(f"{source.suite} has no {wanted} (it has {', '.join(versions)})")
    return next((listed for listed in found if listed.sha256 == source.sha256), found[0])


def upstream_version(version: str) -> str:
    """Upstream's part of a Debian version, without epoch and revision (deb-version(7))."""
    return version.split(":", 1)[-1].rsplit("-", 1)[0]


def _complaint(done: Ended, timeout_s: float) -> str:
    """The first error of apt, on one line and without credentials."""
    if done.returncode == TIME_WAS_UP:
        return f"took longer than {timeout_s:g} s"
    lines = [line.strip() for line in done.error.splitlines() if line.startswith(("E:", "W:"))]
    lines.sort(key=lambda line: not line.startswith("E:"))
    first = lines[0][2:].strip() if lines else f"exit status {done.returncode}"
    return without_credentials(first)

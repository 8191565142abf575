"""What an image starts from: a reference, or a Debian made from packages; and the declared host that stands for it."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import Refused, SourceError, UsageError
from devsetup.events import Line, Note
from devsetup.loader import suggest
from devsetup.render.runtime import LEAN
from devsetup.runner import MissingProgram

if TYPE_CHECKING:
    from devsetup.events import Emit
    from devsetup.runner import Runner

_SCHEME = "debootstrap:"
_SUITES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}
_UBUNTU = {
    "trusty": "14.04",
    "xenial": "16.04",
    "bionic": "18.04",
    "focal": "20.04",
    "jammy": "22.04",
    "noble": "24.04",
}
_CODENAMES = {"debian": _SUITES, "ubuntu": _UBUNTU, "fedora": {}}
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._/-]*(?::\d+(?=/)[a-z0-9._/-]*)?)"  # a registry's port comes before a slash
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_NVIDIA = re.compile(
    r"(?P<cuda>\d+\.\d+)(?:\.\d+)?(?P<cudnn>-cudnn\d*)?-[a-z]+-(?P<system>[a-z]+)(?P<version>\d+\.?\d*)"
)
_PACKAGES = "ca-certificates,usr-is-merged"  # without certificates a build reaches nothing by https
# minbase takes usrmerge, and with it the whole of Perl, though the root is merged: a third of all that Debian 12 takes.
_LEANER = (
    """chroot "$1" sh -c '! dpkg --status usrmerge >/dev/null 2>&1 || """
    """apt-get --yes purge usrmerge perl "perl-modules-*" "libperl5*" "lib*-perl"'"""
)
# The date that mmdebstrap writes into what it makes: the same packages then give the same archive.
_EPOCH = "315532800"
_BLOCK = 1 << 20


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base as the user named it.

    Attributes:
        reference: as it was written.
        suite: of Debian, for a base made from packages; else empty.
        host: the declared host whose facts the plan is made for.
        digest: `sha256:...`, when the reference pins it.
    """

    reference: str
    suite: str = ""
    host: str
    digest: str = ""


def base_of(reference: str, on: str | None = None) -> Base:
    """What a `--base` means.

    Args:
        reference: `debian:12`, `registry.example/team/thing:tag@sha256:...`, `debootstrap:bookworm`.
        on: the declared host, where the name does not tell it.

    Raises:
        UsageError: it is no reference, no suite that can be made, or names no known system.
    """
    if reference.startswith(_SCHEME):
        suite = reference.removeprefix(_SCHEME)
        if suite not in _SUITES:
            raise UsageError(
                f"a base cannot be made of {suite!r}", suggest(suite, tuple(_SUITES), f"suites: {', '.join(_SUITES)}")
            )
        return Base(reference=reference, suite=suite, host=on or f"debian-{_SUITES[suite]}")
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise UsageError(
            f"{reference!r} is no reference of an image", "write for example --base debian:12, or debootstrap:bookworm"
        )
    host = on or _host(found["name"], found["tag"] or "")
    if not host:
        raise UsageError(
            f"the name {reference!r} does not tell which system the image holds",
            "say it with --on HOST, for example --on debian-12; `devsetup plan NAME --on x` lists the hosts",
        )
    return Base(reference=reference, host=host, digest=found["digest"] or "")


def _host(name: str, tag: str) -> str:
    *_, folder, short = ("", *name.split("/"))
    if (folder, short) == ("nvidia", "cuda"):
        found = _NVIDIA.match(tag)
        known = found is not None and found["system"] in _CODENAMES
        return f"{found['system']}-{found['version']}+cuda-{found['cuda']}" if found and known else ""
    version = tag.partition("-")[0]
    version = _CODENAMES.get(short, {}).get(version, version)
    release = re.fullmatch(r"\d+(\.\d+)*", version)
    return f"{short}-{version}" if short in _CODENAMES and release else ""


class Archives:
    """Bases made from packages: tar archives below a home, by digest."""

    def __init__(self, home: Path, runner: Runner) -> None:
        self.directory = home / "downloads" / "bases"
        self.runner = runner

    def find(self, suite: str, digest: str = "") -> tuple[Path, str] | None:
        """The archive of a digest, or else the last one that was made of a suite; None where there is none."""
        name = digest.removeprefix("sha256:")
        if not digest:
            try:
                name = (self.directory / suite).read_text("ascii").strip()
            except (OSError, UnicodeDecodeError):
                return None
        path = self.directory / f"{name}.tar"
        return (path, f"sha256:{name}") if path.is_file() else None

    def make(self, suite: str, emit: Emit) -> tuple[Path, str]:
        """Make a minimal Debian with mmdebstrap, through this machine's own mirror.

        Raises:
            Refused: mmdebstrap is not here.
            SourceError: it failed; the last lines say why.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        emit(Note(f"making a minimal Debian {suite} from packages"))
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".making-") as scratch:
            made = Path(scratch, "base.tar")
            options = (
                f"--include={_PACKAGES}",
                f"--customize-hook={_LEANER}",
                *(f"--dpkgopt={option}" for option in LEAN),
            )
            argv = ("mmdebstrap", "--variant=minbase", *options, suite, str(made))
            try:
                done = self.runner.stream(
                    argv, env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH}, on_line=lambda text: emit(Line(text))
                )
            except MissingProgram as error:
                raise Refused(
                    "a base is made from packages by mmdebstrap, which is not here",
                    "install it (Debian and Ubuntu: apt-get install mmdebstrap), or name an image with --base",
                ) from error
            if done.returncode:
                problems = [line for line in done.output.splitlines() if line.startswith(("E: ", "error: "))]
                raise SourceError(
                    f"mmdebstrap could not make a Debian {suite}: status {done.returncode}",
                    "check the network and this machine's apt sources, then run again",
                    detail=tuple(problems or done.output.splitlines())[-5:],
                )
            name = _sha256(made)
            target = self.directory / f"{name}.tar"
            made.replace(target)
        (self.directory / suite).write_text(f"{name}\n", "ascii")
        return target, f"sha256:{name}"


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()

"""Container engines: the command lines of buildah, podman and docker, and what they leave behind.

buildah 1.28 and podman 4.3 were run; docker was not. An engine gets our environment, since it finds its storage, its
isolation and its registries' passwords there.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from devsetup.errors import DevsetupError, Refused, UsageError
from devsetup.events import Line
from devsetup.render.runtime import SETTINGS

if TYPE_CHECKING:
    from typing import BinaryIO

    from devsetup.events import Emit
    from devsetup.runner import Completed, Runner

ENGINES = ("buildah", "podman", "docker")
_NEXT = "install one (Debian and Ubuntu: apt-get install buildah), or leave out --build and build the context elsewhere"
_LOOPBACK = re.compile(r"(localhost|[0-9.]+|\[[0-9a-fA-F:]+\])(:\d+)?")


class EngineFailed(DevsetupError):
    """An engine's command failed."""


class BuildFailed(EngineFailed):
    """An image was not built. `log` holds all that was printed."""

    def __init__(self, message: str, hint: str, *, detail: tuple[str, ...], log: Path) -> None:
        super().__init__(message, hint, detail=detail)
        self.log = log


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to build.

    Attributes:
        context: directory with the Containerfile.
        tag: name of the image.
        created: seconds since 1970 that all times of the image are set to.
        settings: directory that steps see as `/run/devsetup`.
        cache: reference of a repository in which layers are looked up and kept; empty for none.
        keep: leave the layers of a failed build for the next one.
    """

    context: Path
    tag: str
    created: int
    settings: Path | None = None
    cache: str = ""
    keep: bool = False


class Engine:
    """One engine on this machine."""

    def __init__(self, name: str, runner: Runner) -> None:
        self.name = name
        self.runner = runner

    def build(self, order: Order, emit: Emit, log: BinaryIO) -> str:
        """Build an image; returns its id.

        Raises:
            EngineFailed: the build failed. What it made is gone again, unless it is to be kept.
        """
        before = self._leftovers()
        done: Completed | None = None
        try:
            done = self.runner.stream(self._build_command(order), log=log, on_line=lambda text: emit(Line(text)))
        finally:
            if done is None or done.returncode:
                self._clear(before, images=not order.keep)
        if done.returncode:
            raise EngineFailed(f"{self.name} ended with status {done.returncode}", detail=tuple(_told(done.output)))
        return self.inspect(order.tag, "id")

    def _build_command(self, order: Order) -> list[str]:
        argv = [self.name, "bud"] if self.name == "buildah" else [self.name, "build"]
        argv += ["--tag", order.tag, "--file", str(order.context / "Containerfile"), "--force-rm"]
        if self.name != "docker":
            argv += ["--layers", "--timestamp", str(order.created)]
            if order.settings is not None:
                argv += ["--volume", f"{order.settings}:{SETTINGS}:ro"]
            if order.cache:
                argv += ["--cache-from", order.cache, "--cache-to", order.cache, *self._tls(order.cache)]
        return [*argv, str(order.context)]

    def pull(self, reference: str) -> str:
        """Have an image, and return the digest by which its registry knows it.

        Raises:
            EngineFailed: it cannot be had.
        """
        policy = ["--policy", "ifmissing"] if self.name == "buildah" else []
        there = self._quiet("inspect", *(["--type", "image"] if self.name == "buildah" else []), reference)
        if there.returncode:
            done = self._quiet("pull", "--quiet", *policy, *self._tls(reference), reference)
            if done.returncode:
                raise EngineFailed(
                    f"the base {reference} cannot be had",
                    f"check its name and the network with `{self.name} pull {reference}`",
                    detail=tuple(_told(done.error)),
                )
        return self.inspect(reference, "digest")

    def push(self, tag: str, reference: str) -> None:
        """Push an image to a registry.

        Raises:
            EngineFailed: the registry did not take it.
        """
        if self.name == "docker":
            self._done("tag", tag, reference)
            self._done("push", "--quiet", reference)
        else:
            self._done("push", *self._tls(reference), tag, f"docker://{reference}")

    def inspect(self, tag: str, what: str) -> str:
        """The `id` or the `digest` of an image."""
        buildah = self.name == "buildah"
        form = {
            "id": "{{.FromImageID}}" if buildah else "{{.Id}}",
            "digest": "{{.FromImageDigest}}" if buildah else "{{.Digest}}",
        }[what]
        if self.name == "docker" and what == "digest":
            form = "{{index .RepoDigests 0}}"
        kind = ["--type", "image"]
        return self._done("inspect", *kind, "--format", form, tag).strip().rpartition("@")[2]

    def has(self, tag: str, image: str = "") -> bool:
        """Whether an image is there under that name, and is the one of that id, if one is given."""
        try:
            return self.inspect(tag, "id").endswith(image)
        except EngineFailed:
            return False

    def remove(self, tag: str) -> None:
        """Remove an image by its name."""
        self._quiet("rmi", tag)

    def details(self, tag: str) -> bytes:
        """All that the engine knows of an image, as JSON."""
        return self._done("inspect", "--type", "image", tag).encode()

    def history(self, tag: str) -> list[dict[str, Any]]:
        """What podman says of an image's layers, newest first."""
        found: list[dict[str, Any]] = msgspec.json.decode(self._done("history", "--no-trunc", "--format", "json", tag))
        return found

    def read(self, tag: str, *paths: str) -> list[str]:
        """Texts of files in an image, by one container."""
        script = 'for file; do cat "$file"; printf "\\0"; done'
        return self.inside(tag, "sh", "-euc", script, "sh", *paths).split("\0")[:-1]

    def inside(self, tag: str, *argv: str) -> str:
        """What a command prints in an image, with no network.

        Raises:
            EngineFailed: it ended with another status than 0.
        """
        if self.name == "buildah":
            container = self._done("from", "--pull-never", tag).strip()
            try:
                return self._done("run", "--network", "none", "--user", "0", container, "--", *argv)
            finally:
                self._quiet("rm", container)
        return self._done("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", argv[0], tag, *argv[1:])

    def _tls(self, reference: str) -> list[str]:
        """A registry on this machine's loopback seldom has a certificate."""
        host = reference.partition("/")[0]
        return ["--tls-verify=false"] if self.name != "docker" and _on_loopback(host) else []

    def _leftovers(self) -> frozenset[str]:
        """Containers and untagged images that are there."""
        return frozenset((*self._containers(), *self._untagged()))

    def _containers(self) -> list[str]:
        if self.name == "buildah":
            return self._quiet("containers", "--quiet", "--all").output.split()
        return self._quiet("ps", "--all", "--quiet").output.split()

    def _untagged(self) -> list[str]:
        return self._quiet("images", "--quiet", "--filter", "dangling=true", "--no-trunc").output.split()

    def _clear(self, before: frozenset[str], *, images: bool) -> None:
        if made := [container for container in self._containers() if container not in before]:
            self._quiet("rm", *made)
        new = [image for image in self._untagged() if image not in before] if images else []
        while new:
            # An image goes only after those on top of it, so one pass may leave some to the next.
            self._quiet("rmi", *new)
            left = [image for image in self._untagged() if image not in before]
            new = left if len(left) < len(new) else []

    def _done(self, *argv: str) -> str:
        done = self._quiet(*argv)
        if done.returncode:
            raise EngineFailed(
                f"`{self.name} {argv[0]}` ended with status {done.returncode}", detail=tuple(_told(done.error))
            )
        return done.output

    def _quiet(self, *argv: str) -> Completed:
        return self.runner.capture((self.name, *argv))


def find(runner: Runner, name: str | None = None) -> Engine:
    """The engine of that name, or the first that is here.

    Raises:
        UsageError: there is no engine of that name.
        Refused: none is here.
    """
    if name is not None and name not in ENGINES:
        raise UsageError(f"no engine is named {name!r}", f"engines: {', '.join(ENGINES)}")
    for each in [name] if name else ENGINES:
        if shutil.which(each):
            return Engine(each, runner)
    raise Refused(f"{name or 'none of buildah, podman and docker'} is {'not ' if name else ''}here", _NEXT)


def _on_loopback(host: str) -> bool:
    found = _LOOPBACK.fullmatch(host)
    if not found:
        return False
    name = found.group(1).strip("[]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _told(output: str) -> list[str]:
    """The last lines in which an engine says what was wrong."""
    lines = [line for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(devsetup: |Error|error)", line, re.ASCII)]
    return (named or lines)[-6:]

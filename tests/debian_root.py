"""Debian releases in directories, as a new user meets them, and how commands run there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from compiler_cache import CompilerCache

CHECKOUT = Path(__file__).resolve().parent.parent
# How this machine reaches its package index, and which certificates it trusts; nothing else of ours goes in.
PASSED = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
MOUNT = """set -e
mount --bind /proc "$1/proc"; mount --rbind /dev "$1/dev"; test -z "$2" || mount --bind "$2" "$1$2"
root=$1; shift 2; exec chroot "$root" "$@"
"""

Pristine = Callable[[str], Path]  # release -> a directory that holds it, not to be changed


def bootstrap(release: str, place: Path) -> None:
    """Make a Debian that holds nothing but python3; all of it or nothing is at `place` afterwards."""
    unfinished = place.with_name(f"{place.name}.unfinished")
    # A mirror's package lists are this machine's own configuration; the release alone is asked for.
    made = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,ca-certificates", release, unfinished]
    subprocess.run(made, check=True)
    unfinished.rename(place)


class Root:
    """A Debian release in a directory of its own.

    Attributes:
        shared: a directory of this machine that commands there see at the same path.
    """

    def __init__(self, path: Path, release: str) -> None:
        self.path = path
        self.release = release
        self.shared: Path | None = None
        self.env = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith("OPENBLAS_")}
        self.env |= {n: v for n, v in os.environ.items() if n.startswith("PIP_") and n != "PIP_FIND_LINKS"}
        self.env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "dumb"}

    def make(self, pristine: Pristine) -> None:
        """Copy the release, and add this machine's way to the network and the checkout."""
        subprocess.run(["cp", "--archive", "--reflink=auto", pristine(self.release), self.path], check=True)
        copies = [
            "/etc/resolv.conf",
            "/etc/pip.conf",
            *self.env.values(),
            *map(str, Path("/etc/apt/apt.conf.d").iterdir()),
        ]
        for name in copies:
            source = Path(name)
            if source.is_absolute() and source.is_file():
                target = self.path / name.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            target = self.path / "devsetup" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target)

    def cache(self, cache: CompilerCache) -> None:
        """Put the cache in front of the compilers that will be installed."""
        self.shared = cache.place
        (self.path / str(cache.place).lstrip("/")).mkdir(parents=True)
        self.run("apt-get", "update", "-qq")
        self.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "ccache")
        (self.path / "etc/apt/apt.conf.d/zz-compiler-cache").write_text(cache.settings())

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a command in the checkout, with /proc and /dev in a mount namespace of its own; returns both streams."""
        inside = ["/usr/bin/env", "-C", "/devsetup", *argv]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(self.path), str(self.shared or ""), *inside],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{self.release}: {' '.join(argv)}\n{done.stdout[-6000:]}"
        return done.stdout

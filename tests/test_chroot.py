"""The README's two commands in bare Debian roots that hold nothing but python3: as a new user meets them.

Run with `./dev test --all` or `-m chroot`; takes some ten minutes for each release.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.chroot

CHECKOUT = Path(__file__).resolve().parent.parent
# How this machine reaches its package index, and which certificates it trusts; nothing else of ours goes in.
PASSED = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
MOUNT = 'set -e; mount --bind /proc "$1/proc"; mount --rbind /dev "$1/dev"; root=$1; shift; exec chroot "$root" "$@"'


class Root:
    """A Debian release in a directory."""

    def __init__(self, path: Path, release: str) -> None:
        self.path = path
        self.release = release
        self.env = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith("OPENBLAS_")}
        self.env |= {n: v for n, v in os.environ.items() if n.startswith("PIP_") and n != "PIP_FIND_LINKS"}
        self.env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "dumb"}

    def make(self) -> None:
        # A mirror's package lists are this machine's own configuration; the release alone is asked for.
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--include=python3,ca-certificates",
                self.release,
                self.path,
            ],
            check=True,
        )
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

    def run(self, *argv: str, code: int = 0) -> str:
        """Run a command in the checkout, with /proc and /dev in a mount namespace of its own; returns both streams."""
        inside = ["/usr/bin/env", "-C", "/devsetup", *argv]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(self.path), *inside],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{self.release}: {' '.join(argv)}\n{done.stdout[-6000:]}"
        return done.stdout


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    made = Root(tmp_path_factory.mktemp(request.param) / "root", request.param)
    made.make()
    return made


def test_the_first_command_sets_itself_up(root: Root) -> None:
    assert not (root.path / "usr/bin/pip").exists()
    text = root.run("./dev", "plan", "caffe")
    assert "Makefile.config" in text
    assert "apt-get install" in text
    assert not (root.path / "root/.local/share/devsetup").exists()


def test_without_privileges_nothing_is_done_and_the_command_is_shown(root: Root) -> None:
    user = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
    text = root.run(*user, "env", "HOME=/tmp/user", "/devsetup/.venv/bin/devsetup", "install", "caffe", "-y", code=1)
    assert "system packages are missing" in text
    assert "sudo apt-get install" in text or "apt-get install" in text
    assert not (root.path / "tmp/user").exists()


def test_the_readmes_command_installs_and_proves_caffe(root: Root) -> None:
    text = root.run("./dev", "install", "caffe", "-y")
    assert "ok: import caffe: caffe 1.0.0" in text
    assert "ok: link closure" in text
    assert "passed: accuracy" in text
    version = root.run("./dev", "run", "caffe", "--", "python", "-c", "import caffe; print(caffe.__version__)")
    assert version.splitlines()[-1] == "1.0.0"
    assert "already installed" in root.run("./dev", "install", "caffe")


def test_the_readmes_other_command_passes_the_tests(root: Root) -> None:
    text = root.run("./dev", "test", "-q")
    assert " passed" in text.splitlines()[-1]
    assert "failed" not in text.splitlines()[-1]

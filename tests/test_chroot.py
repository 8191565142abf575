"""The README's two commands in bare Debian roots that hold nothing but python3: as a new user meets them.

Run with `./dev test --all` or `-m chroot`; takes some ten minutes for each release.
"""

from __future__ import annotations

import pytest
from debian_root import Pristine, Root

pytestmark = pytest.mark.chroot

RELEASES = [pytest.param(each, marks=pytest.mark.xdist_group(f"test_chroot-{each}")) for each in ("bookworm", "trixie")]


@pytest.fixture(scope="module", params=RELEASES)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pristine: Pristine) -> Root:
    made = Root(tmp_path_factory.mktemp(request.param) / "root", request.param)
    made.make(pristine)
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

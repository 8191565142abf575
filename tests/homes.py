"""What the tests of receipts and the store share: receipts to record, processes of their own, refusing machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from devsetup import facts
from devsetup.plan import Identity, Part
from devsetup.proofs import Finding
from devsetup.receipts import Receipt, UsedPatch, UsedSource

HOST = facts.Facts(os=facts.OperatingSystem(id="debian", version="12"), arch="x86_64")
ROOT = Path(__file__).parent.parent


def make_receipt(name: str = "toy", version: str = "1.0", *, needs: tuple[str, ...] = (), **fields: Any) -> Receipt:
    part = Part(
        name=name,
        version=version,
        summary="a toy",
        identity=Identity(os="debian", version="12", arch="x86_64"),
        needs=needs,
    )
    made: dict[str, Any] = {
        "key": part.key,
        "name": name,
        "version": version,
        "digest": part.digest,
        "prefix": f"/home/store/{part.key}",
        "installed_at": "2025-01-02T03:04:05+00:00",
        "seconds": 12.3,
        "facts": HOST,
        "part": part,
        "sources": (UsedSource(name="src", id="1.0", sha256="0" * 64, origin="file:x", reasons=("mirror: 404",)),),
        "patches": (UsedPatch(name="0001-x.patch", status="applied", why="it does not compile"),),
        "proofs": (Finding(proof="imports", status="ok", summary="imported"),),
        "log": "/home/logs/toy/1.log",
        "jobs": 2,
        "packages": ("g++",),
    }
    return Receipt(**{**made, **fields})


def python(home: Path, code: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with `home` and the package at hand."""
    start = "import sys; from pathlib import Path; home = Path(sys.argv[1])\n"
    argv = [*before, sys.executable, "-c", start + code, str(home)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.run(argv, check=False, capture_output=True, text=True, env=environ, timeout=120)


def told_by(home: Path, code: str, *before: str) -> str:
    """What a DevsetupError said in a process of its own, as `type: message | hint`."""
    guarded = "from devsetup.errors import DevsetupError\ntry:\n" + "".join(
        f"    {line}\n" for line in code.splitlines()
    )
    guarded += "except DevsetupError as error: print(f'{type(error).__name__}: {error.message} | {error.hint}')\n"
    done = python(home, guarded, *before)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def powerless() -> list[str]:
    """Words that take root's power to ignore permissions away; none are needed for other users."""
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def mounted(home: Path, mount: str) -> list[str]:
    """Words that run a command in a mount namespace of its own, after a mount command on `$home`."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    words = [*unshare, "sh", "-ec", f'home=$1; shift; {mount}; exec "$@"', "sh", str(home)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount anything")
    return words


def memory() -> tempfile.TemporaryDirectory[str]:
    """A directory in memory where there is one, for what would only keep the disk busy."""
    place = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None)


READ_ONLY = 'mount --bind "$home" "$home"; mount -o remount,ro,bind "$home"'

"""The note's errno: existing files where no call can truncate, before and after the patch."""

from __future__ import annotations

import shutil
import subprocess  # noqa: TID251  (this script stands alone, outside devsetup)
import sys
from typing import TYPE_CHECKING

from tool import WorkloadError, told

if TYPE_CHECKING:
    from pathlib import Path

    from tool import Done, S3cmd

ERRNO = "Invalid argument"
COMPILERS = ("cc", "gcc", "clang")
KEY = "layer/file"
NEW, OLD = b"from S3\n", b"longer than what S3 has, and therefore to be cut\n"


def compiled(source: Path, place: Path) -> Path | None:
    """The layer as a library to preload; None where there is no C compiler."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        return None
    library = place / "refuse.so"
    argv = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkloadError(f"{compiler} does not compile {source.name}: {done.stderr.strip().splitlines()[-1]}")
    return library


class Layer:
    """A directory where truncation is refused, and what s3cmd makes of files in it."""

    def __init__(self, library: Path, place: Path) -> None:
        self.place = place / "layer"
        self.place.mkdir()
        self.env = {"LD_PRELOAD": str(library), "REFUSE_BELOW": str(self.place.resolve())}

    def require_refusal(self) -> None:
        """Check the layer itself: a proof on one that lets everything through would prove nothing."""
        path = self.place / "control"
        path.write_bytes(OLD)
        argv = [sys.executable, "-I", "-c", "import sys; open(sys.argv[1], 'wb')", str(path)]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False)
        if "[Errno 22]" not in done.stderr or path.read_bytes() != OLD:
            raise WorkloadError("the file layer does not refuse to truncate, so nothing can be shown with it")

    def get(self, s3cmd: S3cmd, bucket: str) -> tuple[bool, str]:
        """`get --force` onto a longer file: whether its content was replaced, and what s3cmd said."""
        path = self.place / "got"
        path.write_bytes(OLD)
        done = s3cmd.run("get", "--force", f"{bucket}/{KEY}", str(path), **self.env)
        return path.read_bytes() == NEW, self._said(done)

    def sync(self, s3cmd: S3cmd, bucket: str) -> tuple[bool, str]:
        """`sync` onto a longer file: the same."""
        path = self.place / "synced" / "file"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(OLD)
        done = s3cmd.run("sync", f"{bucket}/layer/", f"{path.parent}/", **self.env)
        return path.read_bytes() == NEW, self._said(done)

    def _said(self, done: Done) -> str:
        return f"{told(done.output).replace(str(self.place), 'DIR')}; exit status {done.code}"


def unpatched(program: Path, patch: Path, place: Path) -> Path:
    """A copy of the installed program with the patch taken back."""
    copy = place / "s3cmd"
    shutil.copy2(program, copy)
    # As the project applies it, for one file and backwards.
    argv = ["patch", "-p1", "--unified", "--fuzz=0", "--force", "--reverse", "--no-backup-if-mismatch"]
    done = subprocess.run([*argv, "-d", place, "-i", patch], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkloadError(f"{program} does not have {patch.name}: {done.stdout.strip().splitlines()[-1]}")
    return copy

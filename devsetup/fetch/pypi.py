"""One sdist, by name, with a Python's own pip and whatever index that pip is configured for.

pip checks the pinned sha256 before it unpacks anything, and asks our own module instead of the sdist's for its name and
version (see `lower.SDIST_BACKEND`): no code of the sdist runs while it is fetched.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup import environment, lower
from devsetup.errors import SourceError
from devsetup.fetch.asking import TIME_WAS_UP, ended, without_credentials
from devsetup.fetch.files import adopt, sha256_file, writing

if TYPE_CHECKING:
    from devsetup.fetch.asking import Capture, Ended
    from devsetup.steps import PyPISource

_DOWNLOAD_S = 1800.0
_SHOWN_VERSIONS = 5


def download(source: PyPISource, final: Path, capture: Capture) -> None:
    """Have an sdist under its final name, verified.

    Args:
        source: the places in its `python` are filled.
        final: where it goes; its directory exists.
        capture: runs pip.

    Raises:
        SourceError: no such Python, no pip in it, no connection, no such package or version, or another sha256; the
            message is one sentence.
        StateError: the disk is full or not ours to write.
    """
    with writing(final):
        scratch = tempfile.TemporaryDirectory(prefix=".pip-", dir=final.parent, ignore_cleanup_errors=True)
    with scratch as name:
        root = Path(name)
        env = _prepared(source, root)
        argv = lower.sdist_command(source.python, str(root / "requirements.txt"), str(root / "got"))
        done = ended(capture, argv, env, timeout_s=_DOWNLOAD_S, cwd=name)
        if done.returncode != 0:
            raise SourceError(_complaint(source, done))
        found = root / "got" / source.file
        if not found.is_file():
            raise SourceError(
                f"pip brought {', '.join(each.name for each in found.parent.iterdir())}, not {source.file}"
            )
        got = sha256_file(found)
        if got != source.sha256:
            raise SourceError(f"{source.file} came with another sha256: expected {source.sha256}, got {got}")
        adopt(found, final)


def _prepared(source: PyPISource, root: Path) -> dict[str, str]:
    """What pip reads, written into `root`; the environment to run it in."""
    wanted = f"{source.package}=={source.version}"
    hooks = root / "hooks"
    with writing(root):
        (hooks / "setuptools").mkdir(parents=True)
        (hooks / "setuptools/__init__.py").touch()
        (hooks / "setuptools/build_meta.py").write_text(lower.SDIST_BACKEND)
        (root / "requirements.txt").write_text(f"{wanted} --hash=sha256:{source.sha256}\n")
    clean = environment.clean(os.environ, macos=sys.platform == "darwin")
    return {**clean, "PYTHONPATH": str(hooks), "DEVSETUP_SDIST": wanted}


def _complaint(source: PyPISource, done: Ended) -> str:
    """Why pip failed, in one sentence and without credentials."""
    if done.returncode == TIME_WAS_UP:
        return f"pip took longer than {_DOWNLOAD_S:g} s"
    if "No module named pip" in done.error:
        return f"{source.python} has no pip"
    other = re.search(r"^\s+Got\s+([0-9a-f]{64})$", done.error, re.MULTILINE)
    if other:
        return f"{source.file} has another sha256: expected {source.sha256}, got {other.group(1)}"
    broken = re.search(r"connection broken by ['\"]?(.*)['\"]?: /", done.error)
    if broken:
        return f"pip cannot reach its index: {without_credentials(_innermost(broken.group(1)))}"
    lines = [line[7:] for line in done.error.splitlines() if line.startswith("ERROR: ")]
    return f"pip: {without_credentials(_shortened(lines[0]) if lines else f'exit status {done.returncode}')}"


def _innermost(reason: str) -> str:
    """`[Errno 111] Connection refused` of a Python exception that holds others."""
    system = re.search(r"\[Errno -?\d+\] [^'\")]+", reason)
    return system.group(0) if system else reason


def _shortened(line: str) -> str:
    """The line with its list of all versions that there are cut to the last ones."""
    found = re.search(r"\(from versions: (.*)\)$", line)
    if not found:
        return line
    last = found.group(1).split(", ")[-_SHOWN_VERSIONS:]
    return f"{line[: found.start()]}(the index has {', '.join(last)})"

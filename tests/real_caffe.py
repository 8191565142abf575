"""Caffe installed on this machine by the command line, once for all tests that look at such an install.

As a program, `real_caffe.py FILE ARG...` is `devsetup ARG...` which also writes down the commands that its steps run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from compiler_cache import CompilerCache
from rendering import Recorder, contents
from test_real import Home

from devsetup import __main__
from devsetup.app import workspace


class Caffe(Home):
    """The install, and what was there right after it.

    Attributes:
        commands: those that the steps ran, in order.
        contents: of the prefix, as `rendering.contents` gives them.
        jobs: how many compilers ran at once.
    """

    def __init__(self, path: Path, cache: CompilerCache) -> None:
        super().__init__(path)
        record = path.with_name("commands.json")
        argv = [*cache.words(), sys.executable, __file__, record, "install", "caffe", "-y"]
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        self.commands: list[list[str]] = json.loads(record.read_text())
        (receipt,) = self.json("install", "caffe")["receipts"]  # type: ignore[misc]
        self.jobs = int(receipt["jobs"])  # type: ignore[index]
        self.contents = contents(Path(receipt["prefix"]))  # type: ignore[index]


def main() -> int:
    recorder = Recorder()
    workspace.Runner = lambda: recorder  # type: ignore[assignment,misc]
    record = Path(sys.argv.pop(1))
    try:
        return __main__.main()
    finally:
        record.write_text(json.dumps(recorder.commands))


if __name__ == "__main__":
    sys.exit(main())

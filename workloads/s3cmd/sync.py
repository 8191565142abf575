"""s3cmd's sync, up and down, against a real S3 server on loopback; every file compared by its checksum.

A tree of odd names and of sizes from 0 bytes to 64 MiB goes up and comes down into an empty directory, over files that
are longer, and after a SIGKILL in the middle of either. Then the note's errno: on a file layer that refuses to
truncate, `get --force` fails without the recipe's patch and must succeed with it, and sync must succeed.

    python sync.py --out DIR --s3cmd PROGRAM --server PYTHON --patch FILE [--scale X] [--port N]

Exit status 1 when something did not hold, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path

import layer
import tree
from picture import draw
from tool import S3cmd, Server, WorkloadError, serving, told

SEED = 20140501
BUCKET = "s3://devsetup-proof"
HOME = f"{BUCKET}/tree/"
LEFTOVER = ".s3cmd."  # what a killed sync leaves: its own temporary files
SLOW_S = 5  # how long an interrupted transfer would take
NOTE = "OSError: [Errno 22] Invalid argument"
REMARKS = (
    "The server is moto's, in memory, on loopback: seconds tell of s3cmd and of it, not of any network or of Amazon's.",
    "s3cmd writes a control character in a name as ^J and the like, up and down: such a file changes its name.",
    "A sync that was killed begins its file anew, and leaves a .s3cmd.*.tmp beside it that nobody removes.",
    "Since 1.5 sync writes a new file and renames it, so its mode wb truncates nothing; the note's error was 1.0's.",
    "get --force still truncates: that is where the errno is now, and what the patch is for.",
)


def parsed(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="sync", description="s3cmd sync against an S3 server on loopback.")
    parser.add_argument("--out", type=Path, required=True, help="directory for result.json and sync.svg")
    parser.add_argument("--s3cmd", type=Path, required=True, help="the installed program")
    parser.add_argument("--server", required=True, help="a Python that has moto and Flask")
    parser.add_argument("--patch", type=Path, required=True, help="the patch of get --force that is in the program")
    parser.add_argument(
        "--scale", type=_scale, default=1.0, help="size of the tree; at 1 there are 62 files, the largest 64 MiB"
    )
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; a free one unless said")
    return parser.parse_args(argv)


def _scale(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return value


def stored(name: str) -> str:
    """A name as s3cmd stores it: control characters in caret notation."""
    return "".join(f"^{chr(ord(each) + 64)}" if each < " " else each for each in name)


class Proof:
    """The phases, in order; each requires what it shows and adds rows to the table."""

    def __init__(self, s3cmd: S3cmd, server: Server, place: Path, scale: float) -> None:
        self.s3cmd, self.server, self.place, self.scale = s3cmd, server, place, scale
        self.rng = random.Random(SEED)  # noqa: S311 - test data
        self.source = place / "tree"
        self.rows: list[dict[str, float | str | None]] = []
        self.bars: list[tuple[str, float]] = []
        self.wanted: dict[str, str] = {}

    def row(self, what: str, unit: str, here: float | str, note: float | str | None = None) -> None:
        """Add a row to the table of results."""
        self.rows.append({"what": what, "unit": unit, "here": here, "note": note})

    def timed(self, what: str, seconds: float) -> None:
        """Add a phase to the table and to the picture."""
        self.row(what, "s", round(seconds, 3))
        self.bars.append((what, seconds))

    def up(self) -> None:
        """The tree, made and sent."""
        count = tree.make(self.source, self.rng, self.scale)
        self.wanted = {stored(name): digest for name, digest in tree.digests(self.source).items()}
        self.row("files", "files", count)
        self.row("bytes", "MB", round(tree.bytes_in(self.source) / 1e6, 3))
        self.s3cmd.must("mb", BUCKET)
        self.timed("sync up", self.s3cmd.must("sync", f"{self.source}/", HOME).seconds)

    def down(self, where: Path) -> float:
        """Fetch into a directory, and require that it is then like what was sent; returns seconds."""
        where.mkdir(exist_ok=True)
        seconds = self.s3cmd.must("sync", HOME, f"{where}/").seconds
        found = {name: each for name, each in tree.digests(where).items() if LEFTOVER not in name}
        differ = sorted(name for name in self.wanted.keys() | found.keys() if self.wanted.get(name) != found.get(name))
        if differ:
            kind = "missing" if differ[0] not in found else "new" if differ[0] not in self.wanted else "other content"
            raise WorkloadError(f"{len(differ)} of {len(self.wanted)} files differ; the first: {differ[0]!r}, {kind}")
        return seconds

    def onto_longer(self, where: Path) -> float:
        """Make every file longer than what S3 has, and fetch again: replaced, not appended to."""
        for path in list(where.rglob("*")):
            if path.is_file():
                path.write_bytes(self.rng.randbytes(path.stat().st_size + 1 + self.rng.randrange(999)))
        return self.down(where)

    def interrupted_down(self, where: Path) -> float:
        """Kill while the largest file comes down; returns the seconds of the sync after it."""
        largest = where / "largest.bin"
        largest.unlink()

        def ready() -> bool:
            return any(path.stat().st_size > 0 for path in where.glob(f"{LEFTOVER}*.tmp"))

        self.s3cmd.killed(ready, "sync", self.limit(), HOME, f"{where}/")
        if largest.exists():
            raise WorkloadError("the largest file is there although its download was killed")
        left = len(list(where.glob(f"{LEFTOVER}*.tmp")))
        seconds = self.down(where)
        self.row("temporary files that the killed sync left", "files", left)
        return seconds

    def interrupted_up(self, where: Path) -> float:
        """Kill while the largest file goes up; returns the seconds of the sync after it."""
        self.s3cmd.must("del", f"{HOME}largest.bin")
        begun: list[float] = []

        def ready() -> bool:
            if not begun:
                self.server.wait_for("begin PUT /devsetup-proof/tree/largest.bin", SLOW_S * 4)
                begun.append(time.monotonic())
            return time.monotonic() > begun[0] + SLOW_S / 10

        self.s3cmd.killed(ready, "sync", self.limit(), f"{self.source}/", HOME)
        if self.s3cmd.run("info", f"{HOME}largest.bin").code == 0:
            raise WorkloadError("the largest file is on the server although its upload was killed")
        seconds = self.s3cmd.must("sync", f"{self.source}/", HOME).seconds
        self.down(where)
        return seconds

    def limit(self) -> str:
        """The option that makes the largest file take `SLOW_S` seconds."""
        rate = max(32 * tree.KIB, (self.source / "largest.bin").stat().st_size // SLOW_S)
        return f"--limit-rate={rate}"

    def errno(self, installed: Path, patch: Path) -> None:
        """What a file layer does that refuses to truncate."""
        library = layer.compiled(Path(__file__).with_name("refuse.c"), self.place)
        if library is None:
            self.row("where truncation is refused", "", "not run: there is no C compiler", NOTE)
            return
        place = layer.Layer(library, self.place)
        place.require_refusal()
        (self.place / "new").write_bytes(layer.NEW)
        self.s3cmd.must("put", str(self.place / "new"), f"{BUCKET}/{layer.KEY}")
        before = S3cmd(str(layer.unpatched(installed, patch, self.place)), 0, self.place / "before")
        before.config = self.s3cmd.config
        replaced, said = place.get(before, BUCKET)
        if replaced or layer.ERRNO not in said:
            raise WorkloadError(f"without the patch, get --force was to fail with {layer.ERRNO!r}; it said: {said}")
        self.row("truncation refused: get --force, without the patch", "", said)
        jobs = (
            ("get --force, with the patch", place.get, self.s3cmd, None),
            ("sync, without the patch", place.sync, before, NOTE),
            ("sync, with the patch", place.sync, self.s3cmd, NOTE),
        )
        for what, job, program, note in jobs:
            replaced, said = job(program, BUCKET)
            if not replaced:
                raise WorkloadError(f"where truncation is refused, {what}, failed: {said}")
            self.row(f"truncation refused: {what}", "", "content replaced", note)


def run(options: argparse.Namespace, place: Path) -> str:
    """All phases; writes the results and returns the line to end with."""
    (place / "before").mkdir()
    with serving(options.server, options.port, place / "server.log") as (server, port):
        s3cmd = S3cmd(str(options.s3cmd.absolute()), port, place)
        proof = Proof(s3cmd, server, place, options.scale)
        version = told(s3cmd.must("--version").output)
        proof.up()
        proof.timed("sync down, into an empty directory", proof.down(place / "empty"))
        proof.timed("sync down, nothing to do", proof.down(place / "empty"))
        proof.timed("sync down, onto files that are longer", proof.onto_longer(place / "empty"))
        proof.timed("sync down, after a kill in the middle", proof.interrupted_down(place / "empty"))
        proof.timed("sync up, after a kill in the middle", proof.interrupted_up(place / "empty"))
        proof.errno(options.s3cmd, options.patch)
    result = {
        "schema": 1,
        "title": f"{version}: sync of {proof.rows[0]['here']} files, up and down, whole, onto longer ones, interrupted",
        "scale": options.scale,
        "seed": SEED,
        "rows": proof.rows,
        "remarks": list(REMARKS),
    }
    (options.out / "sync.svg").write_text(draw(str(result["title"]), proof.bars), encoding="utf-8")
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return f"passed: {len(proof.wanted)} files are equal by SHA-256 after every sync; {version}"


def main(argv: list[str]) -> int:
    """Prove, report."""
    options = parsed(argv)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="s3cmd-") as place:
            print(run(options, Path(place)))
    except (WorkloadError, OSError) as error:
        print(f"s3cmd workload: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What an image costs: built from nothing, again, from the engine's layers, and from a registry's; and its size.

Everything lies in a store of its own, made for this and gone afterwards; the registry is Debian's docker-registry on
loopback. Prints seconds on the clock and their ratios, and the finished image as a share of the stage in which it was
built, which is what one stage alone would be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOUNDS = "bounds: unchanged 3 s; from a registry at least 5 times faster; Caffe's image at most 35 % of one stage"


def main(argv: list[str]) -> int:
    """Print the times and the size of one image."""
    parser = argparse.ArgumentParser(prog="benchmarks images")
    parser.add_argument("names", nargs="*", default=["leveldb"], metavar="NAME", help="recipes  [default: leveldb]")
    parser.add_argument("--base", default="debootstrap:bookworm", metavar="REF")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="devsetup-images-") as scratch, registry(Path(scratch)) as host:
        bench = _Bench(Path(scratch), (*options.names, "--base", options.base, "--cache", f"{host}/layers"))
        bench.image("the base and the context", "--explain")
        cold = bench.image("from nothing", "--build")
        share = bench.share()
        again = bench.image("unchanged", "--build")
        bench.forget()
        layers = bench.image("from the engine's layers", "--build")
        bench.empty()
        kept = bench.image("from the registry's layers, into an empty store", "--build")
        bench.remove()
    print(f"unchanged {cold / again:.0f} x, layers {cold / layers:.1f} x, registry {cold / kept:.1f} x faster")
    print(f"the image is {share:.1%} of the stage in which its last recipe was built")
    print(_BOUNDS)
    return 0


class _Bench:
    """One image in a store of its own."""

    def __init__(self, root: Path, argv: tuple[str, ...]) -> None:
        self.root, self.argv = root, argv
        storage = root / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/graph"\nrunroot = "{root}/run"\n')
        self.env = {**os.environ, "CONTAINERS_STORAGE_CONF": str(storage)}
        self.env.setdefault("BUILDAH_ISOLATION", "chroot")

    def image(self, what: str, *more: str) -> float:
        """Seconds of one `devsetup image`."""
        argv = (sys.executable, "-m", "devsetup", "--home", str(self.root / "home"), "image", *self.argv)
        started = time.perf_counter()
        argv = (*argv, "-o", str(self.root / "out"), *more, "--json")
        done = subprocess.run(argv, env=self.env, capture_output=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(done.stderr.decode(errors="replace")[-3000:])
        (record,) = json.loads(done.stdout)["images"]
        built: dict[str, Any] = (record["image"] or {}).get("built", {})
        cached = f", {built['cached']} of {built['steps']} steps from a cache" if built.get("fresh") else ""
        print(f"{what:50} {seconds:7.1f} s{cached}", flush=True)
        return seconds

    def share(self) -> float:
        """Bytes of the finished image over those of the largest untagged one: the last build stage."""
        done = subprocess.run(("buildah", "images", "--json", "--all"), env=self.env, capture_output=True, check=True)
        images = json.loads(done.stdout)
        ours = next(_bytes(each["size"]) for each in images if each.get("names"))
        return ours / max(_bytes(each["size"]) for each in images)

    def forget(self) -> None:
        """Have devsetup ask the engine again."""
        (self.root / "out/.devsetup-built").unlink()

    def empty(self) -> None:
        """An empty store."""
        self.forget()
        self.remove()

    def remove(self) -> None:
        """Take the store away."""
        for place in ("graph/overlay", "graph"):
            subprocess.run(("umount", self.root / place), capture_output=True, check=False)
        shutil.rmtree(self.root / "graph", ignore_errors=True)


def _bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


@contextmanager
def registry(root: Path) -> Iterator[str]:
    """A registry on loopback that keeps what it gets below a directory; gives its host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = root / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {root}/registry}}}}"
    config.write_text(f'version: 0.1\n{storage}\nhttp: {{addr: "127.0.0.1:{port}"}}\n')
    process = subprocess.Popen(
        ("docker-registry", "serve", config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()

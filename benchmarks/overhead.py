"""What installing Caffe through devsetup costs over the same commands in a bash script, download cached.

Both sides unpack, patch, make, install with pip and run the same proofs; they alternate A B A B. Also the peak memory
of the devsetup process itself, without its children. The system packages must be there (`devsetup install caffe` once).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_BOUND = 1.03
_MEMORY_BOUND_MB = 60
_ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str]) -> int:
    """Install Caffe several times each way and print the ratio of the medians."""
    parser = argparse.ArgumentParser(prog="benchmarks overhead")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--downloads", required=True, help="the downloads/ folder of a home where caffe was installed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    ours: list[float] = []
    theirs: list[float] = []
    peaks: list[float] = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            theirs.append(by_hand(Path(scratch), Path(options.downloads), options.jobs))
        with tempfile.TemporaryDirectory() as scratch:
            seconds, peak = by_devsetup(Path(scratch), Path(options.downloads), options.jobs)
            ours.append(seconds)
            peaks.append(peak)
        print(f"by hand {theirs[-1]:.1f} s, devsetup {ours[-1]:.1f} s, its own peak {peaks[-1]:.1f} MB", flush=True)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"wall time: {ratio:.3f} x by hand   bound {_BOUND} x   {'ok' if ratio <= _BOUND else 'OVER'}")
    peak = max(peaks)
    print(f"own memory: {peak:.1f} MB   bound {_MEMORY_BOUND_MB} MB   {'ok' if peak <= _MEMORY_BOUND_MB else 'OVER'}")
    return 0


def by_hand(scratch: Path, downloads: Path, jobs: int) -> float:
    """Seconds that the bash script takes."""
    (tarball,) = downloads.glob("*/*.tar.gz")
    start = time.perf_counter()
    subprocess.run(
        ["/bin/bash", str(_ROOT / "benchmarks/caffe_by_hand.sh"), str(tarball), str(_ROOT), str(scratch), str(jobs)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def by_devsetup(scratch: Path, downloads: Path, jobs: int) -> tuple[float, float]:
    """Seconds that devsetup takes, and the peak resident size of its own process in MB."""
    home = scratch / "home"
    shutil.copytree(downloads, home / "downloads")
    argv = [
        sys.executable,
        "-m",
        "devsetup",
        "--home",
        str(home),
        "install",
        "caffe",
        "-y",
        "--jobs",
        str(jobs),
        "--json",
    ]
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=_ROOT)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - start
    assert process.returncode == 0
    assert json.loads(out)["receipts"]
    return seconds, peak[0]


def _watch(pid: int, peak: list[float]) -> None:
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                peak[0] = max(peak[0], int(line.split()[1]) / 1024)
        time.sleep(0.05)

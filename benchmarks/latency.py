"""How long a command takes, as a multiple of `python -c pass` by the same interpreter in the same run.

Runs alternate, so that what else the machine does falls on all alike; the median of each is compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Bounds from the issue that set them; peers measured for comparison: HPCCM 6, Conan 20-25, EasyBuild 27-50, Ansible 95.
_BOUNDS = {
    "--version": 2,
    "list": 15,
    "search caffe": 15,
    "info caffe": 15,
    "plan caffe": 20,
    "doctor": 100,  # asked for was 1.5 s; a large part of it is compiling two small programs
    "install caffe (nothing to do)": 20,
}


def main(argv: list[str]) -> int:
    """Time every command of the table; the last row needs a home where caffe is installed."""
    parser = argparse.ArgumentParser(prog="benchmarks latency")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--home", help="a home where caffe is installed; without it that row is left out")
    options = parser.parse_args(argv)
    program = str(Path(sys.executable).with_name("devsetup"))
    commands: dict[str, list[str]] = {
        name: [program, *name.split()] for name in _BOUNDS if not name.startswith("install")
    }
    with tempfile.TemporaryDirectory() as empty:
        env = {**os.environ, "DEVSETUP_HOME": options.home or empty}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second run reads bytecode; the round to warm up writes it
        if options.home:
            commands["install caffe (nothing to do)"] = [program, "install", "caffe"]
        times = measure({"python -c pass": [sys.executable, "-c", "pass"], **commands}, options.rounds, env)
    base = times.pop("python -c pass")
    print(f"python -c pass: {base * 1000:.1f} ms (median of {options.rounds})")
    for name, seconds in times.items():
        ratio = seconds / base
        verdict = "ok" if ratio <= _BOUNDS[name] else "OVER"
        print(f"{name:32} {ratio:6.2f} x   bound {_BOUNDS[name]:3} x   {verdict}")
    return 0


def measure(commands: dict[str, list[str]], rounds: int, env: dict[str, str]) -> dict[str, float]:
    """Median wall seconds of each command, one run of each per round after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            start = time.perf_counter()
            subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}

"""What a plan says before anything is fetched or compiled: failures that facts alone foretell."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from devsetup.doctor.checks import before_building

if TYPE_CHECKING:
    from conftest import Hello


def demand(hello: Hello, line: str) -> None:
    """Add a field to the recipe."""
    recipe = hello.catalogue / "recipes/hello.py"
    recipe.write_text(recipe.read_text().replace('    licence="MIT",', f'    licence="MIT",\n    {line}'))


def test_a_machine_in_order_has_nothing_to_say(hello: Hello) -> None:
    done = hello.run("plan", "hello")
    assert done.returncode == 0
    assert "What may go wrong here" not in done.stdout
    assert json.loads(hello.run("plan", "hello", "--json").stdout)["plan"]["foreseen"] == []


def test_too_little_memory_for_a_job(hello: Hello) -> None:
    demand(hello, "memory_per_job_mb=99_000_000,")
    done = hello.run("plan", "hello")
    assert "What may go wrong here" in done.stdout
    assert "one compile job of hello takes up to 99000000 MB: the kernel may end it" in done.stdout
    (found,) = json.loads(hello.run("plan", "hello", "--json").stdout)["plan"]["foreseen"]
    assert (found["id"], found["status"]) == ("goal.memory", "warn")


def test_no_room_is_told_by_the_plan_and_refused_by_the_install(hello: Hello) -> None:
    demand(hello, "disk_mb=999_000_000,")
    done = hello.run("plan", "hello")
    assert done.returncode == 0
    assert "building hello takes 999000000 MB" in done.stdout
    refused = hello.run("install", "hello", "-y")
    assert refused.returncode == 1
    assert "building hello takes 999000000 MB" in refused.stderr
    assert "compile" not in refused.stderr.partition("What may go wrong here")[2]


def test_what_is_installed_needs_no_room(hello: Hello) -> None:
    assert hello.run("install", "hello", "-y").returncode == 0
    demand(hello, "disk_mb=0,")
    assert "What may go wrong here" not in hello.run("plan", "hello").stdout


def test_a_plan_for_another_machine_says_nothing_of_this_one(hello: Hello) -> None:
    demand(hello, "disk_mb=999_000_000,")
    done = hello.run("plan", "hello", "--on", "debian-13")
    assert done.returncode == 0
    assert "What may go wrong here" not in done.stdout


def test_a_gxx_that_the_toolkit_refuses_is_told_by_the_plan() -> None:
    argv = [sys.executable, "-m", "devsetup", "plan", "caffe", "--option", "cuda=on", "--on", "debian-13+cuda-12.0"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nvcc of CUDA 12.0 accepts g++ below 13, and g++ here is 14.2.0" in done.stderr


def test_cuda_is_looked_at_only_where_it_is_wanted() -> None:
    plain = {check.id for check in before_building(cuda=False)}
    cuda = {check.id for check in before_building(cuda=True)} - plain
    assert {"disk.space", "goal.memory", "perm.noexec", "os.libc"} < plain
    assert cuda == {"tc.gcc-nvcc", "cuda.arch", "cuda.driver-too-old"}

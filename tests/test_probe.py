"""The whole probe: this machine for real, and what holds for every probe (roots, links, failures)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devsetup import facts, probe
from devsetup.facts import Facts, OperatingSystem
from devsetup.probe.host import Host
from devsetup.recipe import SystemLibrary
from devsetup.runner import Completed, Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'


class Tree:
    """A constructed machine: files under a temporary root, where stub programs are shell scripts."""

    def __init__(self, root: Path, release: str = DEBIAN) -> None:
        self.root = root
        self.write("/etc/os-release", release)
        self.write("/proc/meminfo", "MemTotal:       16777216 kB\n")

    def write(self, path: str, text: str = "") -> Path:
        real = Path(f"{self.root}{path}")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        return real

    def link(self, path: str, target: str) -> None:
        real = Path(f"{self.root}{path}")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.symlink_to(target)

    def program(self, path: str, script: str) -> None:
        self.write(path, f"#!/bin/sh\n{script}\n").chmod(0o755)

    def host(self, **environ: str) -> Host:
        return Host(Runner(), str(self.root), {"PATH": "/usr/local/bin:/usr/bin", **environ})

    def facts(self, **environ: str) -> Facts:
        variables = {"PATH": "/usr/local/bin:/usr/bin", **environ}
        return probe.machine(Runner(), {}, lambda _: None, root=self.root, environ=variables)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


@pytest.fixture(scope="module")
def here() -> Facts:
    return probe.machine(Runner(), {}, lambda _: None)


def test_this_machine_survives_json(here: Facts) -> None:
    assert facts.from_json(facts.to_json(here), "test") == here
    assert here.arch == os.uname().machine
    assert here.memory_mb > 0
    assert 0 < here.cores <= (os.cpu_count() or 0)


def test_compilers_here_have_the_version_they_print(here: Facts) -> None:
    gccs = [compiler for compiler in here.compilers if compiler.family == "gcc"]
    for compiler in gccs:
        said = subprocess.run(
            [compiler.path, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=True
        )
        assert compiler.version == said.stdout.strip()


def test_pythons_here_are_what_they_say_of_themselves(here: Facts) -> None:
    """The probe read files; the interpreters themselves are the judges."""
    ask = (
        "import json, os, platform, sysconfig, importlib.util as u; paths = sysconfig.get_paths(); "
        "print(json.dumps([platform.python_version().rstrip('+'), os.path.exists(paths['include'] + '/Python.h'), "
        "u.find_spec('ensurepip') is not None, os.path.exists(paths['stdlib'] + '/EXTERNALLY-MANAGED')]))"
    )
    assert here.pythons
    for python in here.pythons:
        said = subprocess.run([python.path, "-I", "-c", ask], capture_output=True, text=True, check=True)
        assert json.loads(said.stdout) == [python.version, python.headers, python.venv, python.managed], python.path


def test_a_root_with_nothing_in_it_still_has_facts(tmp_path: Path) -> None:
    empty = probe.machine(Runner(), {}, lambda _: None, root=tmp_path, environ={})
    assert empty.os == OperatingSystem(id="linux", version="")
    assert (empty.compilers, empty.pythons, empty.cuda, empty.blas, empty.memory_mb) == ((), (), (), (), 0)
    assert "no os-release file in /etc or /usr/lib: the distribution is unknown" in empty.notes
    assert "physical memory is unknown" in empty.notes


def test_what_a_probe_cannot_read_is_a_note_and_the_rest_is_found(tmp_path: Path) -> None:
    broken = Tree(tmp_path / "root", 'ID="debian\n')  # an unclosed quotation mark
    broken.program("/usr/bin/gcc", "echo 'gcc (Debian) 12.2.0'; echo 'Free Software Foundation'")
    found = broken.facts()
    assert found.os.id == "linux"
    assert any(note.startswith("the operating system could not be probed:") for note in found.notes)
    assert found.compiler("gcc") == "12.2.0"


def test_links_stay_inside_the_root(tree: Tree) -> None:
    tree.write("/usr/local/cuda-12.4/here", "inside")
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.4")
    tree.link("/up", "../../../../usr/local/./cuda")
    tree.link("/loop", "/loop")
    host = tree.host()
    assert host.resolve("/usr/local/cuda/here") == "/usr/local/cuda-12.4/here"
    assert host.read("/up/here") == "inside"
    assert host.names("/up") == ("here",)
    assert host.link("/usr/local/cuda") == "/usr/local/cuda-12.4"
    assert not host.exists("/loop")


def test_files_outside_the_root_do_not_exist(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    tree.link("/absolute", str(tmp_path / "secret"))
    tree.link("/relative", "../secret")
    assert tree.host().read("/absolute") == ""
    assert tree.host().read("/relative") == ""


def test_relative_entries_of_path_are_not_searched(tree: Tree) -> None:
    tree.program("/usr/bin/tool", "")
    assert tree.host(PATH=".:bin::/usr/bin/:/usr/bin").directories == ("/usr/bin",)
    assert tree.host(PATH=".:/usr/bin").which("tool") == "/usr/bin/tool"


def test_a_program_gets_the_users_variables_and_the_c_locale(tree: Tree) -> None:
    tree.program("/usr/bin/show", 'echo "$LC_ALL $MINE $EXTRA"')
    assert tree.host(MINE="a", LC_ALL="de_DE").ask(("/usr/bin/show",), EXTRA="b").output == "C a b\n"


def test_a_program_behind_an_absolute_link_is_the_one_inside_the_root(tree: Tree) -> None:
    tree.program("/opt/tool", "echo inside")
    tree.link("/usr/bin/tool", "/opt/tool")
    assert tree.host().ask(("/usr/bin/tool",)).output == "inside\n"


def test_every_process_is_bounded(tree: Tree) -> None:
    limits = []

    class Recorder(Runner):
        def capture(self, argv: Sequence[str], **options: Any) -> Completed:
            limits.append(options["timeout_s"])
            return super().capture(argv, **options)

    for name in ("gcc", "python3.11", "nvcc", "apt-get", "dpkg-query"):
        tree.program(f"/usr/bin/{name}", "")
    entries = {"make": SystemLibrary(apt=("make",))}
    probe.machine(Recorder(), entries, lambda _: None, root=tree.root, environ={"PATH": "/usr/bin"})
    assert limits == [2.0] * 5  # gcc, python, dpkg-query, and nvcc twice: for its root and for its version


def test_answers_come_in_the_order_of_the_questions(tree: Tree) -> None:
    tree.program("/usr/bin/slow", "sleep 0.1; echo slow")
    tree.program("/usr/bin/fast", "echo fast")
    answers = tree.host().ask_each([("/usr/bin/slow",), ("/usr/bin/fast",), ("/usr/bin/absent",)])
    assert [answer.output for answer in answers] == ["slow\n", "fast\n", ""]


def test_a_file_that_is_no_program_is_a_problem_not_a_crash(tree: Tree) -> None:
    tree.write("/usr/bin/text", "\x00\x01 not a program").chmod(0o755)
    assert tree.host().ask(("/usr/bin/text",)).problem.startswith("/usr/bin/text could not be started:")

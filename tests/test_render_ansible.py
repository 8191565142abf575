"""The playbook form, run for real on this machine: idempotent, and refusing what is not the plan's machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Hello
from hypothesis import example, given
from hypothesis import strategies as st
from rendering import NETWORK, check_verbatim, contents, differences, install, plan_of, verbatim_plan, workspace

from devsetup.errors import CannotRender
from devsetup.facts import Facts, OperatingSystem
from devsetup.planner import Wish
from devsetup.proofs import Check
from devsetup.render.ansible import ansible
from devsetup.render.yamltext import Verbatim, emit
from devsetup.steps import PREFIX, DebianSource, Fetch, LocalSource, PathExists, Run, Unpack, UrlSource, WriteFile

PROGRAM = Path(sys.executable).with_name("ansible-playbook")
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="ansible-core needs a newer Python than this")


class Played:
    """How a playbook ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.output = done.stdout + done.stderr
        recap = re.search(r"ok=(\d+) +changed=(\d+)", self.output)
        self.changed = int(recap.group(2)) if recap else -1


def play(playbook: Path, home: Path, *options: str) -> Played:
    """Run a playbook on this machine, with little in its environment."""
    env = {name: value for name, value in os.environ.items() if name in NETWORK or name.startswith("PIP_")}
    env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home.parent), "LC_ALL": "C.UTF-8"}
    env |= {"ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false"}
    extra = ["-e", json.dumps({"devsetup_home": str(home), "ansible_python_interpreter": "/usr/bin/python3"})]
    argv = [PROGRAM, "-c", "local", *extra, *options, playbook]
    return Played(subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False))


def write(hello: Hello) -> Path:
    playbook = hello.root / "hello.yml"
    playbook.write_text(ansible(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)))))
    return playbook


def test_it_makes_the_same_prefix_and_a_second_run_changes_nothing(hello: Hello) -> None:
    install(workspace(hello.home, hello.catalogue), "hello", jobs=2)
    playbook = write(hello)
    mine = hello.root / "by-devsetup"
    hello.home.rename(mine)
    first = play(playbook, hello.home)
    assert first.code == 0, first.output[-4000:]
    assert first.changed > 5
    (prefix,) = (hello.home / "store").iterdir()
    assert differences(contents(prefix), contents(mine / "store" / prefix.name)) == []
    assert (hello.home / "receipts" / prefix.name / "result.json").read_text() == '{"greetings": 20}'
    assert not list((hello.home / "build").iterdir())
    assert f"export HELLO_HOME={prefix}" in first.output
    second = play(playbook, hello.home)
    assert (second.code, second.changed) == (0, 0)


@pytest.mark.real
def test_a_failing_proof_fails_the_play_and_the_next_run_starts_over(hello: Hello) -> None:
    work = hello.catalogue / "workloads/hello/work.sh"
    good = work.read_text()
    work.write_text("exit 3\n")
    done = play(write(hello), hello.home)
    assert done.code != 0
    assert "proof: greet twenty times" in done.output
    (prefix,) = (hello.home / "store").iterdir()
    assert (prefix / "bin/hello").exists()
    assert play(write(hello), hello.home).code != 0
    work.write_text(good)
    assert play(write(hello), hello.home).code == 0


@pytest.mark.real
def test_sources_are_tried_in_order_and_hashes_decide(hello: Hello, tmp_path: Path) -> None:
    tarball = hello.served / "hello-1.0.tar.gz"
    digest = subprocess.run(["sha256sum", tarball], capture_output=True, text=True, check=True).stdout[:64]
    wrong = UrlSource(id="wrong", url=hello.url, sha256="0" * 64)
    absent = UrlSource(id="absent", url=f"{hello.url}.absent", sha256=digest)
    mine = LocalSource(id="mine", path=str(tarball), sha256=digest, strip=1)
    unpacked = Unpack(name="it", into=f"{PREFIX}/tree")
    playbook = tmp_path / "play.yml"
    playbook.write_text(ansible(plan_of(Fetch(name="it", sources=(wrong, absent, mine)), unpacked)))
    done = play(playbook, tmp_path / "home", "-e", "devsetup_force=true")
    assert done.code == 0, done.output[-3000:]
    (prefix,) = (tmp_path / "home/store").iterdir()
    assert (prefix / "tree/hello.c").exists()
    playbook.write_text(ansible(plan_of(Fetch(name="it", sources=(wrong,)), unpacked)))
    done = play(playbook, tmp_path / "home", "-e", "devsetup_force=true")
    assert done.code != 0
    assert "checksum" in done.output


def test_another_machine_is_refused_unless_forced(tmp_path: Path) -> None:
    facts = Facts(os=OperatingSystem(id="plan9", version="4"), arch="mips")
    playbook = tmp_path / "play.yml"
    playbook.write_text(ansible(plan_of(WriteFile(path=f"{PREFIX}/x", content="x"), facts=facts)))
    done = play(playbook, tmp_path / "home")
    assert done.code != 0
    assert "planned for plan9 4 on mips" in done.output
    assert not (tmp_path / "home").exists()
    assert play(playbook, tmp_path / "home", "-e", "devsetup_force=true").code == 0


def test_guards_and_checks(tmp_path: Path) -> None:
    plan = plan_of(
        WriteFile(path=f"{PREFIX}/there", content=""),
        Run(argv=("touch", f"{PREFIX}/made"), title="t", unless=PathExists(path=f"{PREFIX}/there"), cwd="/"),
        Run(argv=("touch", f"{PREFIX}/other"), title="t", unless=PathExists(path=f"{PREFIX}/no"), cwd="/"),
        proofs=(Check(title="c", argv=("echo", "took 1.25 ms"), expect=r"(?i)^TOOK \d"),),
    )
    playbook = tmp_path / "play.yml"
    playbook.write_text(ansible(plan))
    done = play(playbook, tmp_path / "home", "-e", "devsetup_force=true")
    assert done.code == 0, done.output[-3000:]
    (prefix,) = (tmp_path / "home/store").iterdir()
    assert sorted(path.name for path in prefix.iterdir()) == ["other", "there"]
    playbook.write_text(ansible(plan_of(proofs=(Check(title="c", argv=("echo", "took long"), expect=r"took \d"),))))
    assert play(playbook, tmp_path / "home", "-e", "devsetup_force=true").code != 0


@given(st.text(st.characters(blacklist_categories=("Cs",))))
@example("False")
@example("on")
@example("null")
def test_any_text_survives_yaml(text: str) -> None:
    import yaml

    class Reader(yaml.SafeLoader):
        pass

    Reader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    document = emit([{"key": text, "other": Verbatim(text)}, [], {"list": [text, 1, True], text: {}}])
    wanted = [{"key": text, "other": text}, [], {"list": [text, 1, True], text: {}}]
    assert yaml.load(document, Reader) == wanted  # noqa: S506 - a safe loader with one more tag


def test_the_command_line_prints_a_playbook_that_ansible_accepts(hello: Hello) -> None:
    done = hello.run("plan", "hello", "--format", "ansible")
    assert done.returncode == 0, done.stderr
    assert done.stdout == write(hello).read_text()
    checked = play(write(hello), hello.home, "--syntax-check")
    assert checked.code == 0, checked.output
    assert not hello.home.exists()


@pytest.mark.real
def test_a_debian_source_package_is_fetched_through_the_machines_own_mirror(tmp_path: Path) -> None:
    sources = workspace(tmp_path / "home").plan(Wish(names=("caffe",)), "debian-12").parts[0].sources
    source = next(each for each in sources if isinstance(each, DebianSource))
    playbook = tmp_path / "play.yml"
    playbook.write_text(ansible(plan_of(Fetch(name="it", sources=(source,)), Unpack(name="it", into=f"{PREFIX}/tree"))))
    done = play(playbook, tmp_path / "home", "-e", "devsetup_force=true")
    assert done.code == 0, done.output[-3000:]
    assert list(tmp_path.glob("home/store/*/tree/**/Makefile"))


@pytest.mark.real
def test_hostile_texts_arrive_as_they_are(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(ansible(verbatim_plan()))
    done = play(playbook, tmp_path / "home", "-e", "devsetup_force=true")
    assert done.code == 0, done.output[-4000:]
    (prefix,) = (tmp_path / "home/store").iterdir()
    check_verbatim(prefix)
    assert not list(tmp_path.rglob("pwned"))


def test_a_path_in_which_ansible_would_expand_a_variable_is_refused() -> None:
    with pytest.raises(CannotRender, match="expands variables"):
        ansible(plan_of(WriteFile(path=f"{PREFIX}/$HOME", content="")))

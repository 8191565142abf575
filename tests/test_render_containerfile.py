"""The Containerfile, its instructions carried out by hand; `test_forms_real` has buildah do it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from conftest import Hello
from rendering import FACTS, check_verbatim, plan_of, run_script, verbatim_plan, workspace

from devsetup.errors import CannotRender
from devsetup.facts import Facts, OperatingSystem
from devsetup.planner import Wish
from devsetup.render.containerfile import containerfile
from devsetup.steps import PREFIX, Env, Fetch, LocalSource, SystemPackages, UrlSource, WriteFile

OLD_AND_PLAIN = {"ARG", "FROM", "ENV", "RUN", "COPY"}


def instructions(text: str) -> list[tuple[str, str]]:
    """A Containerfile as (instruction, rest): comments left out, continued lines joined, as builders do it."""
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines)).split("\n")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined)]


def carry_out(text: str, home: Path) -> str:
    """Run the RUN instructions in order, with another directory for /opt/devsetup; returns what they printed."""
    shown = ""
    for number, (word, rest) in enumerate(instructions(text)):
        assert word in OLD_AND_PLAIN
        if word != "RUN":
            continue
        script = home.parent / f"run-{number}.sh"
        script.write_text(rest.replace("/opt/devsetup", str(home)))
        done = run_script(script, home, DEVSETUP_FORCE="1")
        shown += done.stdout + done.stderr
        assert done.returncode == 0, shown
    return shown


def test_its_instructions_make_and_prove_the_install(hello: Hello) -> None:
    text = containerfile(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",))))
    text = re.sub(r"packages [^;\n]*;", ":;", text).replace("rm -rf /var/lib/apt/lists/*", ":")
    shown = carry_out(text, hello.home)
    assert shown.index("==> compile hello") < shown.index("==> proof: link closure")
    assert "greeted 20 times" in shown
    (prefix,) = (hello.home / "store").iterdir()
    assert subprocess.run([prefix / "bin/hello"], capture_output=True, text=True, check=True).stdout == "hello\n"
    key = prefix.name
    assert ("ENV", f'PATH="/opt/devsetup/store/{key}/bin${{PATH:+:$PATH}}"') in instructions(text)
    assert ("ENV", f'HELLO_HOME="/opt/devsetup/store/{key}"') in instructions(text)


def test_hostile_texts_arrive_as_they_are(tmp_path: Path) -> None:
    plan = verbatim_plan()
    carry_out(containerfile(plan), tmp_path / "home")
    check_verbatim(tmp_path / "home/store" / plan.parts[0].key)
    assert not list(tmp_path.rglob("pwned"))


def test_it_is_plain_and_needs_no_context(hello: Hello) -> None:
    text = containerfile(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)), "debian-13"))
    assert "ARG BASE=debian:13\n" in text
    assert not re.search(r"^(ADD|COPY (?!--from=build)|RUN --|SHELL|ENTRYPOINT|#.*syntax)", text, re.MULTILINE)
    assert "<<" not in text
    assert max(map(len, text.split("\n"))) < 1000


def test_what_only_fetches_stays_out_of_the_finished_image() -> None:
    source = UrlSource(id="x", url="https://example.org/x.tar", sha256="0" * 64)
    fetch = Fetch(name="x", sources=(source,))
    packages = SystemPackages(manager="apt", names=("gcc",))
    text = containerfile(plan_of(packages, fetch))
    _, build, last = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    assert "packages ca-certificates curl" in build
    assert "curl;" not in last
    assert "packages ca-certificates curl" not in containerfile(plan_of(packages))


def test_activation_is_escaped() -> None:
    text = containerfile(plan_of(Env(name="ODD", value=f'{PREFIX}/"$x\\', mode="set")))
    key = plan_of(Env(name="ODD", value=f'{PREFIX}/"$x\\', mode="set")).parts[0].key
    assert f'ENV ODD="/opt/devsetup/store/{key}/\\"\\$x\\\\"\n' in text
    with pytest.raises(CannotRender, match="line break"):
        containerfile(plan_of(Env(name="ODD", value="a\nb")))


def test_what_a_container_cannot_do_is_refused() -> None:
    with pytest.raises(CannotRender, match="macOS"):
        containerfile(plan_of(facts=Facts(os=OperatingSystem(id="macos", version="15"), arch="arm64")))
    mine = LocalSource(id="mine", path="/mine.tar", sha256="0" * 64)
    with pytest.raises(CannotRender, match="without a context"):
        containerfile(plan_of(Fetch(name="x", sources=(mine,))))


def test_a_step_is_a_layer_and_only_what_changed_changes() -> None:
    first = WriteFile(path=f"{PREFIX}/a", content="a")
    facts = FACTS
    texts = [
        [rest for word, rest in instructions(containerfile(plan_of(first, second, facts=facts))) if word == "RUN"]
        for second in (WriteFile(path=f"{PREFIX}/b", content="b"), WriteFile(path=f"{PREFIX}/b", content="c"))
    ]
    assert len(texts[0]) == 4
    # The key carries the digest, so a change in a part begins that part anew; what comes before it stays cached.
    assert texts[0][:2] == texts[1][:2]

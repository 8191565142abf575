"""The forms of a plan at full size: Caffe by the script, beside devsetup's own; and images built by buildah.

Run with `./dev test --all`, `-m real` or `-m chroot` (Caffe in a container); takes minutes and needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compiler_cache import CompilerCache
from conftest import Hello
from msgspec import structs
from real_caffe import Caffe
from rendering import (
    NETWORK,
    check_verbatim,
    contents,
    differences,
    run_script,
    trace,
    verbatim_plan,
    workspace,
)

from devsetup.planner import Wish
from devsetup.render.containerfile import containerfile
from devsetup.render.shell import shell
from devsetup.steps import Env

images = pytest.mark.xdist_group("images")  # in a store of their own, with one base


class Scripted:
    """Caffe made by the script of its plan, in the place where devsetup made it before.

    The same place for both, so that the paths that files embed are the same too. The script's compilers take from
    devsetup's what comes from the same source by the same command: test_real.py has it that those compiled it.
    """

    def __init__(self, caffe: Caffe, root: Path, cache: CompilerCache) -> None:
        self.trace = root / "trace"
        self.home = root / "home"
        script = root / "caffe.sh"
        script.write_text(shell(workspace(caffe.path).plan(Wish(names=("caffe",)))))
        by_devsetup = caffe.path.rename(root / "by-devsetup")
        try:
            self.run = run_script(
                script, caffe.path, *cache.words(), DEVSETUP_JOBS=str(caffe.jobs), DEVSETUP_TRACE=str(self.trace)
            )
            caffe.path.rename(self.home)
        finally:
            by_devsetup.rename(caffe.path)

    @property
    def prefix(self) -> Path:
        (found,) = (self.home / "store").iterdir()
        return found


@pytest.fixture(scope="module")
def scripted(caffe: Caffe, tmp_path_factory: pytest.TempPathFactory, compiler_cache: CompilerCache) -> Scripted:
    return Scripted(caffe, tmp_path_factory.mktemp("forms"), compiler_cache)


@pytest.mark.real
def test_the_script_builds_and_proves_caffe_without_devsetup(scripted: Scripted) -> None:
    assert scripted.run.returncode == 0, scripted.run.stderr[-4000:]
    assert "==> proof: train a LeNet" in scripted.run.stdout
    assert "caffe-1.0-" in scripted.run.stdout.splitlines()[-2]
    result = json.loads((scripted.home / "receipts" / scripted.prefix.name / "result.json").read_text())
    assert result["accuracy"] >= result["bar"]


@pytest.mark.real
def test_the_script_ran_the_commands_that_devsetup_ran(scripted: Scripted, caffe: Caffe) -> None:
    assert len(caffe.commands) > 20
    assert trace(scripted.trace) == caffe.commands


@pytest.mark.real
def test_both_prefixes_hold_the_same_files(scripted: Scripted, caffe: Caffe) -> None:
    assert len(caffe.contents) > 1000
    assert differences(contents(scripted.prefix), caffe.contents) == []


class Builder:
    """buildah with a store of its own, and a Debian 12 base image made from packages: no registry is asked."""

    def __init__(self, root: Path, cache: CompilerCache) -> None:
        self.root = root
        self.cache = cache
        self.options = ["--root", str(root / "storage"), "--runroot", str(root / "run"), "--storage-driver", "overlay"]

    def run(self, command: str, *argv: str | Path) -> str:
        done = subprocess.run(
            ["buildah", *self.options, command, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"buildah {command}\n{done.stdout[-6000:]}"
        return done.stdout

    def make_base(self) -> None:
        tar = self.root / "base.tar"
        # With ca-certificates there already, installing them later does not take our certificates away.
        made = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates,ccache", "bookworm", tar]
        subprocess.run(made, check=True)
        container = self.run("from", "scratch").strip()
        self.run("add", "--quiet", container, tar, "/")
        tar.unlink()
        # How this machine reaches package index and mirror belongs to the base, not to the Containerfile.
        env = {name: value for name, value in os.environ.items() if name in NETWORK or name.startswith("OPENBLAS_")}
        env |= {n: v for n, v in os.environ.items() if n.startswith("PIP_") and n != "PIP_FIND_LINKS"}
        names = {"/etc/pip.conf", *env.values(), *map(str, Path("/etc/apt/apt.conf.d").iterdir())}
        for name in sorted(names):
            if Path(name).is_absolute() and Path(name).exists():
                self.run("copy", "--quiet", container, name, name)
        (self.root / "apt.conf").write_text(self.cache.settings())
        self.run("copy", "--quiet", container, self.root / "apt.conf", "/etc/apt/apt.conf.d/zz-compiler-cache")
        settings = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        self.run("config", *settings, container)
        self.run("commit", "--quiet", container, "localhost/base")
        self.run("rm", container)

    def build(self, text: str, tag: str, *options: str) -> str:
        context = self.root / tag
        context.mkdir()
        (context / "Containerfile").write_text(text)
        chosen = ("--isolation", "chroot", "--layers", "--build-arg", "BASE=localhost/base", *options)
        chosen += ("--volume", f"{self.cache.place}:{self.cache.place}")
        return self.run("bud", *chosen, "--tag", f"localhost/{tag}", "--file", context / "Containerfile", context)

    def inside(self, tag: str, *argv: str) -> str:
        """Run a command in a finished image."""
        container = self.run("from", "--pull-never", f"localhost/{tag}").strip()
        output = self.run("run", "--isolation", "chroot", container, "--", *argv)
        self.run("rm", container)
        return output


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, compiler_cache: CompilerCache) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("buildah"), compiler_cache)
    made.make_base()
    yield made
    made.run("rmi", "--all", "--force")
    shutil.rmtree(made.root, ignore_errors=True)


@images
@pytest.mark.real
def test_an_image_of_a_small_recipe_is_built_and_works(builder: Builder, hello: Hello) -> None:
    plan = workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)))
    text = containerfile(plan)
    output = builder.build(text, "hello")
    assert "==> proof: greet twenty times" in output
    assert "greeted 20 times" in output
    assert builder.inside("hello", "hello") == "hello\n"
    key = plan.parts[0].key
    assert builder.inside("hello", "sh", "-c", "echo $HELLO_HOME; ls $HELLO_HOME/..").split() == [
        f"/opt/devsetup/store/{key}",
        key,
    ]
    assert builder.inside("hello", "sh", "-c", "ls /opt/devsetup /var/lib/apt/lists").split()[1:3] == [
        "functions.sh",
        "receipts",
    ]


@images
@pytest.mark.real
def test_hostile_texts_arrive_as_they_are(builder: Builder) -> None:
    odd = "\"quoted\" $HOME ${x} \\ {{ y }} 'single'"
    plan = verbatim_plan()
    part = structs.replace(plan.parts[0], steps=(*plan.parts[0].steps, Env(name="ODD", value=odd, mode="set")))
    plan = structs.replace(plan, parts=(part,), wanted=(part.key,))
    builder.build(containerfile(plan), "hostile")
    assert builder.inside("hostile", "sh", "-c", 'printf %s "$ODD"') == odd
    container = builder.run("from", "--pull-never", "localhost/hostile").strip()
    root = Path(builder.run("mount", container).strip())
    prefix = Path("/opt/devsetup/store", part.key)
    check_verbatim(prefix, root / str(prefix).lstrip("/"))
    builder.run("rm", container)


@images
@pytest.mark.real
def test_what_did_not_change_comes_from_the_cache(builder: Builder, hello: Hello) -> None:
    here = workspace(hello.home, hello.catalogue)
    builder.build(containerfile(here.plan(Wish(names=("hello",)))), "first")
    again = builder.build(containerfile(here.plan(Wish(names=("hello",)))), "second")
    assert "==> compile hello" not in again
    assert again.count("Using cache") > 8


@images
@pytest.mark.real
def test_an_image_whose_proof_fails_is_not_built(builder: Builder, hello: Hello) -> None:
    (hello.catalogue / "workloads/hello/work.sh").write_text("exit 3\n")
    text = containerfile(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",))))
    with pytest.raises(AssertionError, match="failed in step: proof: greet twenty times"):
        builder.build(text, "broken")


@images
@pytest.mark.chroot
def test_caffe_is_built_and_proved_in_an_image(builder: Builder, tmp_path: Path) -> None:
    plan = workspace(tmp_path / "home").plan(Wish(names=("caffe",)), "debian-12")
    output = builder.build(containerfile(plan), "caffe", "--build-arg", "DEVSETUP_JOBS=2")
    assert "==> proof: train a LeNet" in output
    assert builder.inside("caffe", "python", "-c", "import caffe; print(caffe.__version__)") == "1.0.0\n"

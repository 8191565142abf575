"""Images really built by buildah, run by podman, and kept in a registry on loopback.

Everything lies in a store of the tests' own. The base is made from packages, since no registry is asked; podman needs
other settings than its defaults where cgroups are mixed (`CONTAINERS`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Hello

from benchmarks import images

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("engines")]

STORAGE = """[storage]
driver = "overlay"
graphroot = "{root}/graph"
runroot = "{root}/run"
"""
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
"""


class Engines:
    """buildah and podman with a store of their own, and a home that keeps the bases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        (root / "storage.conf").write_text(STORAGE.format(root=root))
        (root / "containers.conf").write_text(CONTAINERS)
        self.env = {
            "CONTAINERS_STORAGE_CONF": str(root / "storage.conf"),
            "CONTAINERS_CONF": str(root / "containers.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def devsetup(self, *argv: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "devsetup", "--home", self.home, *argv],
            env={**os.environ, **self.env, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr[-6000:]
        return done

    def image(self, *argv: str, **more: str) -> dict:
        """Make one image; returns what `--json` says of it."""
        done = self.devsetup("image", *argv, "--json", **more)
        (record,) = json.loads(done.stdout)["images"]
        return record

    def run(self, *argv: str) -> str:
        done = subprocess.run(
            argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}\n{(done.stdout + done.stderr)[-6000:]}"
        return done.stdout

    def inside(self, tag: str, *argv: str, options: tuple[str, ...] = ()) -> str:
        return self.run("podman", "run", "--rm", "--read-only", "--network=none", *options, tag, *argv)

    def digest(self, tag: str) -> str:
        return self.run("buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", tag).strip()

    def leftovers(self) -> tuple[str, ...]:
        containers = self.run("buildah", "containers", "--all", "--quiet")
        dangling = self.run("buildah", "images", "--quiet", "--filter", "dangling=true")
        mounts = [
            line for line in Path("/proc/mounts").read_text().splitlines() if f"{self.root}/graph/overlay/" in line
        ]
        return (*containers.split(), *dangling.split(), *mounts)

    def remove(self) -> None:
        for place in ("graph/overlay", "graph"):
            subprocess.run(["umount", self.root / place], check=False, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    made = Engines(tmp_path_factory.mktemp("engines"))
    yield made
    made.remove()


def small(hello: Hello) -> dict[str, str]:
    """The catalogue with the small recipe, and one dated build for all."""
    return {"DEVSETUP_CATALOGUE": str(hello.catalogue), "SOURCE_DATE_EPOCH": "1700000000"}


def second_recipe(hello: Hello) -> None:
    """Another recipe of the same kind, called `twice`."""
    text = (hello.catalogue / "recipes/hello.py").read_text()
    (hello.catalogue / "recipes/twice.py").write_text(
        text.replace('name="hello"', 'name="twice"').replace("workloads/hello/", "workloads/twice/")
    )
    for kind in ("patches", "workloads"):
        shutil.copytree(hello.catalogue / kind / "hello", hello.catalogue / kind / "twice")


def test_a_small_image_is_built_proved_listed_and_runs_with_nothing_to_write_to(engines: Engines, hello: Hello) -> None:
    out = hello.root / "out"
    argv = ("hello", "--base", "debootstrap:bookworm", "-o", str(out), "--build")
    made = engines.image(*argv, **small(hello))
    finished = made["image"]
    assert finished["engine"] == "buildah"
    assert finished["built"]["fresh"]
    assert [each["status"] for each in finished["trials"]] == ["ok"], finished["trials"]
    assert engines.inside(made["tag"], "hello") == "hello\n"
    assert engines.inside(made["tag"], "id", "-u") == "1000\n"
    assert engines.inside(made["tag"], "sh", "-c", "echo $HELLO_HOME").startswith("/opt/devsetup/store/hello-1.0-")
    clean = engines.inside(made["tag"], "-i", "/opt/devsetup/enter", "hello", options=("--entrypoint=/usr/bin/env",))
    assert clean == "hello\n"
    # Nothing that only building needs is in it.
    gone = "command -v gcc make patch curl; ls -A /opt/devsetup/build /var/lib/apt/lists/* 2>/dev/null; true"
    assert engines.inside(made["tag"], "sh", "-c", gone) == ""
    told = json.loads(engines.run("buildah", "inspect", "--type", "image", made["tag"]))["OCIv1"]["config"]["Labels"]
    assert told["dev.devsetup.plan"] == made["plan"]
    assert told["org.opencontainers.image.base.digest"] == made["base"]["digest"]
    assert told["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    # The list is complete, and the image holds it.
    listed = json.loads(Path(finished["sbom"]).read_text())
    assert json.loads(engines.inside(made["tag"], "cat", "/opt/devsetup/sbom.cdx.json")) == listed
    packages = engines.inside(made["tag"], "dpkg-query", "-W", "-f", "${Package} ${Version}\n").splitlines()
    named = {f"{each['name']} {each['version']}" for each in listed["components"] if "pkg:deb" in each.get("purl", "")}
    assert named == set(packages)

    again = engines.image(*argv, **small(hello))
    assert not again["image"]["built"]["fresh"]
    assert again["image"]["built"]["id"] == finished["built"]["id"]

    # Built anew, with other names around it: the same manifest.
    digest = engines.digest(made["tag"])
    engines.run("buildah", "rmi", "--all", "--force")
    elsewhere = (*argv[:3], "-o", str(hello.root / "elsewhere"), "--build")
    engines.image(*elsewhere, **small(hello))
    assert "==> compile hello" in (hello.root / "elsewhere/build.log").read_text()
    assert engines.digest(made["tag"]) == digest


def test_a_change_in_one_recipe_reuses_every_earlier_layer(engines: Engines, hello: Hello) -> None:
    second_recipe(hello)
    argv = ("hello", "twice", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"), "--build", "--explain")
    first = engines.image(*argv, **small(hello))
    sizes = {(layer["part"], layer["about"]): layer["size"] for layer in first["layers"]}
    assert sizes["hello", "its prefix"] > 4000
    assert sizes["hello", "prove hello"] < 4000
    assert sum(sizes.values()) <= first["image"]["size"]
    (hello.catalogue / "workloads/twice/gate.sh").write_text("true # another\n")
    second = engines.image(*argv, **small(hello))
    built = second["image"]["built"]
    assert built["cached"] >= built["steps"] - first["rebuilt"]["twice"]
    log = (hello.root / "out/build.log").read_text()
    assert log.count("==> compile hello") == 1
    assert log.count("==> proof: greet twenty times") == 1


def test_what_fails_in_the_build_is_named_and_nothing_is_left(engines: Engines, hello: Hello) -> None:
    before = engines.leftovers()
    shutil.copytree(ROOT / "symptoms", hello.catalogue / "symptoms")
    hello.gate("echo 'gate.c:1:10: fatal error: nowhere.h: No such file or directory' >&2; exit 1\n")
    argv = ("image", "hello", "--name", "broken", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"))
    done = engines.devsetup(*argv, "--build", code=1, **small(hello))
    assert "error: the image was not built: hello: gate" in done.stderr
    assert "header-missing: " in done.stderr
    assert f"{hello.root}/out/build.log" in done.stderr
    assert engines.leftovers() == before
    # The layers that were made may be kept, so that the next build goes on there.
    engines.devsetup(*argv, "--build", "--keep", code=1, **small(hello))
    hello.gate("true\n")
    cached = engines.image(*argv[1:], "--build", **small(hello))["image"]["built"]["cached"]
    assert cached > 5


def test_a_proof_that_fails_in_the_image_leaves_no_image(engines: Engines, hello: Hello) -> None:
    before = engines.leftovers()
    (hello.catalogue / "workloads/hello/work.sh").write_text("exit 3\n")
    argv = ("image", "hello", "--name", "unproved", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"))
    done = engines.devsetup(*argv, "--build", code=1, **small(hello))
    assert "hello: prove hello" in done.stderr
    assert "failed in step: proof: greet twenty times" in done.stderr
    assert "unproved" not in engines.run("buildah", "images")
    assert engines.leftovers() == before


def test_a_base_that_cannot_be_had_is_named(engines: Engines, hello: Hello) -> None:
    argv = ("image", "hello", "--base", "127.0.0.1:1/debian:12", "-o", str(hello.root / "out"), "--build")
    done = engines.devsetup(*argv, code=1, **small(hello))
    assert "the base 127.0.0.1:1/debian:12 cannot be had" in done.stderr
    assert not (hello.root / "out").exists()


def test_ctrl_c_leaves_nothing_behind(engines: Engines, hello: Hello) -> None:
    before = engines.leftovers()
    hello.gate("echo waiting; sleep 120\n")
    argv = ("image", "hello", "--name", "stopped", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"))
    process = subprocess.Popen(
        [sys.executable, "-m", "devsetup", "--home", engines.home, *argv, "--build"],
        env={**os.environ, **engines.env, **small(hello)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = hello.root / "out/build.log"
    until = time.monotonic() + 300
    while time.monotonic() < until and not (log.exists() and "\nwaiting" in log.read_text()):
        time.sleep(0.2)
    process.send_signal(2)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert engines.leftovers() == before


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with images.registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def test_an_image_is_pushed_pulled_and_built_from_the_registrys_layers(
    engines: Engines, hello: Hello, registry: str
) -> None:
    argv = ("hello", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"), "--build")
    kept = ("--cache", f"{registry}/layers", "--push", f"{registry}/ci/hello:1")
    first = engines.image(*argv, *kept, **small(hello))
    assert first["image"]["pushed"] == f"{registry}/ci/hello:1"
    engines.run("buildah", "rmi", "--all", "--force")
    (hello.root / "out/.devsetup-built").unlink()
    second = engines.image(*argv, *kept, **small(hello))
    built = second["image"]["built"]
    assert built["cached"] > built["steps"] / 2
    assert "==> compile hello" not in (hello.root / "out/build.log").read_text()
    engines.run("buildah", "rmi", "--all", "--force")
    engines.run("podman", "pull", "--quiet", "--tls-verify=false", f"{registry}/ci/hello:1")
    assert engines.inside(f"{registry}/ci/hello:1", "hello") == "hello\n"
    # And it is a base like any other, pinned by its digest, whoever its user is.
    second_recipe(hello)
    based = ("twice", "--base", f"{registry}/ci/hello:1", "--on", "debian-12", "--name", "based")
    made = engines.image(*based, "-o", str(hello.root / "based"), "--build", **small(hello))
    assert made["base"]["digest"].startswith("sha256:")
    assert f"FROM {registry}/ci/hello:1@sha256:" in (hello.root / "based/Containerfile").read_text()
    assert engines.inside(made["tag"], "sh", "-c", "ls /opt/devsetup/store | cut -d- -f1") == "hello\ntwice\n"


def test_podman_builds_the_same_context(engines: Engines, hello: Hello) -> None:
    argv = ("hello", "--name", "by-podman", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"), "--build")
    made = engines.image(*argv, "--engine", "podman", "--explain", **small(hello))
    assert made["image"]["engine"] == "podman"
    assert [each["status"] for each in made["image"]["trials"]] == ["ok"]
    assert max(layer["size"] for layer in made["layers"]) > 1_000_000


def test_leveldb_and_s3cmd_on_trixie(engines: Engines, tmp_path: Path) -> None:
    made = engines.image("leveldb", "s3cmd", "--base", "debootstrap:trixie", "-o", str(tmp_path / "out"), "--build")
    assert {each["status"] for each in made["image"]["trials"]} == {"ok"}
    assert engines.inside(made["tag"], "s3cmd", "--version").startswith("s3cmd version")
    listed = json.loads(Path(made["image"]["sbom"]).read_text())
    named = {each["name"].lower() for each in listed["components"] if "pkg:pypi" in each.get("purl", "")}
    assert {"plyvel", "s3cmd"} <= named


def test_caffe_leveldb_s3cmd_and_r_on_bookworm(engines: Engines, tmp_path: Path) -> None:
    names = ("caffe", "leveldb", "s3cmd", "r")
    out = tmp_path / "out"
    made = engines.image(*names, "--name", "ci", "--base", "debootstrap:bookworm", "-o", str(out), "--build")
    assert {each["status"] for each in made["image"]["trials"]} == {"ok"}, made["image"]["trials"]
    assert "passed: accuracy" in (out / "build.log").read_text()
    python = "import caffe; print(caffe.__version__)"
    limits = ("--env=HOME=/tmp", "--env=OPENBLAS_CORETYPE=" + os.environ.get("OPENBLAS_CORETYPE", ""))
    caffe = next(key for key in made["recipes"] if key.startswith("caffe-"))
    interpreter = f"/opt/devsetup/store/{caffe}/env/bin/python"
    assert engines.inside(made["tag"], interpreter, "-c", python, options=limits) == "1.0.0\n"
    assert engines.inside(made["tag"], "Rscript", "-e", "cat(1 + 1)", options=limits) == "2"


def test_a_vendored_context_asks_no_upstream(engines: Engines, hello: Hello) -> None:
    argv = ("hello", "--name", "vendored", "--base", "debootstrap:bookworm", "-o", str(hello.root / "out"))
    engines.image(*argv, "--vendor", **small(hello))
    (hello.served / "hello-1.0.tar.gz").unlink()
    made = engines.image(*argv, "--vendor", "--build", **small(hello))
    assert "from the cache: /opt/devsetup/downloads/" in (hello.root / "out/build.log").read_text()
    assert engines.inside(made["tag"], "hello") == "hello\n"

"""Shared fixtures: a small real catalogue, and golden files refreshed by one flag."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compiler_cache import CompilerCache
from debian_root import Pristine, bootstrap
from filelock import FileLock

if TYPE_CHECKING:
    from bare_root import Layer
    from real_caffe import Caffe

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = ("spreading",)

HELLO_C = """#include <stdio.h>
#include "greet.h"
int main(void) { printf("%s\\n", greet()); return 0; }
"""
GREET_C = """#include "greet.h"
const char *greet(void) { return "helo"; }
"""
MAKEFILE = """CFLAGS ?= -O0
all: libgreet.so hello
libgreet.so: greet.c greet.h
\t$(CC) $(CFLAGS) -shared -fPIC -o $@ greet.c
hello: hello.c libgreet.so
\t$(CC) $(CFLAGS) -o $@ hello.c -L. -lgreet -Wl,-rpath,'$$ORIGIN/../lib'
install:
\tinstall -D hello $(PREFIX)/bin/hello
\tinstall -D libgreet.so $(PREFIX)/lib/libgreet.so
"""
PATCH = """Why: it greets with a misspelt word
--- a/greet.c
+++ b/greet.c
@@ -1,2 +1,2 @@
 #include "greet.h"
-const char *greet(void) { return "helo"; }
+const char *greet(void) { return "hello"; }
"""
RECIPE = """
from devsetup.building import make
from devsetup.recipe import Check, LinkClosure, Option, Patch, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, Env, Run, UrlSource, WriteFile

TREE = f"{{BUILD}}/hello"


def steps(ctx):
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    yield make(TREE, "all", title="compile hello")
    yield Run(argv=("sh", "-c", ctx.text("workloads/hello/gate.sh")), cwd=TREE, title="gate")
    yield Run(argv=("make", f"PREFIX={{PREFIX}}", "install"), cwd=TREE, title="install hello")
    yield WriteFile(path=f"{{PREFIX}}/share/work.sh", content=ctx.text("workloads/hello/work.sh"))
    yield Env(name="PATH", value=f"{{PREFIX}}/bin")
    yield Env(name="HELLO_HOME", value=PREFIX, mode="set")


RECIPE = Recipe(
    name="hello",
    version="1.0",
    summary="A greeting, from source",
    homepage="https://example.org/hello",
    licence="MIT",
    sources=(UrlSource(id="1.0", url={url!r}, sha256={sha256!r}),),
    options=(Option(name="volume", help="how loud", choices=("soft", "loud"), default="soft"),),
    libraries=("gcc", "make", "patch"),
    patches=(
        Patch(name="0001-spelling.patch", why="it greets with a misspelt word", when=When(os="linux")),
        Patch(name="0002-never.patch", why="only for a Mac", when=When(os="macos >=10.10")),
    ),
    proofs=(
        LinkClosure(paths=(f"{{PREFIX}}/bin", f"{{PREFIX}}/lib")),
        Check(title="greets", argv=(f"{{PREFIX}}/bin/hello",), expect="hello"),
        Workload(
            title="greet twenty times",
            argv=("sh", f"{{PREFIX}}/share/work.sh", f"{{PREFIX}}/bin/hello", "@ARTIFACTS@"),
            artifacts=("result.json",),
        ),
    ),
    steps=steps,
    seen=(("debian 12", "run", "by the tests"),),
)
"""
WORK = """set -eu
n=0
while [ $n -lt 20 ]; do "$1" >/dev/null; n=$((n+1)); done
printf '{"greetings": %s}' "$n" > "$2/result.json"
echo "greeted $n times"
"""


def pytest_configure() -> None:
    # A shell without job control starts background jobs with SIGINT ignored, and children inherit that: what presses
    # Ctrl-C on a devsetup of ours would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh", action="store_true", help="rewrite the golden files under tests/plans")
    parser.addoption("--broken", default="all", help="what tests/test_self_repair.py breaks: one of its names, or all")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory of this run that all its workers see."""
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "shared"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def compiler_cache(shared: Path) -> CompilerCache:
    with FileLock(shared / "ccache.lock"):
        return CompilerCache(shared / "ccache")


@pytest.fixture(scope="session")
def pristine(shared: Path) -> Pristine:
    """Debian releases, each made once for the whole run, whichever worker asks first."""

    def made(release: str) -> Path:
        path = shared / release
        with FileLock(shared / f"{release}.lock"):
            if not path.exists():
                bootstrap(release, path)
        return path

    return made


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, pristine: Pristine) -> Layer:
    """What the layers of all remedies lie on: its package lists and the packages that it fetched are theirs too."""
    from bare_root import bare_debian

    return bare_debian(tmp_path_factory.mktemp("bare"), pristine)


@pytest.fixture(scope="session")
def caffe(tmp_path_factory: pytest.TempPathFactory, compiler_cache: CompilerCache) -> Caffe:
    """Built and installed here by devsetup's command line; a test that changes it changes it back."""
    from real_caffe import Caffe

    return Caffe(tmp_path_factory.mktemp("caffe") / "home", compiler_cache)


def tarball(files: dict[str, str], top: str = "hello-1.0") -> bytes:
    """A gzipped tar of these files under one folder; the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class Hello:
    """A catalogue with one small real recipe, its source on a loopback server, and a way to run devsetup on it."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.home = root / "home"
        self.catalogue = root / "catalogue"
        self.files = {
            "hello.c": HELLO_C,
            "greet.c": GREET_C,
            "greet.h": "const char *greet(void);\n",
            "Makefile": MAKEFILE,
        }
        self.url = f"http://127.0.0.1:{port}/hello-1.0.tar.gz"
        for name in ("recipes", "patches/hello", "workloads/hello", "hosts"):
            (self.catalogue / name).mkdir(parents=True)
        for path in (ROOT / "hosts").iterdir():
            (self.catalogue / "hosts" / path.name).write_bytes(path.read_bytes())
        (self.catalogue / "patches/hello/0001-spelling.patch").write_text(PATCH)
        (self.catalogue / "patches/hello/0002-never.patch").write_text(PATCH)
        (self.catalogue / "workloads/hello/work.sh").write_text(WORK)
        (self.catalogue / "workloads/hello/gate.sh").write_text("true\n")
        self.write_source()

    @property
    def served(self) -> Path:
        return self.root / "served"

    def write_source(self, sha256: str | None = None) -> None:
        """Serve the present files, and pin the recipe to them (or to a wrong hash)."""
        data = tarball(self.files)
        self.served.mkdir(exist_ok=True)
        (self.served / "hello-1.0.tar.gz").write_bytes(data)
        digest = sha256 or hashlib.sha256(data).hexdigest()
        (self.catalogue / "recipes/hello.py").write_text(RECIPE.format(url=self.url, sha256=digest))

    def gate(self, script: str) -> None:
        """Shell code that the build runs between compiling and installing."""
        (self.catalogue / "workloads/hello/gate.sh").write_text(script)

    def env(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
        return {**kept, "DEVSETUP_HOME": str(self.home), "DEVSETUP_CATALOGUE": str(self.catalogue), **more}

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "devsetup", *argv],
            env=self.env(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*argv, **more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def prefixes(self) -> list[Path]:
        store = self.home / "store"
        return sorted(store.iterdir()) if store.exists() else []

    def snapshot(self) -> list[str]:
        """Every path below the root of this world, to show that something changed nothing."""
        return sorted(str(path) for path in self.root.rglob("*"))


@pytest.fixture
def hello(tmp_path: Path) -> Hello:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path / "served"))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Hello(tmp_path, server.server_address[1])  # type: ignore[misc]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

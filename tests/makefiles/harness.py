"""A Mac that GNU make can ask: stub commands, a tree with one Makefile, and the patches that the recipe wants there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from devsetup.events import silent
from devsetup.facts import Apple, Cuda, Facts, Library, OperatingSystem
from devsetup.fetch import extract, obtain
from devsetup.loader import Loader, default_root
from devsetup.lower import patch_command
from devsetup.recipe import Patch
from devsetup.runner import Runner
from devsetup.steps import DebianSource

LOADER = Loader(default_root({}))
RECIPE = LOADER.recipe("caffe")
TEXTS = LOADER.texts(RECIPE)
MAKEFILES = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.mk"))}
# rc3 is the first form of the last generation, before the SDK was thought of.
GENERATION = {"2014": "2014", "rc": "rc", "2015": "2015", "rc3": "1.0", "1.0": "1.0"}


class Mac(NamedTuple):
    """A Mac as the stubs play it: no tools' receipt when `clt` is empty, CPU_ONLY when `cuda` is."""

    version: str
    clt: str
    cuda: str = ""
    boost: str = "1.76.0"


def facts(mac: Mac) -> Facts:
    cuda = (Cuda(path="/stub/cuda", version=mac.cuda, origin="test", chosen=True),) if mac.cuda else ()
    return Facts(
        os=OperatingSystem(id="macos", version=mac.version),
        arch="x86_64",
        package_manager="brew",
        libraries={"boost": Library(version=mac.boost)},
        apple=Apple(clt=mac.clt),
        cuda=cuda,
    )


def needed(mac: Mac, generation: str) -> list[Patch]:
    """The patches to the Makefile that the recipe wants on this Mac."""
    options = {"cuda": "on" if mac.cuda else "off", "python": "off"}
    return [
        patch
        for patch in RECIPE.patches
        if patch.when.verdict(facts(mac), options, generation).holds
        and "+++ b/Makefile\n" in TEXTS[f"patches/caffe/{patch.name}"]
    ]


def run_patch(tree: Path, patch: Patch, *flags: str) -> subprocess.CompletedProcess[str]:
    file = tree.parent / patch.name
    file.write_text(TEXTS[f"patches/caffe/{patch.name}"])
    return subprocess.run(patch_command(str(tree), str(file), *flags), capture_output=True, text=True, check=False)


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def stub_commands(root: Path, mac: Mac) -> Path:
    """The commands that a Makefile asks about a Mac; returns the toolkit's directory."""
    executable(root / "uname", "echo Darwin")
    executable(root / "sw_vers", f"echo {mac.version}")
    receipt = (
        f"printf 'package-id: com.apple.pkg.CLTools_Executables\\nversion: {mac.clt}.0.0.1.1447826929\\nvolume: /\\n'"
    )
    executable(root / "pkgutil", receipt if mac.clt else "echo \"No receipt for '$1' found at '/'.\" >&2; exit 1")
    executable(root / "xcrun", "echo /stub.sdk")  # with Xcode, 10.9 and 10.10 have one too, and must not take it
    says = f"Cuda compilation tools, release {mac.cuda}, V{mac.cuda}.12"
    if mac.cuda:
        executable(root / "cuda/bin/nvcc", f"echo 'nvcc: NVIDIA (R) Cuda compiler driver'\necho '{says}'")
    return root / "cuda"


def evaluate(tree: Path, mac: Mac, config: str = "") -> dict[str, str]:
    """The variables that GNU make computes from the tree's Makefile on that Mac."""
    stubs = tree.parent / "stubs"
    toolkit = stub_commands(stubs, mac)
    (tree / "Makefile.config").write_text(
        config
        or (f"CUDA_DIR := {toolkit}\n" if mac.cuda else "CPU_ONLY := 1\n") + "BLAS := atlas\nBUILD_DIR := build\n"
    )
    names = ("BLAS_INCLUDE", "LDFLAGS", "CXXFLAGS", "LINKFLAGS", "LIBRARIES", "COMMON_FLAGS")
    show = tree.parent / "show.mk"
    show.write_text("".join(f"SHOWN_{name} := $(strip $({name}))\n" for name in names))
    done = subprocess.run(
        ["make", "-pn", "-f", "Makefile", "-f", str(show)],
        cwd=tree,
        env={"PATH": f"{stubs}:/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(re.findall(r"^SHOWN_(\w+) := ?(.*)$", done.stdout, re.MULTILINE))
    assert set(found) == set(names), done.stderr
    return found


def tree_of(tmp_path: Path, makefile: str) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "Makefile").write_text(makefile)
    return tree


def patched(tmp_path: Path, makefile: str, mac: Mac, generation: str) -> Path:
    tree = tree_of(tmp_path, makefile)
    for patch in needed(mac, generation):
        done = run_patch(tree, patch, "--forward")
        assert done.returncode == 0, (patch.name, done.stdout)
    return tree


@pytest.fixture(scope="module")
def real_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of 2018, from the Debian source package, through this machine's mirror."""
    root = tmp_path_factory.mktemp("caffe")
    source = next(source for source in RECIPE.sources if isinstance(source, DebianSource))
    have = obtain("caffe", (source,), root / "downloads", Runner().capture, silent)
    extract(Path(have.path), root / "tree", strip=source.strip)
    return root / "tree"

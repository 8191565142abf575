"""Caffe with five things broken beforehand, in a bare Debian 12: explained without --repair, installed with it.

Each breakage is a change of the recipe, or of the machine under it, of the kind that the notes were about. All five are
broken at once, for the sake of time; `--broken NAME` breaks one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compiler_cache import CompilerCache
from debian_root import CHECKOUT, Pristine, Root

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.chroot


def _without_glog(catalogue: Path, root: Root) -> None:
    """A development package that nobody asks for."""
    _edit(catalogue / "recipes/caffe/__init__.py", '"gflags", "glog", ', '"gflags", ')
    assert not (root.path / "usr/include/glog").exists()


def _wrong_hdf5(catalogue: Path, _: Root) -> None:
    """HDF5's headers and libraries where Makefile.config does not look."""
    config = catalogue / "recipes/caffe/config.py"
    _edit(config, 'includes.append("/usr/include/hdf5/serial")', 'includes.append("/usr/local/hdf5/include")')
    _edit(config, '/usr/lib/{facts.multiarch}/hdf5/serial"', '/usr/local/hdf5/lib"')


def _unpatched_protobuf(catalogue: Path, _: Root) -> None:
    """A call that protobuf took away, and a patch whose condition does not hold."""
    _edit(catalogue / "recipes/caffe/patches.py", 'When(libraries={"protobuf": ">=3.18"}),', 'When(os="macos"),')


def _another_numpy(catalogue: Path, root: Root) -> None:
    """pycaffe compiled against Debian's NumPy 1, and imported with NumPy 2."""
    headers = 'numpy = "/usr/lib/python3/dist-packages/numpy/core/include"'
    _edit(
        catalogue / "recipes/caffe/config.py",
        'numpy = f"{PREFIX}/env/{site_packages(facts)}/numpy/{core}/include"',
        headers,
    )
    _edit(catalogue / "recipes/caffe/config.py", "        core = ", "        _ = ")
    root.run("apt-get", "update", "-qq")
    root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-numpy")


def _no_run_path(catalogue: Path, _: Root) -> None:
    """pycaffe that looks for libcaffe in the build tree."""
    _edit(
        catalogue / "recipes/caffe/patches.py",
        'name="0004-pycaffe-run-path.patch",\n        when=When(options={"python": "on"})',
        'name="0004-pycaffe-run-path.patch",\n        when=When(os="macos")',
    )


# What is broken, to how it is broken and the symptoms that may explain it.
BREAKAGES: dict[str, tuple[Callable[[Path, Root], None], frozenset[str]]] = {
    "package": (_without_glog, frozenset({"glog-development-files"})),
    "hdf5": (_wrong_hdf5, frozenset({"caffe-hdf5-header", "caffe-hdf5-link"})),
    "protobuf": (_unpatched_protobuf, frozenset({"caffe-protobuf-totalbyteslimit"})),
    "numpy": (_another_numpy, frozenset({"numpy2-abi"})),
    "run-path": (_no_run_path, frozenset({"caffe-libcaffe-missing"})),
}


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has no single {old!r}"
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def broken(request: pytest.FixtureRequest) -> tuple[str, ...]:
    named = request.config.getoption("--broken")
    return tuple(BREAKAGES) if named == "all" else (named,)


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory,
    broken: tuple[str, ...],
    pristine: Pristine,
    compiler_cache: CompilerCache,
) -> Root:
    made = Root(tmp_path_factory.mktemp("broken") / "root", "bookworm")
    made.make(pristine)
    made.cache(
        compiler_cache
    )  # what is proven is the repair; that Caffe compiles in a bare root, test_chroot.py proves
    catalogue = made.path / "catalogue"
    for name in ("recipes", "patches", "workloads", "hosts", "symptoms"):
        shutil.copytree(CHECKOUT / name, catalogue / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in broken:
        BREAKAGES[name][0](catalogue, made)
    made.env |= {"DEVSETUP_CATALOGUE": "/catalogue"}
    return made


def test_without_consent_it_says_why_and_what_to_do(root: Root, broken: tuple[str, ...]) -> None:
    text = root.run("./dev", "install", "caffe", "-y", "--no-repair", code=1)
    assert "step failed: " in text or "was built but does not work" in text
    assert any(symptom in text for symptom in BREAKAGES[broken[0]][1]), text[-4000:]
    assert "fix: " in text
    assert "run it again with --repair" in text
    assert "already installed" not in root.run("./dev", "plan", "caffe")


def test_with_repair_it_is_installed_and_proven(root: Root, broken: tuple[str, ...]) -> None:
    text = root.run("./dev", "install", "caffe", "-y", "--repair", "--json")
    (receipt,) = json.loads(text[text.index("\n{\n") :])["receipts"]  # both streams come as one
    symptoms = {attempt["symptom"] for attempt in receipt["attempts"]}
    for name in broken:
        assert symptoms & BREAKAGES[name][1], (name, symptoms)
    assert {proof["status"] for proof in receipt["proofs"]} == {"ok"}
    assert len(receipt["part"]["amendments"]) == len(receipt["attempts"])
    assert "1.0.0" in root.run("./dev", "run", "caffe", "--", "python", "-c", "import caffe; print(caffe.__version__)")

"""Theano: planned on every kind of host, its patches on the real sdist, and the real thing installed and proven."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from makefiles.harness import LOADER
from msgspec.structs import replace
from test_real import Home

from devsetup.errors import Refused
from devsetup.facts import Facts, Library
from devsetup.patching import check, render
from devsetup.plan import Part
from devsetup.planner import Wish, make_plan
from devsetup.steps import ApplyPatch, Fetch, PyPISource, PythonEnv

CATALOGUE = LOADER.catalogue()
RECIPE = LOADER.recipe("theano")
TEXTS = LOADER.texts(RECIPE)


def machine(host: str, python: str = "") -> Facts:
    facts = LOADER.host(host)
    if not python:
        return facts
    return replace(facts, libraries={**facts.libraries, "python": Library(version=python)})


def plan(facts: Facts, **options: str) -> Part:
    (part,) = make_plan(Wish(names=("theano",), options=options), facts, CATALOGUE).parts
    return part


def unneeded(part: Part) -> set[str]:
    return {patch.name[:4] for patch in part.patches if not patch.needed}


def environment(part: Part) -> PythonEnv:
    return next(step for step in part.steps if isinstance(step, PythonEnv))


def test_patches_for_python_3_12_stay_off_an_older_one() -> None:
    assert unneeded(plan(machine("debian-12"))) == {"0001", "0003", "0004", "0015", "0018"}
    assert unneeded(plan(machine("debian-13"))) == {"0015", "0018"}
    assert unneeded(plan(machine("debian-13"), blas="reference")) == {"0014", "0018"}


@pytest.mark.parametrize(
    ("python", "numpy"), [("3.9.2", "2.0.2"), ("3.10.6", "2.2.6"), ("3.11.2", "2.4.6"), ("3.13.5", "2.5.5")]
)
def test_each_python_has_its_newest_numpy(python: str, numpy: str) -> None:
    env = environment(plan(machine("debian-13", python)))
    assert f"numpy=={numpy}" in env.requirements
    assert env.python == f"/usr/bin/python{'.'.join(python.split('.')[:2])}"


def test_the_environment_comes_before_the_source_that_its_pip_fetches() -> None:
    steps = plan(machine("debian-12")).steps
    kinds = [type(step) for step in steps]
    assert kinds.index(PythonEnv) < kinds.index(Fetch)
    (source,) = next(step for step in steps if isinstance(step, Fetch)).sources
    assert isinstance(source, PyPISource)
    assert source.python == f"{environment(plan(machine('debian-12'))).path}/bin/python"


def test_the_blas_is_filled_into_the_patch() -> None:
    def flags(**options: str) -> str:
        steps = plan(machine("debian-13", "3.13.5"), **options).steps
        return next(s.text for s in steps if isinstance(s, ApplyPatch) and "blas" in s.name)

    assert "+        blas_info = {'libraries': ['openblas']}\n" in flags()
    reference = flags(blas="reference")
    assert "'library_dirs': ['/usr/lib/x86_64-linux-gnu/blas']" in reference
    assert "-Wl,-rpath,/usr/lib/x86_64-linux-gnu/blas'" in reference
    arm = replace(machine("debian-13"), arch="aarch64")
    text = next(s.text for s in plan(arm, blas="reference").steps if isinstance(s, ApplyPatch) and "blas" in s.name)
    assert "/usr/lib/aarch64-linux-gnu/blas" in text


def test_a_gpu_is_configured_on_pygpu_built_for_the_same_numpy() -> None:
    options = {"device": "cuda", "from": "source"}
    needed, part = make_plan(Wish(names=("theano",), options=options), machine("debian-12"), CATALOGUE).parts
    assert part.needs == (needed.key,)
    assert environment(part).paths == ("@PREFIX:libgpuarray@/env/lib/python3.11/site-packages",)
    (device,) = (step for step in part.steps if isinstance(step, ApplyPatch) and step.name == "0018-device.patch")
    assert "+    DeviceParam('cuda', allow_override=False),\n" in device.text


@pytest.mark.parametrize(
    ("host", "options", "reason"),
    [
        ("debian-12", {"device": "cuda"}, "add --option from=source"),
        ("macos-15", {}, "no plan for Theano on macOS yet"),
        ("ubuntu-20.04", {}, "needs Python 3.9, and this is 3.8.2"),
        ("fedora-42", {"blas": "reference"}, "take --option blas=openblas"),
    ],
)
def test_a_machine_that_cannot_is_told_why(host: str, options: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(machine(host), **options)


def test_every_patch_says_why_and_where_upstream_explains_it() -> None:
    for patch in RECIPE.patches:
        lines = TEXTS[f"patches/theano/{patch.name}"].splitlines()
        assert lines[0].startswith("Why: ")
        assert lines[1] == f"Upstream: {patch.upstream}"


# The rest is real: the sdist, pip, the compiler.


class Installed(Home):
    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "DEVSETUP_HOME": str(self.path / "home"), "HOME": str(self.path / "user")}

    @property
    def prefix(self) -> Path:
        (found,) = (self.path / "home/store").iterdir()
        return found

    def artifact(self, name: str) -> str:
        return (self.path / "home/receipts" / self.prefix.name / name).read_text()

    def tree(self, into: Path) -> Path:
        """The sdist, unpacked."""
        (archive,) = (self.path / "home/downloads").glob("*/Theano-1.0.5.tar.gz")
        into.mkdir()
        subprocess.run(["tar", "-xzf", archive, "--strip-components=1", "-C", into], check=True)
        return into

    def script(self, name: str, *argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one of the install's own scripts."""
        words = [self.prefix / "env/bin/python", self.prefix / "share/devsetup" / name, *argv]
        return subprocess.run(words, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def theano(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = Installed(tmp_path_factory.mktemp("theano"))
    (home.path / "user").mkdir()
    home.run("install", "theano", "-y")
    return home


@pytest.mark.real
def test_every_proof_passed_and_named_the_blas(theano: Installed) -> None:
    (receipt,) = json.loads(theano.run("install", "theano", "--json").stdout)["receipts"]
    assert [proof["status"] for proof in receipt["proofs"]] == ["ok", "ok", "ok", "ok"]
    (source,) = receipt["sources"]
    assert source["origin"] == "Theano-1.0.5.tar.gz of the Python package Theano 1.0.5, by pip"
    result = json.loads(theano.artifact("result.json"))
    assert result["accuracy"] >= result["bar"]
    assert result["loss"][0] > 5 * result["loss"][-1]
    assert result["blas"]["needed"] == "libopenblas.so.0"
    assert "openblas" in result["blas"]["loaded"]
    assert result["product_errors"]["float64"] < 1e-12
    curve = ET.fromstring(theano.artifact("curve.svg"))  # noqa: S314 - our own file
    assert curve.tag.endswith("svg")
    assert len(curve.findall("{*}polyline")) == 2


@pytest.mark.real
def test_nothing_was_left_in_the_users_home(theano: Installed) -> None:
    assert list((theano.path / "user").glob(".theano*")) == []
    assert not list((theano.path / "home/build").iterdir())


@pytest.mark.real
def test_the_workload_fails_on_shuffled_labels(theano: Installed, tmp_path: Path) -> None:
    done = theano.script("train.py", "--blas", "openblas", "--out", tmp_path, "--shuffle-labels")
    assert done.returncode == 1
    assert "bar 0.9: below" in done.stderr


@pytest.mark.real
def test_another_blas_than_asked_for_and_no_compiler_are_noticed(theano: Installed, tmp_path: Path) -> None:
    done = theano.script("linked.py", "reference")
    assert done.returncode == 1
    assert "reference was asked for, and libopenblas.so.0 is " in done.stderr
    done = theano.script("linked.py", "openblas", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "Theano found no compiler" in done.stderr


@pytest.mark.real
def test_patches_apply_once_and_alone_and_come_off_again(theano: Installed, tmp_path: Path) -> None:
    """On the real sdist, with the project's own strict flags, every patch: those for another Python too."""
    tree = theano.tree(tmp_path / "tree")
    facts = machine("debian-13")
    values = {"facts": facts, "options": RECIPE.choices(facts, {"device": "cuda"})}
    diffs = {p.name: check(render(TEXTS[f"patches/theano/{p.name}"], values, name=p.name), name=p.name).text
             for p in RECIPE.patches}  # fmt: skip
    alone = dict(diffs)
    for name, text in alone.items():
        assert applied(tree, text, "--dry-run"), f"{name} does not apply to the sdist as it is"
    del diffs["0015-blas-reference.patch"]  # instead of 0014
    for name, text in diffs.items():
        assert applied(tree, text), f"{name} does not apply after those before it"
    for name, text in diffs.items():
        assert applied(tree, text, "--reverse", "--dry-run"), f"{name} cannot be told to be there"
        assert not applied(tree, text, "--dry-run"), f"{name} would apply twice"


def applied(tree: Path, diff: str, *flags: str) -> bool:
    strict = ["patch", "-p1", "--unified", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]
    done = subprocess.run([*strict, *flags, "-d", tree], input=diff, capture_output=True, text=True, check=False)
    return done.returncode == 0


@pytest.mark.real
def test_the_patch_command_knows_the_sdist(theano: Installed, tmp_path: Path) -> None:
    tree = str(theano.tree(tmp_path / "tree"))
    theano.run("patch", "theano", "--tree", tree)
    shown = theano.run("patch", "theano", "--tree", tree, "--check").stdout
    assert "needs rebase" not in shown
    assert "applies" not in shown.replace("applies on", "")
    assert shown.count("applied") == sum(patch.needed for patch in plan(LOADER.host("debian-12")).patches)


@pytest.mark.real
def test_the_unpatched_sdist_does_not_even_import(theano: Installed, tmp_path: Path) -> None:
    """What the patches are for."""
    tree = theano.tree(tmp_path / "tree")
    done = subprocess.run(
        [theano.prefix / "env/bin/python", "-c", "import theano"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tree), "THEANO_FLAGS": f"base_compiledir={tmp_path}/c"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    # Python 3.12 stops at the first; before, NumPy's emptied header lets the C linker be compiled for Python 2.
    assert "No module named 'distutils'" in done.stderr or "PyInt_AsLong" in done.stderr


@pytest.mark.real
def test_verify_repeats_it_and_uninstall_leaves_nothing(theano: Installed) -> None:
    theano.run("verify", "theano")
    version = theano.run("run", "theano", "--", "python", "-c", "import sys; print(sys.prefix)").stdout
    assert version.strip() == str(theano.prefix / "env")
    theano.run("uninstall", "theano", "-y")
    assert not list((theano.path / "home/store").iterdir())

"""The catalogue ships inside the wheel, and a wheel plans what a checkout plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.real  # building needs hatchling from the package index

ROOT = Path(__file__).resolve().parent.parent


def devsetup(cwd: Path, *argv: str, path: str = "") -> dict[str, object]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
    done = subprocess.run(
        [sys.executable, "-m", "devsetup", *argv, "--json", "--home", str(cwd / "home")],
        cwd=cwd,
        env={**env, "PYTHONPATH": path} if path else env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_wheel_holds_the_catalogue_and_plans_the_same(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("devsetup-*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert not [name for name in names if name.startswith("recipes/")], (
        "recipes must not be importable as a top-level module"
    )
    assert "devsetup/_data/recipes/caffe/__init__.py" in names
    assert [recipe["name"] for recipe in devsetup(tmp_path, "list", path=str(site))["recipes"]]  # type: ignore[attr-defined]
    argv = ("plan", "caffe", "--on", "debian-13")
    wheel_plan, checkout_plan = devsetup(tmp_path, *argv, path=str(site)), devsetup(tmp_path, *argv)
    assert wheel_plan["plan"]["digest"] == checkout_plan["plan"]["digest"]  # type: ignore[index]

"""The user's settings, and the toolkit that they or `--cuda` name, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from devsetup.errors import InvalidInput
from devsetup.settings import Doctor, Settings, read_settings, settings_path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "devsetup" / "config.toml"
    path.parent.mkdir()
    return path


class TestFile:
    def test_a_missing_file_has_every_default(self, config: Path) -> None:
        assert read_settings(config) == Settings(cuda="", doctor=Doctor(ignore=()))

    def test_an_empty_file_too(self, config: Path) -> None:
        config.write_text("# nothing yet\n")
        assert read_settings(config) == Settings()

    def test_everything_set(self, config: Path) -> None:
        config.write_text('cuda = "/opt/cuda-12.4"\n\n[doctor]\nignore = ["os.locale", "blas.which"]\n')
        assert read_settings(config) == Settings(
            cuda="/opt/cuda-12.4", doctor=Doctor(ignore=("os.locale", "blas.which"))
        )

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            (b'cuda = "/opt', ""),  # the parser's own words differ between versions of Python
            (b'coda = "/opt"', "coda"),
            (b"[doctor]\nignored = []", "ignored"),
            (b"cuda = 12.4", "$.cuda"),
            (b"cuda = true", "$.cuda"),
            (b'[doctor]\nignore = "os.locale"', "$.doctor.ignore"),
            (b"[doctor]\nignore = [3]", "$.doctor.ignore[0]"),
            (b'cuda = "\xff"', ""),
        ],
    )
    def test_a_malformed_file_is_named_with_what_is_wrong(self, config: Path, text: bytes, named: str) -> None:
        config.write_bytes(text)
        with pytest.raises(InvalidInput) as raised:
            read_settings(config)
        assert raised.value.message.startswith(f"{config} is not a valid configuration: ")
        assert named in raised.value.message
        assert raised.value.hint == "correct it, or move it away to use the defaults"

    def test_what_cannot_be_read_is_no_missing_file(self, config: Path) -> None:
        config.mkdir()  # unreadable for everybody, root included
        with pytest.raises(InvalidInput, match=r"cannot read .*config\.toml: Is a directory"):
            read_settings(config)

    def test_where_it_is(self) -> None:
        assert settings_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/devsetup/config.toml")
        assert settings_path({"XDG_CONFIG_HOME": "", "HOME": "/h"}) == Path("/h/.config/devsetup/config.toml")
        assert settings_path({}) == Path.home() / ".config/devsetup/config.toml"


def toolkit(root: Path, version: str) -> str:
    """A toolkit of a header and a stub nvcc."""
    (root / "include").mkdir(parents=True)
    (root / "bin").mkdir()
    major, minor = version.split(".")
    (root / "include/cuda.h").write_text(f"#define CUDA_VERSION {major}0{minor}0\n")
    nvcc = root / "bin/nvcc"
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {version}, V{version}.88'\n")
    nvcc.chmod(0o755)
    return str(root)


def devsetup(tmp_path: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "DEVSETUP"))}
    env = {**kept, "XDG_CONFIG_HOME": str(tmp_path), "DEVSETUP_HOME": str(tmp_path / "home"), **environ}
    return subprocess.run(
        [sys.executable, "-m", "devsetup", *argv], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )


def chosen(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (one,) = [each for each in json.loads(done.stdout)["facts"]["cuda"] if each["chosen"]]
    return dict(one)


class TestToolkit:
    def test_the_option_beats_the_settings_and_these_the_variables(self, tmp_path: Path, config: Path) -> None:
        option, setting, variable = (toolkit(tmp_path / f"cuda-{n}", n) for n in ("9.1", "9.2", "9.0"))
        facts = ("facts", "--json")
        assert chosen(devsetup(tmp_path, *facts, CUDA_HOME=variable))["version"] == "9.0"
        config.write_text(f"cuda = '{setting}'\n")
        assert chosen(devsetup(tmp_path, *facts, CUDA_HOME=variable))["version"] == "9.2"
        done = devsetup(tmp_path, *facts, "--cuda", option, CUDA_HOME=variable)
        won = chosen(done)
        assert (won["path"], won["version"], won["nvcc"]) == (option, "9.1", f"{option}/bin/nvcc")
        assert won["origin"] == "--cuda or config.toml"
        (note,) = [each for each in json.loads(done.stdout)["facts"]["notes"] if each.startswith("CUDA 9.1")]
        assert f"CUDA_HOME means 9.0 in {variable}" in note

    def test_a_relative_option_is_relative_to_the_working_directory(self, tmp_path: Path) -> None:
        root = toolkit(tmp_path / "cuda-9.1", "9.1")
        assert chosen(devsetup(tmp_path, "facts", "--json", "--cuda", os.path.relpath(root, ROOT)))["path"] == root

    @pytest.mark.parametrize("command", [("facts",), ("plan", "caffe"), ("install", "caffe", "--dry-run", "-y")])
    def test_a_place_without_toolkit_stops_the_command(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        (tmp_path / "empty").mkdir()
        done = devsetup(tmp_path, *command, "--cuda", str(tmp_path / "empty"))
        assert (done.returncode, done.stdout) == (1, "")
        said = " ".join(done.stderr.split())
        assert f"{tmp_path}/empty is not a CUDA toolkit: {tmp_path}/empty/bin/nvcc is not there" in said
        assert "--cuda DIR" in said
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "home").exists()

    def test_so_does_a_setting_that_has_gone(self, tmp_path: Path, config: Path) -> None:
        config.write_text('cuda = "/opt/gone-12.4"\n')
        done = devsetup(tmp_path, "facts")
        assert done.returncode == 1
        assert "/opt/gone-12.4 is not a CUDA toolkit: there is no such directory" in " ".join(done.stderr.split())

    def test_a_malformed_file_stops_it_too_and_is_named(self, tmp_path: Path, config: Path) -> None:
        config.write_text("cuda = 12.4\n")
        done = devsetup(tmp_path, "facts")
        assert done.returncode == 1
        assert "config.toml is not a valid configuration" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_a_toolkit_of_this_machine_does_not_go_with_another_machine(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devsetup", "facts", "--on", "debian-12", "--cuda", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--on debian-12+cuda-12.4" in done.stderr

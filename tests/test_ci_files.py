"""CI files, judged by the platforms' published schemas, and their shell code by shellcheck."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Hello
from ruamel.yaml import YAML

FILES = {"github": ".github/workflows/images.yml", "gitlab": ".gitlab-ci.yml"}
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


@pytest.fixture
def here(hello: Hello, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = hello.root / "repository"
    directory.mkdir()
    bases = '["debian:12", "debootstrap:trixie"]'
    (directory / "devsetup.toml").write_text(f'[image]\nname = "ci"\nbases = {bases}\nrecipes = ["hello"]\n')
    monkeypatch.chdir(directory)
    return directory


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_a_file_is_valid_by_the_platforms_schema(hello: Hello, here: Path, platform: str) -> None:
    done = hello.run("ci", platform, "--json")
    assert done.returncode == 0, done.stderr
    path = here / FILES[platform]
    assert json.loads(done.stdout)["ci"]["path"] == str(path)
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[platform], path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    # The check can fail.
    path.write_text(path.read_text().replace("timeout", "tiemout"))
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[platform], path], check=False
    )
    assert checked.returncode != 0


def scripts(text: str, platform: str) -> list[str]:
    loaded = YAML(typ="safe").load(text)
    if platform == "gitlab":
        return ["\n".join(loaded["build-image"]["script"])]
    return [step["run"] for step in loaded["jobs"]["image"]["steps"] if "run" in step]


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_its_shell_code_is_clean_and_calls_devsetup_as_it_is(hello: Hello, here: Path, platform: str) -> None:
    text = hello.run("ci", platform, "--stdout").stdout
    assert not (here / FILES[platform]).exists()
    found = scripts(text, platform)
    for script in found:
        checked = subprocess.run(
            ["shellcheck", "--shell=bash", "-"], input=script, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
    options = {word for script in found for word in script.split() if word.startswith("--")}
    known = hello.run("image", "--help").stdout
    ours = {"--locked", "--build", "--base", "--name", "--output", "--cache", "--push", "--explain"}
    assert ours <= options
    assert all(f"{option} " in known or f"{option}\n" in known for option in ours)


def test_every_base_is_a_job_and_actions_are_pinned(hello: Hello, here: Path) -> None:
    text = hello.run("ci", "github", "--stdout").stdout
    job = YAML(typ="safe").load(text)["jobs"]["image"]
    assert job["strategy"]["matrix"]["include"] == [
        {"base": "debian:12", "name": "ci-debian-12"},
        {"base": "debootstrap:trixie", "name": "ci-debootstrap-trixie"},
    ]
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert uses
    assert all(len(each.partition("@")[2]) == 40 for each in uses)
    assert "--locked" in text


def test_what_a_user_changed_is_not_lost(hello: Hello, here: Path) -> None:
    path = here / FILES["gitlab"]
    path.write_text("mine: true\n")
    done = hello.run("ci", "gitlab")
    assert (done.returncode, path.read_text()) == (1, "mine: true\n")
    assert "-mine: true" in done.stderr
    assert "--force" in done.stderr
    assert hello.run("ci", "gitlab", "--force").returncode == 0
    again = hello.run("ci", "gitlab")
    assert (again.returncode, "is as it would be written" in again.stdout) == (0, True)


def test_without_a_project_that_is_told(hello: Hello, monkeypatch: pytest.MonkeyPatch) -> None:
    (hello.root / "empty/.git").mkdir(parents=True)
    monkeypatch.chdir(hello.root / "empty")
    done = hello.run("ci", "github")
    assert (done.returncode, "no devsetup.toml" in done.stderr) == (2, True)
    assert hello.run("ci", "jenkins").returncode == 2


def test_a_branch_of_an_odd_name_stays_data(hello: Hello, here: Path) -> None:
    subprocess.run(["git", "init", "--quiet", '--initial-branch=it\'s-"x"', here], check=True)
    loaded = YAML(typ="safe").load(hello.run("ci", "github", "--stdout").stdout)
    assert loaded["on"]["push"]["branches"] == ['it\'s-"x"']

"""Every recipe on every declared host: planned with I/O forbidden, and compared with a golden file.

`pytest tests/test_recipes.py --refresh` rewrites the golden files; read the difference before you commit it.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devsetup import facts as facts_module
from devsetup.console import views
from devsetup.console.blocks import plain
from devsetup.errors import DevsetupError
from devsetup.facts import Facts
from devsetup.loader import Loader, default_root
from devsetup.lower import lower
from devsetup.patching import check
from devsetup.plan import Part, Plan
from devsetup.planner import Catalogue, Wish, make_plan
from devsetup.recipe import Recipe
from devsetup.steps import PythonEnv, UrlSource, WriteFile, title

LOADER = Loader(default_root({}))
HOSTS = {name: LOADER.host(name) for name in LOADER.hosts()}
RECIPES = {recipe.name: recipe for recipe in LOADER.recipes()}
LIBRARIES = LOADER.libraries()
TEXTS = {name: LOADER.texts(recipe) for name, recipe in RECIPES.items()}
CATALOGUE = Catalogue(recipe=RECIPES.__getitem__, texts=lambda recipe: TEXTS[recipe.name], libraries=LIBRARIES)
# Hosts whose whole plan is kept: the ones that are run, and the extremes of those that are not.
FULL = ("debian-12", "debian-13", "ubuntu-24.04", "ubuntu-16.04", "macos-10.10", "macos-26-arm64")
GOLDEN = Path(__file__).parent / "plans"
PAIRS = [(recipe, host) for recipe in RECIPES for host in HOSTS]


def outcome(recipe: str, facts: Facts) -> Plan | DevsetupError:
    try:
        return make_plan(Wish(names=(recipe,)), facts, CATALOGUE)
    except DevsetupError as error:
        return error


def golden_text(made: Plan | DevsetupError, *, full: bool = True) -> str:
    """A plan for reading: long texts become their hash, which still shows that they changed.

    Not full, it is what differs between machines: options, packages, patches, written files and steps by title.
    """
    if isinstance(made, DevsetupError):
        return f"{type(made).__name__}: {made.message}\n"
    if full:
        record = msgspec.to_builtins(views.plan_record(made))
        del record["facts"]
    else:
        record = {part.key: summary(part) for part in made.parts}
    return json.dumps(shorten(record), indent=1, sort_keys=True) + "\n"


def summary(part: Part) -> dict[str, object]:
    return {
        "options": part.options,
        "packages": part.packages,
        "patches": [patch.name for patch in part.patches if patch.needed],
        "writes": {step.path: step.content for step in part.steps if isinstance(step, WriteFile)},
        "environment": [step.requirements for step in part.steps if isinstance(step, PythonEnv)],
        "steps": [title(step) for step in part.steps],
    }


def shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shorten(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shorten(each) for each in value]
    if isinstance(value, str) and len(value) > 800:
        return f"sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]}, {len(value.splitlines())} lines"
    return value


def forbidden(what: str) -> Callable[..., Any]:
    def refuse(*args: object, **_: object) -> None:
        pytest.fail(f"planning tried to {what}: {args}")

    return refuse


@pytest.fixture
def no_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in [
        (builtins, "open"),
        (io, "open"),
        (os, "open"),
        (os, "system"),
        (os, "listdir"),
        (os, "stat"),
        (socket, "socket"),
        (subprocess, "Popen"),
    ]:
        monkeypatch.setattr(owner, name, forbidden(f"use {name}"))


@pytest.mark.parametrize(("recipe", "host"), PAIRS)
def test_planning_is_pure_and_repeatable(recipe: str, host: str, no_effects: None) -> None:
    first, second = outcome(recipe, HOSTS[host]), outcome(recipe, HOSTS[host])
    assert golden_text(first) == golden_text(second)


@pytest.mark.parametrize(("recipe", "host"), PAIRS)
def test_plans_are_as_recorded(recipe: str, host: str, request: pytest.FixtureRequest) -> None:
    text = golden_text(outcome(recipe, HOSTS[host]), full=host in FULL)
    path = GOLDEN / recipe / f"{host}.json"
    if request.config.getoption("--refresh"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden file; make it with: pytest {__file__} --refresh"
    assert text == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    expected = {(recipe, host) for recipe, host in PAIRS}
    assert {(path.parent.name, path.stem) for path in GOLDEN.glob("*/*.json")} == expected


@pytest.mark.parametrize(("recipe", "host"), PAIRS)
def test_every_step_lowers_and_every_view_draws(recipe: str, host: str) -> None:
    made = outcome(recipe, HOSTS[host])
    if isinstance(made, DevsetupError):
        assert made.message
        return
    for part in made.parts:
        for step in part.steps:
            assert lower(step)
    assert made.parts[0].key in plain(views.plan(made, absent=None))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
class TestRecipe:
    def test_says_what_it_is(self, recipe: Recipe) -> None:
        assert recipe.summary
        assert recipe.homepage.startswith("https://")
        assert re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", recipe.licence)

    def test_pins_every_source(self, recipe: Recipe) -> None:
        for source in recipe.sources:
            assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)
            if isinstance(source, UrlSource):
                assert source.url.startswith("https://")

    def test_proves_itself(self, recipe: Recipe) -> None:
        assert recipe.proofs

    def test_explains_every_patch(self, recipe: Recipe) -> None:
        for patch in recipe.patches:
            assert patch.why
            assert patch.upstream.startswith("https://")
            text = TEXTS[recipe.name][f"patches/{recipe.name}/{patch.name}"]
            assert "<%" not in text.replace("<%=", "")
            if "<%=" not in text:
                check(text, name=patch.name)

    def test_ships_no_patch_that_it_does_not_name(self, recipe: Recipe) -> None:
        shipped = {name.rpartition("/")[2] for name in TEXTS[recipe.name] if name.startswith("patches/")}
        assert shipped == {patch.name for patch in recipe.patches}

    def test_needs_only_libraries_that_are_listed(self, recipe: Recipe) -> None:
        wanted = {*recipe.libraries, *(name for _, names in recipe.option_libraries for name in names)}
        assert wanted <= set(LIBRARIES)


@pytest.mark.parametrize("host", HOSTS)
def test_declared_hosts_round_trip(host: str) -> None:
    facts = HOSTS[host]
    assert facts_module.from_json(facts_module.to_json(facts), host) == facts

"""Every recipe on every declared host in every form: rendered, or refused with a reason, and never with an effect."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from rendering import workspace
from test_render_ansible import PROGRAM

from devsetup.errors import CannotRender, Refused
from devsetup.plan import Plan
from devsetup.planner import Wish
from devsetup.render import RENDERERS

ROOT = Path(__file__).resolve().parent.parent
HOSTS = sorted(path.stem for path in (ROOT / "hosts").glob("*.json"))
RECIPES = sorted(recipe.name for recipe in workspace(Path("/nowhere")).loader.recipes())


def planned(recipe: str, host: str) -> Plan:
    try:
        return workspace(Path("/nowhere")).plan(Wish(names=(recipe,)), host)
    except Refused as refusal:
        pytest.skip(f"the recipe itself refuses: {refusal.message}")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_form_is_made_or_refused(recipe: str, host: str, tmp_path: Path) -> None:
    plan = planned(recipe, host)
    for form, render in RENDERERS.items():
        if form == "containerfile" and host.startswith("macos"):
            with pytest.raises(CannotRender):
                render(plan)
            continue
        text = render(plan)
        assert text == render(plan)
        assert plan.digest in text
        assert text.endswith("\n")
    script = tmp_path / "plan.sh"
    script.write_text(RENDERERS["shell"](plan))
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("host", ["debian-12", "macos-10.10", "fedora-42"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_scripts_pass_shellcheck(recipe: str, host: str, tmp_path: Path) -> None:
    script = tmp_path / "plan.sh"
    script.write_text(RENDERERS["shell"](planned(recipe, host)))
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (disabled,) = [line for line in script.read_text().splitlines() if "shellcheck disable" in line]
    assert "texts of the plan mean themselves" in disabled


@pytest.mark.skipif(not PROGRAM.exists(), reason="ansible-core needs a newer Python than this")
@pytest.mark.parametrize("recipe", RECIPES)
def test_playbooks_pass_ansibles_own_check(recipe: str, tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(RENDERERS["ansible"](planned(recipe, "debian-12")))
    done = subprocess.run([PROGRAM, "--syntax-check", playbook], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

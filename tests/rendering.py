"""What the tests of rendered forms share: plans to render, a recording runner, and what a prefix holds."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from devsetup.app import installing
from devsetup.app.workspace import Workspace
from devsetup.events import silent
from devsetup.facts import Facts, OperatingSystem
from devsetup.plan import Identity, Part, Plan
from devsetup.planner import Wish
from devsetup.render.shell import shell
from devsetup.runner import Completed, Runner
from devsetup.steps import Run, WriteFile

NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NETWORK += ("http_proxy", "https_proxy", "no_proxy")


class Recorder(Runner):
    """Runs commands, and keeps those of the steps: proofs have a time limit, and go without a log of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[list[str]] = []

    def stream(self, argv: Any, **how: Any) -> Completed:
        if how.get("log") is not None and how.get("timeout_s") is None:
            self.commands.append(list(argv))
        return super().stream(argv, **how)


def workspace(home: Path, catalogue: Path | None = None) -> Workspace:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEVSETUP")}
    return Workspace(home, environ | ({"DEVSETUP_CATALOGUE": str(catalogue)} if catalogue else {}))


def install(here: Workspace, name: str, *, jobs: int) -> list[list[str]]:
    """Install a recipe with devsetup itself; returns the commands that its steps ran."""
    recorder = Recorder()
    here.runner = recorder
    installing.install(here, installing.preview(here, Wish(names=(name,)), jobs), silent)
    return recorder.commands


def run_script(script: Path, home: Path, *before: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user without devsetup would: /bin/sh, and an environment with little in it.

    `before` are words in front of the command, and `more` variables.
    """
    env = {
        name: value for name, value in os.environ.items() if name in NETWORK or name.startswith(("PIP_", "OPENBLAS_"))
    }
    env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home.parent), "DEVSETUP_HOME": str(home)}
    return subprocess.run(
        [*before, "/bin/sh", script],
        env=env | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def trace(path: Path) -> list[list[str]]:
    """A recorded trace: one command a line, quoted so that bash reads it back."""
    lines = path.read_bytes().decode().split("\n")[:-1]
    return [shlex.split(line.replace("$'\\n'", "'\n'")) for line in lines]


def contents(prefix: Path) -> dict[str, tuple[str, str]]:
    """What a prefix holds: path to (mode, content). Compiled Python embeds times, so only its name counts."""
    found = {}
    for path in sorted(prefix.rglob("*")):
        mode = oct(path.lstat().st_mode)
        if path.is_symlink():
            content = os.readlink(path)  # noqa: PTH115 - as written
        elif path.is_file() and path.suffix != ".pyc":
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = ""
        found[str(path.relative_to(prefix))] = (mode, content)
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names that two prefixes do not hold alike."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


FACTS = Facts(os=OperatingSystem(id="debian", version="12"), arch="x86_64", package_manager="apt")


def plan_of(*steps: Any, facts: Facts = FACTS, **more: Any) -> Plan:
    """A plan with one part."""
    part = Part(
        name="toy",
        version="1.0",
        summary="a toy",
        identity=Identity(os=facts.os.id, version=facts.os.version, arch=facts.arch),
        steps=steps,
        **more,
    )
    return Plan(facts=facts, parts=(part,), wanted=(part.key,))


# What a careless form would run, expand, template, cut or lose.
HOSTILE = (
    "",
    " ",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "&& touch pwned",
    "| touch pwned #",
    "> pwned",
    "$HOME",
    "${HOME}",
    "~",
    "~root",
    "$'\\n'",
    "$",
    "a$\n",
    "'",
    "''",
    "'EOF'",
    '"',
    "\\",
    "\\\\n",
    "ends with \\",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "line\nline",
    "\n",
    "\n\nleading and trailing\n\n",
    "carriage\r\nreturn\r",
    "\ttab\x0b\x0c\x1b[31m",
    "{{ 7*7 }}",
    "{% raw %}{{ x }}",
    "{# comment #}",
    "{{ lookup('pipe', 'touch pwned') }}",
    '{"json": [1, 2]}',
    "[1, 2]",
    "!unsafe x",
    "&anchor *alias: - # ?",
    "-n",
    "--help",
    "-",
    "A=B",
    "%s %d %%",
    "* ? [a-z] {a,b}",
    "# not a comment",
    "END_OF_FILE",
    "END_OF_FILE\ncat <<END\n",
    "<<EOF",
    "!history !!",
    "\u00e4\u0101\u4e2d\U0001f600\u2028\u0085\u200b\ufeff",
    "true",
    "null",
    "0x1f",
)


def verbatim_plan() -> Plan:
    """A plan that passes every hostile text as argument, variable, file content and path, to be found again."""
    dump = 'file=$1; shift; printf "%s\\0" "$@" >"$file"'
    around = tuple(f"{text}@PREFIX@{text}" for text in HOSTILE)
    held = (*HOSTILE, *(f"{text}@PREFIX@{text}" for text in TRICKY))
    names = tuple((f"V{number}", text) for number, text in enumerate(HOSTILE))
    contents_ = tuple(WriteFile(path=f"@PREFIX@/content/{number}", content=text) for number, text in enumerate(held))
    return plan_of(
        Run(
            argv=("sh", "-c", dump, "sh", "@PREFIX@/argv", *HOSTILE, *around),
            title="arguments: {{ 7*7 }}\n$(touch pwned)",
        ),
        Run(argv=("sh", "-c", 'env -0 >"$1"', "sh", "@PREFIX@/env"), env=names, title="'variables'"),
        *contents_,
        *(WriteFile(path=f"@PREFIX@/paths/{text}", content=text) for text in HOSTILE_NAMES),
    )


# In the content of files, before and after a place: what YAML, JSON or a template would take for its own.
TRICKY = (
    "'",
    "{{ 7*7 }}",
    '{"json": [1, 2]}',
    "[1, 2]",
    "\n\nleading and trailing\n\n",
    "$(touch pwned)",
    "ends with \\",
)

# As names of files: none is empty, has a slash or, since Ansible expands variables in paths, a dollar sign.
HOSTILE_NAMES = tuple(text for text in HOSTILE if text.strip() and not set(text) & set("/$\n\r") and text != "-")


def check_verbatim(prefix: Path, mounted: Path | None = None) -> None:
    """What `verbatim_plan` left is what it was given; `mounted` is where the prefix is seen from here."""
    around = [f"{text}{prefix}{text}" for text in HOSTILE]
    everything = [*HOSTILE, *around]
    held = [*HOSTILE, *(f"{text}{prefix}{text}" for text in TRICKY)]
    prefix = mounted or prefix
    assert (prefix / "argv").read_bytes().decode().split("\0")[:-1] == everything
    found = dict(line.split("=", 1) for line in (prefix / "env").read_bytes().decode().split("\0")[:-1])
    assert [found[f"V{number}"] for number, _ in enumerate(HOSTILE)] == list(HOSTILE)
    for number, text in enumerate(held):
        assert (prefix / f"content/{number}").read_bytes().decode() == text
    assert {path.name: path.read_bytes().decode() for path in (prefix / "paths").iterdir()} == {
        name: name for name in HOSTILE_NAMES
    }


def run_plan(plan: Plan, tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "plan.sh"
    script.write_text(shell(plan))
    return run_script(script, tmp_path / "home", DEVSETUP_FORCE="1", **more)


def prefix_of(plan: Plan, tmp_path: Path) -> Path:
    return tmp_path / "home/store" / plan.parts[0].key


def check(path: Path) -> None:
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

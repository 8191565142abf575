"""A plan as one POSIX shell script that needs nothing of devsetup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.errors import CannotRender
from devsetup.render.body import (
    beginning,
    form_of,
    install_packages,
    proof_lines,
    proof_title,
    sources_of,
    step_lines,
)
from devsetup.render.common import COMMON, clean_function, package_functions
from devsetup.render.obtaining import DEBIAN, OBTAINING, pypi_function
from devsetup.render.proving import PROVING
from devsetup.render.words import comment, quote
from devsetup.steps import DebianSource, PyPISource, SystemPackages, title

if TYPE_CHECKING:
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan

_HEADER = """\
#!/bin/sh
# {what}
#
# Plan {digest}
# made by devsetup for {system}. Run it on such a machine, as the user who will own the install:
#
#     sh THIS_FILE
#
# It fetches, verifies, patches, builds and proves. System packages that are missing are installed first, which needs
# root or sudo. The install goes into {home}/store; devsetup itself will not know it (it has no receipt, so
# `devsetup gc` with the same home would remove it).
#
#     DEVSETUP_HOME=DIR     another place
#     DEVSETUP_JOBS=N       compile jobs; the default is one per core, as far as memory allows
#     DEVSETUP_FORCE=1      go on although this is not the machine that the plan was made for
#     DEVSETUP_TRACE=FILE   record every command that the steps start
#
# shellcheck disable=SC1003,SC2016 # texts of the plan mean themselves: nothing in single quotes is to be expanded
set -eu
umask 022
"""
_HOME = "${DEVSETUP_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/devsetup}"


def shell(plan: Plan) -> str:
    """The script.

    Raises:
        CannotRender: a step that a script cannot carry out, such as copying a source tree of this machine.
    """
    parts = [_part(number, part) for number, part in enumerate(plan.parts, 1)]
    return "\n".join((_header(plan), functions(plan), *parts, _main(plan)))


def functions(plan: Plan) -> str:
    """The shell functions that the steps of a plan call."""
    sources = sources_of(plan)
    debian = DEBIAN if any(isinstance(source, DebianSource) for source in sources) else ""
    pypi = pypi_function() if any(isinstance(source, PyPISource) for source in sources) else ""
    return _functions(manager_of(plan), debian + pypi, macos=plan.facts.os.id == "macos")


def every_function(manager: str) -> str:
    """All of them, for a Linux with this package manager: the same text whatever a plan needs."""
    return _functions(manager, DEBIAN + pypi_function(), macos=False)


def _functions(manager: str, obtaining: str, *, macos: bool) -> str:
    managed = install_packages(manager) + package_functions(manager) if manager else ""
    return clean_function(macos=macos) + COMMON + managed + OBTAINING + obtaining + PROVING


def manager_of(plan: Plan) -> str:
    """The one package manager that the plan's system packages belong to; empty when it has none.

    Raises:
        CannotRender: there are several.
    """
    managers = {step.manager for part in plan.parts for step in part.steps if isinstance(step, SystemPackages)}
    if len(managers) > 1:
        raise CannotRender(f"the plan uses several package managers: {', '.join(sorted(managers))}")
    return managers.pop() if managers else ""


def system_of(facts: Facts) -> str:
    """The machine of a plan, in words."""
    return f"{facts.os.id} {facts.os.version} on {facts.arch}"


def packages_line(plan: Plan) -> list[str]:
    """The statement that has all system packages installed, or nothing."""
    names = sorted({name for part in plan.parts for name in part.packages})
    return [f"packages {' '.join(map(quote, names))}"] if names else []


def machine_line(facts: Facts) -> str:
    """The statement that refuses a machine other than the plan's."""
    return f"machine {quote(facts.os.id)} {quote(facts.os.version)} {quote(facts.arch)}"


def _header(plan: Plan) -> str:
    what = "; ".join(f"{part.name} {part.version}: {part.summary}" for part in plan.parts if part.key in plan.wanted)
    return _HEADER.format(what=comment(what), digest=plan.digest, system=comment(system_of(plan.facts)), home=_HOME)


def _part(number: int, part: Part) -> str:
    form = form_of(part)
    lines = [
        *beginning(part),
        "enter",
        f'[ "$fresh" = yes ] || {{ say {quote(part.key + " is there already")}; return 0; }}',
    ]
    blocks = [(title(step), step_lines(step, form)) for step in part.steps]
    proofs = [(proof_title(proof), proof_lines(proof, form)) for proof in part.proofs]
    for name, statements in blocks:
        if statements:
            lines += ["", f"begin {quote(comment(name))}", *statements]
    lines += ["", "# Proofs must pass without the build tree.", 'rm -rf "$BUILD"']
    for name, statements in proofs:
        lines += ["", f"begin {quote(comment(name))}", *statements]
    lines += ["leave", *_told(part)]
    return f"part_{number}() {{\n" + "".join(f"{_indented(line)}\n" for line in lines) + "}\n"


def _indented(line: str) -> str:
    return f"    {line}" if line else ""


def _told(part: Part) -> list[str]:
    """What using the install needs, as lines to paste."""
    form = form_of(part)
    told = [f"told {quote(env.name)} {env.mode} {form.word(env.value)}" for env in part.activation]
    return [f"printf '%s\\n' {quote(f'{part.key} is installed. To use it:')}", *told]


def _main(plan: Plan) -> str:
    calls = [f"part_{number}" for number, _ in enumerate(plan.parts, 1)]
    lines = [machine_line(plan.facts), *packages_line(plan), *calls]
    return "main() {\n" + "".join(f"    {line}\n" for line in lines) + "}\n\n" + 'main "$@"\n'

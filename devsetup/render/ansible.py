"""A plan as an Ansible playbook: the same primitives as tasks, for one machine or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup import lower
from devsetup.render.body import form_of, name_of
from devsetup.render.shell import functions, manager_of, system_of
from devsetup.render.tasks import Task, Tasks, Texts, function, literal
from devsetup.render.words import comment
from devsetup.render.yamltext import Node, Verbatim, emit
from devsetup.steps import SystemPackages

if TYPE_CHECKING:
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan

_HEADER = """\
# {what}
#
# Plan {digest}
# made by devsetup for {system}. On this machine, or on those of an inventory:
#
#     ansible-playbook -c local THIS_FILE
#     ansible-playbook -i INVENTORY -e target=GROUP THIS_FILE
#
#     -e devsetup_home=DIR      another place than ~/.local/share/devsetup
#     -e devsetup_force=true    go on although a machine is not the one that the plan was made for
#
# Needs ansible-core 2.19 or newer. What is installed already is left alone: a second run changes nothing. devsetup
# itself will not know the install (it has no receipt). `--check` cannot look further than the first command.
---
"""
# Functions that only the playbook calls, each as `sh FILE NAME ARGUMENT...`.
_ENTRY = r"""
# start KEY MEGABYTES: begin a part; says whether there is anything to do, and with how many jobs
start() {
    part "$1" "$2"
    enter
    printf '%s %s\n' "$fresh" "$JOBS"
}

# missing NAME...: which packages are not installed
missing() {
    for name in "$@"; do
        installed "$name" || printf '%s\n' "$name"
    done
}

# verified SHA256 FILE
verified() {
    [ "$(sha256 "$2")" = "$1" ] || die "$2 has another sha256: expected $1, got $(sha256 "$2")"
}

# obtain_debian: as from_debian, from the cache if it is there
obtain_debian() {
    cached "$2" "$3" "$4" || from_debian "$@" || die "no source could be had:$reasons"
}

# obtain_pypi: as from_pypi, from the cache if it is there
obtain_pypi() {
    cached "$2" "$3" "$4" || from_pypi "$@" || die "no source could be had:$reasons"
}

"$@"
"""
# What Ansible calls the systems whose os-release says otherwise.
_DISTRIBUTIONS = {"macos": "macosx", "arch": "archlinux", "rhel": "redhat"}
_DATA_HOME = "{{ ansible_facts.env.XDG_DATA_HOME | default(ansible_facts.env.HOME ~ '/.local/share', true) }}/devsetup"


def ansible(plan: Plan) -> str:
    """The playbook.

    Raises:
        CannotRender: a step that Ansible cannot carry out.
    """
    what = "; ".join(f"{part.name} {part.version}: {part.summary}" for part in plan.parts if part.key in plan.wanted)
    facts = plan.facts
    tasks: list[Node] = [_same_machine(facts), *_functions(plan), *_packages(plan)]
    tasks += [_part(number, part) for number, part in enumerate(plan.parts, 1)]
    play: Node = {
        "name": literal(comment(what)),
        "hosts": "{{ target | default('localhost') }}",
        "vars": {
            "devsetup_home": "{{ ansible_facts.env.DEVSETUP_HOME | default(devsetup_data_home, true) }}",
            "devsetup_data_home": _DATA_HOME,
            "devsetup_functions": f"{{{{ devsetup_home }}}}/scripts/{plan.digest[:8]}.sh",
            "devsetup_force": False,
        },
        "environment": {"DEVSETUP_HOME": "{{ devsetup_home }}"},
        "tasks": tasks,
    }
    header = _HEADER.format(what=comment(what), digest=plan.digest, system=comment(system_of(facts)))
    return header + emit([play])


def _same_machine(facts: Facts) -> Task:
    distribution = _DISTRIBUTIONS.get(facts.os.id, facts.os.id)
    conditions: list[Node] = [
        "ansible_facts.distribution | lower == devsetup_system.distribution",
        "ansible_facts.architecture == devsetup_system.architecture",
    ]
    if facts.os.version:
        conditions.append("(ansible_facts.distribution_version ~ '.').startswith(devsetup_system.version ~ '.')")
    return {
        "name": "the machine is the one that the plan was made for",
        "ansible.builtin.assert": {
            "that": conditions,
            "fail_msg": literal(f"planned for {system_of(facts)}; -e devsetup_force=true goes on anyway"),
            "quiet": True,
        },
        "when": "not (devsetup_force | bool)",
        "vars": {
            "devsetup_system": {
                "distribution": Verbatim(distribution),
                "version": Verbatim(facts.os.version),
                "architecture": Verbatim(facts.arch),
            }
        },
    }


def _functions(plan: Plan) -> list[Node]:
    text = "set -eu\numask 022\n" + functions(plan) + _ENTRY
    directory: Node = {"path": "{{ devsetup_home }}/scripts", "state": "directory", "mode": "0755"}
    written: Node = {"dest": "{{ devsetup_functions }}", "content": Verbatim(text), "mode": "0644"}
    return [
        {"name": "a directory for shell functions", "ansible.builtin.file": directory},
        {"name": "the shell functions that tasks below call", "ansible.builtin.copy": written},
    ]


def _packages(plan: Plan) -> list[Node]:
    names: list[Node] = [*sorted({name for part in plan.parts for name in part.packages})]
    if not names:
        return []
    manager = manager_of(plan)
    asked: Task = {
        "name": "which system packages are missing",
        "ansible.builtin.command": function(["missing", *names]),
        "register": "devsetup_missing",
        "changed_when": False,
    }
    installed = [
        {
            "name": f"system packages ({manager})",
            **module,
            "when": "devsetup_missing.stdout_lines | length > 0",
            **({} if manager == "brew" else {"become": "{{ ansible_facts.user_id != 'root' }}"}),
        }
        for module in _installing(manager)
    ]
    return [asked, *installed]


def _installing(manager: str) -> list[Task]:
    """The module that installs `devsetup_missing`, or the commands where Ansible's core has none."""
    names = "{{ devsetup_missing.stdout_lines }}"
    if manager == "apt":
        arguments: Node = {"name": names, "update_cache": True, "install_recommends": False}
        return [{"ansible.builtin.apt": arguments}]
    if manager == "dnf":
        return [{"ansible.builtin.dnf": {"name": names, "install_weak_deps": False}}]
    commands = [list(command.argv) for command in lower.install_commands(manager, ())]
    return [
        {"ansible.builtin.command": {"argv": f"{{{{ {argv!r} + devsetup_missing.stdout_lines }}}}"}}
        for argv in commands
    ]


def _part(number: int, part: Part) -> Task:
    register = f"devsetup_part_{number}"
    variables = {**form_of(part).variables, "ARTIFACTS": "ARTIFACTS"}
    tasks = Tasks(variables, number)
    steps: list[Node] = [
        task for step in part.steps if not isinstance(step, SystemPackages) for task in tasks.of_step(step)
    ]
    removed: Node = {
        "name": "remove the build tree; proofs must pass without it",
        "ansible.builtin.file": {"path": "{{ BUILD }}", "state": "absent"},
    }
    proofs: list[Node] = [task for index, proof in enumerate(part.proofs, 1) for task in tasks.of_proof(proof, index)]
    complete: Node = {
        "name": "it has proved itself",
        "ansible.builtin.copy": {"dest": "{{ ARTIFACTS }}/by-script", "content": "complete\n", "mode": "0644"},
    }
    begun: Task = {
        "name": literal(f"begin {part.key}"),
        "ansible.builtin.command": function(["start", part.key, str(part.memory_per_job_mb)]),
        "register": register,
        "changed_when": f"{register}.stdout is match('yes')",
    }
    build: Node = {
        "name": literal(f"build and prove {part.key}"),
        "when": f"{register}.stdout is match('yes')",
        "block": [*steps, removed, *proofs, complete],
    }
    return {
        "name": literal(f"{part.name} {part.version}"),
        "vars": _places(part, register),
        "block": [begun, build, *_told(part, variables)],
    }


def _places(part: Part, register: str) -> dict[str, Node]:
    needs: dict[str, Node] = {
        variable: f"{{{{ devsetup_home }}}}/store/{key}"
        for key, variable in ((key, form_of(part).variables[f"PREFIX:{name_of(key)}"]) for key in part.needs)
    }
    return {
        "PREFIX": f"{{{{ devsetup_home }}}}/store/{part.key}",
        "BUILD": f"{{{{ devsetup_home }}}}/build/{part.key}",
        "ARTIFACTS": f"{{{{ devsetup_home }}}}/receipts/{part.key}",
        "JOBS": f"{{{{ {register}.stdout.split()[1] }}}}",
        **needs,
    }


def _told(part: Part, variables: dict[str, str]) -> list[Node]:
    if not part.activation:
        return []
    texts = Texts(variables)
    lines: list[Node] = [
        texts.fill(f"export {env.name}={env.value}" + ("" if env.mode == "set" else f"${{{env.name}:+:${env.name}}}"))
        for env in part.activation
    ]
    return [texts.task(f"to use {part.name}", "ansible.builtin.debug", {"msg": lines})]

"""A plan as one Containerfile: self-contained, in the old plain syntax that every builder takes.

No here-documents, no build context, no mounts. Files travel as base64; the shell functions of the script are one of
them. Each step is a layer of its own, so that a build that failed goes on where it stopped; a changed recipe begins its
part anew, since the digest is in the path of the prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.errors import CannotRender
from devsetup.render.body import beginning, form_of, proof_lines, proof_title, sources_of, step_lines
from devsetup.render.shell import functions, machine_line, manager_of, packages_line, system_of
from devsetup.render.words import chunks, comment, pieces, quote
from devsetup.steps import ApplyPatch, Env, Fetch, LocalSource, Step, UrlSource, title

if TYPE_CHECKING:
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan

_HOME = "/opt/devsetup"
_FUNCTIONS = f"{_HOME}/functions.sh"
_HEADER = """\
# {what}
#
# Plan {digest}
# made by devsetup for {system}. It needs no build context:
#
#     buildah bud -t NAME -f THIS_FILE .        (or podman build, docker build)
#
#     --build-arg BASE=IMAGE          another image of the same system
#     --build-arg DEVSETUP_JOBS=N     compile jobs; the default is one per core, as far as memory allows
#     --build-arg DEVSETUP_FORCE=1    go on although BASE is not the system that the plan was made for
#
# The build runs every proof in the finished image, and fails with the first that fails.
ARG BASE={base}
"""
# Defined beside the script's functions: what one line of a Containerfile cannot hold.
_LINE_BREAKS = "set -eu\numask 022\ncarriage_return=$(printf '\\r')\nexport carriage_return\n"


def containerfile(plan: Plan) -> str:
    """The Containerfile.

    Raises:
        CannotRender: the plan is for macOS, or a step cannot be carried out while an image is built.
    """
    _check(plan)
    lines = [_header(plan.facts, plan), "FROM ${BASE} AS system", "ARG DEVSETUP_FORCE=", f"ENV DEVSETUP_HOME={_HOME}"]
    lines += ["", "# The functions that the steps below call", *_file(_LINE_BREAKS + functions(plan), _FUNCTIONS)]
    lines += ["", "# The machine, and system packages"]
    lines += [_run([machine_line(plan.facts), *_without_indexes(packages_line(plan), plan)])]
    lines += ["", "FROM system AS build", "ARG DEVSETUP_JOBS=", *_downloader(plan)]
    for part in plan.parts:
        lines += _built(part)
    lines += ["", "FROM system", f"COPY --from=build {_HOME}/store {_HOME}/store"]
    for part in plan.parts:
        lines += _proved(part)
        lines += [_activation(env, part) for env in part.activation]
    return "\n".join(lines) + "\n"


def _check(plan: Plan) -> None:
    if plan.facts.os.id == "macos":
        raise CannotRender("a container runs Linux, and this plan is for macOS", "plan with `--on` a Linux host")
    for source in sources_of(plan):
        if isinstance(source, LocalSource):
            raise CannotRender(f"{source.path} is on this machine, and an image is built without a context")


def _header(facts: Facts, plan: Plan) -> str:
    what = "; ".join(f"{part.name} {part.version}: {part.summary}" for part in plan.parts if part.key in plan.wanted)
    base = f"{facts.os.id}:{facts.os.version or facts.os.codename or 'latest'}"
    return _HEADER.format(what=comment(what), digest=plan.digest, system=comment(system_of(facts)), base=base)


def _file(text: str, path: str) -> list[str]:
    """A RUN that writes a file from base64."""
    coded = " \\\n    ".join(chunks(text))
    return [f"RUN mkdir -p {_HOME} && printf '%s' \\\n    {coded} \\\n    | base64 -d >{path}"]


def _run(statements: list[str]) -> str:
    """A RUN with the functions at hand."""
    lines = [f". {_FUNCTIONS}", *statements]
    joined = "".join(f"{line} \\\n    " if line.endswith("{") else f"{line}; \\\n    " for line in lines[:-1])
    return f"RUN {joined}{lines[-1]}"


def _without_indexes(line: list[str], plan: Plan) -> list[str]:
    """Install packages, and leave apt's indexes out of the layer."""
    return [*line, "rm -rf /var/lib/apt/lists/*"] if line and manager_of(plan) == "apt" else line


def _downloader(plan: Plan) -> list[str]:
    """A bare image can fetch no URL. What does it stays in this stage, and out of the finished image."""
    urls = any(isinstance(source, UrlSource) for source in sources_of(plan))
    if not (urls and manager_of(plan)):
        return []
    return ["", "# To fetch sources", _run(_without_indexes(["packages ca-certificates curl"], plan))]


def _built(part: Part) -> list[str]:
    lines = []
    begun = ["enter"]
    form = form_of(part, one_line=True)
    for group in _groups(part):
        named = [(title(step), step_lines(step, form)) for step in group]
        statements = [each for name, own in named if own for each in (f"begin {quote(comment(name))}", *own)]
        if statements:
            lines += ["", f"# {_about(group)}", _run([*beginning(part), *begun, *statements])]
            begun = []
    return lines


def _groups(part: Part) -> list[list[Step]]:
    """Steps that make one layer: all patches in a row, a source with its unpacking, else each by itself."""
    groups: list[list[Step]] = []
    for step in part.steps:
        before = groups[-1][-1] if groups else None
        together = isinstance(step, ApplyPatch) and isinstance(before, ApplyPatch)
        if together or isinstance(before, Fetch):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _about(group: list[Step]) -> str:
    first = comment(title(group[0]))
    return first if len(group) == 1 else f"{first}, and {len(group) - 1} more"


def _proved(part: Part) -> list[str]:
    form = form_of(part, one_line=True)
    statements = [
        each
        for proof in part.proofs
        for each in (f"begin {quote(comment(proof_title(proof)))}", *proof_lines(proof, form))
    ]
    return ["", f"# Prove {comment(part.name)}", _run([*beginning(part), *statements])] if statements else []


def _activation(env: Env, part: Part) -> str:
    places = {"PREFIX": part.key, **{f"NEED_{number}": key for number, key in enumerate(part.needs, 1)}}
    variables = form_of(part).variables
    value = "".join(
        f"{_HOME}/store/{places[name]}" if name in places else _escaped(text)
        for text, name in pieces(env.value, {place: name for place, name in variables.items() if name in places})
    )
    rest = f"${{{env.name}:+:${env.name}}}" if env.mode == "prepend" else ""
    return f'ENV {env.name}="{value}{rest}"'


def _escaped(text: str) -> str:
    """Text between the double quotes of an ENV instruction."""
    if "\n" in text or "\r" in text:
        raise CannotRender(f"an ENV instruction cannot hold a line break: {text[:60]!r}")
    for special in '\\"$':
        text = text.replace(special, f"\\{special}")
    return text

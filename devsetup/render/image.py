"""A plan as the build context of a CI image: a Containerfile in the old plain syntax, and the files that it copies.

Stages: one for each recipe, each on top of the one before, so that a change in one leaves all earlier layers as they
are; then the image itself, which gets from each stage the prefix and the list of system packages that using it needs.
Each recipe is proved there, by an unprivileged user, right after it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup import plan as plan_module
from devsetup.errors import CannotRender
from devsetup.lower import lower
from devsetup.proofs import Check, Import, LinkClosure, Proof, Workload
from devsetup.render.body import beginning, form_of, sources_of
from devsetup.render.instructions import (
    FUNCTIONS,
    HOME,
    LINE_BREAKS,
    activation,
    escaped,
    proof_statements,
    run,
    step_runs,
    without_indexes,
)
from devsetup.render.inventory import INVENTORY
from devsetup.render.runtime import runtime_functions
from devsetup.render.shell import every_function, machine_line, manager_of, system_of
from devsetup.render.words import comment, quote
from devsetup.steps import LocalSource, Step, UrlSource, WriteFile, has_places

if TYPE_CHECKING:
    from devsetup.plan import Part, Plan

USER = 1000
ARCHIVE = "base.tar"  # of a base that is no image yet
_OFFLINE = f"ENV PIP_NO_INDEX=1 PIP_FIND_LINKS={HOME}/downloads/wheels"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEADER = """\
# {what}
#
# Plan {digest}
# made by devsetup for {system}. Build it with this directory as its context:
#
#     buildah bud --layers -t NAME .        (or podman build, docker build)
#
# Every proof runs in the finished image, as user {user}; the build fails with the first that fails.
"""
# ENV says the same to those who start the image as it is; this is for shells that clean their environment, as login
# shells do.
_ENTRY = """\
#!/bin/sh
# Run a command with what this image has installed.
. {home}/activate
exec "$@"
"""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is besides its plan.

    Attributes:
        base: reference of the image to start from (`debian:12@sha256:...`); empty for the archive `base.tar`.
        labels: annotations of the finished image, by their full names.
        vendored: the context holds the sources as `sources/SHA256/FILE`, and Python packages in `wheels/`.
    """

    base: str
    labels: dict[str, str]
    vendored: bool = False


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction.

    Attributes:
        stage: of the Containerfile.
        part: name of the recipe that it belongs to; empty for what all share.
        about: what it does, in words.
        text: as it stands in the Containerfile.
    """

    stage: str
    part: str = ""
    about: str
    text: str


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A build context.

    Attributes:
        header: comment lines above the first stage.
        instructions: in order, of all stages.
        files: relative path to text, besides the Containerfile; executable where it begins with `#!`.
    """

    header: str
    instructions: tuple[Instruction, ...]
    files: dict[str, str]

    @property
    def containerfile(self) -> str:
        """The Containerfile."""
        lines = [self.header]
        for each in self.instructions:
            start = each.text.startswith("FROM ")
            lines.append(f"\n# {comment(each.about)}\n{each.text}\n" if start or each.about else f"{each.text}\n")
        return "".join(lines)


def image(plan: Plan, look: Look) -> Context:
    """The build context.

    Raises:
        CannotRender: the plan is for macOS, or a step cannot be carried out while an image is built.
    """
    _check(plan)
    drawn = _Drawn(plan, look)
    what = "; ".join(f"{part.name} {part.version}: {part.summary}" for part in plan.parts if part.key in plan.wanted)
    header = _HEADER.format(what=comment(what), digest=plan.digest, system=comment(system_of(plan.facts)), user=USER)
    return Context(header=header, instructions=(*drawn.base(), *drawn.stages(), *drawn.final()), files=drawn.files)


def prefix_of(part: Part) -> str:
    """Where a part lives in the image."""
    return f"{HOME}/store/{part.key}"


def _check(plan: Plan) -> None:
    if plan.facts.os.id == "macos":
        raise CannotRender("a container runs Linux, and this plan is for macOS", "choose a Linux base")
    for source in sources_of(plan):
        if isinstance(source, LocalSource):
            raise CannotRender(f"{source.path} is on this machine, and an image must be built from sources by name")


class _Drawn:
    """Instructions and files of one image."""

    def __init__(self, plan: Plan, look: Look) -> None:
        self.plan = plan
        self.look = look
        self.manager = manager_of(plan) or plan.facts.package_manager
        functions = LINE_BREAKS + every_function(self.manager) + runtime_functions(self.manager) + INVENTORY
        self.files = {
            "functions.sh": functions,
            "activate": _activate(plan),
            "enter": _ENTRY.format(home=HOME),
            "plan.json": plan_module.to_json(plan).decode() + "\n",
        }

    def base(self) -> list[Instruction]:
        system = f"The system: {system_of(self.plan.facts)}"
        if self.look.base:
            return [
                Instruction(stage="base", about=system, text=f"FROM {self.look.base} AS base"),
                Instruction(stage="base", about="", text="USER 0:0"),
            ]
        return [
            Instruction(stage="base", about=system, text="FROM scratch AS base"),
            Instruction(stage="base", about="", text=f"ADD {ARCHIVE} /"),
            Instruction(stage="base", about="", text=f"ENV PATH={_PATH}"),
        ]

    def stages(self) -> list[Instruction]:
        """Where recipes are built."""
        made = [
            Instruction(stage="tools", about="What building needs", text="FROM base AS tools"),
            Instruction(stage="tools", about="", text=f"ENV DEVSETUP_HOME={HOME}"),
            Instruction(stage="tools", about="", text=f"COPY functions.sh {FUNCTIONS}"),
            Instruction(stage="tools", about="The machine", text=run(self._tools())),
        ]
        before = "tools"
        for part in self.plan.parts:
            made += self._stage(part, before)
            before = _stage_name(part)
        return made

    def _tools(self) -> list[str]:
        """A bare image can fetch no URL. What does it stays in these stages."""
        urls = any(isinstance(source, UrlSource) for source in sources_of(self.plan))
        packages = ["packages ca-certificates curl"] if urls and self.manager and not self.look.vendored else []
        return [machine_line(self.plan.facts), "lean", *without_indexes(packages, self.manager)]

    def _stage(self, part: Part, before: str) -> list[Instruction]:
        name = _stage_name(part)

        def line(text: str, about: str = "") -> Instruction:
            return Instruction(stage=name, part=part.name, about=about, text=text)

        made = [line(f"FROM {before} AS {name}", f"Build {part.name} {part.version}: {part.summary}")]
        if part.packages:
            packages = " ".join(map(quote, sorted(part.packages)))
            made.append(line(run(without_indexes([f"packages {packages}"], self.manager)), "system packages"))
        carried = self._carried(part)
        if carried:
            made.append(line(f"COPY parts/{part.name} {HOME}/parts/{part.name}"))
        if self.look.vendored:
            made += [line(f"COPY vendor/{part.name} {HOME}/downloads"), line(_OFFLINE)]
        form = msgspec.structs.replace(form_of(part, one_line=True), carried=carried)
        made += [line(text, about) for about, text in step_runs(part, form)]
        used = " ".join(map(quote, _named(part)))
        lines = [*beginning(part), f"runtime {quote(' '.join(sorted(part.packages)))} {used}".rstrip(), "built_part"]
        return [*made, line(run(lines), "what using it needs")]

    def _carried(self, part: Part) -> dict[str, str]:
        """The texts that steps write as they are: they become files of the context. Text to its place in the image."""
        places: dict[str, str] = {}
        for number, step in enumerate(part.steps):
            for text, name in _texts(step):
                if text not in places:
                    file = f"parts/{part.name}/{number:02d}-{name}"
                    places[text] = f"{HOME}/{file}"
                    self.files[file] = text
        return places

    def final(self) -> list[Instruction]:
        """The image."""

        def line(text: str, about: str = "", part: str = "") -> Instruction:
            return Instruction(stage="image", part=part, about=about, text=text)

        made = [
            line("FROM base AS image", "The image: prefixes, and the packages that using them needs"),
            line(f"ENV DEVSETUP_HOME={HOME}"),
            line(f"COPY functions.sh {FUNCTIONS}"),
            line(run(["lean", f"user {USER} devsetup", "tidy"]), f"user {USER}, for whoever runs the image"),
        ]
        for part in self.plan.parts:
            place = prefix_of(part)
            stage, list_file = _stage_name(part), f"{HOME}/runtime/{part.key}"
            made.append(line(f"COPY --from={stage} {list_file} {list_file}", f"{part.name} {part.version}", part.name))
            if self.manager:
                made.append(line(run([f"use {quote(part.key)}", "tidy"]), "its packages", part.name))
            made.append(line(f"COPY --from={stage} {place} {place}", "its prefix", part.name))
            variables = " \\\n    ".join(activation(env, part) for env in part.activation)
            made += [line(f"ENV {variables}", part=part.name)] if variables else []
            if statements := proof_statements(part):
                proved = run([*beginning(part), "proving", *statements, "proved"])
                made += [
                    line(f"USER {USER}:{USER}", part=part.name),
                    line(proved, f"prove {part.name}", part.name),
                    line("USER 0:0", part=part.name),
                ]
        keys = " ".join(part.key for part in self.plan.parts)
        labels = " \\\n    ".join(f'{name}="{escaped(text)}"' for name, text in sorted(self.look.labels.items()))
        return [
            *made,
            line(run([f"inventory {HOME}/inventory", "tidy"]), "what is in the image"),
            line(f"COPY plan.json activate enter {HOME}/"),
            line(f'ENV DEVSETUP_PLAN="{self.plan.digest}" \\\n    DEVSETUP_INSTALLED="{keys}"'),
            line(f"LABEL {labels}") if labels else line("USER 0:0"),
            line(f"USER {USER}:{USER}"),
            line(f'ENTRYPOINT ["{HOME}/enter"]'),
            line('CMD ["/bin/sh"]'),
        ]


def _stage_name(part: Part) -> str:
    return f"build-{part.name}"


def _texts(step: Step) -> list[tuple[str, str]]:
    """The texts that a step writes, with names for them; those with places are filled while they are written."""
    writes = [primitive for primitive in lower(step) if isinstance(primitive, WriteFile)]
    return [(each.content, each.path.rpartition("/")[2]) for each in writes if not has_places(each.content)]


def _named(part: Part) -> list[str]:
    """Programs and files of the system that the proofs name: what a user of the install will call too."""
    words = [word for proof in part.proofs for word in _words(proof)]
    return list(dict.fromkeys(word for word in words if not has_places(word)))


def _words(proof: Proof) -> tuple[str, ...]:
    match proof:
        case LinkClosure(paths=paths):
            return paths
        case Import(python=python):
            return (python,)
        case Check(argv=argv) | Workload(argv=argv):
            return (argv[0], *(word for word in argv[1:] if word.startswith("/")))


def _activate(plan: Plan) -> str:
    """Shell code that sets what the image's ENV sets, and changes nothing where it is set already."""
    lines = ["# sh: what is installed here, in the environment"]
    for part in plan.parts:
        for env in part.activation:
            name, _, value = activation(env, part).partition("=")
            bare = value.strip('"').removesuffix(f"${{{name}:+:${name}}}")
            if env.mode == "set":
                lines.append(f'export {name}="{bare}"')
            else:
                lines.append(f'case ":${{{name}-}}:" in *":{bare}:"*) ;; *) export {name}={value} ;; esac')
    return "\n".join(lines) + "\n"

"""A plan as one Containerfile: self-contained, in the old plain syntax that every builder takes.

No here-documents, no build context, no mounts. Files travel as base64; the shell functions of the script are one of
them. Each step is a layer of its own, so that a build that failed goes on where it stopped; a changed recipe begins its
part anew, since the digest is in the path of the prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.errors import CannotRender
from devsetup.render.body import beginning, form_of, sources_of
from devsetup.render.instructions import (
    FUNCTIONS,
    HOME,
    LINE_BREAKS,
    activation,
    proof_statements,
    run,
    step_runs,
    without_indexes,
)
from devsetup.render.shell import functions, machine_line, manager_of, packages_line, system_of
from devsetup.render.words import chunks, comment
from devsetup.steps import LocalSource, UrlSource

if TYPE_CHECKING:
    from devsetup.facts import Facts
    from devsetup.plan import Part, Plan

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


def containerfile(plan: Plan) -> str:
    """The Containerfile.

    Raises:
        CannotRender: the plan is for macOS, or a step cannot be carried out while an image is built.
    """
    _check(plan)
    lines = [_header(plan.facts, plan), "FROM ${BASE} AS system", "ARG DEVSETUP_FORCE=", f"ENV DEVSETUP_HOME={HOME}"]
    lines += ["", "# The functions that the steps below call", *_file(LINE_BREAKS + functions(plan), FUNCTIONS)]
    lines += ["", "# The machine, and system packages"]
    lines += [run([machine_line(plan.facts), *without_indexes(packages_line(plan), manager_of(plan))])]
    lines += ["", "FROM system AS build", "ARG DEVSETUP_JOBS=", *_downloader(plan)]
    for part in plan.parts:
        lines += _built(part)
    lines += ["", "FROM system", f"COPY --from=build {HOME}/store {HOME}/store"]
    for part in plan.parts:
        lines += _proved(part)
        lines += [f"ENV {activation(env, part)}" for env in part.activation]
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
    return [f"RUN mkdir -p {HOME} && printf '%s' \\\n    {coded} \\\n    | base64 -d >{path}"]


def _downloader(plan: Plan) -> list[str]:
    """A bare image can fetch no URL. What does it stays in this stage, and out of the finished image."""
    urls = any(isinstance(source, UrlSource) for source in sources_of(plan))
    if not (urls and manager_of(plan)):
        return []
    packages = without_indexes(["packages ca-certificates curl"], manager_of(plan))
    return ["", "# To fetch sources", run(packages)]


def _built(part: Part) -> list[str]:
    runs = step_runs(part, form_of(part, one_line=True))
    return [line for about, text in runs for line in ("", f"# {about}", text)]


def _proved(part: Part) -> list[str]:
    statements = proof_statements(part)
    return ["", f"# Prove {comment(part.name)}", run([*beginning(part), *statements])] if statements else []

"""A part's steps and proofs as calls of the shell functions: what the script and the Containerfile share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from devsetup import lower
from devsetup.errors import CannotRender
from devsetup.proofs import Check, Import, LinkClosure, Proof, Workload
from devsetup.render.regex import extended
from devsetup.render.words import assignment, check_variable, chunks, heredoc, pieces, quote, word
from devsetup.steps import (
    Command,
    DebianSource,
    Env,
    Extract,
    Guard,
    Guarded,
    LocalSource,
    Obtain,
    PackagesInstalled,
    PatchApplied,
    PathExists,
    Primitive,
    PyPISource,
    Source,
    Step,
    SystemPackages,
    UrlSource,
    WriteFile,
)

if TYPE_CHECKING:
    from devsetup.plan import Part, Plan

_UNUSUAL = re.compile(r"[^A-Za-z0-9._+~-]+")
_CONTINUED = " \\\n        "
_MAX_NAME = 200  # leaves room for a suffix in 255 bytes


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a part is written.

    Attributes:
        variables: place to shell variable.
        obtained: name of a Fetch step to its number in the part.
        one_line: every statement is one line, as a Containerfile needs it.
        carried: texts without places to the files that hold them where the statements run.
    """

    variables: dict[str, str]
    obtained: dict[str, int]
    one_line: bool
    carried: dict[str, str] = {}

    def word(self, text: str) -> str:
        """One shell word."""
        return word(text, self.variables, one_line=self.one_line)

    def words(self, argv: tuple[str, ...]) -> str:
        """Shell words, separated by spaces."""
        return " ".join(map(self.word, argv))


def form_of(part: Part, *, one_line: bool = False) -> Form:
    """How this part is written. `NEED_1` is the prefix of the first part that it needs, and so on."""
    needs = {f"PREFIX:{name_of(key)}": f"NEED_{number}" for number, key in enumerate(part.needs, 1)}
    names = [primitive.name for step in part.steps for primitive in lower.lower(step) if isinstance(primitive, Obtain)]
    return Form(
        variables={"PREFIX": "PREFIX", "BUILD": "BUILD", "JOBS": "JOBS", **needs},
        obtained={name: number for number, name in enumerate(dict.fromkeys(names), 1)},
        one_line=one_line,
    )


def name_of(key: str) -> str:
    """The recipe's name in a part's key."""
    return key.rsplit("-", 2)[0]


def beginning(part: Part) -> list[str]:
    """Statements that set the part's places."""
    needs = [f"NEED_{number}=$home/store/{quote(key)}" for number, key in enumerate(part.needs, 1)]
    exports = [f"export {' '.join(f'NEED_{number}' for number in range(1, len(needs) + 1))}"] if needs else []
    return [f"part {quote(part.key)} {part.memory_per_job_mb}", *needs, *exports]


def step_lines(step: Step, form: Form) -> list[str]:
    """The statements that carry out a step; none for what is done before (system packages) or after (activation).

    Raises:
        CannotRender: the shell cannot express it.
    """
    if isinstance(step, SystemPackages):
        return []
    return [line for primitive in lower.lower(step) for line in _primitive(primitive, form)]


def _primitive(primitive: Primitive, form: Form) -> list[str]:
    match primitive:
        case Command():
            return [_command(primitive, form)]
        case Obtain():
            return _obtain(primitive, form)
        case Extract(name=name, into=into):
            if name not in form.obtained:
                raise CannotRender(f"the plan unpacks {name!r}, which it never fetches")
            return [f"unpack {form.obtained[name]} {form.word(into)}"]
        case WriteFile():
            return _write(primitive, form)
        case Env():
            return []
        case Guarded(unless=guard, then=then):
            inner = [line for each in then for line in _primitive(each, form)]
            indented = inner if form.one_line else [_indented(line) for line in inner]
            return [f"{_guard(guard, form)} || {{", *indented, "}"]


def _indented(line: str) -> str:
    """Only the first line: what follows belongs to a text."""
    return f"    {line}"


def check_command(command: Command) -> None:
    """Refuse a command that env(1) or a shell would take for something else.

    Raises:
        CannotRender: it names no program or an impossible variable, or needs root in the middle of a part.
    """
    if not command.argv or "=" in command.argv[0]:
        raise CannotRender(f"env(1) would take {' '.join(command.argv[:1])!r} for a variable, not for a program")
    if command.privileged:
        raise CannotRender(f"only system packages may be installed as root, and {command.argv[0]} is another command")
    for name, _ in command.env:
        check_variable(name)


def _command(command: Command, form: Form) -> str:
    check_command(command)
    env = [assignment(name, value, form.variables, one_line=form.one_line) for name, value in command.env]
    where = form.word(command.cwd) if command.cwd else "."
    return " ".join(("run", where, str(len(env)), *env, form.words(command.argv)))


def _guard(guard: Guard, form: Form) -> str:
    match guard:
        case PathExists(path=path):
            return f"exists {form.word(path)}"
        case PatchApplied(patch=patch, tree=tree):
            return f"holds {form.words(lower.patch_command(tree, patch, '--reverse', '--dry-run'))}"
        case PackagesInstalled():
            raise CannotRender("packages are asked for before anything else, not in the middle of a part")


def _write(step: WriteFile, form: Form) -> list[str]:
    path = form.word(step.path)
    parts = pieces(step.content, form.variables)
    literal = all(not name for _, name in parts)
    if step.content in form.carried:
        written = f"put {path} <{quote(form.carried[step.content])}"
    elif form.one_line:
        shown = [f'printf %s "${name}"' if name else f"decode {_CONTINUED.join(chunks(text))}" for text, name in parts]
        written = f"{{ {'; '.join(shown or [':'])}; }} | put {path}"
    elif literal and step.content.endswith("\n"):
        written = f"put {path} {heredoc(step.content)}"
    else:
        written = f"printf %s {form.word(step.content)} | put {path}"
    return [written, f"chmod 755 {path}"] if step.executable else [written]


def _obtain(obtain: Obtain, form: Form) -> list[str]:
    for source in obtain.sources:
        check_source(source)
    cached = [f"cached {_kept(source)}" for source in obtain.sources if not isinstance(source, LocalSource)]
    tried = [_tried(source, form) for source in obtain.sources]
    tried.append(f"no_source {quote(obtain.name)} {_by_hand(obtain.sources)}")
    either = " || " if form.one_line else " ||\n        "
    return [either.join((*cached, *tried)), f"keep {form.obtained[obtain.name]}"]


def _by_hand(sources: tuple[Source, ...]) -> str:
    """The way that is left when no source can be had, as a shell word."""
    source = next((each for each in sources if not isinstance(each, LocalSource)), None)
    if source is None:
        return quote("plan again with --source PATH")
    match source:
        case UrlSource(url=url):
            whence = url
        case DebianSource(file=file, package=package):
            whence = f"{file} of Debian's {package}"
        case PyPISource(file=file, package=package):
            whence = f"{file} of the Python package {package}"
    place = f"/downloads/{source.sha256}/{file_of(source)}"
    return quote(f"by hand, download {whence} to ") + f'"$home"{quote(place)}'


def sources_of(plan: Plan) -> tuple[Source, ...]:
    """Every source that a step of the plan may fetch."""
    primitives = (primitive for part in plan.parts for step in part.steps for primitive in lower.lower(step))
    return tuple(source for each in primitives if isinstance(each, Obtain) for source in each.sources)


def check_source(source: Source) -> None:
    """Refuse a source that only devsetup itself can unpack.

    Raises:
        CannotRender: a tree, or a zip archive.
    """
    if isinstance(source, LocalSource) and source.tree:
        raise CannotRender(f"the source tree {source.path} cannot be carried along", "give a tarball with --source")
    if file_of(source).endswith(".zip"):
        raise CannotRender(f"source {source.id} is a zip archive, which tar cannot unpack")


def file_of(source: Source) -> str:
    """What a source's file is called in the download cache, or its whole path when it is the user's own."""
    match source:
        case LocalSource(path=path):
            return path
        case DebianSource(file=file) | PyPISource(file=file):
            name = file
        case UrlSource(url=url):
            name = re.split("[?#]", url)[0].rsplit("/", 1)[-1]
    return _UNUSUAL.sub("_", name).lstrip(".")[-_MAX_NAME:] or "source"


def _kept(source: Source) -> str:
    return f"{quote(source.sha256)} {quote(file_of(source))} {source.strip}"


def _tried(source: Source, form: Form) -> str:
    known = f"{quote(source.id)} {_kept(source)}"
    match source:
        case UrlSource(url=url):
            return f"from_url {known} {quote(url)}"
        case DebianSource(package=package, version=version, suite=suite):
            return f"from_debian {known} {quote(package)} {quote(version)} {quote(suite)}"
        case PyPISource(package=package, version=version, python=python):
            return f"from_pypi {known} {quote(package)} {quote(version)} {form.word(python)}"
        case LocalSource():
            return f"from_path {known}"


def proof_title(proof: Proof) -> str:
    """What a failure calls a proof."""
    match proof:
        case LinkClosure():
            return "proof: link closure"
        case Import(module=module):
            return f"proof: import {module}"
        case Check(title=title) | Workload(title=title):
            return f"proof: {title}"


def proof_lines(proof: Proof, form: Form) -> list[str]:
    """The statements that carry out a proof.

    Raises:
        CannotRender: what a check expects has no extended regular expression.
    """
    form = msgspec.structs.replace(form, variables={**form.variables, "ARTIFACTS": "ARTIFACTS"})
    match proof:
        case LinkClosure(paths=paths):
            return [f"link_closure {form.words(paths)}"]
        case Import(python=python, timeout_s=seconds):
            return [f"proof {seconds} {form.word(python)} -I -X faulthandler -c {form.word(import_code(proof))}"]
        case Check(argv=argv, expect=expect, timeout_s=seconds):
            if not expect:
                return [f"proof {seconds} {form.words(argv)}"]
            return [f"proof_output {quote(extended(expect))} {seconds} {form.words(argv)}"]
        case Workload(artifacts=artifacts, timeout_s=seconds):
            left = [f"artifact {quote(name)}" for name in artifacts]
            return ['mkdir -p "$ARTIFACTS"', f"proof {seconds} {form.words(proof.argv_at(1))}", *left]


def import_code(proof: Import) -> str:
    """What a fresh interpreter runs, as one line."""
    return f"import {proof.module}" + (f"; print({proof.show})" if proof.show else "")


def install_packages(manager: str) -> str:
    """Shell functions that install packages, and that say how to do it by hand."""
    commands = lower.install_commands(manager, ())
    lines = [_install_line(command, last=command is commands[-1]) for command in commands]
    shown = " && ".join(" ".join(map(quote, command.argv)) for command in commands)
    privileged = any(command.privileged for command in commands)
    return (
        f"\nprivileged={'yes' if privileged else 'no'}\n\n"
        "install_packages() {\n"
        + "".join(f"    {line}\n" for line in lines)
        + "}\n\n"
        + f"install_line() {{ printf '%s' {quote(shown)}; printf ' %s' \"$@\"; }}\n"
    )


def _install_line(command: Command, *, last: bool) -> str:
    env = [assignment(name, value, {}) for name, value in command.env]
    how = "as_root" if command.privileged else "run ."
    return " ".join((how, str(len(env)), *env, *map(quote, command.argv), *(['"$@"'] if last else [])))

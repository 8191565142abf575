"""A part's steps and proofs as Ansible tasks.

Modules do what modules do well (files, downloads, archives, packages). Commands run through the script's own function
for the clean environment, which the playbook puts on the target first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devsetup import lower
from devsetup.errors import CannotRender
from devsetup.proofs import Check, Import, LinkClosure, Proof, Workload
from devsetup.render.body import (
    check_command,
    check_source,
    file_of,
    import_code,
    proof_title,
)
from devsetup.render.words import comment, pieces
from devsetup.render.yamltext import Node, Verbatim
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
    UrlSource,
    WriteFile,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Task = dict[str, Node]

# What may stand beside a template without being taken for one, or changed by the template's own escapes.
_HARMLESS = re.compile(r"[^{}\\\n\r]*")
_TEMPLATE = re.compile(r"\{[{%#]")
_COMMAND = "ansible.builtin.command"


def literal(text: str) -> Node:
    """A text that stands for itself."""
    return Verbatim(text) if _TEMPLATE.search(text) else text


class Texts:
    """Fills the places of one task's texts with templates.

    Literals that a template could change are kept apart, as the task's own variables.

    Args:
        variables: place to Ansible variable.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._apart: list[Node] = []

    def fill(self, text: str) -> Node:
        """A text with places as a scalar.

        Raises:
            CannotRender: a place has no value, or the text holds a NUL.
        """
        parts = pieces(text, self._variables)
        if not any(name for _, name in parts):
            return literal(text)
        if all(_HARMLESS.fullmatch(literal_) for literal_, _ in parts):
            return "".join(f"{{{{ {name} }}}}" if name else literal_ for literal_, name in parts)
        return f"{{{{ {' ~ '.join(name or self._keep(literal_) for literal_, name in parts)} }}}}"

    def path(self, text: str) -> Node:
        """A path with places as a scalar.

        Raises:
            CannotRender: as `fill`, or Ansible would change it.
        """
        if "$" in text:
            raise CannotRender(f"Ansible expands variables in paths, and {text} has a dollar sign")
        return self.fill(text)

    def _keep(self, text: str) -> str:
        self._apart.append(Verbatim(text))
        return f"devsetup_texts[{len(self._apart) - 1}]"

    def task(self, name: str, module: str, arguments: dict[str, Node], **keywords: Node) -> Task:
        """A task with the variables that its texts need."""
        apart: Task = {"vars": {"devsetup_texts": list(self._apart)}} if self._apart else {}
        return {"name": literal(comment(name)), module: arguments, **keywords, **apart}


class Tasks:
    """Makes the tasks of a playbook.

    Args:
        variables: place to Ansible variable, of the part at hand.
        number: of the part; registered variables carry it.
    """

    def __init__(self, variables: Mapping[str, str], number: int) -> None:
        self._variables = variables
        self._number = number
        self._guards = 0
        self._obtained: dict[str, str] = {}

    def of_step(self, step: Step) -> list[Task]:
        """The tasks that carry out a step.

        Raises:
            CannotRender: Ansible cannot express it.
        """
        return [task for primitive in lower.lower(step) for task in self._primitive(primitive, title(step))]

    def _primitive(self, primitive: Primitive, name: str) -> list[Task]:
        match primitive:
            case Command():
                return [self._command(primitive, name)]
            case WriteFile():
                return self._write(primitive, name)
            case Obtain():
                return self._obtain(primitive)
            case Extract():
                return self._extract(primitive)
            case Guarded(unless=guard, then=then):
                return self._guarded(guard, then, name)
            case Env():
                return []

    def _texts(self) -> Texts:
        return Texts(self._variables)

    def _command(self, command: Command, name: str) -> Task:
        check_command(command)
        texts = self._texts()
        env = [texts.fill(f"{variable}={value}") for variable, value in command.env]
        arguments = function(["clean", *env, *map(texts.fill, command.argv)])
        if command.cwd:
            arguments["chdir"] = texts.path(command.cwd)
        return texts.task(name, _COMMAND, arguments)

    def _write(self, step: WriteFile, name: str) -> list[Task]:
        texts = self._texts()
        content = texts.fill(step.content)
        mode = "0755" if step.executable else "0644"
        written = texts.task(
            name, "ansible.builtin.copy", {"dest": texts.path(step.path), "content": content, "mode": mode}
        )
        return [self._directory(step.path.rpartition("/")[0]), written]

    def _directory(self, path: str) -> Task:
        texts = self._texts()
        arguments: dict[str, Node] = {"path": texts.path(path), "state": "directory", "mode": "0755"}
        return texts.task("its directory", "ansible.builtin.file", arguments)

    def _guarded(self, guard: Guard, then: tuple[Primitive, ...], name: str) -> list[Task]:
        self._guards += 1
        register = f"devsetup_guard_{self._number}_{self._guards}"
        texts = self._texts()
        inner: list[Node] = [task for each in then for task in self._primitive(each, name)]
        match guard:
            case PathExists(path=path):
                asked = texts.task(
                    f"{name}: is it there?", "ansible.builtin.stat", {"path": texts.path(path)}, register=register
                )
                condition = f"not {register}.stat.exists"
            case PatchApplied(patch=patch, tree=tree):
                argv = lower.patch_command(tree, patch, "--reverse", "--dry-run")
                arguments = function(["clean", *map(texts.fill, argv)])
                asked = texts.task(
                    f"{name}: is it upstream?",
                    _COMMAND,
                    arguments,
                    register=register,
                    changed_when=False,
                    failed_when=False,
                )
                condition = f"{register}.rc != 0"
            case PackagesInstalled():
                raise CannotRender("packages are asked for before anything else, not in the middle of a part")
        return [asked, {"name": literal(comment(name)), "when": condition, "block": inner}]

    def _obtain(self, obtain: Obtain) -> list[Task]:
        """Sources in order: each in the rescue of the one before. What was obtained is a fact."""
        register = f"devsetup_source_{self._number}_{len(self._obtained) + 1}"
        self._obtained[obtain.name] = register
        tried: list[Node] = []
        for source in reversed(obtain.sources):
            check_source(source)
            place = self._place(source)
            fact: dict[str, Node] = {register: {"path": place, "strip": source.strip}}
            had: list[Node] = [*self._have(source, place), {"ansible.builtin.set_fact": fact}]
            name = literal(comment(f"fetch {obtain.name}: {source.id}"))
            tried = [{"name": name, "block": had, **({"rescue": tried} if tried else {})}]
        return [task for task in tried if isinstance(task, dict)]

    @staticmethod
    def _place(source: Source) -> str:
        if isinstance(source, LocalSource):
            return f"{{{{ devsetup_home }}}}/downloads/{source.sha256}/given"
        return f"{{{{ devsetup_home }}}}/downloads/{source.sha256}/{file_of(source)}"

    def _have(self, source: Source, place: str) -> list[Task]:
        directory: Task = {
            "name": "the cache",
            "ansible.builtin.file": {"path": place.rpartition("/")[0], "state": "directory", "mode": "0755"},
        }
        match source:
            case UrlSource(url=url, sha256=sha256):
                checksum = f"sha256:{sha256}"
                arguments: dict[str, Node] = {"url": literal(url), "dest": place, "checksum": checksum, "mode": "0644"}
                return [directory, {"name": "download it", "ansible.builtin.get_url": arguments}]
            case DebianSource(package=package, version=version, suite=suite):
                known = [source.id, source.sha256, file_of(source), str(source.strip), package, version, suite]
                asked = function(["obtain_debian", *map(literal, known)])
                return [{"name": "from the Debian source package", _COMMAND: asked}]
            case PyPISource(package=package, version=version, python=python):
                texts = self._texts()
                known = [source.id, source.sha256, file_of(source), str(source.strip), package, version]
                asked = function(["obtain_pypi", *map(literal, known), texts.fill(python)])
                return [texts.task("by name, through pip", _COMMAND, asked)]
            case LocalSource(path=path, sha256=sha256):
                copied: dict[str, Node] = {"src": literal(path), "dest": place, "mode": "0644"}
                return [
                    directory,
                    {"name": "copy it to the target", "ansible.builtin.copy": copied},
                    {"name": "verify it", _COMMAND: function(["verified", sha256, place]), "changed_when": False},
                ]

    def _extract(self, extract: Extract) -> list[Task]:
        register = self._obtained.get(extract.name)
        if register is None:
            raise CannotRender(f"the plan unpacks {extract.name!r}, which it never fetches")
        texts = self._texts()
        options: list[Node] = [
            f"--strip-components={{{{ {register}.strip }}}}",
            "--no-same-owner",
            "--no-same-permissions",
        ]
        into = texts.path(extract.into)
        unpacked = texts.task(
            f"unpack {extract.name}",
            "ansible.builtin.unarchive",
            {"src": f"{{{{ {register}.path }}}}", "dest": into, "remote_src": True, "extra_opts": options},
        )
        moded = texts.task(
            "modes as an archive alone does not decide them",
            "ansible.builtin.file",
            {"path": into, "state": "directory", "mode": "u=rwX,go=rX", "recurse": True},
        )
        return [self._directory(extract.into), unpacked, moded]

    def of_proof(self, proof: Proof, number: int) -> list[Task]:
        """The tasks that carry out a proof."""
        name = proof_title(proof)
        texts = self._texts()
        match proof:
            case LinkClosure(paths=paths):
                arguments = function(["link_closure", *map(texts.fill, paths)])
                return [texts.task(name, _COMMAND, arguments, changed_when=False)]
            case Import(python=python, timeout_s=seconds):
                argv = (python, "-I", "-X", "faulthandler", "-c", import_code(proof))
                return [self._attempt(name, argv, seconds, texts)]
            case Check(argv=argv, timeout_s=seconds, expect=expect):
                register = f"devsetup_check_{self._number}_{number}"
                task = self._attempt(name, argv, seconds, texts)
                output = f"{register}.stdout ~ '\\n' ~ {register}.stderr"
                failed = f"{register}.rc != 0 or not ({output}) is search(devsetup_expect, multiline=true)"
                own = task.get("vars", {})
                expected: Task = {
                    "vars": {**(own if isinstance(own, dict) else {}), "devsetup_expect": Verbatim(expect)}
                }
                return [{**task, "register": register, "failed_when": failed, **expected}]
            case Workload(artifacts=artifacts, timeout_s=seconds):
                return [
                    self._directory("@ARTIFACTS@"),
                    self._attempt(name, proof.argv_at(1), seconds, texts),
                    *map(self._artifact, artifacts),
                ]

    @staticmethod
    def _attempt(name: str, argv: tuple[str, ...], seconds: int, texts: Texts) -> Task:
        arguments = function(["attempt", str(seconds), *map(texts.fill, argv)])
        return texts.task(name, _COMMAND, arguments, changed_when=False)

    def _artifact(self, name: str) -> Task:
        arguments = function(["artifact", literal(name)])
        environment: Node = {"ARTIFACTS": f"{{{{ {self._variables['ARTIFACTS']} }}}}"}
        return self._texts().task(f"it left {name}", _COMMAND, arguments, changed_when=False, environment=environment)


def function(argv: list[Node]) -> dict[str, Node]:
    """A command that calls one of the shell functions on the target; words are passed as they are."""
    return {"argv": ["/bin/sh", "{{ devsetup_functions }}", *argv], "expand_argument_vars": False}

"""`recipe lint`: what a reviewer would ask of a recipe, as rules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import msgspec

from devsetup import patching
from devsetup.app.authoring.purity import impurities
from devsetup.errors import InvalidInput, UsageError
from devsetup.loader import suggest
from devsetup.proofs import Workload
from devsetup.steps import BUILD, PREFIX, PyPISource, UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devsetup.loader import Loader
    from devsetup.recipe import Patch, Recipe

_SPDX = re.compile(r"\(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*( (AND|OR|WITH) \(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOLE = re.compile(r"<%=.*?%>")
_LONGEST_FUNCTION = 60


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to change.

    Attributes:
        level: `error`, or `warning` for what a recipe can do without.
        path: the file, relative to the catalogue.
        line: in that file; None when it is about the whole of it.
        fix: what to do.
    """

    recipe: str
    rule: str
    level: str
    path: str
    line: int | None
    message: str
    fix: str


class _Sheet:
    """One file of a recipe, its syntax, and findings about it."""

    def __init__(self, loader: Loader, name: str, file: Path) -> None:
        self.name = name
        self.path = str(file.relative_to(loader.root))
        self.package = file.parent.name == name
        self.tree = ast.parse(file.read_bytes(), self.path)

    def finding(self, rule: str, message: str, fix: str, at: int | str | None = None, level: str = "error") -> Finding:
        """A finding; `at` is a line, or a text or keyword whose first place in the file is the line."""
        line = self._line(at) if isinstance(at, str) else at
        return Finding(recipe=self.name, rule=rule, level=level, path=self.path, line=line, message=message, fix=fix)

    def _line(self, text: str) -> int | None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and node.value == text:
                return node.lineno
            if isinstance(node, ast.keyword) and node.arg == text:
                return node.value.lineno
        return None


def lint(loader: Loader, names: tuple[str, ...]) -> tuple[Finding, ...]:
    """Findings about these recipes, or about all of them, in the order of the names.

    Impure code is told without running it: a file that has any is not loaded, and its data is not looked at.

    Raises:
        UsageError: no such recipe.
    """
    for name in names:
        if name not in loader.names():
            raise UsageError(f"no recipe named {name!r}", suggest(name, loader.names()))
    return tuple(finding for name in names or loader.names() for finding in _lint(loader, name))


def _lint(loader: Loader, name: str) -> Iterator[Finding]:
    main = loader.recipe_file(name)
    sheets: list[_Sheet] = []
    code: list[Finding] = []
    for file in (main, *(sorted(set(main.parent.glob("*.py")) - {main}) if main.name == "__init__.py" else ())):
        try:
            sheet = _Sheet(loader, name, file)
        except (SyntaxError, ValueError) as error:
            line, path = getattr(error, "lineno", None), str(file.relative_to(loader.root))
            yield Finding(
                recipe=name, rule="loads", level="error", path=path, line=line,
                message=f"is not Python: {error.args[0]}", fix="correct the syntax",
            )  # fmt: skip
            return
        sheets.append(sheet)
        code += _code(sheet)
    yield from code
    if any(finding.rule == "impure" for finding in code):
        return
    sheet = sheets[0]
    try:
        recipe = loader.recipe(name)
    except InvalidInput as error:
        yield sheet.finding("loads", error.message, "define RECIPE as docs/recipes.md shows")
        return
    yield from _about(sheet, recipe)
    yield from _sources(sheet, recipe)
    yield from _patches(sheet, recipe, loader.texts(recipe))
    yield from _proofs(sheet, recipe)
    yield from _names(sheet, recipe, loader)


def _code(sheet: _Sheet) -> Iterator[Finding]:
    for line, what in impurities(sheet.tree, package=sheet.package):
        fix = "branch on ctx.facts and ctx.options; texts come through ctx.text(...), commands are steps"
        yield sheet.finding("impure", f"{what}, but a recipe is a pure function of facts", fix, line)
    if not ast.get_docstring(sheet.tree):
        yield sheet.finding("undocumented", "the module has no docstring", "say what breaks where", 1)
    for node in ast.walk(sheet.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > _LONGEST_FUNCTION:
                message = f"{node.name} has {length} lines, more than {_LONGEST_FUNCTION}"
                yield sheet.finding("long-function", message, "split it", node.lineno)


def _about(sheet: _Sheet, recipe: Recipe) -> Iterator[Finding]:
    if not recipe.summary.strip():
        yield sheet.finding("summary", "has no summary", "say in a few words what it is", "summary")
    if not _SPDX.fullmatch(recipe.licence):
        message = f"licence {recipe.licence!r} is no SPDX expression"
        yield sheet.finding("licence", message, "write for example BSD-2-Clause, or MIT OR Apache-2.0", "licence")
    if not recipe.homepage.startswith("https://"):
        message = f"homepage {recipe.homepage!r} is not an https URL"
        yield sheet.finding("homepage", message, "give the project's page with https://", "homepage")


def _sources(sheet: _Sheet, recipe: Recipe) -> Iterator[Finding]:
    for source in recipe.possible_sources:
        if not _SHA256.fullmatch(source.sha256):
            message = f"source {source.id} has the sha256 {source.sha256!r}, which is not 64 lower-case hex digits"
            fix = "put in what `sha256sum` prints for the file, after checking it against upstream"
            yield sheet.finding("source-sha256", message, fix, source.sha256)
        if isinstance(source, UrlSource) and not source.url.startswith("https://"):
            message = f"source {source.id} is fetched without TLS: {source.url}"
            yield sheet.finding("source-https", message, "use https:// where upstream has it", source.url, "warning")
        if isinstance(source, PyPISource) and not source.python.startswith((f"{PREFIX}/", f"{BUILD}/")):
            message = f"source {source.id} asks the pip of {source.python!r}, which is not the recipe's own"
            fix = 'yield a PythonEnv before ctx.source(...), and give python=f"{PREFIX}/env/bin/python"'
            yield sheet.finding("source-python", message, fix, "python")


def _patches(sheet: _Sheet, recipe: Recipe, texts: dict[str, str]) -> Iterator[Finding]:
    prefix = f"patches/{recipe.name}/"
    shipped = {path.removeprefix(prefix) for path in texts if path.startswith(prefix)}
    for patch in recipe.patches:
        yield from _words(sheet, patch)
        if patch.name not in shipped:
            fix = f"make it with diff -u, or take the entry out of {sheet.path}"
            yield sheet.finding("patch-missing", f"{prefix}{patch.name} is not there", fix, patch.name)
            continue
        try:
            # Only the form: what a hole says differs from host to host, and `recipe test` renders it on each.
            text = patching.render(_HOLE.sub("hole", texts[f"{prefix}{patch.name}"]), {}, name=patch.name)
            patching.check(text, name=patch.name)
        except InvalidInput as error:
            yield sheet.finding("patch-form", error.message, "make it again with diff -u a/... b/...", patch.name)
    for name in sorted(shipped - {patch.name for patch in recipe.patches}):
        message = f"{prefix}{name} ships with the recipe, which does not name it"
        yield sheet.finding("patch-unnamed", message, "name it in patches=(...), or remove it", "patches")


def _words(sheet: _Sheet, patch: Patch) -> Iterator[Finding]:
    if not patch.why.strip():
        yield sheet.finding("patch-why", f"{patch.name} does not say why", "say what breaks without it", patch.name)
    if not patch.upstream.startswith("https://"):
        message = f"{patch.name} names no upstream issue or change"
        yield sheet.finding("patch-upstream", message, "give its https URL as upstream=", patch.name)


def _proofs(sheet: _Sheet, recipe: Recipe) -> Iterator[Finding]:
    if not recipe.proofs:
        yield sheet.finding("proofs", "proves nothing", "add LinkClosure, Check and Workload as docs/recipes.md shows")
    elif not any(isinstance(proof, Workload) for proof in recipe.proofs):
        message = "has no workload, so nothing shows that it does its job"
        yield sheet.finding("workload", message, "add a small real job as Workload(...)", "proofs", "warning")


def _names(sheet: _Sheet, recipe: Recipe, loader: Loader) -> Iterator[Finding]:
    libraries = loader.libraries()
    for name in (*recipe.libraries, *(name for _, names in recipe.option_libraries for name in names)):
        if name not in libraries:
            hint = suggest(name, libraries, "add it there")
            yield sheet.finding("library", f"hosts/libraries.toml does not list {name!r}", hint, name)
    for name in recipe.possible_needs:
        if name not in loader.names():
            hint = suggest(name, loader.names())
            yield sheet.finding("needs", f"needs {name!r}, which is no recipe", hint, name)

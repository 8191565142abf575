"""`devsetup doctor`: what is asked, the examination, repairs of what devsetup owns, and the report to share."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import devsetup
from devsetup.app.exams import exam_of
from devsetup.doctor import Check, Exam, Finding, Goal, examine, select
from devsetup.doctor.checks import every
from devsetup.doctor.redaction import Personal, redactor
from devsetup.doctor.report import Report, machine, mendable
from devsetup.errors import DevsetupError, InvalidInput, StateError, UsageError
from devsetup.loader import suggest
from devsetup.planner import Wish, make_plan
from devsetup.settings import Settings, settings_path
from devsetup.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.app.workspace import Workspace
    from devsetup.facts import Facts
    from devsetup.planner import Catalogue
    from devsetup.receipts import Receipt


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asks.

    Attributes:
        names: recipes, checks and groups of checks. A recipe wins over a group of the same name.
        only: checks and groups, also where a recipe has the same name.
        options: `--option` values; each must belong to one of the recipes.
        network: run the checks that open the network, too.
    """

    names: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    options: dict[str, str] = {}
    network: bool = False


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One look at this machine.

    Attributes:
        exam: what the checks look at.
        checks: those to run.
        notes: what could not be read, one sentence each.
        ignored: checks and groups that the settings leave out.
        named: the user named checks, rather than leaving the choice to us.
    """

    exam: Exam
    checks: tuple[Check, ...]
    named: bool
    notes: tuple[str, ...]
    ignored: tuple[str, ...]


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """What repairing did: `lines`, one for each thing; `problem` says why it could not go on, or is empty."""

    check: str
    lines: tuple[str, ...]
    problem: str


def meant(query: Query, recipes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of the names are recipes, and which are checks or groups.

    Args:
        query: what the user asks.
        recipes: names of all recipes.

    Raises:
        UsageError: a name is neither; the hint gives the nearest of both. Or there are options and no recipe.
    """
    checks = check_names()
    for name in query.names:
        if name not in recipes and name not in checks:
            otherwise = "see `devsetup list` for recipes, `devsetup doctor --list` for checks"
            raise UsageError(f"no recipe, check or group named {name!r}", suggest(name, (*recipes, *checks), otherwise))
    goals = tuple(dict.fromkeys(name for name in query.names if name in recipes))
    if query.options and not goals:
        raise UsageError(
            "--option belongs to a recipe, and none is named", "name one: devsetup doctor NAME --option K=V"
        )
    return goals, (*(name for name in query.names if name not in recipes), *query.only)


def check_names() -> tuple[str, ...]:
    """Ids and groups of all checks, in their order."""
    checks = every()
    return tuple(dict.fromkeys((*(check.id for check in checks), *(check.group for check in checks))))


def chosen(query: Query, recipes: tuple[str, ...]) -> tuple[Check, ...]:
    """The checks that a query names, or all of them. Looks at nothing but names.

    Raises:
        UsageError: see `meant`.
    """
    return select(every(), meant(query, recipes)[1], ())


def visit(workspace: Workspace, query: Query) -> Visit:
    """Look at this machine. Unreadable settings or receipts are notes: a doctor must not die of what it looks for.

    Raises:
        UsageError: a name, option or option value does not exist.
        InvalidInput: the catalogue's `hosts/libraries.toml` is malformed.
    """
    goals, names = meant(query, workspace.loader.names())
    notes: list[str] = []
    ignored = _ignored(workspace, notes)
    checks = select(every(), names, ignored)
    facts = workspace.facts()
    planned = _goals(goals, query.options, facts, workspace.loader.catalogue())
    exam = exam_of(workspace, facts, planned, _receipts(workspace, notes))
    if not query.network:
        checks = tuple(_unasked(check) if check.network else check for check in checks)
    return Visit(exam=exam, checks=checks, named=bool(names), notes=tuple(notes), ignored=ignored)


def _ignored(workspace: Workspace, notes: list[str]) -> tuple[str, ...]:
    path = settings_path(workspace.environ)
    try:
        settings = workspace.settings
    except InvalidInput as error:
        settings = workspace.settings = Settings()  # the facts go by them, too
        notes.append(f"the settings are not used: {error.message}")
    known = check_names()
    for name in settings.doctor.ignore:
        if name not in known:
            hint = suggest(name, known, "see `devsetup doctor --list`")
            notes.append(f"{path} ignores {name!r}, and there is no such check; {hint}")
    return tuple(name for name in settings.doctor.ignore if name in known)


def _receipts(workspace: Workspace, notes: list[str]) -> tuple[Receipt, ...]:
    try:
        return workspace.receipts.all()
    except StateError as error:
        notes.append(f"what is installed was not looked at: {error.message}")
        return ()


def _goals(names: tuple[str, ...], options: Mapping[str, str], facts: Facts, catalogue: Catalogue) -> tuple[Goal, ...]:
    known = {name: _options(name, catalogue) for name in names}
    # An option goes to the recipes that have it; one that none has goes to all, and planning says so.
    claimed = set().union(*known.values())
    goals = []
    for name in names:
        given = {key: value for key, value in options.items() if key in known[name] or key not in claimed}
        try:
            plan = make_plan(Wish(names=(name,), options=given), facts, catalogue)
        except UsageError:
            raise
        except DevsetupError as error:
            goals.append(Goal(name=name, refusal=error.message, hint=error.hint or ""))
        else:
            goals.append(Goal(name=name, plan=plan))
    return tuple(goals)


def _options(name: str, catalogue: Catalogue) -> set[str]:
    """The options of a recipe and of everything that it may need; none when one does not load: planning says why."""
    waiting, seen, found = [name], {name}, set[str]()
    try:
        while waiting:
            recipe = catalogue.recipe(waiting.pop())
            found.update(option.name for option in recipe.options)
            waiting += [need for need in recipe.possible_needs if need not in seen]
            seen.update(recipe.possible_needs)
    except InvalidInput:
        return set()
    return found


def _unasked(check: Check) -> Check:
    finding = Finding(status="skip", summary="opens the network, so it runs with --network alone")
    return msgspec.structs.replace(check, run=lambda _: (finding,))


def report(visited: Visit) -> Report:
    """Run the checks."""
    return Report(
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        devsetup=devsetup.__version__,
        goals=tuple(goal.name for goal in visited.exam.goals),
        machine=machine(visited.exam.facts),
        results=examine(visited.exam, visited.checks),
        notes=visited.notes,
        ignored=visited.ignored,
    ).rewritten(_writable)


def _writable(text: str) -> str:
    """A text that UTF-8 can hold: names of files and values of variables may have bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def repairable(visited: Visit, found: Report) -> tuple[Check, ...]:
    """The checks that can mend what they found: nothing of it needs root, and all of it is devsetup's own."""
    marked = {result.id for result in found.results if mendable(result)}
    return tuple(check for check in visited.checks if check.repair and check.id in marked)


def repair(visited: Visit, check: Check) -> Repaired:
    """Let a check mend what it found."""
    if check.repair is None:
        return Repaired(check=check.id, lines=(), problem="it has no repair")
    try:
        return Repaired(check=check.id, lines=check.repair(visited.exam), problem="")
    except DevsetupError as error:
        return Repaired(check=check.id, lines=(), problem=error.message)
    except OSError as error:
        return Repaired(check=check.id, lines=(), problem=str(error))


def again(visited: Visit, found: Report) -> Report:
    """Look once more, after repairs, with the checks whose findings could be repaired; the other results stay.

    Args:
        visited: a new look at the machine: repairs may have changed what the exam holds.
        found: the report from before.
    """
    checks = repairable(visited, found)
    names = {check.id for check in checks}
    fresh = examine(visited.exam, checks)
    order = {check.id: number for number, check in enumerate(every())}
    results = sorted((*(r for r in found.results if r.id not in names), *fresh), key=lambda result: order[result.id])
    changed = msgspec.structs.replace(found, results=tuple(results), notes=visited.notes, ignored=visited.ignored)
    return changed.rewritten(_writable)


def shareable(found: Report, environ: Mapping[str, str]) -> Report:
    """The report without personal data: for JSON and the HTML page, which are made to be pasted somewhere."""
    return found.rewritten(redactor(personal(environ)))


def personal(environ: Mapping[str, str]) -> Personal:
    """What names the user and the machine that we run on."""
    import pwd  # noqa: PLC0415 - for reports to share alone

    users = [environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")]
    homes = [environ.get("HOME", "")]
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:  # a container's made-up user
        pass
    else:
        users.append(account.pw_name)
        homes.append(account.pw_dir)
    homes += [os.path.realpath(home) for home in homes if home]
    name = os.uname().nodename
    return Personal(
        homes=tuple(dict.fromkeys(homes)),
        users=tuple(dict.fromkeys(users)),
        hosts=tuple(dict.fromkeys((name, name.partition(".")[0]))),
    )


def save(path: Path, text: str) -> None:
    """Write a file as a whole or not at all.

    Raises:
        InvalidInput: its directory does not exist or cannot be written, or something other than a file is there.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            raise InvalidInput(f"{path} is not a file, and nothing was written", "name a file for the report")
        write_whole(target, text)
    except OSError as error:
        raise InvalidInput(
            f"cannot write {path}: {error.strerror or error}", "name a file in a directory that exists and is yours"
        ) from error

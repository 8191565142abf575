"""Views of `devsetup doctor` on a terminal and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devsetup.console.blocks import Block, Code, Table, Text, Title
from devsetup.doctor.finding import STATUSES
from devsetup.doctor.report import PROBLEMS, mendable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from devsetup.doctor.finding import Check, Result
    from devsetup.doctor.report import Report

GROUPS = {
    "os": "Operating system",
    "mac": "macOS",
    "tc": "Toolchain",
    "py": "Python",
    "gpu": "GPU",
    "cuda": "CUDA",
    "blas": "BLAS",
    "lib": "Libraries",
    "perm": "Permissions",
    "disk": "Disk",
    "net": "Network",
    "goal": "What is asked for",
    "own": "devsetup's own",
    "drift": "Since the installs",
}
_WORDS = {
    "ok": ("ok", "ok"),
    "info": ("info", "info"),
    "skip": ("skipped", "skipped"),
    "warn": ("warning", "warnings"),
    "error": ("check broke", "checks broke"),
    "fail": ("failure", "failures"),
}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def group_title(group: str) -> str:
    """A group's heading."""
    return GROUPS.get(group, group)


def report(found: Report, *, verbose: bool, skips: bool) -> tuple[Block, ...]:
    """A report to read: a line for each result, by group; then every problem with its fix; then what to do.

    Args:
        found: the report.
        verbose: with evidence, details and times of every result.
        skips: with the checks that do not apply here.
    """
    rows: list[tuple[str, ...]] = []
    for group, results in found.groups.items():
        shown = [result for result in results if skips or result.status != "skip"]
        if shown:
            rows += _rows(group_title(group), shown, verbose=verbose)
    columns = ("check", "status", *(("    ms",) if verbose else ()), "what was seen")
    blocks: list[Block] = [Table(columns, tuple(rows[:-1]))] if rows else []
    for result in sorted(found.results, key=lambda each: STATUSES.index(each.status)):
        if result.status in PROBLEMS:
            blocks += _problem(result)
    remarks = [f"note: {note}" for note in found.notes]
    if found.ignored:
        remarks.append(f"ignored by config.toml: {', '.join(found.ignored)}")
    return (*blocks, Text(_clean("\n".join((*remarks, f"{counted(found)}; {_next(found)}")))))


def _rows(title: str, results: Iterable[Result], *, verbose: bool) -> Iterator[tuple[str, ...]]:
    """One group: its heading, its results, and an empty row to part it from the next."""
    empty = ("",) * (4 if verbose else 3)
    yield (title, *empty[1:])
    timed = set()
    for result in results:
        time = "" if result.id in timed else f"{result.ms:6.0f}"  # one time for all findings of a check
        timed.add(result.id)
        yield (f"  {result.id}", result.status, *((time,) if verbose else ()), _line(result.summary))
        if verbose:
            yield from ((*empty[1:], f"  {_line(line)}") for line in _background(result))
    yield empty


def _background(result: Result) -> Iterator[str]:
    if result.status not in PROBLEMS:  # a problem's detail follows below
        yield from result.detail
    for each in result.evidence:
        first, *rest = each.value.splitlines() or [""]
        yield f"{each.source}: {first}"
        yield from (f"  {line}" for line in rest)
    if result.fix and result.status not in PROBLEMS:
        yield result.fix.text
        yield from (f"  {command}" for command in result.fix.commands)


def _problem(result: Result) -> Iterator[Block]:
    lines = [result.summary, *result.detail]
    if result.fix:
        lines.append(f"next: {result.fix.text}")
        if mendable(result):
            lines.append("`devsetup doctor --fix` does it")
    elif result.status == "error":
        lines.append(f"next: run it alone, `devsetup doctor {result.id}`, and report it if that gives the same")
    yield Title(f"{result.status}: {result.id}")
    yield Text(_clean("\n".join(lines)))
    if result.fix and result.fix.commands:
        yield Code(tuple(_clean(line) for command in result.fix.commands for line in command.splitlines()))


def counted(found: Report) -> str:
    """How many results there are of each status, worst first: `2 warnings, 38 ok`."""
    said = [f"{count} {_WORDS[status][count != 1]}" for status, count in reversed(found.counts.items()) if count]
    return ", ".join(said) or "nothing found"


def _next(found: Report) -> str:
    problems = [result for result in found.results if result.status in PROBLEMS]
    if not problems and any(map(mendable, found.results)):
        return "nothing has to be done; `devsetup doctor --fix` tidies up"
    if not problems:
        return "nothing to do"
    if all(map(mendable, problems)):
        return "`devsetup doctor --fix` repairs it"
    if any(map(mendable, problems)):
        return "`devsetup doctor --fix` repairs what devsetup owns; for the rest, do what is shown above"
    return "do what is shown above, then look again"


def record(found: Report) -> dict[str, Any]:
    """`--json`: the same results, with the worst status and the counts first."""
    return {
        "status": found.status,
        "counts": found.counts,
        "made": found.made,
        "devsetup": found.devsetup,
        "goals": found.goals,
        "machine": dict(found.machine),
        "notes": found.notes,
        "ignored": found.ignored,
        "results": found.results,
    }


def checks(found: Iterable[Check]) -> tuple[Block, ...]:
    """`--list`: every check, what it looks for, and whether `--fix` can mend it."""
    rows = tuple((each["id"], each["group"], each["fix"], each["platform"], each["about"]) for each in entries(found))
    return (Table(("check", "group", "--fix", "platform", "what it looks for"), rows),)


def entries(found: Iterable[Check]) -> tuple[Mapping[str, str], ...]:
    """`--list --json`: what there is to know of a check, without its functions."""
    return tuple(
        {
            "id": check.id,
            "group": check.group,
            "fix": "repairs" if check.repair else "says how",
            "platform": ", ".join((check.only or "any", *(("--network",) if check.network else ()))),
            "about": check.about,
        }
        for check in found
    )


def repairs(found: Report, names: Collection[str]) -> tuple[Block, ...]:
    """What `--fix` would do with these checks: what was found, and what would be done about it."""
    rows = tuple(
        (each.id, _line(each.summary), _line(each.fix.text))
        for each in found.results
        if each.id in names and each.fix and mendable(each)
    )
    return (Table(("check", "found", "repair"), rows),)


def _clean(text: str) -> str:
    """A text without control characters: what a file or a program said must not steer the terminal."""
    return text.translate(_CONTROLS)


def _line(text: str) -> str:
    """The same, as one line of a table."""
    return _clean(" ".join(text.split("\n")))

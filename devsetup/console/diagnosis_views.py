"""Views of diagnoses and symptoms: data to blocks, and the report for pasting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.console.blocks import Block, Code, Table, Text, Title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devsetup.diagnosis import Cause, Diagnosis, Treatment
    from devsetup.diagnosis.verdict import Line
    from devsetup.facts import Facts
    from devsetup.plan import Part
    from devsetup.symptom import Symptom

_CONFIDENCE = {
    "A": "seen in the threads below or reproduced",
    "B": "the message is attested, the remedy is from documentation",
    "C": "unverified",
}


def diagnosis(found: Diagnosis, log: str, *, named: bool = False) -> tuple[Block, ...]:
    """`devsetup diagnose`: causes, root first, with their lines and remedies; then what is unexplained.

    Args:
        found: what the log says.
        log: its name, as the user gave it.
        named: show the name above, to tell several logs apart.
    """
    blocks: list[Block] = [Title(f"== {log}")] if named else []
    if not found.failed:
        lines = "1 line" if found.lines == 1 else f"{found.lines} lines"
        return (*blocks, Text(f"no known failure found in {lines}"))
    for number, cause in enumerate(found.causes, 1):
        blocks += _cause(cause, f"{number}. " if len(found.causes) > 1 else "")
    if found.unexplained:
        heading = "Before that, unexplained:" if found.causes else "No known failure fits. The first errors:"
        blocks += [Text(heading), Code(_lines(found.unexplained))]
    if found.folded:
        lines = "1 further line only follows" if found.folded == 1 else f"{found.folded} further lines only follow"
        blocks.append(Text(f"{lines} from what is above"))
    if not found.causes:
        blocks += [Text("To report it, paste what this prints:"), Code((f"devsetup diagnose --report {log}",))]
    return tuple(blocks)


def repair(
    cause: Cause, parts: tuple[Part, Part], changes: tuple[str, ...], commands: tuple[str, ...]
) -> tuple[Block, ...]:
    """A changed plan for consent: the cause of the failure, and what is done differently.

    Args:
        cause: what explains the failure.
        parts: as it failed, and as it is amended.
        changes: what the second does differently, one line each.
        commands: exact commands that install the system packages that it needs besides.
    """
    before, after = parts
    head = f"plan {after.digest[:8]} of {after.name}, which differs from {before.digest[:8]} in"
    blocks = [*_cause(cause, ""), Table((head,), tuple((change,) for change in changes))]
    if commands:
        blocks += [Text("System packages will be installed first, with:"), Code(commands)]
    return tuple(blocks)


def _cause(cause: Cause, number: str) -> list[Block]:
    more = f"\nand on {cause.count - len(cause.lines)} further lines" if cause.count > len(cause.lines) else ""
    blocks: list[Block] = [
        Title(f"{number}{cause.title}"),
        Code(_lines(cause.lines)),
        Text(f"{cause.cause}{more}"),
    ]
    for index, treatment in enumerate(cause.treatments):
        blocks += _treatment(treatment, "fix" if index == 0 else "or")
    blocks.append(Text(f"{cause.id}: {_CONFIDENCE[cause.confidence]}: {', '.join(cause.sources)}"))
    return blocks


def _treatment(treatment: Treatment, label: str) -> list[Block]:
    blocks: list[Block] = [Text(f"{label}: {treatment.text}")]
    if treatment.commands:
        blocks.append(Code(treatment.commands))
    return blocks


def _lines(lines: Iterable[Line]) -> tuple[str, ...]:
    return tuple(f"{line.number}: {line.text}" for line in lines)


def report(found: Iterable[Diagnosis], facts: Facts, redact: Callable[[str], str], version: str) -> str:
    """A report to paste into an issue: machine, causes or first errors, the log's end.

    Args:
        found: what each log says.
        facts: the machine.
        redact: takes personal data out of a text.
        version: devsetup's own.
    """
    compilers = ", ".join(f"{each.name} {each.version}" for each in facts.compilers[:4])
    lines = [
        f"devsetup {version} on {facts.os.id} {facts.os.version} {facts.arch}",
        f"compilers: {compilers or 'none'}; CUDA: {facts.toolkit or 'none'}",
    ]
    for seen in found:
        lines += ["", f"log of {seen.lines} lines"]
        for cause in seen.causes:
            lines += [f"known: {cause.id}: {cause.title}", *(f"    {text}" for text in _lines(cause.lines))]
        if seen.unexplained:
            lines += ["unexplained:", *(f"    {text}" for text in _lines(seen.unexplained))]
        lines += ["end of the log:", *(f"    {text}" for text in seen.tail)]
    return "".join(f"{redact(line)}\n" for line in lines)


def symptoms(found: Iterable[Symptom]) -> tuple[Block, ...]:
    """`devsetup symptoms list`."""
    rows = tuple((each.id, each.where, each.confidence, "yes" if _mends(each) else "", each.title) for each in found)
    return (Table(("symptom", "where", "confidence", "repairs", "what it is"), rows),)


def _mends(symptom: Symptom) -> bool:
    return any(remedy.action for remedy in symptom.remedies)


def _named(found: Symptom) -> tuple[Block, ...]:
    """What the symptom is about in whatever words: what is missing, and the C library's errors."""
    missing = ((kind, getattr(found.missing, kind)) for kind in found.missing.__struct_fields__)
    rows = tuple((kind, ", ".join(things)) for kind, things in (*missing, ("errors", found.errors)) if things)
    return (
        (Table(("kind", "one of"), rows, "In whatever words a tool says that it misses, or fails with"),)
        if rows
        else ()
    )


def symptom(found: Symptom) -> tuple[Block, ...]:
    """`devsetup symptoms show`."""
    blocks: list[Block] = [
        Title(f"{found.id}: {found.title}"),
        Text(
            f"{found.cause}\nwhere: {found.where}{f'; {found.affects}' if found.affects else ''}\n"
            f"confidence {found.confidence}: {_CONFIDENCE[found.confidence]}"
        ),
        *((Table(("pattern",), tuple((pattern,) for pattern in found.patterns)),) if found.patterns else ()),
        *_named(found),
    ]
    rows = tuple(
        (str(remedy.when), remedy.text, "; ".join((*remedy.libraries, *remedy.commands))) for remedy in found.remedies
    )
    blocks.append(Table(("on", "remedy", "packages and commands"), rows, "Remedies"))
    blocks.append(
        Table(("example of the log",), tuple((line,) for text in found.matches for line in text.splitlines()))
    )
    blocks.append(Text(f"sources: {', '.join(found.sources)}"))
    return tuple(blocks)

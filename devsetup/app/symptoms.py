"""The symptoms themselves: looked up, and tested against their own examples."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import msgspec

from devsetup import patching
from devsetup.diagnosis import Log, Matcher, read
from devsetup.diagnosis.literals import alternatives, ends_anywhere
from devsetup.diagnosis.reading import TRIGGERS
from devsetup.errors import DevsetupError, UsageError
from devsetup.facts import Facts, OperatingSystem
from devsetup.loader import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devsetup.app.workspace import Workspace
    from devsetup.symptom import Symptom

# What makes a careless regular expression backtrack for ever: a line that begins as the message does, and then long
# runs of what it repeats, without its end.
_ADVERSARIES = ("a", "/", " ", "'", "(", "lib.so.1", "error: ", "::", "0.")
_PUMPS = (1, 4, 16)  # so many characters of the message itself, again and again
# What takes exponential time would never end with a line of the width that is matched: short ones come first, each so
# little longer that what the one before did in the time allowed takes a second.
_LENGTHS = (16, 20, 24, 200, 2000)
_UNWANTED = "\x01"
_EVERY, _UP_TO = 12, 160  # where the message is cut off
_SLOW_S = 0.05


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What testing a symptom showed; `problems` is empty when all is well."""

    id: str
    problems: tuple[str, ...]


def symptom(workspace: Workspace, name: str) -> Symptom:
    """A symptom by id.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    known = {each.id: each for each in workspace.loader.symptoms()}
    if name not in known:
        raise UsageError(f"no symptom named {name!r}", suggest(name, tuple(known)))
    return known[name]


def tested(workspace: Workspace, names: tuple[str, ...]) -> tuple[Tested, ...]:
    """Test symptoms, all of them when none is named: examples, references, and how long hostile lines take."""
    chosen = tuple(symptom(workspace, name) for name in names) or workspace.loader.symptoms()
    libraries = workspace.loader.libraries()
    return tuple(Tested(id=each.id, problems=tuple(_problems(each, frozenset(libraries)))) for each in chosen)


def _problems(symptom: Symptom, libraries: frozenset[str]) -> Iterator[str]:
    try:
        matcher = Matcher((symptom,))
        matcher.check()
    except DevsetupError as error:
        yield error.message
        return
    yield from (
        f"pattern {source!r} spans lines, where $ is the end of the last of them: say (?![^\\n])"
        for source in matcher.expressions
        if ends_anywhere(source)
    )
    yield from (
        f"the message {part!r} has no trigger, by which lines are chosen: add one to devsetup/diagnosis/reading.py"
        for text in symptom.patterns
        if text.startswith("re:")
        for part in alternatives(text.removeprefix("re:"))
        if not any(trigger in part.replace("\\", "") for trigger in TRIGGERS)
    )
    if not symptom.matches:
        yield "has no example of a log that shows it (matches)"
    yield from (f"does not match its example {text!r}" for text in symptom.matches if not _shows(matcher, text))
    yield from (f"matches {text!r}, which it must not" for text in symptom.misses if _proves(matcher, text))
    yield from (
        f"pattern {source!r} takes {spent:.2f} s for a hostile line" for source, spent in slow_patterns(symptom)
    )
    for remedy in symptom.remedies:
        yield from (
            f"hosts/libraries.toml does not list {name!r}" for name in remedy.libraries if name not in libraries
        )
    for text in (
        symptom.title,
        symptom.cause,
        *(line for each in symptom.remedies for line in (each.text, *each.commands)),
    ):
        yield from _unfillable(symptom, text)


def _shows(matcher: Matcher, text: str) -> bool:
    return any(matcher.hits(window) for window in read((text.encode(),), Log()))


def _proves(matcher: Matcher, text: str) -> bool:
    """Whether a text shows the symptom by more than an answer to a question or the C library's words."""
    hits = (hit for window in read((text.encode(),), Log()) for hit in matcher.hits(window))
    return any(not hit.asked and hit.general == hit.symptom.general for hit in hits)


def slow_patterns(symptom: Symptom) -> Iterator[tuple[str, float]]:
    """The regular expressions that take long for a hostile line, and the seconds of processor time that they take."""
    for text in Matcher((symptom,)).expressions:
        expression = re.compile(text)
        shown = tuple(example for example in symptom.matches if expression.search(example))
        times = (_seconds(expression, line) for length in _LENGTHS for line in _hostile_lines(shown, length))
        slow = next((spent for spent in times if spent > _SLOW_S), None)
        if slow is not None:
            yield text, slow


def _seconds(expression: re.Pattern[str], line: str) -> float:
    started = time.thread_time()
    expression.search(line)
    return time.thread_time() - started


def _hostile_lines(examples: tuple[str, ...], length: int) -> Iterator[str]:
    for example in (*examples, ""):
        for cut in (*range(0, min(len(example), _UP_TO), _EVERY), len(example)):
            start = example[:cut]
            for piece in (*_ADVERSARIES, *(start[-size:] for size in _PUMPS if len(start) >= size)):
                yield f"{start}{(piece * length)[:length]}{_UNWANTED}"


def _unfillable(symptom: Symptom, text: str) -> Iterator[str]:
    groups = {
        name: "x"
        for pattern in symptom.patterns
        if pattern.startswith("re:")
        for name in re.compile(pattern.removeprefix("re:")).groupindex
    }
    facts = Facts(os=OperatingSystem(id="debian", version="12"), arch="x86_64")
    try:
        patching.render(text, {"facts": facts, "seen": groups}, name=f"symptom {symptom.id}")
    except DevsetupError as error:
        yield error.message

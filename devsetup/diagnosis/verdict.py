"""From windows to causes: the root first, what follows from it folded, and remedies filled for a machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from devsetup import patching
from devsetup.amendment import Amendment
from devsetup.diagnosis.errors import (
    WIDTH,
    Passes,
    Probes,
    Tracebacks,
    ended_well,
    is_asked,
    is_configured,
    is_consequence,
    is_error,
    is_looked_for,
    is_stop,
    is_warning,
)
from devsetup.diagnosis.reading import Log, Window, read
from devsetup.errors import InvalidInput
from devsetup.facts import Facts
from devsetup.lower import install_commands
from devsetup.recipe import SystemLibrary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devsetup.diagnosis.matching import Hit, Matcher
    from devsetup.symptom import Remedy, Symptom

_SHOWN = 5
_NAMED = 3  # causes of one symptom that are told apart
_NEAR = 3  # lines: a general message this close to a special one is the same event
_EARLIER = 10  # lines: a general message so long before every special one is of an event of its own
_QUOTED = 60  # lines of a compiler's or a program's that CMake puts below its complaint
_LINKED = "undefined reference to"
_CMAKE = re.compile(r"CMake Error")
_SOURCE = re.compile(r"\s{0,8}([^\s:()]{1,200}\.\w{1,4})(?::\d+:|\(\d+\): )")  # GCC's, clang's and nvcc's place
_WARNED = re.compile(r"\bwarning\b", re.IGNORECASE)
_HARMLESS = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]{0,200}")
_ANSWERED = 3  # lines after which an answer to someone who does without is no longer what a log ends with
_ANSWERING = 25  # lines within which a program that cannot do without says so and ends
_GONE_ON = 8  # lines after which a step that may fail did not end the log
_ENDING = 12  # lines: an error this close to the end of a log is why it ends


class Line(msgspec.Struct, frozen=True):
    """A line of the log; `number` counts from 1."""

    number: int
    text: str


class Treatment(msgspec.Struct, frozen=True, kw_only=True):
    """A remedy filled for a machine.

    Attributes:
        text: one sentence.
        commands: shell lines to copy.
        needs_root: one of the commands needs root.
        action: how devsetup does it in a plan.
    """

    text: str
    commands: tuple[str, ...] = ()
    needs_root: bool = False
    action: Amendment | None = None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A symptom that the log shows.

    Attributes:
        lines: where, at most five.
        count: on how many lines.
        treatments: for this machine, best first; empty when no remedy is for it.
    """

    id: str
    title: str
    cause: str
    confidence: str
    sources: tuple[str, ...]
    lines: tuple[Line, ...]
    count: int
    treatments: tuple[Treatment, ...]


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says.

    Attributes:
        causes: known ones, the root first.
        unexplained: the errors before the first cause that no symptom explains, at most five.
        folded: how many further lines only follow from those.
        lines: how many lines the log has.
        tail: its last lines, for a log without any error.
    """

    causes: tuple[Cause, ...]
    unexplained: tuple[Line, ...]
    folded: int
    lines: int
    tail: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """The log shows a failure, known or not."""
        return bool(self.causes or self.unexplained)


class Machine(msgspec.Struct, frozen=True):
    """What remedies are filled for; `libraries` is `hosts/libraries.toml`."""

    facts: Facts
    libraries: Mapping[str, SystemLibrary]


def diagnose(blocks: Iterable[bytes], matcher: Matcher, machine: Machine) -> Diagnosis:
    """Read a log once and say why it failed.

    Args:
        blocks: the log in pieces, as bytes.
        matcher: the symptoms.
        machine: for which the remedies are filled.
    """
    log = Log()
    sieve = _Sieve()
    for window in read(blocks, log):
        sieve.take(window, matcher.hits(window))
    if ended_well(log.tail, stopped=sieve.stopped, known=sieve.known()):
        return Diagnosis(causes=(), unexplained=(), folded=0, lines=log.lines, tail=log.tail)
    causes = tuple(_cause(each, machine) for each in sieve.causes(log.lines))
    unexplained = _unexplained(sieve, causes, log.lines)
    return Diagnosis(
        causes=causes,
        unexplained=unexplained,
        folded=sieve.followers + len(sieve.errors) - len(unexplained) if causes or unexplained else 0,
        lines=log.lines,
        tail=log.tail,
    )


def _unexplained(sieve: _Sieve, causes: tuple[Cause, ...], lines: int) -> tuple[Line, ...]:
    """The errors before the first cause: what comes after one that is known is its consequence until that is mended.

    With nothing known they are errors only if something stopped, or if the log ends with them: many a build prints
    `fatal: not a git repository` and goes on. A log that ends with something stopped, and no word of why, failed too.
    """
    if causes:
        found = [line for line in sieve.errors if line.number < causes[0].lines[0].number]
    elif sieve.errors:
        found = [line for line in sieve.errors if sieve.stopped or sieve.last_error > lines - _ENDING]
    else:
        found = [line for line in sieve.stops if sieve.last_stop > lines - _ENDING]
    return tuple(found[:_SHOWN])


class _Found:
    """A symptom while the log is read."""

    def __init__(self, hit: Hit) -> None:
        self.symptom: Symptom = hit.symptom
        self.groups = hit.groups
        self.order = hit.order
        self.general = True
        self.asked = True
        self.last = 0
        self.lines: list[Line] = []
        self.numbers: set[int] = set()
        self.count = 0
        self.files: set[str] = set()  # of source, that its lines are about; what one linker misses is one event too

    @property
    def rank(self) -> tuple[bool, int]:
        """Special before general, and among these in the order of their files."""
        return self.general, self.order

    def place(
        self, others: Iterable[_Found], configured: int, failures: Iterable[int]
    ) -> tuple[bool, bool, int, tuple[bool, int]]:
        """What causes are sorted by: something warned of did not stop the program that some other cause stopped.

        Nor did what was missing before configuring came to its end, on the line `configured`, or was asked for when
        none of the `failures` came soon after, or one that has words of its own. What only reports that a program
        failed comes behind what that program said.

        A general message comes behind a more particular one of the same event, even when the log has it before.
        """
        same = [each.lines[0].number for each in others if each.rank < self.rank and self._one_event(each)]
        first = self.lines[0].number
        own_words = any(
            not each.asked and not each.symptom.reports and each.lines[0].number > self.last + _NEAR for each in others
        )
        followed = any(0 <= failure - self.last <= _ANSWERING for failure in failures)
        answered = first < configured or own_words or not followed
        survived = is_warning(self.lines[0].text) or (self.asked and answered) or (self.general and first < configured)
        return survived, self.symptom.reports, max([first, *same]) if self.general else first, self.rank

    def passed(self, lines: int, last_failure: int) -> bool:
        """Whether the log, of so many lines, went on as if it had not been: nothing failed later, or at its end.

        `last_failure` is the line that last spoke of one that was not only asked about, and that does not pass.
        """
        if self.asked:
            return last_failure == 0 and self.last < lines - _ANSWERED
        return self.symptom.passes and last_failure <= self.last < lines - _GONE_ON

    def _one_event(self, other: _Found) -> bool:
        """In one file of source, on the next lines, or quoted by CMake below its own complaint.

        What make or ninja says when it stops is the last of an event: what follows it is another one.
        """
        own, its = self.lines[0], other.lines[0]
        complained = _CMAKE.match(own.text) and not _CMAKE.match(its.text) and not is_stop(its.text)
        quoted = complained and 0 < its.number - own.number <= _QUOTED
        next_to = not is_stop(own.text) and 0 < its.number - own.number <= _NEAR
        return bool(quoted or self.files & other.files or next_to)

    def seen(self, line: Line, hit: Hit) -> None:
        self.count += 1
        self.last = line.number
        self.general = self.general and hit.general
        self.asked = self.asked and (hit.asked or is_asked(line.text))
        if len(self.lines) < _SHOWN:
            self.lines.append(line)
            self.numbers.add(line.number)
            source = _SOURCE.match(line.text)
            if source:
                self.files.add(source[1])
            elif self.general and _LINKED in line.text:
                self.files.add(_LINKED)


class _Sieve:
    """Keeps the first lines of each symptom and the first errors; counts the rest."""

    def __init__(self) -> None:
        self.found: dict[str, _Found] = {}
        self.named: Counter[str] = Counter()
        self.errors: list[Line] = []
        self.followers = 0
        self.last_error = 0
        self.stops: list[Line] = []
        self.last_stop = 0
        self.tracebacks = Tracebacks()
        self.passes = Passes()
        self.probes = Probes()
        self.configured = 0  # where configuring last came to its end

    @property
    def stopped(self) -> bool:
        return bool(self.stops)

    def take(self, window: Window, hits: tuple[Hit, ...]) -> None:
        if self.passes.holds(window.text) or self.probes.holds(window.number, window.context):
            return
        if is_configured(window.text):
            self.configured = window.number
        line = Line(window.number, window.text[:WIDTH])
        if is_stop(window.text):
            self.last_stop = window.number
            self.stops = [*self.stops, line][:_SHOWN]
        for hit in _telling(hits):
            if not (hit.asked and _WARNED.search(window.text)) and not (hit.general and is_looked_for(window.text)):
                self._keep(hit, line)
        if self.tracebacks.holds(window.text):
            self.followers += not hits and not window.text.lstrip().startswith('File "')
        elif not hits and is_error(window.text) and not is_asked(window.text):
            self.last_error = window.number
            if len(self.errors) < 4 * _SHOWN:
                self.errors.append(line)
            else:
                self.followers += 1
        elif not hits and is_consequence(window.text):
            self.followers += 1

    def _keep(self, hit: Hit, line: Line) -> None:
        """One cause for each thing that a pattern names: two missing headers are two causes, but not fifty."""
        key = "|".join((hit.symptom.id, *hit.groups.values()))
        if key not in self.found:
            if self.named[hit.symptom.id] >= _NAMED:
                self.followers += 1
                return
            self.named[hit.symptom.id] += 1
            self.found[key] = _Found(hit)
        self.found[key].seen(line, hit)

    def known(self) -> frozenset[str]:
        """The lines, as they are kept, that show a symptom."""
        return frozenset(line.text for each in self.found.values() if not each.asked for line in each.lines)

    def causes(self, lines: int) -> list[_Found]:
        """In the order of the log, warnings last; a general one beside a special one is left out, unless it came first.

        So is what the log, of so many lines, went on after.
        """
        lasting = (each.last for each in self.found.values() if not each.asked and not each.symptom.passes)
        failed = max((self.last_error, self.last_stop, *lasting))
        found = [each for each in self.found.values() if not each.passed(lines, failed)]
        special = {number for each in found if not each.general for number in each.numbers}
        kept = [
            each
            for each in found
            if not each.general
            or each.lines[0].number < min(special, default=0) - _EARLIER
            or not any(_near(number, special) for number in each.numbers)
        ]
        failures = {
            *(number for each in kept if not each.asked for number in each.numbers),
            *(line.number for line in (*self.errors, *self.stops)),
        }
        return sorted(kept, key=lambda each: each.place(kept, self.configured, failures))


def _telling(hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    """Without the general ones after the first: their files go from the particular to the general."""
    general = tuple(hit for hit in hits if hit.general)[:1]
    return (*(hit for hit in hits if not hit.general), *general)


def _near(number: int, others: set[int]) -> bool:
    return any(number + offset in others for offset in range(-_NEAR, _NEAR + 1))


def _cause(found: _Found, machine: Machine) -> Cause:
    symptom = found.symptom
    return Cause(
        id=symptom.id,
        title=_filled(symptom.title, found.groups, machine),
        cause=_filled(symptom.cause, found.groups, machine),
        confidence=symptom.confidence,
        sources=symptom.sources,
        lines=tuple(found.lines),
        count=found.count,
        treatments=tuple(
            treatment(remedy, found.groups, machine)
            for remedy in symptom.remedies
            if remedy.when.verdict(machine.facts).holds
        ),
    )


def treatment(remedy: Remedy, groups: Mapping[str, str], machine: Machine) -> Treatment:
    """A remedy filled for a machine; `groups` are what the pattern's named groups matched.

    Raises:
        InvalidInput: it names a library that is not in `hosts/libraries.toml`.
    """
    manager = machine.facts.package_manager
    names = [
        *(package for name in remedy.libraries for package in _library(name, machine).names(manager)),
        *remedy.packages.get(manager, ()),
    ]
    install = install_commands(manager, tuple(dict.fromkeys(names))) if names else ()
    # A log may come from anywhere, and these lines are for pasting into a shell.
    harmless = {name: value for name, value in groups.items() if _HARMLESS.fullmatch(value)}
    return Treatment(
        text=_filled(remedy.text, groups, machine),
        commands=(
            *(f"{'sudo ' if command.privileged else ''}{' '.join(command.argv)}" for command in install),
            *(
                line
                for line in (_filled(line, harmless, machine) for line in remedy.commands)
                if patching.HOLE not in line
            ),
        ),
        needs_root=any(command.privileged for command in install),
        action=remedy.action,
    )


def _library(name: str, machine: Machine) -> SystemLibrary:
    if name not in machine.libraries:
        raise InvalidInput(f"a remedy names the library {name!r}, which hosts/libraries.toml does not have")
    return machine.libraries[name]


def _filled(text: str, groups: Mapping[str, str], machine: Machine) -> str:
    """A text with its holes filled; as it is when a value is missing or unprintable."""
    try:
        return patching.render(text, {"facts": machine.facts, "seen": groups}, name="a remedy")
    except InvalidInput:
        return text

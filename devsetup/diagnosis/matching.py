"""Which symptoms a line shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from devsetup import patching
from devsetup.diagnosis.literals import required, spans_lines
from devsetup.diagnosis.missing import PHRASES, Phrase, Things
from devsetup.diagnosis.reading import TRIGGERS
from devsetup.errors import InvalidInput
from devsetup.symptom import Missing, Symptom

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devsetup.diagnosis.reading import Window

_REMEMBERED = 512
_PLAIN_QUOTES = {ord(mark): "'" for mark in "\u2018\u2019"}  # as in the lines that are read


class Hit(msgspec.Struct, frozen=True):
    """A symptom that a line shows.

    Attributes:
        groups: what the named groups of its pattern matched.
        order: its place in the symptoms' files, which go from the particular to the general.
        general: it says only what any program's message says: the symptom is general, or the C library's words show it.
        asked: the line may be an answer to someone who does without.
    """

    symptom: Symptom
    groups: dict[str, str]
    order: int
    general: bool
    asked: bool


class _Expression:
    """A regular expression, compiled when a line first has the texts that it requires: most of them never are.

    Attributes:
        what: whose it is, as an error names it.
        frame: an expression that every match of it matches, too, and in which required texts are looked for.
        required: of these texts a match holds one; it may hold any text when there are none.
    """

    def __init__(self, what: str, source: str, frame: str) -> None:
        self.what = what
        self.source = source
        self.frame = frame
        self.required = required(frame)
        self.spans_lines = spans_lines(frame)
        self._compiled: re.Pattern[str] | None = None

    def search(self, window: Window) -> re.Match[str] | None:
        text = window.context if self.spans_lines else window.text
        for part in self.required:  # not `any(...)`, which takes three times as long, hundreds of times for each line
            if part in text:
                break
        else:
            if self.required:
                return None
        found = self.compiled().search(text)
        # A pattern over several lines must begin on this one, or the line before would have found it.
        return None if found is None or found.start() > len(window.text) else found

    def compiled(self) -> re.Pattern[str]:
        """The expression, ready to search with.

        Raises:
            InvalidInput: it is malformed.
        """
        if self._compiled is None:
            try:
                self._compiled = re.compile(self.source)
            except re.error as error:
                raise InvalidInput(f"{self.what}: pattern {self.source!r} is malformed: {error}") from error
        return self._compiled


class _Pattern:
    """A pattern of one symptom."""

    asked = general = False

    def __init__(self, symptom: Symptom, text: str) -> None:
        plain = text.translate(_PLAIN_QUOTES)
        source = plain.removeprefix("re:") if plain.startswith("re:") else re.escape(plain).replace("\\\n", r"\n")
        self.symptom = symptom
        self.expression = _Expression(f"symptom {symptom.id}", source, source)

    def search(self, window: Window) -> tuple[Symptom, dict[str, str]] | None:
        found = self.expression.search(window)
        if found is None:
            return None
        return self.symptom, {name: " ".join((value or "").split()) for name, value in found.groupdict().items()}


class _Phrase:
    """A phrase that says of any symptom's things that they are missing."""

    def __init__(self, phrase: Phrase, things: Things, symptoms: dict[str, Symptom]) -> None:
        self.asked = phrase.asked
        self.general = phrase.kind == "errors"
        self.expression = _Expression(f"a phrase for {phrase.kind}", things.phrase(phrase), things.frame(phrase))
        self._things, self._symptoms = things, symptoms
        self._name = "what" if self.general else phrase.kind.removesuffix("s")  # in titles and remedies

    def search(self, window: Window) -> tuple[Symptom, dict[str, str]] | None:
        found = self.expression.search(window)
        if found is None:
            return None
        named = {name: value for name, value in found.groupdict().items() if value}
        thing = next(value for name, value in named.items() if name.startswith("thing"))
        symptom = self._symptoms[self._things.owner(thing)]
        if patching.HOLE not in symptom.title:
            return symptom, {}  # what one library brings is one cause
        return symptom, {self._name: thing, "file": named.get("file", "a file")}


class Matcher:
    """All symptoms, ready to be looked for."""

    def __init__(self, symptoms: Iterable[Symptom]) -> None:
        by_id = {symptom.id: symptom for symptom in symptoms}
        self._order = {name: place for place, name in enumerate(by_id)}
        self._by_trigger: dict[str, list[_Pattern | _Phrase]] = {}
        self._known: dict[str, tuple[Hit, ...]] = {}
        self._patterns: tuple[_Pattern | _Phrase, ...] = (
            *(_Pattern(symptom, text) for symptom in by_id.values() for text in symptom.patterns),
            *_phrases(by_id),
        )
        for pattern in self._patterns:
            for trigger in _triggers(pattern.expression):
                self._by_trigger.setdefault(trigger, []).append(pattern)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Every regular expression that lines are searched with."""
        return tuple(pattern.expression.source for pattern in self._patterns)

    def check(self) -> None:
        """Compile every pattern now, rather than when a line first needs it.

        Raises:
            InvalidInput: one is malformed.
        """
        for pattern in self._patterns:
            pattern.expression.compiled()

    def hits(self, window: Window) -> tuple[Hit, ...]:
        """The symptoms that a line shows, each once, in their files' order. Lines that come again are remembered."""
        known = self._known.get(window.context)
        if known is None:
            known = tuple(sorted(self._search(window), key=lambda hit: hit.order))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[window.context] = known
        return known

    def _search(self, window: Window) -> Iterable[Hit]:
        """Each symptom once, in the form that says most."""
        found: dict[str, Hit] = {}
        searched: set[int] = set()
        for trigger, patterns in self._by_trigger.items():
            if trigger not in window.text:
                continue
            for pattern in patterns:
                if id(pattern) in searched:
                    continue
                searched.add(id(pattern))
                shown = pattern.search(window)
                if shown is None:
                    continue
                symptom, groups = shown
                general = symptom.general or pattern.general
                hit = Hit(symptom, groups, self._order[symptom.id], general=general, asked=pattern.asked)
                before = found.get(symptom.id)
                if before is None or (before.asked, before.general) > (hit.asked, hit.general):
                    found[symptom.id] = hit
        return found.values()


def _phrases(symptoms: dict[str, Symptom]) -> Iterable[_Phrase]:
    things = {
        kind: Things(kind, {name: getattr(symptom.missing, kind) for name, symptom in symptoms.items()})
        for kind in Missing.__struct_fields__
    }
    things["errors"] = Things("errors", {name: symptom.errors for name, symptom in symptoms.items()})
    return (_Phrase(phrase, things[phrase.kind], symptoms) for phrase in PHRASES if things[phrase.kind])


def _triggers(expression: _Expression) -> tuple[str, ...]:
    """The texts of which a line that shows a pattern has one: triggers, or what the pattern requires.

    Raises:
        InvalidInput: it has none.
    """
    plain = expression.frame.replace("\\", "")
    triggers = tuple(trigger for trigger in TRIGGERS if trigger in plain)
    if not triggers:
        raise InvalidInput(
            f"{expression.what}: pattern {expression.source!r} has no trigger, by which lines are chosen",
            "say more of the message, or add a trigger to devsetup/diagnosis/reading.py",
        )
    if expression.spans_lines or not expression.required:
        return triggers
    # One for each of the texts that it requires is enough, and saves asking it again for every other. A text without a
    # trigger stands for itself, on a line that was chosen for another word.
    return tuple(
        sorted({next((trigger for trigger in triggers if trigger in text), text) for text in expression.required})
    )

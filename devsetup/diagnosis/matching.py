"""Which symptoms a line shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from devsetup.diagnosis.literals import required, spans_lines
from devsetup.diagnosis.reading import TRIGGERS
from devsetup.errors import InvalidInput
from devsetup.symptom import Symptom

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
    """

    symptom: Symptom
    groups: dict[str, str]
    order: int


class _Pattern:
    """A pattern, compiled when a line first has the texts that it requires: most of them never are."""

    def __init__(self, symptom: Symptom, text: str) -> None:
        is_regex = text.startswith("re:")
        self.symptom = symptom
        self.source = text.removeprefix("re:").translate(_PLAIN_QUOTES)
        self.required = required(self.source) if is_regex else (self.source,)
        self.spans_lines = spans_lines(self.source) if is_regex else "\n" in self.source
        self._expression = None if is_regex else re.compile(re.escape(self.source))

    def search(self, window: Window) -> dict[str, str] | None:
        text = window.context if self.spans_lines else window.text
        for part in self.required:  # not `any(...)`, which takes three times as long, hundreds of times for each line
            if part in text:
                break
        else:
            if self.required:
                return None
        found = self.expression().search(text)
        # A pattern over several lines must begin on this one, or the line before would have found it.
        if found is None or found.start() > len(window.text):
            return None
        return {name: " ".join((value or "").split()) for name, value in found.groupdict().items()}

    def expression(self) -> re.Pattern[str]:
        """The pattern, ready to search with.

        Raises:
            InvalidInput: it is malformed.
        """
        if self._expression is None:
            try:
                self._expression = re.compile(self.source)
            except re.error as error:
                raise InvalidInput(
                    f"symptom {self.symptom.id}: pattern {self.source!r} is malformed: {error}"
                ) from error
        return self._expression


class Matcher:
    """All symptoms, ready to be looked for."""

    def __init__(self, symptoms: Iterable[Symptom]) -> None:
        self._by_trigger: dict[str, list[_Pattern]] = {}
        self._known: dict[str, tuple[Hit, ...]] = {}
        self._patterns = tuple(_Pattern(symptom, text) for symptom in symptoms for text in symptom.patterns)
        self._order = {pattern.symptom.id: place for place, pattern in enumerate(self._patterns)}
        for pattern in self._patterns:
            for trigger in _triggers(pattern):
                self._by_trigger.setdefault(trigger, []).append(pattern)

    def check(self) -> None:
        """Compile every pattern now, rather than when a line first needs it.

        Raises:
            InvalidInput: one is malformed.
        """
        for pattern in self._patterns:
            pattern.expression()

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
        done: set[str] = set()
        for trigger, patterns in self._by_trigger.items():
            if trigger not in window.text:
                continue
            for pattern in patterns:
                groups = None if pattern.symptom.id in done else pattern.search(window)
                if groups is not None:
                    done.add(pattern.symptom.id)
                    yield Hit(pattern.symptom, groups, self._order[pattern.symptom.id])


def _triggers(pattern: _Pattern) -> tuple[str, ...]:
    """The texts of which a line that shows a pattern has one: triggers, or what the pattern requires.

    Raises:
        InvalidInput: it has none.
    """
    plain = pattern.source.replace("\\", "")
    triggers = tuple(trigger for trigger in TRIGGERS if trigger in plain)
    if not triggers:
        raise InvalidInput(
            f"symptom {pattern.symptom.id}: pattern {pattern.source!r} has no trigger, by which lines are chosen",
            "say more of the message, or add a trigger to devsetup/diagnosis/reading.py",
        )
    if pattern.spans_lines or not pattern.required:
        return triggers
    # One for each of the texts that it requires is enough, and saves asking it again for every other. A text without a
    # trigger stands for itself, on a line that was chosen for another word.
    return tuple(
        sorted({next((trigger for trigger in triggers if trigger in text), text) for text in pattern.required})
    )

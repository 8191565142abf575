"""Writes docs/symptoms.md from `symptoms/*.toml`; `pytest tests/test_symptoms_page.py --refresh` calls it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from devsetup.loader import Loader, default_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devsetup.symptom import Remedy, Symptom

_HEAD = """# Known failures

Made from `symptoms/*.toml` by `docs/symptoms.py`: change those, then run `./dev test tests/test_symptoms_page.py
--refresh`.
`A`: seen in the sources or reproduced; `B`: the message is attested, the remedy is from documentation; `C`: unverified.
"""


def page() -> str:
    """The page, as Markdown."""
    found = Loader(default_root({})).symptoms()
    sections = (_section(stack, tuple(group)) for stack, group in groupby(found, key=lambda each: each.stack))
    return "\n".join((_HEAD, *sections))


def _section(stack: str, found: Iterable[Symptom]) -> str:
    return "\n".join((f"## {stack}\n", *(_entry(each) for each in found)))


def _entry(symptom: Symptom) -> str:
    affects = f" {symptom.affects}." if symptom.affects else ""
    lines = [
        f"### {symptom.id}\n",
        f"{_plain(symptom.title)} ({symptom.where}, {symptom.confidence}).{affects}\n",
        f"{_plain(symptom.cause)}\n",
        *_fenced(symptom.matches[:1]),
        *(f"- {_remedy(each)}" for each in symptom.remedies),
        f"\nSources: {', '.join(symptom.sources) or 'none'}\n",
    ]
    return "\n".join(lines)


def _fenced(examples: tuple[str, ...]) -> Iterator[str]:
    for example in examples:
        yield f"```text\n{example.rstrip()}\n```\n"


def _remedy(remedy: Remedy) -> str:
    packages = [f"{manager}: {' '.join(names)}" for manager, names in remedy.packages.items()]
    more = [*remedy.libraries, *packages, *(f"`{_plain(line)}`" for line in remedy.commands)]
    where = "" if str(remedy.when) == "always" else f"On {remedy.when}: "
    also = f" ({'; '.join(more)})" if more else ""
    return f"{where}{_plain(remedy.text)}{also}"


def _plain(text: str) -> str:
    """Holes as a reader takes them: `<%= seen.header %>` is HEADER."""
    pieces = text.split("<%=")
    tails = (piece.partition("%>") for piece in pieces[1:])
    return pieces[0] + "".join(f"{hole.strip().rpartition('.')[2].upper()}{rest}" for hole, _, rest in tails)

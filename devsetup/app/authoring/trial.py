"""`recipe test`: a recipe planned on every declared host, with the machine out of reach."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from devsetup.errors import DevsetupError, InvalidInput, Refused
from devsetup.lower import lower
from devsetup.plan import Plan, to_json
from devsetup.planner import Catalogue, Wish, make_plan
from devsetup.steps import ApplyPatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from devsetup.facts import Facts
    from devsetup.loader import Loader
    from devsetup.recipe import Recipe

_FORBIDDEN = (
    "open",
    "os.",
    "shutil.",
    "subprocess.",
    "socket.",
    "urllib.",
    "ctypes.",
    "glob.",
    "pathlib.",
    "tempfile.",
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What planning a recipe on a host came to.

    Attributes:
        status: `planned`, `refused` (the recipe says why it cannot be installed there) or `error`.
        steps: of all parts of the plan, and `patches` those among them that apply one.
        reason: of a refusal or an error.
    """

    recipe: str
    host: str
    status: str
    steps: int = 0
    patches: int = 0
    reason: str = ""


def trial(loader: Loader, names: tuple[str, ...]) -> tuple[Outcome, ...]:
    """Plan each recipe on every declared host, twice, and lower every step.

    A recipe that opens a file, starts a process or makes a socket while it plans is an error, and so is one whose two
    plans differ.

    Raises:
        UsageError: no such recipe.
        InvalidInput: a recipe's file does not load, or a host's is malformed.
    """
    catalogue = _in_memory(loader, names)
    hosts = {host: loader.host(host) for host in loader.hosts()}
    watch = _Watch()
    return tuple(_outcome(name, host, facts, catalogue, watch) for name in names for host, facts in hosts.items())


def _in_memory(loader: Loader, names: tuple[str, ...]) -> Catalogue:
    """The catalogue with everything read that planning these recipes asks for."""
    recipes: dict[str, Recipe] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in recipes:
            recipes[name] = loader.recipe(name)
            waiting += recipes[name].possible_needs
    texts = {name: loader.texts(recipe) for name, recipe in recipes.items()}
    return Catalogue(recipe=recipes.__getitem__, texts=lambda recipe: texts[recipe.name], libraries=loader.libraries())


def _outcome(name: str, host: str, facts: Facts, catalogue: Catalogue, watch: _Watch) -> Outcome:
    try:
        made = _planned(name, facts, catalogue, watch)
    except Refused as error:
        return Outcome(recipe=name, host=host, status="refused", reason=error.message)
    except DevsetupError as error:
        return Outcome(recipe=name, host=host, status="error", reason=error.message)
    except Exception as error:  # noqa: BLE001 - whatever a recipe under test raises is its outcome
        return Outcome(recipe=name, host=host, status="error", reason=f"{type(error).__name__}: {error}")
    steps = [step for part in made.parts for step in part.steps]
    patches = sum(isinstance(step, ApplyPatch) for step in steps)
    return Outcome(recipe=name, host=host, status="planned", steps=len(steps), patches=patches)


def _planned(name: str, facts: Facts, catalogue: Catalogue, watch: _Watch) -> Plan:
    with watch.keeping_out():
        first, second = (make_plan(Wish(names=(name,)), facts, catalogue) for _ in range(2))
        for part in first.parts:
            for step in part.steps:
                if not lower(step):
                    raise InvalidInput(f"it yields {step!r}, which is not one of devsetup.steps")
    if to_json(first) != to_json(second):
        raise InvalidInput("planned twice on the same facts, it gave two different plans")
    return first


class _Watch:
    """Keeps code away from the machine, and remembers what it tried even when it catches the refusal.

    By Python's audit events, which every file, process and socket raises. A hook stays for the life of the process, so
    it is switched on and off. Reading the environment raises no event: that `os` is not imported is `lint`'s business.
    """

    def __init__(self) -> None:
        self._on = False
        self._tried: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def keeping_out(self) -> Iterator[None]:
        self._tried.clear()
        self._on = True
        try:
            yield
        finally:
            self._on = False
            if self._tried:
                raise InvalidInput(f"planning must not touch the machine, and it did: {self._tried[0]}")

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self._on and event.startswith(_FORBIDDEN) and not _importing():
            self._tried.append(f"{event} {args[0]!r}" if args else event)
            raise InvalidInput(f"planning tried {self._tried[-1]}")


def _importing() -> bool:
    """Whether Python itself is reading a module, as devsetup's own late imports make it do."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the cheap way to the stack
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

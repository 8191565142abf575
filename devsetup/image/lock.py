"""`devsetup.lock`: what an image was made of, so that it is made of the same again, and so that a change is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput, StateError
from devsetup.steps import LocalSource
from devsetup.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.plan import Part, Plan

FILE = "devsetup.lock"
_NEXT = "restore it from version control, or remove it: `devsetup image` writes a new one"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class LockedPart(_Entry, frozen=True, kw_only=True):
    """A recipe's part.

    Attributes:
        key: of the part.
        sources: sha256 of each alternative, by the source's id, which several may share.
        patches: names of those that the base needs.
    """

    key: str
    sources: dict[str, tuple[str, ...]] = {}
    patches: tuple[str, ...] = ()


class Locked(_Entry, frozen=True, kw_only=True):
    """An image on one base.

    Attributes:
        digest: of the base, `sha256:...`; empty as long as no engine has been asked.
        host: whose facts the plan was made for.
        plan: digest of the plan.
        created: seconds since 1970: when the entry became what it is. All times of the image are set to it.
        parts: recipe to part.
    """

    digest: str
    host: str
    plan: str
    created: int
    parts: dict[str, LockedPart]


class Lock(_Entry, frozen=True, kw_only=True):
    """The file: one entry for each base, by its reference."""

    schema: int = 1
    bases: dict[str, Locked] = {}


def read(path: Path) -> Lock:
    """Read a lock; a missing file is an empty one.

    Raises:
        InvalidInput: it cannot be read, is malformed, or is of a later devsetup.
    """
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", "check its owner and permissions") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not a valid lock: {error}", _NEXT) from error
    if lock.schema != 1:
        raise InvalidInput(f"{path} has schema {lock.schema}, and this devsetup knows 1", "use a later devsetup")
    return lock


def write(path: Path, lock: Lock) -> None:
    """Write a lock, whole or not at all.

    Raises:
        StateError: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(lock, order="deterministic"), indent=2)
    try:
        write_whole(path, f"{data.decode()}\n")
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}", "check its owner and permissions") from error


def lock_of(plan: Plan, *, digest: str, host: str, created: int) -> Locked:
    """The entry for a plan on a base."""
    parts = {part.name: _part(part) for part in plan.parts}
    return Locked(digest=digest, host=host, plan=plan.digest, created=created, parts=parts)


def _part(part: Part) -> LockedPart:
    sources: dict[str, tuple[str, ...]] = {}
    for source in part.sources:
        if not isinstance(source, LocalSource):
            sources[source.id] = (*sources.get(source.id, ()), source.sha256)
    return LockedPart(key=part.key, sources=sources, patches=tuple(each.name for each in part.patches if each.needed))


def drift(locked: Locked, now: Locked) -> tuple[str, ...]:
    """How an image would differ from the locked one, in words; empty when it would be the same."""
    found = []
    if locked.host != now.host:
        found.append(f"the base was taken for {locked.host}, and is now taken for {now.host}")
    if locked.digest and now.digest and locked.digest != now.digest:
        found.append(f"the base moved from {locked.digest} to {now.digest}")
    found += [f"{name} is no more part of it" for name in locked.parts if name not in now.parts]
    for name, part in now.parts.items():
        before = locked.parts.get(name)
        if before is None:
            found.append(f"{name} is new in it")
        elif before != part:
            found += [f"{name}: {difference}" for difference in _differences(before, part)]
    return tuple(found) or (("the plan is another one",) if locked.plan != now.plan else ())


def _differences(before: LockedPart, now: LockedPart) -> list[str]:
    found = [f"source {name} is new" for name in now.sources if name not in before.sources]
    found += [f"source {name} is gone" for name in before.sources if name not in now.sources]
    found += [
        f"source {name} has another sha256" for name, sha in before.sources.items() if now.sources.get(name, sha) != sha
    ]
    found += [f"patch {name} is new" for name in now.patches if name not in before.patches]
    found += [f"patch {name} is gone" for name in before.patches if name not in now.patches]
    return found or [f"its steps changed: {before.key} is now {now.key}"]

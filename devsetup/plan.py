"""The plan: facts and ordered steps, as data with a digest. It can be printed, diffed, saved and rendered."""

from __future__ import annotations

import hashlib

import msgspec

from devsetup.amendment import Amendment
from devsetup.facts import Facts, Libc
from devsetup.proofs import Proof
from devsetup.steps import Env, Source, Step, SystemPackages


class _Planned(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PlannedPatch(_Planned, frozen=True, kw_only=True):
    """A patch of the recipe, and whether this machine needs it.

    Attributes:
        when: the condition as text.
        needed: the condition holds here.
        because: the facts that decided.
    """

    name: str
    why: str
    when: str
    needed: bool
    because: str
    upstream: str = ""


class Identity(_Planned, frozen=True, kw_only=True):
    """The facts that make a build good for another machine or not; all others act only through the steps' text."""

    os: str
    version: str
    arch: str
    libc: Libc | None = None


class Part(_Planned, frozen=True, kw_only=True):
    """What makes one prefix: one recipe, resolved for one machine.

    Attributes:
        needs: keys of the parts that this one uses.
        steps: in order, system packages first.
        memory_per_job_mb: peak memory of one compile job, which bounds the number of jobs.
        disk_mb: room that building takes at its peak, build tree and prefix together.
        amendments: changes that remedies made to what the recipe says; `place` is the key without them.
    """

    name: str
    version: str
    summary: str
    identity: Identity
    options: dict[str, str] = {}
    needs: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    patches: tuple[PlannedPatch, ...] = ()
    steps: tuple[Step, ...] = ()
    proofs: tuple[Proof, ...] = ()
    memory_per_job_mb: int = 0
    disk_mb: int = 0
    amendments: tuple[Amendment, ...] = ()
    place: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of everything above. The same text gives the same prefix."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    @property
    def key(self) -> str:
        """`name-version-digest8`: the name of the prefix in the store.

        An amended part keeps the key of the part that it mends: that one cannot be built here, so the two never want
        the place at the same time, and a build can go on where it failed.
        """
        return self.place or f"{self.name}-{self.version}-{self.digest[:8]}"

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of the system packages that the steps ask for, in order."""
        return tuple(name for step in self.steps if isinstance(step, SystemPackages) for name in step.names)

    @property
    def activation(self) -> tuple[Env, ...]:
        """The variables that using the install needs."""
        return tuple(step for step in self.steps if isinstance(step, Env))


class Plan(_Planned, frozen=True, kw_only=True):
    """Parts in the order in which they must be made. `wanted` are the keys that were asked for by name."""

    facts: Facts
    parts: tuple[Part, ...]
    wanted: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 over the parts' digests, in order."""
        return hashlib.sha256("\n".join(part.digest for part in self.parts).encode()).hexdigest()


def to_json(plan: Plan) -> bytes:
    """Canonical JSON: the same plan is the same bytes."""
    return msgspec.json.encode(plan, order="deterministic")


def part_from_json(data: bytes | str) -> Part:
    """Read a part back, as receipts keep it."""
    return msgspec.json.decode(data, type=Part)

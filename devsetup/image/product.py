"""What making an image gives: a context that was drawn, and an image that was finished."""

from __future__ import annotations

from pathlib import Path

import msgspec

from devsetup.image.base import Base
from devsetup.image.build import Built
from devsetup.plan import Plan
from devsetup.proofs import Finding
from devsetup.render.image import Context


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A build context that was written.

    Attributes:
        digest: of the base, as far as it is known.
        of: digest of the context.
        created: seconds since 1970, for all times in the image.
        changes: how it differs from what the lock said before, in words.
    """

    name: str
    base: Base
    digest: str
    plan: Plan
    context: Context
    directory: Path
    of: str
    created: int
    changes: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The image's name in an engine's store."""
        return f"localhost/{self.name}"


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was built.

    Attributes:
        size: bytes of all its layers.
        trials: what was seen when it ran, read-only and without a network.
        sbom: path of its list of contents.
        pushed: where it was pushed to.
    """

    built: Built
    engine: str
    size: int
    trials: tuple[Finding, ...]
    sbom: str
    pushed: str = ""

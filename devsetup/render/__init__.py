"""One plan in several forms: each a pure function from the plan to a text, none of which needs devsetup to run.

All forms are made of the primitives that the local run carries out (`lower`), so they cannot drift from it. What a form
cannot express it refuses with CannotRender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.render.ansible import ansible
from devsetup.render.containerfile import containerfile
from devsetup.render.shell import shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from devsetup.plan import Plan

RENDERERS: dict[str, Callable[[Plan], str]] = {
    "shell": shell,
    "containerfile": containerfile,
    "ansible": ansible,
}

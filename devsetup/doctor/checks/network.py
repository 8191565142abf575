"""Checks of network."""

from __future__ import annotations

from devsetup.doctor.finding import Check  # noqa: TC001

CHECKS: tuple[Check, ...] = ()

"""Diagnosing a machine: checks, each with what was seen, why it matters and one next step."""

from __future__ import annotations

from devsetup.doctor.engine import examine, select
from devsetup.doctor.exam import Exam, Goal
from devsetup.doctor.finding import Check, Evidence, Finding, Fix, Result

__all__ = ["Check", "Evidence", "Exam", "Finding", "Fix", "Goal", "Result", "examine", "select"]

"""Why did it fail? A log, read once from its beginning, becomes causes with their remedies for a machine. Pure."""

from __future__ import annotations

from devsetup.diagnosis.matching import Matcher
from devsetup.diagnosis.reading import Log, read
from devsetup.diagnosis.verdict import Cause, Diagnosis, Treatment, diagnose

__all__ = ["Cause", "Diagnosis", "Log", "Matcher", "Treatment", "diagnose", "read"]

"""Every failure a user can meet: what was seen, and one next step.

Errors carry facts; `console` formats them and `cli` turns `exit_code` into the process's exit status
(0 ok, 1 known failure, 2 usage, 3 bug, 130 interrupted).
"""

from __future__ import annotations


class DevsetupError(Exception):
    """A known failure.

    Attributes:
        message: one sentence that says what was seen, with the path or value.
        hint: the one next step, or None.
        detail: further lines to show under the message (a log's first errors, a list of packages).
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None, *, detail: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class UsageError(DevsetupError):
    """The command line asks for something that does not exist or makes no sense."""

    exit_code = 2


class InvalidInput(DevsetupError):
    """A file the user or a recipe supplied (facts, patch, recipe) is malformed."""


class SourceError(DevsetupError):
    """A source could not be had: every alternative failed, a hash differs, an archive is broken or unsafe."""


class Refused(DevsetupError):
    """devsetup will not go on without consent, privileges or room; nothing was changed."""


class StepFailed(DevsetupError):
    """A step of a plan failed.

    Attributes:
        recipe: whose step it is.
        step: the title of the step.
        log: path of the full log.
        replay: a shell line that repeats the step by hand.
    """

    def __init__(self, error: DevsetupError, *, recipe: str, step: str, log: str, replay: str | None) -> None:
        super().__init__(error.message, error.hint, detail=error.detail)
        self.recipe = recipe
        self.step = step
        self.log = log
        self.replay = replay


class ProofFailed(DevsetupError):
    """What was built does not work: a missing library, a failed import, a workload below its bar."""


class NotProven(ProofFailed):
    """An install was built and failed a proof.

    Attributes:
        recipe: whose proof it is.
        step: the proof's title.
        log: path of the full log.
    """

    def __init__(self, message: str, hint: str, *, detail: tuple[str, ...], made: tuple[str, str, str]) -> None:
        super().__init__(message, hint, detail=detail)
        self.recipe, self.step, self.log = made


class StateError(DevsetupError):
    """devsetup's own home (store, receipts, locks) cannot be read or written."""


class CannotRender(InvalidInput):
    """A form of the plan cannot express one of its steps. It says so; it never leaves the step out."""

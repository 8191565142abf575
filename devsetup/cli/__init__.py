"""The command line: parse, call `app`, show with `console`. The one place that decides exit statuses.

Exit status: 0 ok, 1 known failure, 2 usage, 3 bug (a log file is named), 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from devsetup.cli.root import Session, root
from devsetup.console.screen import Screen
from devsetup.errors import DevsetupError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_INTERRUPTED = 130
_BUG = 3


def main(argv: Sequence[str]) -> int:
    """Run one command line.

    Args:
        argv: the words after `devsetup`.

    Returns:
        The exit status.
    """
    screen = Screen()
    session = Session(screen)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = root.main(args=list(argv), prog_name="devsetup", standalone_mode=False, obj=session)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "devsetup"
        screen.error(UsageError(error.format_message(), f"see `{where} --help`"))
        return error.exit_code
    except DevsetupError as error:
        screen.error(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        screen.say("interrupted; nothing is half-installed, and running the same command again starts clean")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; say no more, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the boundary: a bug becomes a report, not a traceback
        return _report_bug(error, session, screen)
    return code if isinstance(code, int) else 0


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _report_bug(error: Exception, session: Session, screen: Screen) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="devsetup-bug-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"devsetup {session.version}, Python {sys.version}\n")
        file.write("".join(traceback.format_exception(error)))
    screen.error(
        DevsetupError(
            f"this is a bug in devsetup: {type(error).__name__}: {error}",
            f"please report it with the log file {file.name}",
        )
    )
    return _BUG

"""Writing: data to standard output, everything else to standard error. The only module that prints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from devsetup.console.blocks import Block, Code, Table, Text, Title, plain
from devsetup.errors import DevsetupError, Refused, StepFailed

if TYPE_CHECKING:
    import rich.console

# Words whose meaning is good or bad wherever they stand alone in a cell. Colour repeats what the word says.
_STYLES = {
    "ok": "green",
    "yes": "green",
    "present": "green",
    "installed": "green",
    "applied": "green",
    "run": "green",
    "applies": "cyan",
    "simulated": "cyan",
    "already upstream": "cyan",
    "not needed here": "dim",
    "skip": "dim",
    "untried": "yellow",
    "missing": "yellow",
    "interrupted": "yellow",
    "info": "cyan",
    "warn": "yellow",
    "error": "magenta",
    "fail": "red",
    "failed": "red",
}


class Screen:
    """One terminal, or what stands in for it.

    Attributes:
        out: data goes here.
        err: progress, questions and errors go here.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr

    def show(self, blocks: tuple[Block, ...], *, aside: bool = False) -> None:
        """Print a view; `aside` sends it to standard error (a preview before an install is not data)."""
        stream = self.err if aside else self.out
        if fancy(stream):
            pretty(blocks, rich_console(stream))
        else:
            stream.write(plain(blocks))
            stream.flush()

    def json(self, kind: str, value: Any) -> None:
        """Print `{"schema": 1, kind: value}`."""
        data = msgspec.json.encode({"schema": 1, kind: value}, order="deterministic")
        self.out.write(msgspec.json.format(data, indent=2).decode() + "\n")
        self.out.flush()

    def raw(self, text: str) -> None:
        """Print text as it is, for another program to read."""
        self.out.write(text)
        self.out.flush()

    def say(self, text: str) -> None:
        """A line on standard error."""
        self.err.write(f"{text}\n")
        self.err.flush()

    def error(self, error: DevsetupError) -> None:
        """What was seen, its detail, and the one next step."""
        lines = []
        if isinstance(error, StepFailed):
            lines.append(f"step failed: {error.step}")
        lines.append(f"error: {error.message}")
        lines += [f"    {line}" for line in error.detail]
        if isinstance(error, StepFailed):
            lines.append(f"log: {error.log}")
            if error.replay:
                lines.append(f"replay: {error.replay}")
        if error.hint:
            lines.append(f"hint: {error.hint}")
        if fancy(self.err):
            self._pretty_error(lines)
        else:
            self.err.write("\n".join(lines) + "\n")
            self.err.flush()

    def _pretty_error(self, lines: list[str]) -> None:
        from rich.text import Text as RichText  # noqa: PLC0415 - terminals only

        styles = {
            "error:": "bold red",
            "step failed:": "bold red",
            "hint:": "bold cyan",
            "log:": "dim",
            "replay:": "dim",
        }
        console = rich_console(self.err)
        for line in lines:
            text = RichText(line)
            for label, style in styles.items():
                if line.startswith(label):
                    text.stylize(style, 0, len(label))
            console.print(text, soft_wrap=True)

    @property
    def interactive(self) -> bool:
        """There is somebody to ask."""
        return sys.stdin is not None and sys.stdin.isatty() and self.err.isatty()

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; yes only when the answer says so.

        Raises:
            Refused: there is no terminal to ask on.
        """
        if not self.interactive:
            raise Refused("this needs your consent, and there is no terminal to ask on", "pass -y to agree beforehand")
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise KeyboardInterrupt
        return answer.strip().lower() in {"y", "yes"}


def fancy(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows more than plain lines."""
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def rich_console(stream: TextIO) -> rich.console.Console:
    """A rich console for a terminal; it honours NO_COLOR by itself."""
    from rich.console import Console  # noqa: PLC0415 - 37 ms that pipes need not pay

    return Console(file=stream, highlight=False)


def pretty(blocks: tuple[Block, ...], console: rich.console.Console) -> None:
    """Print blocks with rich."""
    for number, block in enumerate(blocks):
        if number and not isinstance(blocks[number - 1], Table):  # a table ends with a blank line of its own
            console.print()
        match block:
            case Title(text=text):
                console.print(text, style="bold", markup=False)
            case Text(text=text):
                console.print(text, markup=False)
            case Code(lines=lines):
                for line in lines:
                    console.print(f"  {line}", style="cyan", markup=False, soft_wrap=True)
            case Table():
                _pretty_table(block, console)


def _pretty_table(table: Table, console: rich.console.Console) -> None:
    from rich import box  # noqa: PLC0415 - terminals only
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text as RichText  # noqa: PLC0415

    drawn = RichTable(
        box=box.SIMPLE_HEAD, title=table.title or None, title_justify="left", title_style="bold", pad_edge=False
    )
    for index, column in enumerate(table.columns):
        drawn.add_column(column, overflow="fold", style="bold" if index == 0 else "", no_wrap=index == 0)
    for row in table.rows:
        drawn.add_row(*(RichText(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(drawn)

"""Progress of long work: a live step tree on a terminal, plain lines elsewhere. Both are event sinks."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from devsetup.console.screen import Screen, fancy, rich_console
from devsetup.console.views import size
from devsetup.events import (
    Event,
    Line,
    Note,
    PartFinished,
    PartStarted,
    Progress,
    Proved,
    StepFinished,
    StepStarted,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.console import RenderableType
    from rich.live import Live
    from typing_extensions import Self

_HEARTBEAT_S = 30.0


def watch(screen: Screen) -> PlainProgress | LiveProgress:
    """The sink that suits standard error; use it as a context manager."""
    return LiveProgress(screen) if fancy(screen.err) else PlainProgress(screen)


class PlainProgress:
    """One line when a step starts and one when it ends; a sign of life in between every 30 seconds."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._total = 0
        self._step = ""
        self._next_sign = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def paused(self) -> contextlib.nullcontext[None]:
        """While a question is asked."""
        return contextlib.nullcontext()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        say = self.screen.say
        match event:
            case PartStarted(key=key, steps=steps, log=log):
                self._total = len(steps)
                say(f"{key}: {len(steps)} steps, full log in {log}")
            case StepStarted(index=index, title=title):
                self._step = title
                self._next_sign = time.monotonic() + _HEARTBEAT_S
                say(f"[{index + 1}/{self._total}] {title}")
            case StepFinished(index=index, seconds=seconds, note=note):
                say(f"[{index + 1}/{self._total}] done in {seconds:.1f} s{f' ({note})' if note else ''}")
            case Line(text=text):
                self._sign(text)
            case Progress(label=label, done=done, total=total):
                self._sign(f"{label}: {size(done)} of {size(total)}" if total else f"{label}: {size(done)}")
            case Note() | Proved() | Waiting() | PartFinished():
                say(_sentence(event))

    def _sign(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._next_sign:
            self._next_sign = now + _HEARTBEAT_S
            self.screen.say(f"    {self._step}: {text[:160]}")


def _sentence(event: Note | Proved | Waiting | PartFinished) -> str:
    match event:
        case Note(text=text):
            return f"    {text}"
        case Proved(finding=finding):
            return f"    {finding.status}: {finding.proof}: {finding.summary} ({finding.seconds:.1f} s)"
        case Waiting(key=key, owner=owner):
            return f"    waiting for another devsetup ({owner}), which works on {key}"
        case PartFinished(key=key, prefix=prefix, seconds=seconds, fresh=fresh):
            return f"{key}: installed in {seconds:.0f} s: {prefix}" if fresh else f"{key}: already installed: {prefix}"


class LiveProgress:
    """The step tree of the part at hand: steps done with their times, the current one with its last line of output."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._live: Live | None = None
        self._titles: tuple[str, ...] = ()
        self._done: list[str] = []
        self._title = ""
        self._started = time.monotonic()
        self._last = ""
        self._download = ""

    def __enter__(self) -> Self:
        from rich.live import Live  # noqa: PLC0415 - terminals only

        self._live = Live(
            console=rich_console(self.screen.err), get_renderable=self._tree, refresh_per_second=8, transient=True
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal is left alone while a question is asked."""
        if self._live is not None:
            self._live.stop()
        yield
        if self._live is not None:
            self._titles = ()
            self._live.start(refresh=True)

    def _print(self, text: str, style: str = "") -> None:
        if self._live is not None:
            self._live.console.print(text, style=style, markup=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case PartStarted(key=key, steps=steps, log=log):
                self._titles, self._done = steps, []
                self._print(key, "bold")
                self._print(f"  full log: {log}", "dim")
            case StepStarted(title=title):
                self._title = title
                self._started, self._last, self._download = time.monotonic(), "", ""
            case StepFinished(title=title, seconds=seconds, note=note):
                self._done.append(title)
                self._title = ""
                self._print(f"  ✓ {title}  {seconds:.1f} s{f'  {note}' if note else ''}", "green")
            case Line(text=text):
                self._last = text
            case Progress(label=label, done=done, total=total):
                self._download = f"{label} {size(done)}" + (
                    f" of {size(total)}, {done * 100 // total} %" if total else ""
                )
            case PartFinished():
                self._titles = ()
                self._print(_sentence(event), "bold green")
            case Note() | Proved() | Waiting():
                self._print(_sentence(event))

    def _tree(self) -> RenderableType:
        from rich.text import Text  # noqa: PLC0415 - terminals only

        if not self._titles:
            return Text(self._last[:200], style="dim", no_wrap=True, overflow="ellipsis")
        text = Text(no_wrap=True, overflow="ellipsis")
        if self._title:
            elapsed = int(time.monotonic() - self._started)
            text.append(f"  ▸ {self._title}  {elapsed // 60}:{elapsed % 60:02d}\n", style="bold cyan")
            text.append(f"      {self._download or self._last[:200]}\n", style="dim")
        # Image builders do not keep to the order in which steps were announced.
        ahead = [title for title in self._titles if title not in self._done and title != self._title]
        for title in ahead[:3]:
            text.append(f"  · {title}\n", style="dim")
        if len(ahead) > 3:  # noqa: PLR2004 - as above
            text.append(f"  · and {len(ahead) - 3} more\n", style="dim")
        return text

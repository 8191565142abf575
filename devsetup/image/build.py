"""Building an image from a context: steps as events, the log, and what is known of the last build."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup.events import Line, PartStarted, StepFinished, StepStarted, silent
from devsetup.image import settings
from devsetup.image.engine import BuildFailed, EngineFailed, Order
from devsetup.image.output import CONTAINERFILE
from devsetup.render.instructions import HOME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devsetup.events import Emit, Event
    from devsetup.image.engine import Engine
    from devsetup.render.image import Context

LOG = "build.log"
SBOM_LABEL = "dev.devsetup.sbom"
_RECORD = ".devsetup-built"
# `STEP 3/20: RUN ...` of buildah and podman, with `[2/5] ` before it in builds of several stages.
_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP (\d+)/(\d+): (.*)", re.IGNORECASE)
_CACHED = re.compile(r"(?:\[\d+/\d+\] )?--> Using cache")


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What a build made.

    Attributes:
        id: of the image, in the engine's store.
        tag: its name there.
        context: digest of what it was built from.
        steps: instructions carried out or found in the cache.
        cached: how many of them came from the cache.
        seconds: wall time.
        fresh: something was built; False when the last build was of the very same context.
    """

    id: str
    tag: str
    context: str
    steps: int
    cached: int
    seconds: float
    fresh: bool = True


def digest(files: Mapping[str, str | Path], created: int) -> str:
    """sha256 of a context: of names and texts, and of the names of files that are taken over, which hold their hash."""
    total = hashlib.sha256(str(created).encode())
    for name, content in sorted(files.items()):
        total.update(f"\0{name}\0{content.name if isinstance(content, Path) else content}".encode())
    return total.hexdigest()


def _last(directory: Path) -> Built | None:
    try:
        return msgspec.json.decode((directory / _RECORD).read_bytes(), type=Built)
    except (OSError, msgspec.MsgspecError):
        return None


def build(  # noqa: PLR0913 - what, from what, how and who watches
    engine: Engine,
    order: Order,
    context: Context,
    environ: Mapping[str, str],
    emit: Emit,
    *,
    of: str,
    jobs: int | None = None,
) -> Built:
    """Build an image, unless the last build was of the very same context and its image is there.

    Args:
        engine: does it.
        order: what; `settings` is filled here.
        context: whose instructions are the steps.
        environ: the user's environment, for how the network is reached.
        emit: gets what happens.
        of: digest of the context.
        jobs: compile jobs; None leaves it to each recipe.

    Raises:
        BuildFailed: names the recipe and step, with the last lines of what it said.
    """
    before = _last(order.context)
    if before and (before.context, before.tag) == (of, order.tag) and engine.has(order.tag, before.id):
        return msgspec.structs.replace(before, fresh=False)
    forget(order.context)
    log = order.context / LOG
    watched = _Watched(context, emit)
    titles = tuple(each.about or each.text.partition("\n")[0] for each in context.instructions)
    emit(PartStarted(order.tag, titles, str(log)))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="devsetup-") as scratch, log.open("wb", buffering=0) as log_file:
        # User 1000 reads it in the container; here nobody else does, since the directory above is ours alone.
        mounted = Path(scratch, "settings")
        mounted.mkdir(mode=0o755)
        settings.write(mounted, environ, jobs)
        try:
            image = engine.build(msgspec.structs.replace(order, settings=mounted), watched, log_file)
        except EngineFailed as error:
            where = watched.where()
            raise BuildFailed(
                f"the image was not built: {where}: {error.message}" if where else error.message,
                f"nothing of it is left; all that was printed: {log}",
                detail=error.detail,
                log=log,
            ) from error
    watched.end()
    return Built(
        id=image,
        tag=order.tag,
        context=of,
        steps=len(watched.seen),
        cached=watched.cached,
        seconds=round(time.monotonic() - start, 3),
    )


def attach(engine: Engine, order: Order, built: Built, listed: Path) -> Built:
    """Put the list of an image's contents into it, as a file and by its digest in a label; what was built is recorded.

    Args:
        engine: built it.
        order: what was built.
        built: without the list.
        listed: path of the list; its name is kept.

    Raises:
        EngineFailed: the list cannot be added.
    """
    with tempfile.TemporaryDirectory(prefix="devsetup-") as scratch, (order.context / LOG).open("ab") as log_file:
        shutil.copyfile(listed, Path(scratch, listed.name))
        added = f"FROM {order.tag}\nCOPY {listed.name} {HOME}/\nLABEL {SBOM_LABEL}=sha256:{_sha256(listed)}\n"
        Path(scratch, CONTAINERFILE).write_text(added, "utf-8")
        small = msgspec.structs.replace(order, context=Path(scratch), cache="")
        image = engine.build(small, silent, log_file)
    built = msgspec.structs.replace(built, id=image)
    (order.context / _RECORD).write_bytes(msgspec.json.encode(built))
    return built


def forget(directory: Path) -> None:
    """Build again next time, whatever is there."""
    (directory / _RECORD).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Watched:
    """An engine's output as events: which instruction is carried out."""

    def __init__(self, context: Context, emit: Emit) -> None:
        self.emit = emit
        self.cached = 0
        self.seen: list[int] = []
        self._started = 0.0
        self._instructions = context.instructions

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Line):
            return
        self.emit(event)
        if found := _STEP.match(event.text):
            self._begin(found.group(3))
        elif _CACHED.match(event.text):
            self.cached += 1

    def _begin(self, text: str) -> None:
        """The next instruction with that beginning: builders put an instruction on one line, and join its lines."""
        self.end()
        first = " ".join(text.split())[:40]
        for index, each in enumerate(self._instructions):
            if index not in self.seen and " ".join(each.text.replace("\\\n", " ").split()).startswith(first):
                self.seen.append(index)
                self._started = time.monotonic()
                self.emit(StepStarted(index, self._title(index)))
                return

    def end(self) -> None:
        """The instruction at hand is done."""
        if self.seen and self._started:
            self.emit(StepFinished(self.seen[-1], self._title(self.seen[-1]), time.monotonic() - self._started))
            self._started = 0.0

    def _title(self, index: int) -> str:
        each = self._instructions[index]
        what = each.about or each.text.partition("\n")[0]
        return f"{each.part}: {what}" if each.part else what

    def where(self) -> str:
        """The recipe and what was done of it."""
        return self._title(self.seen[-1]) if self.seen else ""

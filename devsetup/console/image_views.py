"""What `image` shows: the context, the image, and what its layers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devsetup.console.blocks import Block, Code, Table, Text, Title
from devsetup.console.views import size
from devsetup.image.layers import rebuilt

if TYPE_CHECKING:
    from devsetup.image.layers import Layer
    from devsetup.image.product import Drawn, Finished

_BAR = 32


def view(drawn: Drawn, finished: Finished | None, layers: tuple[Layer, ...]) -> tuple[Block, ...]:
    """An image, or the context of one."""
    parts = ", ".join(f"{part.name} {part.version}" for part in drawn.plan.parts)
    blocks: list[Block] = [Title(f"{drawn.tag}: {parts} on {drawn.base.reference}")]
    if drawn.changes:
        blocks.append(Text("changed since the lock was written: " + "; ".join(drawn.changes)))
    blocks.append(Text(f"build context: {drawn.directory}"))
    if finished is None:
        blocks.append(Code((f"buildah bud --layers -t {drawn.tag} {drawn.directory}",)))
    else:
        blocks.append(Text(_built(finished)))
        blocks.append(Text(f"what is in it: {finished.sbom}"))
        if finished.pushed:
            blocks.append(Text(f"pushed to {finished.pushed}"))
        blocks.append(Code((f"podman run --rm -it {drawn.tag}",)))
    if layers:
        blocks += [_chart(layers), _changes(drawn)]
    return tuple(blocks)


def _built(finished: Finished) -> str:
    built = finished.built
    if not built.fresh:
        return f"unchanged: image {built.id[:12]}, {size(finished.size)}, built before"
    return (
        f"image {built.id[:12]}, {size(finished.size)}, built by {finished.engine} in {built.seconds:.0f} s; "
        f"{built.cached} of {built.steps} steps came from the cache"
    )


def _chart(layers: tuple[Layer, ...]) -> Table:
    most = max(layer.size for layer in layers) or 1
    total = sum(layer.size for layer in layers)
    rows = [
        (layer.part or "-", layer.about, size(layer.size) if layer.size else "-", "█" * round(_BAR * layer.size / most))
        for layer in layers
        if layer.size or not total
    ]
    return Table(
        columns=("recipe", "layer", "size", ""), rows=tuple(rows), title=f"Layers{f': {size(total)}' if total else ''}"
    )


def _changes(drawn: Drawn) -> Table:
    rows = []
    for part in drawn.plan.parts:
        again, kept = rebuilt(drawn.context, part.name)
        rows.append((part.name, str(again), str(kept)))
    return Table(columns=("if this changes", "instructions built again", "from the cache"), rows=tuple(rows))


def record(drawn: Drawn, finished: Finished | None, layers: tuple[Layer, ...]) -> dict[str, Any]:
    """The same as data."""
    return {
        "name": drawn.name,
        "tag": drawn.tag,
        "base": {"reference": drawn.base.reference, "digest": drawn.digest, "host": drawn.base.host},
        "plan": drawn.plan.digest,
        "recipes": [part.key for part in drawn.plan.parts],
        "context": str(drawn.directory),
        "created": drawn.created,
        "changes": drawn.changes,
        "image": finished,
        "layers": layers,
        "rebuilt": {part.name: rebuilt(drawn.context, part.name)[0] for part in drawn.plan.parts},
    }

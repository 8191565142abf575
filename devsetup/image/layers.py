"""What each layer of an image adds, what made it, and what a change would build again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from devsetup.image.build import SBOM_LABEL

if TYPE_CHECKING:
    from devsetup.image.engine import Engine
    from devsetup.render.image import Context, Instruction


class Size(msgspec.Struct, frozen=True):
    """One entry of an image's history: the beginning of what made it, and its bytes, 0 for settings alone."""

    made_by: str
    size: int


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction of the finished image.

    Attributes:
        part: name of the recipe that it belongs to; empty for what all share.
        about: what it does.
        size: bytes that it adds.
    """

    part: str
    about: str
    instruction: str
    size: int


def layers_of(engine: Engine, tag: str) -> tuple[Size, ...]:
    """An image's history, oldest first, with the size of each entry."""
    if engine.name == "buildah":
        return _of_buildah(msgspec.json.decode(engine.details(tag)))
    return tuple(
        Size(str(entry.get("CreatedBy", "")), int(entry.get("size", entry.get("Size", 0))))
        for entry in reversed(engine.history(tag))
    )


def _of_buildah(details: dict[str, Any]) -> tuple[Size, ...]:
    sizes = iter([layer["size"] for layer in msgspec.json.decode(details["Manifest"])["layers"]])
    return tuple(
        Size(entry.get("created_by", ""), 0 if entry.get("empty_layer") else next(sizes, 0))
        for entry in details["OCIv1"]["history"]
    )


def explained(context: Context, history: tuple[Size, ...]) -> tuple[Layer, ...]:
    """The instructions of the image, each with what it adds.

    Args:
        context: what the image was built from.
        history: ends with one entry for each of them, and two for the list of contents if that was added; what comes
            before is the base's. An empty one knows no sizes.
    """
    final = [each for each in context.instructions if each.stage in ("base", "image")]
    made = [each for each in final if not each.text.startswith("FROM ")]
    attached = 2 if history and SBOM_LABEL in history[-1].made_by else 0
    own = history[: len(history) - attached]
    before = own[: max(0, len(own) - len(made))]
    sizes = [entry.size for entry in own[len(before) :]] or [0] * len(made)
    base = Layer(part="", about="the base", instruction=context.instructions[0].text, size=_total(before))
    listed = Layer(part="", about="the list of contents", instruction="COPY", size=_total(history[len(own) :]))
    return (
        *([base] if before else []),
        *(_layer(each, size) for each, size in zip(made, sizes, strict=True)),
        *([listed] if attached else []),
    )


def _total(entries: tuple[Size, ...]) -> int:
    return sum(entry.size for entry in entries)


def _layer(instruction: Instruction, size: int) -> Layer:
    first = " ".join(instruction.text.replace("\\\n", " ").split())
    return Layer(
        part=instruction.part, about=instruction.about or first.split("; ")[0][:60], instruction=first, size=size
    )


def rebuilt(context: Context, part: str) -> tuple[int, int]:
    """How many instructions a change in a recipe builds again, and how many come from the cache.

    Those from the first of its own stage on, in all stages on top of it; and in the image those from where its prefix
    comes in.
    """
    again = 0
    touched: set[str] = set()
    for stage in dict.fromkeys(each.stage for each in context.instructions):
        own = [each for each in context.instructions if each.stage == stage]
        below = own[0].text.split()[1] in touched
        first = next((at for at, each in enumerate(own) if below or each.part == part), len(own))
        first = max(first, 1) if first < len(own) else first  # FROM itself is no work
        if first < len(own):
            touched.add(stage)
        again += len(own) - first
    return again, len(context.instructions) - again

"""`devsetup.toml`, in a repository of the user's: the images that its CI runs in.

[image]
base = "debian:12"                   # or bases = ["debian:12", "debootstrap:trixie"]
recipes = ["caffe", "leveldb"]
name = "caffe-ci"                    # the default is the directory's name
on = "debian-12"                     # the declared host, where the base's name does not tell it

[image.options]
blas = "openblas"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from devsetup.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

FILE = "devsetup.toml"
_EXAMPLE = 'for example: [image] base = "debian:12", recipes = ["caffe"]; see docs/images.md'


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Image(_Table, frozen=True, kw_only=True):
    """The images of a project: its recipes on one base or several.

    Attributes:
        recipes: at least one.
        base: reference of the one base; or else `bases` lists them.
        name: of the image; empty for the directory's.
        on: the declared host, where a base's name does not tell it.
        options: of the recipes.
    """

    recipes: tuple[str, ...]
    base: str = ""
    bases: tuple[str, ...] = ()
    name: str = ""
    on: str = ""
    options: dict[str, str] = {}

    @property
    def references(self) -> tuple[str, ...]:
        """The bases."""
        return self.bases or (self.base,)


class Project(_Table, frozen=True, kw_only=True):
    """The whole file."""

    image: Image


def find(directory: Path) -> Path | None:
    """The file in a directory or the nearest above it, up to the root of its repository; None where there is none."""
    for here in (directory, *directory.parents):
        path = here / FILE
        if path.is_file() or path.is_symlink():
            return path
        if (here / ".git").exists():
            return None
    return None


def read(path: Path) -> Project:
    """Read a project's file.

    Raises:
        InvalidInput: it cannot be read, is no TOML, or says something impossible; the message names it.
    """
    try:
        project = msgspec.toml.decode(path.read_bytes(), type=Project)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", "check what it is, and its permissions") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"{path} is not valid: {error}", _EXAMPLE) from error
    problem = _problem(project.image)
    if problem:
        raise InvalidInput(f"{path}: {problem}", _EXAMPLE)
    named = slug(path.absolute().parent.name) or "image"
    image = msgspec.structs.replace(project.image, name=project.image.name or named)
    return msgspec.structs.replace(project, image=image)


def slug(text: str) -> str:
    """A text as part of an image's or a directory's name: small letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _problem(image: Image) -> str:
    if not image.recipes:
        return "[image] names no recipes"
    if bool(image.base) == bool(image.bases):
        return "[image] says both base and bases" if image.base else "[image] names no base"
    if len(set(image.bases)) != len(image.bases):
        return "[image] names a base twice"
    if image.on and len(image.bases) > 1:
        return "[image] says `on` for several bases, which are different systems"
    return ""

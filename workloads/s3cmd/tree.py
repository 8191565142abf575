"""A tree of files with odd names and many sizes, and what tells two trees apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
LARGEST = 64 * MIB  # at scale 1 and above
ORDINARY = 40  # files of a few KiB at scale 1
ODD = (
    "plain.txt",
    "with spaces  and two",
    " leading and trailing ",
    "-rf",
    "--delete-removed",
    "new\nline",
    "tab\there",
    "caf\u00e9 composed",
    "cafe\u0301 decomposed",
    "\u65e5\u672c\u8a9e/\u30d5\u30a1\u30a4\u30eb.txt",
    "\U0001f980",
    "100% +plus&amp=x?y#z;@:$,",
    "%41%2f%zz",
    "quotes'\"`$(id)",
    "[brackets]{braces}*",
    "<angle>&amp;",
    "~tilde/..dots../...",
    "back\\slash",
    ".hidden/.file",
    "deep/" * 20 + "end",
    "n" * 200,
)
SIZES = (0, 1, 2, 1023, 4095, 4096, 4097, 65_535, 65_537, MIB, 5 * MIB, 15 * MIB, 15 * MIB + 1)


def contents(rng: random.Random, scale: float) -> Iterator[tuple[str, int]]:
    """Names and sizes in bytes: every odd name, every size, a crowd of small files, and one of the largest."""
    for number, name in enumerate(ODD):
        yield name, SIZES[number % len(SIZES)] if number < len(SIZES) else rng.randrange(9 * KIB)
    for number in range(max(1, round(ORDINARY * scale))):
        yield f"many/{number % 7}/file {number}", rng.randrange(9 * KIB)
    yield "largest.bin", min(LARGEST, round(LARGEST * scale))


def make(root: Path, rng: random.Random, scale: float) -> int:
    """Write the tree; returns how many files it has. The same generator state gives the same bytes."""
    count = 0
    for name, size in contents(rng, scale):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))
        count += 1
    return count


def digests(root: Path) -> dict[str, str]:
    """Each file's name, relative and with surrogates for what is no UTF-8, to the SHA-256 of its content."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[str(path.relative_to(root))] = _sha256(file.read)
    return found


def _sha256(read: Callable[[int], bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := read(MIB):
        digest.update(chunk)
    return digest.hexdigest()


def bytes_in(root: Path) -> int:
    """The size of all files, in bytes."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

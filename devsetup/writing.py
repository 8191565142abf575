"""Writing a file as a whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int | None = None) -> None:
    """Put a text in the place of a file, so that nobody ever sees half of it; what was there stays when that fails.

    Args:
        path: of the file; its directory exists.
        text: UTF-8, with line ends as they are.
        mode: of the file; None leaves it to the umask.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".devsetup-{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        if mode is not None:
            draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

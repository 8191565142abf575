"""How a build inside a container reaches what this machine reaches. None of it stays in the image."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from devsetup.environment import passed
from devsetup.render.runtime import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = ("HOME", "USER", "LOGNAME", "TMPDIR", "SOURCE_DATE_EPOCH")  # these mean other things in a container
_PIP = (".config/pip/pip.conf", ".pip/pip.conf")


def write(directory: Path, environ: Mapping[str, str], jobs: int | None = None) -> None:
    """Write `settings`, shell code that steps read, and copies of the files that it names.

    Args:
        directory: becomes `/run/devsetup` of every step.
        environ: the user's environment: proxies, certificates, pip's and numerical libraries' settings.
        jobs: compile jobs; None leaves it to each recipe.
    """
    kept = {name: value for name, value in passed(environ).items() if name not in _OURS}
    places = (*(Path(environ.get("HOME") or Path.home(), name) for name in _PIP), Path("/etc/pip.conf"))
    configured = next((path for path in places if path.is_file()), None)
    if configured is not None:
        kept.setdefault("PIP_CONFIG_FILE", str(configured))
    if jobs is not None:
        kept["DEVSETUP_JOBS"] = str(jobs)
    lines = []
    for number, (name, value) in enumerate(sorted(kept.items())):
        source = Path(value)
        if source.is_absolute() and source.is_dir():
            continue  # a directory of this machine, such as its certificates one by one
        if source.is_absolute() and source.is_file():
            shutil.copyfile(source, directory / str(number))
            value = f"{SETTINGS}/{number}"  # noqa: PLW2901 - where the copy is
        lines.append(f"export {name}={shlex.quote(value)}\n")
    (directory / "settings").write_text("".join(lines), "utf-8")

"""`recipe new`: files that are a working recipe from the first minute, to be changed piece by piece."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from devsetup.errors import Refused, StateError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_RECIPE = r'''"""NAME: say here what it is and what breaks where.

As it stands, this recipe writes, compiles, installs and proves a small C program of its own. It is meant to be changed
piece by piece: `devsetup recipe lint NAME` and `devsetup recipe test NAME` say whether it still holds.

A recipe of someone else's software has these in RECIPE (UrlSource is from devsetup.steps, Patch and When from
devsetup.recipe):

    sources=(UrlSource(id="1.0", url="https://...", sha256="what sha256sum prints"),),
    patches=(
        Patch(
            name="0001-what-it-does.patch",  # a file in patches/NAME/
            when=When(os="macos >=10.10", libraries={"boost": ">=1.67"}),
            why="one line: what breaks without it",
            upstream="https://...",  # the issue or change that explains it
        ),
    ),

and its steps begin with these instead of writing files:

    yield from ctx.source(into=TREE)  # the first source that can be had; its sha256 is verified
    yield from ctx.patches(tree=TREE)  # those whose condition holds on this machine
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import make
from devsetup.recipe import Check, Context, LinkClosure, Recipe, Workload
from devsetup.steps import BUILD, PREFIX, Env, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = f"{BUILD}/NAME"
PROGRAM = r"""#include <stdio.h>
int main(void) {
  int number, count = 0;
  long sum = 0;
  while (scanf("%d", &number) == 1) {
    sum += number;
    count++;
  }
  printf("%d numbers, sum %ld\n", count, sum);
  return 0;
}
"""
MAKEFILE = """all: NAME
NAME: NAME.c
\t$(CC) -O2 -o $@ NAME.c
install: all
\tmkdir -p $(PREFIX)/bin
\tcp NAME $(PREFIX)/bin/NAME
"""


def steps(ctx: Context) -> Iterator[Step]:
    """Source, patches, make, install. A pure function of `ctx.facts` and `ctx.options`."""
    yield WriteFile(path=f"{TREE}/NAME.c", content=PROGRAM)
    yield WriteFile(path=f"{TREE}/Makefile", content=MAKEFILE)
    yield make(TREE, "all", title="compile NAME")
    yield Run(argv=("make", f"PREFIX={PREFIX}", "install"), cwd=TREE, title="install NAME")
    yield WriteFile(path=f"{PREFIX}/share/devsetup/proof.sh", content=ctx.text("workloads/NAME/proof.sh"))
    yield Env(name="PATH", value=f"{PREFIX}/bin")


RECIPE = Recipe(
    name="NAME",
    version="1.0",
    summary="Adds up the numbers that it reads",
    homepage="https://example.org/NAME",
    licence="MIT",
    libraries=("gcc", "make"),
    proofs=(
        LinkClosure(paths=(f"{PREFIX}/bin",)),
        Check(title="starts", argv=("sh", "-c", f"echo 20 22 | {PREFIX}/bin/NAME"), expect=r"^2 numbers, sum 42$"),
        Workload(
            title="add up the first thousand numbers",
            argv=("sh", f"{PREFIX}/share/devsetup/proof.sh", f"{PREFIX}/bin/NAME", "@ARTIFACTS@"),
            artifacts=("result.json",),
        ),
    ),
    steps=steps,
    seen=(("every platform", "untried", "not installed anywhere yet"),),
)
'''
_PROOF = """# A small real job that only a working install can finish: it leaves its result, and fails if that is wrong.
set -eu
said=$(awk 'BEGIN { for (n = 1; n <= 1000; n++) print n }' | "$1")
printf '{"said": "%s"}\\n' "$said" > "$2/result.json"
echo "$said"
[ "$said" = "1000 numbers, sum 500500" ]
"""


def new(name: str, root: Path, like: Path) -> tuple[Path, ...]:
    """Write a recipe that works as it is.

    Args:
        name: of the recipe: lower-case letters, digits, `-` and `_`.
        root: the catalogue to write into, made when it is not there.
        like: the catalogue in use, whose `hosts/` a new catalogue gets a copy of.

    Returns:
        The files of the recipe, in the order in which to read them.

    Raises:
        UsageError: the name cannot be a recipe's.
        Refused: something of that name is there already; nothing was written.
        StateError: a file cannot be written; those written before are removed again.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise UsageError(f"{name!r} cannot name a recipe", "use lower-case letters, digits, - and _, a letter first")
    if root.name == "_data":  # see loader.default_root: inside the wheel, where the next upgrade would remove it
        raise Refused(f"{root} belongs to the installed package", "name a catalogue of your own with --dir DIR")
    texts = {f"recipes/{name}.py": _RECIPE, f"workloads/{name}/proof.sh": _PROOF}
    for path in (root / f"recipes/{name}.py", root / "workloads" / name, root / "patches" / name):
        if path.exists():
            raise Refused(f"{path} is there already", "choose another name, or remove it first")
    try:
        _copy_hosts(like, root)
        _write({root / path: text.replace("NAME", name) for path, text in texts.items()})
    except OSError as error:
        raise StateError(
            f"cannot write a recipe into {root}: {error}", "name another catalogue with --dir DIR"
        ) from error
    return tuple(root / path for path in texts)


def _copy_hosts(like: Path, root: Path) -> None:
    if not (root / "hosts").exists():
        shutil.copytree(like / "hosts", root / "hosts")


def _write(texts: dict[Path, str]) -> None:
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise

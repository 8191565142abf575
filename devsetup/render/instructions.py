"""Instructions of a Containerfile, in the old plain syntax that every builder takes: RUN, ENV and nothing newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.errors import CannotRender
from devsetup.render.body import Form, beginning, form_of, proof_lines, proof_title, step_lines
from devsetup.render.words import comment, pieces, quote
from devsetup.steps import ApplyPatch, Env, Fetch, Step, title

if TYPE_CHECKING:
    from devsetup.plan import Part

HOME = "/opt/devsetup"
FUNCTIONS = f"{HOME}/functions.sh"
# Defined beside the script's functions: what one line of a Containerfile cannot hold.
LINE_BREAKS = "set -eu\numask 022\ncarriage_return=$(printf '\\r')\nexport carriage_return\n"


def run(statements: list[str]) -> str:
    """A RUN with the functions at hand."""
    lines = [f". {FUNCTIONS}", *statements]
    joined = "".join(f"{line} \\\n    " if line.endswith("{") else f"{line}; \\\n    " for line in lines[:-1])
    return f"RUN {joined}{lines[-1]}"


def without_indexes(line: list[str], manager: str) -> list[str]:
    """Install packages, and leave apt's indexes out of the layer."""
    return [*line, "rm -rf /var/lib/apt/lists/*"] if line and manager == "apt" else line


def step_runs(part: Part, form: Form) -> list[tuple[str, str]]:
    """What builds a part: a comment and a RUN for each layer. The first begins the part anew."""
    runs = []
    begun = ["enter"]
    for group in _groups(part):
        named = [(title(step), step_lines(step, form)) for step in group]
        statements = [each for name, own in named if own for each in (f"begin {quote(comment(name))}", *own)]
        if statements:
            runs.append((_about(group), run([*beginning(part), *begun, *statements])))
            begun = []
    return runs


def _groups(part: Part) -> list[list[Step]]:
    """Steps that make one layer: all patches in a row, a source with its unpacking, else each by itself."""
    groups: list[list[Step]] = []
    for step in part.steps:
        before = groups[-1][-1] if groups else None
        together = isinstance(step, ApplyPatch) and isinstance(before, ApplyPatch)
        if together or isinstance(before, Fetch):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _about(group: list[Step]) -> str:
    first = comment(title(group[0]))
    return first if len(group) == 1 else f"{first}, and {len(group) - 1} more"


def proof_statements(part: Part) -> list[str]:
    """What proves a part in the finished image; nothing where it has no proofs."""
    form = form_of(part, one_line=True)
    return [
        each
        for proof in part.proofs
        for each in (f"begin {quote(comment(proof_title(proof)))}", *proof_lines(proof, form))
    ]


def activation(env: Env, part: Part) -> str:
    """`NAME="VALUE"` for an ENV instruction, with the prefixes' places in the image."""
    places = {"PREFIX": part.key, **{f"NEED_{number}": key for number, key in enumerate(part.needs, 1)}}
    variables = form_of(part).variables
    value = "".join(
        f"{HOME}/store/{places[name]}" if name in places else escaped(text)
        for text, name in pieces(env.value, {place: name for place, name in variables.items() if name in places})
    )
    rest = f"${{{env.name}:+:${env.name}}}" if env.mode == "prepend" else ""
    return f'{env.name}="{value}{rest}"'


def escaped(text: str) -> str:
    """Text between the double quotes of an ENV or LABEL instruction.

    Raises:
        CannotRender: it has a line break, which no instruction can hold.
    """
    if "\n" in text or "\r" in text:
        raise CannotRender(f"an ENV instruction cannot hold a line break: {text[:60]!r}")
    for special in '\\"$':
        text = text.replace(special, f"\\{special}")
    return text

"""Results: what a workload with a bench table leaves in `result.json`, and on which machine it was measured. Data.

A workload writes `schema`, `title`, `scale`, `seed`, `rows` and `remarks`, and may add what it likes; devsetup adds
`run`. Other workloads leave a `result.json` of any form.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from devsetup.errors import InvalidInput

FILE = "result.json"


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Row(_Data, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        unit: of both figures: `s`, `MB`, `ratings/s`; empty for ratios and words.
        here: measured on this machine.
        note: the figure of the note that the recipe follows; None where it has none.
    """

    what: str
    unit: str
    here: float | str
    note: float | str | None = None

    @property
    def ratio(self) -> float | None:
        """`here` in multiples of `note`; None unless both are numbers."""
        if isinstance(self.here, str) or isinstance(self.note, str) or not self.note:
            return None
        return self.here / self.note


class Machine(_Data, frozen=True, kw_only=True):
    """Where figures were measured.

    Attributes:
        cpu: the processor's own name; empty when the system does not tell it.
        cores: that the process may use; 0 if unknown.
        memory_mb: MiB that the process may use; 0 if unknown.
        os: name and version.
        arch: `x86_64`, `aarch64`.
    """

    cpu: str = ""
    cores: int = 0
    memory_mb: int = 0
    os: str = ""
    arch: str = ""


class Run(_Data, frozen=True, kw_only=True):
    """The circumstances of a run.

    Attributes:
        at: when it began: UTC, ISO 8601.
        seconds: wall time of the whole workload.
        load: processes that were ready to run before it began (load average of one minute): more than 0 means that
            other work may have disturbed it.
    """

    at: str
    seconds: float
    load: float
    machine: Machine


class Result(_Data, frozen=True, kw_only=True):
    """A bench table.

    Attributes:
        scale: how large the job was; 1 is the size that proves an install.
        remarks: what a reader must know to judge the figures: sizes, options, what `cold` means.
        run: None when it was not devsetup that ran the workload.
    """

    schema: Literal[1]
    title: str
    scale: Annotated[float, msgspec.Meta(gt=0)]
    seed: int
    rows: Annotated[tuple[Row, ...], msgspec.Meta(min_length=1)]
    remarks: tuple[str, ...] = ()
    run: Run | None = None


def decode(data: bytes, name: str) -> Result:
    """Read a bench table.

    Args:
        data: JSON.
        name: what an error calls it.

    Raises:
        InvalidInput: it is no JSON, or no bench table: says which field is wrong.
    """
    try:
        return msgspec.json.decode(data, type=Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name} is no bench table: {error}", "docs/recipes.md says what it must hold") from error


def with_run(data: bytes, run: Run) -> bytes:
    """The same JSON, what else the workload wrote included, with the circumstances in it."""
    return msgspec.json.format(msgspec.json.encode({**msgspec.json.decode(data), "run": run}), indent=1) + b"\n"

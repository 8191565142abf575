"""Benching: run the workload of an install at a chosen size, or show what its last run measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from devsetup import results, verify
from devsetup.app.making import bench_of
from devsetup.app.using import in_use, installed, record_proofs
from devsetup.errors import InvalidInput, ProofFailed, Refused, UsageError
from devsetup.proofs import Workload, decimal
from devsetup.receipts import told

if TYPE_CHECKING:
    from pathlib import Path

    from devsetup.app.workspace import Workspace
    from devsetup.events import Emit
    from devsetup.receipts import Receipt


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A bench table with what reproduces it.

    Attributes:
        key: of the install.
        command: measures again, at the same size.
        file: absolute path of the result.
        plots: absolute paths of the pictures beside it.
    """

    key: str
    name: str
    command: str
    file: str
    plots: tuple[str, ...]
    result: results.Result


def bench(workspace: Workspace, name: str, scale: float, emit: Emit) -> Report:
    """Run the workload of an install. An earlier result stays unless this run succeeds.

    Args:
        workspace: where.
        name: of the recipe.
        scale: 1 is the size that proved the install.
        emit: gets the workload's output.

    Raises:
        UsageError: it is not installed, or has no bench table.
        ProofFailed: the workload failed; the log is named.
    """
    receipt = installed(workspace, name)
    workload = _workload(receipt)
    store = workspace.store
    store.check_writable()
    log = store.new_log(receipt.name, receipt.key)
    site = bench_of(workspace, receipt.key, receipt.part.needs, workspace.clean_env(receipt.facts), emit)
    with in_use(workspace, receipt, emit), log.open("wb") as log_file:
        findings = verify.prove((workload,), structs.replace(site, scale=scale, log=log_file))
    record_proofs(workspace, receipt, findings, str(log))
    bad = verify.failed(findings)
    if bad is not None:
        raise ProofFailed(
            f"the workload of {name} failed at scale {decimal(scale)}: {bad.summary}",
            f"an earlier result is as it was; the whole output: {log}",
            detail=bad.detail,
        )
    return _report(workspace, receipt, workload)


def last(workspace: Workspace, name: str) -> Report:
    """What the last successful run measured: of `bench`, `verify --workload` or the install. Runs nothing.

    Raises:
        UsageError: it is not installed, or has no bench table.
        Refused: there is no result.
        InvalidInput: its file is damaged.
    """
    receipt = installed(workspace, name)
    return _report(workspace, receipt, _workload(receipt))


def _workload(receipt: Receipt) -> Workload:
    found = next((proof for proof in receipt.part.proofs if isinstance(proof, Workload) and proof.bench), None)
    if found is None:
        raise UsageError(
            f"{receipt.name} has no bench table: its proofs have no job that takes a scale",
            f"run what it has with `devsetup verify {receipt.name} --workload`",
        )
    return found


def _report(workspace: Workspace, receipt: Receipt, workload: Workload) -> Report:
    home = workspace.store.artifacts(receipt.key)
    result = _read(home / results.FILE, receipt.name)
    plots = tuple(str(home / name) for name in workload.artifacts if name.endswith((".svg", ".png")))
    return Report(
        key=receipt.key,
        name=receipt.name,
        command=f"devsetup bench {receipt.name} --scale {decimal(result.scale)}",
        file=str(home / results.FILE),
        plots=plots,
        result=result,
    )


def _read(path: Path, name: str) -> results.Result:
    measure = f"measure with `devsetup bench {name}`"
    if not path.is_file():
        raise Refused(f"there is no result of {name}: {path} is not there", measure)
    with told("read", path):
        data = path.read_bytes()
    try:
        return results.decode(data, str(path))
    except InvalidInput as error:
        raise InvalidInput(error.message, measure) from error

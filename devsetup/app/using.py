"""Using and keeping what was installed: activation, proofs again, history, removal."""

from __future__ import annotations

import contextlib
import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from devsetup import verify
from devsetup.app.making import bench_of
from devsetup.errors import Refused, UsageError
from devsetup.loader import suggest
from devsetup.proofs import Finding, Workload
from devsetup.receipts import Entry
from devsetup.steps import substitute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.app.workspace import Workspace
    from devsetup.events import Emit
    from devsetup.receipts import Receipt


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One variable of an activation: set to `value`, or prepended to with it."""

    name: str
    value: str
    prepend: bool


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What proving an install again showed."""

    key: str
    name: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """No proof failed."""
        return verify.failed(self.findings) is None


def installed(workspace: Workspace, name: str) -> Receipt:
    """The newest install of a recipe.

    Raises:
        UsageError: there is none; the hint says how to install it, or names the nearest recipe.
        Refused: another process builds it again just now.
    """
    receipt = workspace.receipts.latest(name)
    if receipt is not None:
        if not workspace.store.usable(receipt.key):
            raise Refused(f"{receipt.key} is being built again just now", "try again when that is done")
        return receipt
    known = workspace.loader.names()
    hint = f"install it with `devsetup install {name}`" if name in known else suggest(name, known)
    raise UsageError(f"{name} is not installed", hint)


def installs(workspace: Workspace, name: str) -> tuple[Receipt, ...]:
    """Every install of a recipe, newest first.

    Raises:
        UsageError: there is none.
    """
    installed(workspace, name)
    return tuple(workspace.receipts.named(name))


def activation(workspace: Workspace, names: tuple[str, ...]) -> tuple[Setting, ...]:
    """The variables that using these installs needs, dependencies first.

    Raises:
        UsageError: one of them is not installed.
    """
    ordered: dict[str, Receipt] = {}
    for name in names:
        _collect(workspace, installed(workspace, name), ordered)
    settings = []
    for receipt in ordered.values():
        places = workspace.store.places(receipt.key, receipt.part.needs)
        for env in receipt.part.activation:
            value = substitute(env.value, places)
            settings.append(Setting(name=env.name, value=value, prepend=env.mode == "prepend"))
    return tuple(settings)


def _collect(workspace: Workspace, receipt: Receipt, ordered: dict[str, Receipt]) -> None:
    for key in receipt.part.needs:
        needed = workspace.receipts.get(key)
        if needed is not None:
            _collect(workspace, needed, ordered)
    ordered.setdefault(receipt.key, receipt)


def activated(environ: Mapping[str, str], settings: tuple[Setting, ...]) -> dict[str, str]:
    """An environment with the settings applied. Prepending never leaves an empty entry, which would mean `.`."""
    result = dict(environ)
    for setting in settings:
        before = result.get(setting.name, "")
        result[setting.name] = f"{setting.value}:{before}" if setting.prepend and before else setting.value
    return result


def shell_code(settings: tuple[Setting, ...], shell: str) -> str:
    """Code that applies settings in a shell: fish's syntax for `fish`, POSIX for every other."""
    return "".join(_fish(setting) if shell == "fish" else _posix(setting) for setting in settings)


def _posix(setting: Setting) -> str:
    rest = f'"${{{setting.name}:+:${setting.name}}}"' if setting.prepend else ""
    return f"export {setting.name}={shlex.quote(setting.value)}{rest}\n"


def _fish(setting: Setting) -> str:
    escaped = setting.value.replace("\\", "\\\\").replace("'", "\\'")
    if not setting.prepend:
        return f"set -gx {setting.name} '{escaped}'\n"
    # PATH is a list in fish, every other variable a string with colons.
    if setting.name == "PATH":
        return "".join(f"set -gx --prepend PATH '{part}'\n" for part in reversed(escaped.split(":")))
    name = setting.name
    return f"set -q {name}; and set -gx {name} '{escaped}:'${name}; or set -gx {name} '{escaped}'\n"


def run(workspace: Workspace, names: tuple[str, ...], argv: tuple[str, ...]) -> int:
    """Run a command with these installs active; its exit status is ours.

    Raises:
        UsageError: one of them is not installed.
        MissingProgram: no such command.
    """
    env = activated(workspace.environ, activation(workspace, names))
    return workspace.runner.become(argv, {**env, "DEVSETUP_ACTIVE": " ".join(names)})


def verify_installs(
    workspace: Workspace, names: tuple[str, ...], emit: Emit, *, scale: float | None
) -> tuple[Verified, ...]:
    """Run the proofs again, of the named installs or of all, and record the outcome.

    Args:
        workspace: where.
        names: of recipes; none means all that are installed.
        emit: gets what is found.
        scale: size of the workloads; None passes them over.

    Raises:
        UsageError: one of them is not installed, or has no workload of any other size.
    """
    receipts = tuple(installed(workspace, name) for name in names) or workspace.receipts.all()
    if scale not in {None, 1.0}:
        for receipt in receipts if names else ():
            _require_scaled(receipt)
    results = []
    for receipt in receipts:
        env = workspace.clean_env(receipt.facts)
        bench = bench_of(workspace, receipt.key, receipt.part.needs, env, emit)
        bench = msgspec.structs.replace(bench, workloads=scale is not None, scale=scale or 1.0)
        with in_use(workspace, receipt, emit) if bench.workloads else contextlib.nullcontext():
            findings = verify.prove(receipt.part.proofs, bench)
        record_proofs(workspace, receipt, findings, receipt.log)
        results.append(Verified(key=receipt.key, name=receipt.name, findings=findings))
    return tuple(results)


@contextlib.contextmanager
def in_use(workspace: Workspace, receipt: Receipt, emit: Emit) -> Iterator[None]:
    """Keep an install from being removed or built again while its workload runs, and other workloads of it waiting.

    Raises:
        UsageError: it was uninstalled while we waited.
    """
    with workspace.store.lock(receipt.key, emit):
        if workspace.receipts.get(receipt.key) is None:
            raise UsageError(f"{receipt.key} was uninstalled just now", f"`devsetup install {receipt.name}`")
        yield


def _require_scaled(receipt: Receipt) -> None:
    if not any(isinstance(proof, Workload) and proof.scaled for proof in receipt.part.proofs):
        raise UsageError(
            f"{receipt.name} has no workload that takes a scale", f"`devsetup verify {receipt.name} --workload` runs it"
        )


def record_proofs(workspace: Workspace, receipt: Receipt, findings: tuple[Finding, ...], log: str) -> None:
    """Add what proofs showed to the history of an install."""
    bad = verify.failed(findings)
    workspace.receipts.record(
        Entry(
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            key=receipt.key,
            name=receipt.name,
            event="verified",
            detail="works" if bad is None else f"{bad.proof}: {bad.summary}",
            log=log,
        )
    )


def uninstall(workspace: Workspace, names: tuple[str, ...]) -> tuple[str, ...]:
    """Remove every install of these recipes; returns their keys.

    Raises:
        UsageError: one of them is not installed.
        Refused: another install needs it.
    """
    removed = []
    for name in names:
        for receipt in installs(workspace, name):
            workspace.store.uninstall(receipt.key)
            removed.append(receipt.key)
    return tuple(removed)


def history(workspace: Workspace, name: str) -> tuple[Entry, ...]:
    """What happened to a recipe here, oldest first.

    Raises:
        UsageError: nothing ever did; the hint names the nearest recipe.
    """
    entries = tuple(workspace.receipts.history(name))
    if not entries:
        known = workspace.loader.names()
        hint = f"install it with `devsetup install {name}`" if name in known else suggest(name, known)
        raise UsageError(f"nothing is recorded about {name}", hint)
    return entries

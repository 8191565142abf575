"""CI images: a plan for the base's declared facts, as a build context; then the image, tried and listed."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devsetup import project
from devsetup.errors import ProofFailed, Refused, UsageError
from devsetup.events import Proved
from devsetup.image import base as bases
from devsetup.image import build as building
from devsetup.image import engine as engines
from devsetup.image import inventory, lock, output, sbom, trial, vendor
from devsetup.image.engine import Order
from devsetup.image.layers import explained, layers_of
from devsetup.image.product import Drawn, Finished
from devsetup.planner import Wish
from devsetup.render.image import ARCHIVE, Look, image

if TYPE_CHECKING:
    from devsetup.app.workspace import Workspace
    from devsetup.events import Emit
    from devsetup.image.base import Base
    from devsetup.image.engine import Engine
    from devsetup.image.layers import Layer
    from devsetup.plan import Plan
    from devsetup.proofs import Finding

_CREDENTIALS = re.compile(r"//[^/@]*@")
_TAG = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of an image; the project's file says the rest.

    Attributes:
        names: of recipes; none takes those of the project.
        base: reference; None takes those of the project.
        directory: for the build context; several bases get a directory each below it.
        name: of the image.
    """

    names: tuple[str, ...]
    base: str | None
    on: str | None
    options: dict[str, str]
    directory: Path | None
    name: str | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An image on one base.

    Attributes:
        name: of the image; becomes `localhost/NAME`.
        base: reference of what it starts from.
        on: the declared host, where the base's name does not tell it.
        directory: for the build context.
        lock: path of the lock.
    """

    name: str
    base: str
    on: str | None = None
    wish: Wish
    directory: Path
    lock: Path


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How images are made.

    Attributes:
        cache: repository of layers; empty for none.
        push: where the finished image goes; empty for nowhere.
        keep: leave the layers of a failed build.
        jobs: compile jobs; None leaves it to each recipe.
        vendor: sources and Python packages in the context.
        locked: refuse what differs from the lock.
        update: take the base as it is now, whatever the lock says.
    """

    cache: str = ""
    push: str = ""
    keep: bool = False
    jobs: int | None = None
    vendor: bool = False
    locked: bool = False
    update: bool = False


def requests(asked: Asked, directory: Path) -> tuple[Request, ...]:
    """The images that are asked for: one for each base.

    Args:
        asked: on the command line.
        directory: where the search for a project's file begins, and where contexts go by default.

    Raises:
        UsageError: neither the command line nor a project's file names recipes and a base.
        InvalidInput: the project's file is malformed.
    """
    found = project.find(directory) if not (asked.names and asked.base) else None
    here = project.read(found).image if found else None
    names = asked.names or (here.recipes if here else ())
    wanted = (asked.base,) if asked.base else (here.references if here else ())
    if not (names and wanted):
        raise UsageError(
            f"no {'base' if names else 'recipe'} is named, and no {project.FILE} says one",
            f"name it (devsetup image caffe --base debian:12), or write {project.FILE}: see docs/images.md",
        )
    options = {**(here.options if here and not asked.names else {}), **asked.options}
    name = asked.name or (here.name if here and not asked.names else "") or names[0]
    on = asked.on or (here.on if here and set(wanted) <= set(here.references) else "") or None
    top = asked.directory or directory / ".devsetup-image"
    home = found.parent if found else top
    return tuple(
        Request(
            name=name if len(wanted) == 1 else f"{name}-{project.slug(reference)}",
            base=reference,
            on=on,
            wish=Wish(names=names, options=options),
            directory=top if len(wanted) == 1 else top / project.slug(reference),
            lock=home / lock.FILE,
        )
        for reference in wanted
    )


def engine(workspace: Workspace, name: str | None, *, needed: bool) -> Engine | None:
    """The engine to work with; None where none is needed and none is here.

    Raises:
        UsageError: there is no engine of that name.
        Refused: it is needed, and not here.
    """
    try:
        return engines.find(workspace.runner, name)
    except Refused:
        if needed:
            raise
        return None


def draw(workspace: Workspace, request: Request, how: How, asking: Engine | None, emit: Emit) -> Drawn:
    """Plan, lock, and write the context.

    Args:
        workspace: where; it keeps bases that are made from packages.
        request: what.
        how: whether it must be as the lock says.
        asking: asked for the base's digest; None takes it from the lock, or leaves it open.
        emit: gets what happens.

    Raises:
        UsageError, InvalidInput, CannotRender: it cannot be done; nothing was written.
        Refused: it differs from the lock and must not, or the directory holds something else.
    """
    _check_name(request.name)
    base = bases.base_of(request.base, request.on)
    plan = workspace.plan(request.wish, base.host)
    known = lock.read(request.lock)
    before = known.bases.get(base.reference)
    pinned = before.digest if before and not how.update else ""
    archive, digest = None, base.digest or pinned
    if base.suite:
        archive, digest = _archive(workspace, base, pinned, emit, anew=how.update)
    elif asking and not digest:
        digest = asking.pull(base.reference)
    now = lock.lock_of(plan, digest=digest, host=base.host, created=_created(workspace, before))
    changes = lock.drift(before, now) if before else ()
    if how.locked:
        _check_locked(request, before, changes)
    if changes:
        now = msgspec.structs.replace(now, created=_created(workspace, None))
    look = Look(base=_pinned(base, digest), labels=_labels(workspace, request, plan, now), vendored=how.vendor)
    context = image(plan, look)
    files: dict[str, str | Path] = {**context.files, output.CONTAINERFILE: context.containerfile}
    if archive is not None:
        files[ARCHIVE] = archive
    if how.vendor:
        files.update(vendor.gather(plan, workspace.home / "downloads", workspace.runner, emit))
    output.write(request.directory, files)
    if not how.locked:
        lock.write(request.lock, msgspec.structs.replace(known, bases={**known.bases, base.reference: now}))
    return Drawn(
        name=request.name,
        base=base,
        digest=digest,
        plan=plan,
        context=context,
        directory=request.directory,
        of=building.digest(files, now.created),
        created=now.created,
        changes=changes,
    )


def finish(workspace: Workspace, drawn: Drawn, builder: Engine, how: How, emit: Emit) -> Finished:
    """Build the image of a context, run it as its users will, list what is in it, and push it.

    Raises:
        BuildFailed: nothing of it is left; the log says why.
        ProofFailed: it was built, and does not work where nothing can be written and no network is.
        EngineFailed: the registry did not take it.
    """
    order = Order(
        context=drawn.directory,
        tag=drawn.tag,
        created=drawn.created,
        cache=how.cache,
        keep=how.keep,
    )
    built = building.build(builder, order, drawn.context, workspace.environ, emit, of=drawn.of, jobs=how.jobs)
    listed = drawn.directory / sbom.FILE
    trials: tuple[Finding, ...] = ()
    if built.fresh:
        listed.write_bytes(_listed(builder, drawn))
        built = building.attach(builder, order, built, listed)
        trials = trial.run(builder, built.tag, drawn.plan, workspace.environ)
        _check(builder, drawn, trials, emit)
    if how.push:
        builder.push(built.tag, how.push)
    return Finished(
        built=built,
        engine=builder.name,
        size=sum(layer.size for layer in layers_of(builder, built.tag)),
        trials=trials,
        sbom=str(listed),
        pushed=how.push,
    )


def _listed(builder: Engine, drawn: Drawn) -> bytes:
    listing = inventory.parse(*builder.read(drawn.tag, *inventory.FILES))
    described = sbom.Described(
        name=drawn.name, created=drawn.created, base=drawn.base.reference, base_digest=drawn.digest
    )
    return sbom.bom(listing, drawn.plan, described)


def _check(builder: Engine, drawn: Drawn, trials: tuple[Finding, ...], emit: Emit) -> None:
    for finding in trials:
        emit(Proved(finding))
    bad = next((finding for finding in trials if finding.status == "fail"), None)
    if bad is not None:
        building.forget(drawn.directory)
        builder.remove(drawn.tag)
        raise ProofFailed(
            f"the image was built, but does not work read-only and without a network: {bad.proof}: {bad.summary}",
            f"it was removed; the build's log: {drawn.directory / building.LOG}",
            detail=bad.detail,
        )


def layers(drawn: Drawn, asked: Engine | None) -> tuple[Layer, ...]:
    """What each instruction of the image adds; sizes are 0 as long as it is not built.

    Args:
        drawn: the context.
        asked: has the image; None knows no sizes.
    """
    return explained(drawn.context, layers_of(asked, drawn.tag) if asked and asked.has(drawn.tag) else ())


def _check_name(name: str) -> None:
    if not _TAG.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name an image", "small letters, digits, and single . _ - between them; :TAG may follow"
        )


def _archive(workspace: Workspace, base: Base, pinned: str, emit: Emit, *, anew: bool) -> tuple[Path, str]:
    archives = bases.Archives(workspace.home, workspace.runner)
    found = None if anew else archives.find(base.suite, pinned)
    return found or archives.make(base.suite, emit)


def _check_locked(request: Request, before: lock.Locked | None, changes: tuple[str, ...]) -> None:
    if before is None:
        raise Refused(
            f"{request.lock} says nothing about the base {request.base}",
            "run once without --locked, and commit the lock",
        )
    if changes:
        raise Refused(
            f"the image would differ from {request.lock}",
            "run without --locked to accept this, and commit the lock",
            detail=changes,
        )


def _pinned(base: Base, digest: str) -> str:
    if base.suite:
        return ""
    return base.reference if base.digest or not digest else f"{base.reference}@{digest}"


def _created(workspace: Workspace, before: lock.Locked | None) -> int:
    """SOURCE_DATE_EPOCH, or when the lock's entry was made, or now."""
    given = workspace.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isascii() and given.isdigit():
        return int(given)
    return before.created if before else int(time.time())


def _labels(workspace: Workspace, request: Request, plan: Plan, now: lock.Locked) -> dict[str, str]:
    """OCI's annotations, and ours. The revision and address are of the repository that holds the lock."""
    wanted = [part for part in plan.parts if part.key in plan.wanted]
    oci = {
        "title": request.name,
        "description": "; ".join(f"{part.name}: {part.summary}" for part in wanted),
        "version": ", ".join(f"{part.name} {part.version}" for part in wanted),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now.created)),
        "base.name": request.base,
        "base.digest": now.digest,
        "revision": workspace.git(request.lock.parent, "rev-parse", "HEAD"),
        "source": _CREDENTIALS.sub("//", workspace.git(request.lock.parent, "remote", "get-url", "origin")),
    }
    labels = {f"org.opencontainers.image.{name}": " ".join(value.split()) for name, value in oci.items() if value}
    return {**labels, "dev.devsetup.plan": plan.digest}

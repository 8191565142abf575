"""Views: data to blocks. Pure, so that tests read them and pictures are made from them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import structs

from devsetup.amendment import told
from devsetup.console.blocks import Block, Code, Table, Text, Title
from devsetup.proofs import Check, Finding, Import, LinkClosure, Proof, Workload
from devsetup.steps import (
    PREFIX,
    ApplyPatch,
    DebianSource,
    Env,
    LocalSource,
    PyPISource,
    Source,
    Step,
    SystemPackages,
    UrlSource,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from devsetup.doctor import Result
    from devsetup.facts import Facts, Python
    from devsetup.plan import Part, Plan
    from devsetup.receipts import Entry
    from devsetup.recipe import Recipe
    from devsetup.store import Garbage


def catalogue(recipes: Iterable[Recipe], installed: Mapping[str, str]) -> tuple[Block, ...]:
    """`devsetup list`: every recipe, and what is installed of it (name to key)."""
    rows = tuple((r.name, r.version, "installed" if r.name in installed else "", r.summary) for r in recipes)
    return (Table(("recipe", "version", "here", "what it is"), rows),)


def recipe(
    found: Recipe, applies: Mapping[str, tuple[str, ...]], hosts: tuple[str, ...], installed: str
) -> tuple[Block, ...]:
    """`devsetup info`.

    Args:
        found: the recipe.
        applies: patch name to the declared hosts on which its condition holds.
        hosts: all declared hosts.
        installed: key of the newest install, or empty.
    """
    blocks: list[Block] = [
        Title(f"{found.name} {found.version}: {found.summary}"),
        Text(f"{found.homepage}\nlicence: {found.licence}\nhere: {installed or 'not installed'}"),
    ]
    if found.options:
        rows = tuple((o.name, o.default, ", ".join(o.choices), o.help) for o in found.options)
        blocks.append(Table(("option", "default", "choices", "meaning"), rows, "Options"))
    if found.possible_sources:
        sources = tuple(map(_source_row, found.possible_sources))
        blocks.append(Table(("source", "from", "sha256"), sources, "Sources, in order"))
    if found.patches:
        rows = tuple((p.name, str(p.when), host_names(applies.get(p.name, ()), hosts), p.why) for p in found.patches)
        blocks.append(Table(("patch", "condition", "applies on", "why"), rows, "Patches"))
        origins = tuple((p.name, p.upstream) for p in found.patches if p.upstream)
        blocks.append(Table(("patch", "upstream's own words"), origins))
    blocks.append(Table(("proof", "what must hold"), tuple(map(_proof_row, found.proofs)), "Proofs"))
    if found.seen:
        blocks.append(Table(("platform", "status", "what was seen"), found.seen, "Seen to work"))
    return tuple(blocks)


def host_names(some: tuple[str, ...], every: tuple[str, ...]) -> str:
    """Hosts by system: `debian`, when all of its releases are meant, else `macos 10.10 to 15` or single releases.

    Args:
        some: the hosts meant.
        every: all declared hosts (`debian-12`, `macos-15-arm64`), each system's in release order.
    """
    if set(some) == set(every):
        return "every host"
    systems = dict.fromkeys(host.partition("-")[0] for host in every)
    shown = []
    for system in systems:
        releases = [host for host in every if host.partition("-")[0] == system]
        meant = [host for host in releases if host in some]
        versions = [host.partition("-")[2] for host in meant]
        if meant == releases:
            shown.append(system)
        elif len(meant) > 2 and meant == releases[releases.index(meant[0]) :][: len(meant)]:  # noqa: PLR2004 - a range
            shown.append(f"{system} {versions[0]} to {versions[-1]}")
        elif meant:
            shown.append(f"{system} {', '.join(versions)}")
    return "; ".join(shown) or "none"


def _source_row(source: Source) -> tuple[str, str, str]:
    match source:
        case UrlSource(id=name, url=url, sha256=sha256):
            return (name, url, sha256[:16])
        case DebianSource(id=name, package=package, suite=suite, sha256=sha256):
            return (name, f"Debian source package {package} of {suite}, through apt", sha256[:16])
        case PyPISource(id=name, package=package, file=file, sha256=sha256):
            return (name, f"{file} of the Python package {package}, through pip", sha256[:16])
        case LocalSource(id=name, path=path, sha256=sha256):
            return (name, path, sha256[:16])


def _proof_row(proof: Proof) -> tuple[str, str]:
    match proof:
        case LinkClosure(paths=paths):
            return ("link closure", _inside(f"every shared library that {', '.join(paths)} need is found by run path"))
        case Import(module=module):
            return (f"import {module}", "in a fresh process with a clean environment")
        case Check(title=name, argv=argv):
            return (name, _inside(shlex.join(argv)))
        case Workload(title=name, artifacts=artifacts):
            return ("workload", f"{name} (leaves {', '.join(artifacts)})" if artifacts else name)


def _inside(text: str) -> str:
    """Paths of the prefix, as seen from inside it."""
    return text.replace(f"{PREFIX}/", "")


def plan(
    found: Plan,
    *,
    absent: tuple[str, ...] | None,
    commands: tuple[str, ...] = (),
    present: tuple[str, ...] = (),
    foreseen: tuple[Result, ...] = (),
) -> tuple[Block, ...]:
    """`devsetup plan`, and what `install` shows before it asks.

    Args:
        found: the plan.
        absent: packages missing here; None when the plan is for another machine.
        commands: exact commands that install them.
        present: keys already installed.
        foreseen: what will or may go wrong on this machine.
    """
    facts = found.facts
    head = f"plan {found.digest[:8]} for {facts.os.id} {facts.os.version} on {facts.arch}"
    blocks: list[Block] = [Title(head)]
    for part in found.parts:
        blocks += _part(part, absent, installed=part.key in present)
    if commands:
        blocks += [Text("System packages will be installed first, with:"), Code(commands)]
    if foreseen:
        rows = tuple((each.status, each.summary, each.fix.text if each.fix else "") for each in foreseen)
        blocks.append(Table(("before", "what was seen", "what to do"), rows, "What may go wrong here"))
    return tuple(blocks)


def plan_record(found: Plan) -> dict[str, object]:
    """`plan --json`: the plan, with the digests and keys that follow from it."""
    parts = [{"key": part.key, "digest": part.digest, **structs.asdict(part)} for part in found.parts]
    return {"digest": found.digest, "wanted": found.wanted, "parts": parts, "facts": found.facts}


def _part(part: Part, absent: tuple[str, ...] | None, *, installed: bool) -> list[Block]:
    state = " (already installed)" if installed else ""
    options = ", ".join(f"{name}={value}" for name, value in part.options.items())
    blocks: list[Block] = [Title(f"{part.key}{state}: {part.summary}" + (f"  [{options}]" if options else ""))]
    if part.packages:
        blocks.append(_packages(part.packages, absent))
    if part.sources:
        blocks.append(
            Table(("source", "from", "sha256"), tuple(map(_source_row, part.sources)), "Sources, first that works")
        )
    if part.patches:
        patches = tuple((p.name, "applies" if p.needed else "not needed here", p.why, p.because) for p in part.patches)
        blocks.append(Table(("patch", "status", "why", "because"), patches, "Patches"))
    rows = tuple((str(number), text) for number, text in enumerate(_step_titles(part.steps), 1))
    blocks.append(Table(("step", "what"), rows, "Steps"))
    if part.amendments:
        blocks.append(Table(("changed by repairs",), tuple((told(each),) for each in part.amendments)))
    blocks.append(
        Table(("proof", "what must hold"), tuple(map(_proof_row, part.proofs)), "Proofs, before it counts as installed")
    )
    return blocks


def _packages(names: tuple[str, ...], absent: tuple[str, ...] | None) -> Table:
    """One row per state, so that thirty packages stay a short table."""
    if absent is None:
        rows: tuple[tuple[str, str], ...] = (("needed", " ".join(names)),)
    else:
        missing, present = (tuple(n for n in names if (n in absent) is state) for state in (True, False))
        rows = tuple((state, " ".join(those)) for state, those in (("missing", missing), ("present", present)) if those)
    return Table(("here", "packages"), rows, "System packages")


def _step_titles(steps: tuple[Step, ...]) -> list[str]:
    hidden = (SystemPackages, ApplyPatch, Env)
    shown = [title(step) for step in steps if not isinstance(step, hidden)]
    count = sum(isinstance(step, ApplyPatch) for step in steps)
    if count:
        where = next(i for i, step in enumerate(steps) if isinstance(step, ApplyPatch))
        before = sum(not isinstance(step, hidden) for step in steps[:where])
        shown.insert(before, f"apply {count} patch{'es' if count > 1 else ''}")
    return shown


def facts(found: Facts) -> tuple[Block, ...]:
    """`devsetup facts`."""
    system = found.os
    memory = f"{found.memory_mb} MB" if found.memory_mb else "unknown"
    rows = [
        (
            "system",
            f"{system.name or system.id} (id {system.id}, version {system.version}, codename {system.codename or '-'})",
        ),
        ("processor", f"{found.arch}, {found.cores or 'unknown number of'} cores, {memory} memory"),
        ("C library", f"{found.libc.family} {found.libc.version}" if found.libc else "unknown"),
        ("package manager", found.package_manager or "none known"),
    ]
    if found.apple:
        rows.append(
            ("Apple tools", f"Command Line Tools {found.apple.clt or 'absent'}, SDK {found.apple.sdk or 'unknown'}")
        )
    blocks: list[Block] = [Table(("fact", "value"), tuple(rows))]
    if found.compilers:
        compilers = tuple((c.name, c.family, c.version, c.path) for c in found.compilers)
        blocks.append(Table(("compiler", "family", "version", "path"), compilers))
    if found.pythons:
        blocks.append(
            Table(("python", "version", "notes"), tuple((p.path, p.version, _python_notes(p)) for p in found.pythons))
        )
    blocks += _nvidia(found)
    if found.blas:
        blocks.append(Table(("BLAS", "version", "path"), tuple((b.name, b.version, b.path) for b in found.blas)))
    libraries = tuple(
        (n, lib.version, "installed" if lib.installed else "expected") for n, lib in found.libraries.items()
    )
    if libraries:
        blocks.append(Table(("library", "version", "state"), libraries))
    if found.notes:
        blocks.append(Text("\n".join(f"note: {note}" for note in found.notes)))
    return tuple(blocks)


def _nvidia(found: Facts) -> Iterator[Block]:
    """Toolkits, GPUs and their driver, as far as there are any: most machines have none, and need none."""
    if found.cuda:
        cuda = tuple(
            (
                c.path,
                c.version,
                c.origin,
                "yes" if c.chosen else "",
                c.libdir.removeprefix(f"{c.path}/") or "none",
                c.why,
            )
            for c in found.cuda
        )
        yield Table(("CUDA", "version", "named by", "wins", "libraries", "why"), cuda)
    if found.gpus:
        unknown = "unknown"
        gpus = tuple((gpu.name or unknown, gpu.capability or unknown, gpu.address or unknown) for gpu in found.gpus)
        yield Table(("GPU", "compute capability", "address"), gpus)
    if driver := found.driver:
        library = driver.library or ("unknown" if driver.cuda else "none")  # WSL's has no version in its name
        row = (driver.module or "none", library, driver.cuda or "unknown", driver.problem or "none")
        yield Table(("NVIDIA's driver: kernel module", "libcuda", "CUDA up to", "problem"), (row,))


def _python_notes(python: Python) -> str:
    words = {"system": "distribution's", "headers": "headers", "venv": "venv", "managed": "externally managed"}
    return ", ".join(word for name, word in words.items() if getattr(python, name))


def findings(found: Iterable[tuple[str, Finding]]) -> tuple[Block, ...]:
    """`devsetup verify`: (install key, finding) pairs."""
    rows = []
    for key, finding in found:
        rows.append((key, finding.proof, finding.status, f"{finding.seconds:.1f} s", finding.summary))
        rows += [("", "", "", "", line) for line in finding.detail]
    return (Table(("install", "proof", "status", "time", "what was seen"), tuple(rows)),)


def history(entries: Iterable[Entry]) -> tuple[Block, ...]:
    """`devsetup log`."""
    rows = tuple((e.at, e.key, e.event, e.detail, e.log) for e in entries)
    return (Table(("when", "install", "what", "detail", "log"), rows),)


def garbage(found: Iterable[Garbage], freed: int | None) -> tuple[Block, ...]:
    """`devsetup gc`; `freed` is the bytes that went, or None when nothing was removed yet."""
    pieces = tuple(found)
    if not pieces:
        return (Text("nothing to remove"),)
    rows = tuple((piece.path, size(piece.bytes), piece.reason) for piece in pieces)
    would = f"{size(sum(piece.bytes for piece in pieces))} would be freed"
    return (
        Table(("path", "size", "why"), rows),
        Text(would if freed is None else f"{size(freed)} freed"),
    )


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""

"""What checks share about installs: which are in use, their link closure, and how to build one again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.doctor.finding import Finding, Fix
from devsetup.proofs import LinkClosure
from devsetup.steps import substitute
from devsetup.store import manifest
from devsetup.verify import Tree, link_closure, loader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from devsetup import proofs
    from devsetup.doctor.exam import Exam
    from devsetup.receipts import Receipt
    from devsetup.store.manifest import Manifest


def in_use(exam: Exam) -> tuple[Receipt, ...]:
    """The newest install of each recipe, which `devsetup run` takes, and what these need; only those with a prefix."""
    by_key = {receipt.key: receipt for receipt in exam.receipts}
    newest = {receipt.name: receipt for receipt in reversed(exam.receipts)}
    waiting, found = list(newest.values()), set[str]()
    while waiting:
        receipt = waiting.pop()
        if receipt.key not in found:
            found.add(receipt.key)
            waiting += [by_key[key] for key in receipt.part.needs if key in by_key]
    return tuple(receipt for receipt in exam.receipts if receipt.key in found and prefix_of(exam, receipt).is_dir())


def prefix_of(exam: Exam, receipt: Receipt) -> Path:
    """Where an install lies now. A receipt says where it was made: after its home was moved, that is elsewhere."""
    return exam.store.prefix(receipt.key)


def places_of(exam: Exam, receipt: Receipt) -> dict[str, str]:
    """The values of the places in an install's steps and proofs."""
    return exam.store.places(receipt.key, receipt.part.needs)


def listed(exam: Exam, receipt: Receipt) -> Manifest | None:
    """The files that an install had when it was proved; None when that was not recorded."""
    return manifest.recorded(exam.store.artifacts(receipt.key))


def proved_paths(exam: Exam, receipt: Receipt) -> tuple[str, ...]:
    """The files and directories whose link closure was proved; empty when the recipe has no such proof."""
    places = places_of(exam, receipt)
    closures = (proof for proof in receipt.part.proofs if isinstance(proof, LinkClosure))
    return tuple(substitute(path, places) for proof in closures for path in proof.paths)


def closure(exam: Exam, receipt: Receipt) -> proofs.Finding:
    """The link closure of an install on the machine as it is now."""
    places = places_of(exam, receipt)
    own = tuple(places[name] for name in sorted(places) if name.startswith("PREFIX"))
    where = loader.system(root=exam.host.root)
    return link_closure(proved_paths(exam, receipt), {}, Tree(prefixes=own), where)


def rebuild(receipt: Receipt, why: str = "build it again") -> Fix:
    """How to mend an install."""
    return Fix(
        text=f"{why}; the present one stays until the new one has proved itself",
        commands=(f"devsetup install --rebuild {receipt.name}",),
    )


def since(receipt: Receipt) -> str:
    """When an install was made, for messages."""
    return f"since it was installed on {receipt.installed_at[:10]}"


def all_well(found: list[Finding], receipts: Iterable[Receipt], what: str) -> list[Finding]:
    """The findings, or one line that says for which installs all is well; nothing when there are none."""
    names = ", ".join(sorted({receipt.name for receipt in receipts}))
    return found if found or not names else [Finding(status="ok", summary=f"{what}: {names}")]

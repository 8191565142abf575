"""Installs to examine: a real one on this machine, and made ones in a home of a constructed machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from conftest import Hello
from homes import HOST, make_receipt

from devsetup.doctor import Exam
from devsetup.plan import Part
from devsetup.probe.host import Host
from devsetup.receipts import Receipt
from devsetup.runner import Runner
from devsetup.store import Store


def exam_of(home: Path, **fields: Any) -> Exam:
    """This machine, with what is installed in a home."""
    store = Store(home)
    made: dict[str, Any] = {
        "host": Host(Runner(), "", {"PATH": os.defpath, "HOME": str(home.parent)}),
        "facts": HOST,
        "goals": (),
        "home": home,
        "receipts": fields["receipts"] if "receipts" in fields else store.receipts.all(),
        "store": store,
        "uid": os.geteuid(),
        "groups": tuple(os.getgroups()),
    }
    return Exam(**{**made, **fields})


def installed(world: Hello) -> Receipt:
    """`hello`, really built and proved."""
    done = world.run("install", "hello", "-y")
    assert done.returncode == 0, done.stderr
    receipt = Store(world.home).receipts.latest("hello")
    assert receipt is not None
    return receipt


def put(store: Store, receipt: Receipt, **files: str) -> Receipt:
    """An install with these files in its prefix, for a receipt that a test shapes."""
    store.prepare(receipt.key)
    for name, text in {"tool": "works", **files}.items():
        path = store.prefix(receipt.key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    store.drop_build(receipt.key)
    store.commit(receipt)
    return receipt


def receipt_of(store: Store, name: str = "toy", *, part: Part | None = None, **fields: Any) -> Receipt:
    """The receipt of an install that lies where it was made."""
    made = make_receipt(name, **({"part": part, "key": part.key} if part else {}), **fields)
    return make_receipt(
        name, **{**({"part": part, "key": part.key} if part else {}), **fields, "prefix": str(store.prefix(made.key))}
    )

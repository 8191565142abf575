"""Having sources: the only package that opens the network, and the one that unpacks what it brought.

A source is pinned by sha256. What cannot be verified never appears under its final name, and what an archive asks for
never happens outside the directory it is extracted into.
"""

from __future__ import annotations

from devsetup.fetch.alternatives import Obtained, obtain
from devsetup.fetch.archive import extract, member_text
from devsetup.fetch.asking import Capture
from devsetup.fetch.files import sha256_file
from devsetup.fetch.local import local_source
from devsetup.fetch.tree import copy_tree, tree_digest

__all__ = [
    "Capture",
    "Obtained",
    "copy_tree",
    "extract",
    "local_source",
    "member_text",
    "obtain",
    "sha256_file",
    "tree_digest",
]

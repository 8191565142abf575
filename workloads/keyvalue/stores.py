"""The stores, each behind the same four calls, with the options that are stated beside every figure."""

from __future__ import annotations

import abc
import collections
import itertools
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Pair = tuple[bytes, bytes]

CACHE_BYTES = 8 << 20  # of each store's own memory for pages or blocks: the same, so that the files outgrow all alike
WRITE_BUFFER_BYTES = 4 << 20
BLOOM_BITS = 10
PAGE_BYTES = 4096


class Store(abc.ABC):
    """One database in a directory of its own."""

    name = ""
    options = ""

    def __init__(self, home: Path) -> None:
        self.home = home

    @abc.abstractmethod
    def open(self, *, create: bool) -> None:
        """Open it, and make it if `create`."""

    @abc.abstractmethod
    def put(self, pairs: Sequence[Pair]) -> None:
        """Write a batch of pairs, in the order given."""

    @abc.abstractmethod
    def get(self, keys: Iterable[bytes]) -> list[bytes]:
        """Look keys up one by one; a key that is not there gives an empty value."""

    @abc.abstractmethod
    def close(self) -> None:
        """Write what is held back, and close."""

    @staticmethod
    @abc.abstractmethod
    def version() -> str:
        """Of the library and of its Python binding."""

    def release(self) -> None:  # noqa: B027 - only a store that maps its files has anything to do
        """Let go of mapped files, so that the page cache can be emptied while the store is in use."""

    def files(self) -> list[Path]:
        """The files it consists of just now."""
        return [path for path in sorted(self.home.iterdir()) if path.is_file()]

    def disk_bytes(self) -> int:
        """Blocks that its files take; holes in them take none."""
        return sum(path.stat().st_blocks * 512 for path in self.files())


class LevelDB(Store):
    """A log-structured merge tree: writes are sequential, and sorted later."""

    name = "LevelDB"
    options = (
        f"write buffer {WRITE_BUFFER_BYTES >> 20} MB, block cache {CACHE_BYTES >> 20} MB, Bloom filter of {BLOOM_BITS} "
        "bits a key, Snappy, batches of 1,000 pairs, no sync but at the end"
    )

    def open(self, *, create: bool) -> None:
        """See Store."""
        import plyvel  # noqa: PLC0415 - only the stores that are asked for need be installed

        self._db = plyvel.DB(
            str(self.home),
            create_if_missing=create,
            write_buffer_size=WRITE_BUFFER_BYTES,
            lru_cache_size=CACHE_BYTES,
            bloom_filter_bits=BLOOM_BITS,
        )

    @staticmethod
    def version() -> str:
        """See Store."""
        import plyvel  # noqa: PLC0415 - as above

        return f"{plyvel.__leveldb_version__}, plyvel {plyvel.__version__}"

    def put(self, pairs: Sequence[Pair]) -> None:
        """See Store."""
        with self._db.write_batch() as batch:
            _call_with_each(batch.put, pairs)

    def get(self, keys: Iterable[bytes]) -> list[bytes]:
        """See Store."""
        get = self._db.get
        return [get(key, b"") for key in keys]

    def close(self) -> None:
        """See Store."""
        self._db.close()


class BerkeleyDB(Store):
    """A B-tree: every pair goes to its page at once, and a page that is not in memory is read first."""

    name = "Berkeley DB"
    options = f"B-tree, pages of {PAGE_BYTES} bytes, cache {CACHE_BYTES >> 20} MB, no transactions, no log"

    def open(self, *, create: bool) -> None:
        """See Store."""
        from berkeleydb import db  # noqa: PLC0415 - as above

        self._db = db.DB()
        self._db.set_cachesize(0, CACHE_BYTES, 1)
        self._db.set_pagesize(PAGE_BYTES)
        self._db.open(str(self.home / "index.db"), dbtype=db.DB_BTREE, flags=db.DB_CREATE if create else 0)

    @staticmethod
    def version() -> str:
        """See Store."""
        import berkeleydb  # noqa: PLC0415 - as above

        return f"{'.'.join(map(str, berkeleydb.db.version()))}, berkeleydb {berkeleydb.__version__}"

    def put(self, pairs: Sequence[Pair]) -> None:
        """See Store."""
        _call_with_each(self._db.put, pairs)

    def get(self, keys: Iterable[bytes]) -> list[bytes]:
        """See Store."""
        get = self._db.get
        return [get(key, b"") for key in keys]

    def close(self) -> None:
        """See Store."""
        self._db.close()


class LMDB(Store):
    """A B-tree in a memory map that is copied on write; the page cache is its only cache."""

    name = "LMDB"
    options = "a memory map, transactions of 1,000 pairs, no sync but at the end"

    def open(self, *, create: bool) -> None:
        """See Store."""
        import lmdb  # noqa: PLC0415 - as above

        room = shutil.disk_usage(self.home)
        self._env = lmdb.open(
            str(self.home), map_size=room.free + self.disk_bytes(), create=create, sync=False, lock=False
        )

    @staticmethod
    def version() -> str:
        """See Store."""
        import lmdb  # noqa: PLC0415 - as above

        return f"{'.'.join(map(str, lmdb.version()))}, lmdb {lmdb.__version__}"

    def put(self, pairs: Sequence[Pair]) -> None:
        """See Store."""
        with self._env.begin(write=True) as transaction:
            _call_with_each(transaction.put, pairs)

    def get(self, keys: Iterable[bytes]) -> list[bytes]:
        """See Store."""
        with self._env.begin() as transaction:
            get = transaction.get
            return [get(key, b"") for key in keys]

    def release(self) -> None:
        """See Store: pages that are mapped stay in the page cache."""
        self.close()
        self.open(create=False)

    def close(self) -> None:
        """See Store."""
        self._env.sync(True)  # noqa: FBT003 - the binding's positional flag: also where sync=False
        self._env.close()


STORES: dict[str, type[Store]] = {"leveldb": LevelDB, "berkeleydb": BerkeleyDB, "lmdb": LMDB}


def _call_with_each(put: Callable[[bytes, bytes], object], pairs: Iterable[Pair]) -> None:
    """A loop that costs as little of its own as Python's can."""
    collections.deque(itertools.starmap(put, pairs), maxlen=0)


def empty_page_cache(files: Iterable[Path]) -> None:
    """Write the files' pages out and drop them from the page cache: what anyone may do to files of his own."""
    for path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # LevelDB removes files in the background
            continue
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cached_bytes(path: Path) -> int:
    """How much of a file is in the page cache, as the kernel says (mincore)."""
    import ctypes  # noqa: PLC0415 - once a run
    import mmap  # noqa: PLC0415

    size = path.stat().st_size
    if not size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE) as mapped:
        pages = -(-size // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        libc = ctypes.CDLL(None, use_errno=True)
        start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(mapped)))
        if libc.mincore(start, ctypes.c_size_t(size), flags):
            raise OSError(ctypes.get_errno(), f"mincore of {path}")
        return sum(flag & 1 for flag in flags) * mmap.PAGESIZE

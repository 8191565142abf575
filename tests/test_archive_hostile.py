"""Archives that mean harm and archives that are damaged. Every one is built here and really read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import random
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from devsetup.errors import SourceError
from devsetup.fetch import extract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REG, LINK, SYMLINK, CHR, BLK, DIR, FIFO = (
    tarfile.REGTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
END = bytes(1024)


def info(name: str, kind: bytes = REG, target: str = "", **more: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.mtime = kind, target, 0o644, 1_000_000_000
    for field, value in more.items():
        setattr(member, field, value)
    return member


def block(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """Header and content; the size in the header is the content's unless the member already has one."""
    member.size = member.size or len(content)
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)


def tar(*blocks: bytes) -> bytes:
    return b"".join(blocks) + END


def file(name: str, content: bytes = b"x", **more: object) -> bytes:
    return block(info(name, **more), content)


def link(name: str, target: str) -> bytes:
    return block(info(name, SYMLINK, target))


def hard(name: str, target: str) -> bytes:
    return block(info(name, LINK, target))


def folder(name: str, **more: object) -> bytes:
    return block(info(name, DIR, **more))


def with_pax(records: dict[str, str], member: bytes, kind: bytes = b"x") -> bytes:
    lines = b""
    for key, value in records.items():
        body = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = len(body) + len(str(len(body) + len(str(len(body)))))
        lines += str(length).encode() + body
    return block(info("pax", kind), lines) + member


def checksummed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def sized(name: str, size: bytes, kind: bytes = REG) -> bytes:
    """A header whose size field holds these raw bytes."""
    header = bytearray(info(name, kind).tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    header[124:136] = size.ljust(12, b"\0")
    return checksummed(header)


def zipped(*entries: tuple[str, bytes] | tuple[str, bytes, int]) -> bytes:
    """A zip with these names exactly as given; a third item is the Unix mode."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # it warns of duplicates
        for name, content, *mode in entries:
            entry = zipfile.ZipInfo("x", (2020, 2, 2, 2, 2, 2))
            entry.filename = name
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


def encrypted() -> bytes:
    data = bytearray(zipped(("a", b"secret")))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def lying_zip(size: int) -> bytes:
    """The central directory states that size; there are 10 000 bytes."""
    data = bytearray(zipped(("a", bytes(10_000))))
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, central + 24, size)
    return bytes(data)


# name: (bytes, or what makes them when they are many; strip; what the message must say)
HOSTILE: dict[str, tuple[bytes | Callable[[], bytes], int, str]] = {
    "dotdot": (tar(file("../evil")), 0, "'..'"),
    "dotdot inside": (tar(file("a/../../evil")), 0, "'..'"),
    "dotdot that comes back": (tar(file("a/../b")), 0, "'..'"),
    "dotdot after strip": (tar(file("top/../../evil")), 1, "'..'"),
    "dotdot as the stripped part": (tar(file("../evil")), 1, "'..'"),
    "dotdot directory": (tar(folder("..")), 0, "'..'"),
    "absolute": (tar(file("/tmp/evil")), 0, "absolute"),
    "absolute, stripped": (tar(file("/tmp/evil")), 1, "absolute"),
    "double slash": (tar(file("//tmp/evil")), 0, "absolute"),
    "absolute by pax": (tar(with_pax({"path": "/tmp/evil"}, file("fine"))), 0, "absolute"),
    "dotdot by pax": (tar(with_pax({"path": "../evil"}, file("fine"))), 0, "'..'"),
    "dotdot by a global pax header": (tar(with_pax({"path": "../evil"}, file("fine"), b"g")), 0, "'..'"),
    "dotdot by a GNU long name": (tar(block(info("././@LongLink", b"L"), b"../evil\0"), file("fine")), 0, "'..'"),
    "backslash": (tar(file("a\\..\\evil")), 0, "backslash"),
    "newline": (tar(file("a\nb")), 0, "control character"),
    "escape sequence": (tar(file("a\x1b[2Jb")), 0, "control character"),
    "delete character": (tar(file("a\x7fb")), 0, "control character"),
    "NUL by pax": (tar(with_pax({"path": "a\0b"}, file("fine"))), 0, "control character"),
    "empty name": (tar(file("")), 0, "empty name"),
    "only a dot": (tar(file(".")), 0, "outside the top"),
    "name too long": (tar(file("a" * 256)), 0, "longer than file systems"),
    "name too long in bytes": (tar(file("é" * 128)), 0, "longer than file systems"),
    "path too long": (tar(file("/".join(["a" * 200] * 20))), 0, "longer than file systems"),
    "too deep": (tar(file("d/" * 100 + "f")), 0, "100 directories deep"),
    "far too deep": (tar(file("d/" * 1500 + "f")), 0, "directories deep"),
    "link up": (tar(link("a", "../evil")), 0, "outside the tree"),
    "link up, deeper": (tar(link("a/b/c", "../../../evil")), 0, "outside the tree"),
    "link to the directory above": (tar(link("a", "..")), 0, "outside the tree"),
    "link that leaves and returns": (tar(file("top/b"), link("top/a", "../top/b")), 1, "outside the tree"),
    "absolute link": (tar(link("a", "/etc/passwd")), 0, "absolute"),
    "link without a target": (tar(link("a", "")), 0, "empty name or target"),
    "link to a control character": (tar(link("a", "b\nc")), 0, "control character"),
    "write through a link": (tar(folder("d"), link("l", "d"), file("l/evil")), 0, "not a directory"),
    "write through a later link": (tar(file("l/evil"), link("l", ".")), 0, "not a directory"),
    "write through a deep link": (tar(folder("d"), link("l", "d"), file("l/a/b/c")), 0, "not a directory"),
    "write through a file": (tar(file("f"), file("f/g")), 0, "not a directory"),
    "link below a link": (tar(folder("d"), link("l", "d"), link("l/m", "x")), 0, "not a directory"),
    "link through a link upwards": (tar(folder("p/q"), link("p/q/b", "../.."), link("p/q/a", "b/../x")), 0, "outside"),
    "the same, the other way round": (tar(link("p/q/a", "b/../x"), link("p/q/b", "../..")), 0, "outside the tree"),
    "links in a circle": (tar(link("a", "b"), link("b", "a")), 0, "outside the tree"),
    "a chain of many links": (
        tar(*[link(f"l{n}", f"l{n + 1}/..") for n in range(60)], folder("l60")),
        0,
        "outside the tree",
    ),
    "realpath overflow (CVE-2025-4517)": (
        tar(
            *itertools.chain.from_iterable(
                (folder("/".join(["d" * 247] * n + ["d" * 247])), link("/".join(["d" * 247] * n + [c]), "d" * 247))
                for n, c in enumerate("abcdefghijk")
            ),
            link("/".join("abcdefghijk") + "/" + "l" * 254, "../" * 11),
        ),
        0,
        "not a directory",
    ),
    "hard link up": (tar(hard("a", "../evil")), 0, "'..'"),
    "absolute hard link": (tar(hard("a", "/etc/passwd")), 0, "absolute"),
    "hard link to nothing": (tar(hard("a", "b")), 0, "no earlier file"),
    "hard link to a later file": (tar(hard("a", "b"), file("b")), 0, "no earlier file"),
    "hard link to a link": (tar(link("l", "f"), file("f"), hard("h", "l")), 0, "no earlier file"),
    "hard link to a directory": (tar(folder("d"), hard("h", "d")), 0, "no earlier file"),
    "hard link to itself": (tar(hard("h", "h")), 0, "no earlier file"),
    "hard link outside the stripped top": (tar(file("top/f"), hard("top/h", "f")), 1, "no earlier file"),
    "character device": (tar(block(info("null", CHR))), 0, "neither a file"),
    "block device": (tar(block(info("sda", BLK))), 0, "neither a file"),
    "pipe": (tar(block(info("pipe", FIFO))), 0, "neither a file"),
    "unknown type": (tar(block(info("what", b"Z"))), 0, "neither a file"),
    "GNU multi-volume": (tar(block(info("rest", b"M"))), 0, "neither a file"),
    "the same file twice": (tar(file("a", b"1"), file("a", b"2")), 0, "appears twice"),
    "the same file, spelled differently": (tar(file("d/a"), file("./d//a")), 0, "appears twice"),
    "a directory becomes a link": (tar(folder("d"), link("d", "e")), 0, "appears twice"),
    "a link becomes a directory": (tar(link("d", "e"), folder("d")), 0, "appears twice"),
    "a link becomes a file": (tar(link("a", "b"), file("a")), 0, "appears twice"),
    "a hard link replaces": (tar(file("a"), file("b"), hard("b", "a")), 0, "appears twice"),
    "a file beside the top": (tar(file("top/a"), file("b")), 1, "outside the top directory"),
    "two tops": (tar(file("top/a"), file("other/b")), 1, "outside 'top'"),
    "stripped too far": (tar(file("top/a")), 2, "outside the top directory"),
    "no members": (tar(), 0, "holds no files"),
    "only the stripped directory": (tar(folder("top")), 1, "holds no files"),
    "an empty file": (b"", 0, "empty file"),
    "text": (b"this is no archive\n" * 100, 0, "is not a complete tar or zip archive"),
    "a page": (b"<!DOCTYPE html><html>404</html>", 0, "is not a complete tar or zip archive"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), 0, "zstd"),
    "no end": (file("a") + file("b"), 0, "cut short"),
    "ends inside the content": (file("a", bytes(5000))[:3000], 0, "is not a complete"),
    "ends inside a header": (file("a") + file("b")[:100], 0, "cut short"),
    "damaged later header": (tar(file("a"), b"\xff" + file("b")[1:]), 0, "cut short or damaged after 'a'"),
    # Pythons with the fix for CVE-2025-8194 refuse it themselves, in other words.
    "negative size": (tar(sized("a", b"\xff" * 12)), 0, ("size", "invalid offset")),
    "negative pax header": (tar(sized("a", b"\xff" * 12, b"x")), 0, "is not a complete"),
    "huge size": (tar(sized("a", b"\x80" + b"\xff" * 11)), 0, "unpacked size beyond"),
    "8 GiB": (tar(sized("a", b"77777777777")), 0, "unpacked size beyond"),
    "huge long name": (tar(sized("a", b"77777777777", b"L")), 0, "a header of 8589934592 bytes"),
    "a long name, really there": (lambda: tar(block(info("x", b"L"), b"a" * (2 << 20)), file("b")), 0, "a header of"),
    "bytes beyond the limit in all": (
        tar(*[sized(f"{n}", b"") for n in range(3)], sized("z", b"7777777777")),
        0,
        "beyond",
    ),
    "size beyond by pax": (tar(with_pax({"size": "99999999999999"}, file("a"))), 0, "beyond"),
    "nonsense in pax": (tar(with_pax({"size": "many"}, file("a"))), 0, "archive"),
    "endless pax headers": (tar(with_pax({"a": "b"}, b"") * 3000, file("a")), 0, "is not a complete"),
    "gzip bomb": (lambda: gzip.compress(bytes(80 << 20), 1), 0, "archive"),
    "gzip bomb with one member": (lambda: gzip.compress(tar(file("a", bytes(80 << 20))), 1), 0, "beyond"),
    "gzip bomb behind the end": (
        lambda: gzip.compress(tar(file("a")) + bytes(130 << 20), 6),
        0,
        "unpacks to more than",
    ),
    "xz bomb": (lambda: lzma.compress(tar(file("a", bytes(70 << 20))), preset=0), 0, "beyond"),
    "zip: dotdot": (zipped(("../evil", b"x")), 0, "'..'"),
    "zip: absolute": (zipped(("/tmp/evil", b"x")), 0, "absolute"),
    "zip: backslash": (zipped(("..\\evil", b"x")), 0, "backslash"),
    "zip: drive": (zipped(("C:\\evil", b"x")), 0, "backslash"),
    "zip: newline": (zipped(("a\nb", b"x")), 0, "control character"),
    "zip: NUL": (replaced(zipped(("aNb", b"x")), b"aNb", b"a\0b"), 0, "control character"),
    "zip: twice": (zipped(("a", b"1"), ("a", b"2")), 0, "appears twice"),
    "zip: link up": (zipped(("a", b"../evil", stat.S_IFLNK | 0o777)), 0, "outside the tree"),
    "zip: absolute link": (zipped(("a", b"/etc", stat.S_IFLNK | 0o777)), 0, "absolute"),
    "zip: long link": (zipped(("a", b"x" * 5000, stat.S_IFLNK | 0o777)), 0, "5000 bytes"),
    "zip: write through a link": (zipped(("l", b".", stat.S_IFLNK | 0o777), ("l/evil", b"x")), 0, "not a directory"),
    "zip: device": (zipped(("a", b"", stat.S_IFCHR | 0o600)), 0, "neither a file"),
    "zip: pipe": (zipped(("a", b"", stat.S_IFIFO | 0o600)), 0, "neither a file"),
    "zip: socket": (zipped(("a", b"", stat.S_IFSOCK | 0o600)), 0, "neither a file"),
    "zip: encrypted": (encrypted(), 0, "is encrypted"),
    "zip: empty": (zipped(), 0, "holds no files"),
    "zip: cut short": (zipped(("a", bytes(5000)))[:-30], 0, "is not a complete zip"),
    "zip: bomb": (lambda: zipped(("a", bytes(70 << 20))), 0, "beyond"),
    "zip: states fewer bytes": (lying_zip(10), 0, "is not a complete zip"),
    "zip: states more bytes": (lying_zip(10_001), 0, "has 10000 bytes, not 10001"),
    "zip: two tops": (zipped(("top/a", b"x"), ("other/b", b"x")), 1, "outside 'top'"),
    "zip: another name in the local header": (
        zipped(("aaaa", b"x")).replace(b"aaaa", b"bbbb", 1),
        0,
        "is not a complete zip",
    ),
}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return tmp_path / "source.archive"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "box" / "tree"


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(archive: Path, into: Path, case: str) -> None:
    data, strip, reason = HOSTILE[case]
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(SourceError) as caught:
        extract(written(archive, data() if callable(data) else data), into, strip=strip)
    assert archive.name in caught.value.message
    assert any(words in caught.value.message for words in ([reason] if isinstance(reason, str) else reason))
    assert caught.value.message.isprintable()
    assert sorted(archive.parent.rglob("*")) == sorted([*before, archive])


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


def sample() -> bytes:
    """A tar that does not compress."""
    return tar(*(file(f"top/{n}", hashlib.shake_256(b"%d" % n).digest(3000)) for n in range(20)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_and_cut_short(archive: Path, into: Path, pack: Callable[[bytes], bytes]) -> None:
    data = pack(sample())
    for at in (20, 100, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1):
        with pytest.raises(SourceError, match=r"source\.archive: is"):
            extract(written(archive, data[:at]), into, strip=1)
    assert list(into.parent.iterdir()) == []


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_and_a_bit_flipped(archive: Path, into: Path, pack: Callable[[bytes], bytes]) -> None:
    """Anything but the header's time, flags and name, which say nothing of the content."""
    data = pack(sample())
    for at in range(40, len(data), len(data) // 25):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(SourceError, match=r"source\.archive"):
            extract(written(archive, bytes(damaged)), into, strip=1)
    assert list(into.parent.iterdir()) == []


def test_the_checksum_behind_the_end_is_read(archive: Path, into: Path) -> None:
    """What tarfile itself never looks at: the CRC that follows the archive's last block."""
    data = bytearray(gzip.compress(sample()))
    data[-6] ^= 1
    with pytest.raises(SourceError, match="CRC"):
        extract(written(archive, bytes(data)), into, strip=1)
    assert zlib.decompressobj(-15).decompress(bytes(data[10:-8])) == sample()


@pytest.mark.parametrize("kind", ["tar", "zip", "gzip"])
def test_random_damage_is_always_explained(archive: Path, into: Path, kind: str) -> None:
    """Either it is refused in a sentence, or it extracts inside its directory; never anything else."""
    whole = tar(
        file("top/a", b"1" * 700), link("top/l", "a"), with_pax({"path": "top/é"}, file("top/b")), folder("top/d")
    )
    data = {
        "tar": whole,
        "zip": zipped(
            ("top/a", b"1" * 700), ("top/l", b"a", stat.S_IFLNK | 0o777), ("top/d/", b"", stat.S_IFDIR | 0o755)
        ),
        "gzip": gzip.compress(whole),
    }[kind]
    chance = random.Random(11)  # noqa: S311 - damage must repeat, not surprise
    refusals: list[str] = []
    for number in range(250):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            extract(written(archive, bytes(damaged)), into.with_name(f"tree{number}"), strip=1)
        except SourceError as error:
            refusals.append(error.message)
    assert all(archive.name in message for message in refusals)
    assert len(refusals) > 50
    assert {path.name for path in archive.parent.iterdir()} == {"box", "source.archive"}
    assert all(path.name.startswith("tree") for path in into.parent.iterdir())

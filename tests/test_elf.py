"""Reading ELF files and ld.so.conf."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from devsetup.errors import InvalidInput
from devsetup.verify import elf, loader

GCC = shutil.which("gcc") or ""

pytestmark = pytest.mark.skipif(not GCC, reason="needs gcc to make ELF files")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("elf")
    (home / "a.c").write_text("int a(void) { return 1; }\n")
    (home / "a.map").write_text("A_1 { global: a; };\n")
    argv = [GCC, "-shared", "-fPIC", "a.c", "-o", "liba.so.1", "-Wl,-soname,liba.so.1", "-Wl,--version-script=a.map"]
    argv.append("-Wl,--no-as-needed")
    subprocess.run([*argv, "-Wl,-rpath,$ORIGIN/x:/opt/y", "-Wl,--enable-new-dtags"], cwd=home, check=True)
    return home / "liba.so.1"


def test_reads_what_the_loader_reads(library: Path) -> None:
    file = elf.read(str(library))
    assert file is not None
    assert file.soname == "liba.so.1"
    assert file.needed == ("libc.so.6",)
    assert file.runpath == "$ORIGIN/x:/opt/y"
    assert file.rpath is None
    assert file.interpreter == ""
    assert "A_1" in file.defines
    assert all(name == "libc.so.6" for name, _ in file.requires)
    assert str(file.architecture).startswith(f"{file.architecture.bits}-bit ")


def test_reads_a_file_without_section_headers_by_its_segments(library: Path, tmp_path: Path) -> None:
    content = bytearray(library.read_bytes())
    content[0x28:0x30] = bytes(8)  # e_shoff
    content[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    stripped = tmp_path / "stripped.so"
    stripped.write_bytes(content)
    file = elf.read(str(stripped))
    assert file is not None
    assert (file.soname, file.runpath) == ("liba.so.1", "$ORIGIN/x:/opt/y")


def test_an_object_file_is_nothing_to_load(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a;\n")
    subprocess.run([GCC, "-c", "a.c"], cwd=tmp_path, check=True)
    assert elf.read(str(tmp_path / "a.o")) is None


def test_a_truncated_file_is_reported_at_every_length(library: Path, tmp_path: Path) -> None:
    content = library.read_bytes()
    file = tmp_path / "short.so"
    for length in range(4, len(content) // 2, 61):
        file.write_bytes(content[:length])
        with pytest.raises(InvalidInput, match="truncated"):
            elf.read(str(file))


def test_damaged_bytes_never_show_a_traceback(library: Path, tmp_path: Path) -> None:
    content = library.read_bytes()
    dice = random.Random(1)  # noqa: S311 - the same damage in every run
    file = tmp_path / "damaged.so"
    outcomes = []
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(8):
            damaged[dice.randrange(4, 0x600)] = dice.randrange(256)
        file.write_bytes(damaged)
        try:
            outcomes.append(type(elf.read(str(file))).__name__)
        except InvalidInput as error:
            outcomes.append(error.message.partition(":")[0].removeprefix(f"{file} "))
    assert set(outcomes) >= {"Elf", "is truncated or damaged", "is truncated"}


def test_an_announced_billion_of_versions_is_not_believed(library: Path, tmp_path: Path) -> None:
    content = bytearray(library.read_bytes())
    with library.open("rb") as stream:
        file = ELFFile(stream)
        (number,) = (n for n, section in enumerate(file.iter_sections()) if section["sh_type"] == "SHT_GNU_verdef")
        start = file["e_shoff"] + number * file["e_shentsize"] + 0x2C
    content[start : start + 4] = b"\xff\xff\xff\x7f"  # sh_info
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(content)
    read = elf.read(str(damaged))
    assert read is not None
    assert "A_1" in read.defines


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_text("INPUT(-lfoo)\n")
    with pytest.raises(InvalidInput, match="is not an ELF file"):
        elf.read(str(tmp_path / "libx.so"))
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        elf.read(str(tmp_path / "absent"))


def test_walk_meets_each_real_file_once(library: Path, tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    real = Path(shutil.copy(library, lib / "liba.so.1"))
    (lib / "liba.so").symlink_to("liba.so.1")
    (lib / "loop").symlink_to("loop")
    (lib / "up").symlink_to("..")
    (lib / "text.py").write_text("print(1)\n")
    (lib / "empty").touch()
    os.mkfifo(lib / "pipe")
    link = tmp_path / "link.so"
    link.symlink_to("lib/liba.so")
    assert list(elf.elf_files((str(tmp_path), str(lib), str(link)))) == [str(real)]
    assert list(elf.elf_files((str(link),))) == [str(real)]


@pytest.mark.parametrize("target", [None, "nowhere", "itself"])
def test_walk_says_which_path_is_missing(tmp_path: Path, target: str | None) -> None:
    path = tmp_path / "itself"
    if target:
        path.symlink_to(target)
    with pytest.raises(InvalidInput, match=r"itself (does not exist|cannot be read)"):
        list(elf.elf_files((str(path),)))


def test_ld_so_conf(tmp_path: Path) -> None:
    conf, more = tmp_path / "ld.so.conf", tmp_path / "conf.d"
    more.mkdir()
    conf.write_text(
        f"# a comment\n/first # of two\n  include conf.d/*.conf {more}/*.late\n"
        "hwcap 1 nosegneg\n/typed=libc6\nrelative\n/last/\n\ninclude absent/*.conf\n"
    )
    (more / "b.conf").write_text("/b\n")
    (more / "a.conf").write_text("/a\ninclude ../ld.so.conf\n")
    (more / "z.late").write_text("/z\n/a\n")
    (more / ".hidden.conf").write_text("/hidden\n")
    (more / "ignored").write_text("/ignored\n")
    assert list(loader.read_conf(conf)) == ["/first", "/a", "/b", "/z", "/a", "/typed", "/last"]
    assert loader.system(str(conf), str(tmp_path / "cache")).configured == (
        "/first", "/a", "/b", "/z", "/typed", "/last"
    )  # fmt: skip


def test_configured_directories_count_only_through_the_cache(tmp_path: Path) -> None:
    where = loader.System(("/conf",), b"libold.so.1\0/conf/libold.so.1\0", ("/default",))
    assert list(where.directories("libold.so.1")) == ["/conf", "/default"]
    assert list(where.directories("libnew.so.1")) == ["/default"]
    assert list(where.directories("old.so.1")) == ["/default"]
    assert loader.system(str(tmp_path / "no"), str(tmp_path / "no")).configured == ()


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$ORIGIN/../lib", "/p/bin/../lib"),
        ("${ORIGIN}x", "/p/binx"),
        ("$ORIGINAL/lib", "$ORIGINAL/lib"),
        ("$ORIGIN", "/p/bin"),
        ("/x/$PLATFORM", f"/x/{os.uname().machine}"),
        ("$HOME/lib", "$HOME/lib"),
    ],
)
def test_tokens(text: str, expanded: str) -> None:
    search = loader.Search({}, loader.system())
    assert search.expand(text, "/p/bin/app", elf.Architecture(64, "EM_X86_64", little_endian=True)) == expanded


def test_lib_token_is_where_this_machines_libc_lies(library: Path) -> None:
    file = elf.read(str(library))
    assert file is not None
    lib = loader.Search({}, loader.system()).expand("/usr/$LIB/libc.so.6", "/x", file.architecture)
    assert Path(lib).exists()

"""The link closure, compared with what the real loader does to the same files."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from devsetup.verify import Tree, link_closure, loader

if TYPE_CHECKING:
    from devsetup.proofs import Finding

GCC = shutil.which("gcc") or ""

pytestmark = pytest.mark.skipif(not GCC or sys.platform != "linux", reason="needs gcc and glibc's loader")

OLD, NEW = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"
SHIFT_MACHINE = 0x12  # offset of e_machine


class Bench:
    """A prefix with `bin` and `lib`, filled by gcc."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("bin", "lib", "other", "cwd", "build"):
            (home / name).mkdir()

    def library(self, name: str, *needs: Path, run_path: str | None = None, flags: tuple[str, ...] = ()) -> Path:
        """Build `lib/<name>.so.1` that needs the others."""
        target = self.home / "lib" / f"{name}.so.1"
        self._gcc(target, f"int {name}(void) {{ return 1; }}", needs, run_path, ("-shared", "-fPIC", *flags))
        return target

    def program(self, *needs: Path, run_path: str | None = None, flags: tuple[str, ...] = ()) -> Path:
        """Build `bin/app`."""
        target = self.home / "bin" / "app"
        self._gcc(target, "int main(void) { return 0; }", needs, run_path, flags)
        return target

    def _gcc(
        self, target: Path, code: str, needs: tuple[Path, ...], run_path: str | None, flags: tuple[str, ...]
    ) -> None:
        source = self.home / "cwd" / f"{target.name}.c"
        source.write_text(code + "\n")
        shared = (f"-Wl,-soname,{target.name}",) if "-shared" in flags else ()
        path = (f"-Wl,-rpath,{run_path}",) if run_path is not None else ()
        lenient = ("-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-all")
        argv = [GCC, "-x", "c", str(source), "-x", "none", "-o", str(target), *shared, *lenient, *flags, *path]
        subprocess.run([*argv, *map(str, needs)], check=True, cwd=self.home / "cwd")

    def judge(self, *paths: str, **env: str) -> Finding:
        """What the link closure says."""
        places = tuple(str(self.home / path) for path in paths or ("bin", "lib"))
        return link_closure(places, env, Tree(prefixes=(str(self.home),), build=str(self.home / "build")))

    def start(self, **env: str) -> str:
        """What the real loader says: empty when the program runs."""
        done = subprocess.run(
            [self.home / "bin/app"], env=env, cwd=self.home / "cwd", capture_output=True, text=True, check=False
        )
        return "" if done.returncode == 0 else done.stderr or f"status {done.returncode}"

    def agree(self, *paths: str, **env: str) -> Finding:
        """Both agree on whether the program starts."""
        finding, complaint = self.judge(*paths, **env), self.start(**env)
        assert (finding.status == "ok") is (complaint == ""), (finding, complaint)
        return finding


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("tag", [OLD, NEW])
@pytest.mark.parametrize(
    ("run_path", "ok"),
    [
        ("$ORIGIN/../lib", True),
        ("${ORIGIN}/../lib", True),
        ("/nowhere:$ORIGIN/../lib", True),
        ("$ORIGIN/lib", False),
        ("$ORIGINS/../lib", False),
        (None, False),
    ],
)
def test_run_path_of_a_program(bench: Bench, run_path: str | None, tag: str, ok: bool) -> None:
    bench.program(bench.library("liba"), run_path=run_path, flags=(tag,))
    finding = bench.judge("bin") if run_path == "$ORIGINS/../lib" else bench.agree("bin")
    assert (finding.status == "ok") is ok
    assert (bench.start() == "") is ok
    if not ok:
        assert finding.summary.startswith("liba.so.1, needed by bin/app: not found") or "$ORIGINS" in finding.summary
        assert "  found in lib, but the run path does not lead there" in finding.detail


def test_old_tag_is_inherited_and_new_tag_is_not(bench: Bench) -> None:
    middle = bench.library("libmiddle", bench.library("libleaf"))
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(OLD,))
    assert bench.agree("bin", "lib").status == "ok"
    assert bench.agree("lib", "bin").status == "ok"
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(NEW,))
    finding = bench.agree()
    assert finding.status == "fail"
    assert finding.detail[0].startswith("libleaf.so.1: needed by lib/libmiddle.so.1 (loaded by bin/app), searched: ")


def test_a_library_with_the_new_tag_does_not_inherit_the_old_one(bench: Bench) -> None:
    middle = bench.library("libmiddle", bench.library("libleaf"), run_path="$ORIGIN/nowhere", flags=(NEW,))
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(OLD,))
    assert bench.agree().status == "fail"


def _name_run_path_twice(program: Path) -> None:
    """Turn the program's DT_DEBUG, which only debuggers read, into a DT_RUNPATH equal to its DT_RPATH."""
    with program.open("r+b") as stream:
        (dynamic,) = ELFFile(stream).iter_segments("PT_DYNAMIC")
        tags = {tag.entry.d_tag: (number, tag.entry.d_val) for number, tag in enumerate(dynamic.iter_tags())}
        stream.seek(dynamic["p_offset"] + 16 * tags["DT_DEBUG"][0])
        stream.write(struct.pack("<QQ", 29, tags["DT_RPATH"][1]))


def test_old_tag_is_ignored_beside_the_new_one(bench: Bench) -> None:
    middle = bench.library("libmiddle", bench.library("libleaf"))
    _name_run_path_twice(bench.program(middle, run_path="$ORIGIN/../lib", flags=(OLD,)))
    assert bench.agree("bin").status == "fail"
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(OLD,))
    assert bench.agree("bin").status == "ok"


def test_library_path_comes_between(bench: Bench) -> None:
    bench.program(bench.library("liba"))
    assert bench.agree().status == "fail"
    assert bench.agree(LD_LIBRARY_PATH=str(bench.home / "lib")).status == "ok"
    assert bench.agree(LD_LIBRARY_PATH=f"/nowhere;{bench.home / 'lib'}").status == "ok"
    assert bench.agree(LD_LIBRARY_PATH="$ORIGIN/nowhere:").status == "fail"


def test_transitive_library_that_moved_away(bench: Bench) -> None:
    leaf = bench.library("libleaf")
    middle = bench.library("libmiddle", leaf, run_path="$ORIGIN")
    bench.program(middle, run_path="$ORIGIN/../lib")
    assert bench.agree().status == "ok"
    leaf.rename(bench.home / "other" / leaf.name)
    finding = bench.agree()
    assert finding.summary == "libleaf.so.1, needed by lib/libmiddle.so.1: not found"
    assert "  found in other, but the run path does not lead there" in finding.detail
    (bench.home / "other" / leaf.name).rename(bench.home / "other" / "libleaf.so.2")
    assert "  only other/libleaf.so.2: linked to another version" in bench.agree().detail
    (bench.home / "other" / "libleaf.so.2").unlink()
    assert len(bench.agree().detail) == 1


def test_several_missing_libraries_are_all_named(bench: Bench) -> None:
    needs = [bench.library(name) for name in ("liba", "libb")]
    bench.program(*needs)
    finding = bench.agree("bin")
    assert finding.summary == "liba.so.1, needed by bin/app: not found; and 1 more"
    assert [line.partition(":")[0] for line in finding.detail if not line.startswith(" ")] == ["liba.so.1", "libb.so.1"]


def test_a_library_loaded_already_satisfies(bench: Bench) -> None:
    leaf = bench.library("libleaf")
    middle = bench.library("libmiddle", leaf)  # has no run path of its own
    bench.program(middle, leaf, run_path="$ORIGIN/../lib", flags=(NEW,))
    assert bench.agree().status == "ok"
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(NEW,))
    assert bench.agree().status == "fail"


def test_a_soname_loaded_by_another_name_satisfies(bench: Bench) -> None:
    leaf, nickname = bench.library("libleaf"), bench.library("libnickname")
    bench.program(nickname, bench.library("libmiddle", leaf), run_path="$ORIGIN/../lib", flags=(NEW,))
    assert bench.agree("bin").status == "fail"
    leaf.replace(nickname)  # opened as libnickname.so.1, it is libleaf.so.1 by its soname
    assert bench.agree("bin").status == "ok"


def test_origin_of_a_linked_library_is_where_the_link_lies(bench: Bench) -> None:
    leaf = bench.library("libleaf")
    middle = bench.library("libmiddle", leaf, run_path="$ORIGIN", flags=(NEW,))
    bench.program(middle, run_path="$ORIGIN/../lib", flags=(NEW,))
    middle.rename(bench.home / "other" / middle.name)
    middle.symlink_to(f"../other/{middle.name}")
    assert bench.agree("bin").status == "ok"
    leaf.rename(bench.home / "other" / leaf.name)  # beside the real file, but the loader does not resolve links
    assert bench.agree("bin").status == "fail"


def test_libraries_in_a_circle(bench: Bench) -> None:
    first = bench.library("liba")
    second = bench.library("libb", first, run_path="$ORIGIN")
    bench.library("liba", second, run_path="$ORIGIN")
    assert bench.judge("lib").status == "ok"
    bench.program(first, run_path="$ORIGIN/../lib")
    assert bench.agree().status == "ok"
    leaf = bench.library("libleaf")
    bench.library("libb", first, leaf, run_path="$ORIGIN")
    leaf.unlink()
    assert bench.agree("lib").status == "fail"
    second.unlink()
    assert bench.agree("lib").status == "fail"


def _for_another_processor(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[SHIFT_MACHINE] ^= 0xFF
    path.write_bytes(content)


def test_wrong_processor_is_passed_over(bench: Bench) -> None:
    right = bench.library("liba")
    bench.program(right, run_path="$ORIGIN/../other:$ORIGIN/../lib")
    wrong = bench.home / "other" / right.name
    wrong.write_bytes(right.read_bytes())
    _for_another_processor(wrong)
    assert bench.agree("bin").status == "ok"
    right.unlink()
    finding = bench.agree("bin")
    assert "other/liba.so.1 is for 64-bit " in finding.summary


@pytest.mark.parametrize(("content", "told"), [(b"INPUT(x)\n", "is not an ELF file"), (None, "is truncated")])
def test_the_loader_stops_at_a_broken_file(bench: Bench, content: bytes | None, told: str) -> None:
    right = bench.library("liba")
    bench.program(right, run_path="$ORIGIN/../other:$ORIGIN/../lib")
    broken = bench.home / "other" / right.name
    broken.write_bytes(right.read_bytes()[:300] if content is None else content)
    finding = bench.agree("bin")
    assert "the loader stops there" in finding.summary
    assert told in finding.summary


def test_damaged_file_of_the_install_fails_with_its_reason(bench: Bench) -> None:
    library = bench.library("liba")
    library.write_bytes(library.read_bytes()[:2000])
    finding = bench.judge("lib")
    assert finding.status == "fail"
    assert str(library) in finding.summary
    assert "truncated" in finding.summary


def test_required_symbol_version(bench: Bench) -> None:
    for version in ("ONE", "TWO"):
        (bench.home / "cwd" / version).write_text(f"{version} {{ global: liba; }};\n")
    bench.library("liba", flags=("-Wl,--version-script=TWO",))
    user = bench.home / "cwd" / "user.c"
    user.write_text("int liba(void); int main(void) { return !liba(); }\n")
    bench._gcc(bench.home / "bin/app", user.read_text(), (bench.home / "lib/liba.so.1",), "$ORIGIN/../lib", ())
    assert bench.agree().status == "ok"
    bench.library("liba", flags=("-Wl,--version-script=ONE",))
    finding = bench.agree()
    assert finding.summary == f"liba.so.1, needed by bin/app: version TWO is not in {bench.home}/bin/../lib/liba.so.1"
    assert "version `TWO' not found" in bench.start()


def test_run_path_into_the_build_directory(bench: Bench) -> None:
    bench.program(bench.library("liba"), run_path=f"$ORIGIN/../lib:{bench.home}/build/lib")
    assert bench.start() == ""
    finding = bench.judge()
    assert finding.status == "fail"
    assert finding.summary.endswith("build/lib leads into the build directory, which will be gone")
    bench.program(bench.library("liba"), run_path="$ORIGIN/../lib:$ORIGIN/../build")
    assert bench.judge().status == "fail"


def test_library_needed_by_path_in_the_build_directory(bench: Bench) -> None:
    target = bench.home / "build" / "libraw.so"
    subprocess.run([GCC, "-shared", "-x", "c", "/dev/null", "-o", target], check=True)
    bench.program(target)  # without a soname its path is recorded
    assert bench.start() == ""
    assert "in the build directory" in bench.judge("bin").summary
    target.unlink()
    assert bench.agree("bin").status == "fail"


def test_library_needed_by_a_relative_path(bench: Bench) -> None:
    target = bench.home / "cwd" / "sub" / "libraw.so"
    target.parent.mkdir()
    subprocess.run([GCC, "-shared", "-x", "c", "/dev/null", "-o", target], check=True)
    bench.program(Path("sub/libraw.so"))
    assert bench.start() == ""
    assert "whatever directory the program is started in" in bench.judge("bin").summary


@pytest.mark.parametrize("run_path", [":$ORIGIN/../lib", "$ORIGIN/../lib:", "$ORIGIN/../lib::/usr/lib", "../lib"])
def test_run_path_that_depends_on_the_current_directory(bench: Bench, run_path: str) -> None:
    bench.program(bench.library("liba"), run_path=run_path)
    assert bench.start() == ""
    finding = bench.judge("bin")
    assert finding.status == "fail"
    assert any("means whatever directory the program is started in" in line for line in finding.detail)


def test_run_path_to_nowhere_is_noted_and_fails_where_anyone_could_make_it(bench: Bench) -> None:
    bench.program(bench.library("liba"), run_path="$ORIGIN/../lib:/nowhere/lib")
    finding = bench.agree()
    assert finding.detail == ("bin/app: run path /nowhere/lib does not exist",)
    public = bench.home.parent / f"{bench.home.name}-public"
    public.mkdir()
    public.chmod(0o1777)
    bench.program(bench.library("liba"), run_path=f"$ORIGIN/../lib:{public}/gone/lib")
    finding = bench.judge()
    assert finding.status == "fail"
    assert finding.summary == f"bin/app: run path {public}/gone/lib does not exist"


def test_static_program_and_other_files(bench: Bench) -> None:
    bench.program(flags=("-static",))
    (bench.home / "bin" / "script").write_text("#!/bin/sh\n")
    (bench.home / "bin" / "loop").symlink_to("loop")
    finding = bench.agree("bin")
    assert finding.summary == "ELF files: 1; shared libraries from outside: 0, all found"


def test_missing_interpreter(bench: Bench) -> None:
    bench.program(flags=("-Wl,--dynamic-linker=/nowhere/ld.so",))
    assert bench.judge("bin").summary == "bin/app: its loader /nowhere/ld.so does not exist"
    with pytest.raises(FileNotFoundError):
        bench.start()


def test_nothing_to_look_at_is_a_failure(bench: Bench) -> None:
    (bench.home / "bin" / "script").write_text("#!/bin/sh\n")
    assert bench.judge("bin").summary == f"no ELF file under {bench.home}/bin"
    assert bench.judge("bin").status == "fail"
    assert bench.judge("absent").summary == f"{bench.home}/absent does not exist"
    assert bench.judge("absent").status == "fail"


def test_extension_module_may_leave_libpython_to_the_interpreter(bench: Bench) -> None:
    python = bench.library("libpython3")
    extension = bench.library("ext", python)
    python.unlink()
    assert bench.judge("lib/ext.so.1").status == "ok"
    bench.program(extension, run_path="$ORIGIN/../lib")
    assert bench.agree("bin").status == "fail"


def test_library_that_ldconfig_has_not_seen(bench: Bench) -> None:
    bench.program(bench.library("liba"))
    machine = loader.system()
    lib = str(bench.home / "lib")
    paths = (str(bench.home / "bin"),)
    stale = loader.System((lib, *machine.configured), machine.cached, machine.defaults)
    finding = link_closure(paths, where=stale)
    assert finding.status == "fail"
    assert f"  found in {lib}, but ldconfig has not run since" in finding.detail
    fresh = loader.System(stale.configured, machine.cached + f"\0{lib}/liba.so.1\0".encode(), machine.defaults)
    assert link_closure(paths, where=fresh).status == "ok"


def test_programs_of_this_machine_are_closed() -> None:
    found = [path for name in ("gcc", "python3", "sh") if (path := shutil.which(name))]
    finding = link_closure(tuple(found))
    assert finding.status == "ok", finding


@pytest.mark.parametrize("error", [ValueError("unrecognized"), OSError(22, "Invalid argument")])
def test_another_libc_is_skipped(bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def unknown(name: str) -> str:
        raise error

    monkeypatch.setattr(os, "confstr", unknown)
    finding = bench.judge("absent")
    assert finding.status == "skip"
    assert finding.summary.startswith("not glibc")


def test_another_system_is_skipped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    finding = bench.judge("absent")
    assert (finding.status, finding.summary) == ("skip", "not an ELF system with glibc's loader (darwin): untried")

"""`--on`: declared hosts by name, nearest release, file, and parts added with `+`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Hello

from devsetup import facts as facts_module
from devsetup import probe
from devsetup.errors import InvalidInput, Refused, UsageError
from devsetup.facts import Compiler, Facts, Library, OperatingSystem
from devsetup.loader import Loader, default_root, suggest
from devsetup.loader.releases import release, skipped
from devsetup.planner import Wish, make_plan
from devsetup.recipe import When
from devsetup.runner import Runner

LOADER = Loader(default_root({}))


def refused(text: str) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        LOADER.host(text)
    assert caught.value.hint
    return caught.value.message, caught.value.hint


class TestReleases:
    @pytest.mark.parametrize(
        ("system", "version", "expected"),
        [
            ("macos", "10.10.5", (10, 10)),
            ("macos", "10.9", (10, 9)),
            ("macos", "11.7.10", (11,)),
            ("macos", "26", (26,)),
            ("macos", "10", ()),
            ("ubuntu", "16.04", (16, 4)),
            ("ubuntu", "22", ()),
            ("debian", "12.7", (12,)),
            ("debian", "", ()),
            ("debian", "sid", ()),
        ],
    )
    def test_a_release_is_named_by_these_numbers(self, system: str, version: str, expected: tuple[int, ...]) -> None:
        assert release(system, version) == expected

    def test_some_macos_never_were(self) -> None:
        assert [major for major in range(9, 31) if skipped("macos", (major,))] == list(range(16, 26))
        assert skipped("macos", (10, 16))
        assert not skipped("macos", (10, 15))
        assert not skipped("ubuntu", (16, 4))


def test_hosts_are_listed_by_release() -> None:
    macs = [name for name in LOADER.hosts() if name.startswith("macos-1")]
    assert macs[:3] == ["macos-10.9", "macos-10.10", "macos-10.11"]
    assert macs[-2:] == ["macos-15", "macos-15-arm64"]


@pytest.mark.parametrize("name", LOADER.hosts())
def test_a_declared_host_is_what_its_file_says(name: str) -> None:
    host = LOADER.host(name)
    assert host == facts_module.from_json((default_root({}) / "hosts" / f"{name}.json").read_bytes(), name)
    assert facts_module.from_json(facts_module.to_json(host), name) == host


class TestNearest:
    @pytest.mark.parametrize(
        ("text", "taken"),
        [
            ("macos-27", "macos-26"),
            ("macos-27.1-arm64", "macos-26-arm64"),
            ("macos-10.11.2", "macos-10.11"),
            ("debian-14", "debian-13"),
            ("debian-12.7", "debian-12"),
            ("ubuntu-26.04", "ubuntu-24.04"),
            ("ubuntu-16.10", "ubuntu-16.04"),
            ("fedora-41", "fedora-40"),
            ("fedora-50", "fedora-42"),
        ],
    )
    def test_the_nearest_older_release_stands_in_and_says_so(self, text: str, taken: str) -> None:
        host, base = LOADER.host(text), LOADER.host(taken)
        assert host.os.version == text.removesuffix("-arm64").partition("-")[2]
        assert host.notes == (f"{text} is not declared: facts of {taken} with the version changed", *base.notes)
        assert (host.arch, host.libraries, host.compilers, host.apple) == (
            *(base.arch, base.libraries, base.compilers, base.apple),
        )
        assert facts_module.from_json(facts_module.to_json(host), text) == host

    def test_names_of_a_release_do_not_carry_over_to_another(self) -> None:
        assert (LOADER.host("debian-14").os.codename, LOADER.host("debian-14").os.name) == ("", "")
        assert LOADER.host("debian-12.7").os.codename == "bookworm"

    def test_the_c_library_of_macos_moves_with_it_and_glibc_stays(self) -> None:
        mac, linux = LOADER.host("macos-27").libc, LOADER.host("debian-14").libc
        assert mac
        assert linux
        assert (mac.version, linux.version) == ("27", "2.41")

    def test_conditions_see_the_new_version(self) -> None:
        assert When(os="macos >=27").verdict(LOADER.host("macos-27")).holds
        assert not When(os="macos >=27").verdict(LOADER.host("macos-26")).holds

    @pytest.mark.parametrize(
        ("text", "message", "hint"),
        [
            ("macos-10.8", "older than every macos", "declared: macos-10.9, 10.10"),
            ("macos-10-arm64", "no declared host is named", "arm64"),
            ("ubuntu-12.04", "older than every ubuntu", "declared: ubuntu-14.04, 16.04"),
            ("fedora-8", "older than every fedora", "declared: fedora-40, 42"),
            ("macos-16", "16 to 25 do not exist", "15, 26"),
            ("macos-25.3", "16 to 25 do not exist", "15, 26"),
            ("macos-10.16", "11 follows 10.15", "10.15, 11"),
            ("ubuntu-22", "no declared host", "did you mean 'ubuntu-22.04'?"),
            ("debain-12", "no declared host", "did you mean 'debian-12'?"),
            ("ubunto-16.04", "no declared host", "did you mean 'ubuntu-16.04'?"),
            ("solaris-11", "no declared host", "declared: debian-11, 12, 13; fedora-40, 42; macos-10.9"),
            ("debian-12-arm64", "no declared host", "debian-12"),
            ("debian", "no declared host or file", "debian-1"),
            ("no/such/file.json", "no declared host or file", "a path to a JSON file"),
            ("", "no declared host or file", "declared: "),
            ("x" * 5000, "no declared host or file", "declared: "),
            ("nul\0byte", "no declared host or file", "declared: "),
            ("/", "no declared host or file", "declared: "),
        ],
    )
    def test_what_cannot_be_is_refused_with_what_is_there(self, text: str, message: str, hint: str) -> None:
        seen = refused(text)
        assert message in seen[0]
        assert hint in seen[1]

    @pytest.mark.parametrize("text", ["macos-27", "macos-40-arm64", "debian-14", "ubuntu-30.10", "fedora-99"])
    @pytest.mark.parametrize("name", LOADER.names())
    def test_every_recipe_plans_on_a_future_release_or_refuses_with_a_reason(self, name: str, text: str) -> None:
        try:
            made = make_plan(Wish(names=(name,)), LOADER.host(text), LOADER.catalogue())
        except Refused as error:
            reason = error.message
        else:
            reason = "" if made.parts else "nothing was planned"
        assert not reason or "cannot be installed here: " in reason


class TestParts:
    def test_a_cuda_toolkit(self) -> None:
        host = LOADER.host("ubuntu-16.04+cuda-8.0")
        (cuda,) = host.cuda
        assert (cuda.path, cuda.version, cuda.origin, cuda.chosen) == ("/usr/local/cuda-8.0", "8.0", "declared", True)
        assert cuda.why
        assert host.toolkit == "8.0"
        assert When(cuda=">=8, <9").verdict(host).holds
        assert host.notes[-1] == "changed by --on: cuda-8.0"
        assert not LOADER.host("ubuntu-16.04").cuda

    def test_of_several_toolkits_the_last_wins_and_the_others_say_why_not(self) -> None:
        host = LOADER.host("ubuntu-18.04+cuda-10.2+cuda-9.1+cuda-8.0")
        assert [(cuda.version, cuda.chosen) for cuda in host.cuda] == [("10.2", False), ("9.1", False), ("8.0", True)]
        assert [cuda.why for cuda in host.cuda[:2]] == ["cuda-9.1 was named after it", "cuda-8.0 was named after it"]
        assert host.toolkit == "8.0"

    def test_on_macos_a_toolkit_is_where_its_installer_puts_it(self) -> None:
        assert LOADER.host("macos-10.12+cuda-8.0").cuda[0].path == "/Developer/NVIDIA/CUDA-8.0"

    def test_command_line_tools(self) -> None:
        host, base = LOADER.host("macos-10.10+clt-6.2"), LOADER.host("macos-10.10")
        assert host.apple
        assert base.apple
        assert (host.apple.clt, host.apple.sdk) == ("6.2", base.apple.sdk)
        assert base.apple.clt != "6.2"

    @pytest.mark.parametrize("name", LOADER.libraries())
    def test_any_library(self, name: str) -> None:
        host = LOADER.host(f"debian-12+{name}-3.6.1")
        if name != "gcc":  # which is a compiler too
            assert host.libraries[name] == Library(version="3.6.1")
        assert {**host.libraries, name: None} == {**LOADER.host("debian-12").libraries, name: None}

    def test_gcc_is_every_driver_of_its_family_and_the_package(self) -> None:
        host = LOADER.host("debian-12+gcc-13")
        assert {(c.name, c.version) for c in host.compilers} == {(n, "13") for n in ("gcc", "g++", "cc", "c++")}
        assert host.library("gcc") == "13"

    def test_clang_beside_gcc(self) -> None:
        host = LOADER.host("ubuntu-22.04+clang-15")
        assert host.compilers[-2:] == (
            Compiler(name="clang", family="clang", version="15", path="/usr/bin/clang"),
            Compiler(name="clang++", family="clang", version="15", path="/usr/bin/clang++"),
        )
        assert host.compiler("g++") == "11.4.0"

    @pytest.mark.parametrize(("base", "prefix"), [("macos-13", "/usr/local"), ("macos-13-arm64", "/opt/homebrew")])
    def test_gcc_on_macos_carries_its_number(self, base: str, prefix: str) -> None:
        host = LOADER.host(f"{base}+gcc-13.2")
        added = Compiler(name="g++-13", family="gcc", version="13.2", path=f"{prefix}/bin/g++-13")
        assert host.compilers[-1] == added
        assert host.compiler("g++") == "15.0.0"
        assert LOADER.host(f"{base}+clang-16").compiler("g++") == "16"

    def test_python_is_the_package_and_the_interpreter(self) -> None:
        host = LOADER.host("debian-12+python-3.9")
        assert (host.library("python"), host.pythons[0].version) == ("3.9", "3.9")

    @pytest.mark.parametrize("text", ["macos-15+arm64", "macos-15-arm64+arm64", "macos-15+cuda-10.2+arm64"])
    def test_arm64_where_such_a_host_is_declared(self, text: str) -> None:
        assert LOADER.host(text).arch == "arm64"
        assert LOADER.host("macos-27+arm64").arch == "arm64"

    def test_parts_are_taken_in_order_and_on_a_nearest_release_too(self) -> None:
        host = LOADER.host("debian-14+protobuf-3.6.1+protobuf-3.21.12+cuda-13.0")
        assert (host.library("protobuf"), host.toolkit, host.os.version) == ("3.21.12", "13.0", "14")
        assert facts_module.from_json(facts_module.to_json(host), "here") == host

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("debian-12+", "'' is not NAME-VERSION"),
            ("debian-12++cuda-8.0", "'' is not NAME-VERSION"),
            ("debian-12+cuda", "'cuda' is not NAME-VERSION"),
            ("debian-12+cuda-8.0.", "is not NAME-VERSION"),
            ("debian-12+CUDA-8.0", "is not NAME-VERSION"),
            ("debian-12+protobuf->=3", "is not NAME-VERSION"),
            ("debian-12+protobuff-3.6.1", "protobuff-3.6.1 names no toolkit, compiler or library"),
            ("debian-12+clt-6.2", "only macOS has Command Line Tools"),
        ],
    )
    def test_a_part_that_cannot_be_is_refused_with_what_is_allowed_and_an_example(
        self, text: str, message: str
    ) -> None:
        seen = refused(text)
        assert message in seen[0]
        for word in ("cuda-8.0", "clt-6.2", "gcc-13", "hosts/libraries.toml", "--on ubuntu-16.04+cuda-8.0"):
            assert word in seen[1]

    def test_a_misspelt_library_gets_its_name(self) -> None:
        assert refused("debian-12+protobuff-3.6.1")[1].startswith("did you mean 'protobuf'?")

    @pytest.mark.parametrize("version", ["8", "8.0.61"])
    def test_a_toolkit_has_two_numbers(self, version: str) -> None:
        assert refused(f"debian-12+cuda-{version}")[1] == "write for example +cuda-8.0"

    def test_no_arm64_where_none_is_declared(self) -> None:
        for text in ("debian-12+arm64", "/etc/hosts+arm64", "debian-12-riscv64+arm64"):
            message, hint = refused(text)
            assert "has no host on arm64" in message
            assert "macos-11-arm64" in hint


class TestFiles:
    def test_a_file_with_and_without_parts(self, tmp_path: Path) -> None:
        path = tmp_path / "my+own-12.json"
        path.write_text(facts_module.to_json(LOADER.host("fedora-42")))
        assert LOADER.host(str(path)) == LOADER.host("fedora-42")
        assert LOADER.host(f"{path}+cuda-12.4") == LOADER.host("fedora-42+cuda-12.4")

    def test_a_toolkit_of_the_file_gives_way(self, tmp_path: Path) -> None:
        path = tmp_path / "host.json"
        path.write_text(facts_module.to_json(LOADER.host("debian-12+cuda-11.8")))
        host = LOADER.host(f"{path}+cuda-12.4")
        assert [(cuda.version, cuda.chosen) for cuda in host.cuda] == [("11.8", False), ("12.4", True)]

    def test_a_file_that_looks_like_a_release_wins_over_the_nearest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "debian-14").write_text(facts_module.to_json(LOADER.host("fedora-42")))
        assert LOADER.host("debian-14").os.id == "fedora"

    def test_a_malformed_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.json"
        path.write_text('{"os": 3}')
        with pytest.raises(InvalidInput, match=r"broken\.json is not a valid host description"):
            LOADER.host(f"{path}+cuda-8.0")


class TestDeclared:
    @pytest.mark.parametrize(
        ("system", "version", "taken"),
        [
            ("debian", "12", "12"),
            ("debian", "14", "13"),
            ("ubuntu", "25.10", "24.04"),
            ("macos", "10.10.5", "10.10.5"),
            ("macos", "27.0", "26.0"),
            ("macos", "16.0", "15.5"),
        ],
    )
    def test_a_probed_machine_gets_its_release_or_the_nearest_older(
        self, system: str, version: str, taken: str
    ) -> None:
        found = LOADER.declared(OperatingSystem(id=system, version=version))
        assert found
        assert found.os.version == taken

    @pytest.mark.parametrize(("system", "version"), [("debian", ""), ("debian", "8"), ("arch", ""), ("ubuntu", "22")])
    def test_there_may_be_none(self, system: str, version: str) -> None:
        assert LOADER.declared(OperatingSystem(id=system, version=version)) is None

    def probed(self, root: Path, version: str) -> Facts:
        """A real probe of a small tree that stands for a Debian with nothing installed."""
        for name in ("apt-get", "dpkg-query"):
            program = root / "usr/bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/os-release").write_text(f'ID=debian\nVERSION_ID="{version}"\n')
        return probe.machine(Runner(), LOADER.libraries(), LOADER.declared, root, environ={"PATH": "/usr/bin"})

    def test_a_machine_of_an_undeclared_release_expects_the_nearest_ones_versions_and_says_so(
        self, tmp_path: Path
    ) -> None:
        found = self.probed(tmp_path, "14")
        assert found.os.version == "14"
        assert found.library("opencv") == LOADER.host("debian-13").library("opencv")
        assert [note for note in found.notes if "not declared" in note] == [
            "debian 14 is not declared: what is not installed is expected in the versions of debian 13"
        ]

    def test_a_machine_of_a_declared_release_needs_no_note(self, tmp_path: Path) -> None:
        found = self.probed(tmp_path, "13")
        assert found.library("opencv")
        assert not [note for note in found.notes if "declared" in note]


def test_suggest() -> None:
    assert suggest("cafe", ["caffe", "cuda"]) == "did you mean 'caffe'?"
    assert suggest("zzz", ["caffe", "cuda"]) == "known: caffe, cuda"
    assert suggest("zzz", ["caffe"], "look elsewhere") == "look elsewhere"


def test_facts_and_plan_take_a_composed_host(hello: Hello) -> None:
    done = hello.run("facts", "--on", "ubuntu-16.04+cuda-8.0", "--json")
    assert json.loads(done.stdout)["facts"]["cuda"][0]["version"] == "8.0"
    assert "/usr/local/cuda-8.0" in hello.run("facts", "--on", "ubuntu-16.04+cuda-8.0").stdout
    done = hello.run("plan", "hello", "--on", "macos-27")
    assert done.returncode == 0, done.stderr
    assert "macos 27" in done.stdout
    wrong = hello.run("plan", "hello", "--on", "ubuntu-16.04+cudda-8.0")
    assert wrong.returncode == 2
    assert "did you mean 'cuda'?" in wrong.stderr

"""Package managers: which one, versions of libraries, missing packages. Real apt where it is here, else stubs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_probe import Tree

from devsetup import probe
from devsetup.errors import DevsetupError, InvalidInput
from devsetup.facts import Facts, Library, OperatingSystem
from devsetup.probe.packages import libraries, package_manager, upstream_version
from devsetup.recipe import SystemLibrary
from devsetup.runner import MissingProgram, Runner

ENTRIES = {
    "opencv": SystemLibrary(
        apt=("libopencv-core-dev", "libopencv-imgproc-dev"), dnf=("opencv-devel",), brew=("opencv",)
    ),
    "python": SystemLibrary(apt=("python3-dev",), dnf=("python3-devel",), brew=("python@3.13",), pacman=("python",)),
    "atlas": SystemLibrary(apt=("libatlas-base-dev",)),
    "snappy": SystemLibrary(pacman=("snappy",), pkg_config="snappy"),
}
DEBIAN = OperatingSystem(id="debian", version="12")
DECLARED = Facts(os=DEBIAN, arch="x86_64", libraries={"opencv": Library(version="4.6.0")})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root")


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("1:4.6.0+dfsg-12", "4.6.0"),
        ("3.21.12-3+deb12u1", "3.21.12"),
        ("4:12.2.0-3", "12.2.0"),
        ("3.11.2-1+b1", "3.11.2"),
        ("1.10.8+repack1-1", "1.10.8"),
        ("0.5.0+really0.4.0-2", "0.4.0"),
        ("1:1.3.dfsg+really1.3.1-1+deb13u1", "1.3.1"),
        ("5.3.28~rc1-1", "5.3.28"),
        ("3.13.5_1", "3.13.5"),
        ("unknown", ""),
    ],
)
def test_upstream_version(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream


@pytest.mark.parametrize(
    ("system", "programs", "manager"),
    [
        (DEBIAN, ["apt-get", "dnf", "brew"], "apt"),
        (OperatingSystem(id="fedora", version="42"), ["apt-get", "dnf"], "dnf"),
        (OperatingSystem(id="linuxmint", version="22", like=("ubuntu", "debian")), ["apt-get", "pacman"], "apt"),
        (OperatingSystem(id="macos", version="15.5"), ["brew"], "brew"),
        (OperatingSystem(id="arch", version=""), ["brew", "pacman"], "pacman"),
        (OperatingSystem(id="slackware", version="15"), ["brew"], "brew"),
        (OperatingSystem(id="opensuse", version="15.6"), ["rpm"], ""),
        (DEBIAN, [], ""),
    ],
)
def test_package_manager(tree: Tree, system: OperatingSystem, programs: list[str], manager: str) -> None:
    for name in programs:
        tree.program(f"/usr/bin/{name}", "")
    assert package_manager(tree.host(), system) == manager


def dpkg(tree: Tree, *rows: str) -> None:
    tree.program("/usr/bin/dpkg-query", "\n".join(f"printf '{row}\\n'" for row in rows) + "\nexit 1")


def test_apt_installed_and_expected_versions(tree: Tree) -> None:
    dpkg(
        tree,
        "installed\\tpython3-dev\\t3.11.2-1+b1",
        "config-files\\tlibopencv-core-dev\\t1:3.2.0+dfsg-6",
        "not-installed\\tlibatlas-base-dev\\t",
    )
    notes: list[str] = []
    assert libraries(tree.host(), ENTRIES, "apt", lambda: DECLARED, notes) == {
        "opencv": Library(version="4.6.0"),
        "python": Library(version="3.11.2", installed=True),
    }
    assert notes == []


def test_without_a_declared_host_what_is_not_installed_is_left_out_and_said(tree: Tree) -> None:
    dpkg(tree, "installed\\tpython3-dev\\t3.11.2-1+b1")
    notes: list[str] = []
    assert set(libraries(tree.host(), ENTRIES, "apt", lambda: None, notes)) == {"python"}
    assert notes == ["no declared host for this release: not installed, so of unknown version: opencv, atlas"]


def test_the_declared_host_is_not_read_when_everything_is_installed(tree: Tree) -> None:
    dpkg(tree, "installed\\tpython3-dev\\t3.11.2-1+b1")
    entries = {"python": ENTRIES["python"]}
    assert libraries(tree.host(), entries, "apt", lambda: pytest.fail("not needed"), []) == {
        "python": Library(version="3.11.2", installed=True)
    }


def test_a_malformed_declared_host_is_a_note(tree: Tree) -> None:
    dpkg(tree)

    def malformed() -> Facts:
        raise InvalidInput("debian-12.json is not a valid host description")

    notes: list[str] = []
    assert libraries(tree.host(), ENTRIES, "apt", malformed, notes) == {}
    assert notes == ["the declared host of this release cannot be read: debian-12.json is not a valid host description"]


def test_a_package_database_that_hangs_is_a_note(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devsetup.probe.host._TIMEOUT_S", 0.2)
    tree.program("/usr/bin/dpkg-query", "sleep 60")
    notes: list[str] = []
    assert libraries(tree.host(), ENTRIES, "apt", lambda: DECLARED, notes) == {"opencv": Library(version="4.6.0")}
    assert notes == ["/usr/bin/dpkg-query did not end within 0.2 s and was stopped"]


def test_a_query_program_that_breaks_is_a_note(tree: Tree) -> None:
    missing = "echo 'dpkg-query: no packages found matching opencv' >&2"
    tree.program("/usr/bin/dpkg-query", f"{missing}; echo 'libc.so.6: version not found' >&2; exit 1")
    notes: list[str] = []
    assert libraries(tree.host(), ENTRIES, "apt", lambda: DECLARED, notes) == {"opencv": Library(version="4.6.0")}
    assert notes == ["dpkg-query: libc.so.6: version not found"]


def test_the_whole_probe_asks_for_the_declared_host_of_this_release(tree: Tree) -> None:
    tree.program("/usr/bin/apt-get", "")
    dpkg(tree)
    asked: list[OperatingSystem] = []

    def declared(system: OperatingSystem) -> Facts:
        asked.append(system)
        return DECLARED

    found = probe.machine(Runner(), ENTRIES, declared, root=tree.root, environ={"PATH": "/usr/bin"})
    assert [(system.id, system.version) for system in asked] == [("debian", "12")]
    assert found.library("opencv") == "4.6.0"
    assert found.package_manager == "apt"


def test_dnf(tree: Tree) -> None:
    said = "printf 'package opencv-devel is not installed\\ninstalled\\tpython3-devel\\t3.13.5\\n'; exit 1"
    tree.program("/usr/bin/rpm", said)
    found = libraries(tree.host(), ENTRIES, "dnf", lambda: None, [])
    assert found == {"python": Library(version="3.13.5", installed=True)}


def test_brew(tree: Tree) -> None:
    tree.write("/opt/homebrew/Cellar/python@3.13/3.13.5_1/bin/python3.13")
    tree.link("/opt/homebrew/opt/python@3.13", "../Cellar/python@3.13/3.13.5_1")
    tree.link("/opt/homebrew/opt/opencv", "../Cellar/opencv/4.12.0")
    found = libraries(tree.host(), ENTRIES, "brew", lambda: None, [])
    assert found == {"python": Library(version="3.13.5", installed=True)}


def test_pacman(tree: Tree) -> None:
    for name in ("python-3.13.5-1", "python-numpy-2.3.1-1", "snappy-1.2.2-2", "ALPM_DB_VERSION"):
        tree.write(f"/var/lib/pacman/local/{name}/desc")
    found = libraries(tree.host(), ENTRIES, "pacman", lambda: None, [])
    assert {name: library.version for name, library in found.items()} == {"python": "3.13.5", "snappy": "1.2.2"}


def test_pkg_config_knows_what_no_package_manager_does(tree: Tree) -> None:
    tree.write("/usr/lib/pkgconfig/snappy.pc", "Name: snappy\nVersion: 1.2.1\n")
    assert libraries(tree.host(), ENTRIES, "", lambda: None, []) == {"snappy": Library(version="1.2.1", installed=True)}
    tree.write("/mine/snappy.pc", "Version: 1.1.9\n")
    found = libraries(tree.host(PKG_CONFIG_PATH="/mine"), ENTRIES, "", lambda: None, [])
    assert found["snappy"].version == "1.1.9"


def test_pkg_config_does_not_speak_for_what_the_package_manager_could_install(tree: Tree) -> None:
    tree.write("/usr/local/lib/pkgconfig/snappy.pc", "Version: 1.1.9\n")
    assert libraries(tree.host(), ENTRIES, "pacman", lambda: None, []) == {}


needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no dpkg here")


@needs_dpkg
def test_missing_with_apt_for_real() -> None:
    names = ("no-such-package-b", "dpkg", "no-such-package-a")
    assert probe.missing_packages(Runner(), "apt", names) == ("no-such-package-b", "no-such-package-a")
    assert probe.missing_packages(Runner(), "apt", ("dpkg",)) == ()


@needs_dpkg
def test_a_virtual_package_that_is_provided_is_not_missing_for_real() -> None:
    # debconf, which every Debian has, provides debconf-2.0.
    assert probe.missing_packages(Runner(), "apt", ("debconf-2.0",)) == ()


def stub(tree: Tree, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    tree.program(f"/stubs/{name}", script)
    monkeypatch.setenv("PATH", f"{tree.root}/stubs")


def test_a_removed_package_with_its_settings_left_is_missing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(
        tree,
        monkeypatch,
        "dpkg-query",
        "printf 'config-files\\tg++\\t\\ninstalled\\tmake\\tmake-virtual (= 1), other\\n'",
    )
    names = ("g++", "make", "make-virtual", "other", "another")
    assert probe.missing_packages(Runner(), "apt", names) == ("g++", "another")


def test_a_query_that_fails_is_an_error_not_an_answer(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tree, monkeypatch, "dpkg-query", "echo 'database is locked' >&2; exit 2")
    with pytest.raises(DevsetupError, match="dpkg-query failed with status 2") as caught:
        probe.missing_packages(Runner(), "apt", ("make",))
    assert caught.value.detail == ("database is locked",)
    assert caught.value.hint is not None


def test_missing_with_dnf(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tree, monkeypatch, "rpm", "printf 'make-4.4.1-10.fc42.x86_64\\nno package provides zzz\\n'; exit 1")
    assert probe.missing_packages(Runner(), "dnf", ("make", "zzz")) == ("zzz",)


def test_missing_with_pacman(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tree, monkeypatch, "pacman", "echo zzz; exit 127")
    assert probe.missing_packages(Runner(), "pacman", ("make", "zzz")) == ("zzz",)


def test_missing_with_brew(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tree, monkeypatch, "brew", "printf 'boost\\npython@3.13\\n'")
    assert probe.missing_packages(Runner(), "brew", ("python@3.13", "opencv")) == ("opencv",)


def test_no_names_ask_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree.root))
    assert probe.missing_packages(Runner(), "apt", ()) == ()


def test_a_missing_query_program_and_an_unknown_manager(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree.root))
    with pytest.raises(MissingProgram):
        probe.missing_packages(Runner(), "apt", ("make",))
    with pytest.raises(InvalidInput, match="'apk' is no package manager"):
        probe.missing_packages(Runner(), "apk", ("make",))

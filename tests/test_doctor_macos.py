"""The doctor's checks of macOS, on constructed machines whose Apple programs are stubs."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_goals import run, wanting
from doctoring import Couch, check, only
from msgspec.structs import replace

from devsetup.doctor import Exam, Goal
from devsetup.facts import Apple, Facts
from devsetup.steps import Step, SystemPackages

CLT = "/Library/Developer/CommandLineTools"
SDK = f"{CLT}/SDKs/MacOSX14.4.sdk"
BUILD = run("make", "all")


class Mac(Couch):
    """macOS 14 on Apple silicon with Command Line Tools and Homebrew, in order; a test then breaks something."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.write("/System/Library/CoreServices/SystemVersion.plist")
        self.program("/usr/bin/sw_vers", "echo 14.5")
        self.program("/usr/sbin/pkgutil", "echo 'version: 15.3.0.0.1.1708646388'")
        self.program("/usr/bin/xcrun", f'test "$1" = --find && echo {CLT}/usr/bin/clang || echo {SDK}')
        self.program("/usr/sbin/sysctl", "echo 1")
        self.program("/usr/bin/csrutil", "echo 'System Integrity Protection status: enabled.'")
        self.program(f"{CLT}/usr/bin/clang", "")
        self.write(f"{SDK}/SDKSettings.json", '{"DisplayName": "macOS 14.4", "Version": "14.4"}')
        self.program("/opt/homebrew/bin/brew", "")

    def seen(self, *steps: Step, arch: str = "arm64", options: dict[str, str] | None = None, **environ: str) -> Exam:
        facts = replace(self.facts(PATH="/opt/homebrew/bin:/usr/bin", **environ), arch=arch)
        goals = wanting(facts, *steps, options=options or {}) if steps else ()
        return self.exam(facts=facts, goals=goals, **environ)


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    return Mac(tmp_path / "root")


def test_a_mac_in_order_has_nothing_to_mend(mac: Mac) -> None:
    found = check("mac", mac.seen(BUILD))
    assert {result.status for result in found} == {"ok"}
    assert {result.id for result in found} == {"mac.version", "mac.clt", "mac.sdk", "mac.brew-prefix"}


def test_linux_has_no_such_questions(tmp_path: Path) -> None:
    assert {result.status for result in check("mac", Couch(tmp_path / "root").exam())} == {"skip"}


def test_a_python_of_an_old_sdk_takes_the_system_for_another(mac: Mac) -> None:
    mac.program("/usr/bin/sw_vers", "echo 26.1")
    mac.program("/opt/homebrew/bin/python3.12", 'test "$1" = -V && echo Python 3.12.1 || echo 16.0')
    found = only("mac.version", mac.seen())
    assert found.status == "info"
    assert found.summary.startswith("/opt/homebrew/bin/python3.12 takes macOS 26.1 for 16.0")
    mac.program("/opt/homebrew/bin/python3.12", 'test "$1" = -V && echo Python 3.12.1 || echo 26.0.1')
    assert only("mac.version", mac.seen()).status == "ok"


def test_a_system_without_version_cannot_be_planned_for(mac: Mac) -> None:
    mac.program("/usr/bin/sw_vers", "exit 1")
    assert only("mac.version", mac.seen()).status == "info"
    assert only("mac.version", mac.seen(BUILD)).status == "warn"


def test_developer_tools_are_missing_only_to_those_who_build(mac: Mac) -> None:
    (mac.root / CLT[1:] / "usr/bin/clang").unlink()
    assert only("mac.clt", mac.seen()).status == "info"
    found = only("mac.clt", mac.seen(BUILD))
    assert found.status == "fail"
    assert found.fix
    assert found.fix.commands == ("xcode-select --install",)


def test_tools_older_than_the_system_are_named_with_what_it_wants(mac: Mac) -> None:
    mac.program("/usr/sbin/pkgutil", "echo 'version: 14.3.1.0.1'")
    found = only("mac.clt", mac.seen())
    assert found.status == "warn"
    assert "Command Line Tools 14.3.1.0.1 are older than the 15 that macOS 14.5 wants" in found.summary
    mac.program("/usr/bin/sw_vers", "echo 10.13.6")
    assert only("mac.clt", mac.seen()).status == "ok"


def test_xcode_alone_does_too(mac: Mac) -> None:
    (mac.root / CLT[1:] / "usr/bin/clang").unlink()
    mac.program("/usr/sbin/pkgutil", "exit 1")
    mac.program("/Applications/Xcode.app/Contents/Developer/usr/bin/make", "")
    mac.link("/var/db/xcode_select_link", "/Applications/Xcode.app/Contents/Developer")
    found = only("mac.clt", mac.seen(BUILD))
    assert (found.status, found.summary) == ("ok", "developer tools in /Applications/Xcode.app/Contents/Developer")
    assert only("mac.xcode-path", mac.seen(BUILD)).status == "ok"


def test_a_selection_that_leads_nowhere_stops_every_tool(mac: Mac) -> None:
    mac.link("/var/db/xcode_select_link", "/Volumes/old/Xcode.app/Contents/Developer")
    assert only("mac.xcode-path", mac.seen()).status == "warn"
    found = only("mac.xcode-path", mac.seen(BUILD))
    assert found.status == "fail"
    assert "xcode-select points at /Volumes/old/Xcode.app/Contents/Developer" in found.summary
    assert found.fix
    assert (found.fix.commands, found.fix.needs_root) == ((f"sudo xcode-select --switch {CLT}",), True)
    (mac.root / CLT[1:] / "usr/bin/clang").unlink()
    reset = only("mac.xcode-path", mac.seen(BUILD)).fix
    assert reset
    assert reset.commands == ("sudo xcode-select --reset",)


def test_a_licence_that_was_not_accepted(mac: Mac) -> None:
    said = "You have not agreed to the Xcode license agreements, please run 'sudo xcodebuild -license'"
    mac.program("/usr/bin/xcrun", f'echo "{said}" >&2; exit 69')
    assert only("mac.license", mac.seen()).status == "warn"
    found = only("mac.license", mac.seen(BUILD))
    assert (found.status, found.evidence[0].value) == ("fail", said)


def test_an_sdk_that_is_not_there(mac: Mac) -> None:
    mac.program("/usr/bin/xcrun", "echo /Library/Developer/CommandLineTools/SDKs/MacOSX13.sdk")
    assert only("mac.sdk", mac.seen()).status == "warn"
    assert only("mac.sdk", mac.seen(BUILD)).status == "fail"


def test_an_sdk_under_a_name_that_is_not_its_version(mac: Mac) -> None:
    mac.write(f"{SDK}/SDKSettings.json", '{"Version": "15.0"}')
    found = only("mac.sdk", mac.seen())
    assert found.status == "warn"
    assert found.summary.startswith(f"{SDK} is named 14.4 but holds the SDK of 15.0")
    mac.link(f"{CLT}/SDKs/MacOSX.sdk", "MacOSX14.4.sdk")
    linked = mac.seen()
    through_link = replace(linked.facts, apple=Apple(clt="15.3", sdk=f"{CLT}/SDKs/MacOSX.sdk"))
    assert only("mac.sdk", replace(linked, facts=through_link)).status == "warn"


def test_intel_code_on_apple_silicon(mac: Mac) -> None:
    found = only("mac.rosetta", mac.seen(arch="x86_64"))
    assert found.status == "warn"
    assert "the libraries of /opt/homebrew are arm64" in found.summary
    (mac.root / "opt/homebrew/bin/brew").unlink()
    assert only("mac.rosetta", mac.seen(arch="x86_64")).status == "info"
    mac.program("/usr/sbin/sysctl", "echo 'unknown oid' >&2; exit 1")
    assert check("mac.rosetta", mac.seen(arch="x86_64")) == ()


def test_a_homebrew_for_the_other_processor(mac: Mac) -> None:
    packages = SystemPackages(manager="brew", names=("openblas",))
    mac.program("/usr/local/bin/brew", "")
    assert only("mac.brew-prefix", mac.seen(packages)).status == "info"
    (mac.root / "opt/homebrew/bin/brew").unlink()
    assert only("mac.brew-prefix", mac.seen()).status == "warn"
    found = only("mac.brew-prefix", mac.seen(packages))
    assert found.status == "fail"
    assert found.summary.startswith("builds take Homebrew from /usr/local, whose libraries are not for arm64")
    assert only("mac.brew-prefix", mac.seen(packages, arch="x86_64")).status == "ok"
    (mac.root / "usr/local/bin/brew").unlink()
    assert check("mac.brew-prefix", mac.seen(packages)) == ()


def test_loader_variables_do_not_outlive_a_shell(mac: Mac) -> None:
    found = only("mac.sip-dyld", mac.seen(DYLD_LIBRARY_PATH="/opt/lib"))
    assert (found.status, found.evidence[0].value) == ("info", "/opt/lib")
    assert found.summary.startswith("DYLD_LIBRARY_PATH set, but System Integrity Protection removes them")
    mac.program("/usr/bin/csrutil", "echo 'System Integrity Protection status: disabled.'")
    assert check("mac.sip-dyld", mac.seen(DYLD_LIBRARY_PATH="/opt/lib")) == ()


@pytest.mark.parametrize(
    ("version", "arch", "reason"),
    [
        ("14.5", "arm64", "Apple's processors have no CUDA"),
        ("10.14.6", "x86_64", "NVIDIA has no driver for macOS 10.14.6"),
        ("10.13.6", "x86_64", ""),
    ],
)
def test_cuda_ended_with_high_sierra(mac: Mac, version: str, arch: str, reason: str) -> None:
    mac.program("/usr/bin/sw_vers", f"echo {version}")
    assert check("mac.cuda", mac.seen(BUILD, arch=arch)) == ()
    found = check("mac.cuda", mac.seen(BUILD, arch=arch, options={"cuda": "on"}))
    assert [result.status for result in found] == (["fail"] if reason else [])
    assert all(result.summary.startswith(reason) for result in found)


def test_a_goal_that_was_refused_for_want_of_cuda_counts(mac: Mac) -> None:
    goals = (Goal(name="caffe", refusal="there is no CUDA toolkit"),)
    facts: Facts = mac.seen().facts
    assert only("mac.cuda", mac.exam(facts=facts, goals=goals)).status == "fail"

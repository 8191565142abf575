"""The doctor's checks of the operating system, on constructed machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_goals import python_env, wanting
from doctoring import Couch, check, only
from msgspec.structs import replace

from devsetup.doctor import Goal
from devsetup.facts import Facts, Libc, Python

INTEL_2012 = "model name\t: Intel Xeon\nflags\t\t: fpu sse sse2 sse4_1 sse4_2 avx\n"
INTEL_2008 = "model name\t: Intel Core 2\nflags\t\t: fpu sse sse2 ssse3\n"


@pytest.fixture
def couch(tmp_path: Path) -> Couch:
    made = Couch(tmp_path / "root")
    made.program("/usr/bin/apt-get", "")
    return made


def with_libc(couch: Couch, family: str, version: str) -> Facts:
    return replace(couch.facts(), libc=Libc(family=family, version=version))


def cuda(facts: Facts) -> tuple[Goal, ...]:
    return wanting(facts, name="cuda")


def test_a_release_with_its_package_manager_is_in_order(couch: Couch) -> None:
    found = only("os.supported", couch.exam())
    assert (found.status, found.summary) == (
        "ok",
        f"Debian GNU/Linux 12 (bookworm) on {couch.facts().arch}, packages by apt",
    )


def test_without_a_package_manager_recipes_cannot_get_their_libraries(tmp_path: Path) -> None:
    bare = Couch(tmp_path / "root")
    assert only("os.supported", bare.exam()).status == "info"
    found = only("os.supported", bare.exam(goals=wanting(bare.facts())))
    assert found.status == "warn"
    assert "none of apt-get, dnf, pacman and brew is on PATH" in found.summary
    assert found.evidence[0].value == "/usr/local/bin:/usr/bin"


def test_a_release_that_is_not_declared_is_named_with_what_stands_in(couch: Couch) -> None:
    note = "debian 14 is not declared: what is not installed is expected in the versions of debian 13"
    found = only("os.supported", couch.exam(facts=replace(couch.facts(), notes=(note, "something else"))))
    assert (found.status, found.detail) == ("info", (note,))


def test_a_current_glibc_is_in_order(couch: Couch) -> None:
    assert only("os.libc", couch.exam(facts=with_libc(couch, "glibc", "2.36"))).status == "ok"


def test_an_old_glibc_matters_to_those_who_install_wheels(couch: Couch) -> None:
    old, older = with_libc(couch, "glibc", "2.27"), with_libc(couch, "glibc", "2.12")
    assert only("os.libc", couch.exam(facts=old)).status == "info"
    assert only("os.libc", couch.exam(facts=older)).status == "info"
    assert only("os.libc", couch.exam(facts=old, goals=wanting(old, python_env()))).status == "info"
    found = only("os.libc", couch.exam(facts=older, goals=wanting(older, python_env())))
    assert found.status == "warn"
    assert "glibc 2.12: no current binary wheel loads below 2.17" in found.summary
    assert found.summary.endswith("(asked for: toy)")


def test_musl_is_no_place_for_cuda(couch: Couch) -> None:
    musl = with_libc(couch, "musl", "1.2.4")
    assert only("os.libc", couch.exam(facts=musl)).status == "info"
    assert only("os.libc", couch.exam(facts=musl, goals=wanting(musl, python_env()))).status == "warn"
    found = only("os.libc", couch.exam(facts=musl, goals=cuda(musl)))
    assert (found.status, found.summary) == (
        "fail",
        "musl 1.2.4: NVIDIA's libraries are for glibc (asked for: cuda)",
    )


def test_an_unknown_libc_is_said_to_be_unknown(couch: Couch) -> None:
    assert only("os.libc", couch.exam(facts=replace(couch.facts(), libc=None))).status == "info"


def test_a_32_bit_python_on_a_64_bit_processor_is_found_by_its_file(couch: Couch) -> None:
    for name, width in (("python3.11", 1), ("python3.12", 2)):
        couch.program(f"/usr/bin/{name}", "")
        (couch.root / f"usr/bin/{name}").write_bytes(b"\x7fELF" + bytes([width]) + b"\x01" * 59)
    narrow = Python(path="/usr/bin/python3.11", version="3.11.2")
    wide = Python(path="/usr/bin/python3.12", version="3.12.1")
    sound = replace(couch.facts(), arch="x86_64", pythons=(wide,))
    assert only("os.arch", couch.exam(facts=sound)).status == "ok"
    mixed = replace(sound, pythons=(wide, narrow))
    assert only("os.arch", couch.exam(facts=mixed)).status == "info"
    assert only("os.arch", couch.exam(facts=mixed, goals=wanting(mixed, python_env()))).status == "warn"
    found = only("os.arch", couch.exam(facts=mixed, goals=cuda(mixed)))
    assert found.status == "fail"
    assert found.summary.startswith("/usr/bin/python3.11 is a 32-bit Python on x86_64")


def test_a_processor_that_no_recipe_knows_is_said_to_be_untried(couch: Couch) -> None:
    found = only("os.arch", couch.exam(facts=replace(couch.facts(), arch="riscv64")))
    assert found.status == "info"
    assert found.summary.startswith("riscv64: no recipe was tried on this processor")


def test_a_machine_without_marks_is_no_container(couch: Couch) -> None:
    couch.write("/proc/1/cgroup", "0::/init.scope\n")
    assert only("os.container", couch.exam()).status == "ok"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/.dockerenv", ""),
        ("/run/.containerenv", 'engine="podman-4.3.1"\n'),
        ("/proc/1/cgroup", "4:memory:/docker/0123abc\n"),
        ("/proc/1/cgroup", "0::/kubepods/besteffort/pod1\n"),
    ],
)
def test_a_container_is_told_by_its_marks(couch: Couch, path: str, text: str) -> None:
    couch.write(path, text)
    found = only("os.container", couch.exam())
    assert (found.status, found.evidence[0].source, found.fix) == ("info", path, None)
    facts = replace(couch.facts(), driver=None)
    asked = only("os.container", couch.exam(facts=facts, goals=cuda(facts)))
    assert asked.fix
    assert "--gpus all" in asked.fix.text


def test_linux_itself_is_no_subsystem(couch: Couch) -> None:
    couch.write("/proc/sys/kernel/osrelease", "6.1.0-13-amd64\n")
    assert check("os.wsl", couch.exam()) == ()


def test_the_first_subsystem_has_no_gpu_and_the_second_has(couch: Couch) -> None:
    couch.write("/proc/sys/kernel/osrelease", "4.4.0-19041-Microsoft\n")
    assert only("os.wsl", couch.exam()).status == "info"
    found = only("os.wsl", couch.exam(goals=cuda(couch.facts())))
    assert (found.status, found.summary) == (
        "fail",
        "WSL1 (4.4.0-19041-Microsoft): programs see no GPU (asked for: cuda)",
    )
    assert found.fix
    assert found.fix.commands == ("wsl --set-version NAME 2",)
    couch.write("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n")
    assert only("os.wsl", couch.exam(goals=cuda(couch.facts()))).status == "info"


def test_a_utf8_locale_is_in_order(couch: Couch) -> None:
    couch.program("/usr/bin/locale", 'exec /usr/bin/locale "$@"')
    found = only("os.locale", couch.exam(LANG="C.UTF-8"))
    assert (found.status, found.summary) == ("ok", "UTF-8 (LANG=C.UTF-8)")


def test_a_machine_without_a_locale_matters_to_programs_run_by_hand_alone(couch: Couch) -> None:
    couch.program("/usr/bin/locale", 'exec /usr/bin/locale "$@"')
    found = only("os.locale", couch.exam(goals=wanting(couch.facts())))
    assert (found.status, found.evidence[0].value) == ("info", "ANSI_X3.4-1968")
    assert found.summary.startswith("no LANG or LC_*, which means ANSI_X3.4-1968 and not UTF-8")
    assert "devsetup's builds use C.UTF-8" in found.summary
    posix = only("os.locale", couch.exam(LANG="C.UTF-8", LC_ALL="POSIX"))
    assert posix.summary.startswith("LC_ALL=POSIX, which means")


def test_what_the_interpreter_set_by_itself_is_not_the_users_locale(couch: Couch) -> None:
    couch.program("/usr/bin/locale", 'exec /usr/bin/locale "$@"')
    couch.write("/proc/self/environ", "PATH=/usr/bin\0HOME=/root\0")
    assert only("os.locale", couch.exam(LC_CTYPE="C.UTF-8")).summary.startswith("no LANG or LC_*")
    couch.write("/proc/self/environ", "PATH=/usr/bin\0LC_CTYPE=C.UTF-8\0")
    assert only("os.locale", couch.exam(LC_CTYPE="C.UTF-8")).status == "ok"


def test_builds_need_the_locale_that_they_run_with(couch: Couch) -> None:
    couch.program("/usr/bin/locale", 'test "$LANG" = de_DE.UTF-8 && test -z "$LC_ALL" && echo UTF-8 || echo ANSI')
    assert only("os.locale", couch.exam(LANG="de_DE.UTF-8")).status == "info"
    found = only("os.locale", couch.exam(goals=wanting(couch.facts()), LANG="de_DE.UTF-8"))
    assert found.status == "warn"
    assert found.summary.startswith("this system has no locale C.UTF-8")
    assert found.fix
    assert found.fix.needs_root


def test_a_locale_program_that_does_not_run_proves_nothing(couch: Couch) -> None:
    couch.program("/usr/bin/locale", "exit 127")
    assert check("os.locale", couch.exam()) == ()
    (couch.root / "usr/bin/locale").unlink()
    assert check("os.locale", couch.exam()) == ()


def test_a_processor_with_avx_is_in_order(couch: Couch) -> None:
    couch.write("/proc/cpuinfo", INTEL_2012)
    found = only("os.cpu", couch.exam(facts=replace(couch.facts(), arch="x86_64")))
    assert (found.status, found.summary) == ("ok", "Intel Xeon: has AVX")


def test_a_processor_without_avx_matters_to_wheels_that_need_it(couch: Couch) -> None:
    couch.write("/proc/cpuinfo", INTEL_2008)
    facts = replace(couch.facts(), arch="x86_64")

    def status(*requirements: str) -> str:
        goals = wanting(facts, python_env("/usr/bin/python3.11", *requirements))
        return only("os.cpu", couch.exam(facts=facts, goals=goals)).status

    assert only("os.cpu", couch.exam(facts=facts)).status == "info"
    assert status("numpy==1.26.4", "six") == "info"
    assert status("numpy==2.4.0") == "fail"
    goals = wanting(facts, python_env("/usr/bin/python3.11", "jax==0.4.38", "jaxlib==0.4.38"))
    found = only("os.cpu", couch.exam(facts=facts, goals=goals))
    assert (found.status, found.detail) == ("fail", ("toy: jaxlib needs avx",))
    assert found.summary.startswith("Intel Core 2 lacks avx, sse4_2")


def test_other_processors_have_no_such_instructions_to_lack(couch: Couch) -> None:
    couch.write("/proc/cpuinfo", "Features\t: fp asimd\n")
    assert check("os.cpu", couch.exam(facts=replace(couch.facts(), arch="aarch64"))) == ()

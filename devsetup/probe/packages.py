"""What the package manager has: which one it is, versions of system libraries, packages that are missing."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.errors import DevsetupError, InvalidInput
from devsetup.facts import Library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from devsetup.facts import Facts, OperatingSystem
    from devsetup.probe.host import Host
    from devsetup.recipe import SystemLibrary
    from devsetup.runner import Runner

# The system decides before what is on PATH does: Fedora packages apt, and Debian packages dnf.
_NATIVE = {"debian": "apt", "ubuntu": "apt", "fedora": "dnf", "rhel": "dnf", "arch": "pacman", "macos": "brew"}
_PROGRAM = {"apt": "apt-get", "dnf": "dnf", "pacman": "pacman", "brew": "brew"}
_HOMEBREW = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
_PACMAN = "/var/lib/pacman/local"
_PKG_CONFIG = ("/usr/local/lib/pkgconfig", "/usr/lib/pkgconfig", "/usr/lib64/pkgconfig", "/usr/share/pkgconfig")
_REALLY = re.compile(r"^(?:\d+:)?.*\+really(\d+(?:\.\d+)*)")
_LEADING = re.compile(r"^(?:\d+:)?(\d+(?:\.\d+)*)")
_ANSWER_S = 30.0


def package_manager(host: Host, system: OperatingSystem) -> str:
    """`apt`, `dnf`, `brew` or `pacman`: the system's own if its program is there, else the first found, else empty."""
    native = [_NATIVE[name] for name in (system.id, *system.like) if name in _NATIVE]
    order = dict.fromkeys([*native, *_PROGRAM])
    return next((manager for manager in order if host.which(_PROGRAM[manager])), "")


def upstream_version(version: str) -> str:
    """A package's version without the distribution's parts: `1:4.6.0+dfsg-12` is `4.6.0`; empty when it has no number.

    `0.5.0+really0.4.0-2` is 0.4.0: Debian writes so when it went back.
    """
    found = _REALLY.match(version) or _LEADING.match(version)
    return found.group(1) if found else ""


def libraries(
    host: Host,
    entries: Mapping[str, SystemLibrary],
    manager: str,
    expected: Callable[[], Facts | None],
    notes: list[str],
) -> dict[str, Library]:
    """Versions of system libraries: installed now, or as the package manager is expected to install them.

    Args:
        host: the machine.
        entries: logical name to package names; the first package's version counts.
        manager: the package manager. Entries that it has no name for are looked up in pkg-config's files.
        expected: the declared host of the same release, asked for only when something is not installed.
        notes: gets the names whose version stays unknown.
    """
    packages = {name: entry.names(manager)[0] for name, entry in entries.items() if entry.names(manager)}
    installed = _installed(host, manager, tuple(dict.fromkeys(packages.values())), notes)
    found = {name: installed[package] for name, package in packages.items() if package in installed}
    found |= {
        name: version
        for name, entry in entries.items()
        if name not in packages and entry.pkg_config and (version := _pkg_config(host, entry.pkg_config))
    }
    known = {name: Library(version=version, installed=True) for name, version in found.items()}
    absent = [name for name in packages if name not in known]
    if absent:
        known |= _expected(absent, expected, notes)
    return {name: known[name] for name in entries if name in known}


def _expected(absent: Sequence[str], expected: Callable[[], Facts | None], notes: list[str]) -> dict[str, Library]:
    try:
        declared = expected()
    except DevsetupError as error:
        notes.append(f"the declared host of this release cannot be read: {error.message}")
        return {}
    if declared is None:
        notes.append(f"no declared host for this release: not installed, so of unknown version: {', '.join(absent)}")
        return {}
    return {name: Library(version=version) for name in absent if (version := declared.library(name))}


def _installed(host: Host, manager: str, packages: tuple[str, ...], notes: list[str]) -> dict[str, str]:
    """Upstream versions of those packages that are installed. apt was run; dnf, brew and pacman were not."""
    if manager in ("apt", "dnf"):
        raw = _asked(host, manager, packages, notes)
    elif manager == "brew":
        raw = {name: version for name in packages if (version := _brewed(host, name))}
    elif manager == "pacman":
        raw = dict(name.rsplit("-", 2)[:2] for name in host.names(_PACMAN) if name.count("-") > 1)
    else:
        raw = {}
    return {name: version for name in packages if (version := upstream_version(raw.get(name, "")))}


def _asked(host: Host, manager: str, packages: tuple[str, ...], notes: list[str]) -> dict[str, str]:
    program, *query = {
        "apt": ("dpkg-query", "-W", "-f=${db:Status-Status}\t${Package}\t${Version}\n"),
        "dnf": ("rpm", "-q", "--qf", "installed\t%{NAME}\t%{VERSION}\n"),
    }[manager]
    answer = host.ask((host.which(program) or f"/usr/bin/{program}", *query, *packages))
    trouble = [line for line in answer.error.splitlines() if "no packages found matching" not in line]
    if answer.problem or trouble:
        notes.append(answer.problem or f"{program}: {trouble[0]}")
    rows = [line.split("\t") for line in answer.output.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}  # noqa: PLR2004 - three columns


def _brewed(host: Host, formula: str) -> str:
    """The version of a formula: the directory in the Cellar to which `opt/<formula>` leads."""
    for prefix in _HOMEBREW:
        keg = host.resolve(f"{prefix}/opt/{formula}")
        if "/Cellar/" in keg and host.exists(keg):
            return posixpath.basename(keg)
    return ""


def _pkg_config(host: Host, module: str) -> str:
    own = [path for path in host.environ.get("PKG_CONFIG_PATH", "").split(":") if path]
    for directory in (*own, *_PKG_CONFIG):
        if found := re.search(r"^Version:\s*(\S+)", host.read(f"{directory}/{module}.pc"), re.MULTILINE):
            return upstream_version(found.group(1))
    return ""


def missing_packages(runner: Runner, manager: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these packages are not installed now, in the order given.

    A name that an installed package provides counts as installed, except with brew, which has no such names. apt was
    run on Debian 12; dnf (`rpm --whatprovides`), pacman (`-T`) and brew (`list`) are untried.

    Raises:
        InvalidInput: no such package manager.
        MissingProgram: its query program is not here.
        DevsetupError: the query failed or did not end in 30 s.
    """
    missing = {"apt": _missing_apt, "dnf": _missing_dnf, "pacman": _missing_pacman, "brew": _missing_brew}
    if manager not in missing:
        raise InvalidInput(f"{manager!r} is no package manager that devsetup knows", f"known: {', '.join(missing)}")
    absent = set(missing[manager](runner, names)) if names else set()
    return tuple(name for name in names if name in absent)


def _missing_apt(runner: Runner, names: tuple[str, ...]) -> Iterable[str]:
    query = ("dpkg-query", "-W", "-f=${db:Status-Status}\t${Package}\t${Provides}\n")
    # Everything is listed only when a name is not there by itself: it may be virtual.
    rows = _rows(_query(runner, (*query, *names), {0, 1}))
    absent = set(names) - {row[1] for row in rows}
    if absent:
        provided = ",".join(row[2] for row in _rows(_query(runner, query, {0})))
        absent -= {name.split("(")[0].strip() for name in provided.split(",")}
    return absent


def _rows(output: str) -> list[list[str]]:
    rows = [line.split("\t") for line in output.splitlines()]
    return [row for row in rows if row[0] == "installed"]


def _missing_dnf(runner: Runner, names: tuple[str, ...]) -> Iterable[str]:
    output = _query(runner, ("rpm", "-q", "--whatprovides", *names), set(range(256)))
    return re.findall(r"^no package provides (\S+)$", output, re.MULTILINE)


def _missing_pacman(runner: Runner, names: tuple[str, ...]) -> Iterable[str]:
    return _query(runner, ("pacman", "-T", *names), {0, 127}).split()


def _missing_brew(runner: Runner, names: tuple[str, ...]) -> Iterable[str]:
    return set(names) - set(_query(runner, ("brew", "list", "--formula", "-1"), {0}).split())


def _query(runner: Runner, argv: tuple[str, ...], statuses: set[int]) -> str:
    done = runner.capture(argv, env={**os.environ, "LC_ALL": "C"}, timeout_s=_ANSWER_S)
    if done.returncode not in statuses:
        raise DevsetupError(
            f"{argv[0]} failed with status {done.returncode}, so what is installed is unknown",
            f"run it by hand: {argv[0]} {argv[1]} ...",
            detail=tuple(done.error.splitlines()[:5]),
        )
    return done.output

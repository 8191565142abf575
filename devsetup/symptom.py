"""Symptoms: known failures as data. A pattern of the log, the cause, and what to do about it on each machine.

They are kept in `symptoms/<stack>.toml`, one `[[symptom]]` table each, and read by the loader. A remedy may carry an
amendment: a change of the plan that devsetup can make by itself.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from devsetup.amendment import Amendment
from devsetup.when import When


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Remedy(_Data, frozen=True, kw_only=True):
    """What to do about a symptom on some machines.

    Text and commands may hold `<%= facts.arch %>` and the like, and `<%= seen.NAME %>` for what the pattern's group
    NAME matched.

    Attributes:
        when: on which machines; the first remedy whose condition holds is shown, further ones as alternatives.
        text: one sentence.
        libraries: logical names in `hosts/libraries.toml`; the command that installs their packages is shown.
        packages: package manager to package names, for what is no library of ours.
        commands: further shell lines to copy.
        action: how devsetup does it in a plan.
    """

    text: str
    when: When = When()
    libraries: tuple[str, ...] = ()
    packages: dict[str, tuple[str, ...]] = {}
    commands: tuple[str, ...] = ()
    action: Amendment | None = None


class Missing(_Data, frozen=True, kw_only=True):
    """What a library brings and a build may miss; `*` stands for any part of a name or path.

    In which words tools say so is in `devsetup/diagnosis/missing.py`.

    Attributes:
        headers: as they are included.
        libraries: as a linker is told, without `-l`.
        modules: of pkg-config.
        cmake: packages, as `find_package` spells them.
        programs: that come with it.
        fortran: modules.
        names: by which configure scripts and people call it; upper and lower case are the same.
    """

    headers: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    cmake: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    fortran: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Library(Missing, frozen=True, kw_only=True):
    """A library whose development files a build may miss: what `symptoms/development.toml` lists.

    Attributes:
        name: of the symptom, before `-development-files`.
        title: what is not installed.
        system: the logical name in `hosts/libraries.toml`; installing it is a change that devsetup can make to a plan.
        packages: package manager to package names, for what is not listed there.
        include: the module by which pkg-config names a directory of headers that compilers do not look in.
        patterns: further messages that say it is missing, as a symptom's.
        remedies: instead of what follows from `system` and `packages`, or after it.
    """

    name: str
    title: str
    system: str = ""
    packages: dict[str, tuple[str, ...]] = {}
    include: str = ""
    patterns: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


class Symptom(_Data, frozen=True, kw_only=True):
    r"""A known failure.

    Attributes:
        id: unique over all files.
        title: the cause in a few words, as the first line of a diagnosis.
        where: `configure`, `build`, `link`, `import`, `runtime` or `tool`.
        patterns: each matches one line; `re:` starts a regular expression, anything else is looked for as it is. A
            regular expression may span lines with `\n`, at most four.
        cause: what is going on, in one or two sentences.
        affects: which versions of what.
        remedies: in order of preference.
        confidence: `A` seen in cited threads or reproduced; `B` text seen, remedy from documentation; `C` unverified.
        sources: `owner/repository#number`, URLs, or `reproduced on Debian 12`.
        matches: examples of log text that must match.
        misses: similar log text that must not.
        missing: it shows, too, where one of these is said to be missing, in whatever words.
        errors: it shows, too, where an error ends with one of these, the C library's words for why a call failed.
        general: says only what any compiler's message says; a more special symptom on the same line is preferred.
        reports: says only that a program failed, which has said why itself: any other symptom is preferred.
        passes: may be tried again, or done in another way: no cause of what the log ends with long after it.
    """

    id: str
    title: str
    where: Literal["configure", "build", "link", "import", "runtime", "tool"]
    patterns: tuple[str, ...]
    cause: str
    remedies: tuple[Remedy, ...]
    confidence: Literal["A", "B", "C"]
    sources: tuple[str, ...]
    matches: tuple[str, ...]
    misses: tuple[str, ...] = ()
    affects: str = ""
    missing: Missing = Missing()
    errors: tuple[str, ...] = ()
    general: bool = False
    reports: bool = False
    passes: bool = False
    stack: str = ""


class SymptomFile(_Data, frozen=True, kw_only=True):
    """One `symptoms/<stack>.toml`."""

    symptom: tuple[Symptom, ...] = ()
    library: tuple[Library, ...] = ()

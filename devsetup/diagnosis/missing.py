"""What is missing, or why a call failed, however a tool says so.

Every compiler, linker and build system has words of its own for a header, a library, a module or a program that it
misses, and so has many a configure script; every language has a form of its own for the C library's errors. The words
are here, once; what libraries bring is in `symptoms/development.toml`. A new phrase is known for all of them, and a new
library in all of these phrases.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devsetup.symptom import Missing

_ANY = r"[\w./+-]{0,120}"  # what `*` stands for
_HOLE = "%"

_WRONG = r"(?:[Ee]rror|ERROR|FATAL|[Ff]atal|\*\*\*|!!!|xception)"
_SAID = rf"{_WRONG}[^\n]{{0,120}}?"
# A complaint, and below it what it is about: CMake's `message`, and scripts that begin with a line's end.
_BELOW = r"(?:error:|Error|ERROR)(?:[^\n]{0,200}:)? ?\n{1,2}\s{0,16}[^\n]{0,100}?"
_UNABLE = (
    r"(?:annot |an't |an not |ould not |ouldn't |nable to |id not |ailed to )"
    r"(?:find|locate|detect|link (?:with|to|against)|use|include|open|load|run|execute|compile(?: with)?|discover|get)"
)
_FEW = r"(?: [\w-]{1,12}){0,5} ['\"`(<]{0,2}"  # words between what could not be done and what with
_ABSENT = (
    r"(?:not (?:be )?(?:found|installed|available|present|located|usable|detected|set up)"
    r"|(?:is|are|was) (?:required|missing|needed|mandatory|not (?:found|installed|available|present))"
    r"|required|missing|(?:cannot|could not|can't) be found|does not exist)"
)
_END = r"(?![\w/-])"
_HEADER_END = r"(?![\w/.-])"
_CMAKE = r"CMake Error [^\n]{1,300}\n\s{1,16}"

# What a complaint says of something that has a name.
_ABOUT = (
    (
        rf"[ '\"`(<:/-](?:lib)?%['\"`)>]{{0,2}}(?:=\w{{1,12}}|,)?"
        rf"(?: (?!but |so |using )[\w.()>=+/-]{{1,20}}){{0,5}} {_ABSENT}"
    ),
    r"\b[Nn]o (?:usable |suitable |working )?(?:lib)?%(?:[ /]\w{1,12}){0,3} (?:found|available|installed|detected)",
    rf"{_UNABLE}{_FEW}(?:-l|lib)?%{_END}",
    (
        rf"(?:[Rr]equires?|[Nn]eeds?|[Ii]nstall|[Mm]ust have)(?: [\w-]{{1,12}}){{0,2}} ['\"`(]?(?:lib)?%{_END}"
        r"(?![^\n]{0,80}(?:but |found version|[Yy]ou have|too old|installed version|found '))"
    ),
)


class Phrase(msgspec.Struct, frozen=True, kw_only=True):
    """One way to say that something is missing.

    Attributes:
        kind: of thing, a field of `Missing`; or `errors`, the C library's.
        text: a regular expression; `%` stands for the thing.
        asked: it may be an answer to someone who does without: whether that was so, the rest of the log tells.
    """

    kind: str
    text: str
    asked: bool = False


PHRASES = (
    # Compilers: GCC, Clang, NVIDIA's and Intel's.
    Phrase(kind="headers", text=r"error: '?%(?:: No such file|' file not found)"),
    Phrase(kind="headers", text=r"(?:annot|ould not) open (?:source|include) file:? ['\"]%['\"]"),
    Phrase(kind="headers", text=rf"{_UNABLE}{_FEW}%{_HEADER_END}", asked=True),
    Phrase(
        kind="headers",
        text=rf"(?<![\w/.-])%['\">)]{{0,2}} (?:header |file ){{0,2}}(?:(?:is|was|were|could|can) )?{_ABSENT}",
        asked=True,
    ),
    Phrase(
        kind="fortran",
        text=r"annot open module file '%\.mod'|an't open included file '%'|nable to open MODULE file %\.mod",
    ),
    # Linkers: GNU ld, gold, lld, mold, Apple's, and rustc before it calls one.
    Phrase(
        kind="libraries",
        text=r"(?:annot find|nable to find library|library not found for) -l%(?![\w+.-])|library '%' not found"
        r"|native static library `%`|library not found: %(?![\w+.-])",
    ),
    Phrase(kind="libraries", text=rf"{_UNABLE}{_FEW}(?:-l|lib)%(?:\.(?:so|a|dylib)[\w.]{{0,12}})?{_END}", asked=True),
    # pkg-config, and those who ask it: autoconf, CMake, Meson, Rust's build scripts.
    Phrase(
        kind="modules",
        text=r"^\s{0,12}Package '?%'?(?:, required by .{1,100}, not found| was not found)|No package '%' found",
        asked=True,
    ),
    Phrase(
        kind="modules",
        text=r"Dependency \"%\" not found|[Ss]ystem library `%` required by crate"
        r"|ERROR: Dependency '?\"?%['\"]? is required|`%\.pc` needs to be installed"
        r"|(?<![\w.+-])%(?:\.pc)? not found using pkg-config",
    ),
    Phrase(
        kind="modules",
        text=r"(?:required packages? (?:was|were) not found:\n\n\s{1,12}- "
        r"|error: Package requirements [^\n]{1,200} were not met:\n\n(?:No package|Package) '?)%(?![\w+.-])",
    ),
    Phrase(
        kind="modules",
        text=r"pkg-config['\"`]?[^\n]{0,100} ['\"]?%['\"`]{0,2} did not exit|None of the required '%[;']",
    ),
    Phrase(
        kind="cmake",
        text=rf"{_CMAKE}(?:Could NOT find %\b(?!: Found unsuitable)|By not providing \"Find%\."
        r"|Could not find a package configuration file provided by(?: |\n\s{1,16})\"%\")",
    ),
    Phrase(
        kind="cmake",
        text=r"CMake Error: [^\n]{0,100}set to NOTFOUND[^\n]{0,20}\n[^\n]{0,120}\n\s{0,4}%_(?:INCLUDE|LIBRAR)",
    ),
    # Shells, Python's subprocess, configure scripts of any kind.
    Phrase(kind="programs", text=r"FileNotFoundError: [^\n]{0,30}No such file or directory: '(?:/[\w./-]{1,100}/)?%'"),
    Phrase(kind="programs", text=r"No such file or directory: '(?:/[\w./-]{1,100}/)?%'", asked=True),
    Phrase(
        kind="programs",
        text=rf"(?<![\w/.-])%['\"`]?:? (?:command |executable |binary |program |script )?"
        rf"(?:(?:was|is|could) )?{_ABSENT}|{_UNABLE}{_FEW}%{_END}|which: no % in",
        asked=True,
    ),
    *(
        Phrase(kind=kind, text=complaint + about)
        for kind in ("programs", "names")
        for complaint in (_SAID, _BELOW)
        for about in _ABOUT
    ),
    Phrase(
        kind="names",
        text=rf"RequiredDependencyException: %{_END}|headers or library files could not be found for %{_END}",
    ),
    Phrase(
        kind="names",
        text=rf"{_UNABLE}{_FEW}(?:lib)?%['\"`)>]?(?: \w{{1,12}})? (?:librar|header|develop|install|include)",
        asked=True,
    ),
    # The C library's errors: Python's, Rust's and Node.js's form of them, and that of programs in C and Go.
    Phrase(kind="errors", text=r"\[Errno \d{1,3}\] %(?!\w)(?:: ['\"](?P<file>[^'\"\n]{1,200}))?"),
    Phrase(kind="errors", text=r"(?<!\w)% \(os error \d{1,3}\)"),
    Phrase(kind="errors", text=r"\bE[A-Z]{3,14}: %(?!\w)(?:, \w{1,12} ['\"](?P<file>[^'\"\n]{1,200}))?"),
    Phrase(
        kind="errors",
        text=r"(?:[Ee]rror|ERROR|FATAL|[Ff]atal|panic|xception|\*\*\*|[Ff]ailed|nable to )"
        r"[^\n]{0,300}?(?P<file>(?<![\w.+@/-])[\w.+@/-]{0,200})['\"`]?(?:: |\()['\"(]?%(?!\w)",
    ),
    Phrase(
        kind="errors",
        text=r"^\S[^\n]{0,200}?(?P<file>(?<![\w.+@/-])[\w.+@/-]{0,200})['\"`]?: %\.?\n(?:[^\n]{0,300}\n){0,2}"
        r"[^\n]{0,200}(?:\] Error \d{1,3}(?! \()|exit code:? [1-9]|exit status [1-9]|ninja: build stopped)",
    ),
)


class Things:
    """What several symptoms are about, of one kind.

    `owner` tells whose a thing is. Things are literal, but for `*`, which stands for any part of a name or a path.
    """

    def __init__(self, kind: str, named: Mapping[str, tuple[str, ...]]) -> None:
        self.kind = kind
        self._owners = tuple(
            (symptom, re.compile(_any_of(kind, things))) for symptom, things in named.items() if things
        )
        self._any = _any_of(kind, (thing for things in named.values() for thing in things))

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, thing: str) -> str:
        """The id of the first symptom that is about the thing."""
        return next(symptom for symptom, expression in self._owners if expression.fullmatch(thing))

    def phrase(self, phrase: Phrase) -> str:
        """A phrase of this kind as a regular expression; the thing is in one of its groups."""
        first, *rest = phrase.text.split(_HOLE)
        return first + "".join(f"(?P<thing{number}>{self._any}){piece}" for number, piece in enumerate(rest))

    def frame(self, phrase: Phrase) -> str:
        """What of a phrase a line must have whatever is missing. Of the few errors, one must be in the line itself."""
        return self.phrase(phrase) if self.kind == "errors" else phrase.text.replace(_HOLE, r"[\w]")


def examples(what: Missing) -> tuple[str, ...]:
    """Lines that say that what a library brings is missing, in the words of common tools."""
    header, library, module, package, program, fortran, name = (
        (kind[0].replace("*", "x") if kind else "")
        for kind in (what.headers, what.libraries, what.modules, what.cmake, what.programs, what.fortran, what.names)
    )
    return (
        *_of(header, "src/a.c:3:10: fatal error: {}: No such file or directory"),
        *_of(header, "src/a.cpp:3:10: fatal error: '{}' file not found"),
        *_of(header, 'a.cu(2): catastrophic error: cannot open source file "{}"'),
        *_of(header, "configure: error: {} could not be found. Please set CPPFLAGS."),
        *_of(library, "/usr/bin/ld: cannot find -l{}: No such file or directory"),
        *_of(library, "ld.lld: error: unable to find library -l{}"),
        *_of(library, "ld: library not found for -l{}"),
        *_of(library, "ld: library '{}' not found"),
        *_of(module, "Package '{}', required by 'virtual:world', not found"),
        *_of(module, "Package {} was not found in the pkg-config search path."),
        *_of(module, "configure: error: Package requirements ({} >= 1.0) were not met:\n\nNo package '{}' found\n"),
        *_of(module, 'meson.build:4:0: ERROR: Dependency "{}" not found, tried pkgconfig and cmake'),
        *_of(module, "  The following required packages were not found:\n\n   - {}\n"),
        *_of(package, "CMake Error at FindX.cmake:230 (message):\n  Could NOT find {} (missing: {}_LIBRARY)\n"),
        *_of(package, 'CMake Error at CMakeLists.txt:3 (find_package):\n  By not providing "Find{}.cmake" in\n'),
        *_of(program, "FileNotFoundError: [Errno 2] No such file or directory: '{}'"),
        *_of(program, "sh: 1: {}: not found"),
        *_of(fortran, "Fatal Error: Cannot open module file '{}.mod' for reading at (1): No such file or directory"),
        *_of(name, "configure: error: {} is required"),
        *_of(name, "configure: error: cannot find {}"),
    )


def counterexamples(what: Missing) -> tuple[str, ...]:
    """Lines that are like them and say no such thing."""
    header, library, package, name = (
        "" if not kind or any("*" in thing for thing in kind) else kind[0]
        for kind in (what.headers, what.libraries, what.cmake, what.names)
    )
    return (
        *_of(header, "checking for {}... no"),
        *_of(library, "/usr/bin/ld: cannot find -l{}qz: No such file or directory"),
        *_of(package, "-- Could NOT find {} (missing: {}_LIBRARY)"),
        *_of(name, "checking for {}... not found"),
    )


def _of(thing: str, text: str) -> tuple[str, ...]:
    return (text.replace("{}", thing),) if thing else ()


def _any_of(kind: str, things: Iterable[str]) -> str:
    """An expression for things of a kind, the longest first: a part of one may be another."""
    if kind == "errors":  # Go and Node.js begin them with a small letter
        things = [spelt for thing in things for spelt in (thing, thing[0].lower() + thing[1:])]
    longest_first = sorted(dict.fromkeys(things), key=len, reverse=True)
    texts = (re.escape(thing).replace(r"\*", _ANY).replace(r"\ ", " ") for thing in longest_first)
    return f"(?{'i' if kind == 'names' else ''}:{'|'.join(texts)})"

"""Reading a log: the few lines that could matter, found fast, cleaned and translated.

A log of 100 MB has a million lines, and Python looks at each of them slowly. So whole blocks are searched for a few
dozen triggers, and only the lines around a hit are looked at. Where tens of thousands of lines have
one, the cause is among the first of them or, after an hour of warnings, at the very end: the middle is only counted.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from devsetup.diagnosis.translation import TRIGGERS as FOREIGN
from devsetup.diagnosis.translation import to_english

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What a line must have to be looked at. `error` alone would stop at every `-Werror` and `error.o`.
TRIGGERS = (
    *("error:", "Error", "ERROR", "errors", "fatal", "Fatal", "FATAL", "xception", "not loaded"),
    *("ndefined", "annot ", "an't ", "ould not", "Could NOT", "No such", "not found", "not such", "NOT found"),
    *("No module named", "not declared", "undeclared", "not a member", "o matching", "no member", "no attribute"),
    *(
        "No rule to make",
        "No space",
        "denied",
        "Killed",
        "killed",
        "Illegal instruction",
        "Segmentation fault",
        "Traceback",
    ),
    *("ssertion", "FAILED", "failed", "mismatch", "ncompatible", "not compatible", "not supported", "nsupported"),
    *(
        "newer version",
        "older version",
        "not available",
        "not created",
        "not writable",
        "must be",
        "only be",
    ),
    *("Check failed", "not detected", "not readable", "not implemented", "nable to", "nvalid", "recompile with"),
    *("truncated", "ut of memory", "terminate", "nknown", "unrecognized", "ld: warning", "WARNING (", "not use"),
    *("Failed to", "No targets", "error adding", "error while", "multiple definition", "xec format", "patch: ****"),
    *(
        "have a Release file",
        "Temporary failure",
        "certificate problem",
        "Unmet build",
        "No package",
        "interrupted",
        "interpreter",
    ),
    *("tar: ", "xz: ", "bzip2: ", "BadZip", "BadGzip", "NOT match", "does not match", "NotFound: ", "Conflict: "),
    *("hunk ignored", "hunks ignored", "previously applied", "tep failed", "near unexpected", "not a trusted"),
    *("WRONG_VERSION", "# FAIL: "),
    *("wrong ELF", "file busy", "format error", "malformed", "*** ", "gzip: ", "not recognized", "loading shared"),
    "--- fail: ",  # a proof of devsetup's own
    # Downloads and registries.
    *(
        "imed out",
        "not trusted",
        "has expired",
        "o such host",
        "nreachable",
        "unexpected eof",
        "early EOF",
        "closed with",
    ),
    *(
        "Empty reply",
        "ERR!",
        "x509",
        "Giving up",
        "bad address",
        "curl: (",
        "known issuer",
        "hung up",
        "too slow",
        "unmet dep",
        "Unmet dep",
    ),
    *(
        "leaving unconfigured",
        "intended for",
        "provider of",
        "script subprocess returned",
        "is not signed",
        "not valid yet",
        "in list file",
        "on line ",
    ),
    # Limits of the machine.
    *("esource temporarily", "enough ", "o space left", "OOM", "oom-kill", "exceeded", "Terminated", "TIME LIMIT"),
    *("Aborted", "Bus error", "double free", "stack smashing", "SIGKILL", "SIGSEGV", "SIGILL"),
    *("code: 13", "code 13", "status 13", "status: 13"),
    # Shells, assemblers, interpreters.
    *("Illegal option", "syntax error", "Syntax error", "Bad substitution", "no such instruction", "need to install"),
    *(
        "Go 1.",
        "error[E",
        "`edition",
        "installing version",
        "inconsistent ",
        "git command",
        "is missing on",
        "unsafe ",
        'File "',
        "Reason: ",
        "guess system type",
    ),
    # What a program says that it wants, Node.js and its package managers, other languages.
    *(
        "quire",
        "not installed",
        "is missing",
        "lease install",
        "ou must",
        "ou need",
        "been found",
        "too old",
        "must have",
    ),
    *(
        "npm error",
        "npm ERR",
        "ENO",
        "EAC",
        "EADDR",
        "EAI_",
        "ECONN",
        "EMFILE",
        "EINTEGRITY",
        "ERR_",
        "code E",
        "go.sum",
    ),
    *("does not exist", "no such file", "not satisfy", "o longer", "in conflict", "nothing provides", "not permitted"),
    *("too large", "too long", "oo many open", "symbolic link", "access denied", "rate limit", "ncorrect", "killed by"),
    *("not allowed", "file handle", "Input/output", "cross-device", "Structure needs", "nrecogni", "ead-only file"),
    *("unknown package", "did not", "illegal ", "checksum", "Please", "error originates", "is deprecated, use"),
    *("not in your PATH", "ouldn't", "idn't ", "either ", "n't match", "but version of", "error TS", "NODE_MODULE"),
    *(
        "using Node",
        "while installing",
        "version is",
        "refused",
        "Node.js v",
        "go.mod",
        "has been renamed",
        "create_c_loc",
    ),
    *(
        "superuser",
        "sudoers",
        "sudo: ",
        "are you root",
        "isplay",
        "DISPLAY",
        "status was",
        "response code",
        "generic ELF",
    ),
    *("rror: ", "Running as", "Qt platform", "DataSource", "Timeout was", "DNS lookup", "tzinfo", "service not known"),
    *(
        "self-signed",
        "self signed",
        "Curl error",
        "is not in ",
        "YN0028",
        "can only install",
        "ame does not",
        "C librar",
    ),
    *("error setting", "to use ASCII", "valid Win32", "Is `", "CPU type", "lockfile", "JAVA_HOME", "No available"),
    *(
        "is provided in",
        "is needed to load",
        "is not set",
        "an operator",
        "EROFS",
        "ETXTBSY",
        "PyPI package",
        "already in",
    ),
    *("HeadlessException", "OutOfMemory", "system limit", "System limit", "does not provide", "No locks"),
    # Attempts of configure and CMake, below which a linker does not name them again.
    *("ffconf.", "cmTC_"),
    # Where configuring comes to its end.
    *("configure: creating", "config.status: creating", "Configuring done", "Build targets in project"),
    # Where pytest's sections begin and end.
    *("= PASSES =", "= short test summary", "= FAILURES", "= warnings summary", "passed in ", "passed, "),
    *("nsufficient", "CUDA-capable", "runtime CuDNN", "old GPU back"),
    # Patterns whose other words are too common, or only in one of several messages.
    *("CUDA_HOME", "baseline optim", "compiled to use", "make sure the", "MYSQLCLIENT", "Global symbol", "given is "),
    *("Ruby", "GemNotFound", "may not be", "go.mod", "gemspec", "deployment mode", "bundle is locked", "lock file"),
    *(
        "outside ",
        "Encountered missing",
        "Missing binding",
        "rror (",
        "connect error",
        "network error",
        "sending request",
    ),
    *("timeout", "execution expired", "certificate", "SSL peer", "no ebuilds", "dependency problems", "providers can"),
    *("trying to overwrite", "conflicts with file", "older than", "in the future", "HOST IDENTIFICATION", "host key"),
    *("data quota", "setup command", "not conform", "Discarding ", "different CUDA", "OfflineMode", "NLTK", "--user"),
    *("InterpreterNot", "r_home", "R_HOME", "different version of", "#error", "only meant", "US-ASCII", "time zone"),
    *("no font", "not loadable", "cache resources", "Requiring name", "watch limit", "shared memory", "dial unix"),
    *("no image found", "unresolvable", "need root", "needs root", "be root", "was skipped", "disagrees", "agreed to"),
    *("C1083", "wrong format", "architecture of input", "duplicate symbol", "library called", "pq wrapper"),
    *("executable", "gateway process", "bad_alloc", "DefaultCPU", "bug report", "space needed", "errno = ", "EDQUOT"),
    *("disk space", "write permissions", "ENFILE", "edition", "unnamed module", "wrong version", "ubmodule", 'make: "'),
    *(
        "unadvertised",
        "not our ref",
        "branch or tag",
        "ChecksumMis",
        "status code",
        "HTTP status",
        "got ",
        "lto object",
    ),
    *("took longer", "legacy-install", "Non-resolvable", "none of the choices", "rror message"),
)
_CARRY_LINES = 4  # a pattern spans at most so many lines
_TAIL_LINES = 12
_TAIL_BYTES = 10_000
_ENOUGH = 20_000  # windows, after which only the end of the log is read
_END_BYTES = 1 << 20
_WINDOW = 2000  # characters of a line that are matched
_WINDOW_END = 500  # of these, from the end of a longer line: what went wrong stands there
_SKIPPED = 3  # letters of a trigger that a search may begin behind
_COMMON = " etorinascl./dp:-ufgm"  # letters of logs, the most frequent first
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\-~])")
# What continuous integration puts in front of each line: times of GitHub, GitLab, Jenkins and docker, buildkit's step,
# compose's service.
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_PREFIX = re.compile(
    rf"^(?:{_TIME}(?: \d\d[OE][ +]?)? |\[{_TIME}\] |\[?\d\d:\d\d:\d\d(?:\.\d{{1,6}})?\]? |#\d+ (?:\d+\.\d+ )?"
    r"|[\w.-]{1,60} {1,20}\| )+"
)
_QUOTES = {ord(mark): "'" for mark in "\u2018\u2019"}


class Window(msgspec.Struct, frozen=True):
    """A line that could matter.

    Attributes:
        number: of the line, from 1.
        text: the line in English, without colours, at most about 2000 characters, its quotes plain.
        context: the line and the next three, joined by newlines.
    """

    number: int
    text: str
    context: str


class Log(msgspec.Struct):
    """What was read, beside the windows.

    Attributes:
        lines: how many lines there were.
        tail: the last lines that are not empty.
    """

    lines: int = 0
    tail: tuple[str, ...] = ()


@functools.cache
def _searches() -> tuple[re.Pattern[bytes], ...]:
    """Expressions that together find every trigger.

    One whose alternatives share their first letter skips to the next such letter at the speed of memory, but each is a
    pass over the whole log. So triggers are looked for from one of their first letters on, from few letters in all, and
    from rare ones rather than common ones. A hundred megabytes take three quarters of the time of an expression
    for each first letter, and a small part of that of `bytes.find` for each trigger.
    """
    anchors: dict[str, dict[str, str]] = {}
    for trigger in dict.fromkeys((*TRIGGERS, *FOREIGN)):
        for at in reversed(range(min(_SKIPPED, len(trigger) - 1) + 1)):
            before = f"(?<={re.escape(trigger)})" if at else ""  # asked last, so that the search is for a letter
            anchors.setdefault(trigger[at], {})[trigger] = re.escape(trigger[at:]) + before
    chosen: dict[str, list[str]] = {}
    wanted = {trigger for found in anchors.values() for trigger in found}
    while wanted:
        letter = max(anchors, key=lambda each: len(wanted & anchors[each].keys()) / _cost(each))
        chosen[letter] = [anchors[letter][trigger] for trigger in sorted(wanted & anchors[letter].keys())]
        wanted -= anchors[letter].keys()
    return tuple(re.compile("|".join(alike).encode()) for alike in chosen.values())


def _cost(letter: str) -> float:
    """Of a search from one letter on, in passes over a log without that letter."""
    return 1 + 12 * (1 - _COMMON.index(letter) / len(_COMMON) if letter in _COMMON else 0)


def read(blocks: Iterable[bytes], log: Log) -> Iterator[Window]:
    """The lines of a log that could matter, in order; `log` is complete when the iterator is exhausted.

    Args:
        blocks: the log in pieces of any size.
        log: gets the counts and the tail.
    """
    searches = _searches()
    held, ending, counted, shown = b"", b"", 0, 0
    for block in blocks:
        held += block
        ending = (ending + block[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        end = _last_lines(held)
        if shown > _ENOUGH:
            beginning = max(0, len(held) - _END_BYTES)
            end = held.find(b"\n", beginning) + 1 or beginning
        else:
            for window in _windows(held, end, counted, searches):
                shown += 1
                yield window
        counted += held.count(b"\n", 0, end)
        held = held[end:]
    yield from _windows(held, len(held), counted, searches)
    log.lines = counted + held.count(b"\n") + (bool(held) and not held.endswith(b"\n"))
    log.tail = _tail(ending)


def _last_lines(data: bytes) -> int:
    """Where the last four whole lines begin: they wait for what follows them. A line without an end waits for 1 MB."""
    end = data.rfind(b"\n") + 1
    for _ in range(_CARRY_LINES):
        if end <= 0:
            break
        end = data.rfind(b"\n", 0, end - 1) + 1
    return len(data) if end <= 0 and len(data) > (1 << 20) else end


def _tail(data: bytes) -> tuple[str, ...]:
    lines = map(clean, _ANSI.sub(b"", data).split(b"\n"))
    return tuple(text for text in lines if text.strip())[-_TAIL_LINES:]


def _windows(data: bytes, end: int, counted: int, searches: tuple[re.Pattern[bytes], ...]) -> Iterator[Window]:
    if b"\x1b" in data:
        stripped = _ANSI.sub(b"", data[:end])
        data, end = stripped + _ANSI.sub(b"", data[end:]), len(stripped)
    number, at = counted + 1, 0
    for start in sorted(_line_starts(data, end, searches)):
        number += data.count(b"\n", at, start)
        at = start
        following = data.find(b"\n", start)
        lines = [clean(data[start : following if following >= 0 else len(data)]), *_after(data, following)]
        yield Window(number, lines[0], "\n".join(lines))


def _line_starts(data: bytes, end: int, searches: tuple[re.Pattern[bytes], ...]) -> set[int]:
    """Where the lines before `end` begin that have one of the triggers."""
    starts = set()
    for search in searches:
        found = search.search(data, 0, end)
        while found:
            starts.add(data.rfind(b"\n", 0, found.start()) + 1)
            following = data.find(b"\n", found.end(), end)
            found = None if following < 0 else search.search(data, following, end)
    return starts


def _after(data: bytes, newline: int) -> Iterator[str]:
    """The lines that follow a line, as many as a pattern can span."""
    for _ in range(_CARRY_LINES - 1):
        if newline < 0:
            return
        following = data.find(b"\n", newline + 1)
        yield clean(data[newline + 1 : following if following >= 0 else len(data)])
        newline = following


def clean(raw: bytes) -> str:
    """A line as a person reads it: what a progress bar overwrote is gone, and so are times in front; in English."""
    raw = raw.rstrip()
    text = _decoded(raw[raw.rfind(b"\r") + 1 :])
    if not text.isascii():
        text = text.translate(_QUOTES)
    if not text.isprintable():
        text = "".join(letter for letter in text if letter.isprintable() or letter == "\t")
    text = _PREFIX.sub("", text)
    if len(text) > _WINDOW:
        text = f"{text[: _WINDOW - _WINDOW_END]} ... {text[-_WINDOW_END:]}"
    return to_english(text)


def _decoded(raw: bytes) -> str:
    """Text of UTF-8, or else of Latin-1: what compilers print in `de_DE` and `fr_FR`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")

"""What kind of line it is: an error of its own, what follows from one, a probe that may fail, or the end."""

from __future__ import annotations

import re

WIDTH = 400  # characters of a line that are kept

# Compilers, linkers, loaders, pip, apt and the kernel.
_ERROR = re.compile(
    r"(\berror:|\berror\b(?![.\w/-])[^:]{0,80}:( |$)|^E: |^ERROR|\bfatal( error)?: |undefined reference|cannot find -l"
    r"|No space left on device|No such file or directory|command not found|sh: (line )?\d+: .{1,200}: not found$"
    r"|not found \(required by|wrong ELF class|invalid ELF header|file too short|Exec format error|Text file busy"
    r"|Permission denied|(?<![\w-])Killed\b(?![-.\w])"
    r"|cc1plus: out of memory|multiple definition of|Library not loaded: "
    r"|^Undefined symbols|\bld(\.\w+)?: (?!warning)"
    r"|No rule to make target|^\S+:\d+: \*\*\* |Temporary failure|unable to resolve|Could not resolve|Could not connect"
    r"|Package .{1,100} not found$|^\s*[\w.]{0,100}(Error|Exception|NotFound|VersionConflict)\b|^CMake Error\b"
    r"|^curl: \(\d|imed out\b|not trusted\b|Illegal option|syntax error near|^dpkg: error"
    r"|^--- fail: |^gzip: |^tar: |Hunk #\d+ FAILED|malformed patch|file format not recognized|Segmentation fault"
    r"|core dumped)",
    re.IGNORECASE,
)
_CONSEQUENCE = re.compile(
    r"(^g?make(\[\d+\])?: \*\*\* (?!No rule)|^g?make.*\bWaiting for unfinished|\(ignored\)$|^ninja: build stopped"
    r"|^\s*collect2: error: ld returned|linker command failed with exit code|^FAILED: "
    r"|Configuring incomplete, errors occurred|warning:|^compilation terminated|: note: |\b0 errors?\b|-Werror"
    r"|^\s*error: (command|subprocess-exited-with-error)|ERROR: Failed (building wheel|to build)|##\[error\]Process"
    r"|non-zero exit status|exit(ed with)? (code|status) [1-9]|from LD_PRELOAD cannot be preloaded"
    r"|^fatal: No (names found|tags can describe))",
    re.IGNORECASE,
)
# What only looked or cleaned up: where it mattered, make says that it stopped.
_LOOKED = re.compile(r"^(?:ls|rm|rmdir|find|which|du|diff|cmp|grep|stat|readlink|umount): ")
# What apt says in a root without /dev/pts, in its user's language; what statistics call an error.
_NO_ERROR = re.compile(r"^E: .*posix_openpt|\bstandard error: +[-\d.]")
# What configure, distutils and CMake try and expect to fail on some machines.
_PROBE = re.compile(
    r"(?:\b|_)(?:conftest|configtest|cmTC_[0-9a-f]+|CheckFunctionExists)\b|^configure:\d+: |\bffconf\.\w{4,20}/test\b"
)
_PROBE_PLACE = re.compile(r"/CMakeFiles/CMake(?:Tmp|Scratch)/|/meson-private/tmp")
_PROBE_LATER = re.compile(r"^ *(?:failure\.|removing: _configtest)", re.MULTILINE)
# What a linker says below the line that names its object.
_LINKING = re.compile(r"\(\.(?:text|data|rodata)[^)\n]{0,200}\): undefined reference to ")
# A command that the Makefile says may fail.
_IGNORED = re.compile(r"(?:[^\n]*\n){1,2}g?make[^\n]*Error \d{1,3} \(ignored\)(?:\n|$)")
# An error that R goes on after: it was inside try() or tryCatch().
_R_TRIED = re.compile(
    r"Error(?: in [^\n]{1,200})? : ?(?![^\n]*(?:\n[^\n]*){0,3}(?:Calls: |Execution halted|ERROR|rror: |\n> |\n\* ))"
    r"[^\n]*\n[^\n]*\n[^\n]*\n"
)
# A download that is tried again.
_RETRIED = re.compile(r"[^\n]*\n(?:Warning: Problem|Retrying\b|[^\n]{0,40}[Ww]ill retry)")
# Theano's log and Python's warnings, glog and TensorFlow. A linker's warning is often the very cause of what follows.
_WARNING = re.compile(r"^WARNING \(|^W\d{4} |\bW tensorflow/|\b[A-Z]\w{0,60}Warning: ")
_TRACEBACK = re.compile(r"^( *)Traceback \(most recent call last\)")
# What pkg-config says by itself, or a shell in the middle of a script; what comes after tells whether that goes on.
_ASKED = re.compile(
    r"^[^\n]{0,100}(?:line \d+|sh: \d+): [^\n:]{1,60}: (?:command )?not found$|"
    r"^\s*Package '?[\w.+-]{1,80}'?(?:, required by [^\n]{1,100}, not found| was not found)|^No package '"
)
_CONFIGURED = re.compile(
    r"^configure: creating |^config\.status: creating |^-- Configuring done|^Build targets in project: "
)
# What no build survives.
_STOP = re.compile(
    r"^CMake Error\b|^g?make(\[\d+\])?: \*\*\* |^\S+:\d+: \*\*\* .*Stop\.$|^ninja: (build stopped|error)|^FAILED: "
    r"|^--- fail: |^-- Configuring incomplete|^CMake (?:Generate|Configure) step failed"
    r"|^configure: error:|^dpkg-buildpackage: error|^##\[error\]|^E: Sub-process"
    r"|\bBUILD FAILED\b|failed to (build|solve)|non-zero exit status|exit(ed with)? (code|status):? [1-9]"
)
# Last words of a whole job or command: whatever failed before them was allowed to.
_JOB_SUCCESS = re.compile(
    r"^Job succeeded|^Finished: SUCCESS|\bBUILD SUCCESSFUL\b|^\[100%\] Built target |^exit (code|status):? 0$"
)
_SUCCESS = re.compile(
    r"^configure: exit 0|^config\.status: (creating|executing)|^-- (Configuring|Generating) done"
    r"|^-- Build files have been written to|^-- (Installing|Up-to-date): |^\[100%\] |^Build targets in project: "
    r"|\bSuccessfully (installed|built|tagged|uninstalled)\b|BUILD SUCCESSFUL|Build succeeded|^\* DONE \("
    r"|^Setting up \S+ \(|^Processing triggers for|^g?make(\[\d+\])?: Leaving directory|^exit (code|status):? 0$"
    r"|100% tests passed|^OK( \([^)]{1,80}\))?$|^All (\d+ )?tests (passed|successful)|^\[  PASSED  \]|^Result: PASS$"
    r"|\bis up to date\.$|^Job succeeded|^Finished: SUCCESS|completed successfully\b|^ok\s+\S+\s+[\d.]+s\b|^PASS$"
    r"|^Status: OK$"
    r"|^\[(?P<steps>\d+)/(?P=steps)\] "
    r"|^\s*Finished (`?\w+`? profile|dev|release)\b|\bnaming to \S+ (\d[\d.]*s )?done|^Finished processing dependencies"
    r"|^\d+ upgraded, \d+ newly installed|Nothing to be done for|^\s*congratulations :\)"
)
# A count of failures in the summary of a test run, in either order.
_FAILURES = re.compile(
    r"(?<![\w.])(\d+) (?:tests? )?(?:failed|failures?|fail|errors?|crashed)\b"
    r"|\b(?:failed|failures?|fail|errors?)\b ?[:=]? *(\d+)\b",
    re.IGNORECASE,
)
_PASSED = re.compile(r"\b\d+ (?:tests? )?(?:passed|passing)\b", re.IGNORECASE)
# What pytest shows of tests that passed, after their own output was captured.
_PASSES = re.compile(r"^=+ PASSES =+$")
_SECTION = re.compile(r"^=+ .{1,200} =+$")


def is_error(line: str) -> bool:
    """Whether a line is an error of its own."""
    if not _ERROR.search(line) or _NO_ERROR.search(line):
        return False
    return not _CONSEQUENCE.search(line) and not _LOOKED.match(line)


def is_consequence(line: str) -> bool:
    """Whether a line only says that something before it failed."""
    return bool(_CONSEQUENCE.search(line))


def is_warning(line: str) -> bool:
    """Whether a line says that the program goes on."""
    return bool(_WARNING.search(line))


def is_asked(line: str) -> bool:
    """Whether a line is what pkg-config answered to someone who may do without."""
    return bool(_ASKED.search(line))


def is_configured(line: str) -> bool:
    """Whether a line says that configuring came to its end: nothing before it was in its way."""
    return bool(_CONFIGURED.search(line))


def is_looked_for(line: str) -> bool:
    """Whether a line says that a program which only looked for a file did not find it."""
    return bool(_LOOKED.match(line)) and line.endswith("No such file or directory")


def is_probe(context: str) -> bool:
    """Whether a line, given with those that follow it, is of an attempt that the build goes on without."""
    line = context.partition("\n")[0]
    return bool(
        _PROBE.search(line)
        or _PROBE_PLACE.search(line)
        or _PROBE_LATER.search(context)
        or _IGNORED.match(context)
        or _R_TRIED.match(context)
        or _RETRIED.match(context)
    )


def is_stop(line: str) -> bool:
    """Whether a line says that the build ended there, badly."""
    return bool(_STOP.search(line))


class Probes:
    """Follows what is only tried: a linker names the object of an attempt once, and after that its source alone."""

    def __init__(self) -> None:
        self._last = -1

    def holds(self, number: int, context: str) -> bool:
        """Whether the line of that number, given with those that follow it, is of an attempt."""
        line = context.partition("\n")[0]
        held = is_probe(context) or (number == self._last + 1 and bool(_LINKING.search(line)))
        if held:
            self._last = number
        return held


class Tracebacks:
    """Follows Python's tracebacks: their first line and their frames are no errors; the line that ends them is."""

    def __init__(self) -> None:
        self._outside: int | None = None  # how far the traceback that is being read is indented

    def holds(self, line: str) -> bool:
        """Whether a line, the next that could matter, is of a traceback, and not the exception that ends it."""
        begins = _TRACEBACK.match(line)
        if begins:
            self._outside = len(begins[1])
        elif self._outside is not None and len(line) - len(line.lstrip()) <= self._outside:
            self._outside = None
        return self._outside is not None


class Passes:
    """Follows the section in which pytest repeats what passed tests printed: errors in it are theirs."""

    def __init__(self) -> None:
        self._inside = False

    def holds(self, line: str) -> bool:
        """Whether a line, the next that could matter, is in that section."""
        if _SECTION.match(line):
            self._inside = bool(_PASSES.match(line))
        return self._inside


def _counts_no_failure(line: str) -> bool:
    """Whether a line counts tests, and none that failed."""
    counts = [int(one or other) for one, other in _FAILURES.findall(line)]
    return not any(counts) and bool(counts or _PASSED.search(line))


def ended_well(tail: tuple[str, ...], *, stopped: bool, known: frozenset[str]) -> bool:
    """Whether the last lines of a log say that all went well, and no error, nor a line `known` as one, comes later.

    Where something `stopped` before, only the very last line can say that it was allowed to.
    """
    if stopped:
        return bool(tail and _JOB_SUCCESS.search(tail[-1]))
    for line in reversed(tail):
        if _SUCCESS.search(line) or _counts_no_failure(line):
            return True
        if line[:WIDTH] in known or is_error(line) or is_stop(line):
            return False
    return False

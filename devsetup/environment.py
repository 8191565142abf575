"""The environment in which everything is built and proved, here and by every rendered form of a plan.

It is made anew, not inherited: a stray CFLAGS, PYTHONPATH or LD_LIBRARY_PATH is one of the commonest reasons why a
build works for one user and not for the next. What passes through says how to reach the network, whose home this is, or
how numerical libraries must run on this processor; none of it changes what is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSED = (
    *("HOME", "USER", "LOGNAME", "TMPDIR"),
    *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    "SOURCE_DATE_EPOCH",  # one date for whatever writes the time into a file
)
PASSED_PREFIXES = ("PIP_", "OPENBLAS_", "OMP_")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOMEBREW_PATH = "/opt/homebrew/bin:/opt/homebrew/sbin"


def fixed(*, macos: bool) -> dict[str, str]:
    """The variables that are always the same.

    Args:
        macos: put Homebrew's Apple-silicon prefix first on PATH.
    """
    path = f"{_HOMEBREW_PATH}:{_SYSTEM_PATH}" if macos else _SYSTEM_PATH
    # English messages, so that a failure reads the same everywhere and can be matched to its cause.
    return {"PATH": path, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1", "PIP_NO_INPUT": "1"}


def passed(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment passes through.

    Args:
        environ: the environment that the user started us with.
    """
    return {name: value for name, value in environ.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}


def clean(environ: Mapping[str, str], *, macos: bool) -> dict[str, str]:
    """The environment for builds and proofs, made from ours.

    Args:
        environ: the environment that the user started us with.
        macos: as for `fixed`.
    """
    return {**passed(environ), **fixed(macos=macos)}

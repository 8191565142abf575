"""Asking a server whether it is there, and whether it has a file."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from http import HTTPStatus

from devsetup import __version__
from devsetup.errors import SourceError
from devsetup.fetch.opener import build_opener, checked_host

# Servers that do not answer HEAD are there all the same.
_THERE = (HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


def reach(url: str, timeout_s: float) -> str:
    """Ask for a file's header (HEAD), through the proxies of the environment.

    Args:
        url: http or https.
        timeout_s: for connecting, and again for the answer.

    Returns:
        Why it cannot be had, as a phrase; empty when it can.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": f"devsetup/{__version__}"})
    try:
        checked_host(url)
        with build_opener(timeout_s).open(request, timeout=timeout_s):
            return ""
    except SourceError as error:
        return error.message
    except urllib.error.HTTPError as error:
        error.close()
        return "" if error.code in _THERE else f"it answered {error.code} {error.reason}".rstrip()
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        return str(reason) or type(error).__name__

"""`python -m benchmarks diagnose|images|keyvalue|latency|overhead [ARGS]`."""

from __future__ import annotations

import sys

from benchmarks import diagnose, images, keyvalue, latency, overhead

_KNOWN = {
    "diagnose": diagnose.main,
    "images": images.main,
    "keyvalue": keyvalue.main,
    "latency": latency.main,
    "overhead": overhead.main,
}


def main() -> int:
    """Run one benchmark by name."""
    if len(sys.argv) < 2 or sys.argv[1] not in _KNOWN:  # noqa: PLR2004 - the program's name and a word
        sys.stderr.write(f"usage: python -m benchmarks {'|'.join(_KNOWN)} [ARGS]\n")
        return 2
    return _KNOWN[sys.argv[1]](sys.argv[2:])


sys.exit(main())

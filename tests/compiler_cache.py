"""ccache in front of the compilers, for builds of Caffe whose tests are about something else than compiling.

ccache takes an object file that is there only for the same preprocessed source, the same flags and the same compiler,
byte for byte. So each file is really compiled by the first test that builds it for a release, and what differs in a
later build is compiled there.
"""

from __future__ import annotations

from pathlib import Path

COMPILERS = ("g++", "gcc")
WRAPPER = """#!/bin/sh
CCACHE_DIR={place}/objects CCACHE_COMPILERCHECK=content exec ccache /usr/bin/{name} "$@"
"""
# In a Debian that has no compiler yet there is to be none either in /usr/local/bin.
HOOK = 'DPkg::Post-Invoke {{ "test ! -x /usr/bin/g++ || cp {place}/bin/* /usr/local/bin/"; }};\n'
IN_FRONT = """set -e
mount -t overlay -o "lowerdir=$1:/usr/local/bin" overlay /usr/local/bin
shift; exec "$@"
"""


class CompilerCache:
    """Object files in a directory that all workers share.

    Attributes:
        place: of the object files, and of programs to be found before the compilers; roots see it at the same path.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in ("bin", "objects"):
            (place / name).mkdir(parents=True, exist_ok=True)
        for name in COMPILERS:
            path = place / "bin" / name
            path.write_text(WRAPPER.format(place=place, name=name))
            path.chmod(0o755)

    def words(self) -> list[str]:
        """Words that run a command for which this machine's compilers have the cache in front of them."""
        return ["unshare", "--mount", "sh", "-c", IN_FRONT, "sh", str(self.place / "bin")]

    def settings(self) -> str:
        """For apt, in a Debian that has ccache and sees `place`: once there are compilers, it comes before them."""
        return HOOK.format(place=self.place)

"""Taking personal data out of a report that is meant to be pasted somewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# A password may hold `/` or `@` although it should not, so all up to the last `@` of the word goes: too much rather
# than too little. A proxy may be written without a scheme.
_URL_LOGIN = re.compile(r"//[^\s'\"<>]*@")
_BARE_LOGIN = re.compile(r"(?<![\w/:.])[^\s:/@'\"=<>]+:(?!/)[^\s'\"<>]+@(?=[\w.-])")
_LOGIN = "user:***@"
# Names that say nothing about anybody, and that are words of a report: `root:video`, `debian 12`, `localhost`.
_IMPERSONAL = frozenset({"root", "user", "localhost", "debian", "ubuntu", "fedora", "linux", "macos"})


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """What names the user and the machine.

    Attributes:
        homes: the user's home directories: as the variable has it, as the password file has it, with links followed.
        users: login names: the present one, and the one that sudo came from.
        hosts: the machine's name, in full and without its domain.
    """

    homes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def redactor(personal: Personal) -> Callable[[str], str]:
    """A function that takes personal data out of a text.

    A home directory becomes `~`, a login in a URL or a proxy `user:***@`, a GPU's UUID `GPU-***`, and the names of the
    user and the machine, as whole words, USER and HOST. Names such as `root` and `debian` stay.
    """
    homes = sorted((each.rstrip("/") for each in personal.homes if each.strip("/")), key=len, reverse=True)
    words = [*((name, "USER") for name in personal.users), *((name, "HOST") for name in personal.hosts)]
    # Whole path components, also behind an option: `-L/home/alice/lib`.
    swaps = [(re.compile(rf"(?:(?<![\w.~-])|(?<=-[A-Za-z])){re.escape(home)}(?![\w.-])"), "~") for home in homes]
    swaps += [
        (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"), stand_in)
        for name, stand_in in sorted(words, key=lambda each: -len(each[0]))
        if name and name.lower() not in _IMPERSONAL
    ]

    def redact(text: str) -> str:
        text = _URL_LOGIN.sub(f"//{_LOGIN}", text)
        text = _BARE_LOGIN.sub(_LOGIN, text)
        text = _UUID.sub(r"\1-***", text)
        for pattern, stand_in in swaps:
            text = pattern.sub(stand_in, text)
        return text

    return redact

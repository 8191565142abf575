"""Which Debian archive a machine uses, from apt's indexes or from the files that configure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.fetch.aptsources import Archive, main_archives, stanzas

if TYPE_CHECKING:
    from pathlib import Path


def lines(*indexes: str) -> str:
    return "\n".join(indexes) + "\n"


def test_archives_from_the_indexes(tmp_path: Path) -> None:
    """As apt prints them on a machine with third parties, pockets and translations."""
    printed = lines(
        "Packages|Docker|Docker CE|stable|bookworm|https://docker.example.invalid/linux/debian/",
        "Packages|Debian|Debian-Security|main|bookworm-security|http://security.example.invalid/debian-security/",
        "Packages|Debian|Debian|main|bookworm-updates|http://updates.example.invalid/debian/",
        "Packages|Debian Backports|Debian Backports|main|bookworm-backports|http://b.example.invalid/debian/",
        "Translations|Debian|Debian|main|bookworm|http://translations.example.invalid/debian/",
        "Packages|Debian|Debian|contrib|bookworm|http://contrib.example.invalid/debian/",
        "Packages|Debian|Debian|main|bookworm|http://mirror.example.invalid/debian/",
        "Packages|Debian|Debian|main|bookworm|http://mirror.example.invalid/debian/",
        "Packages|Debian|Debian|main|bookworm|cdrom:[Debian 12]/",
        "rubbish",
        "",
    )
    line = f"deb [arch=amd64 signed-by={tmp_path}/site.gpg] http://mirror.example.invalid/debian bookworm main\n"
    (tmp_path / "sources.list").write_text(line)
    (found,) = main_archives(printed, tmp_path)
    assert found.uri == "http://mirror.example.invalid/debian/"
    assert found.keyrings[0] == str(tmp_path / "site.gpg")


DEB822 = """\
# a comment
Types: deb
Enabled: no
URIs: http://disabled.example.invalid/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://one.example.invalid/debian/ http://two.example.invalid/debian
# inside
Suites: bookworm
  bookworm-updates
Components: main
 non-free
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEYCQjIxYJKwYBBAHaRw8BAQdAD/P5Nvvnvk66SxBBHDbhRml9ORg1WV5CvzKY
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://security.example.invalid/debian-security
Suites: bookworm-security bullseye/updates
Components: main
"""
ONE_LINE = """\
deb http://plain.example.invalid/debian bookworm main
  deb [ arch=amd64,i386 signed-by=/k/a.gpg ] http://options.example.invalid/debian bookworm contrib main
deb-src [Signed-By=/k/b.gpg,/k/c.gpg] mirror+file:/etc/apt/mirrors.list bookworm main # comment
# deb http://comment.example.invalid/debian bookworm main
deb http://other.example.invalid/debian bookworm non-free
deb http://updates.example.invalid/debian bookworm-updates main
deb http://backports.example.invalid/debian bookworm-backports main
deb http://flat.example.invalid/ ./
deb cdrom:[Debian 12]/ bookworm main
"""


def test_archives_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "off.list.disabled").write_text("deb http://off.example.invalid/ bookworm main\n")
    (tmp_path / "sources.list.d" / "directory.list").mkdir()
    found = {archive.uri: archive.keyrings for archive in main_archives("", tmp_path)}
    assert list(found) == [
        "http://plain.example.invalid/debian/",
        "http://options.example.invalid/debian/",
        "mirror+file:/etc/apt/mirrors.list/",
        "http://one.example.invalid/debian/",
        "http://two.example.invalid/debian/",
    ]
    assert found["http://options.example.invalid/debian/"][0] == "/k/a.gpg"
    assert "/k/b.gpg" in found["mirror+file:/etc/apt/mirrors.list/"]
    assert not any("PGP" in ring for ring in found["http://one.example.invalid/debian/"])


def test_an_empty_configuration(tmp_path: Path) -> None:
    assert main_archives("", tmp_path) == []
    assert Archive("x") == Archive("x", ())


def test_stanzas() -> None:
    text = "#x\nA: 1\nb-C:\n two\n  three\n\n\n orphan\n\nA: 2"
    assert list(stanzas(text)) == [{"a": "1", "b-c": "\ntwo\nthree"}, {"a": "2"}]

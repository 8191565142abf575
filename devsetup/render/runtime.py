"""The POSIX shell functions that tell what an install needs of the system while it is used, and leave no traces."""

from __future__ import annotations

from devsetup.render.words import quote

# dpkg leaves out manuals, translations and documentation; licences stay.
LEAN = (
    *("path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"),
    *(f"path-exclude=/usr/share/{name}/*" for name in ("info", "lintian", "locale", "man")),
)

# What packages a path belongs to, by package manager: paths on standard input, names on standard output. apt was run;
# dnf and pacman were not. Paths below /usr are asked for without it too: dpkg keeps the names from before the two were
# merged. In Debian, the standard library of a Python that belongs to a `-minimal` package is in the other package.
_OWNERS = {
    "apt": r"""
owners() {
    sed -e p -e 's|^/usr/|/|' | sort -u | xargs -r dpkg-query -S 2>/dev/null |
        sed -n -e '/^diversion/d' -e 's|: /.*||p' | tr ',' '\n' |
        sed -e 's/^ *//' -e 's/:.*//' -e 's/^\(python.*\)-minimal$/\1/' | sort -u
}
""",
    "dnf": r"""
owners() { sort -u | xargs -r rpm -qf --qf '%{NAME}\n' 2>/dev/null | grep -v 'not owned' | sort -u; }
""",
    "pacman": r"""
owners() { sort -u | xargs -r pacman -Qqo 2>/dev/null | sort -u; }
""",
}

_LEAN_APT = r"""
# would PACKAGE...: the packages that apt would install in the base for these
would() {
    apt-get install --simulate --no-install-recommends -o "Dir::State::status=$home/base-status" "$@" |
        sed -n 's/^Inst \([^ :]*\).*/\1/p' | sort -u
}

# use KEY: install what the lists of a part name. Programs come with all that they depend on. Of libraries only those
# that are linked come: OpenCV's drag in a compiler for graphics, and Perl. An empty package provides what is left out,
# so that apt sees nothing broken; whoever needs that installs it by its name.
use() {
    lists=$home/runtime/$1
    apt-get update -qq
    programs=$(xargs -r <"$lists/programs")
    [ -z "$programs" ] || programs=$(would $programs)
    { printf '%s\n' $programs; cat "$lists/libraries"; } | sort -u >/tmp/kept
    would $programs $(cat "$lists/libraries") | grep -vxF -f /tmp/kept >/tmp/left-out || true
    [ ! -s /tmp/left-out ] || stand_in_for "devsetup-lean-${1%-*-*}" /tmp/left-out
    packages $(cat /tmp/kept)
}

# stand_in_for NAME LIST: an empty package that provides the packages of the list
stand_in_for() {
    mkdir -p "/tmp/$1/DEBIAN"
    provided=$(xargs apt-cache show --no-all-versions <"$2" |
        awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print name " (= " $2 ")" }' | sort -u | paste -sd, -)
    printf '%s\n' "Package: $1" 'Version: 1' 'Architecture: all' 'Maintainer: devsetup' "Provides: $provided" \
        'Description: stands for packages that nothing here links to' >"/tmp/$1/DEBIAN/control"
    dpkg-deb --build --root-owner-group -Znone "/tmp/$1" "/tmp/$1.deb"
    dpkg --install "/tmp/$1.deb"
}
"""
_USE = r"""
use() { packages $(cat "$home/runtime/$1/libraries" "$home/runtime/$1/programs"); }
"""

_RUNTIME = r"""
# linked: the shared libraries that the ELF files of the prefix find, each with its whole closure, as the loader says
linked() {
    LC_ALL=C grep -rl "$(printf '^\177ELF')" "$PREFIX" | xargs -r ldd 2>/dev/null |
        awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\/.*[^:]$/) print $i }'
}

# called [PROGRAM OR FILE]...: what is named, and targets of links, interpreters, directories that Python searches
called() {
    for used in "$@"; do
        command -v "$used" || printf '%s\n' "$used"
    done
    find "$PREFIX" -type l -exec readlink {} \;
    find "$PREFIX" -name '*.pth' -type f -exec grep -h '^/' {} +
    find "$PREFIX" -type f -perm -100 -exec awk '
        FNR == 1 && /^#!/ { sub(/^#! */, ""); print $1; if ($1 ~ /\/env$/) print $2 }
        FNR == 1 { nextfile }
    ' {} + | sort -u | while read -r used; do command -v "$used" || true; done
}

# outside: of the paths on standard input, those outside devsetup's home, and what they lead to
outside() {
    grep '^/' | sort -u | while read -r used; do
        printf '%s\n' "$used"
        readlink -f "$used" || true
    done | grep -v "^$home/" | sort -u
}

# runtime "PACKAGE..." [PROGRAM OR FILE]...: write which packages of the system the install needs while it is used. A
# directory belongs to many packages; of those only the named ones count, which the recipe asked for.
runtime() {
    declared=$1
    lists=$home/runtime/$key
    shift
    mkdir -p "$lists"
    linked | outside | owners >"$lists/libraries"
    called "$@" | outside >"$lists/paths"
    while read -r used; do
        [ -d "$used" ] || printf '%s\n' "$used"
    done <"$lists/paths" | owners >"$lists/programs"
    while read -r used; do
        [ ! -d "$used" ] || printf '%s\n' "$used"
    done <"$lists/paths" | owners | while read -r used; do
        case " $declared " in *" $used "*) printf '%s\n' "$used" ;; esac
    done >>"$lists/programs"
    rm "$lists/paths"
    printf 'libraries of: %s\n' "$(tr '\n' ' ' <"$lists/libraries")"
    printf 'programs of: %s\n' "$(tr '\n' ' ' <"$lists/programs")"
}

# built_part: the prefix is all that is left of building, and of Python packages not their own tests
built_part() {
    rm -rf "$BUILD" "$home/downloads" "$home/locks" "$home/receipts"
    find "$PREFIX" -depth -type d \( -name test -o -name tests \) -path '*/site-packages/*' -exec rm -rf {} +
}

# tidy: what differs from one build to the next, or can be had again, stays out of a layer
tidy() {
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/dnf /var/cache/ldconfig /var/cache/fontconfig/* /root/.cache
    rm -rf /var/cache/debconf/*-old /var/lib/dpkg/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
    rm -rf /etc/subuid- /etc/subgid- /etc/.pwd.lock /tmp/* /var/tmp/*
    find /var/log -type f -exec rm -f {} +
}

# lean: as in slim images; what the base has is remembered
lean() {
    [ ! -f /var/lib/dpkg/status ] || cp /var/lib/dpkg/status "$home/base-status"
    [ ! -d /etc/dpkg/dpkg.cfg.d ] || printf '%s\n' @LEAN@ >/etc/dpkg/dpkg.cfg.d/devsetup-lean
}

# user ID NAME: the unprivileged user, unless the base has one of that number
user() {
    getent passwd "$1" >/dev/null || useradd --uid "$1" --user-group --create-home --shell /bin/sh "$2"
}

# proving: as the unprivileged user, in places that are gone afterwards
proving() {
    HOME=$(mktemp -d)
    ARTIFACTS=$HOME/artifacts
    export HOME ARTIFACTS
}

proved() { rm -rf "$HOME"; }
"""

# How this machine reaches package indexes and mirrors, and how its processor wants libraries to run, belongs to the
# build and not to the image: it is mounted there. The date has nothing to say but that compiled Python is then checked
# by content instead of time, so that it stays valid when all times of the image are set to one.
SETTINGS = "/run/devsetup"
_SETTINGS = f"""
[ ! -r {SETTINGS}/settings ] || . {SETTINGS}/settings
export SOURCE_DATE_EPOCH=315532800
"""


def runtime_functions(manager: str) -> str:
    """The functions for an image whose system packages are of this manager; without one, nothing has owners."""
    lean = " ".join(map(quote, LEAN))
    return (
        _SETTINGS
        + _OWNERS.get(manager, "\nowners() { :; }\n")
        + (_LEAN_APT if manager == "apt" else _USE)
        + _RUNTIME.replace("@LEAN@", lean)
    )

"""The POSIX shell functions that fetch, verify and unpack sources, as `devsetup.fetch` does."""

from __future__ import annotations

from devsetup import lower
from devsetup.render.words import heredoc, quote

OBTAINING = r"""
# Sources: the cache is searched for all of them first; then each is tried in order, and reasons are kept.
got='' strip='' reasons=''

because() {
    reasons="$reasons$newline    $1: $2"
    return 1
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1" | cut -c 1-64
    else
        shasum -a 256 <"$1" | cut -c 1-64
    fi
}

# cached SHA256 FILE STRIP
cached() {
    file=$home/downloads/$1/$2
    [ -f "$file" ] || return 1
    if [ "$(sha256 "$file")" = "$1" ]; then
        got=$file strip=$3
        printf 'from the cache: %s\n' "$file"
        return 0
    fi
    say "removed from the cache, since it was corrupt: $file"
    rm -f "$file"
    return 1
}

# adopt ID SHA256 FOUND FILE STRIP: the found file becomes the cache's, if its hash is right
adopt() {
    sum=$(sha256 "$3")
    if [ "$sum" != "$2" ]; then
        rm -f "$3"
        because "$1" "another sha256: expected $2, got $sum"
        return 1
    fi
    mv -f "$3" "$4" || return 1
    chmod 644 "$4"
    got=$4 strip=$5
}

# download URL FILE: goes on with what FILE holds; $problem is why it failed
download() {
    if command -v curl >/dev/null 2>&1; then
        set -- curl --fail --silent --show-error --location --proto '=http,https' --connect-timeout 10 \
            --speed-limit 1024 --speed-time 30 --retry 3 --continue-at - --output "$2" --url "$1"
    elif command -v wget >/dev/null 2>&1; then
        set -- wget --no-verbose --timeout=30 --tries=4 --continue --output-document="$2" -- "$1"
    else
        problem='neither curl nor wget is here'
        return 1
    fi
    problem=$(clean "$@" 2>&1 </dev/null) && return 0
    problem=$(printf '%s\n' "$problem" | tail -n 1)
    return 1
}

# from_url ID SHA256 FILE STRIP URL
from_url() {
    place=$home/downloads/$2/$3
    mkdir -p "${place%/*}" || return 1
    printf 'downloading %s\n' "$5"
    if [ -s "$place.part" ]; then
        # An earlier run may have left the beginning of another file.
        if download "$5" "$place.part" && [ "$(sha256 "$place.part")" = "$2" ]; then
            adopt "$1" "$2" "$place.part" "$place" "$4"
            return
        fi
        rm -f "$place.part"
    fi
    download "$5" "$place.part" || { because "$1" "$problem"; return 1; }
    adopt "$1" "$2" "$place.part" "$place" "$4"
}

# from_path ID SHA256 FILE STRIP: a tarball that the user named; it is not copied
from_path() {
    [ -f "$3" ] || { because "$1" "$3 is not there"; return 1; }
    sum=$(sha256 "$3")
    [ "$sum" = "$2" ] || { because "$1" "$3 has another sha256: expected $2, got $sum"; return 1; }
    got=$3 strip=$4
}

no_source() { die "no source of $1 could be had:$reasons" "$2"; }

# keep NUMBER: remember what was obtained, for unpack
keep() { printf '%s\n%s\n' "$strip" "$got" >"$BUILD/.source-$1"; }

# unpack NUMBER DIRECTORY: all members are looked at before the first is written
unpack() {
    { read -r strip && read -r got; } <"$BUILD/.source-$1"
    [ ! -e "$2" ] || die "$2 is already there"
    members=$(tar -tf "$got") || die "$got cannot be read"
    if printf '%s\n' "$members" | grep -E '^/|(^|/)\.\.(/|$)' >&2; then
        die "$got has a member outside the tree"
    fi
    mkdir -p "$2"
    clean tar -x -f "$got" --strip-components="$strip" --no-same-owner --no-same-permissions -C "$2"
    chmod -R u=rwX,go=rX "$2"
}
"""

DEBIAN = r"""
# Debian source packages: by name, through the machine's own mirror, in an apt configuration of our own. No root is
# needed, and the machine's indexes and caches are not touched.

# configured: `URI|KEYRING` of the archives that /etc/apt names, in both formats of sources.list(5)
configured() {
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        awk '
            /^[ \t]*deb(-src)?[ \t]/ {
                sub(/#.*/, "")
                keyring = ""
                if (match($0, /\[[^]]*\]/)) {
                    count = split(substr($0, RSTART + 1, RLENGTH - 2), option, " ")
                    for (i = 1; i <= count; i++)
                        if (tolower(option[i]) ~ /^signed-by=\//) keyring = substr(option[i], 11)
                    sub(/\[[^]]*\]/, "")
                }
                main = 0
                for (i = 4; i <= NF; i++) if ($i == "main") main = 1
                if (main && $3 !~ /[-\/](security|updates|proposed|backports)|^experimental$/) {
                    sub(/\/*$/, "/", $2)
                    sub(/,.*/, "", keyring)
                    print $2 "|" keyring
                }
            }
        ' "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk '
            BEGIN { RS = ""; FS = "\n" }
            {
                split("", value)
                name = ""
                for (i = 1; i <= NF; i++) {
                    if ($i ~ /^#/) continue
                    text = $i
                    if ($i ~ /^[^ \t]/) {
                        name = tolower(substr($i, 1, index($i, ":") - 1))
                        text = substr($i, index($i, ":") + 1)
                    }
                    value[name] = value[name] " " text
                }
                if (tolower(value["enabled"]) ~ /no|false|0|off|without|disable/) next
                if (value["components"] " " !~ / main /) next
                split(value["signed-by"], keyring, /[ ,]+/)
                uris = split(value["uris"], uri, " ")
                suites = split(value["suites"], suite, " ")
                for (s = 1; s <= suites; s++) {
                    if (suite[s] ~ /[-\/](security|updates|proposed|backports)|^experimental$/) continue
                    for (u = 1; u <= uris; u++) {
                        sub(/\/*$/, "/", uri[u])
                        print uri[u] "|" (keyring[2] ~ /^\// ? keyring[2] : "")
                    }
                }
            }
        ' "$file"
    done
}

# archives: `URI|KEYRING` of Debian's own archives that apt uses here. A bare root has no indexes yet.
archives() {
    format='$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)'
    { configured; echo; LC_ALL=C apt-get indextargets --format "$format" 2>/dev/null; } | awk -F '|' '
        NF == 2 { keyring[$1] = $2; named[++count] = $1 }
        NF == 6 && $1 == "Packages" && $2 == "Debian" && $3 == "Debian" && $4 == "main" &&
            $5 !~ /[-\/](security|updates|proposed|backports)|^experimental$/ {
            sub(/\/*$/, "/", $6)
            indexed[++known] = $6
        }
        END {
            for (i = 1; i <= (known ? known : count); i++) {
                uri = known ? indexed[i] : named[i]
                if (uri !~ /^cdrom:/ && !seen[uri]++) print uri "|" keyring[uri]
            }
        }
    '
}

# private_apt DIRECTORY URI KEYRING SUITE: apt's own files in a directory of ours. The pinned sha256 makes the age of
# the release file and the clock irrelevant.
private_apt() {
    problem="apt cannot work in $1"
    case $1 in *[\"\'\\]*) return 1 ;; esac
    signed=$3
    debian=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ -e "$debian" ] && [ "$signed" != "$debian" ]; then
        signed=${signed:+$signed,}$debian
    fi
    mkdir -p "$1/state/lists/partial" "$1/cache" "$1/log" || return 1
    : >"$1/status"
    echo "deb-src [target=Sources${signed:+ signed-by=$signed}] $2 $4 main" >"$1/sources.list"
    cat >"$1/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::State "$1/state";
Dir::State::lists "$1/state/lists";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$1/log";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
END
}

# choose SHA256 FILE VERSION: of the packages that `apt-cache showsrc` lists, the version that has the very file
choose() {
    wanted_sum=$1 wanted_file=$2 wanted_version=$3 awk '
        $1 == "Version:" {
            upstream = version = $2
            sub(/^[0-9]*:/, "", upstream)
            sub(/-[^-]*$/, "", upstream)
        }
        $1 == ENVIRON["wanted_sum"] && $3 == ENVIRON["wanted_file"] && !found &&
            (version == ENVIRON["wanted_version"] || upstream == ENVIRON["wanted_version"]) { print version; found = 1 }
    '
}

# apt_here PROGRAM ARGUMENT...: with the private configuration, in its directory; $problem is why it failed
apt_here() {
    program=$1
    shift
    if (cd "$scratch" && LC_ALL=C DEBIAN_FRONTEND=noninteractive "$program" --config-file="$scratch/apt.conf" "$@") \
        </dev/null >"$scratch/out" 2>"$scratch/problem"; then
        return 0
    fi
    problem="$program $1: $(grep '^E:' "$scratch/problem" | head -n 1)"
    return 1
}

# from_debian ID SHA256 FILE STRIP PACKAGE VERSION SUITE
from_debian() {
    command -v apt-get >/dev/null 2>&1 || { because "$1" 'no apt-get on this machine'; return 1; }
    place=$home/downloads/$2/$3
    mkdir -p "${place%/*}" || return 1
    printf 'looking for the Debian source package %s\n' "$5"
    problem="apt's sources on this machine name no Debian archive"
    for archive in $(archives | head -n 3); do
        scratch=$(mktemp -d "${place%/*}/.apt-XXXXXX") || return 1
        if private_apt "$scratch" "${archive%%|*}" "${archive#*|}" "$7" && from_archive "$@"; then
            rm -rf "$scratch"
            return 0
        fi
        rm -rf "$scratch"
    done
    because "$1" "$problem"
}

# from_archive: as from_debian, through the private configuration in $scratch
from_archive() {
    apt_here apt-get update && apt_here apt-cache showsrc --only-source "$5" || return 1
    version=$(choose "$2" "$3" "$6" <"$scratch/out")
    if [ -z "$version" ]; then
        problem="$7 has no $3 of $5 $6 with that sha256"
        return 1
    fi
    apt_here apt-get source --download-only --only-source "$5=$version" || return 1
    # apt leaves a mere link when the archive is a local directory.
    cp -L "$scratch/$3" "$place.part" && adopt "$1" "$2" "$place.part" "$place" "$4"
}
"""

_PYPI = r"""
# Python packages: an sdist by name, with pip, as this machine's pip is configured. pip checks the sha256 before it
# unpacks anything, and asks this stand-in for its name and version, so that none of the sdist's own code runs.
stand_in() {
    mkdir -p "$1/setuptools"
    : >"$1/setuptools/__init__.py"
    cat >"$1/setuptools/build_meta.py" @BACKEND@
}

# from_pypi ID SHA256 FILE STRIP PACKAGE VERSION PYTHON
from_pypi() {
    place=$home/downloads/$2/$3
    mkdir -p "${place%/*}" || return 1
    printf 'asking pip for %s %s\n' "$5" "$6"
    scratch=$(mktemp -d "${place%/*}/.pip-XXXXXX") || return 1
    stand_in "$scratch/hooks"
    printf '%s==%s --hash=sha256:%s\n' "$5" "$6" "$2" >"$scratch/requirements.txt"
    if clean "PYTHONPATH=$scratch/hooks" "DEVSETUP_SDIST=$5==$6" @COMMAND@ \
        </dev/null >/dev/null 2>"$scratch/problem"; then
        problem="pip brought $(ls "$scratch/got") and not $3"
        if [ -f "$scratch/got/$3" ]; then
            status=0
            adopt "$1" "$2" "$scratch/got/$3" "$place" "$4" || status=1
            rm -rf "$scratch"
            return "$status"
        fi
    else
        for pattern in 'No module named pip' 'connection broken' 'Got  ' '^ERROR: ' .; do
            problem=$(grep -e "$pattern" "$scratch/problem" | head -n 1)
            [ -z "$problem" ] || break
        done
        # Without credentials, and without the list of all versions that there are.
        problem="pip: $(printf '%s\n' "$problem" |
            sed -e 's|//[^/@ ]*@|//|g' -e 's/^ *//' -e 's/from versions: \(.*, \)\{0,1\}/the index has /')"
    fi
    rm -rf "$scratch"
    because "$1" "$problem"
}
"""


def pypi_function() -> str:
    """The functions that have sdists, with the same stand-in and the same pip command as devsetup itself."""
    command = lower.sdist_command("$7", "$scratch/requirements.txt", "$scratch/got")
    words = " ".join(f'"{each}"' if "$" in each else quote(each) for each in command)
    return _PYPI.replace("@BACKEND@", heredoc(lower.SDIST_BACKEND)).replace("@COMMAND@", words)

"""The POSIX shell functions that every shell form begins with: messages, the clean environment, running, writing.

Text, not a file beside the module, because renderers are pure. Generated forms are checked with shellcheck.
"""

from __future__ import annotations

from devsetup import environment

_MESSAGES = r"""
newline='
'
step='' repeat='' BUILD=''

say() { printf 'devsetup: %s\n' "$*" >&2; }

# die MESSAGE [NEXT STEP]
die() {
    say "error: $1"
    [ "$#" -lt 2 ] || say "hint: $2"
    exit 1
}

# begin STEP: what a failure will name
begin() {
    step=$1 repeat=''
    printf '==> %s\n' "$step"
}

finish() {
    status=$?
    [ "$status" -ne 0 ] || return 0
    [ -z "$step" ] || say "failed in step: $step"
    [ -z "$repeat" ] || say "to repeat that command by hand: $repeat"
    [ -z "$BUILD" ] || [ ! -d "$BUILD" ] || say "kept for a look: $BUILD"
    exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# quoted WORD...: on one line, as bash, ksh and zsh read them back ($'\n' is a line break)
quoted() {
    for word in "$@"; do
        case $word in
            '' | *[!A-Za-z0-9_@%+=:,./-]*)
                # The final dot keeps trailing line breaks, which $(...) would drop.
                word=$(printf '%s.' "$word" | sed -e "s/'/'\\\\''/g" -e '$!s/$/'"'\$'\\\\n''/" | tr -d '\n')
                printf "'%s' " "${word%.}"
                ;;
            *) printf '%s ' "$word" ;;
        esac
    done
    printf '\n'
}
"""

_RUNNING = r"""
# told NAME MODE VALUE: how to set a variable that using the install needs
told() {
    value=$(quoted "$3")
    value=${value% }
    [ "$2" = set ] || value="$value\${$1:+:\$$1}"
    printf 'export %s=%s\n' "$1" "$value"
}

# run DIRECTORY COUNT [NAME=VALUE]... COMMAND...: the only way in which steps start programs.
# COUNT says how many variables stand before the command; DEVSETUP_TRACE=FILE records the commands.
run() {
    directory=$1 count=$2
    shift 2
    if [ -n "${DEVSETUP_TRACE-}" ]; then
        (shift "$count" && quoted "$@") >>"$DEVSETUP_TRACE"
    fi
    status=0
    (cd "$directory" && clean "$@") </dev/null || status=$?
    [ "$status" -eq 0 ] || failed "$directory" "$status" "$@"
}

# failed DIRECTORY STATUS [NAME=VALUE]... COMMAND...
failed() {
    directory=$1 status=$2
    shift 2
    repeat="cd $(quoted "$directory")&& env $(quoted "$@")"
    say "error: exit status $status"
    exit 1
}

# holds COMMAND...: whether a question is answered with yes; the step is then left out
holds() {
    clean "$@" </dev/null >/dev/null 2>&1 || return 1
    printf 'nothing to do: it is so already\n'
}

exists() {
    [ -e "$1" ] || return 1
    printf 'nothing to do: it is so already\n'
}

# put FILE: write standard input there
put() {
    mkdir -p "${1%/*}"
    cat >"$1"
}

decode() { printf '%s' "$@" | base64 -d; }
"""

_PLACES = r"""
home=${DEVSETUP_HOME:-${XDG_DATA_HOME:-${HOME:?}/.local/share}/devsetup}
case $home in /*) ;; *) home=$PWD/$home ;; esac
case $home in
    *[[:space:]]*)
        die "the home '$home' has a space in its path, which make cannot handle" "choose another DEVSETUP_HOME"
        ;;
esac

# memory_mb: what the machine has, or what its control group allows; 0 when unknown
memory_mb() {
    memory=0
    if [ -r /proc/meminfo ]; then
        memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
        memory=$((memory / 1024))
    elif command -v sysctl >/dev/null 2>&1; then
        memory=$(($(sysctl -n hw.memsize) / 1048576))
    fi
    read -r bound 2>/dev/null </sys/fs/cgroup/memory.max || bound=max
    case $bound in
        *[!0-9]* | '') ;;
        *) [ $((bound / 1048576)) -ge "$memory" ] || memory=$((bound / 1048576)) ;;
    esac
    printf '%s\n' "$memory"
}

# jobs_for MEGABYTES: one compile job per core, as far as memory allows
jobs_for() {
    if [ -n "${DEVSETUP_JOBS-}" ]; then
        printf '%s\n' "$DEVSETUP_JOBS"
        return
    fi
    # nproc would take OMP_NUM_THREADS for the number of cores.
    cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null ||
        getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
    memory=$(memory_mb)
    if [ "$1" -gt 0 ] && [ "$memory" -gt 0 ] && [ $((memory / $1)) -lt "$cores" ]; then
        cores=$((memory / $1))
    fi
    [ "$cores" -ge 1 ] || cores=1
    printf '%s\n' "$cores"
}

# part KEY MEGABYTES: where a part lives and is built, and with how many jobs
part() {
    key=$1
    PREFIX=$home/store/$key
    BUILD=$home/build/$key
    ARTIFACTS=$home/receipts/$key
    JOBS=$(jobs_for "$2")
    export PREFIX BUILD ARTIFACTS JOBS
}

# enter: begin building the part, unless an earlier run of this script finished it ($fresh says so)
enter() {
    mkdir -p "$ARTIFACTS" "$home/locks"
    # The lock that devsetup itself takes, where flock(1) is there to take it.
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$home/locks/$key.lock"
        flock -n 9 || die "$key is being built by another process" "wait for it, then run this again"
    fi
    state=$(cat "$ARTIFACTS/by-script" 2>/dev/null || true)
    fresh=yes
    if [ -e "$PREFIX" ]; then
        case $state in
            complete) fresh=no ;;
            begun) rm -rf "$PREFIX" ;;
            *) die "$PREFIX is there, and was not made by this script" "use it, or choose another DEVSETUP_HOME" ;;
        esac
    fi
    [ "$fresh" = yes ] || return 0
    rm -rf "$BUILD"
    mkdir -p "$BUILD" "$PREFIX"
    echo begun >"$ARTIFACTS/by-script"
}

# leave: the part has proved itself
leave() {
    echo complete >"$ARTIFACTS/by-script"
    step='' repeat='' BUILD=''
}
"""

_MACHINE = r"""
# release FIELD: of os-release(5)
release() {
    for file in /etc/os-release /usr/lib/os-release; do
        if [ -r "$file" ]; then
            sed -n "s/^$1=//p" "$file" | tr -d "\"'"
            return
        fi
    done
}

# machine ID VERSION ARCHITECTURE: it must be the one that the plan was made for; what is unknown is not asked
machine() {
    if [ "$(uname -s)" = Darwin ]; then
        id=macos version=$(sw_vers -productVersion)
    else
        id=$(release ID) version=$(release VERSION_ID)
    fi
    here="$id $version on $(uname -m)"
    # A plan for macOS 10.10 holds on 10.10.5 too.
    case $here in
        "$1 ${2:-$version} on $3" | "$1 $2."*" on $3") return 0 ;;
    esac
    if [ "${DEVSETUP_FORCE-}" = 1 ]; then
        say "warning: planned for $1 $2 on $3, and this is $here; going on, since DEVSETUP_FORCE=1"
        return 0
    fi
    die "planned for $1 $2 on $3, and this is $here" \
        "make a plan for this machine, or set DEVSETUP_FORCE=1 to try this one"
}
"""

_PACKAGES = r"""
# as_root COUNT [NAME=VALUE]... COMMAND...
as_root() {
    if [ "$(id -u)" = 0 ]; then
        run . "$@"
    else
        shift
        run . 0 sudo env "$@"
    fi
}

# packages NAME...: have these of the machine's package manager; what is missing is installed first
packages() {
    for name in "$@"; do
        shift
        installed "$name" || set -- "$@" "$name"
    done
    [ "$#" -gt 0 ] || return 0
    begin "system packages"
    say "missing: $*"
    if [ "$privileged" = yes ] && [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        die "these packages need root, which this user cannot become" "as root, run: $(install_line "$@")"
    fi
    install_packages "$@"
    for name in "$@"; do
        installed "$name" || die "$name is still missing"
    done
}
"""

# How each package manager says whether a package, or one that provides it, is installed. apt was run; dnf, pacman and
# brew were not.
_INSTALLED = {
    "apt": r"""
installed() {
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed && return 0
    dpkg-query -W -f='${db:Status-Status},${Provides}\n' | sed -n 's/^installed,//p' | tr ',' '\n' |
        sed -e 's/^ *//' -e 's/[ (].*//' | grep -xF -- "$1" >/dev/null
}
""",
    "dnf": r"""
installed() { rpm -q --whatprovides "$1" >/dev/null 2>&1; }
""",
    "pacman": r"""
installed() { pacman -T "$1" >/dev/null; }
""",
    "brew": r"""
installed() { brew list --formula -1 | grep -xF -- "$1" >/dev/null; }
""",
}

COMMON = _MESSAGES + _RUNNING + _PLACES + _MACHINE


def package_functions(manager: str) -> str:
    """The functions that have system packages installed; `install_packages` and `install_line` come beside them."""
    return _INSTALLED[manager] + _PACKAGES


def clean_function(*, macos: bool) -> str:
    """The function that runs a command in the environment of every build and proof."""
    always = " ".join(f"{name}={value}" for name, value in environment.fixed(macos=macos).items())
    prefixes = " ".join(f"-e 's/^\\({prefix}[A-Za-z0-9_]*\\)=.*/\\1/p'" for prefix in environment.PASSED_PREFIXES)
    return f"""
# clean [NAME=VALUE]... COMMAND...: in an environment made anew; only these variables pass through
clean() {{
    set -- {always} "$@"
    for name in {" ".join(environment.PASSED)} \\
        $(env | sed -n {prefixes}); do
        eval "[ -z \\"\\${{$name+set}}\\" ]" || eval "set -- \\"$name=\\$$name\\" \\"\\$@\\""
    done
    env -i "$@"
}}
"""

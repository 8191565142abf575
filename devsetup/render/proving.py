"""The POSIX shell functions that carry out proofs, as `devsetup.verify` does, and where they see less."""

from __future__ import annotations

PROVING = r"""
# Proofs: in an empty directory, in the clean environment, after the build tree is gone. The first that fails ends it.

# attempt SECONDS COMMAND...
attempt() {
    seconds=$1
    shift
    ! command -v timeout >/dev/null 2>&1 || set -- timeout "$seconds" "$@"
    empty=$(mktemp -d)
    status=0
    (cd "$empty" && clean "$@") </dev/null || status=$?
    rm -rf "$empty"
    return "$status"
}

# verdict STATUS SECONDS COMMAND...
verdict() {
    [ "$1" -ne 0 ] || return 0
    status=$1
    shift 2
    say "the proof failed; $PREFIX is kept, but do not count on it"
    failed / "$status" "$@"
}

# proof SECONDS COMMAND...: it ends with status 0
proof() {
    status=0
    attempt "$@" || status=$?
    verdict "$status" "$@"
}

# proof_output PATTERN SECONDS COMMAND...: and one line of its output matches the extended regular expression
proof_output() {
    pattern=$1 status=0
    shift
    output=$(attempt "$@" 2>&1) || status=$?
    printf '%s\n' "$output"
    verdict "$status" "$@"
    printf '%s\n' "$output" | grep -E -e "$pattern" >/dev/null ||
        die "exit status 0, but no line of the output matches $pattern"
}

# artifact NAME: a workload left it
artifact() {
    [ -s "$ARTIFACTS/$1" ] || die "exit status 0, but it left no $1"
    printf 'left %s\n' "$ARTIFACTS/$1"
}

# link_closure PATH...: every ELF file finds its shared libraries. This asks the loader itself through ldd; devsetup
# reads the files instead, and so also sees run paths into the build tree, and libraries that are found only by luck.
link_closure() {
    [ "$(uname -s)" = Linux ] || { printf 'not asked: no ELF system\n'; return 0; }
    command -v ldd >/dev/null 2>&1 || die "ldd is not here, so the link closure cannot be proved"
    # What another file loads is judged there: it finds what it needs by the run path of that one.
    missing=$(clean find "$@" -type f -exec sh -c '
        for file in "$@"; do
            [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
            printf "%s:\n" "$file"
            ldd "$file" 2>/dev/null
        done
    ' sh {} + | awk '
        /^[^ \t].*:$/ { file = substr($0, 1, length($0) - 1) }
        /=> not found/ { needs[++count] = file; library[count] = $1 }
        $3 ~ /^\// { sub(/.*\//, "", $3); loaded[$3] = 1 }
        END {
            for (i = 1; i <= count; i++) {
                name = needs[i]
                sub(/.*\//, "", name)
                if (!(name in loaded)) print needs[i] ": " library[i] " => not found"
            }
        }
    ')
    [ -z "$missing" ] || die "libraries are missing:$newline$missing"
}
"""

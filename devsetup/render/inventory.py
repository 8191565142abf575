"""The POSIX shell function that writes down what an image holds: system packages, and Python packages of prefixes."""

from __future__ import annotations

DPKG = r"${db:Status-Status}\t${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
RPM = r"%{NAME}\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t\n"

INVENTORY = rf"""
# inventory DIRECTORY: DIRECTORY/system, `NAME VERSION ARCHITECTURE SOURCE VERSION`, and DIRECTORY/python,
# `KEY NAME VERSION`, both separated by tabs and sorted
inventory() {{
    mkdir -p "$1"
    if command -v dpkg-query >/dev/null 2>&1; then
        dpkg-query -W -f '{DPKG}' | sed -n 's/^installed\t//p' # not what left its configuration behind
    elif command -v rpm >/dev/null 2>&1; then
        rpm -qa --qf '{RPM}'
    fi | LC_ALL=C sort >"$1/system"
    find "$home/store" -type f \( -path '*.dist-info/METADATA' -o -path '*.egg-info/PKG-INFO' \) |
    while read -r file; do
        key=${{file#"$home/store/"}}
        awk -v "key=${{key%%/*}}" -F ': *' '
            $1 == "Name" && !name {{ name = $2 }}
            $1 == "Version" && !version {{ version = $2 }}
            /^\r?$/ {{ exit }}
            END {{ printf "%s\t%s\t%s\n", key, name, version }}
        ' "$file" | tr -d '\r'
    done | LC_ALL=C sort >"$1/python"
}}
"""

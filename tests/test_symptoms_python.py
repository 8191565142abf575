"""Symptoms of pip and Python: failures really produced, and cured as the remedy says."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing import Case, check, named

WHEEL = """
import sys, zipfile
name, version, wants, needs, tag = (sys.argv[1:] + ["", "", ""])[:5]
tag = tag or "py3-none-any"
info = f"{name}-{version}.dist-info"
meta = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
meta += f"Requires-Python: {wants}\\n" * bool(wants) + f"Requires-Dist: {needs}\\n" * bool(needs)
with zipfile.ZipFile(f"{name}-{version}-{tag}.whl", "w") as wheel:
    wheel.writestr(f"{info}/METADATA", meta)
    wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: {tag}\\n")
    wheel.writestr(f"{info}/RECORD", "")
"""
PIP = 'pip() { "$PYTHON" -m pip install --no-index --dry-run --target t "$@"; }; '

PACKAGES = (
    Case(
        "pip-no-distribution",
        PIP + "pip nonesuch-thing==9",
        PIP + '"$PYTHON" w.py nonesuch_thing 9 && pip --find-links . nonesuch-thing==9',
        (("w.py", WHEEL),),
    ),
    Case(
        "pip-python-version",
        PIP + '"$PYTHON" w.py thing 1 ">=9" && pip ./thing-1-py3-none-any.whl',
        PIP + '"$PYTHON" w.py thing 1 ">=3" && pip ./thing-1-py3-none-any.whl',
        (("w.py", WHEEL),),
    ),
    Case(
        "pip-wheel-platform",
        PIP + '"$PYTHON" w.py thing 1 "" "" cp27-cp27m-win32 && pip ./thing-1-cp27-cp27m-win32.whl',
        PIP + '"$PYTHON" w.py thing 1 && pip ./thing-1-py3-none-any.whl',
        (("w.py", WHEEL),),
    ),
    Case(
        "pip-resolution-impossible",
        PIP + '"$PYTHON" w.py a 1 "" "c==1"; "$PYTHON" w.py b 1 "" "c==2"; "$PYTHON" w.py c 1; "$PYTHON" w.py c 2;'
        " pip --find-links . a b",
        PIP + '"$PYTHON" w.py a 1 "" "c>=1"; "$PYTHON" w.py b 1 "" "c==2"; "$PYTHON" w.py c 2; pip --find-links . a b',
        (("w.py", WHEEL),),
    ),
    Case(
        "pip-hash-mismatch",
        PIP
        + '"$PYTHON" w.py thing 1; echo "thing==1 --hash=sha256:$(printf 0%.0s {1..64})" > r; pip --find-links . -r r',
        PIP + '"$PYTHON" w.py thing 1; sum=$(sha256sum < thing-1-py3-none-any.whl | head -c 64);'
        ' echo "thing==1 --hash=sha256:$sum" > r; pip --find-links . -r r',
        (("w.py", WHEEL),),
    ),
    Case(
        "python-module-missing",
        '"$PYTHON" -c "import nonesuch_module"',
        'touch nonesuch_module.py && "$PYTHON" -c "import nonesuch_module"',
    ),
    Case("python2-code", 'echo "print \'x\'" > a.py && "$PYTHON" a.py', 'echo "print(\'x\')" > a.py && "$PYTHON" a.py'),
)


@pytest.mark.parametrize("case", PACKAGES, ids=named)
def test_python(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)

"""s3cmd, from its sdist: the current release, or 2.0.0, on the Python of today.

The note is about s3cmd 1.0, whose `sync` opened a file that was there with O_TRUNC and got errno 22, while `get`
appended and did not. Since 1.5 `sync` writes a new file by its descriptor and renames it: the mode `wb` that is still
written there truncates nothing. What truncates today is `get --force`. Which of the patches a tree needs is told by
its source: see GENERATIONS.

docs/recipes/s3cmd.md says what of this was run, and what is simulated or untried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devsetup.building import python_env
from devsetup.recipe import Check, Context, Generation, LinkClosure, Option, Patch, Recipe, When, Workload
from devsetup.steps import BUILD, PREFIX, Env, PyPISource, Run, Step, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.facts import Facts

TREE = f"{BUILD}/s3cmd"
ENV = f"{PREFIX}/env"
SERVER = f"{PREFIX}/server"  # the proof's S3 server: apart, so that s3cmd's environment has only what s3cmd needs
SHARE = f"{PREFIX}/share/devsetup"
PROGRAM = ("sync.py", "server.py", "tool.py", "tree.py", "layer.py", "picture.py", "refuse.c")
GET_FORCE = "get-force.patch"

# s3cmd's environment and, below, the server's: the newest releases that each Python takes.
BESIDE = ("packaging==26.3", "python-magic==0.4.27", "setuptools==84.2.1", "six==1.17.0", "tzdata==2026.6")
WHEEL = "wheel==0.48.0"
PINS = (
    (">=3.11", (*BESIDE, "python-dateutil==4.0.0", WHEEL)),
    (">=3.10", (*BESIDE, "python-dateutil==3.0.0", WHEEL)),
)
MOTO = (
    *("Flask==3.1.3", "Jinja2==3.1.6", "MarkupSafe==3.0.4", "PyYAML==6.0.4", "Werkzeug==3.1.9", "blinker==1.9.0"),
    *("boto3==1.44.8", "botocore==1.44.8", "certifi==2026.10.19.post1", "cffi==2.1.1", "charset-normalizer==3.5.2"),
    *("click==8.5.1", "cryptography==50.0.2", "flask-cors==6.0.5", "idna==3.20", "itsdangerous==2.2.0"),
    *("jmespath==1.1.0", "moto==5.2.5", "py-partiql-parser==0.6.3", "python-dateutil==2.9.0.post0"),
    *("requests==2.34.2", "responses==0.26.3", "s3transfer==0.19.3", "six==1.17.0", "urllib3==2.8.0"),
    "xmltodict==1.0.4",
)
SERVER_PINS = (
    (">=3.11", (*MOTO, "pycparser==3.12")),
    (">=3.10", (*MOTO, "pycparser==3.11", "typing_extensions==4.16.0")),
)

UPSTREAM = "https://github.com/s3tools/s3cmd"
PYTHON_3_9 = "https://docs.python.org/3/whatsnew/3.9.html#removed"

GENERATIONS = (
    Generation(
        id="by-name",
        about="1.0: sync truncates the file that is there, by its name",
        file="s3cmd",
        contains='dst_stream = open(dst_file, "',
    ),
    Generation(
        id="2.0",
        about="2.0: sync writes a new file; get --force truncates, and a refusal is skipped with exit status 0",
        file="s3cmd",
        contains="dst_stream = io.open(deunicodise(destination), mode='ab')",
    ),
    Generation(
        id="2.2",
        about="2.2 to 2.4: as 2.0, in other words, and a refusal is told",
        file="s3cmd",
        contains="dst_stream = io.open(destination_bytes, mode='ab')",
    ),
)

PATCHES = (
    Patch(
        name="0001-sync-append.patch",
        when=When(source="by-name"),
        why="sync truncates the file that is there, which some file systems answer with errno 22; get appends",
        upstream=UPSTREAM,
    ),
    Patch(
        name="0002-get-force-2.0.patch",
        when=When(source="2.0"),
        why="get --force truncates the file that is there, which some file systems refuse; 2.0 skips it, exit status 0",
        upstream=UPSTREAM,
    ),
    Patch(
        name="0003-get-force-2.2.patch",
        when=When(source="2.2"),
        why="get --force truncates the file that is there, which some file systems refuse; there, it is deleted first",
        upstream=UPSTREAM,
    ),
    Patch(
        name="0004-getchildren.patch",
        when=When(source="2.0", libraries={"python": ">=3.9"}),
        why="Python 3.9 removed Element.getchildren, with which every list and every error text of S3 is read",
        upstream=PYTHON_3_9,
    ),
    Patch(
        name="0005-encodestring.patch",
        when=When(source="2.0", libraries={"python": ">=3.9"}),
        why="Python 3.9 removed base64.encodestring, with which requests are signed",
        upstream=PYTHON_3_9,
    ),
    Patch(
        name="0006-distutils.patch",
        when=When(source="2.0", libraries={"python": ">=3.12"}),
        why="Python 3.12 removed distutils, of which s3cmd uses one function",
        upstream="https://peps.python.org/pep-0632/",
    ),
    Patch(
        name="0007-warnings.patch",
        when=When(source="2.0", libraries={"python": ">=3.8"}),
        why="Python compiles the script anew at every start, and warns of these lines each time",
        upstream="https://docs.python.org/3/whatsnew/3.8.html#changes-in-python-behavior",
    ),
    Patch(
        name="0008-bytes-template.patch",
        when=When(source="2.0", libraries={"python": ">=3.12"}),
        why="Python 3.12 refuses a text as the template of a substitution in bytes, with which all answers are read",
        upstream="https://docs.python.org/3/library/re.html#re.sub",
    ),
)


def steps(ctx: Context) -> Iterator[Step]:
    """Environment first, since its pip fetches the sdist; then source, patches, install, and the proof's server."""
    python = f"{ENV}/bin/python"
    yield python_env(ctx.facts, tuple(sorted(ctx.pins(PINS))), path=ENV)
    yield from ctx.source(into=TREE)
    yield from ctx.patches(tree=TREE)
    pip = (python, "-m", "pip", "install", "--disable-pip-version-check")
    yield Run(
        argv=(*pip, "--no-index", "--no-deps", "--no-build-isolation", TREE), title="install s3cmd in its environment"
    )
    yield python_env(ctx.facts, tuple(sorted(ctx.pins(SERVER_PINS))), path=SERVER)
    for name in PROGRAM:
        yield WriteFile(path=f"{SHARE}/{name}", content=ctx.text(f"workloads/s3cmd/{name}"))
    force = "0002-get-force-2.0.patch" if ctx.generation == "2.0" else "0003-get-force-2.2.patch"
    yield WriteFile(path=f"{SHARE}/{GET_FORCE}", content=ctx.text(f"patches/s3cmd/{force}"))
    yield Env(name="PATH", value=f"{ENV}/bin")


def supports(facts: Facts, _options: Mapping[str, str]) -> str | None:
    """Linux with a Python that moto, the proof's server, has releases for."""
    if facts.os.id == "macos":
        return "there is no plan for s3cmd on macOS yet; Homebrew has s3cmd"
    if not When(libraries={"python": ">=3.10"}).verdict(facts).holds:
        return (
            f"moto, the S3 server of its proof, needs Python 3.10, and this is {facts.library('python') or 'unknown'}; "
            f"use a newer release of {facts.os.id}"
        )
    return None


def source(version: str, generation: str, sha256: str) -> PyPISource:
    """An sdist, by name."""
    return PyPISource(
        id=version,
        package="s3cmd",
        version=version,
        file=f"s3cmd-{version}.tar.gz",
        sha256=sha256,
        python=f"{ENV}/bin/python",
        generation=generation,
    )


def proofs(version: str) -> tuple[LinkClosure | Check | Workload, ...]:
    """The workload runs with the server's Python and the installed program."""
    return (
        LinkClosure(paths=(ENV, SERVER)),
        Check(
            title="s3cmd starts",
            argv=(f"{ENV}/bin/s3cmd", "--config=/dev/null", "--version"),
            expect=rf"^s3cmd version {version.replace('.', '[.]')}$",
        ),
        Workload(
            title="sync with an S3 server on loopback: odd names, longer files, kills, and where truncation is refused",
            argv=(
                *(f"{SERVER}/bin/python", f"{SHARE}/sync.py", "--out", "@ARTIFACTS@", "--scale", "@SCALE@"),
                *("--s3cmd", f"{ENV}/bin/s3cmd", "--server", f"{SERVER}/bin/python", "--patch", f"{SHARE}/{GET_FORCE}"),
            ),
            artifacts=("result.json", "sync.svg"),
            timeout_s=600,
        ),
    )


V2_0 = When(options={"version": "2.0.0"})

RECIPE = Recipe(
    name="s3cmd",
    version="2",
    summary="Command line for S3: put, get, sync",
    homepage="https://s3tools.org/s3cmd",
    licence="GPL-2.0-or-later",
    keywords=("s3", "sync", "backup", "object storage", "errno 22"),
    sources=(source("2.4.0", "2.2", "6b567521be1c151323f2059c8feec85ded96b6f184ff80535837fea33798b40b"),),
    option_sources=(
        (V2_0, (source("2.0.0", "2.0", "bf2a50802f1031cba83e99be488965803899d8ab0228c800c833b55c7269cd48"),)),
    ),
    generations=GENERATIONS,
    options=(
        Option(name="version", help="the current release, or one of 2017", choices=("2.4.0", "2.0.0"), default="2.4.0"),
    ),
    libraries=("patch", "python"),
    patches=PATCHES,
    proofs=proofs("2.4.0"),
    option_proofs=((V2_0, proofs("2.0.0")),),
    supports=supports,
    steps=steps,
    disk_mb=300,
    seen=(
        ("Debian 12, x86-64", "run", "both versions, installed and proven by the tests"),
        (
            "Debian 12, Python 3.10, 3.12 and 3.13",
            "run",
            "the workload on the same pins, by hand, in environments of pip",
        ),
        ("Debian 13, x86-64", "run", "once, in a fresh root"),
        ("Ubuntu 22.04 and 24.04, Fedora", "simulated", "planned from declared facts"),
        (
            "s3cmd 1.0.1, Python 2.7",
            "run",
            "the note's errno, before and after patch 0001; not installed by the recipe",
        ),
        ("Amazon's S3, or any server but moto's", "untried", "nothing outside the machine is asked"),
    ),
)

"""Single steps, guards, sources and proofs of the shell form, run for real by dash."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import badserver
import pytest
from conftest import tarball
from msgspec import structs
from rendering import (
    FACTS,
    HOSTILE,
    check,
    check_verbatim,
    contents,
    plan_of,
    prefix_of,
    run_plan,
    run_script,
    trace,
    verbatim_plan,
)

from devsetup.facts import OperatingSystem
from devsetup.fetch import extract
from devsetup.fetch.aptsources import main_archives
from devsetup.plan import Identity, Part, Plan
from devsetup.proofs import Check, Import, LinkClosure, Workload
from devsetup.render.obtaining import DEBIAN
from devsetup.render.shell import shell
from devsetup.steps import (
    BUILD,
    JOBS,
    PREFIX,
    Fetch,
    LocalSource,
    PathExists,
    Run,
    SystemPackages,
    Unpack,
    UrlSource,
    WriteFile,
)


@pytest.mark.parametrize("without", ["curl", "wget"])
def test_an_interrupted_download_goes_on_with_either_program(tmp_path: Path, without: str) -> None:
    body = tarball({"big": "x\n" * 100_000, "more": "y"})
    with badserver.running() as server:
        url = server.on("/it.tar.gz", badserver.served(body))
        source = UrlSource(id="it", url=url, sha256=hashlib.sha256(body).hexdigest())
        plan = plan_of(Fetch(name="it", sources=(source,)), Unpack(name="it", into=f"{PREFIX}/it"))
        part = tmp_path / "home/downloads" / source.sha256 / "it.tar.gz.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(body[:300])
        script = tmp_path / "plan.sh"
        script.write_text(shell(plan).replace(f"command -v {without} ", "command -v absent "))
        done = run_script(script, tmp_path / "home", DEVSETUP_FORCE="1")
        asked = [headers.get("range") for _, headers in server.requests]
    assert done.returncode == 0, done.stderr
    assert asked == ["bytes=300-"]
    assert part.with_suffix("").read_bytes() == body
    assert not part.exists()


def test_another_machine_is_refused_unless_forced(tmp_path: Path) -> None:
    other = Plan(facts=FACTS, parts=(), wanted=())
    other = plan_of(facts=type(FACTS)(os=OperatingSystem(id="plan9", version="4"), arch="mips"))
    script = tmp_path / "plan.sh"
    script.write_text(shell(other))
    done = run_script(script, tmp_path / "home")
    assert done.returncode == 1
    assert "planned for plan9 4 on mips, and this is" in done.stderr
    assert not (tmp_path / "home").exists()
    forced = run_script(script, tmp_path / "home", DEVSETUP_FORCE="1")
    assert forced.returncode == 0
    assert "warning: planned for plan9" in forced.stderr


def test_the_environment_of_steps_is_made_anew(tmp_path: Path) -> None:
    plan = plan_of(
        Run(argv=("sh", "-c", f"env | sort > {PREFIX}/env"), title="look", env=(("MINE", "1"), ("LANG", "C")), cwd="/")
    )
    done = run_plan(plan, tmp_path, CFLAGS="-O9", LD_PRELOAD="", PIP_INDEX_URL="a  b'$c", PIP_NO_INPUT="0", USER="me")
    assert done.returncode == 0, done.stderr
    lines = (prefix_of(plan, tmp_path) / "env").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert seen["PIP_INDEX_URL"] == "a  b'$c"
    assert (seen["MINE"], seen["LANG"], seen["PIP_NO_INPUT"], seen["USER"]) == ("1", "C", "1", "me")
    assert not {"CFLAGS", "LD_PRELOAD", "PREFIX", "JOBS", "DEVSETUP_HOME"} & set(seen)


def test_jobs_are_bounded_by_memory(tmp_path: Path) -> None:
    step = WriteFile(path=f"{PREFIX}/jobs", content=f"{JOBS}\n")
    plan = plan_of(step, memory_per_job_mb=1 << 30)
    run_plan(plan, tmp_path)
    assert (prefix_of(plan, tmp_path) / "jobs").read_text() == "1\n"
    run_plan(plan_of(step), tmp_path, DEVSETUP_JOBS="7")
    assert (prefix_of(plan_of(step), tmp_path) / "jobs").read_text() == "7\n"


def test_a_part_finds_the_prefix_of_the_one_it_needs(tmp_path: Path) -> None:
    facts = FACTS
    base = plan_of(WriteFile(path=f"{PREFIX}/it", content="x\n"), facts=facts).parts[0]
    user = Part(
        name="user",
        version="1",
        summary="",
        identity=Identity(os="debian", version="12", arch="x86_64"),
        needs=(base.key,),
        steps=(Run(argv=("cp", "@PREFIX:toy@/it", f"{PREFIX}/copy"), title="copy", cwd="/"),),
        proofs=(Check(title="there", argv=("cat", "@PREFIX:toy@/it", f"{PREFIX}/copy"), expect="^x$"),),
    )
    done = run_plan(Plan(facts=facts, parts=(base, user), wanted=(user.key,)), tmp_path)
    assert done.returncode == 0, done.stderr
    idle = structs.replace(user, steps=(), proofs=())
    script = tmp_path / "idle.sh"
    script.write_text(shell(Plan(facts=facts, parts=(base, idle), wanted=(idle.key,))))
    check(script)
    assert (tmp_path / "home/store" / user.key / "copy").read_text() == "x\n"


def test_missing_packages_are_named_with_the_command_before_anything_else(tmp_path: Path) -> None:
    plan = plan_of(
        SystemPackages(manager="apt", names=("dpkg", "no-such-package-a", "awk")),
        WriteFile(path=f"{PREFIX}/it", content="x\n"),
    )
    script = tmp_path / "plan.sh"
    # As a user without sudo, whoever runs the tests: `id` and `sudo` are looked up by name.
    text = shell(plan).replace('"$(id -u)" != 0', "1 != 0").replace("command -v sudo", "command -v no-sudo")
    script.write_text(text)
    done = run_script(script, tmp_path / "home", DEVSETUP_FORCE="1")
    assert done.returncode == 1
    assert "missing: no-such-package-a\n" in done.stderr
    assert "as root, run: apt-get update && apt-get install -y --no-install-recommends no-such-package-a" in done.stderr
    assert not (tmp_path / "home").exists()


def test_what_is_loaded_by_another_file_is_judged_there(tmp_path: Path) -> None:
    """As in wheels: a library without a run path needs another, which the module that loads both finds for it."""
    lib = tmp_path / "lib"
    lib.mkdir()
    (tmp_path / "empty.c").write_text("int f(void) { return 0; }\n")

    def build(name: str, *flags: str) -> None:
        command = ["gcc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", lib / name, "-Wl,--no-as-needed", *flags]
        subprocess.run(command, check=True)

    build("libinner.so")
    build("libouter.so", f"-L{lib}", "-linner")
    outcome = {}
    proof = LinkClosure(paths=(str(lib),))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    outcome["alone"] = run_plan(plan_of(proofs=(proof,)), tmp_path / "one")
    build("module.so", f"-L{lib}", "-louter", "-linner", f"-Wl,-rpath,{lib},--disable-new-dtags")
    outcome["loaded"] = run_plan(plan_of(proofs=(proof,)), tmp_path / "two")
    assert outcome["alone"].returncode == 1
    assert "libouter.so: libinner.so => not found" in outcome["alone"].stderr
    assert outcome["loaded"].returncode == 0, outcome["loaded"].stderr


def test_import_and_link_closure_can_fail(tmp_path: Path) -> None:
    plan = plan_of(proofs=(Import(python="/usr/bin/python3", module="json", show="json.__name__"),))
    assert "json" in run_plan(plan, tmp_path).stdout
    done = run_plan(plan_of(proofs=(Import(python="/usr/bin/python3", module="no_such"),)), tmp_path)
    assert done.returncode == 1
    assert "No module named 'no_such'" in done.stderr
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    compile_it = ("gcc", "-shared", "-fPIC", "-o", "liba.so", f"{tmp_path}/a.c")
    link_it = (
        "gcc",
        "-shared",
        "-fPIC",
        "-o",
        f"{PREFIX}/libb.so",
        f"{tmp_path}/a.c",
        "-Wl,--no-as-needed",
        "./liba.so",
    )
    plan = plan_of(Run(argv=compile_it, then=(link_it,), title="link"), proofs=(LinkClosure(paths=(PREFIX,)),))
    done = run_plan(plan, tmp_path)
    assert done.returncode == 1
    assert "liba.so => not found" in done.stderr


def test_a_check_must_match(tmp_path: Path) -> None:
    good = plan_of(proofs=(Check(title="c", argv=("echo", "took 1.25 ms"), expect=r"took [0-9.]+ \w+$"),))
    assert run_plan(good, tmp_path).returncode == 0
    bad = plan_of(proofs=(Check(title="c", argv=("echo", "took long"), expect=r"took \d"),))
    done = run_plan(bad, tmp_path)
    assert done.returncode == 1
    assert "no line of the output matches took [0-9]" in done.stderr
    slow = plan_of(proofs=(Workload(title="w", argv=("sleep", "60"), timeout_s=1),))
    assert "exit status 124" in run_plan(slow, tmp_path).stderr


def test_modes_are_those_that_devsetup_gives(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o700)
    for mode in (0o600, 0o666, 0o711, 0o4777):
        (tree / oct(mode)).touch()
        (tree / oct(mode)).chmod(mode)
    archive = tmp_path / "modes.tar"
    subprocess.run(["tar", "-cf", archive, "tree"], cwd=tmp_path, check=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    source = LocalSource(id="mine", path=str(archive), sha256=digest, strip=1)
    plan = plan_of(Fetch(name="x", sources=(source,)), Unpack(name="x", into=f"{PREFIX}/by-script"))
    done = run_plan(plan, tmp_path)
    assert done.returncode == 0, done.stderr
    extract(archive, tmp_path / "by-devsetup", strip=1)
    assert contents(prefix_of(plan, tmp_path) / "by-script") == contents(tmp_path / "by-devsetup")


def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    archive = tmp_path / "bad.tar"
    subprocess.run(["tar", "-cPf", archive, "--transform=s,^,../,", "x"], cwd=tmp_path, check=True)
    digest = subprocess.run(["sha256sum", archive], capture_output=True, text=True, check=True).stdout[:64]
    source = LocalSource(id="mine", path=str(archive), sha256=digest)
    plan = plan_of(Fetch(name="x", sources=(source,)), Unpack(name="x", into=f"{BUILD}/t"))
    done = run_plan(plan, tmp_path)
    assert done.returncode == 1
    assert "has a member outside the tree" in done.stderr


def test_a_guard_leaves_a_step_out(tmp_path: Path) -> None:
    touched = Run(argv=("touch", f"{PREFIX}/made"), title="t", unless=PathExists(path=f"{PREFIX}/there"))
    plan = plan_of(WriteFile(path=f"{PREFIX}/there", content=""), touched)
    assert run_plan(plan, tmp_path).returncode == 0
    assert not (prefix_of(plan, tmp_path) / "made").exists()
    assert run_plan(plan_of(touched), tmp_path).returncode == 0
    assert (prefix_of(plan_of(touched), tmp_path) / "made").exists()


def test_hostile_texts_arrive_as_they_are(tmp_path: Path) -> None:
    plan = verbatim_plan()
    done = run_plan(plan, tmp_path, DEVSETUP_TRACE=str(tmp_path / "trace"))
    assert done.returncode == 0, done.stderr
    check(tmp_path / "plan.sh")
    prefix = prefix_of(plan, tmp_path)
    check_verbatim(prefix)
    assert not list(tmp_path.rglob("pwned"))
    first, _ = trace(tmp_path / "trace")
    assert first[4:] == [str(prefix / "argv"), *HOSTILE, *(f"{text}{prefix}{text}" for text in HOSTILE)]


def call(function: str, text: str = "", *, configuration: Path = Path("/etc/apt")) -> list[str]:
    """The lines that one of the script's functions for Debian sources prints."""
    script = DEBIAN.replace("/etc/apt", str(configuration))
    done = subprocess.run(
        ["sh", "-euc", f"{script}\n{function}"], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_mirrors_are_read_from_both_formats_of_apts_configuration(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented/debian bookworm main\n"
        "deb http://one/debian bookworm main contrib # deb http://no/debian x main\n"
        "deb [arch=amd64 signed-by=/keys/two.gpg] http://two/debian/ bookworm main\n"
        "deb http://security/debian-security bookworm-security main\n"
        "deb http://other/debian bookworm contrib\n"
    )
    (parts / "a.list").write_text("deb-src http://three/debian trixie main")
    (parts / "b.sources").write_text(
        "Types: deb\nURIs: http://four/debian http://five/debian/\nSuites: bookworm bookworm-updates\n"
        "Components: main contrib\nSigned-By: /keys/four.gpg\n\n"
        "# off\nEnabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert call("configured", configuration=tmp_path) == [
        "http://one/debian/|",
        "http://two/debian/|/keys/two.gpg",
        "http://three/debian/|",
        "http://four/debian/|/keys/four.gpg",
        "http://five/debian/|/keys/four.gpg",
    ]
    ours = {archive.uri: archive.keyrings for archive in main_archives("", tmp_path)}
    assert [line.partition("|")[0] for line in call("configured", configuration=tmp_path)] == list(ours)


def test_the_version_that_holds_the_very_file_is_chosen() -> None:
    good, bad = "a" * 64, "b" * 64
    listed = "".join(
        f"Package: x\nVersion: {version}\nChecksums-Sha256:\n {digest} 12 {file}\n\n"
        for version, digest, file in (
            ("1:1.0-1", bad, "x.tar"),
            ("1:1.0-2", good, "x.tar"),
            ("1:1.1-1", good, "x.tar"),
            ("1:1.0-3", good, "y.tar"),
        )
    )
    assert call(f"choose {good} x.tar 1.0", listed) == ["1:1.0-2"]
    assert call(f"choose {good} x.tar 1:1.1-1", listed) == ["1:1.1-1"]
    assert call(f"choose {good} x.tar 2.0", listed) == []

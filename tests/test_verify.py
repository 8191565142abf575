"""Carrying out proofs with real processes."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devsetup import events
from devsetup.proofs import Check, Finding, Import, LinkClosure, Proof, Workload
from devsetup.runner import Runner
from devsetup.verify import Bench, failed, prove

if TYPE_CHECKING:
    from collections.abc import Callable


GCC = shutil.which("gcc") or ""


class Lab:
    """A bench whose events, log and temporary directories can be looked at."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.artifacts = home / "receipts" / "artifacts"
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        self.seen: list[events.Event] = []
        self.log = io.BytesIO()
        self.env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def prove(self, *proofs: Proof, **more: Any) -> tuple[Finding, ...]:
        fields: dict[str, Any] = {
            "places": {"PREFIX": str(self.home)},
            "artifacts": self.artifacts,
            "runner": Runner(),
            "env": self.env,
            "emit": self.seen.append,
            "log": self.log,
        }
        findings = prove(proofs, Bench(**{**fields, **more}))
        assert self.leftovers() == []
        assert (
            tuple(event.finding for event in self.seen if isinstance(event, events.Proved))[-len(proofs) :] == findings
        )
        return findings

    def one(self, proof: Proof, **more: Any) -> Finding:
        (finding,) = self.prove(proof, **more)
        return finding

    def leftovers(self) -> list[str]:
        """Temporary directories that were not removed."""
        beside = self.artifacts.parent.iterdir() if self.artifacts.parent.exists() else ()
        return [str(path) for path in (*self.temporary.iterdir(), *beside) if path != self.artifacts]

    @property
    def lines(self) -> list[str]:
        return [event.text for event in self.seen if isinstance(event, events.Line)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(made.temporary))
    return made


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with modules that go wrong in every way."""
    home = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    modules = {
        "good": "import sys\n__version__ = '1.0'\nprint('a warning', file=sys.stderr)\nprint('chatter')\n",
        "raising": "raise RuntimeError('no such device: 7')\n",
        "needing": "import absent_dependency\n",
        "crashing": "import ctypes\nctypes.string_at(0)\n",
        "illegal": "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n",
        "leaving": "import sys\nsys.exit(3)\n",
        "hanging": "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n",
        "looking": "import os, sys\nstate = (sorted({*os.environ} - {'LC_CTYPE'}), os.listdir(), sys.path)\n",
    }
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
    return str(home / "bin" / "python")


def sh(script: str, **more: Any) -> Check:
    return Check(title="a check", argv=("sh", "-c", script), **more)


def job(script: str, *artifacts: str, **more: Any) -> Workload:
    argv = ("sh", "-c", script, "job", "@ARTIFACTS@")
    return Workload(title="a job", argv=argv, artifacts=artifacts, **more)


# Import


def test_import_shows_what_it_is(lab: Lab, python: str) -> None:
    finding = lab.one(Import(python=python, module="good", show="good.__version__"))
    assert (finding.status, finding.proof, finding.summary) == ("ok", "import good", "good 1.0")
    assert finding.seconds > 0
    assert "a warning" in lab.lines
    assert b"a warning" in lab.log.getvalue()
    assert lab.one(Import(python=python, module="good")).summary == "good"


def test_import_of_a_module_within_a_package(lab: Lab, python: str) -> None:
    assert lab.one(Import(python=python, module="os.path", show="os.path.sep")).summary == "os.path /"


@pytest.mark.parametrize(
    ("module", "summary", "detail"),
    [
        ("nowhere", "ModuleNotFoundError: No module named 'nowhere'", ""),
        ("raising", "RuntimeError: no such device: 7", "raise RuntimeError"),
        ("needing", "ModuleNotFoundError: No module named 'absent_dependency'", "needing.py"),
        ("crashing", "SIGSEGV (segmentation fault)", "crashing.py"),
        ("illegal", "SIGILL (illegal instruction: built for another processor)", ""),
        ("leaving", "exit status 3", ""),
        ("not a module", "SyntaxError: invalid syntax", ""),
    ],
)
def test_import_that_fails(lab: Lab, python: str, module: str, summary: str, detail: str) -> None:
    finding = lab.one(Import(python=python, module=module))
    assert (finding.status, finding.summary) == ("fail", summary)
    assert detail in "\n".join(finding.detail)


def test_import_that_hangs_is_ended(lab: Lab, python: str) -> None:
    finding = lab.one(Import(python=python, module="hanging", timeout_s=1))
    assert (finding.status, finding.summary) == ("fail", "still running after 1 s, so it was ended")
    assert finding.detail == ("waiting",)


def test_import_sees_nothing_of_ours(lab: Lab, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text("__version__ = 'ours'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert lab.one(Import(python=python, module="good", show="good.__version__")).summary == "good 1.0"
    env = {**lab.env, "PYTHONPATH": str(tmp_path)}
    assert lab.one(Import(python=python, module="good", show="good.__version__"), env=env).summary == "good 1.0"
    shown = lab.one(Import(python=python, module="looking", show="looking.state")).summary
    assert shown.startswith("looking (['LANG', 'PATH'], [], [")
    assert str(tmp_path) not in shown


def test_interpreter_that_is_not_there(lab: Lab) -> None:
    finding = lab.one(Import(python="@PREFIX@/bin/python", module="good"))
    assert (finding.status, finding.summary) == ("fail", f"{lab.home}/bin/python was not found")


# Check


def test_check_shows_what_matches(lab: Lab) -> None:
    finding = lab.one(sh("echo first; echo caffe version 1.0 >&2; echo last", expect=r"version \d"))
    assert (finding.status, finding.summary) == ("ok", "version 1")
    assert lab.lines == ["first", "caffe version 1.0", "last"]
    assert b"first\ncaffe version 1.0\nlast\n" in lab.log.getvalue()
    assert lab.one(sh("echo first; echo last")).summary == "last"
    assert lab.one(sh("echo a; echo b; echo c", expect=r"^b$")).summary == "b"
    assert lab.one(sh("true")).summary == "exit status 0"


def test_check_fills_places_and_starts_in_an_empty_directory(lab: Lab) -> None:
    assert lab.one(Check(title="c", argv=("echo", "@PREFIX@/x", "@ARTIFACTS@"))).summary == (
        f"{lab.home}/x {lab.artifacts}"
    )
    assert lab.one(sh("ls -A; pwd")).summary.startswith(str(lab.temporary))


@pytest.mark.parametrize(
    ("script", "expect", "summary", "detail"),
    [
        ("echo out; echo no GPU >&2; exit 4", "", "exit status 4: no GPU", ("out", "no GPU")),
        ("exit 124", "", "exit status 124", ()),
        ("echo version 2", "version 1", "exit status 0, but nothing in its output matches 'version 1'", ("version 2",)),
        ("echo version 1; exit 1", "version 1", "exit status 1: version 1", ("version 1",)),
        ("kill -SEGV $$", "", "SIGSEGV (segmentation fault)", ()),
        ("sh -c 'kill -ILL $$'; exit $?", "", "SIGILL (illegal instruction: built for another processor)", None),
        ("kill -USR1 $$", "", "SIGUSR1", ()),
    ],
)
def test_check_that_fails(lab: Lab, script: str, expect: str, summary: str, detail: tuple[str, ...] | None) -> None:
    finding = lab.one(sh(script, expect=expect))
    assert finding.status == "fail"
    assert finding.summary.startswith(summary)
    assert detail is None or finding.detail == detail


def test_check_detail_is_the_end_of_the_output(lab: Lab) -> None:
    finding = lab.one(sh("seq 1000; exit 1"))
    assert finding.detail == tuple(str(number) for number in range(981, 1001))


def test_check_that_hangs_is_ended(lab: Lab) -> None:
    finding = lab.one(sh("echo begun; sleep 600", timeout_s=1))
    assert finding.summary == "still running after 1 s, so it was ended: begun"


def test_malformed_proofs_are_findings(lab: Lab) -> None:
    assert "which is no regular expression" in lab.one(sh("true", expect="(")).summary
    assert "@PREFIX:cuda@" in lab.one(Check(title="c", argv=("echo", "@PREFIX:cuda@"))).summary
    script = lab.home / "script"
    script.write_bytes(b"\x7fELF nothing")
    script.chmod(0o755)
    assert "Exec format error" in lab.one(Check(title="c", argv=(str(script),))).summary


# Workload


def test_workload_leaves_its_artifacts(lab: Lab) -> None:
    script = "echo '{\"x\": 0.9}' > $1/result.json; echo '<svg x=\"y\"/>' > $1/plot.svg; : > $1/junk; echo 90 %"
    finding = lab.one(job(script, "result.json", "plot.svg"))
    assert (finding.status, finding.summary) == ("ok", "90 %")
    assert finding.artifacts == (str(lab.artifacts / "result.json"), str(lab.artifacts / "plot.svg"))
    assert sorted(path.name for path in lab.artifacts.iterdir()) == ["plot.svg", "result.json"]
    assert all(Path(path).stat().st_size for path in finding.artifacts)


def test_success_replaces_what_was_there(lab: Lab) -> None:
    lab.one(job("echo old > $1/a.txt", "a.txt"))
    lab.one(job("test ! -e $1/a.txt && echo new > $1/a.txt", "a.txt"))
    assert (lab.artifacts / "a.txt").read_text() == "new\n"
    lab.one(job("mkdir $1/sub; echo b > $1/sub/b.txt", "sub/b.txt"))
    assert (lab.artifacts / "a.txt").exists()
    assert (lab.artifacts / "sub" / "b.txt").read_text() == "b\n"


@pytest.mark.parametrize(
    ("script", "summary"),
    [
        ("echo new > $1/a.txt", "exit status 0, but it left no r.json"),
        ("echo new > $1/a.txt; mkdir $1/r.json", "exit status 0, but it left no r.json"),
        ("echo new > $1/a.txt; : > $1/r.json", "exit status 0, but r.json is empty"),
        ("echo new > $1/a.txt; echo '{\"x\": ' > $1/r.json", "exit status 0, but r.json is not JSON: "),
        ("echo new > $1/a.txt; printf '\"\\377\"' > $1/r.json", "exit status 0, but r.json is not JSON: "),
        ("echo new > $1/a.txt; echo 1 > $1/r.json; echo 0.4 is below 0.9; exit 1", "exit status 1: 0.4 is below 0.9"),
    ],
)
def test_failure_keeps_what_was_there(lab: Lab, script: str, summary: str) -> None:
    lab.one(job("echo old > $1/a.txt; echo 0 > $1/r.json", "a.txt", "r.json"))
    finding = lab.one(job(script, "a.txt", "r.json"))
    assert finding.status == "fail"
    assert finding.summary.startswith(summary)
    assert finding.artifacts == ()
    assert (lab.artifacts / "a.txt").read_text() == "old\n"
    assert (lab.artifacts / "r.json").read_text() == "0\n"


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("<svg>", True),
        ('<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "x">\n<!-- made by hand -->\n<svg width="1">', True),
        ("<html><svg></html>", False),
        ("<svgs>", False),
        ("Traceback <svg>", False),
    ],
)
def test_svg(lab: Lab, text: str, ok: bool) -> None:
    source = lab.home / "text"
    source.write_text(text)
    finding = lab.one(job(f"cp {source} $1/p.svg", "p.svg"))
    assert (finding.status == "ok") is ok
    assert ok or finding.summary == "exit status 0, but p.svg does not start as an SVG image does"


def test_failed_workload_makes_no_directory(lab: Lab) -> None:
    lab.one(job("exit 1"))
    assert not lab.artifacts.exists()


def test_artifacts_that_cannot_be_kept(lab: Lab) -> None:
    lab.artifacts.parent.write_text("in the way\n")
    (finding,) = prove((job("true"),), Bench(places={}, artifacts=lab.artifacts, runner=Runner(), env=lab.env))
    assert finding.status == "fail"
    assert str(lab.artifacts.parent) in finding.summary


def test_workloads_are_passed_over(lab: Lab) -> None:
    mark = lab.home / "ran"
    findings = lab.prove(job(f"touch {mark}"), sh("true"), workloads=False)
    assert [finding.status for finding in findings] == ["skip", "ok"]
    assert "--workload" in findings[0].summary
    assert not mark.exists()
    assert failed(findings) is None


# The whole row


def test_what_comes_after_a_failure_is_not_reached(lab: Lab) -> None:
    mark = lab.home / "ran"
    findings = lab.prove(sh("true"), LinkClosure(paths=("@PREFIX@/absent",)), sh(f"touch {mark}"), job(f"touch {mark}"))
    assert [finding.status for finding in findings] == ["ok", "fail", "skip", "skip"]
    assert findings[2].summary == "not reached: an earlier proof failed"
    assert failed(findings) == findings[1]
    assert failed(findings[:1]) is None
    assert not mark.exists()
    log = lab.log.getvalue().decode()
    assert re.findall(r"--- (?:proof|ok|fail|skip): .*", log)[2:4] == [
        "--- proof: link closure",
        f"--- fail: {lab.home}/absent does not exist",
    ]


@pytest.mark.skipif(not GCC, reason="needs gcc")
def test_link_closure_uses_the_prefix_the_build_directory_and_the_environment(lab: Lab) -> None:
    for name in ("build", "lib"):
        (lab.home / name).mkdir()
    library, program = lab.home / "lib" / "liba.so.1", lab.home / "app"
    subprocess.run([GCC, "-shared", "-x", "c", "/dev/null", "-o", library, "-Wl,-soname,liba.so.1"], check=True)
    (lab.home / "app.c").write_text("int main(void) { return 0; }\n")
    argv = [GCC, lab.home / "app.c", "-Wl,--no-as-needed", library, "-o", program]
    subprocess.run(argv, check=True)
    proof = LinkClosure(paths=("@PREFIX@/app",))
    finding = lab.one(proof)
    assert finding.summary == "liba.so.1, needed by app: not found"
    assert "  found in lib, but the run path does not lead there" in finding.detail
    assert lab.one(proof, env={**lab.env, "LD_LIBRARY_PATH": str(library.parent)}).status == "ok"
    subprocess.run([*argv, f"-Wl,-rpath,$ORIGIN/lib:{lab.home}/build"], check=True)
    assert lab.one(proof).status == "ok"
    places = {"PREFIX": str(lab.home), "BUILD": str(lab.home / "build")}
    assert "leads into the build directory" in lab.one(proof, places=places).summary


# Ctrl-C


@pytest.mark.parametrize("make", [lambda: sh("echo begun; sleep 600"), lambda: job("echo begun; sleep 600", "a")])
def test_interruption_leaves_nothing(lab: Lab, make: Callable[[], Proof]) -> None:
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Line):
            assert lab.leftovers()
            raise KeyboardInterrupt

    bench = Bench(places={}, artifacts=lab.artifacts, runner=Runner(), env=lab.env, emit=interrupt)
    with pytest.raises(KeyboardInterrupt):
        prove((make(),), bench)
    assert lab.leftovers() == []


def test_ctrl_c_ends_the_job_and_leaves_nothing(lab: Lab) -> None:
    begun = lab.home / "begun"
    code = f"""
        import os
        from pathlib import Path
        from devsetup.proofs import Workload
        from devsetup.runner import Runner
        from devsetup.verify import Bench, prove
        script = "echo $$ > {begun}.new; mv {begun}.new {begun}; sleep 600"
        proof = Workload(title="job", argv=("sh", "-c", script), artifacts=("a",))
        bench = Bench(places={{}}, artifacts=Path({str(lab.artifacts)!r}), runner=Runner(), env=dict(os.environ))
        prove((proof,), bench)
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    env = {**os.environ, "TMPDIR": str(lab.temporary)}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) as process:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.02)
        assert lab.leftovers()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in complaint
    assert lab.leftovers() == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)

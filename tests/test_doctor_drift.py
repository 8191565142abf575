"""Drift: something really changes after an install, and doctor names the install, what was there and what is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Hello
from doctor_installs import exam_of, installed, put, receipt_of
from doctoring import Couch, check, goal, only
from homes import HOST

from devsetup import facts
from devsetup.doctor import Goal
from devsetup.plan import Identity, Part, Plan
from devsetup.receipts import Receipt
from devsetup.steps import PythonEnv
from devsetup.store import Store, manifest

replace = msgspec.structs.replace
REBUILD = ("devsetup install --rebuild hello",)


def test_a_library_moved_away_is_found_named_and_mended(hello: Hello) -> None:
    receipt = installed(hello)
    now = receipt.facts  # this machine's, whichever release it is
    found = [each for name in ("drift", "lib.missing") for each in check(name, exam_of(hello.home, facts=now))]
    assert {each.status for each in found} == {"ok"}, found
    library = Path(receipt.prefix, "lib/libgreet.so")
    library.rename(hello.root / "libgreet.so")

    lost = only("lib.missing", exam_of(hello.home))
    assert lost.status == "fail"
    assert "libgreet.so, needed by bin/hello: not found" in lost.summary
    assert lost.fix is not None
    assert lost.fix.commands == REBUILD
    files = only("drift.files", exam_of(hello.home))
    assert files.status == "fail"
    assert files.summary == f"hello: lib/libgreet.so gone since it was installed on {receipt.installed_at[:10]}"
    assert files.fix is not None
    assert files.fix.commands == REBUILD

    done = hello.run("install", "--rebuild", "hello", "-y")
    assert done.returncode == 0, done.stderr
    found = [each for name in ("drift", "lib.missing") for each in check(name, exam_of(hello.home, facts=now))]
    assert {each.status for each in found} == {"ok"}, found


def test_a_library_from_outside_that_is_gone(hello: Hello) -> None:
    """The library goes into a directory of the machine, as a distribution's would, and an upgrade removes it."""
    outside = hello.root / "usr-lib"
    outside.mkdir()
    hello.files["Makefile"] = hello.files["Makefile"].replace("$$ORIGIN/../lib", str(outside))
    hello.files["Makefile"] = hello.files["Makefile"].replace("$(PREFIX)/lib/libgreet.so", f"{outside}/libgreet.so")
    hello.files["Makefile"] += "\tmkdir -p $(PREFIX)/lib && cp libgreet.so $(PREFIX)/lib/other.so\n"
    hello.write_source()
    receipt = installed(hello)
    assert only("drift.libraries", exam_of(hello.home)).status == "ok"
    (outside / "libgreet.so").rename(outside / "libgreet.so.2")
    found = only("drift.libraries", exam_of(hello.home))
    assert found.status == "fail"
    assert found.summary == f"hello: libgreet.so is gone since it was installed on {receipt.installed_at[:10]}"
    assert found.detail == (f"{outside}/libgreet.so, for bin/hello: now libgreet.so.2",)
    assert found.fix is not None
    assert found.fix.commands == REBUILD
    assert only("lib.missing", exam_of(hello.home)).status == "fail"


def test_a_library_that_is_found_elsewhere_now_is_no_fault(hello: Hello) -> None:
    receipt = installed(hello)
    artifacts = Store(hello.home).artifacts(receipt.key)
    then = manifest.recorded(artifacts)
    assert then is not None
    moved = {"/lib/old/libc.so.6": next(iter(then.libraries.values()))}
    (artifacts / ".files.json").write_bytes(msgspec.json.encode(replace(then, libraries=moved)))
    found = only("drift.libraries", exam_of(hello.home))
    assert found.status == "info"
    assert "found elsewhere" in found.summary


def test_altered_files_are_named_and_bytecode_is_not(hello: Hello) -> None:
    receipt = installed(hello)
    prefix = Path(receipt.prefix)
    (prefix / "bin/__pycache__").mkdir()
    (prefix / "bin/__pycache__/x.pyc").write_text("x")
    (prefix / "share/more").write_text("a new file is no drift")
    assert only("drift.files", exam_of(hello.home)).status == "ok"
    before = (prefix / "share/work.sh").stat()
    os.utime(prefix / "share/work.sh", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    found = only("drift.files", exam_of(hello.home))
    assert (found.status, found.detail) == ("warn", ("share/work.sh",))
    assert "hello: share/work.sh altered since" in found.summary


def test_an_install_without_a_list_of_files_is_passed_over(hello: Hello) -> None:
    receipt = installed(hello)
    (Store(hello.home).artifacts(receipt.key) / ".files.json").unlink()
    Path(receipt.prefix, "share/work.sh").unlink()
    assert check("drift.files", exam_of(hello.home)) == ()
    assert check("drift.libraries", exam_of(hello.home)) == ()
    assert only("lib.missing", exam_of(hello.home)).status == "ok"  # looked up anew


def test_no_installs_no_lines(tmp_path: Path) -> None:
    assert check("drift", exam_of(tmp_path / "home")) == ()


def host(system: str = "debian", version: str = "12", **fields: Any) -> facts.Facts:
    fields = {"libc": facts.Libc(family="glibc", version="2.36"), **fields}
    return replace(HOST, os=facts.OperatingSystem(id=system, version=version), **fields)


@pytest.mark.parametrize(
    ("now", "status", "says"),
    [
        (host(), "ok", "the same system"),
        (host(version="12.5", libc=facts.Libc(family="glibc", version="2.37")), "ok", "the same system"),
        (host(version="13"), "warn", "toy: debian 12 then, debian 13 now"),
        (host("ubuntu", "24.04"), "warn", "toy: debian 12 then, ubuntu 24.04 now"),
        (host(arch="aarch64"), "fail", "toy: x86_64 then, aarch64 now"),
        (host(libc=facts.Libc(family="musl", version="1.2")), "fail", "glibc 2.36 then, musl 1.2 now"),
        (host(libc=facts.Libc(family="glibc", version="2.31")), "fail", "glibc 2.36 then, glibc 2.31 now"),
    ],
)
def test_the_system(tmp_path: Path, now: facts.Facts, status: str, says: str) -> None:
    store = Store(tmp_path)
    put(store, receipt_of(store, facts=host()))
    found = only("drift.os", exam_of(tmp_path, facts=now))
    assert found.status == status
    assert says in found.summary
    assert (found.fix is not None) == (status != "ok")


def test_what_a_newer_install_replaced_is_not_examined_and_what_it_needs_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, receipt_of(store, "toy", facts=host(version="11")))
    needed = put(store, receipt_of(store, "below", facts=host(version="11"), explicit=False))
    put(store, receipt_of(store, "below", version="2.0", facts=host()))
    newer = receipt_of(store, "toy", version="2.0", needs=(needed.key,), facts=host())
    put(store, newer)
    (found,) = check("drift.os", exam_of(tmp_path, facts=host()))
    assert found.summary.startswith("below: debian 11 then")


def cuda_install(store: Store) -> Receipt:
    toolkit = facts.Cuda(path="/usr/local/cuda", version="12.4", origin="/usr/local/cuda", chosen=True)
    part = Part(
        name="toy", version="1.0", summary="a toy", identity=Identity(os="debian", version="12", arch="x86_64"),
        options={"cuda": "on"},
    )  # fmt: skip
    return put(store, receipt_of(store, part=part, facts=host(cuda=(toolkit,))))


def test_the_toolkit(tmp_path: Path) -> None:
    couch = Couch(tmp_path / "root")
    couch.write("/usr/local/cuda-12.4/version.json")
    couch.link("/usr/local/cuda", "cuda-12.4")
    home = tmp_path / "home"
    receipt = cuda_install(Store(home))

    def look(*toolkits: facts.Cuda) -> Any:
        return only("drift.toolkit", exam_of(home, host=couch.host(), facts=host(cuda=toolkits)))

    then = receipt.facts.cuda[0]
    assert look(then).status == "ok"
    (couch.root / "usr/local/cuda").unlink()
    couch.link("/usr/local/cuda", "cuda-13.0")
    couch.write("/usr/local/cuda-13.0/version.json")
    found = look(replace(then, version="13.0"))
    assert found.status == "warn"
    assert found.summary == (
        "toy: built with CUDA 12.4 in /usr/local/cuda, which leads to /usr/local/cuda-13.0; it is 13.0 now"
    )
    (couch.root / "usr/local/cuda").unlink()
    found = look(replace(then, path="/opt/cuda", version="13.0"))
    assert found.status == "fail"
    assert "which is gone; the toolkit here now is /opt/cuda (13.0)" in found.summary
    assert "there is none here now" in look().summary
    put(Store(home), receipt_of(Store(home), "plain", facts=host(cuda=(then,))))
    assert "plain" not in look().summary  # it does not use the toolkit


def test_the_python_of_an_environment(tmp_path: Path) -> None:
    couch = Couch(tmp_path / "root")
    couch.program("/usr/bin/python3", "true")
    home = tmp_path / "home"
    step = PythonEnv(
        path="@PREFIX@/env", python="/usr/bin/python3", requirements=(), site_packages="lib/python3.11/site-packages"
    )
    part = Part(
        name="toy", version="1.0", summary="a toy", identity=Identity(os="debian", version="12", arch="x86_64"),
        steps=(step,),
    )  # fmt: skip
    python = facts.Python(path="/usr/bin/python3", version="3.11.2")
    receipt = put(Store(home), receipt_of(Store(home), part=part, facts=host(pythons=(python,))))

    def look(*pythons: facts.Python) -> Any:
        return only("drift.python", exam_of(home, host=couch.host(), facts=host(pythons=pythons)))

    assert look(replace(python, version="3.11.9")).status == "ok"
    assert look().status == "ok"  # nothing is known of the present one
    found = look(replace(python, version="3.13.1"))
    assert found.status == "fail"
    assert "/usr/bin/python3 as Python 3.11.2, which is 3.13.1 now" in found.summary
    assert found.fix.commands == ("devsetup install --rebuild toy",)
    (couch.root / "usr/bin/python3").unlink()
    found = look()
    assert found.status == "fail"
    assert "made of /usr/bin/python3 (Python 3.11.2), which is gone" in found.summary
    environment = Store(home).prefix(receipt.key) / "env"
    environment.mkdir()
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.4\n")
    Store(home).receipts.add(replace(receipt, facts=host()))
    assert "(Python 3.11.4), which is gone" in look().summary


def test_a_recipe_that_plans_something_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    asked = goal("caffe", "debian-12")
    assert asked.plan is not None
    part = asked.plan.parts[-1]
    put(store, receipt_of(store, "caffe", part=part))
    assert check("drift.recipe", exam_of(tmp_path, goals=(asked,))) == ()
    newer = replace(part, summary="another text")
    plan = Plan(facts=asked.plan.facts, parts=(newer,), wanted=(newer.key,))
    found = only("drift.recipe", exam_of(tmp_path, goals=(Goal(name="caffe", plan=plan),)))
    assert found.status == "info"
    assert part.key in found.summary
    assert newer.key in found.summary
    other = replace(newer, options={**part.options, "cuda": "other"})
    plan = Plan(facts=asked.plan.facts, parts=(other,), wanted=(other.key,))
    assert check("drift.recipe", exam_of(tmp_path, goals=(Goal(name="caffe", plan=plan),))) == ()

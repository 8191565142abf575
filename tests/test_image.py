"""Images without an engine: bases, contexts, locks, project files, lists of contents, and what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Hello
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec import structs
from rendering import plan_of, workspace

from devsetup import project
from devsetup.app import imaging
from devsetup.errors import CannotRender, InvalidInput, Refused, UsageError
from devsetup.facts import Facts, OperatingSystem
from devsetup.image import inventory, lock, output, sbom, settings
from devsetup.image.base import base_of
from devsetup.image.engine import Engine, Order
from devsetup.image.layers import Size, explained, rebuilt
from devsetup.plan import Part, Plan
from devsetup.planner import Wish
from devsetup.render.image import Look, image
from devsetup.render.inventory import INVENTORY
from devsetup.runner import Runner
from devsetup.steps import BUILD, PREFIX, Fetch, LocalSource, Run, UrlSource, WriteFile

LOOK = Look(base="debian:12", labels={"org.opencontainers.image.title": 'a "title" of $5'})


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("debian:12", "debian-12"),
        ("debian:bookworm-slim", "debian-12"),
        ("registry.example:5000/mirror/debian:trixie-20250520", "debian-13"),
        ("ubuntu:24.04", "ubuntu-24.04"),
        ("ubuntu:noble", "ubuntu-24.04"),
        ("fedora:42", "fedora-42"),
        ("nvidia/cuda:12.4.1-devel-ubuntu22.04", "ubuntu-22.04+cuda-12.4"),
        ("nvidia/cuda:11.8.0-cudnn8-devel-ubuntu20.04", "ubuntu-20.04+cuda-11.8"),
        ("debootstrap:trixie", "debian-13"),
    ],
)
def test_a_base_tells_the_host_that_stands_for_it(reference: str, host: str, tmp_path: Path) -> None:
    assert base_of(reference).host == host
    assert workspace(tmp_path / "home").facts(host).os.id in ("debian", "ubuntu", "fedora")


def test_a_base_that_tells_nothing_needs_a_host() -> None:
    with pytest.raises(UsageError, match="does not tell which system"):
        base_of("example/thing:1.0")
    assert base_of("example/thing:1.0", "debian-12").host == "debian-12"
    pinned = base_of(f"debian:12@sha256:{'a' * 64}")
    assert pinned.digest == f"sha256:{'a' * 64}"


@pytest.mark.parametrize("reference", ["", "Debian:12", "debian:12 ", "debian:12;ls", "a@sha256:12", "-x", "deb\nian"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="is no reference"):
        base_of(reference)


def test_a_suite_that_cannot_be_made_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        base_of("debootstrap:bookwurm")
    assert caught.value.hint == "did you mean 'bookworm'?"


def test_only_the_old_plain_syntax_is_used(hello: Hello) -> None:
    context = image(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)), "debian-12"), LOOK)
    text = context.containerfile
    words = {each.text.split(maxsplit=1)[0] for each in context.instructions}
    assert words == {"FROM", "ENV", "COPY", "RUN", "USER", "LABEL", "ENTRYPOINT", "CMD"}
    assert "<<" not in text
    assert "--mount" not in text
    assert "--link" not in text
    assert re.findall(r"RUN --\w+", text) == []
    assert text.index("AS build-hello") < text.index("AS image")
    assert r'image.title="a \"title\" of \$5"' in text


def test_patches_and_files_are_in_the_context(hello: Hello) -> None:
    plan = workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)), "debian-12")
    context = image(plan, LOOK)
    patches = [text for name, text in context.files.items() if name.endswith("0001-spelling.patch")]
    assert patches == [(hello.catalogue / "patches/hello/0001-spelling.patch").read_text()]
    assert any(name.endswith("-work.sh") for name in context.files)
    assert json.loads(context.files["plan.json"])["wanted"] == list(plan.wanted)


def test_texts_with_places_are_filled_where_they_are_written() -> None:
    context = image(plan_of(WriteFile(path=f"{BUILD}/x", content=f"at {PREFIX}\n")), LOOK)
    assert not [name for name in context.files if name.startswith("parts/")]
    assert "decode" in context.containerfile


def test_a_mac_and_a_tarball_of_this_machine_are_refused() -> None:
    with pytest.raises(CannotRender, match="macOS"):
        image(plan_of(facts=Facts(os=OperatingSystem(id="macos", version="15"), arch="arm64")), LOOK)
    mine = LocalSource(id="mine", path="/x.tar", sha256="0" * 64)
    with pytest.raises(CannotRender, match="on this machine"):
        image(plan_of(Fetch(name="x", sources=(mine,))), LOOK)


def two_parts() -> tuple[Plan, Part, Part]:
    plan = plan_of(Run(argv=("true",), title="nothing"))
    first, second = (structs.replace(plan.parts[0], name=name) for name in ("first", "second"))
    return structs.replace(plan, parts=(first, second), wanted=(first.key, second.key)), first, second


def test_a_change_in_a_recipe_touches_no_earlier_layer() -> None:
    plan, first, second = two_parts()
    changed = structs.replace(second, steps=(Run(argv=("false",), title="nothing"),))
    before = image(plan, LOOK).instructions
    after = image(structs.replace(plan, parts=(first, changed), wanted=(first.key, changed.key)), LOOK).instructions
    same = [one.text == other.text for one, other in zip(before, after, strict=True)]
    again, kept = rebuilt(image(plan, LOOK), "second")
    assert again + kept == len(before)
    for stage in ("tools", "build-first"):
        assert all(equal for equal, each in zip(same, before, strict=True) if each.stage == stage)
    final = [(equal, each) for equal, each in zip(same, before, strict=True) if each.stage == "image"]
    changes = next(at for at, (equal, _) in enumerate(final) if not equal)
    assert {each.part for _, each in final[changes:]} == {"second", ""}
    assert rebuilt(image(plan, LOOK), "first")[0] > again


def test_sizes_are_told_for_what_made_them() -> None:
    context = image(two_parts()[0], LOOK)
    final = [each for each in context.instructions if each.stage in ("base", "image") and each.text[:5] != "FROM "]
    own = [Size(each.text, at) for at, each in enumerate(final)]
    history = [Size("base", 400), Size("more", 100), *own, Size("COPY", 7), Size("LABEL dev.devsetup.sbom=1", 0)]
    layers = explained(context, tuple(history))
    assert layers[0].size == 500
    assert [layer.size for layer in layers[1:-1]] == list(range(len(final)))
    assert layers[-1].size == 7
    assert [layer.size for layer in explained(context, tuple(own))] == list(range(len(final)))
    assert {layer.size for layer in explained(context, ())} == {0}
    assert sum(layer.size for layer in layers) == sum(entry.size for entry in history)


def test_a_context_is_written_again_without_what_is_no_more(tmp_path: Path) -> None:
    output.write(tmp_path / "out", {"Containerfile": "FROM a\n", "parts/x/one": "1", "enter": "#!/bin/sh\n"})
    (tmp_path / "out/devsetup.lock").write_text("mine")
    output.write(tmp_path / "out", {"Containerfile": "FROM b\n", "parts/y/two": "2"})
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"Containerfile", "parts/y/two", ".devsetup-context", "devsetup.lock"}
    assert not (tmp_path / "out/parts/x").exists()


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match="nothing in it was touched"):
        output.write(tmp_path, {"Containerfile": "FROM a\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_settings_of_this_machine_are_mounted_and_not_copied(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("PEM")
    place = tmp_path / "place"
    place.mkdir()
    environ = {
        "SSL_CERT_FILE": str(certificate),
        "SSL_CERT_DIR": str(tmp_path),
        "https_proxy": "http://it's:8080",
        "HOME": str(tmp_path),
        "AWS_SECRET": "x",
    }
    settings.write(place, environ, jobs=3)
    script = f'. {place}/settings; printf \'%s\\n\' "$https_proxy" "$DEVSETUP_JOBS" "$SSL_CERT_FILE"; env'
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    proxy, jobs, place_in_image, *rest = done.stdout.splitlines()
    assert (proxy, jobs) == ("http://it's:8080", "3")
    assert (place / Path(place_in_image).name).read_text() == "PEM"
    assert not [line for line in rest if line.startswith(("SSL_CERT_DIR", "HOME=", "AWS"))]


# The lock


def locked(plan: Plan, **more: Any) -> lock.Locked:
    return lock.lock_of(plan, **{"digest": "sha256:aa", "host": "debian-12", "created": 5, **more})


def test_a_lock_is_read_back_and_says_what_changed(hello: Hello, tmp_path: Path) -> None:
    here = workspace(hello.home, hello.catalogue)
    before = locked(here.plan(Wish(names=("hello",)), "debian-12"))
    path = tmp_path / "devsetup.lock"
    assert lock.read(path) == lock.Lock()
    lock.write(path, lock.Lock(bases={"debian:12": before}))
    assert lock.read(path).bases["debian:12"] == before
    assert lock.drift(before, before) == ()
    hello.write_source(sha256="0" * 64)
    now = locked(workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)), "debian-12"), digest="sha256:bb")
    assert lock.drift(before, now) == (
        "the base moved from sha256:aa to sha256:bb",
        "hello: source 1.0 has another sha256",
    )
    hello.write_source()
    louder = locked(
        workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",), options={"volume": "loud"}), "debian-12")
    )
    assert "its steps changed" in lock.drift(before, louder)[0]


@pytest.mark.parametrize("text", ["", "{", '{"schema": 2}', '{"base": {}}', '{"bases": {"x": {}}}', "\xff"])
def test_a_broken_lock_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devsetup.lock"
    path.write_text(text, "latin-1")
    with pytest.raises(InvalidInput, match=r"devsetup\.lock"):
        lock.read(path)


def test_every_alternative_of_a_source_is_locked() -> None:
    urls = [UrlSource(id="1.0", url=f"http://example.org/{name}", sha256=name * 64) for name in "ab"]
    plan = plan_of()
    plan = structs.replace(plan, parts=(structs.replace(plan.parts[0], sources=tuple(urls)),))
    assert locked(plan).parts["toy"].sources == {"1.0": ("a" * 64, "b" * 64)}


# The project's file


def test_the_host_of_a_project_holds_for_its_bases_alone(tmp_path: Path) -> None:
    text = '[image]\nbase = "example/thing:1"\non = "debian-12"\nrecipes = ["hello"]\n'
    (tmp_path / "devsetup.toml").write_text(text)

    def on(base: str | None) -> str | None:
        asked = imaging.Asked(names=(), base=base, on=None, options={}, directory=None, name=None)
        return imaging.requests(asked, tmp_path)[0].on

    assert [on(None), on("example/thing:1"), on("ubuntu:24.04")] == ["debian-12", "debian-12", None]


def test_a_project_is_found_from_below_and_not_beyond_its_repository(tmp_path: Path) -> None:
    (tmp_path / "devsetup.toml").write_text('[image]\nbase = "debian:12"\nrecipes = ["hello"]\n')
    below = tmp_path / "repository/src"
    below.mkdir(parents=True)
    assert project.find(below) == tmp_path / "devsetup.toml"
    (tmp_path / "repository/.git").mkdir()
    assert project.find(below) is None
    found = project.read(tmp_path / "devsetup.toml").image
    assert (found.references, found.recipes) == (("debian:12",), ("hello",))
    assert found.name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "image"),
        ("[image]\nrecipes = []\nbase = 'debian:12'", "names no recipes"),
        ("[image]\nrecipes = ['a']", "names no base"),
        ("[image]\nrecipes = ['a']\nbase = 'b'\nbases = ['c']", "both base and bases"),
        ("[image]\nrecipes = ['a']\nbases = ['c', 'c']", "twice"),
        ("[image]\nrecipes = ['a']\nbases = ['c', 'd']\non = 'debian-12'", "different systems"),
        ("[image]\nrecipe = ['a']", "recipe"),
        ("[image]\nrecipes = 'a'", "image.recipes"),
        ("[image", "devsetup.toml"),
        ("\xff", "devsetup.toml"),
    ],
)
def test_a_wrong_project_is_named_with_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "devsetup.toml"
    path.write_text(text, "latin-1")
    with pytest.raises(InvalidInput, match=re.escape(problem)):
        project.read(path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(InvalidInput, match="cannot read"):
        project.read(path)


# What is in an image

SYSTEM = "bash\t5.2-1\tamd64\tbash\t5.2-1\nlibc6:amd64\t2.36-9+deb12u1\tamd64\tglibc\t2.36-9+deb12u1\n"


def test_the_list_of_contents_is_valid_and_the_same_each_time(hello: Hello) -> None:
    plan = workspace(hello.home, hello.catalogue).plan(Wish(names=("hello",)), "debian-12")
    key = plan.parts[0].key
    held = inventory.parse(SYSTEM, f"{key}\tNum_Py\t1.0\n{key}\tNum_Py\t1.0\n")
    described = sbom.Described(name="ci", created=1_700_000_000, base="debian:12", base_digest="sha256:aa")
    data = sbom.bom(held, plan, described)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    assert data == sbom.bom(held, plan, described)
    found = json.loads(data)
    components = {each["bom-ref"]: each for each in found["components"]}
    assert len(components) == 1 + 2 + 1 + 1
    libc = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=glibc%402.36-9%2Bdeb12u1"
    assert components[libc]["name"] == "libc6"
    part = components[key]
    assert part["pedigree"]["ancestors"][0]["hashes"][0]["content"] == plan.parts[0].sources[0].sha256
    (patch,) = part["pedigree"]["patches"]
    assert patch["resolves"][0]["name"] == "0001-spelling.patch"
    assert "volume" in json.dumps(part["properties"])
    edges = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert key in edges["image:ci"]
    assert f"{key}:pkg:pypi/num-py@1.0" in edges[key]
    assert found["metadata"]["timestamp"].startswith("2023-11-14")
    other = sbom.bom(held, plan, structs.replace(described, base_digest="sha256:bb"))
    assert json.loads(other)["serialNumber"] != found["serialNumber"]


def test_lists_that_are_not_understood_are_named() -> None:
    for system, python in (("bash\t5.2\n", ""), ("", "key\tname\n"), ("bash\t\tamd64\tbash\t\n", "")):
        with pytest.raises(InvalidInput, match="not understood"):
            inventory.parse(system, python)


def test_an_image_lists_what_is_really_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = home / "store/thing-1.0-12345678/env"
    subprocess.run([sys.executable, "-m", "venv", env], check=True)
    egg = env / "lib/old.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_bytes(b"Metadata-Version: 1.0\r\nName: old\r\nVersion: 0.1\r\n\r\nName: not this\r\n")
    script = f"home={home}\n{INVENTORY}\ninventory {tmp_path}/list\n"
    subprocess.run(["/bin/sh", "-euc", script], check=True)
    held = inventory.parse(*((tmp_path / "list" / name).read_text() for name in ("system", "python")))
    listed = subprocess.run(
        [env / "bin/python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
    )
    here = {(each["name"], each["version"]) for each in json.loads(listed.stdout)}
    assert {(each.name, each.version) for each in held.python} == {*here, ("old", "0.1")}
    assert {each.key for each in held.python} == {"thing-1.0-12345678"}
    asked = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {each.name for each in held.system} == {line.split()[1] for line in packages if line.startswith("ii")}


# The command


def test_a_context_is_written_without_an_engine(hello: Hello) -> None:
    out = hello.root / "out"
    done = hello.run("image", "hello", "--base", "debian:12", "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["images"]
    assert record["base"] == {"reference": "debian:12", "digest": "", "host": "debian-12"}
    assert record["image"] is None
    assert (out / "Containerfile").read_text().count("FROM ") == 4
    assert json.loads((out / "devsetup.lock").read_text())["bases"]["debian:12"]["plan"] == record["plan"]


def test_a_project_says_what_to_make_and_the_lock_holds_it(hello: Hello, monkeypatch: pytest.MonkeyPatch) -> None:
    here = hello.root / "repository"
    here.mkdir()
    (here / "devsetup.toml").write_text('[image]\nname = "ci"\nbase = "debian:12"\nrecipes = ["hello"]\n')
    monkeypatch.chdir(here)
    unlocked = hello.run("image", "--locked", "-o", "out")
    assert (unlocked.returncode, "says nothing about the base" in unlocked.stderr) == (1, True)
    assert hello.run("image", "-o", "out").returncode == 0
    assert (here / "devsetup.lock").exists()
    assert not (here / "out/devsetup.lock").exists()
    assert hello.run("image", "--locked", "-o", "out").returncode == 0
    hello.gate("true # and more\n")
    drifted = hello.run("image", "--locked", "-o", "out")
    assert drifted.returncode == 1
    assert "hello: its steps changed" in drifted.stderr
    accepted = hello.run("image", "-o", "out")
    assert "changed since the lock was written: hello" in accepted.stdout


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("hello",), 2, "no base is named"),
        ((), 2, "no recipe is named"),
        (("helo", "--base", "debian:12"), 2, "did you mean 'hello'?"),
        (("hello", "--base", "alpine:3"), 2, "does not tell which system"),
        (("hello", "--base", "debian:12", "--name", "Bad Name"), 2, "cannot name an image"),
        (("hello", "--base", "debian:12", "--build", "--engine", "dockr"), 2, "no engine is named"),
        (("hello", "--base", "debian:12", "--locked", "--update"), 2, "choose one of them"),
        (("hello", "--base", "macos-15", "--on", "macos-15"), 1, "a container runs Linux"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    hello: Hello, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], code: int, message: str
) -> None:
    (hello.root / "empty/.git").mkdir(parents=True)
    monkeypatch.chdir(hello.root / "empty")
    done = hello.run("image", *argv, "-o", "out")
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "hint: " in done.stderr
    assert not (hello.root / "empty/out").exists()


def test_without_an_engine_that_is_told(hello: Hello) -> None:
    (hello.root / "bin").mkdir()
    done = hello.run("image", "hello", "--base", "debian:12", "--build", "-o", "x", PATH=str(hello.root / "bin"))
    assert done.returncode == 1
    assert "none of buildah, podman and docker is here" in done.stderr
    assert "apt-get install buildah" in done.stderr


def test_without_mmdebstrap_that_is_told(hello: Hello) -> None:
    (hello.root / "bin").mkdir()
    done = hello.run("image", "hello", "--base", "debootstrap:trixie", "-o", "x", PATH=str(hello.root / "bin"))
    assert done.returncode == 1
    assert "made from packages by mmdebstrap, which is not here" in done.stderr


# What is carried along


def test_sources_and_wheels_for_the_base_are_carried_along(hello: Hello) -> None:
    recipe = hello.catalogue / "recipes/hello.py"
    text = recipe.read_text().replace("    yield Env(", "    yield ENVIRONMENT\n    yield Env(", 1)
    environment = (
        'ENVIRONMENT = PythonEnv(path=f"{PREFIX}/env", python="/usr/bin/python3", requirements=("numpy==2.2.6",), '
        'site_packages="lib/python3.13/site-packages")\n'
    )
    text = text.replace("RECIPE = Recipe(", f"from devsetup.steps import PythonEnv\n\n{environment}\nRECIPE = Recipe(")
    recipe.write_text(text)
    out = hello.root / "out"
    done = hello.run("image", "hello", "--base", "debian:13", "--vendor", "-o", str(out))
    assert done.returncode == 0, done.stderr
    names = [path.name for path in (out / "vendor/hello").rglob("*") if path.is_file()]
    assert "hello-1.0.tar.gz" in names
    (wheel,) = [name for name in names if name.endswith(".whl")]
    assert wheel.startswith("numpy-2.2.6-cp313-cp313-manylinux")
    assert "PIP_NO_INDEX=1" in (out / "Containerfile").read_text()
    recipe.write_text(text.replace("numpy==2.2.6", "numpy==1.0.1"))
    failed = hello.run("image", "hello", "--base", "debian:13", "--vendor", "-o", str(hello.root / "other"))
    assert failed.returncode == 1
    assert "pip could not have the Python packages of hello for debian 13" in failed.stderr
    assert not (hello.root / "other").exists()


@pytest.mark.parametrize(
    ("reference", "flags"),
    [
        ("127.0.0.1:5000/a", ["--tls-verify=false"]),
        ("localhost/a", ["--tls-verify=false"]),
        ("[::1]:5000/a", ["--tls-verify=false"]),
        ("registry.example:5000/a", []),
        ("10.0.0.1:5000/a", []),
        ("debian:12", []),
        ("127.0.0.1.example/a", []),
    ],
)
def test_only_a_registry_on_loopback_needs_no_certificate(reference: str, flags: list[str]) -> None:
    order = Order(context=Path("x"), tag="t", created=0, cache=reference)
    command = Engine("buildah", Runner())._build_command(order)
    assert [word for word in command if word.startswith("--tls")] == flags

"""Debian source packages: real apt on a signed archive made here, and once on the machine's own mirror."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from badserver import redirected, running, served, status

from devsetup.errors import DevsetupError, SourceError
from devsetup.events import Event, Note, Progress
from devsetup.fetch import debian, extract, obtain
from devsetup.runner import Completed, Runner
from devsetup.steps import DebianSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

needs_apt = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("apt-get", "gpg", "gpgv", "gpgconf")),
    reason="needs apt-get and gpg",
)

ORIG = b"the original source, compressed or not\n" * 5000
FILE = "demo_1.0+git1.orig.tar.gz"
DEMO = DebianSource(
    id="1.0+git1",
    package="demo",
    version="1.0+git1",
    suite="oldish",
    file=FILE,
    sha256=hashlib.sha256(ORIG).hexdigest(),
)
CAFFE = DebianSource(
    id="1.0.0+git20180821",
    package="caffe",
    version="1.0.0+git20180821.99bd997",
    suite="bullseye",
    file="caffe_1.0.0+git20180821.99bd997.orig.tar.gz",
    sha256="e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c",
)


class Keys:
    """A signing key of our own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.public = home / "public.gpg"
        home.chmod(0o700)
        self._gpg("--passphrase", "", "--quick-gen-key", "test@example.invalid", "ed25519", "sign", "never")
        self.public.write_bytes(self._gpg("--export"))
        self.public.chmod(0o644)

    def clearsigned(self, text: str) -> bytes:
        return self._gpg("--clearsign", input=text.encode())

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=False, capture_output=True)

    def _gpg(self, *arguments: str, input: bytes = b"") -> bytes:  # noqa: A002 - as subprocess calls it
        command = ["gpg", "--batch", "--quiet", "--no-tty", "--homedir", self._home, *arguments]
        return subprocess.run(command, input=input, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    made = Keys(tmp_path_factory.mktemp("gpg"))
    yield made
    made.close()


class Repository:
    """A small Debian archive on disk, with source packages only."""

    def __init__(self, root: Path, keys: Keys) -> None:
        self.root = root
        self._keys = keys
        self._stanzas: list[str] = []

    def add(self, version: str, files: Mapping[str, bytes], *, package: str = "demo") -> None:
        pool = self.root / "pool" / package / re.sub(r"\W", "_", version)
        pool.mkdir(parents=True)
        dsc = f"Format: 3.0 (quilt)\nSource: {package}\nVersion: {version}\n".encode()
        every = {f"{package}_{version.rpartition(':')[2]}.dsc": dsc, **files}
        rows = {"Files": "md5", "Checksums-Sha256": "sha256"}
        for name, content in every.items():
            (pool / name).write_bytes(content)
        lines = [f"Package: {package}", f"Binary: lib{package}", f"Version: {version}", "Format: 3.0 (quilt)"]
        for field, algorithm in rows.items():
            lines.append(f"{field}:")
            for name, content in every.items():
                lines.append(f" {hashlib.new(algorithm, content).hexdigest()} {len(content)} {name}")
        lines.append(f"Directory: {pool.relative_to(self.root)}\n")
        self._stanzas.append("\n".join(lines))

    def publish(self, suite: str = "oldish") -> None:
        sources = "\n".join(self._stanzas).encode()
        index = self.root / "dists" / suite / "main" / "source" / "Sources"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_bytes(sources)
        too_late, too_early = formatdate(1_600_000_000, usegmt=True), formatdate(4_000_000_000, usegmt=True)
        release = (
            f"Origin: Test\nLabel: Test\nSuite: {suite}\nCodename: {suite}\nDate: {too_early}\n"
            f"Valid-Until: {too_late}\nArchitectures: amd64\nComponents: main\nSHA256:\n"
            f" {hashlib.sha256(sources).hexdigest()} {len(sources)} main/source/Sources\n"
        )
        (index.parents[2] / "InRelease").write_bytes(self._keys.clearsigned(release))


@pytest.fixture
def repository(tmp_path: Path, keys: Keys) -> Repository:
    made = Repository(tmp_path / "archive", keys)
    made.add("1.0+git1-7", {FILE: b"an older upload with another file of this name", "demo_1.0+git1-7.diff.gz": b"7"})
    made.add("3:1.0+git1-8", {FILE: ORIG, "demo_1.0+git1-8.debian.tar.xz": b"8"})
    made.add("2.0-1", {"demo_2.0.orig.tar.gz": b"newer", "demo_2.0-1.debian.tar.xz": b"1"})
    made.publish()
    return made


class Bare:
    """Runs apt for real, on a machine whose indexes are empty, and remembers the commands."""

    def __init__(self, **answers: Completed) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.sources_lists: list[str] = []
        self._answers = answers

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Completed:
        assert timeout_s is not None, "every command is bounded"
        self.commands.append(tuple(argv))
        if cwd is not None:
            self.sources_lists.append((Path(cwd) / "sources.list").read_text())
        if "indextargets" in argv:
            return self._answers.get("indextargets", Completed(tuple(argv), 0, ""))
        if argv[2] in self._answers:
            return self._answers[argv[2]]
        return Runner().capture(argv, cwd=cwd, env=env, timeout_s=timeout_s)


def configured(tmp_path: Path, uri: str, keyring: Path) -> Path:
    """An /etc/apt that names one archive."""
    etc = tmp_path / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "sources.list").write_text(f"deb [arch=amd64 signed-by={keyring}] {uri} newish main contrib # the mirror\n")
    return etc


def apt_state() -> list[tuple[str, int, int]]:
    """Everything that apt keeps on this machine."""
    paths = [path for root in ("/var/lib/apt", "/var/cache/apt") for path in Path(root).rglob("*")]
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_ino) for path in paths)


@pytest.fixture
def final(tmp_path: Path) -> Path:
    place = tmp_path / "downloads" / "place"
    place.mkdir(parents=True)
    return place / FILE


@needs_apt
def test_local_archive(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    capture = Bare()
    etc = configured(tmp_path, f"file:{repository.root}", keys.public)
    debian.download(DEMO, final, capture, configuration=etc)
    assert final.read_bytes() == ORIG
    assert not final.is_symlink()
    assert [entry.name for entry in final.parent.iterdir()] == [FILE]
    assert capture.commands[-1][-1] == "demo=3:1.0+git1-8"
    assert f"signed-by={keys.public}" in capture.sources_lists[0]
    assert capture.sources_lists[0].endswith(f"] file:{repository.root}/ oldish main\n")


@needs_apt
def test_what_the_machine_configures_does_not_matter(
    repository: Repository, keys: Keys, final: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks that delete from the machine's cache, directories elsewhere, and dates that are checked."""
    trap = tmp_path / "trap"
    (trap / "partial").mkdir(parents=True)
    (trap / "more.list").write_text("deb file:/nowhere/at/all newish main\n")
    places = ("State::lists", "Cache::srcpkgcache", "Cache::pkgcache", "Etc::sourceparts")
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    lines = ['Dir::Etc::parts "/dev/null";']
    lines += [f'Dir::{place} "{trap}{"/file" if place.endswith("pkgcache") else ""}";' for place in places]
    lines += [f'APT::Update::{hook} {{ "touch {trap}/hooked"; }};' for hook in hooks]
    lines += ['Acquire::Check-Valid-Until "true";', 'Acquire::Check-Date "true";']
    (tmp_path / "machine.conf").write_text("\n".join(lines))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))
    debian.download(DEMO, final, Bare(), configuration=configured(tmp_path, f"file:{repository.root}", keys.public))
    assert final.read_bytes() == ORIG
    assert {path.name for path in trap.rglob("*")} == {"partial", "more.list"}


@needs_apt
def test_dead_mirror(keys: Keys, final: Path, tmp_path: Path) -> None:
    """To apt this is a mere warning."""
    etc = configured(tmp_path, "http://127.0.0.1:9/debian", keys.public)
    with pytest.raises(SourceError, match=r"^apt-get update: .*127\.0\.0\.1"):
        debian.download(DEMO, final, Bare(), configuration=etc)


@needs_apt
def test_over_http(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    with running() as server:
        for path in repository.root.rglob("*"):
            if path.is_file():
                url = f"/debian/{path.relative_to(repository.root)}"
                server.on(url, served(path.read_bytes()))
                server.on(url.replace("+", "%2b"), served(path.read_bytes()))
        etc = configured(tmp_path, server.url("/debian"), keys.public)
        debian.download(DEMO, final, Bare(), configuration=etc)
    assert final.read_bytes() == ORIG


@needs_apt
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "9.9"}, "has no demo_1.0+git1.orig.tar.gz of demo 9.9 (it has 1.0+git1-7, 3:1.0+git1-8, 2.0-1)"),
        ({"file": "demo.zip"}, "oldish has no demo.zip of demo"),
        ({"sha256": "0" * 64}, "has another sha256 in oldish: expected 0000"),
        ({"package": "libdemo"}, "oldish has no source package libdemo"),
        ({"package": "nothing"}, "oldish has no source package nothing"),
        ({"suite": "nowhere"}, "apt-get update: "),
    ],
)
def test_what_the_archive_does_not_have(
    repository: Repository, keys: Keys, final: Path, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    etc = configured(tmp_path, f"file:{repository.root}", keys.public)
    with pytest.raises(SourceError) as caught:
        debian.download(msgspec.structs.replace(DEMO, **change), final, Bare(), configuration=etc)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert list(final.parent.iterdir()) == []


@needs_apt
def test_unsigned_and_tampered_archives(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    etc = configured(tmp_path, f"file:{repository.root}", keys.public)
    signed = repository.root / "dists" / "oldish" / "InRelease"
    good = signed.read_bytes()
    for bad in (good.replace(b"Origin: Test", b"Origin: Evil"), good.split(b"-----BEGIN PGP SIGNATURE")[0]):
        signed.write_bytes(bad)
        with pytest.raises(SourceError, match="apt-get update: "):
            debian.download(DEMO, final, Bare(), configuration=etc)
    (tmp_path / "other.gpg").write_bytes(b"")
    signed.write_bytes(good)
    unknown = configured(tmp_path, f"file:{repository.root}", tmp_path / "other.gpg")
    with pytest.raises(SourceError, match="apt-get update: "):
        debian.download(DEMO, final, Bare(), configuration=unknown)
    assert list(final.parent.iterdir()) == []


@needs_apt
def test_tampered_file(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    for path in repository.root.rglob(FILE):
        path.write_bytes(ORIG[:-1] + b"!")
    with pytest.raises(SourceError, match="apt-get source: "):
        debian.download(DEMO, final, Bare(), configuration=configured(tmp_path, f"file:{repository.root}", keys.public))
    assert list(final.parent.iterdir()) == []


@needs_apt
def test_a_second_archive_is_tried(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    etc = configured(tmp_path, "file:/nowhere", keys.public)
    (etc / "sources.list.d").mkdir()
    (etc / "sources.list.d" / "mirror.sources").write_text(
        f"Types: deb\nURIs: file:{repository.root}\nSuites: newish newish-updates\nComponents: main\n"
        f"Signed-By: {keys.public}\n"
    )
    debian.download(DEMO, final, Bare(), configuration=etc)
    assert final.read_bytes() == ORIG


@needs_apt
def test_server_errors_name_no_credentials(keys: Keys, final: Path, tmp_path: Path) -> None:
    with running() as server:
        for name in ("InRelease", "Release"):
            server.on(f"/dists/oldish/{name}", status(403))
        uri = server.url("").replace("//", "//user:secret@")
        with pytest.raises(SourceError, match="apt-get update: ") as caught:
            debian.download(DEMO, final, Bare(), configuration=configured(tmp_path, uri, keys.public))
    assert "secret" not in caught.value.message
    assert "403" in caught.value.message


@needs_apt
def test_mirror_that_redirects(repository: Repository, keys: Keys, final: Path, tmp_path: Path) -> None:
    with running() as server:
        for path in repository.root.rglob("*"):
            if path.is_file():
                url = f"/{path.relative_to(repository.root)}"
                server.on(f"/real{url}".replace("+", "%2b"), served(path.read_bytes()))
                server.on(url.replace("+", "%2b"), redirected(f"/real{url}".replace("+", "%2b")))
        debian.download(DEMO, final, Bare(), configuration=configured(tmp_path, server.url(""), keys.public))
    assert final.read_bytes() == ORIG


def test_no_apt(final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(final.parent))
    with pytest.raises(SourceError, match=r"^no apt-get on this machine$"):
        debian.download(DEMO, final, Bare())


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH on which there is an apt-get; it is never run."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/false\n")
    (tmp_path / "bin" / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.usefixtures("fake_apt")
def test_no_debian_archive(final: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="name no Debian archive"):
        debian.download(DEMO, final, Bare(), configuration=tmp_path / "none")


@pytest.mark.usefixtures("fake_apt")
def test_time_runs_out(final: Path, tmp_path: Path) -> None:
    capture = Bare(update=Completed((), 124, "", "E: something"))
    with pytest.raises(SourceError, match=r"^apt-get update: took longer than 300 s$"):
        debian.download(DEMO, final, capture, configuration=configured(tmp_path, "file:/nowhere", tmp_path / "k"))


@pytest.mark.usefixtures("fake_apt")
def test_runner_has_no_such_program(final: Path, tmp_path: Path) -> None:
    def capture(*_: object, **__: object) -> Completed:
        raise DevsetupError("apt-cache was not found")

    with pytest.raises(SourceError, match="apt-cache was not found"):
        debian.download(DEMO, final, capture, configuration=tmp_path)


@pytest.mark.usefixtures("fake_apt")
def test_a_place_that_apt_cannot_be_told(tmp_path: Path) -> None:
    place = tmp_path / 'a"b'
    place.mkdir()
    with pytest.raises(SourceError, match="holds a quote"):
        debian.download(DEMO, place / FILE, Bare(), configuration=configured(tmp_path, "file:/x", tmp_path / "k"))


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("1.0.0+git20180821.99bd997-8", "1.0.0+git20180821.99bd997"),
        ("3:1.0-rc1-2+deb11u1", "1.0-rc1"),
        ("1.0", "1.0"),
        ("0:2", "2"),
    ],
)
def test_upstream_version(version: str, upstream: str) -> None:
    assert debian.upstream_version(version) == upstream


def test_the_whole_debian_version_may_be_named() -> None:
    stanza = "Package: demo\nVersion: 2.0-{n}\nChecksums-Sha256:\n {n}a 5 f.gz\n\n"
    listing = stanza.format(n=1) + stanza.format(n=2) + stanza.format(n=3)
    source = msgspec.structs.replace(DEMO, version="2.0-2", file="f.gz")
    assert debian.choose(source, listing).version == "2.0-2"


@pytest.mark.real
@needs_apt
def test_caffe_from_the_machines_own_mirror(tmp_path: Path) -> None:
    before = apt_state()
    events: list[Event] = []
    obtained = obtain("caffe", (CAFFE,), tmp_path / "downloads", Runner().capture, events.append)
    assert apt_state() == before
    assert hashlib.sha256(Path(obtained.path).read_bytes()).hexdigest() == CAFFE.sha256
    assert events == [
        Progress(CAFFE.file, 0, 0),
        Note("caffe: using 1.0.0+git20180821 from the Debian source package caffe"),
    ]
    extract(Path(obtained.path), tmp_path / "tree", strip=0)
    assert (tmp_path / "tree" / "Makefile").is_file()
    assert [path.name for path in Path(obtained.path).parent.iterdir()] == [CAFFE.file]

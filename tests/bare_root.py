"""A bare Debian 12 in which failures happen and their remedies, package manager and all, are really carried out.

Each test works on a layer of its own over the same root, so that nothing which another one installed is there.
"""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian_root import Pristine, Root
from failing import Taken, causes

# The last mount shares what apt fetched, which its own settings in a bare root would remove.
MOUNTS = """set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --bind /proc "$2/root/proc"; mount --rbind /dev "$2/root/dev"
mount --bind "$3" "$2/root/var/cache/apt/archives"
root=$2/root; shift 3; exec chroot "$root" /usr/bin/env -C /root/work "$@"
"""
# apt's own flushing to disk costs more than the packages; a test's root is thrown away anyway.
SETTINGS = {
    "etc/dpkg/dpkg.cfg.d/fast": "force-unsafe-io\n",
    "etc/hosts": f"127.0.0.1 localhost {platform.node()}\n",  # without which sudo complains
    "etc/apt/apt.conf.d/zz-kept": 'Binary::apt-get::APT::Keep-Downloaded-Packages "true";\nDPkg::Post-Invoke {};\n',
}


@dataclass(frozen=True)
class Layer:
    """What was changed on top of a root: `path/upper`, over `lower`, the root's own directory last."""

    path: Path
    lower: tuple[Path, ...]
    archives: Path
    env: dict[str, str]

    def __post_init__(self) -> None:
        for name in ("upper/root/work", "work", "root"):
            (self.path / name).mkdir(parents=True)

    def on_top(self, path: Path) -> Layer:
        return Layer(path, (self.path / "upper", *self.lower), self.archives, self.env)

    def write(self, name: str, text: str) -> None:
        """A file, by its name in the directory where scripts run."""
        path = self.path / "upper/root/work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, script: str, *, user: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a script in the root, both streams in one."""
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
        lower = ":".join(map(str, self.lower))
        mounts = ("unshare", "--mount", "sh", "-c", MOUNTS, "sh", lower, str(self.path), str(self.archives))
        return subprocess.run(
            (*mounts, *become, "bash", "-c", script),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )

    def works(self, script: str) -> str:
        done = self.run(script)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout


ALL = Taken()  # every command of the first remedy


@dataclass(frozen=True)
class Failure:
    """What fails, and which commands of the remedy end it.

    Attributes:
        id: of the symptom that is told first.
        script: fails, and succeeds after the remedy.
        taken: commands of the remedy; none for one that says in words what `then` does.
        before: makes the failure possible.
        files: names and texts.
        root: in which of a module's roots.
        mounts: what is mounted for each of the scripts.
        then: the user's part: what the remedy's words say beyond its commands.
        user: as which the failing script runs.
    """

    id: str
    script: str
    taken: Taken | None = ALL
    before: str = ""
    files: tuple[tuple[str, str], ...] = ()
    root: str = "bare"
    then: str = ""
    user: int = 0
    mounts: str = ":"

    def __str__(self) -> str:
        return self.id


def ended(failure: Failure, here: Layer, *, setting: str = "set -e\n") -> None:
    """It really fails, is told first, and ends with the remedy; every script begins with the setting."""
    for name, text in failure.files:
        here.write(name, text)
    if failure.before:
        here.works(setting + failure.before)
    failed = here.run(f"{setting}{failure.mounts}\n{failure.script}", user=failure.user)
    assert failed.returncode != 0, failed.stdout
    found = causes(failed.stdout)
    assert [each.id for each in found[:1]] == [failure.id], failed.stdout
    taken = failure.taken.script(found[0]) if failure.taken else ""
    assert taken or (found[0].treatments and failure.then), "nothing is done about it"
    here.works("\n".join((f"{setting}{failure.mounts}", taken, failure.then, failure.script)))


def bare_debian(place: Path, pristine: Pristine) -> Layer:
    """A root with python3, sudo and apt's lists, and no compiler."""
    made = Root(place / "base", "bookworm")
    made.make(pristine)
    for name, text in SETTINGS.items():
        (made.path / name).write_text(text)
    (made.path / "etc/apt/apt.conf.d/docker-clean").unlink(missing_ok=True)
    archives = place / "archives"
    (archives / "partial").mkdir(parents=True)
    env = {**made.env, "LC_ALL": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "DEBIAN_FRONTEND": "noninteractive"}
    layer = Layer(place / "bare", (made.path,), archives, env)
    layer.works("apt-get update -qq && apt-get install -y -qq --no-install-recommends sudo")
    return layer

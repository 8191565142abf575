"""Facts: a frozen, JSON-able description of a machine.

Facts are *probed* from this machine (`probe`) or *declared* in a file (`hosts/*.json`). This module knows nothing of
either: it is the vocabulary. Facts are always an argument, never ambient, so that a plan for macOS 10.10 can be made
on Debian.
"""

from __future__ import annotations

import msgspec

from devsetup.errors import InvalidInput


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class OperatingSystem(_Fact, frozen=True, kw_only=True):
    """Which operating system: `id` as in os-release (`debian`, `ubuntu`, `fedora`) or `macos`."""

    id: str
    version: str
    codename: str = ""
    name: str = ""
    like: tuple[str, ...] = ()


class Libc(_Fact, frozen=True, kw_only=True):
    """The C library: `glibc`, `musl` or `libSystem`, and its version."""

    family: str
    version: str


class Compiler(_Fact, frozen=True, kw_only=True):
    """A compiler driver that can be run: `name` is the command (`g++`), `family` is `gcc`, `clang` or `nvcc`."""

    name: str
    family: str
    version: str
    path: str


class Python(_Fact, frozen=True, kw_only=True):
    """A usable interpreter.

    Attributes:
        system: it belongs to the distribution (or is macOS's own), so system libraries such as Boost.Python fit it.
        headers: Python.h is installed.
        venv: `-m venv` with pip works (ensurepip is present).
        managed: it carries an EXTERNALLY-MANAGED marker (PEP 668).
    """

    path: str
    version: str
    system: bool = False
    headers: bool = False
    venv: bool = False
    managed: bool = False


class Cuda(_Fact, frozen=True, kw_only=True):
    """A CUDA toolkit candidate: where, which version, who named it, whether it wins, and why or why not.

    Attributes:
        nvcc: path of its compiler; empty when it has none.
        libdir: directory of its runtime library (`lib64`, `lib`, `targets/x86_64-linux/lib`); empty when not found.
        lacks: which of libcudart.so, libcublas.so and libcurand.so cannot be linked to. Partial toolkits are common:
            NVIDIA packages each library by itself, and its wheels have no unversioned names.
    """

    path: str
    version: str
    origin: str
    chosen: bool = False
    why: str = ""
    nvcc: str = ""
    libdir: str = ""
    lacks: tuple[str, ...] = ()


class Gpu(_Fact, frozen=True, kw_only=True):
    """An NVIDIA GPU.

    Attributes:
        address: of the PCI device (`0000:01:00.0`); empty where only the driver named it.
        name: as the driver calls it; empty without a driver.
        capability: compute capability (`9.0`); empty without a driver.
    """

    address: str = ""
    name: str = ""
    capability: str = ""


class Driver(_Fact, frozen=True, kw_only=True):
    """NVIDIA's driver.

    Attributes:
        module: version of the loaded kernel module (`570.124.06`); empty when none is loaded.
        library: version of the user-space library, as its file is named; empty when there is none, or under WSL.
        cuda: the newest CUDA that it speaks (`13.0`), as libcuda says in a child process; empty without an answer.
        problem: why it does not answer: what cuInit said.
    """

    module: str = ""
    library: str = ""
    cuda: str = ""
    problem: str = ""


class Blas(_Fact, frozen=True, kw_only=True):
    """A BLAS that is installed: `openblas`, `atlas`, `mkl`, `accelerate`, `veclib`, `reference`."""

    name: str
    path: str
    version: str = ""


class Library(_Fact, frozen=True, kw_only=True):
    """A system library, by the logical name of `hosts/libraries.toml`.

    Attributes:
        version: upstream's version, without the distribution's suffixes.
        installed: present now; otherwise it is the version that the package manager is expected to install.
    """

    version: str
    installed: bool = False


class Apple(_Fact, frozen=True, kw_only=True):
    """macOS only: version of the Command Line Tools (empty when absent) and the SDK path that `xcrun` gives."""

    clt: str = ""
    sdk: str = ""


class Facts(_Fact, frozen=True, kw_only=True):
    """Everything that recipes may know about a machine.

    Attributes:
        arch: as `uname -m` prints it (`x86_64`, `aarch64`, `arm64`).
        package_manager: `apt`, `dnf`, `brew`, `pacman`, or empty.
        libraries: logical library name to version.
        memory_mb: physical memory, or the cgroup's limit when lower; 0 when unknown.
        cores: processors this process may use; 0 when unknown.
        notes: what a probe could not find out, and why. Never fatal.
    """

    schema: int = 1
    os: OperatingSystem
    arch: str
    libc: Libc | None = None
    package_manager: str = ""
    compilers: tuple[Compiler, ...] = ()
    pythons: tuple[Python, ...] = ()
    cuda: tuple[Cuda, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    blas: tuple[Blas, ...] = ()
    libraries: dict[str, Library] = {}
    apple: Apple | None = None
    memory_mb: int = 0
    cores: int = 0
    notes: tuple[str, ...] = ()

    @property
    def multiarch(self) -> str:
        """Debian's multiarch triple for this architecture (`x86_64-linux-gnu`)."""
        cpu = {"arm64": "aarch64", "amd64": "x86_64", "i686": "i386"}.get(self.arch, self.arch)
        return f"{cpu}-linux-gnu"

    def library(self, name: str) -> str:
        """The version of a library, installed or expected; empty when nothing is known."""
        found = self.libraries.get(name)
        return found.version if found else ""

    @property
    def toolkit(self) -> str:
        """The version of the CUDA toolkit that wins; empty when there is none."""
        return next((candidate.version for candidate in self.cuda if candidate.chosen), "")

    def compiler(self, name: str) -> str:
        """The version of a compiler by command name; empty when it is not installed."""
        return next((c.version for c in self.compilers if c.name == name), "")


def to_json(facts: Facts, *, indent: int = 2) -> str:
    """Facts as JSON text that `from_json` reads back to an equal value."""
    return msgspec.json.format(msgspec.json.encode(facts, order="deterministic"), indent=indent).decode() + "\n"


def from_json(text: str | bytes, origin: str) -> Facts:
    """Read declared facts.

    Args:
        text: JSON as `to_json` writes it. The `{"schema": 1, "facts": {...}}` envelope of `devsetup facts --json` is
            accepted too, so that its output is a valid declared host.
        origin: where the text came from, for messages.

    Raises:
        InvalidInput: it is not JSON, a field is missing, unknown or of the wrong type.
    """
    try:
        data = msgspec.json.decode(text)
        if isinstance(data, dict) and "facts" in data:
            data = data["facts"]
        return msgspec.convert(data, Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{origin} is not a valid host description: {error}",
            "see `devsetup facts --json` for a complete example",
        ) from error

"""Which CUDA toolkits there are, which of them wins, and who would take another one."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from devsetup.doctor.checks.gpu.common import wsl as is_wsl
from devsetup.doctor.finding import Evidence, Finding, Fix, Status
from devsetup.doctor.loading import inside, machine_loader
from devsetup.doctor.remedies import concerning
from devsetup.settings import settings_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devsetup.doctor.exam import Exam
    from devsetup.facts import Cuda

_LINK = "/usr/local/cuda"
_ALTERNATIVE = "/etc/alternatives/cuda"
_VARIABLES = ("CUDAToolkit_ROOT", "CUDA_HOME", "CUDA_PATH")
_NVCC = "nvcc on PATH"
# One toolkit under three names: Debian's package has its parts all over /usr.
_DEBIAN = ("/usr", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit")
_PLACES = (
    *("--cuda DIR and `cuda` in config.toml", *_VARIABLES, _NVCC, _LINK, "/usr/local/cuda-X.Y", "/opt/cuda"),
    *("the distribution's package", "CONDA_PREFIX", "NVIDIA's wheels in site-packages"),
)
# Who takes what, first hit first: CMake 4.4's FindCUDAToolkit (after CUDACXX), PyTorch's cpp_extension.
_CMAKE = ("CUDAToolkit_ROOT", _NVCC, "CUDA_PATH", _LINK)
_PYTORCH = ("CUDA_HOME", "CUDA_PATH", _NVCC, _LINK)
_INSTALL = Fix(
    text="`devsetup install cuda` makes one of NVIDIA's wheels, without root", commands=("devsetup install cuda",)
)
_WSL_LIBRARY = "/usr/lib/wsl/lib"


def find(exam: Exam) -> Iterator[Finding]:
    """Which toolkit wins, and why; none matters where something asks for one, or where there is a GPU."""
    facts = exam.facts
    chosen = _chosen(exam)
    own = any(part.name == "cuda" for part in exam.wanted)
    lacking = chosen.lacks if chosen else ()
    if chosen and lacking and exam.cuda_wanted and not own:
        yield Finding(
            status="fail",
            summary=f"{_title(chosen)} has no {', '.join(lacking)} to link to{concerning(exam.cuda_wanted)}",
            evidence=(Evidence(source=chosen.origin, value=chosen.why),),
            fix=Fix(
                text="install the rest of that toolkit; or have a whole one made of NVIDIA's wheels, for recipes with "
                "the option toolkit: --option toolkit=own"
            ),
        )
    elif chosen:
        runs = facts.driver is not None
        yield Finding(
            status="ok" if runs else "info",
            summary=_title(chosen)
            + ("" if runs else ": it compiles; nothing runs on a GPU here, for there is no NVIDIA driver"),
            detail=(
                *((f"it has no {', '.join(lacking)} to link to",) if lacking else ()),
                *(f"{_title(other)}: {other.why}" for other in facts.cuda if not other.chosen),
            ),
            evidence=(Evidence(source=chosen.origin, value=chosen.why),),
        )
    elif own:
        yield Finding(status="ok", summary="no CUDA toolkit, and what was asked for brings its own")
    elif facts.cuda or facts.gpus or facts.driver or exam.cuda_wanted:
        partial = tuple(f"{candidate.path}: {candidate.why}" for candidate in facts.cuda)
        yield Finding(
            status="fail" if exam.cuda_wanted else "info",
            summary=("no CUDA toolkit with an nvcc" if partial else "no CUDA toolkit") + concerning(exam.cuda_wanted),
            detail=(*partial, *(f"looked at: {place}" for place in _PLACES if exam.cuda_wanted)),
            evidence=tuple(
                Evidence(source=name, value=exam.host.environ.get(name, "not set"))
                for name in (*_VARIABLES, "CONDA_PREFIX")
            ),
            fix=_INSTALL,
        )


def _title(toolkit: Cuda) -> str:
    return f"CUDA {toolkit.version or 'of unknown version'} in {toolkit.path}"


def multi(exam: Exam) -> Iterator[Finding]:
    """Whether everybody means the same toolkit: variables, nvcc on PATH, /usr/local/cuda."""
    named = _named(exam)
    toolkits = {candidate.path: candidate for candidate in exam.facts.cuda}
    means = {name: root for name, root in named.items() if root in toolkits}
    roots = set(means.values())
    if len(roots) < 2:  # noqa: PLR2004 - two are needed to disagree
        return
    chosen = _chosen(exam)
    takes = {
        "CMake": _first(_CMAKE, means),
        "PyTorch": _first(_PYTORCH, means),
        "devsetup": chosen.path if chosen else "",
    }
    taken = {root for root in takes.values() if root}
    asked_for = chosen is not None and chosen.origin not in (*_VARIABLES, _NVCC, _LINK)
    line = f'cuda = "{takes["devsetup"] or next(iter(means.values()))}"'
    yield Finding(
        status="warn" if exam.cuda_wanted and not asked_for else "info",
        summary=f"{len(roots)} CUDA toolkits are named, and "
        + ("tools take different ones" if len(taken) > 1 else f"all tools take {', '.join(taken)}")
        + concerning(exam.cuda_wanted),
        detail=(
            *(f"{name}: {_described(root, toolkits)}" for name, root in named.items()),
            *(f"{tool} takes {_described(root, toolkits)}" for tool, root in takes.items() if root),
        ),
        evidence=tuple(Evidence(source=name, value=root) for name, root in named.items()),
        fix=None
        if asked_for
        else Fix(
            text=f"choose one for devsetup: put the line  {line}  at the top of {settings_path(exam.host.environ)}; "
            "for other tools, set CUDAToolkit_ROOT, CUDA_HOME and CUDACXX to the same toolkit"
        ),
    )


def _named(exam: Exam) -> dict[str, str]:
    """The root that each name leads to. Names that lead nowhere keep what was written."""
    host = exam.host
    named = {name: _root(exam, value) for name in _VARIABLES if (value := host.environ.get(name))}
    if nvcc := host.which("nvcc"):
        named[_NVCC] = _root_of(exam, nvcc)
    if host.exists(_LINK):
        named[_LINK] = _root(exam, _LINK)
    return named


def _root(exam: Exam, path: str) -> str:
    root = exam.host.resolve(path)
    candidates = [candidate.path for candidate in exam.facts.cuda]
    return next((name for name in candidates if root in _DEBIAN and name in _DEBIAN), root)


def _root_of(exam: Exam, nvcc: str) -> str:
    """The toolkit behind the nvcc of PATH: the probe has asked wrapper scripts where it is."""
    for candidate in exam.facts.cuda:
        if candidate.origin == _NVCC:
            return candidate.path
    return _root(exam, posixpath.dirname(posixpath.dirname(exam.host.resolve(nvcc))))


def _first(order: tuple[str, ...], means: Mapping[str, str]) -> str:
    return next((means[name] for name in order if name in means), "")


def _described(root: str, toolkits: Mapping[str, Cuda]) -> str:
    found = toolkits.get(root)
    return f"{root} (CUDA {found.version or 'of unknown version'})" if found else f"{root} (no toolkit)"


def dangling(exam: Exam) -> Iterator[Finding]:
    """Whether /usr/local/cuda and the variables lead to a toolkit."""
    host = exam.host
    roots = {candidate.path for candidate in exam.facts.cuda}
    status = _stake(exam)
    if (target := host.link(_LINK)) and _root(exam, _LINK) not in roots:
        gone = not host.exists(_LINK)
        yield Finding(
            status=status,
            summary=f"{_LINK} is a link to {target}, "
            + ("which does not exist" if gone else "which holds no toolkit: neither include/cuda.h nor bin/nvcc")
            + f"; tools that look there find nothing{concerning(exam.cuda_wanted)}",
            evidence=(Evidence(source=_LINK, value=target),),
            fix=_relink(exam),
        )
    for name in _VARIABLES:
        value = host.environ.get(name)
        if value and _root(exam, value) not in roots:
            yield Finding(
                status=status,
                summary=f"{name}={value} holds no CUDA toolkit, and tools that go by it stop or take another one"
                + concerning(exam.cuda_wanted),
                evidence=(Evidence(source=name, value=value),),
                fix=Fix(
                    text="set it to a toolkit, or take it out of your shell's start files", commands=(f"unset {name}",)
                ),
            )


def _relink(exam: Exam) -> Fix:
    beside = sorted(
        (candidate.path for candidate in exam.facts.cuda if candidate.path.startswith(f"{_LINK}-")),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path)],
    )
    if not beside:
        return Fix(text="remove it", commands=(f"sudo rm {_LINK}",), needs_root=True)
    newest = beside[-1]
    by_alternatives = exam.host.link(_LINK) == _ALTERNATIVE
    command = f"update-alternatives --set cuda {newest}" if by_alternatives else f"ln -sfn {newest} {_LINK}"
    return Fix(text=f"let it lead to {newest}", commands=(f"sudo {command}",), needs_root=True)


def stub(exam: Exam) -> Iterator[Finding]:
    """Whether a stub of libcuda, or one for forward compatibility, comes before the driver's own."""
    entries = [
        ("LD_LIBRARY_PATH", part) for part in re.split("[:;]", exam.host.environ.get("LD_LIBRARY_PATH", "")) if part
    ]
    entries += [("ld.so.conf", inside(exam.host, part)) for part in machine_loader(exam.host).configured]
    for source, directory in dict.fromkeys(entries):
        libraries = [name for name in exam.host.names(directory) if name.startswith("libcuda.so")]
        if not libraries:
            continue
        if "stubs" in directory.split("/"):
            shadows = "libcuda.so.1" in libraries
            yield Finding(
                status="warn" if shadows else "info",
                summary=f"{source} names {directory}, which is for linking alone: "
                + (
                    "its libcuda.so.1 hides the driver's, and every CUDA program fails with error 34"
                    if shadows
                    else "a program that was linked to it by its plain name gets a libcuda that does nothing"
                ),
                evidence=(Evidence(source=source, value=directory),),
                fix=_without(source, directory),
            )
        elif "compat" in directory.split("/") and exam.facts.driver and exam.facts.driver.problem:
            yield Finding(
                status="warn",
                summary=f"{source} names {directory}: its libcuda is for forward compatibility, which data-centre GPUs "
                f"alone have, and the driver does not answer ({exam.facts.driver.problem})",
                evidence=(Evidence(source=source, value=directory),),
                fix=_without(source, directory),
            )


def _without(source: str, directory: str) -> Fix:
    if source == "LD_LIBRARY_PATH":
        return Fix(text=f"take {directory} out of LD_LIBRARY_PATH, in your shell's start files too")
    return Fix(
        text=f"take {directory} out of the file that names it, then run ldconfig",
        commands=(f"grep -rn {directory} /etc/ld.so.conf /etc/ld.so.conf.d", "sudo ldconfig"),
        needs_root=True,
    )


def wsl(exam: Exam) -> Iterator[Finding]:
    """Under Windows' subsystem: whether Windows' driver is seen, and none was installed inside."""
    if not is_wsl(exam):
        return
    if not exam.host.exists(f"{_WSL_LIBRARY}/libcuda.so.1"):
        yield Finding(
            status="fail" if exam.cuda_wanted else "info",
            summary=f"WSL, and there is no {_WSL_LIBRARY}/libcuda.so.1: Windows has no NVIDIA driver for WSL"
            + concerning(exam.cuda_wanted),
            fix=Fix(text="install NVIDIA's driver in Windows, none in here, then run `wsl --shutdown` in PowerShell"),
        )
        return
    for directory in (f"/usr/lib/{exam.facts.multiarch}", "/usr/lib64"):
        path = f"{directory}/libcuda.so.1"
        if exam.host.exists(path) and not exam.host.resolve(path).startswith(f"{_WSL_LIBRARY}/"):
            yield Finding(
                status="fail" if exam.cuda_wanted else "warn",
                summary=f"{path} is of a Linux driver, which cannot work under WSL and hides Windows' in "
                f"{_WSL_LIBRARY}{concerning(exam.cuda_wanted)}",
                evidence=(Evidence(source=path, value=exam.host.resolve(path)),),
                fix=Fix(text="remove the package that owns it", commands=_removal(exam, path), needs_root=True),
            )
            return
    if _WSL_LIBRARY not in (inside(exam.host, part) for part in machine_loader(exam.host).configured):
        yield Finding(
            status="warn" if exam.cuda_wanted else "info",
            summary=f"the loader does not look into {_WSL_LIBRARY}, where Windows' libcuda.so.1 is"
            + concerning(exam.cuda_wanted),
            fix=Fix(
                text="WSL writes /etc/ld.so.conf.d/ld.wsl.conf when it starts, unless /etc/wsl.conf has "
                "`ldconfig = false`: take that out, then run `wsl --shutdown` in PowerShell"
            ),
        )


def _removal(exam: Exam, path: str) -> tuple[str, ...]:
    if exam.facts.package_manager == "apt":
        return (f'sudo apt-get remove "$(dpkg -S {path} | cut -d: -f1)"',)
    return (f'sudo dnf remove "$(rpm -qf {path})"',) if exam.facts.package_manager == "dnf" else ()


def _chosen(exam: Exam) -> Cuda | None:
    return next((candidate for candidate in exam.facts.cuda if candidate.chosen), None)


def _stake(exam: Exam) -> Status:
    """How bad it is when tools find no toolkit where they look: devsetup goes by its own choice."""
    return "warn" if exam.cuda_wanted else "info"

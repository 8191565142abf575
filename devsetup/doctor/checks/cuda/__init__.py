"""CUDA toolkits: which there are, whether they fit driver and GPU, and whether programs find their libraries."""

from __future__ import annotations

from devsetup.doctor.checks.cuda import discovery, fitness, libraries
from devsetup.doctor.finding import Check

_READING_S = 20.0  # an install on CUDA has hundreds of megabytes of ELF files to look through

CHECKS: tuple[Check, ...] = (
    Check(id="cuda.find", about="a CUDA toolkit, and which one wins", run=discovery.find),
    Check(id="cuda.multi", about="several toolkits, and tools that take different ones", run=discovery.multi),
    Check(id="cuda.dangling", about="names of a toolkit that lead nowhere", run=discovery.dangling),
    Check(
        id="cuda.loader",
        about="CUDA libraries where the loader does not look",
        run=libraries.loading,
        only="linux",
        timeout_s=_READING_S,
    ),
    Check(
        id="cuda.soname",
        about="installs linked to CUDA libraries of another version",
        run=libraries.soname,
        only="linux",
        timeout_s=_READING_S,
    ),
    Check(
        id="cuda.mixed-runtime",
        about="two CUDA runtimes in one program",
        run=libraries.mixed,
        only="linux",
        timeout_s=_READING_S,
    ),
    Check(id="cuda.driver-too-old", about="a driver too old for a toolkit", run=fitness.driver_too_old, only="linux"),
    Check(id="cuda.arch", about="GPUs that a toolkit does not compile for", run=fitness.arch),
    Check(id="cuda.cudnn", about="cuDNN", run=fitness.cudnn),
    Check(id="cuda.wsl", about="Windows' driver under WSL", run=discovery.wsl, only="linux"),
    Check(id="cuda.stub", about="a libcuda that hides the driver's", run=discovery.stub, only="linux"),
)

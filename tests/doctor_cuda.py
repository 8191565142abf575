"""What the tests of CUDA's checks share: toolkits, and machines that have one by declaration."""

from __future__ import annotations

import msgspec
from doctoring import Couch, check

from devsetup.doctor import Exam, Goal, Result
from devsetup.facts import Cuda, Driver, Facts, Gpu

WANTED = Goal(name="caffe", refusal="there is no CUDA toolkit")
WELL = Driver(module="570.124.06", library="570.124.06", cuda="12.8")


def toolkit(couch: Couch, root: str, version: str) -> None:
    major, minor = version.split(".")
    couch.write(f"{root}/include/cuda.h", f"#define CUDA_VERSION {major}0{minor}0\n")
    couch.program(f"{root}/bin/nvcc", f"echo 'Cuda compilation tools, release {version}, V{version}.131'")
    for name in ("libcudart.so", f"libcudart.so.{major}", "libcublas.so", "libcurand.so"):
        couch.write(f"{root}/lib64/{name}")


def silent(name: str, exam: Exam) -> bool:
    return check(name, exam) == ()


def fix_of(result: Result) -> tuple[str, tuple[str, ...]]:
    assert result.fix
    return result.fix.text, result.fix.commands


def having(couch: Couch, cuda: str = "", driver: Driver | None = None, *gpus: Gpu) -> Facts:
    found = Cuda(path=f"/usr/local/cuda-{cuda}", version=cuda, origin="/usr/local/cuda", chosen=True)
    return msgspec.structs.replace(couch.facts(), cuda=(found,) if cuda else (), driver=driver, gpus=gpus)

"""The installation note's example, with its numbers checked: an elementwise kernel on the GPU.

Without a GPU, libgpuarray must say that for the right reason (no driver, or a driver without device), and the same
kernels run on the processor, by OpenCL. With `--opencl off` only what needs no device is checked then.

    python example.py --out DIR [--opencl cpu|off]

Writes DIR/result.json and exits 0 when every number is right.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pygpu
from pygpu import blas, elemwise, gpuarray, reduction
from pygpu.dtypes import dtype_to_ctype, upcast

BAR = 1e-5
ELEMENTS = 1_000_003
# What libgpuarray says where there is no driver, or one without a device that it may use. Anything else is a fault.
NO_GPU = re.compile(r'Could not load "libcuda\.so(\.1)?"|CUDA_ERROR_(NO_DEVICE|STUB_LIBRARY)')
NO_TOOLKIT = re.compile(r'Could not load "lib(nvrtc|cublas)\.so"')
OPENCL = "opencl0:0"


class Wrong(Exception):
    """A number or a message that a working install would not give."""


def init(device: str) -> tuple[gpuarray.GpuContext | None, str]:
    """A context on a device, or libgpuarray's words for why there is none."""
    try:
        return pygpu.init(device), ""
    except gpuarray.GpuArrayException as error:
        said = error.args[0] if error.args else ""
        return None, said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def devices(opencl: str) -> tuple[gpuarray.GpuContext | None, gpuarray.GpuContext | None, str]:
    """The GPU, what to compute on, and libgpuarray's words for why there is no GPU.

    Raises:
        Wrong: there is a GPU, or at least a driver, and it cannot be used; or OpenCL is wanted and has no device.
    """
    gpu, said = init("cuda")
    if gpu is None and not NO_GPU.search(said):
        hint = "; install with --option toolkit=own" if NO_TOOLKIT.search(said) else ""
        raise Wrong(f"the GPU cannot be used, and not for want of one: {said}{hint}")
    if gpu or opencl == "off":
        return gpu, gpu, said
    processor, unsaid = init(OPENCL)
    if processor is None:
        raise Wrong(f"OpenCL has no device {OPENCL}: {unsaid}")
    return None, processor, said


def far(what: str, got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest relative difference of a result.

    Raises:
        Wrong: it is over the bar, or there is none.
    """
    worst = float(np.max(np.abs(got - wanted) / np.maximum(np.abs(wanted), 1)))
    if not worst <= BAR:
        raise Wrong(f"{what}: off by {worst:.3g}, allowed are {BAR:g}")
    return worst


def compute(context: gpuarray.GpuContext, *, factor: float = 1.0) -> float:
    """An elementwise kernel, a reduction, and copies there and back; on CUDA a matrix product too.

    Returns:
        The largest relative error.
    """
    rng = np.random.default_rng(4)
    a, b = (rng.random(ELEMENTS, dtype="float32") for _ in range(2))
    there_a, there_b = (pygpu.array(each, context=context) for each in (a, b))
    result = pygpu.empty(a.shape, dtype="float32", context=context)
    arguments = [
        elemwise.arg("a", "float32", read=True),
        elemwise.arg("b", "float32", read=True),
        elemwise.arg("c", "float32", write=True),
    ]
    elemwise.GpuElemwise(context, "c = a + b * a", arguments)(there_a, there_b, result)
    errors = [far("elementwise", np.asarray(result), factor * (a + b * a))]
    square = a[: 1000 * 900].reshape(1000, 900)
    total = reduction.reduce1(pygpu.array(square, context=context), "+", "0", np.dtype("float32"), axis=[0])
    errors.append(far("reduction", np.asarray(total), square.sum(axis=0, dtype="float64")))
    errors.append(far("copy", np.asarray(pygpu.array(square, context=context).T), square.T))
    if context.kind == b"cuda":
        left, right = (pygpu.array(each, context=context) for each in (square[:, :300], square[:300, :200]))
        product = square[:, :300] @ square[:300, :200]
        errors.append(far("matrix product", np.asarray(blas.gemm(1, left, right, 0)), product))
    return max(errors)


def without_device() -> None:
    """What needs no device: the library's version, its numbers for types, and C's names for them."""
    names = ("bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64", "complex64")
    if gpuarray.abi_version()[0] < 1 or len({gpuarray.dtype_to_typecode(name) for name in names}) != len(names):
        raise Wrong("two types have one number, or the library has no version")
    if dtype_to_ctype("float32") != "ga_float" or upcast("float32", "int32") != np.dtype("float64"):
        raise Wrong("C types or upcasting are wrong")


def main() -> int:
    """Find a device, compute, judge, and write down what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opencl", choices=("cpu", "off"), default="cpu")
    parser.add_argument("--wrong", action="store_true", help="expect wrong numbers, to show that this can fail")
    args = parser.parse_args()
    try:
        gpu, context, said = devices(args.opencl)
        without_device()
        error = None if context is None else compute(context, factor=1.1 if args.wrong else 1.0)
    except Wrong as wrong:
        print(f"failed: {wrong}", file=sys.stderr)
        return 1
    where = "no device" if context is None else context.devname
    seen: dict[str, object] = {"pygpu": pygpu.__version__, "numpy": np.__version__, "gpu": None, "bar": BAR}
    seen |= {"ran_on": where, "max_error": error}
    seen |= {"why_no_gpu": said} if gpu is None else {"gpu": gpu.devname}
    (args.out / "result.json").write_text(json.dumps(seen, indent=1) + "\n", "utf-8")
    note = f"no GPU ({said}); " if gpu is None else ""
    print(f"{note}computed on {where}" + ("" if error is None else f", largest relative error {error:.1e}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

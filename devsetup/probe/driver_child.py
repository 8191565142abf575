"""What libcuda says of itself and of its GPUs. A program of its own, never imported.

`gpu` starts it as `python -I -S driver_child.py LIBCUDA`, because a broken driver crashes or hangs whoever loads it. It
answers with one JSON object on standard output: `version` and `code` as cuDriverGetVersion and cuInit gave them,
`devices`, and `problem` when the file could not be loaded or is no libcuda.
"""

from __future__ import annotations

import ctypes
import json
import sys

_TEXT_BYTES = 256
# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
_MAJOR, _MINOR = 75, 76


def _ask(path: str) -> dict[str, object]:
    library = ctypes.CDLL(path)
    code = library.cuInit(0)
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    count = ctypes.c_int()
    if code == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    devices = [_device(library, number) for number in range(count.value)]
    return {"version": version.value, "code": code, "devices": devices}


def _device(library: ctypes.CDLL, number: int) -> dict[str, str]:
    device = ctypes.c_int()
    library.cuDeviceGet(ctypes.byref(device), number)
    name, address = (ctypes.create_string_buffer(_TEXT_BYTES) for _ in range(2))
    library.cuDeviceGetName(name, _TEXT_BYTES, device)
    library.cuDeviceGetPCIBusId(address, _TEXT_BYTES, device)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return {
        "name": name.value.decode("utf-8", "replace"),
        "address": address.value.decode("ascii", "replace").lower(),
        "capability": f"{numbers[0]}.{numbers[1]}",
    }


if __name__ == "__main__":
    try:
        answer = _ask(sys.argv[1])
    except (OSError, AttributeError) as error:  # it cannot be loaded, or lacks a function
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer))

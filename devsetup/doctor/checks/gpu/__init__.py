"""NVIDIA's GPUs, their driver, and the device files through which programs reach them."""

from __future__ import annotations

from devsetup.doctor.checks.gpu import devices, driver
from devsetup.doctor.finding import Check

CHECKS: tuple[Check, ...] = (
    Check(id="gpu.present", about="NVIDIA GPUs", run=driver.present),
    Check(id="gpu.nouveau", about="GPUs held by the kernel's own driver", run=driver.nouveau, only="linux"),
    Check(
        id="gpu.driver", about="NVIDIA's driver: module and library, and both answer", run=driver.driver, only="linux"
    ),
    Check(id="gpu.driver-skew", about="kernel module and libcuda of different versions", run=driver.skew, only="linux"),
    Check(id="gpu.dev-nodes", about="the driver's device files", run=devices.nodes, only="linux"),
    Check(id="gpu.dev-perms", about="your permission to use the device files", run=devices.permissions, only="linux"),
    Check(id="gpu.nvrtc-env", about="the NVRTC that libgpuarray looks for", run=driver.nvrtc, only="linux"),
)

"""The toolchain: compilers that work, the tools around them, and nvcc's taste in host compilers."""

from __future__ import annotations

from devsetup.doctor.checks.toolchain import compilers, nvcc, tools
from devsetup.doctor.finding import Check

# More than the compilers need by themselves: each process is stopped on its own before that.
_COMPILING_S = 30.0

CHECKS: tuple[Check, ...] = (
    Check(
        id="tc.compiler",
        about="a C and a C++ compiler that compile, link and make programs that run",
        run=compilers.c_and_cxx,
        timeout_s=_COMPILING_S,
    ),
    Check(
        id="tc.cxxstd",
        about="the C++ standards that recipes compile with",
        run=compilers.standards,
        timeout_s=_COMPILING_S,
    ),
    Check(
        id="tc.fortran", about="a Fortran compiler, where one is needed", run=compilers.fortran, timeout_s=_COMPILING_S
    ),
    Check(id="tc.make-cmake", about="make and CMake, of versions that recipes can use", run=tools.make_and_cmake),
    Check(id="tc.pkgconfig", about="pkg-config, and whether it looks where the libraries are", run=tools.pkg_config),
    Check(id="tc.env-flags", about="variables that steer compilers", run=tools.variables),
    Check(id="tc.gcc-nvcc", about="a g++ that the CUDA toolkit's nvcc accepts", run=nvcc.host_compiler),
)

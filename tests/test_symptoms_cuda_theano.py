"""Symptoms of CUDA, Theano, libraries and s3cmd: failures really produced, and cured as the remedy says.

What needs a GPU, a toolkit or an old package is played by a small C library of the same name, so that the words are
those of the real compiler, linker and loader.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from devsetup.amendment import Amendment
from devsetup.diagnosis import Cause, Matcher, diagnose
from devsetup.diagnosis.verdict import Machine
from devsetup.loader import Loader, default_root
from devsetup.planner import Wish, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER = Loader(default_root({}))
OURS = ("cuda", "theano", "libraries", "s3cmd")
EMPTY_MAIN = "int main(void) { return 0; }\n"
ANSWER = "int answer(void) { return 0; }\n"
ASK = "int answer(void);\nint main(void) { return answer(); }\n"


@functools.cache
def matcher() -> Matcher:
    return Matcher(LOADER.symptoms())


def causes(log: str, host: str = "debian-12") -> tuple[Cause, ...]:
    machine = Machine(replace(LOADER.host(host), arch=platform.machine()), LOADER.libraries())
    return diagnose((log.encode(),), matcher(), machine).causes


class Bench:
    """A directory to compile and run in, with nothing of the user's environment."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, script: str, **variables: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=self.root,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.root), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def works(self, script: str, **variables: str) -> None:
        status, output = self.run(script, **variables)
        assert status == 0, output

    def fails(self, script: str, symptom: str, **variables: str) -> Cause:
        """Run what must fail, and be explained by one cause and no other."""
        status, output = self.run(script, **variables)
        assert status != 0, output
        found = causes(output)
        assert [each.id for each in found] == [symptom], output
        return found[0]

    def library(self, place: str, soname: str, *, name: str = "", code: str = ANSWER) -> None:
        """A shared library, and with `name` the plain name to link with."""
        self.write(f"{place}/code.c", code)
        self.works(f"gcc -shared -fPIC {place}/code.c -Wl,-soname,{soname} -o {place}/{soname}")
        if name:
            (self.root / place / name).symlink_to(soname)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- pygpu against libgpuarray, by hand: three things that are not where they are looked for


def test_gpuarray_is_told_where_its_parts_are(bench: Bench) -> None:
    """With a header, a linker and a release that the distribution's own libgpuarray, if it is here, does not answer."""
    bench.library("opt/lib", "libgpuarray.so.9", name="libgpuarray.so")
    bench.write("opt/include/gpuarray/parts.h", "int answer(void);\n")
    bench.write("pygpu.c", "#include <gpuarray/parts.h>\nint ask(void) { return answer(); }\n")
    load = f"'{sys.executable}' -c \"import ctypes; ctypes.CDLL('./pygpu.so', mode=2)\""
    build = "gcc -c -fPIC pygpu.c && ld -nostdlib -shared pygpu.o -lgpuarray -o pygpu.so"
    header = bench.fails(build, "gpuarray-header")
    (export,) = [line for line in header.treatments[0].commands if line.startswith("export ")]
    here = export.replace("/usr/local", str(bench.root / "opt"))  # the variables that the remedy names, for this place
    bench.fails(f"{here}; {build}", "gpuarray-link")
    bench.works(f"{here}; {build} -L opt/lib")
    bench.fails(load, "gpuarray-load")
    bench.works(f"{here}; {build} -L opt/lib -rpath '$ORIGIN/opt/lib'; {load}")


# --- CUDA


@pytest.mark.parametrize("soname", ["libcudart.so.4.0", "libcublas.so.4.0", "libnvrtc.so.4"])
def test_a_runtime_of_another_toolkit_is_found_again_by_its_directory(bench: Bench, soname: str) -> None:
    bench.library("cuda/lib64", soname)
    bench.write("a.c", ASK)
    bench.works(f"gcc a.c cuda/lib64/{soname} -o a")
    found = bench.fails("./a", "cuda-runtime-library")
    assert soname in found.title
    bench.works("./a", LD_LIBRARY_PATH="cuda/lib64")


def test_a_library_of_the_toolkit_to_link_with(bench: Bench) -> None:
    bench.library("cuda/lib64", "libcusolver.so.4", name="libcusolver.so")
    bench.write("a.c", ASK)
    found = bench.fails("gcc a.c -lcusolver -o a", "cuda-link")
    (export,) = [line for line in found.treatments[0].commands if line.startswith("export ")]
    bench.works(f"{export.replace('/usr/local/cuda', 'cuda')}; gcc a.c -lcusolver -o a")


def test_the_driver_s_stub_is_enough_to_link_with(bench: Bench) -> None:
    bench.library("cuda/lib64/stubs", "libnvidia-ml.so.1", name="libnvidia-ml.so")
    bench.write("a.c", ASK)
    found = bench.fails("gcc a.c -lnvidia-ml -o a", "cuda-driver-link")
    bench.works(f"{found.treatments[0].commands[0].replace('/usr/local/cuda', 'cuda')}; gcc a.c -lnvidia-ml -o a")


def test_a_header_of_the_toolkit(bench: Bench) -> None:
    bench.write("cuda/include/cusolverDn.h", "")
    bench.write("a.c", f"#include <cusolverDn.h>\n{EMPTY_MAIN}")
    found = bench.fails("gcc -c a.c", "cuda-header")
    assert "cusolverDn.h" in found.title
    (export,) = [line for line in found.treatments[0].commands if line.startswith("export ")]
    bench.works(f"{export.replace('/usr/local/cuda', 'cuda')}; gcc -c a.c")


def test_nvcc_by_shell_and_make(bench: Bench) -> None:
    bench.write("Makefile", "all:\n\tnvcc a.cu\n")
    bench.write("bin/nvcc", "#!/bin/sh\nexit 0\n").chmod(0o755)
    bare = {"PATH": "/nowhere"}
    make = next(place for place in ("/usr/bin/make", "/bin/make") if Path(place).exists())
    bench.fails("nvcc a.cu", "cuda-nvcc-missing", **bare)
    found = bench.fails(make, "cuda-nvcc-missing", **bare)
    (path,) = [line for line in found.treatments[0].commands if "PATH=" in line]
    bench.works(f"{path.replace('/usr/local/cuda', '.')}; {make}", **bare)


def test_cudnn_is_no_part_of_the_toolkit(bench: Bench) -> None:
    bench.write("a.c", f"#include <cudnn.h>\n{EMPTY_MAIN}")
    bench.fails("gcc -c a.c", "cudnn-missing")


def test_a_compiler_that_nvcc_refuses_is_named_once(bench: Bench) -> None:
    """The message of the toolkit's own header, as gcc prints it: with the line of the source below."""
    refused = "#error -- unsupported GNU version! gcc versions later than 4 are not supported!\n"
    bench.write("cuda/include/crt/host_config.h", f"#if __GNUC__ > 4\n{refused}#endif\n")
    bench.write("a.c", "#include <crt/host_config.h>\n")
    found = bench.fails("gcc -Icuda/include -c a.c", "cuda-host-compiler")
    assert found.count == 2  # the error and the line of the source under it
    assert "g++-4" in "".join(found.treatments[0].commands)


def test_an_older_nvjitlink_in_front_of_the_wheel_s(bench: Bench) -> None:
    for place, names in (("wheel", ("12_1", "12_4")), ("system", ("12_1",))):
        code = "".join(f"int __nvJitLinkComplete_{each}(void) {{ return 0; }}\n" for each in names)
        bench.write(f"{place}/code.c", code)
        bench.write(f"{place}/map", "libnvJitLink.so.12 { global: *; };\n")
        soname = "libnvJitLink.so.12"
        flags = f"-Wl,-soname,{soname} -Wl,--version-script={place}/map"
        bench.works(f"gcc -shared -fPIC {place}/code.c {flags} -o {place}/{soname}")
    bench.write("sparse.c", "int __nvJitLinkComplete_12_4(void);\nint f(void) { return __nvJitLinkComplete_12_4(); }\n")
    bench.works("gcc -shared -fPIC sparse.c wheel/libnvJitLink.so.12 -Wl,-rpath,'$ORIGIN/wheel' -o libcusparse.so.12")
    load = f"'{sys.executable}' -c \"import ctypes; ctypes.CDLL('./libcusparse.so.12', mode=2)\""
    found = bench.fails(load, "torch-nvjitlink", LD_LIBRARY_PATH="system")
    bench.works(f"{found.treatments[0].commands[0]}; {load}", LD_LIBRARY_PATH="system")


@pytest.mark.parametrize(
    "script",
    [
        "sh -c 'kill -s ILL $$'; exit 1",
        "'{python}' -X faulthandler -c 'import os; os.kill(os.getpid(), 4)' 2>&1 | cat; exit 1",
        '\'{python}\' -c \'import subprocess as s; s.run(["sh", "-c", "kill -s ILL $$"], check=True)\'',
    ],
)
def test_an_illegal_instruction(bench: Bench, script: str) -> None:
    bench.fails(f"ulimit -c 0; {script.replace('{python}', sys.executable)}", "cpu-illegal-instruction")


# --- Theano

PYGPU = """ERROR (theano.gpuarray): Could not initialize pygpu, support disabled
Traceback (most recent call last):
  File "theano/gpuarray/__init__.py", line 227, in <module>
    use(config.device)
  File "theano/gpuarray/__init__.py", line 214, in use
    init_dev(device, preallocate=preallocate)
  File "theano/gpuarray/__init__.py", line 95, in init_dev
    context = pygpu.init(
  File "pygpu/gpuarray.pyx", line 658, in pygpu.gpuarray.init
  File "pygpu/gpuarray.pyx", line 587, in pygpu.gpuarray.pygpu_init
pygpu.gpuarray.GpuArrayException: {why}
"""


@pytest.mark.parametrize(
    ("why", "symptom"),
    [
        (
            """b'Could not load "libcuda.so": libcuda.so: cannot open shared object file: No such""",
            "theano-pygpu-driver",
        ),
        ("""b'Could not load "libnvrtc.so": libnvrtc.so: cannot open""", "theano-pygpu-loading-library"),
        ("Unknown device error: -1", "theano-pygpu-unknown-device"),
        ("cublasCreate: (cublas) Library not initialized.", "theano-pygpu-cublas-init"),
        ("something that nobody knows", "theano-pygpu-init"),
    ],
)
def test_the_last_line_of_theano_s_traceback_decides(why: str, symptom: str) -> None:
    assert [each.id for each in causes(PYGPU.format(why=why))] == [symptom]


def test_a_static_libpython_that_cannot_be_linked(bench: Bench) -> None:
    """Compiled without -fPIC, as Python is by itself; with it, as --enable-shared does, the same link works."""
    bench.write("obj.c", "static int none = 1;\nint *Py_None(void) { return &none; }\n")
    bench.write("mod.c", "int *Py_None(void);\nint *f(void) { return Py_None(); }\n")
    make = "gcc -c {flags} obj.c -o obj.o && rm -f libpython3.11.a && ar rc libpython3.11.a obj.o"
    link = "gcc -shared -fPIC mod.c libpython3.11.a -o mod.so"
    bench.works(make.format(flags="-mcmodel=medium -fno-pic -fno-pie"))
    bench.fails(link, "theano-libpython-fpic")
    bench.works(f"{make.format(flags='-fPIC')} && {link}")


# --- libraries

COMPARATOR = "namespace leveldb { struct Comparator { virtual ~Comparator(); virtual int Compare() const = 0; }; }\n"


def test_leveldb_without_type_information(bench: Bench) -> None:
    bench.write("comparator.h", COMPARATOR)
    bench.write("db.cc", '#include "comparator.h"\nleveldb::Comparator::~Comparator() = default;\n')
    mine = "struct Mine : leveldb::Comparator { int Compare() const override { return 0; } };\n"
    bench.write("use.cc", f'#include "comparator.h"\n{mine}int main() {{ return Mine().Compare(); }}\n')
    bench.works("g++ -fno-rtti -shared -fPIC db.cc -o libleveldb.so")
    bench.fails("g++ use.cc -L. -lleveldb -o use", "leveldb-rtti")
    module = "g++ {flags} -shared -fPIC use.cc -L. -lleveldb -Wl,-rpath,'$ORIGIN' -o _plyvel.so"
    load = f"'{sys.executable}' -c \"import ctypes; ctypes.CDLL('./_plyvel.so', mode=2)\""
    bench.works(module.format(flags=""))
    found = bench.fails(load, "leveldb-rtti")
    (flags,) = {word for line in found.treatments[0].commands for word in line.split() if "rtti" in word}
    bench.works(f"{module.format(flags=flags.removeprefix('CXXFLAGS='))} && {load}")


def test_bsddb_left_python(bench: Bench) -> None:
    found = bench.fails(f"'{sys.executable}' -c 'import bsddb'", "bsddb-module-missing")
    assert any("libdb5.3-dev" in line for line in found.treatments[0].commands)


@pytest.mark.parametrize(
    ("host", "packages"),
    [("debian-12", "libglib2.0-0"), ("debian-13", "libglib2.0-0t64"), ("fedora-42", "mesa-libGL")],
)
def test_cv2_s_libraries_are_named_as_the_machine_names_them(host: str, packages: str) -> None:
    log = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory\n"
    (found,) = causes(log, host)
    installs = [line for each in found.treatments for line in each.commands if line.startswith("sudo ")]
    assert any(packages in line.split() for line in installs)


# --- TLS


GET = """import socket, ssl, sys
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
ssl.create_default_context().wrap_socket(raw, server_hostname="h")
"""


@contextlib.contextmanager
def alerting(description: int) -> Iterator[int]:
    """The port of a server that answers a hello with a TLS alert, as one that offers only old encryption does."""

    def answer() -> None:
        peer, _ = listening.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(bytes((21, 3, 1, 0, 2, 2, description)))
            peer.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize("description", [40, 70])  # handshake_failure, protocol_version
def test_a_server_with_old_encryption(bench: Bench, description: int) -> None:
    bench.write("get.py", GET)
    with alerting(description) as port:
        bench.fails(f"'{sys.executable}' get.py {port}", "s3cmd-tls-handshake")


def test_a_certificate_that_nobody_checks(bench: Bench) -> None:
    half = "import ssl; c = ssl.create_default_context(); {name}c.verify_mode = ssl.CERT_NONE"
    bench.fails(f"'{sys.executable}' -c '{half.format(name='')}'", "s3cmd-check-hostname")
    bench.works(f"'{sys.executable}' -c '{half.format(name='c.check_hostname = False; ')}'")


def test_a_removed_function_of_ssl(bench: Bench) -> None:
    script = "import ssl; del ssl.match_hostname; ssl.match_hostname" if hasattr(ssl, "match_hostname") else ""
    bench.fails(f"'{sys.executable}' -c '{script or 'import ssl; ssl.match_hostname'}'", "py312-ssl-wrap-socket")


# --- what must stay silent, and what changes a plan

HARMLESS = """checking for cuda_runtime.h... no
checking for cuInit in -lcuda... no
-- Could NOT find CUDA (missing: CUDA_TOOLKIT_ROOT_DIR CUDA_NVCC_EXECUTABLE)
-- Looking for a CUDA compiler - NOTFOUND
nvcc warning : The 'compute_35', 'sm_35' architectures are deprecated, and may be removed in a future release
W tensorflow/stream_executor/platform/default/dso_loader.cc:64] Could not load dynamic library 'libcudart.so.11.0'; \
dlerror: libcudart.so.11.0: cannot open shared object file: No such file or directory
I tensorflow/stream_executor/cuda/cudart_stub.cc:29] Ignore above cudart dlerror if you do not have a GPU set up.
I external/local_tsl/tsl/cuda/cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
E tensorflow/compiler/xla/stream_executor/cuda/cuda_driver.cc:268] failed call to cuInit: CUDA_ERROR_NO_DEVICE: \
no CUDA-capable device is detected
WARNING (theano.tensor.blas): Using NumPy C-API based implementation for BLAS functions.
Can not use cuDNN on context None: Disabled by dnn.enabled flag
DeprecationWarning: `np.bool` is a deprecated alias for the builtin `bool`.
g++ -c error.cpp -Werror -fno-rtti -o error.o -I/usr/local/cuda/include -lcudart
Detected Berkeley DB version 5.3 from db.h
DEBUG: Disabling SSL certificate hostname checking
0 failed, 12 passed
"""


def test_successful_logs_have_none_of_these() -> None:
    assert causes(HARMLESS) == ()


def _actions() -> list[tuple[str, Amendment]]:
    found = [each for each in LOADER.symptoms() if each.stack in OURS]
    return [(each.id, remedy.action) for each in found for remedy in each.remedies if remedy.action]


@pytest.mark.parametrize(("name", "action"), _actions())
def test_every_action_changes_a_plan(name: str, action: Amendment) -> None:
    facts, catalogue = LOADER.host("debian-12"), LOADER.catalogue()
    plain = make_plan(Wish(names=("caffe",)), facts, catalogue)
    changed = make_plan(Wish(names=("caffe",), amendments={"caffe": (action,)}), facts, catalogue)
    assert changed.digest != plain.digest, name

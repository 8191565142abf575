"""Caffe's remedies in a bare Debian 12 with the packages that Caffe needs, built with its Makefile cut down."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare_root import Failure, Layer, Taken, ended
from test_symptoms_caffe import MAKEFILE

pytestmark = [pytest.mark.chroot, pytest.mark.xdist_group("remedies")]

HDF5 = '#include "hdf5.h"\n#include "hdf5_hl.h"\nint main() { return H5open() < 0; }\n'
OPENCV = "#include <opencv2/core/core.hpp>\nint main() { return cv::Mat().rows; }\n"
CONSTANTS = """#include <opencv2/core/core.hpp>
#include <opencv2/imgcodecs.hpp>
int main(int, char** names) { return cv::imread(names[0], CV_LOAD_IMAGE_COLOR).rows; }
"""
IMREAD = """#include <opencv2/core/core.hpp>
namespace cv { Mat imread(const String& filename, int flags); }
int main() { return cv::imread("none", 1).rows; }
"""
PROTOBUF = """#include <google/protobuf/io/coded_stream.h>
const int kProtoReadBytesLimit = 1 << 30;
void f(google::protobuf::io::CodedInputStream* coded_input) {
  coded_input->SetTotalBytesLimit(kProtoReadBytesLimit, 536870912);
}
"""
BOOST = "#include <boost/python.hpp>\nint main() { return boost::python::object().ptr() == nullptr; }\n"
NUMPY = "#include <Python.h>\n#include <numpy/arrayobject.h>\n"
FILES = (
    ("Makefile", MAKEFILE),
    ("Makefile.config", "INCLUDE_DIRS := /usr/include/opencv4\n"),
    ("src/caffe/util/hdf5.cpp", HDF5),
    ("src/caffe/util/io.cpp", OPENCV),
    ("python/caffe/_caffe.cpp", NUMPY),
)
PLAIN = (("Makefile.config", ""),)
HDF5_FOUND = (("Makefile.config", "INCLUDE_DIRS := /usr/include/hdf5/serial\n"),)
BUILD_HDF5 = "make run FILE=src/caffe/util/hdf5.cpp WANTED='hdf5_hl hdf5'"
BUILD_IO = "mkdir -p tools examples; make compile FILE=src/caffe/util/io.cpp"
SDOT = 'extern "C" {\n#include <cblas.h>\n}\nint main() { return cblas_sdot(0, 0, 0, 0, 0) != 0; }\n'
# glog's function of the message, and who calls it: the one string ABI and the other.
GLOG = "#include <string>\nnamespace google::base { struct CheckOpMessageBuilder { std::string* NewString(); }; }\n"
GLOG_CALL = f"{GLOG}int main() {{ return google::base::CheckOpMessageBuilder().NewString() == nullptr; }}\n"
GLOG_MADE = f"{GLOG}std::string* google::base::CheckOpMessageBuilder::NewString() {{ return new std::string; }}\n"
BOOST_CONFIG = """PYTHON_LIBRARIES := boost_python3
LDFLAGS += -shared
INCLUDE_DIRS := $(shell python3-config --includes | sed 's/-I//g')
"""
FAILURES = (
    Failure("caffe-hdf5-header", BUILD_HDF5, files=PLAIN, root="building"),
    Failure("caffe-hdf5-header", BUILD_HDF5, Taken(remedy=1), files=PLAIN),
    Failure("caffe-hdf5-link", BUILD_HDF5, files=HDF5_FOUND),
    Failure("caffe-hdf5-link", BUILD_HDF5, Taken(remedy=1), files=HDF5_FOUND),
    Failure(
        "caffe-hdf5-link",
        "make run FILE=src/caffe/util/hdf5.cpp",
        Taken(remedy=2),
        files=(*HDF5_FOUND, ("Makefile", MAKEFILE.replace("$(WANTED)\n", "hdf5_hl hdf5\n", 1))),
    ),
    Failure("caffe-opencv-missing-any", BUILD_IO, files=PLAIN, root="building"),
    Failure("caffe-opencv-missing-any", BUILD_IO, Taken(remedy=1), files=PLAIN),
    Failure("caffe-opencv4-constants", BUILD_IO, files=(("src/caffe/util/io.cpp", CONSTANTS),)),
    Failure("caffe-opencv3-imgcodecs", "make run FILE=a.cpp WANTED=opencv_core", files=(("a.cpp", IMREAD),)),
    Failure("caffe-protobuf-totalbyteslimit", BUILD_IO, files=(("src/caffe/util/io.cpp", PROTOBUF),)),
    Failure("caffe-pyconfig-header", "make compile FILE=a.cpp", files=(("a.cpp", BOOST),)),
    Failure(
        "caffe-boost-python3-lib",
        "make link FILE=a.cpp WITH_BOOST=1",
        files=(
            ("a.cpp", BOOST),
            ("Makefile.config", BOOST_CONFIG),
        ),
    ),
    Failure(
        "caffe-libpython",
        'set -- ${NAMED:-python3.5m .}; make link FILE=a.cpp WANTED="$1" LIBRARY_DIRS="$2"',
        files=(("a.cpp", "int main() {}\n"),),
        then='NAMED=$(python3 -c \'import sysconfig as s; print("python" + s.get_config_var("LDVERSION"),'
        ' s.get_config_var("LIBDIR"))\')',
    ),
    Failure(
        "caffe-numpy-header",
        "CPATH=$(echo /usr/include/python3.*) make compile FILE=python/caffe/_caffe.cpp",
    ),
    Failure(
        "caffe-cblas-atlas-link",
        "CPATH=$(echo /usr/include/*/openblas-pthread) make run FILE=a.cpp WITH_BLAS=1",
        before="mkdir -p /usr/include/none/openblas-pthread; printf 'extern float cblas_sdot(int, const float*, int,"
        " const float*, int);' > /usr/include/none/openblas-pthread/cblas.h",
        files=(("a.cpp", SDOT.replace("(0, 0, 0, 0, 0)", "(0, nullptr, 1, nullptr, 1)")),),
    ),
    Failure("caffe-cblas-header", "make run FILE=src/caffe/a.cpp", files=(("src/caffe/a.cpp", SDOT),)),
    Failure(
        "caffe-glog-abi",
        "make link FILE=a.cpp WANTED=glog LIBRARY_DIRS=.",
        Taken(remedy=1),
        before="g++ -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=0 -shared -fPIC made.cpp -o libglog.so",
        files=(("a.cpp", GLOG_CALL), ("made.cpp", GLOG_MADE)),
    ),
    Failure(
        "hdf5-version-mismatch",
        "CPATH=/usr/include/hdf5/serial LIBRARY_PATH=$(echo /usr/lib/*/hdf5/serial) gcc a.c -lhdf5 -o a && ./a",
        None,
        files=(("a.c", "#include <hdf5.h>\nint main(void) { return H5check_version(1, 8, 16) < 0; }\n"),),
        then="sed -i 's/H5check_version(1, 8, 16)/H5check()/' a.c",
    ),
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory, bare: Layer) -> dict[str, Layer]:
    place = tmp_path_factory.mktemp("roots")
    building = bare.on_top(place / "building")
    building.works("apt-get install -y -qq --no-install-recommends g++ make")
    caffe = building.on_top(place / "caffe")
    caffe.works(
        "apt-get install -y -qq --no-install-recommends libhdf5-dev libopencv-core-dev libopencv-imgcodecs-dev"
        " libprotobuf-dev libboost-python-dev python3-dev"
    )
    return {"bare": caffe, "building": building}


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_the_remedy_ends_the_failure(failure: Failure, roots: dict[str, Layer], tmp_path: Path) -> None:
    here = roots[failure.root].on_top(tmp_path / "layer")
    for name, text in FILES:
        here.write(name, text)
    ended(failure, here)

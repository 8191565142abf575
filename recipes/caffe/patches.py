"""The generations of Caffe's Makefile, and the patches, each with its condition on machine and generation."""

from __future__ import annotations

from devsetup.recipe import Generation, Patch, When

from .limits import CUDA

# Makefiles that differ where macOS matters. Our patches keep the marks, so that a patched tree is known too.
TEST_FOR_10_9 = "$(findstring 10.9, $(shell sw_vers -productVersion))"
GENERATIONS = (
    Generation(
        id="2014", about="spring 2014, v0.999", file="Makefile", contains=TEST_FOR_10_9, lacks="boost_thread-mt"
    ),
    Generation(id="rc", about="September 2014 to January 2015: rc, rc2", file="Makefile", contains=TEST_FOR_10_9),
    Generation(id="2015", about="January to September 2015", file="Makefile", contains="grep -o 'version: 6'"),
    Generation(
        id="1.0", about="since September 2015: rc3 to 1.0, and 2018", file="Makefile", contains="XCODE_CLT_GEQ_6"
    ),
)

PATCHES = (
    Patch(
        name="0001-opencv4-imread-flags.patch",
        when=When(libraries={"opencv": ">=4"}),
        why="OpenCV 4 has no CV_LOAD_IMAGE_* macros",
        upstream="https://github.com/BVLC/caffe/pull/6625",
    ),
    Patch(
        name="0002-protobuf-total-bytes-limit.patch",
        when=When(libraries={"protobuf": ">=3.18"}),
        why="protobuf 3.18 removed the two-argument SetTotalBytesLimit",
        upstream="https://github.com/BVLC/caffe/pull/7044",
    ),
    Patch(
        name="0003-opencv-imgcodecs-instead-of-highgui.patch",
        when=When(libraries={"opencv": ">=3"}),
        why="imread lives in imgcodecs since OpenCV 3; highgui would need about 150 more packages for nothing",
        upstream="https://github.com/BVLC/caffe/pull/3186",
    ),
    Patch(
        name="0004-pycaffe-run-path.patch",
        when=When(options={"python": "on"}),
        why="pycaffe looked for libcaffe in the build tree; installed it is in ../../lib",
        upstream="https://github.com/BVLC/caffe/issues/4411",
    ),
    Patch(
        name="0005-skimage-as-gray.patch",
        when=When(options={"python": "on"}),
        why="scikit-image 0.16 renamed imread's as_grey to as_gray",
        upstream="https://github.com/BVLC/caffe/pull/6902",
    ),
    Patch(
        name="0006-numpy-datum-bytes.patch",
        when=When(options={"python": "on"}),
        why="NumPy 2.3 removed tostring and binary fromstring",
        upstream="https://github.com/BVLC/caffe/pull/7108",
    ),
    Patch(
        name="0007-detector-integer-slices.patch",
        when=When(options={"python": "on"}),
        why="NumPy 1.12 stopped accepting float slice bounds",
        upstream="https://github.com/BVLC/caffe/pull/3180",
    ),
    Patch(
        name="0008-skimage-no-anti-aliasing.patch",
        when=When(options={"python": "on"}),
        why="scikit-image 0.15 smooths when resizing, which silently changes what a net sees",
        upstream="https://github.com/scikit-image/scikit-image/pull/2802",
    ),
    Patch(
        name="0009-osx-standard-library.patch",
        when=When(os="macos >=10.9", source="2014 | rc"),
        why="the test for 10.9 drops libstdc++ on later OS X, where CUDA before 7 needs it, and asks for it on the CPU",
        upstream="https://github.com/BVLC/caffe/pull/1667",
    ),
    Patch(
        name="0010-osx-libstdcxx-cuda-version.patch",
        when=When(os="macos >=10.9", source="2015 | 1.0", options=CUDA, cuda="<7"),
        why="the test for CUDA before 7 never holds, since awk's exit status is not its output",
        upstream="https://github.com/BVLC/caffe/pull/2224",
    ),
    Patch(
        name="0011-osx-accelerate-2014.patch",
        when=When(os="macos >=10.9", source="2014 | rc"),
        why="BLAS is in Accelerate since 10.10, or Xcode 6's tools, and its headers in the SDK alone since 10.11",
        upstream="https://github.com/BVLC/caffe/pull/1740",
    ),
    Patch(
        name="0012-osx-accelerate-2015.patch",
        when=When(os="macos >=10.10", source="2015"),
        why="only Xcode 6's tools were sent to Accelerate; and since 10.11 its headers are in the SDK alone",
        upstream="https://github.com/BVLC/caffe/issues/3092",
    ),
    Patch(
        name="0013-osx-accelerate-clt.patch",
        when=When(os="macos >=10.10", source="1.0"),
        why="the test reads one digit of the tools' version, so 10 and later are sent to vecLib, which is gone",
        upstream="https://github.com/BVLC/caffe/pull/3093",
    ),
    Patch(
        name="0014-homebrew-boost-thread.patch",
        when=When(os="macos", libraries={"boost": ">=1.87"}, source="rc | 2015 | 1.0"),
        why="Homebrew's Boost 1.87 dropped the names that end in -mt",
        upstream="https://github.com/Homebrew/homebrew-core/pull/182995",
    ),
    Patch(
        name="0015-boost-system-header-only.patch",
        when=When(libraries={"boost": ">=1.89"}),
        why="Boost 1.89 removed the boost_system library, a stub since 1.69",
        upstream="https://github.com/boostorg/system/issues/132",
    ),
    Patch(
        name="0016-cuda-13-device-properties.patch",
        when=When(options=CUDA, cuda=">=13"),
        why="CUDA 13 took three members out of cudaDeviceProp",
        upstream="https://developer.nvidia.com/blog/whats-new-and-important-in-cuda-toolkit-13-0/",
    ),
    Patch(
        name="0017-hdf5-data-shuffle.patch",
        when=When(os="macos", libraries={"protobuf": ">=22"}),
        why="protobuf 22 wants C++17, in which libc++ has no random_shuffle",
        upstream="https://en.cppreference.com/w/cpp/algorithm/random_shuffle",
    ),
    Patch(
        name="0018-data-layers-without-gpu.patch",
        when=When(options=CUDA),
        why="built with CUDA, data layers ask for a GPU on the processor too, and abort where there is none",
        upstream="https://github.com/BVLC/caffe/issues/3135",
    ),
)

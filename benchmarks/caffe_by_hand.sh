#!/bin/bash
# What devsetup's caffe recipe does, as one would type it: the yardstick of benchmarks/overhead.py.
#   caffe_by_hand.sh TARBALL CHECKOUT SCRATCH JOBS
set -euo pipefail

tarball=$1 checkout=$2 scratch=$3 jobs=$4
prefix=$scratch/prefix build=$scratch/build
version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
triplet=$(gcc -dumpmachine)

sha256sum "$tarball" >/dev/null
"/usr/bin/python$version" -m venv "$prefix/env"
"$prefix/env/bin/python" -m pip install --disable-pip-version-check \
    --requirement "$checkout/workloads/caffe/requirements-3.11.txt" protobuf==4.21.12
site=$prefix/env/lib/python$version/site-packages
echo ../../../../python >"$site/devsetup.pth"

mkdir -p "$build"
tar -xzf "$tarball" -C "$build"
cd "$build"
for patch in "$checkout"/patches/caffe/000[1-8]-*.patch; do # the others are for Macs and CUDA
    patch --strip=1 --unified --fuzz=0 --force <"$patch"
done
cat >Makefile.config <<CONFIG
CPU_ONLY := 1
BLAS := open
OPENCV_VERSION := 3
PYTHON_LIBRARIES := boost_python${version/./}
PYTHON_INCLUDE := /usr/include/python$version $site/numpy/_core/include
INCLUDE_DIRS := \$(PYTHON_INCLUDE) /usr/include/opencv4 /usr/include/hdf5/serial
LIBRARY_DIRS := /usr/lib/$triplet /usr/lib/$triplet/hdf5/serial
BUILD_DIR := build
Q ?= @
CONFIG
make "-j$jobs" --output-sync=target tools pycaffe

install -D -m 755 build/lib/libcaffe.so.1.0.0 "$prefix/lib/libcaffe.so.1.0.0"
ln -sfn libcaffe.so.1.0.0 "$prefix/lib/libcaffe.so"
for tool in caffe compute_image_mean convert_imageset extract_features \
    upgrade_net_proto_binary upgrade_net_proto_text upgrade_solver_proto_text; do
    install -D -m 755 "build/tools/$tool.bin" "$prefix/bin/$tool"
done
cp -R include python "$prefix"
install -D -m 644 build/src/caffe/proto/caffe.pb.h "$prefix/include/caffe/proto/caffe.pb.h"
cd "$scratch"
rm -rf "$build"

ldd "$prefix"/bin/* "$prefix/lib/libcaffe.so" "$prefix/python/caffe/_caffe.so" | (! grep 'not found')
"$prefix/env/bin/python" -I -c 'import caffe; print(caffe.__version__)'
"$prefix/bin/caffe" time -model "$checkout/workloads/caffe/lenet.prototxt" -iterations 5
mkdir -p "$scratch/artifacts"
"$prefix/env/bin/python" "$checkout/workloads/caffe/train.py" --out "$scratch/artifacts"
sync

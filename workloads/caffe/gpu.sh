#!/bin/sh
# Make Caffe's first call that needs a GPU, in a process of its own, since Caffe aborts when it fails.
#
#   sh gpu.sh PREFIX
#
# Exit status 0: there is one; prints its name. 3: there is no driver or no GPU; prints where Caffe stopped and CUDA's
# words. 2: the call failed for another reason, which is a broken install or machine.
set -eu

status=0
said=$("$1/bin/caffe" device_query -gpu 0 2>&1) || status=$?
name=$(printf '%s\n' "$said" | sed -n 's/.*\] Name: *//p' | head -n 1)
if [ "$status" -eq 0 ] && [ -n "$name" ]; then
    printf '%s\n' "$name"
    exit 0
fi
# As glog prints it: common.cpp:152] Check failed: error == cudaSuccess (35 vs. 0)  CUDA driver version is ...
stopped=$(printf '%s\n' "$said" |
    sed -n 's/.* \([a-z_.]*:[0-9]*\)\] Check failed: error == cudaSuccess (\([0-9]*\) vs\. 0) *\(.*\)/\2 \1 \3/p' | head -n 1)
error=${stopped%% *}
words=${stopped#* }
case $error in
# Without any driver the runtime says 35; with an old one too, and then something is wrong with this machine.
100 | 35)
    if [ "$error" = 100 ] || [ ! -e /proc/driver/nvidia/version ]; then
        echo "caffe device_query stopped at ${words%% *}, CUDA error $error: ${words#* }"
        exit 3
    fi
    ;;
esac
printf '%s\n' "$said" >&2
echo "workload: caffe device_query failed with status $status" >&2
exit 2

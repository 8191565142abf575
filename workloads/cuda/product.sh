#!/bin/sh
# Compile and link product.cu with a toolkit, for every GPU that it knows, and run it.
#
#   sh product.sh PREFIX OUT
#
# Leaves the program and result.json in OUT. The program must find the toolkit's own libraries by its run path alone. With
# a GPU its numbers must be right. Without one it must stop at its first call, because there is no driver or no GPU;
# anything else fails.
set -eu

prefix=$1
out=$2
here=$(dirname -- "$0")
mkdir -p "$out"

# The runtime as a shared library, as frameworks link it; nvcc's own default is the static one.
"$prefix/bin/nvcc" -O2 -arch=all-major -cudart shared -o "$out/product" "$here/product.cu" \
    -lcublas -lcurand -Xlinker "-rpath=$prefix/lib"

unset LD_LIBRARY_PATH
libraries=$(ldd "$out/product")
for name in libcublas libcublasLt libcudart libcurand; do
    printf '%s\n' "$libraries" | grep -F "=> $prefix/lib/$name.so." >/dev/null || {
        echo "workload: the program does not load $name from $prefix/lib:" >&2
        printf '%s\n' "$libraries" | grep "$name\." >&2 || true
        exit 1
    }
done

nvcc=$("$prefix/bin/nvcc" --version | sed -n 's/.*, V\([0-9.]*\).*/\1/p')
status=0
said=$("$out/product" 2>&1) || status=$?
printf '%s\n' "$said"

# result GPU RAN SENTENCE: all as JSON
result() {
    printf '{"schema": "cuda-product/1", "nvcc": "%s", "gpu": %s, "numbers": %s, "said": "%s"}\n' \
        "$nvcc" "$1" "$2" "$3" >"$out/result.json"
    echo "$3"
}

case $status in
0)
    name=$(printf '%s\n' "$said" | sed -n 's/.*"gpu": "\([^"]*\)".*/\1/p')
    result "\"$name\"" "$said" "compiled, linked and run on $name: the numbers are right"
    ;;
3)
    # Error 35 is also what an old driver gives, and then something is wrong with this machine.
    if [ -e /proc/driver/nvidia/version ]; then
        echo "workload: there is a driver, and yet: $said" >&2
        exit 1
    fi
    result null null "compiled and linked, not run: no GPU: ${said##*: }"
    ;;
*)
    echo "workload: the program ended with status $status: $said" >&2
    exit 1
    ;;
esac

#!/bin/sh
# Train a LeNet with Caffe's own tools alone, for installs without pycaffe, and judge it.
#
#   sh train.sh PREFIX OUT [--gpu] [--shuffle-labels]
#
# Images are drawn on the spot (digits.awk beside this file), packed into LMDB by convert_imageset and used by `caffe
# train`. Exit 0 only if the accuracy on held-out images reaches BAR. With --gpu it
# trains on the first GPU, or on the processor when there is none (gpu.sh says why). With --shuffle-labels it must fail.
set -eu

BAR=0.90
TRAIN_IMAGES=4000
TEST_IMAGES=1000
ITERATIONS=400
SEED=1

prefix=$1
out=$2
shift 2
here=$(dirname -- "$0")
shuffle=0
mode=CPU
where="on the processor"
gpu=null
for option; do
    case $option in
    --shuffle-labels) shuffle=1 ;;
    --gpu)
        status=0
        where=$(sh "$here/gpu.sh" "$prefix") || status=$?
        case $status in
        0)
            mode=GPU
            gpu="\"$where\""
            where="on $where"
            ;;
        3) where="on the processor: $where" ;;
        *) exit 2 ;;
        esac
        ;;
    *)
        echo "workload: unknown option $option" >&2
        exit 2
        ;;
    esac
done
export OPENBLAS_NUM_THREADS=1 # LeNet's products are small

mkdir -p "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/caffe-workload.XXXXXX")
trap 'rm -rf "$work"' EXIT

# database NAME SEED COUNT SHUFFLE: draw that many images and pack them as $work/NAME-lmdb.
database() {
    mkdir "$work/$1"
    awk -v seed="$2" -v count="$3" -v folder="$work/$1" -v list="$work/$1.txt" -v shuffle="$4" -f "$here/digits.awk"
    "$prefix/bin/convert_imageset" --gray --backend=lmdb "$work/$1/" "$work/$1.txt" "$work/$1-lmdb" >>"$work/convert.log" 2>&1 || {
        cat "$work/convert.log" >&2
        echo "workload: convert_imageset failed" >&2
        exit 2
    }
}
database train "$SEED" "$TRAIN_IMAGES" "$shuffle"
database test "$((SEED + 1))" "$TEST_IMAGES" 0

# data PHASE BATCH: the layer that reads $work/PHASE-lmdb.
data() {
    cat <<END
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: $(echo "$1" | tr '[:lower:]' '[:upper:]') }
        transform_param { scale: 0.00390625 mean_value: 127 }
        data_param { source: "$work/$1-lmdb" batch_size: $2 backend: LMDB } }
END
}
{
    echo 'name: "LeNet"'
    data train 64
    data test 100
    cat <<'END'
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
        inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
END
} >"$work/net.prototxt"
cat >"$work/solver.prototxt" <<END
net: "$work/net.prototxt"
test_iter: $((TEST_IMAGES / 100)) test_interval: $ITERATIONS test_initialization: false
base_lr: 0.02 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.001 power: 0.75
max_iter: $ITERATIONS display: 50 snapshot: 0 snapshot_after_train: false
solver_mode: $mode random_seed: $SEED
END

"$prefix/bin/caffe" train -solver "$work/solver.prototxt" >"$out/train.log" 2>&1 || {
    tail -n 20 "$out/train.log" >&2
    echo "workload: caffe train failed" >&2
    exit 2
}
accuracy=$(sed -n 's/.*Test net output #[0-9]*: accuracy = \([0-9.e-]*\).*/\1/p' "$out/train.log" | tail -n 1)
passed=$(awk -v have="${accuracy:-0}" -v bar="$BAR" 'BEGIN { print (have >= bar ? "true" : "false") }')
cat >"$out/result.json" <<END
{"schema": "caffe-digits-tools/1", "accuracy": ${accuracy:-0}, "bar": $BAR, "passed": $passed, "seed": $SEED,
 "iterations": $ITERATIONS, "images": {"train": $TRAIN_IMAGES, "test": $TEST_IMAGES}, "labels_shuffled": $shuffle,
 "gpu": $gpu, "trained": "$where"}
END
line="accuracy ${accuracy:-unknown} on $TEST_IMAGES held-out images after $ITERATIONS iterations (bar $BAR), $where"
[ "$passed" = true ] || {
    echo "workload: below the bar: $line" >&2
    exit 1
}
echo "passed: $line"

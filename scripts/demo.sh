#!/usr/bin/env bash
# From a clean Debian 12 to a sparse model that is as accurate as the dense one, verified and timed:
# packages, build; train, prune, fine-tune, verify, eval on data made here; then prune, compare, bench.
#   scripts/demo.sh [MODEL.onnx]    a model for the second half
# Without MODEL: SqueezeNet from ESPALIER_SHARED (default ../shared), else a small network made here.
set -euo pipefail
if [ $# -gt 0 ]; then model=$(realpath -- "$1"); else model=; fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

scripts/setup.sh espalier_program
out=build/demo
mkdir -p "$out"
if [ -z "$model" ]; then
  model=${ESPALIER_SHARED:-../shared}/models/squeezenet_v1.1.onnx
  if [ ! -f "$model" ]; then
    model=$out/example.onnx
    "$ESPALIER_SYSTEM_PYTHON" tools/make_example_model.py "$model"
  fi
fi

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}
PATH=$PWD/build/release:$PATH

# 1: a small network learns strokes in four directions, loses three of four weights, and learns again.
"$ESPALIER_SYSTEM_PYTHON" tools/make_example_model.py "$out/convnet.onnx" --small
"$ESPALIER_SYSTEM_PYTHON" tools/make_example_data.py "$out/strokes"
training=(--data "$out/strokes/train.npz" --eval-data "$out/strokes/test.npz" --preprocess mnist
  --threads 1 --force)
judge=(--data "$out/strokes/test.npz" --preprocess mnist --threads 1)
show espalier train "$out/convnet.onnx" -o "$out/dense.onnx" "${training[@]}" --epochs 8 --lr 0.05
show espalier prune "$out/dense.onnx" -o "$out/s14.onnx" --pattern 1:4 --align none --force --quiet
show espalier eval "$out/s14.onnx" "${judge[@]}"
show espalier finetune "$out/s14.onnx" -o "$out/recovered.onnx" "${training[@]}" --epochs 4 \
  --teacher "$out/dense.onnx"
show espalier verify "$out/recovered.onnx" --pattern 1:4 --align none
show espalier eval "$out/recovered.onnx" "${judge[@]}"

# 2: a model of its own size.
show espalier inspect "$model"
show espalier prune "$model" -o "$out/s24.onnx" --pattern 2:4 --force
show espalier verify "$out/s24.onnx" --pattern 2:4
show espalier prune "$model" -o "$out/s75.onnx" --pattern unstructured --sparsity 0.75 --force --quiet
show espalier compare "$out/s75.onnx" "$out/s75.onnx" --dense --tolerance 1e-4
show espalier bench "$out/s75.onnx" --against "$model" --threads 1 --runs 10
printf '\nThe sparse models are %s, %s and %s\n' "$PWD/$out/recovered.onnx" \
  "$PWD/$out/s24.onnx" "$PWD/$out/s75.onnx"

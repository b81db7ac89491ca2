#!/usr/bin/env bash
# From a clean Debian 12 to a pruned, verified, timed model: packages, build, inspect, prune, verify,
# compare, bench.
#   scripts/demo.sh [MODEL.onnx]
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
show espalier inspect "$model"
show espalier prune "$model" -o "$out/s24.onnx" --pattern 2:4 --force
show espalier verify "$out/s24.onnx" --pattern 2:4
show espalier prune "$model" -o "$out/s75.onnx" --pattern unstructured --sparsity 0.75 --force --quiet
show espalier compare "$out/s75.onnx" "$out/s75.onnx" --dense --tolerance 1e-4
show espalier bench "$out/s75.onnx" --against "$model" --threads 1 --runs 10
printf '\nThe pruned models are %s and %s\n' "$PWD/$out/s24.onnx" "$PWD/$out/s75.onnx"

#!/usr/bin/env python3
"""Sparse products against the faster of oneDNN's and ONNX Runtime's dense ones, one thread.

    spmm_onnxruntime.py SPMM_BENCH [--repeat N] [--sparsity S]...   (needs numpy, onnx, onnxruntime)

Layer by layer: ONNX Runtime (8 convolutions with ReLU on one input, or matrix products, from its
own profile, wall time), then spmm_bench, which times oneDNN and ours in turn; all pinned to one CPU.
Printed are GFLOP/s of the dense products, counted in full, of ours on what is not zero, and the
ratio of the medians. Only fair on an idle machine: wall time counts other processes as well.
"""
import argparse
import collections
import os
import statistics
import subprocess
import tempfile

import numpy as np
import onnxruntime as ort
from onnx import helper, numpy_helper

from onnxruntime_layers import COPIES, make_model, profile

RUNS = 30


def time_layer(out, inputs, height, width, linear, folder):
    """Seconds of one dense product: median."""
    random = np.random.default_rng(1)
    nodes, initializers = [], []
    for i in range(COPIES):
        weights = 0.02 * random.standard_normal((inputs, out) if linear else (out, inputs, 1, 1))
        initializers += [numpy_helper.from_array(weights.astype(np.float32), f"w{i}"),
                         numpy_helper.from_array(np.zeros(out, np.float32), f"b{i}")]
        if linear:
            nodes += [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"])]
        else:
            nodes += [helper.make_node("Conv", ["x", f"w{i}", f"b{i}"], [f"c{i}"]),
                      helper.make_node("Relu", [f"c{i}"], [f"y{i}"])]
    shape = (width, inputs) if linear else (1, inputs, height, width)
    model = make_model(nodes, initializers, shape, [f"y{i}" for i in range(COPIES)])
    return profile(model, shape, "MatMul" if linear else "Conv", RUNS, folder)[0]


def time_ours(bench, name, arguments):
    """Zeros in percent -> GFLOP/s: (oneDNN dense, ours on nonzeros)."""
    command = [bench, "--layer", name, "--repeat", str(arguments.repeat)]
    for sparsity in arguments.sparsity:
        command += ["--sparsity", str(sparsity)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in lines if line.startswith(name + " ")]
    return {int(row[1]): (float(row[3]), float(row[6])) for row in rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--sparsity", type=float, action="append")
    arguments = parser.parse_args()
    arguments.sparsity = arguments.sparsity or [0.5, 0.75, 0.85, 0.9]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # spmm_bench inherits it
    listing = subprocess.run([arguments.bench, "--list"], check=True, capture_output=True, text=True)
    print(f"onnxruntime {ort.__version__}, one thread, GFLOP/s; ratio: faster dense / sparse")
    print(f"{'layer':<16}{'zeros':>6}{'oneDNN':>9}{'ORT':>8}{'ours':>8}{'ratio':>8}")
    ratios = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for line in listing.stdout.splitlines():
            name, *shape = line.split()
            out, inputs, height, width, linear = map(int, shape)
            seconds = time_layer(out, inputs, height, width, linear, folder)
            theirs = 2e-9 * out * inputs * height * width / seconds
            for zeros, (dense, ours) in time_ours(arguments.bench, name, arguments).items():
                ratio = ours / (1 - zeros / 100) / max(dense, theirs)
                ratios[zeros].append(ratio)
                print(f"{name:<16}{zeros:>4} %{dense:>9.1f}{theirs:>8.1f}{ours:>8.1f}{ratio:>8.2f}",
                      flush=True)
    for zeros, of_zeros in ratios.items():
        print(f"{zeros} %: geometric mean {statistics.geometric_mean(of_zeros):.2f}, least "
              f"{min(of_zeros):.2f}, {len(of_zeros)} layers")


if __name__ == "__main__":
    main()

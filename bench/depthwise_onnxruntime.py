#!/usr/bin/env python3
"""Times our depthwise convolution beside ONNX Runtime's, layer by layer, one thread.

    depthwise_onnxruntime.py DEPTHWISE_BENCH [ROUNDS]      (needs numpy, onnx and onnxruntime)

Both are pinned to one CPU and take turns; printed are the medians over the rounds of the median and
of the 10th percentile, and the ratio of both. Ours comes from depthwise_bench, which runs 8 layers
one after the other (stride 2: all on one input), in CPU time of the thread.

ONNX Runtime, stride 1: CPU time of the thread too, of a chain of 24 Conv + ReLU less that of a chain
of 8, divided by 16, so that the reorders to its blocked layout and what a run costs do not count.
Stride 2 cannot be chained: 8 layers on one input, from ONNX Runtime's own profile. That is WALL time:
whatever else runs on the CPU is counted against ONNX Runtime and not against us, so a ratio of
stride 2 is only fair on an idle machine. Those lines are marked with "wall".
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
from onnx import helper, numpy_helper

from onnxruntime_layers import COPIES, make_model, one_thread, profile

LAYERS = [  # channels, size, kernel, stride; each once, in the order of depthwise_bench.cc
    (32, 112, 3, 1), (64, 112, 3, 2), (128, 56, 3, 1), (128, 56, 3, 2), (256, 28, 3, 1),
    (256, 28, 3, 2), (512, 14, 3, 1), (512, 14, 3, 2), (1024, 7, 3, 1), (96, 112, 3, 2),
    (144, 56, 3, 1), (144, 56, 3, 2), (192, 28, 3, 1), (192, 28, 3, 2), (384, 14, 3, 1),
    (576, 14, 3, 1), (576, 14, 3, 2), (960, 7, 3, 1), (24, 160, 3, 1), (48, 160, 3, 2),
    (96, 80, 3, 1), (96, 80, 3, 2), (192, 40, 3, 1), (192, 40, 3, 2), (384, 20, 5, 1),
    (384, 20, 5, 2), (768, 10, 5, 1), (64, 40, 5, 1), (64, 20, 5, 1), (64, 10, 5, 1),
    (128, 40, 5, 1), (128, 40, 5, 2), (128, 20, 5, 1), (128, 20, 5, 2), (128, 10, 5, 1),
    (128, 10, 5, 2), (128, 5, 5, 1),
]
RUNS = 60


def make_layers(channels, size, kernel, stride, layers=COPIES):
    random = np.random.default_rng(1)
    nodes, initializers, outputs, source = [], [], [], "x"
    for i in range(layers):
        weights = 0.02 * random.standard_normal((channels, 1, kernel, kernel))
        bias = 0.02 * random.standard_normal(channels)
        initializers += [numpy_helper.from_array(weights.astype(np.float32), f"w{i}"),
                         numpy_helper.from_array(bias.astype(np.float32), f"b{i}")]
        nodes += [helper.make_node("Conv", [source, f"w{i}", f"b{i}"], [f"c{i}"],
                                   kernel_shape=[kernel] * 2, strides=[stride] * 2,
                                   pads=[kernel // 2] * 4, group=channels),
                  helper.make_node("Relu", [f"c{i}"], [f"y{i}"])]
        if stride == 1:
            source = f"y{i}"
        else:
            outputs.append(f"y{i}")
    return make_model(nodes, initializers, [1, channels, size, size], outputs or [source])


def time_copies(layer, folder):
    """Seconds a layer of stride 2, wall time: median and 10th percentile."""
    channels, size = layer[:2]
    return profile(make_layers(*layer), (1, channels, size, size), "Conv", RUNS, folder)


def time_chains(layer):
    """Seconds a layer of stride 1, CPU time: from the medians and from the 10th percentiles."""
    channels, size, _, _ = layer
    x = np.random.default_rng(2).standard_normal((1, channels, size, size)).astype(np.float32)
    sessions = [ort.InferenceSession(make_layers(*layer, layers), one_thread(),
                                     providers=["CPUExecutionProvider"])
                for layers in (COPIES, 3 * COPIES)]
    seconds = [[], []]
    for run in range(RUNS + 5):
        for session, own in zip(sessions, seconds):  # in turn, so that both see the same machine
            begin = time.thread_time()
            session.run(None, {"x": x})
            if run >= 5:
                own.append(time.thread_time() - begin)
    short, long = map(sorted, seconds)
    return tuple((long[at] - short[at]) / (2 * COPIES) for at in (RUNS // 2, RUNS // 10))


def main():
    bench = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # depthwise_bench inherits it
    print(f"onnxruntime {ort.__version__}, one thread, microseconds a layer")
    print(f"{'layer':<20}{'ours':>8}{'p10':>8}{'ort':>8}{'p10':>8}  ratio   p10")
    ratios = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for layer in LAYERS:
            times = []
            for _ in range(rounds):
                line = subprocess.run([bench, *map(str, layer)], check=True, capture_output=True)
                theirs = time_chains(layer) if layer[3] == 1 else time_copies(layer, folder)
                times.append((*map(float, line.stdout.split()), *theirs))
            own, own_p10, other, other_p10 = (1e6 * statistics.median(t) for t in zip(*times))
            channels, size, kernel, stride = layer
            ratios[stride].append(other_p10 / own_p10)
            print(f"{channels:>5}{size:>5}  {kernel}x{kernel} /{stride} {own:>9.1f}{own_p10:>8.1f}"
                  f"{other:>8.1f}{other_p10:>8.1f}  {other / own:>5.2f} {other_p10 / own_p10:>5.2f}"
                  f"{'' if stride == 1 else '  wall'}",
                  flush=True)
    for stride, of_stride in ratios.items():
        print(f"ratio of p10, stride {stride}: least {min(of_stride):.2f}, most "
              f"{max(of_stride):.2f}, geometric mean {statistics.geometric_mean(of_stride):.2f}")


if __name__ == "__main__":
    main()

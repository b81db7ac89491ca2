#!/usr/bin/env python3
"""Latency of whole models: Espalier on sparse weights against ONNX Runtime on dense ones.

    python model_bench.py --program build/release/espalier --models FOLDER [--threads 1] [--rounds 9]

FOLDER holds what ../shared/tools/make_models.py writes: NAME_dense.onnx, NAME_sp75.onnx, NAME_sp85.onnx.
Each round times ONNX Runtime and then Espalier on each variant, pinned to the same CPUs; a ratio is
the median over the rounds of (ONNX Runtime's median / Espalier's median) of one round, so that what
else the machine does meets both. The 10th percentile of the ratios stands beside it, and the ratio of
the least times of all rounds: on a machine whose cores other tenants share, what it does when it is
left alone.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime

MODELS = ("mobilenet_v1_224", "mobilenet_v2_224", "picodet_m_like_320")
VARIANTS = ("dense", "sp75", "sp85")
TARGETS = {("mobilenet_v1_224", "sp75"): 2.7, ("mobilenet_v1_224", "sp85"): 3.6,
           ("mobilenet_v2_224", "sp75"): 2.1, ("mobilenet_v2_224", "sp85"): 2.8,
           ("picodet_m_like_320", "sp75"): 2.4, ("picodet_m_like_320", "sp85"): 3.1}


class Peer:
    """ONNX Runtime on the dense model."""

    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model), options,
                                                    providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        self.feeds = {value.name: rng.random(value.shape, np.float32)
                      for value in self.session.get_inputs()}

    def times_ms(self, runs):
        """Median and least."""
        times = []
        for _ in range(runs + 3):
            start = time.perf_counter()
            self.session.run(None, self.feeds)
            times.append(1e3 * (time.perf_counter() - start))
        return float(np.median(times[3:])), min(times[3:])


def espalier_ms(program, model, threads, runs):
    done = subprocess.run([program, "bench", model, "--json", "--runs", str(runs), "--warmup", "3",
                           "--threads", str(threads)], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    return report["median_ms"], report["min_ms"], report["isa"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cpus", default="1", help="as for taskset; default 1")
    args = parser.parse_args()
    cpus = {int(c) for c in args.cpus.split(",")}
    os.sched_setaffinity(0, cpus)
    print(f"ONNX Runtime {onnxruntime.__version__}, {args.threads} thread(s), CPUs {sorted(cpus)}, "
          f"{args.rounds} rounds of {args.runs} runs")
    print(f"{'model':22} {'weights':8} {'ratio':>6} {'p10':>6} {'least':>6} {'target':>7} {'ms':>8} {'ORT ms':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            packed = {}
            for variant in VARIANTS:  # kernels are chosen once, on a warm machine
                packed[variant] = f"{folder}/{name}_{variant}.esp"
                subprocess.run([args.program, "compile", args.models / f"{name}_{variant}.onnx",
                                "-o", packed[variant], "--threads", str(args.threads), "--quiet"],
                               check=True)
            peer = Peer(args.models / f"{name}_dense.onnx", args.threads)
            ratios = {variant: [] for variant in VARIANTS}
            times = {variant: [] for variant in VARIANTS}
            peer_times = []
            least = {variant: np.inf for variant in VARIANTS}
            peer_least = np.inf
            for _ in range(args.rounds):
                for variant in VARIANTS:
                    theirs, their_least = peer.times_ms(args.runs)
                    ours, our_least, isa = espalier_ms(args.program, packed[variant], args.threads,
                                                       args.runs)
                    least[variant] = min(least[variant], our_least)
                    peer_least = min(peer_least, their_least)
                    ratios[variant].append(theirs / ours)
                    times[variant].append(ours)
                    peer_times.append(theirs)
            for variant in VARIANTS:
                target = TARGETS.get((name, variant), 0.95)
                print(f"{name:22} {variant:8} {np.median(ratios[variant]):6.2f} "
                      f"{np.percentile(ratios[variant], 10):6.2f} "
                      f"{peer_least / least[variant]:6.2f} {target:7.2f} "
                      f"{np.median(times[variant]):8.2f} {np.median(peer_times):8.2f}", flush=True)
    print(f"Espalier on {isa}")


if __name__ == "__main__":
    main()

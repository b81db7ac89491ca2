#!/usr/bin/env python3
"""The channel permutation search: what it keeps, its time and its memory, as Markdown tables.

    permute_bench.py PROGRAM [--parts reference,uniform,large,resnet50] [--seeds 3]
                     [--best-columns 128] [--cpu 1]              (needs numpy, onnx, onnxruntime)

reference: the matrices of $ESPALIER_SHARED/reference/permutation against apex's search.
uniform:   efficacy on 5 matrices of uniform values, 128 x 64.
large:     1024 and 4096 columns, normal and heavy-tailed: time and peak memory.
resnet50:  a network of ResNet-50's shape with random weights, two threads.

Kept magnitude and seconds are medians over the search's seeds; the least of the seeds stands in
brackets. What the program says it kept is computed again with numpy from the order it found, and
the two networks are compared in ONNX Runtime. Runs of one thread are pinned to --cpu; seconds are
the wall time of the search as the program reports it, so they count what else the machine does;
CPU seconds are those of the whole process, with reading the file.
The last lines name the aims that were missed.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ("reference", "uniform", "large", "resnet50")
EFFORTS = ("fast", "default", "best")

# apex's search, from $ESPALIER_SHARED/design/KERNELS.md, "Channel permutation": with its default of
# window 8 and 100 escapes, and the best of its columns (with window 12 unless marked otherwise).
# Share of the magnitude; of readme_uniform_128x64 only the efficacy is told.
Apex = collections.namedtuple("Apex", "measure default best")
APEX = {
    "readme_uniform_128x64": Apex("efficacy", 0.355, 0.375),
    "normal_64x64": Apex("kept_after", 0.76571, 0.76842),
    "heavy_64x64": Apex("kept_after", 0.91710, 0.91740),
    "normal_128x128": Apex("kept_after", 0.76401, 0.76471),
    "heavy_128x128": Apex("kept_after", 0.90128, 0.90128),  # its default
    "heavy_512x512": Apex("kept_after", 0.88578, 0.88578),  # its default
}
# Rows and columns -> seconds with C kernels, same source; 128 x 128 is only among the aims.
APEX_SECONDS = {(64, 64): 0.06, (128, 128): 0.15, (512, 512): 2.5}

# Weights up to which default effort is to take so many seconds on one thread.
DEFAULT_SECONDS = ((128 * 128, 0.5), (512 * 512, 2.3), (1024 * 1024, 13), (4096 * 4096, 20))
BEST_OVER_DEFAULT = 10
UNIFORM_EFFICACY = {"default": 0.39, "best": 0.40}
QUALITY = {("normal_64x64", "default"): ("kept_after", 0.769)} | {
    ("readme_uniform_128x64", effort): ("efficacy", aim)
    for effort, aim in UNIFORM_EFFICACY.items()}
MEMORY_OVER_MATRIX = 3
RESNET50_SECONDS = 60

SCALE_SPREAD = 0.5  # standard deviation of the logarithms of the network's channel scales

missed = []


def hold(passed, text):
    """What is printed beside a figure with an aim."""
    if not passed:
        missed.append(text)
    return "yes" if passed else "**no**"


def head(columns):
    print(f"| {columns} |\n{'|---' * (columns.count('|') + 1)}|")


def permute(program, source, pattern, threads, cpu=None, effort="default", seed=0, output=None):
    """The program's report, with the process's peak memory in bytes and its seconds."""
    with tempfile.NamedTemporaryFile("r") as usage:
        # A child's ru_maxrss begins with this process's own memory; that of `time` is small.
        command = ["/usr/bin/time", "-f", "%M %U %S", "-o", usage.name, program, "permute", source,
                   "--pattern", pattern, "--threads", threads, "--effort", effort, "--seed", seed,
                   "--json"]
        if cpu is not None:
            command = ["taskset", "-c", cpu, *command]
        if output is not None:
            command += ["-o", output, "--force"]
        start = time.perf_counter()
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        wall = time.perf_counter() - start
        if done.returncode != 0:
            sys.exit(f"failed: {' '.join(map(str, command))}")
        peak, user, system = map(float, usage.read().split())
        return json.loads(done.stdout) | {"peak": 1024 * peak, "wall": wall, "cpu": user + system}


def kept_2_4(weights):
    """(kept, total) magnitude of rows in groups of 4 columns."""
    groups = np.abs(weights.astype(np.float64)).reshape(-1, 4)
    return np.sort(groups, axis=1)[:, 2:].sum(), groups.sum()


def check_report(weights, report):
    """Order, kept magnitude and efficacy as the program says."""
    order = report["order"]
    if sorted(order) != list(range(weights.shape[1])):
        sys.exit("the program's order is no permutation")
    total = np.abs(weights).sum(dtype=np.float64)
    before = kept_2_4(weights)[0] / total
    after = kept_2_4(weights[:, order])[0] / total
    half = weights.shape[1] // 2
    bound = np.sort(np.abs(weights), axis=1)[:, half:].sum(dtype=np.float64) / total
    efficacy = (after - before) / (bound - before)
    for name, value in [("kept_before", before), ("kept_after", after), ("efficacy", efficacy)]:
        if abs(report[name] - value) > 1e-6:
            sys.exit(f"{name} is {value}, the program says {report[name]}")


class Figures:
    """Runs of one matrix with one effort and several seeds."""

    def __init__(self, args, path, effort):
        weights = np.load(path)
        self.reports = []
        for seed in range(args.seeds):
            self.reports.append(permute(args.program, path, "2:4", 1, args.cpu, effort, seed))
            check_report(weights, self.reports[-1])

    def of(self, name):
        return [report[name] for report in self.reports]

    def median(self, name):
        return statistics.median(self.of(name))

    def text(self, name):
        return f"{self.median(name):.5f} ({min(self.of(name)):.5f})"


def seconds_aim(shape):
    weights = shape[0] * shape[1]
    return next(aim for limit, aim in DEFAULT_SECONDS if weights <= limit)


def seconds_text(seconds, shape, name, effort, default_seconds):
    """Seconds with their aim: apex's time for fast, a table for default, a factor for best."""
    if effort == "fast":
        aim = APEX_SECONDS.get(shape)
    elif effort == "default":
        aim = seconds_aim(shape)
    else:
        aim = BEST_OVER_DEFAULT * default_seconds
    if aim is None:
        return f"{seconds:.3f} | |"
    if seconds > aim:
        missed.append(f"{name}, {effort}: {seconds:.3f} s, aim {aim:.3g} s")
    return f"{seconds:.3f} | {aim:.3g} |"


def hold_quality(name, effort, figures):
    """Against apex's default for fast, else its best; and the matrix's own aim."""
    if (name, effort) in QUALITY:
        measure, aim = QUALITY[name, effort]
        value = figures.median(measure)
        hold(value >= aim, f"{name}, {effort}: {measure} {value:.6f}, aim {aim}")
    apex = APEX[name]
    value = figures.median(apex.measure)
    aim = apex.default if effort == "fast" else apex.best
    return hold(value > aim, f"{name}, {effort}: {apex.measure} {value:.6f}, apex {aim}")


def reference_part(args):
    folder = pathlib.Path(os.environ.get("ESPALIER_SHARED", ROOT.parent / "shared"))
    paths = sorted((folder / "reference/permutation").glob("*.npy"))
    if not paths:
        print(f"reference: skipped, no matrices in {folder}/reference/permutation")
    else:
        print(f"Median (least) of {args.seeds} seeds, 2:4, one thread. Above: apex's default for "
              "fast, the best of its columns for default and best.\n")
        head("matrix | effort | kept | efficacy | CPU s | s | aim | apex default | apex best "
             "| above")
    for path in paths:
        shape = np.load(path, mmap_mode="r").shape
        default = None
        for effort in EFFORTS:
            if effort == "best" and shape[1] > args.best_columns:
                continue
            figures = Figures(args, path, effort)
            apex = APEX.get(path.stem)
            seconds = figures.median("seconds")
            theirs = "| | |"
            if apex is not None:
                above = hold_quality(path.stem, effort, figures)
                theirs = f" {apex.default} | {apex.best} | {above} |"
            print(f"| {path.stem} | {effort} | {figures.text('kept_after')} | "
                  f"{figures.text('efficacy')} | {figures.median('cpu'):.2f} | "
                  + seconds_text(seconds, shape, path.stem, effort,
                                 default and default.median("seconds")) + theirs, flush=True)
            if effort == "default":
                default = figures
            elif effort == "best" and figures.median("kept_after") <= default.median("kept_after"):
                missed.append(f"{path.stem}: best keeps {figures.median('kept_after'):.5f}, "
                              f"default {default.median('kept_after'):.5f}")


def uniform_part(args, folder):
    count = 5
    paths = [folder / f"uniform{i}.npy" for i in range(count)]
    for i, path in enumerate(paths):
        np.save(path, np.random.default_rng(i).random((128, 64), np.float32))
    print(f"{count} matrices of uniform values, 128 x 64, one thread, search with seed 0.\n")
    head("effort | efficacy: median | least | largest | aim | s")
    for effort in EFFORTS:
        reports = []
        for path in paths:
            reports.append(permute(args.program, path, "2:4", 1, args.cpu, effort))
            check_report(np.load(path), reports[-1])
        efficacy = [report["efficacy"] for report in reports]
        median = statistics.median(efficacy)
        aim = UNIFORM_EFFICACY.get(effort, 0)
        hold(median >= aim, f"uniform 128 x 64, {effort}: efficacy {median:.4f}, aim {aim}")
        print(f"| {effort} | {median:.4f} | {min(efficacy):.4f} | {max(efficacy):.4f} | "
              f"{aim or ''} | {statistics.median(r['seconds'] for r in reports):.3f} |", flush=True)


def large_matrix(size, heavy):
    random = np.random.default_rng(size + heavy)
    weights = random.standard_normal((size, size), np.float32)
    if heavy:  # as in the reference matrices: each column with a scale of its own
        weights *= np.exp(random.standard_normal(size, np.float32))
    return weights


def large_part(args, folder):
    print(f"Median (least) of {args.seeds} seeds, 2:4, one thread; memory: the process's peak over "
          "the matrix's bytes (float32).\n")
    head("matrix | effort | kept before | kept | efficacy | CPU s | s | aim | memory | aim")
    for size in (1024, 4096):
        for heavy in (False, True):
            name = f"{'heavy-tailed' if heavy else 'normal'} {size} x {size}"
            path = folder / "large.npy"
            np.save(path, large_matrix(size, heavy))
            default_seconds = None
            for effort in EFFORTS:
                if effort == "best" and size > args.best_columns:
                    continue
                figures = Figures(args, path, effort)
                seconds = figures.median("seconds")
                memory = figures.median("peak") / (4 * size * size)
                if effort == "default":
                    default_seconds = seconds
                aim = MEMORY_OVER_MATRIX if size == 4096 else ""
                hold(not aim or memory <= aim, f"{name}, {effort}: memory {memory:.1f}, aim {aim}")
                print(f"| {name} | {effort} | {figures.median('kept_before'):.5f} | "
                      f"{figures.text('kept_after')} | {figures.text('efficacy')} | "
                      f"{figures.median('cpu'):.2f} | "
                      + seconds_text(seconds, (size, size), name, effort, default_seconds)
                      + f" {memory:.1f} | {aim} |", flush=True)


class Resnet50:
    """The standard topology, stride in the 3x3 convolutions; weights of a fixed seed."""

    def __init__(self):
        self.random = np.random.default_rng(50)
        self.nodes, self.initializers = [], []
        self.convolutions = 0

    def initializer(self, name, values):
        self.initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name + "_out"], name, **attributes))
        return name + "_out"

    def scales(self, channels):
        """Log-normal, mean square 1."""
        return np.exp(SCALE_SPREAD * self.random.standard_normal(channels) - SCALE_SPREAD**2)

    def conv(self, x, name, inputs, out, kernel, stride=1, gain=1.0):
        """With its batch norm, which takes back the scales of the output channels."""
        self.convolutions += 1
        scales = self.scales(out)
        weights = self.random.standard_normal((out, inputs, kernel, kernel))
        weights *= np.sqrt(2 / (inputs * kernel * kernel)) * scales[:, None, None, None]
        weights *= self.scales(inputs)[:, None, None]
        x = self.node("Conv", [x, self.initializer(name + ".weight", weights)], name,
                      kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
        noise = 0.1 * self.random.standard_normal((3, out))
        norm = {"scale": gain * (1 + noise[0]), "bias": noise[1], "mean": scales * noise[2],
                "var": scales**2}
        names = [self.initializer(f"{name}.bn.{key}", values) for key, values in norm.items()]
        return self.node("BatchNormalization", [x, *names], name + ".bn")

    def block(self, x, name, inputs, width, stride):
        out = 4 * width
        y = self.node("Relu", [self.conv(x, name + ".conv1", inputs, width, 1)], name + ".relu1")
        y = self.node("Relu", [self.conv(y, name + ".conv2", width, width, 3, stride)],
                      name + ".relu2")
        y = self.conv(y, name + ".conv3", width, out, 1, gain=0.3)
        if inputs != out:
            x = self.conv(x, name + ".downsample", inputs, out, 1, stride, gain=0.7)
        return self.node("Relu", [self.node("Add", [y, x], name + ".add")], name + ".relu3")

    def build(self):
        x = self.node("Relu", [self.conv("x", "conv1", 3, 64, 7, 2)], "relu")
        x = self.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2],
                      pads=[1] * 4)
        inputs = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            width = 64 << stage
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                x = self.block(x, f"layer{stage + 1}.{i}", inputs, width, stride)
                inputs = 4 * width
        assert self.convolutions == 53
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x], "avgpool")], "flatten")
        fc = 0.02 * self.random.standard_normal((1000, 2048)) * self.scales(2048)
        self.node("Gemm", [x, self.initializer("fc.weight", fc),
                           self.initializer("fc.bias", np.zeros(1000))], "fc", transB=1)
        graph = helper.make_graph(
            self.nodes, "resnet50",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info("fc_out", TensorProto.FLOAT, [1, 1000])],
            self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def onnxruntime_output(path):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    return session.run(None, {"x": x})[0].astype(np.float64)


def layer_magnitudes(path):
    """Layer -> (kept, total) under 2:4 along its input channels."""
    result = {}
    model = onnx.load(path)
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weights = numpy_helper.to_array(arrays[node.input[1]])
            rows = np.moveaxis(weights, 1, -1)
            if rows.shape[-1] % 4 == 0:
                result[node.name] = kept_2_4(rows)
    return result


def share(magnitudes, layers):
    return (sum(magnitudes[layer][0] for layer in layers)
            / sum(magnitudes[layer][1] for layer in layers))


def list_groups(groups, before, after):
    """One row a group; figures computed again from both files."""
    print()
    head("layers that read the channels | channels | kept before | after | reason")
    for group in groups:
        layers = group["layers"]
        kept = [group["kept_before"], group["kept_after"]]
        if layers:
            again = [share(before, layers), share(after, layers)]
            if max(abs(a - b) for a, b in zip(kept, again)) > 1e-6:
                missed.append(f"{layers[0]}...: kept {again}, the program says {kept}")
        names = ", ".join(layers[:2]) + (f" and {len(layers) - 2} more" if layers[2:] else "")
        shown = [f"{share_kept:.5f}" if share_kept is not None else "-" for share_kept in kept]
        print(f"| {names or '-'} | {group['channels']} | {shown[0]} | {shown[1]} | "
              f"{group['reason'] or ''} |")


def resnet50_part(args, folder):
    source, output = folder / "resnet50.onnx", folder / "permuted.onnx"
    onnx.save(Resnet50().build(), source)
    size = source.stat().st_size
    want = onnxruntime_output(source)
    before = layer_magnitudes(source)
    print(f"ResNet-50's shape, {size / 1e6:.0f} MB, log-normal channel scales "
          f"(sigma {SCALE_SPREAD}), 2:4, two threads, seed 0.\n")
    head("effort | s | aim | with check | CPU s | groups reordered "
         "| kept by all their layers: before | after | check's difference | in ONNX Runtime "
         "| peak memory / model")
    listing = None
    for effort in EFFORTS:
        if effort == "best" and not args.best_resnet50:
            continue
        report = permute(args.program, source, "2:4", 2, effort=effort, output=output)
        after = layer_magnitudes(output)
        got = onnxruntime_output(output)
        groups = report["groups"]
        applied = [group for group in groups if group["applied"]]
        layers = sorted({layer for group in applied for layer in group["layers"]})
        seconds = report["seconds"]
        aim = RESNET50_SECONDS if effort == "default" else ""
        hold(not aim or seconds < aim, f"ResNet-50: {seconds:.1f} s, aim {aim} s")
        print(f"| {effort} | {seconds:.1f} | {aim} | {report['wall']:.1f} | "
              f"{report['cpu']:.1f} | {len(applied)} of {len(groups)} | "
              f"{share(before, layers):.5f} | {share(after, layers):.5f} | "
              f"{report['difference']:.1e} | {np.abs(got - want).max() / np.abs(want).max():.1e} | "
              f"{report['peak'] / size:.1f} |", flush=True)
        if effort == "default":
            listing = groups, after
    list_groups(listing[0], before, listing[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", type=int, default=3, help="of the search; default 3")
    parser.add_argument("--best-columns", type=int, default=128,
                        help="effort best only up to so many columns; default 128")
    parser.add_argument("--best-resnet50", action="store_true", help="effort best there too")
    parser.add_argument("--cpu", default="1", help="as for taskset; default 1")
    args = parser.parse_args()
    args.program = args.program.resolve()
    parts = args.parts.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--parts are of {','.join(PARTS)}")
    if args.seeds < 1:
        parser.error("--seeds is at least 1")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as name:
        folder = pathlib.Path(name)
        for part in parts:
            print(f"\n### {part}\n")
            if part == "reference":
                reference_part(args)
            elif part == "uniform":
                uniform_part(args, folder)
            elif part == "large":
                large_part(args, folder)
            else:
                resnet50_part(args, folder)
    print(f"\nload {os.getloadavg()[0]:.1f}; {len(missed)} aims missed")
    for line in missed:
        print(f"* {line}")


if __name__ == "__main__":
    main()

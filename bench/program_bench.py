#!/usr/bin/env python3
"""The whole program against its control, side by side in one run, pinned to one CPU.

    bench/program_bench.py [--program build/release/espalier] [--folder DIR] [--bytes 2G] [--runs 11]

1. `espalier prune --pattern 2:4 --threads 1` of a bfloat16 checkpoint, against `cp` of the same file:
   ratio of the medians and of the 10th percentiles, wall and CPU time, and the peak memory.
2. CPU time of `espalier inspect` on a 5 MB model, if ESPALIER_SHARED has one.

Runs alternate; before each the outputs are removed and dirty pages are written out. Put DIR on a tmpfs
(/dev/shm) to measure the program and not the disk.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command):
    """(wall s, CPU s, peak resident KB) of one pinned run."""
    cpu = max(os.sched_getaffinity(0))
    start = time.perf_counter()
    child = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def prune_against_cp(program, folder, size, runs):
    source = folder / "checkpoint.safetensors"
    copy, pruned = folder / "copy.safetensors", folder / "pruned.safetensors"
    subprocess.run([sys.executable, ROOT / "tools/make_checkpoint.py", source, "--bytes", size,
                    "--dtype", "bf16"], check=True, stdout=subprocess.DEVNULL)
    jobs = {
        "cp": ["cp", source, copy],
        "prune": [program, "prune", source, "-o", pruned, "--pattern", "2:4", "--threads", "1",
                  "--quiet"],
    }
    times = {name: [] for name in jobs}
    for _ in range(runs + 1):  # the first of each warms the page cache and is left out
        for name, command in jobs.items():
            copy.unlink(missing_ok=True)
            pruned.unlink(missing_ok=True)
            os.sync()
            times[name].append(run(command))
    print(f"prune --pattern 2:4 of {size} bfloat16 against cp, one thread, {runs} runs, {folder}")
    print(f"{'':8}{'cp s':>8}{'prune s':>9}{'ratio':>7}")
    for row, column, share in [("wall", 0, .5), ("wall", 0, .1), ("CPU", 1, .5), ("CPU", 1, .1)]:
        cp = percentile([t[column] for t in times["cp"][1:]], share)
        prune = percentile([t[column] for t in times["prune"][1:]], share)
        label = f"{row} {'median' if share == .5 else 'p10'}"
        print(f"{label:12}{cp:6.2f}{prune:8.2f}{prune / cp:8.2f}")
    print(f"peak memory of prune: {max(t[2] for t in times['prune']) / 1024:.0f} MB")


def inspect(program, runs):
    shared = pathlib.Path(os.environ.get("ESPALIER_SHARED", ROOT.parent / "shared"))
    model = shared / "models/squeezenet_v1.1.onnx"
    if not model.exists():
        print(f"inspect: skipped, there is no {model}")
        return
    times = [run([program, "inspect", model, "--quiet"])[1] for _ in range(5 * runs)]
    print(f"inspect {model.name} ({model.stat().st_size / 1e6:.1f} MB): CPU "
          f"{1e3 * percentile(times, .5):.0f} ms median, {1e3 * percentile(times, .1):.0f} ms p10")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/espalier")
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--bytes", default="2G")
    parser.add_argument("--runs", type=int, default=11)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="espalier-bench-") as folder:
        prune_against_cp(args.program.resolve(), pathlib.Path(folder), args.bytes, args.runs)
    inspect(args.program.resolve(), args.runs)


if __name__ == "__main__":
    main()

"""safetensors: single files and folders with an index, judged by a parser of our own."""

import e2e  # first: it may start the test again under another Python

import json
import os
import subprocess
import sys
import unittest

import numpy as np

import safetensors_file
from oracle import lowest, nearest, nm_keep

MOST_RESIDENT = 400 << 20  # bytes, whatever the checkpoint's size
MAKE = e2e.SOURCE / "tools" / "make_checkpoint.py"


def make(path, size, *arguments):
    subprocess.run([sys.executable, "-B", MAKE, path, "--bytes", size, *arguments], check=True)
    return path


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def bfloat16(array):
    return (array.view(np.uint32) >> 16).astype(np.uint16)


class Checkpoint(e2e.Case):
    def check_file(self, before, after, names, n=2, m=4):
        """Tensors in `names` are masked along axis 1, all else is the same to the byte."""
        old, new = safetensors_file.read_header(before), safetensors_file.read_header(after)
        self.assertEqual(old[0], new[0], "the header changed")
        old, new = safetensors_file.read(before), safetensors_file.read(after)
        self.assertEqual(list(old), list(new))
        for name, was in old.items():
            expected = np.asarray(was)
            if name in names:
                scores = np.abs(safetensors_file.as_float(expected)).astype(np.float32)
                keep = np.moveaxis(nm_keep(np.moveaxis(scores, 1, -1), n, m), -1, 1)
                expected = np.where(keep, expected, expected.dtype.type(0))
            self.assertEqual(np.asarray(new[name]).tobytes(), expected.tobytes(), name)

    def pruned(self, report):
        return {layer["name"] for layer in report["layers"] if layer["pruned"]}

    def test_every_type_and_what_is_left_alone(self):
        tensors = {
            "a.weight": ("F32", normal(16, 32)), "b.weight": ("F16", normal(8, 64).astype("f2")),
            "c.weight": ("BF16", bfloat16(normal(24, 16))), "d.weight": ("F64",
                                                                        normal(8, 16).astype("f8")),
            "conv.weight": ("F32", normal(8, 16, 3, 3)), "a.bias": ("F32", normal(16)),
            "odd.weight": ("F32", normal(7, 16)), "ids": ("I64", np.arange(32).reshape(2, 16)),
            "q.weight": ("I8", np.ones((8, 16), np.int8)),
            "e8.weight": ("F8_E4M3", np.ones((8, 16), np.uint8)),
            "embed_tokens.weight": ("F32", normal(32, 16)),
            "empty.weight": ("F32", np.zeros((0, 16), np.float32)),
            "scalar": ("F32", np.float32(3).reshape(())),
        }
        source = safetensors_file.write(self.folder / "in.safetensors", tensors,
                                        {"format": "pt", "note": "\u00e9"}, pad=5)
        output, report = self.prune(source, "2:4")
        names = {"a.weight", "b.weight", "c.weight", "d.weight", "conv.weight"}
        self.assertEqual(self.pruned(report), names)
        reasons = {x["name"]: x["reason"] for x in report["layers"] if not x["pruned"]}
        self.assertIn("K = 7", reasons["odd.weight"])
        self.assertIn("zero point", reasons["q.weight"])
        self.assertIn("embedding", reasons["embed_tokens.weight"])
        self.assertIn("no elements", reasons["empty.weight"])
        self.check_file(source, output, names)
        self.good("verify", output, "--pattern", "2:4")
        _, report = self.prune(source, "2:4", "--only", "name:embed.*")
        self.assertEqual(self.pruned(report), {"embed_tokens.weight"})

    def test_nothing_pruned_is_the_same_file(self):
        source = e2e.shared("models/silero_vad_16k.safetensors")
        output, _ = self.prune(source, "2:4", "--only", "name:nothing")
        self.assertEqual(e2e.sha256(output), e2e.sha256(source))

    def test_silero(self):
        source = e2e.shared("models/silero_vad_16k.safetensors")
        for align in ("tensorrt", "none"):
            for pattern in ("2:4", "1:4", "4:8"):
                output, report = self.prune(source, pattern, "--align", align)
                self.check_file(source, output, self.pruned(report), *map(int, pattern.split(":")))
                self.good("verify", output, "--pattern", pattern, "--align", align)
        recurrent = self.good("inspect", source, "--json").json
        self.assertEqual(self.layer(recurrent, "lstm_cell.weight_ih")["op"], "recurrent")

    def test_unstructured_counts_exactly(self):
        source = safetensors_file.write(
            self.folder / "in.safetensors",
            {"a.weight": ("BF16", bfloat16(normal(40, 48))), "b.weight": ("F32", normal(9, 31))})
        output, report = self.prune(source, "unstructured", "--sparsity", "0.7")
        before, after = safetensors_file.read(source), safetensors_file.read(output)
        for name in before:
            was = np.asarray(before[name]).ravel()
            drop = lowest(np.abs(safetensors_file.as_float(was)), nearest(0.7, was.size))
            np.testing.assert_array_equal(np.asarray(after[name]).ravel(), np.where(drop, 0, was))
            self.assertEqual(self.layer(report, name)["dropped"], np.count_nonzero(drop))

    def sharded(self):
        folder = make(self.folder / "in", "12M", "--dtype", "bf16", "--shards", "3")
        (folder / "config.json").write_text('{"hidden_size": 64}')
        (folder / "tokenizer.model").write_bytes(b"\0\1\2")
        (folder / "pytorch_model.bin").write_bytes(b"other weights")
        return folder

    def test_index(self):
        folder = self.sharded()
        index = folder / "model.safetensors.index.json"
        hashes = {p.name: e2e.sha256(p) for p in folder.iterdir()}
        output = self.folder / "new" / "out"
        _, report = self.prune(index, "2:4", output=output)
        self.assertEqual({p.name: e2e.sha256(p) for p in folder.iterdir()}, hashes)
        self.assertEqual({p.name for p in output.iterdir()}, set(hashes) - {"pytorch_model.bin"})
        for name in ("config.json", "tokenizer.model", index.name):
            self.assertEqual(e2e.sha256(output / name), hashes[name])
        names = self.pruned(report)
        self.assertGreaterEqual(len(names), 7)
        self.assertFalse([n for n in names if "norm" in n or "embed" in n or "lm_head" in n])
        for shard in sorted(folder.glob("*.safetensors")):
            self.check_file(shard, output / shard.name, names)
        self.good("verify", output / index.name, "--pattern", "2:4")
        self.bad(2, "prune", index, "-o", output, "--pattern", "2:4", says="--force")
        self.prune(index, "2:4", "--force", output=output)

    def test_index_in_place_needs_force(self):
        folder = self.sharded()
        index = folder / "model.safetensors.index.json"
        hashes = {p.name: e2e.sha256(p) for p in folder.iterdir()}
        self.bad(2, "prune", index, "-o", folder, "--pattern", "2:4", says="--force")
        self.assertEqual({p.name: e2e.sha256(p) for p in folder.iterdir()}, hashes)
        self.prune(index, "2:4", "--force", output=folder)
        self.good("verify", index, "--pattern", "2:4")
        self.assertEqual({p.name for p in folder.iterdir()}, set(hashes))

    def test_index_by_a_name_without_a_folder(self):
        folder = self.sharded()
        self.good("prune", "model.safetensors.index.json", "-o", "../out", "--pattern", "2:4",
                  cwd=folder)
        self.assertTrue((self.folder / "out" / "config.json").exists())

    def test_bad_indexes(self):
        folder = self.sharded()
        index = folder / "model.safetensors.index.json"
        good = json.loads(index.read_text())
        name, shard = next(iter(good["weight_map"].items()))
        cases = {
            "missing": {**good["weight_map"], name: "no.safetensors"},
            "leaves the folder": {**good["weight_map"], name: "../x.safetensors"},
            "absolute": {**good["weight_map"], name: "/etc/passwd"},
            "no such tensor": {**good["weight_map"], "no such": shard},
        }
        for what, weight_map in cases.items():
            with self.subTest(what):
                index.write_text(json.dumps({"weight_map": weight_map}))
                self.bad(3, "prune", index, "-o", self.folder / "out", "--pattern", "2:4")
                self.assertFalse((self.folder / "out").exists())
        for text in ("", "{", "[]", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{}"):
            with self.subTest(text):
                index.write_text(text)
                self.bad(3, "inspect", index, says=index.name)


class Memory(e2e.Case):
    def measured(self, *arguments):
        """Peak resident bytes of one run."""
        child = subprocess.Popen([e2e.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 0)
        return usage.ru_maxrss * 1024

    def test_memory_does_not_grow_with_the_checkpoint(self):
        source = make(self.folder / "big.safetensors", "600M", "--dtype", "bf16")
        output = self.folder / "out.safetensors"
        for pattern in (("2:4",), ("2:4-transposable",),
                        ("unstructured", "--sparsity", "0.5", "--scope", "global")):
            with self.subTest(pattern):
                peak = self.measured("prune", source, "-o", output, "--force", "--threads", "2",
                                     "--quiet", "--pattern", *pattern)
                self.assertLessEqual(peak, MOST_RESIDENT)
                if pattern == ("2:4",):
                    peak = self.measured("verify", output, "--pattern", "2:4", "--quiet")
                    self.assertLessEqual(peak, MOST_RESIDENT)
        self.assertLessEqual(self.measured("inspect", source, "--quiet"), MOST_RESIDENT)


if __name__ == "__main__":
    e2e.main()

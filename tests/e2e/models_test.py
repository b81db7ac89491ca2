"""Every model of the shared data: inspect, prune, verify, and an independent account in numpy.

    models_test.py cifar_resnet20        # one class a model
"""

import e2e  # first: it may start the test again under another Python

import functools
import unittest

import numpy as np
import onnx

import ort
from oracle import (best_transposable, blocks_of, global_counts, layers_of, lowest, nearest,
                    nm_keep, tiles_of)

MODELS = ("cifar_resnet20", "fastestdet", "gtcrn_simple", "mobilefacenet", "picodet_s_320_coco",
          "ppocr_cls_v2", "silero_vad_16k_op15", "squeezenet_v1.1", "ultraface_rfb_320",
          "vit_mnist", "yunet_n_320")
# Each of two sums of up to 256 float32 a lane may be off by 2^-15 (kernels/magnitude.h).
SUM_ERROR = 2 * 2.0**-15


class Pair:
    """One pruned layer: packed values [groups, outputs, positions, channels] before and after."""

    def __init__(self, before, after, order, entry):
        self.entry, self.order = entry, order
        self.stored_before = before.array().reshape(-1)
        self.stored_after = after.array().reshape(-1)
        self.before, self.after = self.stored_before[order], self.stored_after[order]
        self.scores = np.abs(self.before)

    @property
    def rows(self):
        return self.order.shape[0] * self.order.shape[1]


class ModelCase(e2e.Case):
    model = ""

    def setUp(self):
        super().setUp()
        self.path = e2e.shared(f"models/{self.model}.onnx")
        self.source = onnx.load(self.path)

    def pairs(self, output, report):
        """Checks that nothing but pruned weights changed, and returns these."""
        changed = onnx.load(output)
        before = {layer.name: layer for layer in layers_of(self.source)}
        after = {layer.name: layer for layer in layers_of(changed)}
        pairs = []
        for entry in report["layers"]:
            if not entry["pruned"]:
                continue
            was, now = before[entry["name"]], after[entry["name"]]
            self.assertEqual(list(was.constant.tensor.dims), entry["shape"])
            pairs.append(Pair(was.constant, now.constant, was.order, entry))
            pairs[-1].restore = functools.partial(now.constant.tensor.CopyFrom, was.constant.tensor)
        for pair in pairs:
            pair.restore()
        self.assertEqual(changed, self.source, "something else than the pruned weights changed")
        return pairs

    def check_numbers(self, pairs, report):
        """What the report says is so."""
        for pair in pairs:
            name = pair.entry["name"]
            kept = pair.after.view(np.uint32) != 0
            np.testing.assert_array_equal(pair.after.view(np.uint32)[kept],
                                          pair.before.view(np.uint32)[kept], name)
            zeros = np.count_nonzero(pair.after == 0)
            self.assertAlmostEqual(pair.entry["sparsity"], zeros / pair.after.size, places=12)
            whole = pair.scores.sum(dtype=np.float64)
            part = np.abs(pair.after).sum(dtype=np.float64)
            self.assertAlmostEqual(pair.entry["kept_magnitude"], part / whole if whole else 1,
                                   delta=SUM_ERROR, msg=name)
        if pairs:
            zeros = sum(np.count_nonzero(p.after == 0) for p in pairs)
            whole = sum(p.scores.sum(dtype=np.float64) for p in pairs)
            part = sum(np.abs(p.after).sum(dtype=np.float64) for p in pairs)
            self.assertAlmostEqual(report["sparsity"], zeros / sum(p.after.size for p in pairs),
                                   places=12)
            self.assertAlmostEqual(report["kept_magnitude"], part / whole, delta=SUM_ERROR)

    def check_alignment(self, report, aligned):
        shapes = {layer.name: layer.order.shape for layer in layers_of(self.source)}
        for entry in report["layers"]:
            groups, k, _, c = shapes[entry["name"]]
            fits = groups * k % 8 == 0 and c % 16 == 0
            if aligned and not fits:
                self.assertFalse(entry["pruned"], entry)
                self.assertIn("multiple of", entry["reason"])
            elif fits or not aligned:
                self.assertTrue(entry["pruned"], entry)

    def check_loads(self, output):
        """The model runs, and its outputs are those of the source with the same zeros put in."""
        masked = onnx.load(self.path)
        new = {layer.name: layer for layer in layers_of(onnx.load(output))}
        for layer in layers_of(masked):
            layer.constant.tensor.CopyFrom(new[layer.name].constant.tensor)
        inputs = self.inputs()
        for mine, manual in zip(ort.run(output, inputs), ort.run(masked, inputs), strict=True):
            np.testing.assert_array_equal(mine, manual)

    def inputs(self):
        data = np.load(e2e.shared(f"reference/onnxruntime/{self.model}.npz"))
        return {k[len("input:"):]: data[k] for k in data if k.startswith("input:")}

    def both_alignments(self, pattern, *arguments):
        for align in ("tensorrt", "none"):
            with self.subTest(pattern=pattern, align=align):
                output, report = self.prune(self.path, pattern, "--align", align, *arguments)
                self.check_alignment(report, align == "tensorrt")
                pairs = self.pairs(output, report)
                self.check_numbers(pairs, report)
                # Over all layers some layer may lose nothing, and then no ratio holds in each.
                if pairs and "--scope" not in arguments:
                    self.good("verify", output, "--pattern", pattern, "--align", align, "--quiet",
                              *arguments)
                yield output, pairs, report

    # --- tests -----------------------------------------------------------------------------------

    def test_inspect_lists_every_weight(self):
        report = self.good("inspect", self.path, "--json").json
        known = {layer.name: layer for layer in layers_of(self.source)}
        constants = {known[entry["name"]].constant.name for entry in report["layers"]}
        missing = {layer.constant.name for layer in known.values()} - constants
        self.assertEqual(missing, set())
        for entry in report["layers"]:
            array = known[entry["name"]].constant.array()
            self.assertEqual(entry["shape"], list(array.shape))
            self.assertEqual(entry["parameters"], array.size)
            self.assertEqual(entry["op"], known[entry["name"]].node.op_type)
            self.assertAlmostEqual(entry["sparsity"], np.mean(array == 0), places=12)

    def test_nm_keeps_the_highest_of_each_group(self):
        for pattern in ("2:4", "1:4", "4:8"):
            n, m = map(int, pattern.split(":"))
            for output, pairs, _ in self.both_alignments(pattern):
                for pair in pairs:
                    keep = nm_keep(pair.scores, n, m)
                    np.testing.assert_array_equal(
                        pair.after.view(np.uint32),
                        np.where(keep, pair.before, np.float32(0)).view(np.uint32),
                        pair.entry["name"])
                    self.assertEqual(pair.entry["dropped"], np.count_nonzero(~keep))
                if pattern == "2:4":
                    self.check_loads(output)

    def test_transposable_is_the_best_of_90(self):
        for output, pairs, _ in self.both_alignments("2:4-transposable"):
            for pair in pairs:
                tiles = tiles_of(pair.after != 0)
                self.assertLessEqual(tiles.sum(1).max(initial=0), 2)
                self.assertLessEqual(tiles.sum(2).max(initial=0), 2)
                best = best_transposable(pair.scores)
                mine = tiles_of(np.abs(pair.after)).sum((1, 2))
                # A float32 sum of 8 terms may take a mask that is less good by 8 roundings.
                np.testing.assert_array_less(best, mine * (1 + 8 * 2.0**-23) + 1e-30)
            ort.load(output)

    def test_blocks_drop_exactly_half(self):
        for output, pairs, _ in self.both_alignments("block:4x1", "--sparsity", "0.5"):
            for pair in pairs:
                before = blocks_of(pair.scores.astype(np.float64), 4, 1)
                after = blocks_of(np.abs(pair.after).astype(np.float64), 4, 1)
                kept = after > 0
                np.testing.assert_array_equal(after[kept], before[kept])  # kept or dropped whole
                count = nearest(0.5, before.size)
                already = np.count_nonzero(before == 0)
                self.assertEqual(np.count_nonzero(~kept), max(count, already))
                if count > already:
                    self.assertLessEqual(before[~kept].max(), before[kept].min() * (1 + 2.0**-21))
            ort.load(output)

    def test_channels_drop_a_quarter(self):
        for output, pairs, _ in self.both_alignments("channel", "--sparsity", "0.25"):
            for pair in pairs:
                before = pair.scores.sum((2, 3), dtype=np.float64)
                kept = np.abs(pair.after).sum((2, 3), dtype=np.float64) > 0
                np.testing.assert_array_equal(pair.after[kept], pair.before[kept])
                count = nearest(0.25, pair.rows)
                already = np.count_nonzero(before == 0)
                self.assertEqual(np.count_nonzero(~kept), max(count, already))
                if count > already:
                    self.assertLessEqual(before[~kept].max(), before[kept].min() * (1 + 2.0**-20))
            ort.load(output)

    def test_unstructured_drops_exactly_k_of_each_layer(self):
        for output, pairs, _ in self.both_alignments("unstructured", "--sparsity", "0.75"):
            for pair in pairs:
                scores = np.abs(pair.stored_before)
                drop = lowest(scores, nearest(0.75, scores.size))
                np.testing.assert_array_equal(
                    pair.stored_after.view(np.uint32),
                    np.where(drop, np.float32(0), pair.stored_before).view(np.uint32),
                    pair.entry["name"])
                self.assertEqual(pair.entry["dropped"], np.count_nonzero(drop))
            self.check_loads(output)

    def test_global_drops_exactly_k_of_all(self):
        for output, pairs, _ in self.both_alignments("unstructured", "--sparsity", "0.75",
                                                     "--scope", "global"):
            scores = [np.abs(pair.stored_before) for pair in pairs]
            total = nearest(0.75, sum(s.size for s in scores))
            counts = global_counts(scores, [pair.rows for pair in pairs], total)
            for pair, score, count in zip(pairs, scores, counts):
                self.assertEqual(pair.entry["dropped"], count, pair.entry)
                expected = np.where(lowest(score, count), np.float32(0), pair.stored_before)
                np.testing.assert_array_equal(pair.stored_after.view(np.uint32),
                                              expected.view(np.uint32), pair.entry["name"])
            self.check_global_total(pairs, total)
            ort.load(output)

    def check_global_total(self, pairs, total):
        room = sum(pair.order.size - pair.rows for pair in pairs)
        self.assertEqual(sum(pair.entry["dropped"] for pair in pairs), min(total, room))

    def test_global_normalized_drops_exactly_k_of_all(self):
        for output, pairs, _ in self.both_alignments("unstructured", "--sparsity", "0.75",
                                                     "--scope", "global-normalized"):
            total = nearest(0.75, sum(pair.order.size for pair in pairs))
            self.check_global_total(pairs, total)
            lowest_kept, highest_dropped = np.inf, 0.0
            for pair in pairs:
                norm = np.sqrt(np.square(pair.scores, dtype=np.float64).sum())
                dropped = pair.entry["dropped"]
                if pair.entry["limit"] or norm == 0:
                    self.assertEqual(dropped, pair.order.size - pair.rows)
                    continue
                # Scaling keeps the order but for scores that round to the same float.
                gone = pair.scores[(pair.after == 0) & (pair.before != 0)]
                kept = pair.scores[pair.after != 0]
                self.assertLessEqual(gone.max(initial=0), kept.min(initial=np.inf) * (1 + 2.0**-22))
                lowest_kept = min(lowest_kept, kept.min(initial=np.inf) / norm)
                highest_dropped = max(highest_dropped, gone.max(initial=0) / norm)
            self.assertLessEqual(highest_dropped, lowest_kept * (1 + 2.0**-22))
            ort.load(output)

    def test_nothing_pruned_is_the_same_model(self):
        output, report = self.prune(self.path, "2:4", "--only", "name:nothing")
        self.assertEqual(report["warnings"][-1], "no layer was pruned; see the reasons")
        self.assertEqual(onnx.load(output), self.source)
        data = np.load(e2e.shared(f"reference/onnxruntime/{self.model}.npz"))
        names = [k for k in data if k.startswith("output:")]
        original = ort.run(self.path, self.inputs())
        for name, mine, theirs in zip(names, ort.run(output, self.inputs()), original, strict=True):
            np.testing.assert_array_equal(mine, theirs)
            # Versions of ONNX Runtime differ by roundings; a wrong output would differ by its size.
            error = np.abs(mine.astype(np.float64) - data[name]).max()
            self.assertLessEqual(error, 1e-3 * np.abs(data[name]).max(), name)

    def test_verify_finds_the_unpruned_model_broken(self):
        result = self.good("verify", self.path, "--pattern", "1:4", "--align", "none", "--json",
                           status=1)
        self.assertFalse(result.json["holds"])


for _name in MODELS:
    globals()[_name.replace(".", "_")] = type(_name, (ModelCase,), {"model": _name})
del ModelCase  # not a test by itself

if __name__ == "__main__":
    e2e.main()

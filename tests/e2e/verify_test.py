"""`verify`: the exact first bad place against numpy, and TensorRT's verdicts with their reasons."""

import e2e  # first: it may start the test again under another Python

import itertools

import numpy as np
import onnx
from onnx import helper, numpy_helper

from oracle import nm_keep


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pruned(weight, axis=1, n=2, m=4):
    moved = np.moveaxis(weight, axis, -1)
    return np.ascontiguousarray(np.moveaxis(np.where(nm_keep(np.abs(moved), n, m), moved, 0), -1,
                                            axis))


def first_violation(weight, groups, n, m):
    """The first bad group in the order of k, then kernel position, then c; `weight` is KCRS."""
    for k in range(weight.shape[0]):
        for position in itertools.product(*map(range, weight.shape[2:])):
            line = weight[(k, slice(None), *position)]
            for c in range(0, len(line), m):
                count = int(np.count_nonzero(line[c:c + m]))
                if count > n:
                    return {"k": k, "c": c, "position": position, "nonzeros": count}
    return None


class Verify(e2e.Case):
    def model(self, op, weight, **attributes):
        spatial = weight.ndim - 2
        inputs = ["x", "w"]
        x = [1, 1, *[9] * spatial] if spatial else [1, 1]
        graph = helper.make_graph(
            [helper.make_node(op, inputs, ["y"], name="layer", **attributes)], "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x)], [],
            [numpy_helper.from_array(weight, "w")])
        path = self.folder / "v.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        return path

    def entry(self, path, *arguments, status=0):
        result = self.good("verify", path, "--pattern", "2:4", "--align", "none", "--json",
                           *arguments, status=status)
        self.assertEqual(result.json["holds"], status == 0)
        return result.json["layers"][0]

    def check_broken(self, path, weight, groups=1):
        expected = first_violation(weight, groups, 2, 4)
        self.assertIsNotNone(expected)
        entry = self.entry(path, status=1)
        self.assertFalse(entry["holds"])
        got = entry["first_violation"]
        position = expected.pop("position")
        names = {0: (), 1: ("r",), 2: ("r", "s"), 3: ("d", "r", "s")}[len(position)]
        expected.update({"r": 0, "s": 0})
        expected.update(zip(names, position))
        self.assertEqual(got, expected)
        for key in ("k", "c", "r", "s", *(["d"] if len(position) == 3 else [])):
            self.assertIn(f"{key}={expected[key]}", entry["reason"])

    def test_first_violation_of_convolutions(self):
        rng = np.random.default_rng(4)
        for groups, shape in ((1, (9, 12, 3, 3)), (3, (12, 10, 2, 5)), (1, (5, 8, 7)),
                              (2, (6, 9, 2, 3, 4)), (1, (8, 16, 1, 1))):
            for _ in range(4):
                weight = pruned(normal(*shape))
                # Two bad groups: the first of them must be told.
                for _ in range(2):
                    place = [rng.integers(size) for size in shape]
                    c = place[1] // 4 * 4
                    count = int(min(rng.integers(3, 5), shape[1] - c))
                    weight[(place[0], slice(c, c + count), *place[2:])] = 1
                with self.subTest(shape=shape):
                    if first_violation(weight, groups, 2, 4) is None:
                        continue  # the place was in a tail too short to break
                    self.check_broken(self.model("Conv", weight, group=groups), weight, groups)

    def test_first_violation_of_linear_layers(self):
        weight = pruned(normal(16, 20))
        weight[11, 12:15] = 1
        weight[13, 0:4] = 1
        for op, array, attributes in (("Gemm", weight, {"transB": 1}),
                                      ("Gemm", weight.T.copy(), {}),
                                      ("MatMul", weight.T.copy(), {})):
            entry = self.entry(self.model(op, array, **attributes), status=1)
            self.assertEqual(entry["first_violation"],
                             {"k": 11, "c": 12, "r": 0, "s": 0, "nonzeros": 3})

    def test_transposed_convolution_counts_outputs_over_groups(self):
        weight = normal(16, 6, 3, 3)  # C = 16 in two groups of 8; 6 outputs a group
        flat = weight.reshape(2, 8, 6, 9).transpose(0, 2, 1, 3).reshape(12, 8, 3, 3)
        self.check_broken(self.model("ConvTranspose", weight, group=2), flat)
        good = pruned(flat)
        good[9, 4:7, 2, 1] = 1
        stored = good.reshape(2, 6, 8, 9).transpose(0, 2, 1, 3).reshape(16, 6, 3, 3)
        path = self.model("ConvTranspose", np.ascontiguousarray(stored), group=2)
        self.check_broken(path, good)

    def test_minus_zero_is_zero(self):
        weight = pruned(normal(16, 16, 3, 3))
        weight[weight == 0] = -0.0
        self.assertTrue(self.entry(self.model("Conv", weight))["holds"])
        tiny = weight.copy()
        tiny[3, :4, 0, 0] = np.float32(1e-45)  # the smallest denormal is not
        self.check_broken(self.model("Conv", tiny), tiny)

    def test_matrices(self):
        weight = pruned(normal(8, 16))
        np.save(self.folder / "w.npy", weight)
        self.good("verify", self.folder / "w.npy", "--pattern", "2:4")
        weight[5, 8:12] = 2
        np.save(self.folder / "w.npy", weight)
        entry = self.entry(self.folder / "w.npy", status=1)
        self.assertEqual(entry["first_violation"], {"k": 5, "c": 8, "r": 0, "s": 0, "nonzeros": 4})
        np.save(self.folder / "f.npy", np.asfortranarray(weight))
        self.assertEqual(self.entry(self.folder / "f.npy", status=1)["first_violation"],
                         entry["first_violation"])

    def test_ranked_patterns_count_zero_units(self):
        weight = normal(8, 8)
        weight[:4, 2:4] = 0
        np.save(self.folder / "w.npy", weight)
        for sparsity, status in (("0.25", 0), ("0.26", 0), ("0.35", 1)):
            self.good("verify", self.folder / "w.npy", "--pattern", "block:4x1", "--sparsity",
                      "0.125" if status == 0 else sparsity, status=status)
        result = self.good("verify", self.folder / "w.npy", "--pattern", "block:4x1", "--sparsity",
                           "0.5", "--json", status=1).json
        self.assertEqual(result["layers"][0]["reason"], "2 of 16 units are zero, 8 are needed")
        self.good("verify", self.folder / "w.npy", "--pattern", "channel", status=1)

    def test_stricter_patterns_imply_weaker_ones(self):
        np.save(self.folder / "w.npy", pruned(normal(16, 32), n=1))
        for pattern in ("1:4", "2:4", "4:8", "3:4"):
            self.good("verify", self.folder / "w.npy", "--pattern", pattern)
        self.good("verify", self.folder / "w.npy", "--pattern", "1:8", status=1)

    # --- TensorRT --------------------------------------------------------------------------------

    def verdict(self, op, weight, status=None, **attributes):
        path = self.model(op, weight, **attributes)
        result = e2e.run("verify", path, "--pattern", "2:4", "--align", "none", "--json")
        self.assertIn(result.status, (0, 1), result.err)
        return result.json["layers"][0]["tensorrt"]

    def test_large_aligned_layer_is_eligible(self):
        verdict = self.verdict("Conv", pruned(normal(256, 256, 1, 1)))
        self.assertEqual(verdict, {"eligible": True, "reason": None})

    def test_small_layer_says_so(self):
        verdict = self.verdict("Conv", pruned(normal(64, 16, 3, 3)))
        self.assertTrue(verdict["eligible"])
        self.assertIn("small: K=64, C*R*S=144", verdict["reason"])

    def test_badly_aligned_layers_may_run_dense(self):
        verdict = self.verdict("Conv", pruned(normal(256, 260, 1, 1)))
        self.assertTrue(verdict["eligible"])
        self.assertIn("C=260", verdict["reason"])
        verdict = self.verdict("Conv", pruned(normal(260, 256, 1, 1)))
        self.assertIn("K=260", verdict["reason"])

    def test_not_eligible(self):
        weight = normal(64, 64, 3, 3)
        flat = pruned(weight.reshape(64, -1)).reshape(weight.shape)
        cases = (
            ("Conv", pruned(normal(64, 16, 3, 3)), {"group": 4}, "grouped"),
            ("Conv", pruned(normal(64, 30, 3, 3)), {}, "C = 30 is not a multiple of 4"),
            ("Conv", weight, {}, "not 2:4 along the input channels"),
            ("Conv", pruned(weight, axis=0), {}, "along output channels, not along the input"),
            ("Conv", flat, {}, "flattened C x R x S"),
            ("Gemm", pruned(normal(64, 64)), {}, "along output channels, not along the input"),
        )
        for op, array, attributes, words in cases:
            with self.subTest(words=words):
                verdict = self.verdict(op, array, **attributes)
                self.assertFalse(verdict["eligible"])
                self.assertIn(words, verdict["reason"])


if __name__ == "__main__":
    e2e.main()

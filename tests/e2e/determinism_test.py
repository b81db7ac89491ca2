"""Same bytes and same JSON for 1 and 2 threads, for every instruction set, and on every run."""

import e2e  # first: it may start the test again under another Python

import re

import numpy as np
from onnx import TensorProto, helper, numpy_helper
import onnx


def available_isas():
    result = e2e.run("patterns", env={"ESPALIER_FORCE_ISA": "no such"})
    assert result.status == 2, result.err
    return re.search(r"available: ([^\[]*)", result.err)[1].strip().split(", ")


RANKED = ("--sparsity", "0.6")
CASES = (
    ("2:4",), ("1:4",), ("3:7",), ("2:32",), ("2:4", "--criterion", "random", "--seed", "5"),
    ("2:4-transposable",), ("2:4-transposable", "--criterion", "random", "--seed", "6"),
    ("unstructured", *RANKED), ("unstructured", *RANKED, "--scope", "global"),
    ("unstructured", *RANKED, "--scope", "global-normalized"),
    ("unstructured", *RANKED, "--scope", "global", "--max-layer-sparsity", "0.65"),
    ("unstructured", *RANKED, "--criterion", "random", "--seed", "7"),
    ("unstructured", "--threshold", "0.02"),
    ("block:4x1", *RANKED), ("block:1x8", *RANKED, "--criterion", "magnitude:l2"),
    ("block:3x5", *RANKED, "--scope", "global-normalized"),
    ("channel", *RANKED), ("channel", *RANKED, "--criterion", "magnitude:l2", "--scope", "global"),
)


def odd_model(path):
    """Types and layouts that take other ways through the code, many equal scores, odd sizes."""
    rng = np.random.default_rng(11)
    nodes, weights = [], []

    def add(name, array, op, inputs, **attributes):
        weights.append(numpy_helper.from_array(array, name))
        nodes.append(helper.make_node(op, inputs, [name + "_y"], name=name + "_node", **attributes))

    for dtype in (np.float32, np.float16, np.float64):
        array = rng.standard_normal((37, 53)).astype(dtype)
        array[::3] = np.round(array[::3] * 4) / 4
        add(f"m_{np.dtype(dtype).name}", array, "MatMul", ["x", f"m_{np.dtype(dtype).name}"])
    conv = np.round(rng.standard_normal((24, 9, 3, 3)) * 8).astype(np.float32) / 8
    add("conv", conv, "Conv", ["x", "conv"], group=3)
    add("large", rng.standard_normal((300, 700)).astype(np.float32), "Gemm", ["x", "large"],
        transB=1)
    graph = helper.make_graph(nodes, "odd", [], [], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


class Determinism(e2e.Case):
    def outputs(self, model, case, threads, env):
        output = self.folder / "out.onnx"
        result = self.good("prune", model, "-o", output, "--force", "--json", "--align", "none",
                           "--threads", threads, "--pattern", *case, env=env)
        return e2e.sha256(output), result.out

    def check(self, model):
        isas = available_isas()
        self.assertGreaterEqual(len(isas), 2, "one instruction set only: nothing to compare")
        for case in CASES:
            first = self.outputs(model, case, 1, {})
            for threads, isa in ((2, ""), (2, isas[0]), *((1, isa) for isa in isas)):
                with self.subTest(case=case, threads=threads, isa=isa):
                    env = {"ESPALIER_FORCE_ISA": isa}
                    self.assertEqual(self.outputs(model, case, threads, env), first)

    def test_isa_is_forced(self):
        for isa in available_isas():
            result = self.good("patterns", "--verbose", env={"ESPALIER_FORCE_ISA": isa})
            self.assertIn(f"instruction set {isa},", result.err)

    def test_made_model(self):
        odd_model(self.folder / "odd.onnx")
        self.check(self.folder / "odd.onnx")

    def test_real_model(self):
        self.check(e2e.shared("models/vit_mnist.onnx"))

    def test_verify_and_inspect(self):
        model = self.folder / "odd.onnx"
        odd_model(model)
        for command in (("inspect", model), ("verify", model, "--pattern", "2:4"),
                        ("verify", model, "--pattern", "block:2x2", "--sparsity", "0.1")):
            seen = {e2e.run(*command, "--json", "--threads", threads,
                            env={"ESPALIER_FORCE_ISA": isa}).out
                    for threads in (1, 2) for isa in available_isas()}
            self.assertEqual(len(seen), 1, command)

    def test_seeds_differ(self):
        model = self.folder / "odd.onnx"
        odd_model(model)
        case = ("unstructured", *RANKED, "--criterion", "random", "--seed")
        self.assertNotEqual(self.outputs(model, (*case, "1"), 1, {})[0],
                            self.outputs(model, (*case, "2"), 1, {})[0])


if __name__ == "__main__":
    e2e.main()

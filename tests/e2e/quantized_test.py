"""Integer weights are pruned to their zero point; ONNX Runtime agrees."""

import e2e  # first: it may start the test again under another Python

import logging
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import onnxruntime.quantization as quantization

import ort
from oracle import layers_of, nm_keep

logging.disable(logging.WARNING)  # the quantizer recommends its own preprocessing
RNG = np.random.default_rng(3)
FLOAT, INT8, UINT8, INT32 = (TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8,
                             TensorProto.INT32)


def make(path, nodes, tensors, x_shape, x_type=FLOAT, y_type=FLOAT, opset=17):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", x_type, x_shape)],
        [helper.make_tensor_value_info("y", y_type, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)


def ints(shape, dtype):
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


class Quantized(e2e.Case):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "q.onnx"

    def check(self, name, scale, zero, inputs, pattern=(2, 4), layers=1):
        """Prunes the model; weight `name` must become what numpy says, and the outputs likewise.

        `scale` and `zero` broadcast against the stored weight."""
        n, m = pattern
        output, report = self.prune(self.path, f"{n}:{m}", "--align", "none")
        self.assertEqual(sum(x["pruned"] for x in report["layers"]), layers, report["layers"])
        source, pruned = onnx.load(self.path), onnx.load(output)
        layer = next(x for x in layers_of(source) if x.constant.name == name)
        before = layer.constant.array()
        real = (before.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        keep = np.empty(before.size, bool)
        scores = np.abs(real.reshape(-1)[layer.order])
        keep[layer.order] = nm_keep(scores, n, m)
        zeros = np.broadcast_to(zero, before.shape).astype(before.dtype)
        expected = np.where(keep.reshape(before.shape), before, zeros)
        after = next(x for x in layers_of(pruned) if x.constant.name == name).constant.array()
        np.testing.assert_array_equal(after, expected)
        self.good("verify", output, "--pattern", f"{n}:{m}", "--align", "none")
        layer.constant.tensor.CopyFrom(numpy_helper.from_array(expected, name))
        for mine, manual in zip(ort.run(output, inputs), ort.run(source, inputs), strict=True):
            np.testing.assert_array_equal(mine, manual)
        return output, report

    def qdq(self, weight, scale, zero, axis, op="MatMul", x_shape=(3, 16), **attributes):
        tensors = {"w": weight, "scale": np.asarray(scale, np.float32)}
        inputs = ["w", "scale"]
        if zero is not None:
            tensors["zero"] = np.asarray(zero, weight.dtype)
            inputs.append("zero")
        at = {} if axis is None else {"axis": axis}
        nodes = [helper.make_node("DequantizeLinear", inputs, ["real"], name="dq", **at),
                 helper.make_node(op, ["x", "real"], ["y"], name="layer", **attributes)]
        make(self.path, nodes, tensors, x_shape)
        return {"x": RNG.standard_normal(x_shape).astype(np.float32)}

    def test_qdq_per_tensor(self):
        for dtype, zero in ((np.int8, 0), (np.int8, -7), (np.uint8, 131), (np.int8, None)):
            with self.subTest(dtype=dtype, zero=zero):
                inputs = self.qdq(ints((16, 24), dtype), 0.05, zero, None)
                self.check("w", 0.05, zero or 0, inputs)

    def test_qdq_per_output_channel(self):
        scale = RNG.uniform(0.01, 2, 24).astype(np.float32)
        zero = RNG.integers(-20, 20, 24)
        inputs = self.qdq(ints((16, 24), np.int8), scale, zero, 1)
        self.check("w", scale, zero, inputs)

    def test_qdq_per_input_channel_changes_what_is_kept(self):
        scale = RNG.uniform(0.01, 2, 16).astype(np.float32)
        inputs = self.qdq(ints((16, 24), np.int8), scale, np.zeros(16), 0)
        self.check("w", scale[:, None], 0, inputs)

    def test_qdq_negative_axis(self):
        scale = RNG.uniform(0.01, 2, 24).astype(np.float32)
        inputs = self.qdq(ints((16, 24), np.uint8), scale, np.full(24, 128), -1)
        self.check("w", scale, 128, inputs)

    def test_qdq_convolution_with_groups(self):
        scale = RNG.uniform(0.01, 2, 12).astype(np.float32)
        zero = RNG.integers(100, 150, 12)
        inputs = self.qdq(ints((12, 8, 3, 3), np.uint8), scale, zero, 0, "Conv", (1, 24, 9, 9),
                          group=3)
        shape = (12, 1, 1, 1)
        self.check("w", scale.reshape(shape), zero.reshape(shape), inputs, (1, 4))

    def test_qlinear_conv(self):
        scale = RNG.uniform(0.001, 0.01, 8).astype(np.float32)
        tensors = {"xs": np.float32(0.02), "xz": np.uint8(120), "w": ints((8, 16, 3, 3), np.int8),
                   "ws": scale, "wz": np.zeros(8, np.int8), "ys": np.float32(0.5),
                   "yz": np.uint8(99)}
        tensors = {k: np.asarray(v) for k, v in tensors.items()}
        make(self.path, [helper.make_node("QLinearConv", ["x", *tensors], ["y"], name="layer")],
             tensors, (1, 16, 7, 7), UINT8, UINT8)
        self.check("w", scale.reshape(-1, 1, 1, 1), 0, {"x": ints((1, 16, 7, 7), np.uint8)})

    def test_qlinear_matmul_with_a_zero_point(self):
        tensors = {"xs": np.float32(0.02), "xz": np.uint8(120), "w": ints((16, 8), np.uint8),
                   "ws": np.float32(0.01), "wz": np.uint8(77), "ys": np.float32(0.5),
                   "yz": np.uint8(99)}
        tensors = {k: np.asarray(v) for k, v in tensors.items()}
        make(self.path, [helper.make_node("QLinearMatMul", ["x", *tensors], ["y"], name="layer")],
             tensors, (5, 16), UINT8, UINT8)
        self.check("w", 1, 77, {"x": ints((5, 16), np.uint8)})

    def test_matmul_integer(self):
        for dtype, zero in ((np.uint8, np.asarray(113)), (np.int8, np.asarray(5)),
                            (np.uint8, RNG.integers(100, 140, 8))):
            with self.subTest(dtype=dtype, zero=zero):
                tensors = {"w": ints((16, 8), dtype), "wz": zero.astype(dtype)}
                make(self.path, [helper.make_node("MatMulInteger", ["x", "w", "", "wz"], ["y"],
                                                  name="layer")], tensors, (5, 16), UINT8, INT32)
                self.check("w", 1, zero, {"x": ints((5, 16), np.uint8)})

    def test_conv_integer(self):
        tensors = {"w": ints((8, 8, 3), np.uint8), "wz": np.asarray(100, np.uint8)}
        make(self.path, [helper.make_node("ConvInteger", ["x", "w", "", "wz"], ["y"], name="layer")],
             tensors, (1, 8, 10), UINT8, INT32)
        self.check("w", 1, 100, {"x": ints((1, 8, 10), np.uint8)}, (4, 8))

    def test_zero_point_that_is_not_constant_is_refused(self):
        nodes = [helper.make_node("Neg", ["scale"], ["minus"]),
                 helper.make_node("DequantizeLinear", ["w", "minus"], ["real"], name="dq"),
                 helper.make_node("MatMul", ["x", "real"], ["y"], name="layer")]
        make(self.path, nodes, {"w": ints((16, 8), np.int8), "scale": np.asarray(1, np.float32)},
             (5, 16))
        _, report = self.prune(self.path, "2:4", "--align", "none")
        entry = self.layer(report, "layer")
        self.assertFalse(entry["pruned"])
        self.assertIn("scale or zero point", entry["reason"])

    def test_tensorrt_wants_zero_point_zero(self):
        for zero, eligible in ((0, True), (3, False)):
            inputs = self.qdq(ints((64, 64), np.int8), 0.05, zero, None, x_shape=(3, 64))
            output, _ = self.check("w", 0.05, zero, inputs)
            verdict = self.layer(self.good("verify", output, "--pattern", "2:4", "--json").json,
                                 "layer")["tensorrt"]
            self.assertEqual(verdict["eligible"], eligible, verdict)
            if not eligible:
                self.assertIn("zero point 0", verdict["reason"])


class Reader(quantization.CalibrationDataReader):
    def __init__(self, shape):
        rng = np.random.default_rng(5)
        self.left = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(3)]

    def get_next(self):
        return self.left.pop() if self.left else None


class OnnxRuntimesQuantizer(e2e.Case):
    """What onnxruntime.quantization makes of a small float model."""

    SHAPE = (2, 16, 8, 8)

    def setUp(self):
        super().setUp()
        tensors = {"w1": RNG.standard_normal((16, 16, 3, 3)).astype(np.float32),
                   "b1": RNG.standard_normal(16).astype(np.float32),
                   "w2": RNG.standard_normal((16 * 6 * 6, 32)).astype(np.float32)}
        nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["a"], name="conv"),
                 helper.make_node("Relu", ["a"], ["r"], name="relu"),
                 helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
                 helper.make_node("MatMul", ["f", "w2"], ["y"], name="matmul")]
        make(self.folder / "float.onnx", nodes, tensors, self.SHAPE)

    def static(self, **options):
        path = self.folder / "static.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantization.quantize_static(self.folder / "float.onnx", path, Reader(self.SHAPE),
                                         **options)
        return path

    def check(self, path, layers):
        """Every weight keeps at most 2 of 4 away from its zero point, and the model still runs."""
        output, report = self.prune(path, "2:4")
        self.assertEqual(sum(x["pruned"] for x in report["layers"]), layers, report["layers"])
        self.good("verify", output, "--pattern", "2:4")
        self.assertAlmostEqual(report["sparsity"], 0.5, delta=0.02)
        before = {layer.constant.name: layer for layer in layers_of(onnx.load(path))}
        changed = 0
        for layer in layers_of(onnx.load(output)):
            was, now = before[layer.constant.name].constant.array(), layer.constant.array()
            touched = was != now
            if not touched.any():
                continue
            changed += 1
            zeros = np.unique(now[touched])
            self.assertEqual(len(zeros), 1, "one zero point for all in these models")
            far = (now.reshape(-1)[layer.order] != zeros[0]).reshape(-1, layer.order.shape[-1])
            self.assertLessEqual(far.reshape(-1, 4).sum(1).max(), 2)
        self.assertEqual(changed, layers)
        inputs = {"x": RNG.standard_normal(self.SHAPE).astype(np.float32)}
        ort.run(output, inputs)

    def test_qdq(self):
        for per_channel in (False, True):
            for kind in (quantization.QuantType.QInt8, quantization.QuantType.QUInt8):
                if per_channel and kind == quantization.QuantType.QUInt8:
                    continue  # a zero point for each channel: see Quantized
                with self.subTest(per_channel=per_channel, kind=kind):
                    self.check(self.static(quant_format=quantization.QuantFormat.QDQ,
                                           per_channel=per_channel, weight_type=kind,
                                           activation_type=quantization.QuantType.QUInt8), 2)

    def test_qoperator(self):
        for per_channel in (False, True):
            with self.subTest(per_channel=per_channel):
                self.check(self.static(quant_format=quantization.QuantFormat.QOperator,
                                       per_channel=per_channel), 2)

    def test_dynamic(self):
        path = self.folder / "dynamic.onnx"
        for kind in (quantization.QuantType.QInt8, quantization.QuantType.QUInt8):
            with self.subTest(kind=kind):
                quantization.quantize_dynamic(self.folder / "float.onnx", path, weight_type=kind,
                                              op_types_to_quantize=["MatMul"])
                # The convolution stays in float32.
                self.check(path, 2)


if __name__ == "__main__":
    e2e.main()

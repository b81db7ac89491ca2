"""Tiny models of each format, for tests of files rather than of weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import safetensors_file


def weight(rows=16, columns=16, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def onnx_model(array=None, name="layer", tensor="w"):
    array = weight() if array is None else array
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", tensor], ["y"], name=name, transB=1)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, array.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, array.shape[0]])],
        [numpy_helper.from_array(array, tensor)])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def write_all(folder, array=None):
    """One model in every format: extension -> path."""
    array = weight() if array is None else array
    paths = {kind: folder / f"m.{kind}" for kind in ("onnx", "safetensors", "npy")}
    onnx.save(onnx_model(array), paths["onnx"])
    safetensors_file.write(paths["safetensors"], {"layer.weight": ("F32", array)})
    np.save(paths["npy"], array)
    return paths

"""One kind of layer in ONNX Runtime, timed from its own profile; for the benchmarks here."""
import collections
import json
import os

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

COPIES = 8


def one_thread():
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def make_model(nodes, initializers, shape, outputs):
    """The model's bytes: nodes from "x" of `shape` to outputs."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "layers", [value("x", TensorProto.FLOAT, shape)],
                              [value(name, TensorProto.FLOAT, None) for name in outputs],
                              initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    return model.SerializeToString()


def profile(model, shape, operator, runs, folder):
    """Seconds a node of `operator`, of COPIES in the model: median and 10th percentile of runs."""
    options = one_thread()
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(folder, "profile")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    for _ in range(runs + 5):
        session.run(None, {"x": x})
    path = session.end_profiling()
    with open(path, encoding="utf-8") as file:
        events = json.load(file)
    os.remove(path)
    by_node = collections.defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["args"].get("op_name") == operator:
            by_node[event["name"]].append(event["dur"])
    assert len(by_node) == COPIES, sorted(by_node)
    # Whole microseconds, cut off: half of one is what is missing on average.
    times = sorted(sum(durations) / COPIES + 0.5 for durations in list(zip(*by_node.values()))[5:])
    return 1e-6 * times[len(times) // 2], 1e-6 * times[len(times) // 10]

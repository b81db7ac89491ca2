"""permute on every model of the shared data, judged by ONNX Runtime: the same outputs, and back."""

import e2e  # first: it may start the test again under another Python

import hashlib

import numpy as np
import onnx

import ort

# Models of which `permute` has to find something to reorder.
MOVE = ("cifar_resnet20", "fastestdet", "mobilefacenet", "picodet_s_320_coco", "ppocr_cls_v2",
        "silero_vad_16k_op15", "squeezenet_v1.1", "ultraface_rfb_320", "vit_mnist", "yunet_n_320")
HELD = ("gtcrn_simple",)
# Sums in another order: relative to the largest value of an output; YuNet's boxes are of 1e-4.
RELATIVE, ABSOLUTE = 1e-5, 3e-6


def weights(path):
    """Digests of all initializers and Constant nodes' tensors, by name."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    return {name: hashlib.sha256(onnx.numpy_helper.to_array(tensor).tobytes()).hexdigest()
            for name, tensor in tensors.items()}


class Permute(e2e.Case):
    def permute(self, path, *arguments, output="permuted.onnx"):
        output = self.folder / output
        report = self.good("permute", path, "-o", output, "--force", "--no-check", "--json",
                           *arguments).json
        return output, report

    def inputs(self, name):
        data = np.load(e2e.shared(f"reference/onnxruntime/{name}.npz"))
        return {key[len("input:"):]: data[key] for key in data.files if key.startswith("input:")}

    def check_outputs(self, name, before, after):
        inputs = self.inputs(name)
        for old, new in zip(ort.run(before, inputs), ort.run(after, inputs)):
            apart = np.abs(old.astype(np.float64) - new).max(initial=0)
            self.assertLessEqual(apart, RELATIVE * np.abs(old).max(initial=0) + ABSOLUTE)

    def test_every_model_computes_the_same(self):
        for name in MOVE + HELD:
            with self.subTest(model=name):
                path = e2e.shared(f"models/{name}.onnx")
                permuted, report = self.permute(path, "--pattern", "2:4", "--effort", "fast")
                self.assertEqual(report["tensors"] > 0, name in MOVE)
                for group in report["groups"]:
                    if group["applied"]:
                        self.assertGreater(group["kept_after"], group["kept_before"])
                    else:
                        self.assertTrue(group["reason"], group)
                self.check_outputs(name, path, permuted)
                if name in MOVE:
                    self.assertNotEqual(weights(path), weights(permuted))
                    undone, _ = self.permute(permuted, "--undo", output="undone.onnx")
                    self.assertEqual(weights(path), weights(undone))

    def test_same_bytes_for_any_threads_and_isa(self):
        path = e2e.shared("models/squeezenet_v1.1.onnx")
        arguments = ("--pattern", "2:4", "--effort", "fast")
        want, _ = self.permute(path, *arguments, "--threads", "1")
        want = e2e.sha256(want)
        for threads, isa in ((2, ""), (3, "AVX2"), (1, "SSE4"), (1, "SCALAR")):
            output = self.folder / "other.onnx"
            self.good("permute", path, "-o", output, "--force", "--no-check", *arguments,
                      "--threads", threads, env={"ESPALIER_FORCE_ISA": isa} if isa else {})
            self.assertEqual(e2e.sha256(output), want, (threads, isa))

    def test_prune_after_permuting_verifies_and_keeps_more(self):
        path = e2e.shared("models/cifar_resnet20.onnx")
        for pattern in ("2:4", "1:4", "4:8", "2:6"):
            plain, before = self.prune(path, pattern, "--align", "none")
            better, after = self.prune(path, pattern, "--align", "none", "--permute", "--effort",
                                       "fast")
            self.assertGreater(after["kept_magnitude"], before["kept_magnitude"], pattern)
            self.good("verify", better, "--pattern", pattern, "--align", "none")


if __name__ == "__main__":
    e2e.main()

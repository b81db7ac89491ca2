"""The runtime on real models: outputs, accuracies, compressed files, wrong use.

    runtime_test.py Reference        # one class of tests
"""

import e2e  # first: it may start the test again under another Python

import json

import numpy as np
import onnx

import ort

MODELS = ("cifar_resnet20", "fastestdet", "gtcrn_simple", "mobilefacenet", "picodet_s_320_coco",
          "ppocr_cls_v2", "silero_vad_16k_op15", "squeezenet_v1.1", "ultraface_rfb_320",
          "vit_mnist", "yunet_n_320")
# Shapes for inputs that a model leaves open.
SHAPES = {"ppocr_cls_v2": ("--shape", "x=1x3x48x192"),
          "silero_vad_16k_op15": ("--shape", "input=1x576", "--shape", "state=2x1x128"),
          "cifar_resnet20": ("--shape", "input=1x3x32x32"),
          "vit_mnist": ("--shape", "input=1x1x28x28")}


def file_name(output):
    """The file that `run` writes for an output."""
    return "".join("_" if c in "/\\:" else c for c in output) + ".npy"


class RuntimeCase(e2e.Case):
    def inputs(self, arrays):
        """--input options for arrays by name."""
        options = []
        for name, array in arrays.items():
            path = self.folder / f"in{len(options)}.npy"
            np.save(path, np.asarray(array, order="C"))
            options += ["--input", f"{name}={path}"]
        return options

    def run_model(self, model, arrays, *options):
        folder = self.folder / f"out{len(list(self.folder.iterdir()))}"
        report = self.good("run", model, *self.inputs(arrays), "--output-dir", folder, "--json",
                           *options).json
        return {o["name"]: np.load(folder / file_name(o["name"])) for o in report["outputs"]}

    def assert_close(self, got, want, tolerance, what):
        self.assertEqual(got.dtype, want.dtype, what)
        self.assertEqual(got.shape, want.shape, what)
        # ONNX Runtime's Sigmoid is a quotient plus 0.5: its small values are off by up to 2^-23.
        bound = tolerance * np.abs(want).max() + (2.0**-23 if tolerance else 0)
        self.assertLessEqual(np.abs(got - want).max(), bound, what)


class Reference(RuntimeCase):
    """Every model, dense, against the outputs that ONNX Runtime gave."""

    def test_outputs(self):
        for model in MODELS:
            reference = np.load(e2e.shared(f"reference/onnxruntime/{model.removesuffix('.onnx')}.npz"))
            arrays = {n[6:]: reference[n] for n in reference.files if n.startswith("input:")}
            want = {n[7:]: reference[n] for n in reference.files if n.startswith("output:")}
            for options in (("--threads", "1"), ("--threads", "2"), ("--tune", "off")):
                with self.subTest(model=model, options=options):
                    got = self.run_model(e2e.shared(f"models/{model}.onnx"), arrays, *options)
                    self.assertEqual(set(got), set(want))
                    for name, array in want.items():
                        self.assert_close(got[name], array, 1e-4, f"{model} {name}")


class Pruned(RuntimeCase):
    """Sparse kernels give what the dense kernels give with the same weights."""

    def test_patterns(self):
        for model in MODELS:
            path = e2e.shared(f"models/{model}.onnx")
            for pattern, more in (("unstructured", ("--sparsity", "0.8")), ("2:4", ()),
                                  ("block:4x1", ("--sparsity", "0.7"))):
                with self.subTest(model=model, pattern=pattern):
                    pruned, _ = self.prune(path, pattern, "--align", "none", *more) \
                        if pattern == "2:4" else self.prune(path, pattern, *more)
                    report = self.good("compare", pruned, pruned, "--dense", "--tolerance", "1e-4",
                                       "--json", *SHAPES.get(model, ())).json
                    self.assertLessEqual(report["relative"], 1e-4)


class Accuracy(RuntimeCase):
    """The dense and one-shot accuracies of the shared data's MANIFEST.md, within 0.4 point."""

    CASES = {
        "squeezenet_v1.1": (("--data", "imagenet500_224.tar", "--labels", "imagenet500_labels.csv",
                             "--preprocess", "imagenet-caffe"),
                            {"dense": 57.80, "2:4": 1.80, "0.5": 23.20, "0.75": 0.00}),
        "cifar_resnet20": (("--data", "cifar10_jpeg.tar.xz", "--split", "test", "--preprocess",
                            "cifar10"), {"dense": 81.02, "2:4": 52.86, "0.5": 71.18, "0.75": 28.70}),
        "vit_mnist": (("--data", "mnist", "--preprocess", "mnist"),
                      {"dense": 97.21, "2:4": 94.61, "0.5": 96.99, "0.75": 82.26}),
    }

    def test_top1(self):
        for model, (options, wanted) in self.CASES.items():
            options = [e2e.shared(f"datasets/{o}") if i in (1, 3) and o != "test" else o
                       for i, o in enumerate(options)]
            for what, percent in wanted.items():
                with self.subTest(model=model, what=what):
                    path = e2e.shared(f"models/{model}.onnx")
                    if what == "2:4":
                        path, _ = self.prune(path, "2:4")
                    elif what != "dense":
                        path, _ = self.prune(path, "unstructured", "--sparsity", what, "--align",
                                             "tensorrt")
                    report = self.good("eval", path, *options, "--json", timeout=600).json
                    self.assertAlmostEqual(100 * report["top1"], percent, delta=0.4)
                    if (model, what) == ("squeezenet_v1.1", "dense"):
                        self.assertAlmostEqual(100 * report["top5"], 78.8, delta=0.4)


class Commands(RuntimeCase):
    def setUp(self):
        super().setUp()
        self.model = e2e.shared("models/squeezenet_v1.1.onnx")
        self.image = {"data": np.random.default_rng(0).random((1, 3, 227, 227), np.float32)}

    def test_run_gives_what_onnx_runtime_gives(self):
        got = self.run_model(self.model, self.image)
        want = ort.run(onnx.load(self.model), self.image)
        self.assert_close(got["prob"], want[0], 1e-4, "prob")

    def test_bench_reports_layers_and_ratio(self):
        pruned, _ = self.prune(self.model, "unstructured", "--sparsity", "0.9")
        report = self.good("bench", pruned, "--against", self.model, "--runs", "3", "--json").json
        for key in ("model", "threads", "isa", "min_ms", "p10_ms", "median_ms", "peak_rss",
                    "model_bytes", "layers", "against", "speedup"):
            self.assertIn(key, report)
        convolutions = [x for x in report["layers"] if x["op"].startswith("Conv")]
        self.assertEqual(len(convolutions), 26)
        for layer in convolutions:
            self.assertTrue(layer["kernel"] and layer["reason"], layer)
            self.assertGreater(layer["ms"], 0)
        self.assertGreater(report["speedup"], 1)
        text = self.good("bench", pruned, "--runs", "3").out
        self.assertLessEqual(max(map(len, text.splitlines())), 80 + len(str(pruned)))

    def test_tune_off_chooses_the_same_every_time(self):
        kernels = [[(x["name"], x["kernel"]) for x in
                    self.good("bench", self.model, "--runs", "1", "--tune", "off", "--json")
                    .json["layers"]] for _ in range(2)]
        self.assertEqual(*kernels)

    def test_compiled_files_run_and_are_small(self):
        pruned, _ = self.prune(self.model, "unstructured", "--sparsity", "0.75")
        want = self.run_model(pruned, self.image)
        for values, most, tolerance in (("f32", 0.30, 1e-5), ("f16", 0.17, 2e-2), ("bf16", 0.17, 2e-1)):
            packed = self.folder / f"{values}.esp"
            report = self.good("compile", pruned, "-o", packed, "--values", values, "--json").json
            self.assertEqual(report["output_bytes"], packed.stat().st_size)
            self.assertLessEqual(report["ratio"], most + 0.02)  # the file also holds the graph
            self.assertGreater(report["tuned_layers"], 0)
            for name, array in self.run_model(packed, self.image).items():
                self.assert_close(array, want[name], tolerance, values)
        self.bad(2, "compile", pruned, "-o", packed, says="exists")
        self.bad(2, "compile", pruned, "-o", self.folder / "x.onnx", says=".esp")
        packed.write_bytes(packed.read_bytes()[:-100])
        self.bad(3, "bench", packed)

    def test_compare_says_no(self):
        pruned, _ = self.prune(self.model, "2:4", "--align", "none")
        self.good("compare", self.model, self.model, "--tolerance", "0", "--tune", "off")
        self.good("compare", self.model, pruned)
        result = e2e.run("compare", self.model, pruned, "--tolerance", "1e-4", "--json")
        self.assertEqual(result.status, 1)
        self.assertFalse(json.loads(result.out)["within_tolerance"])

    def test_wrong_use_is_explained(self):
        self.bad(2, "run", self.model, says="input 'data' is missing")
        path = self.folder / "x.npy"
        np.save(path, np.zeros((1, 3, 10, 10), np.float32))
        self.bad(2, "run", self.model, "--input", path, says="[1, 3, 10, 10]")
        self.bad(2, "run", self.model, "--input", f"nose={path}", says="nose")
        self.bad(3, "run", self.model, "--input", self.folder / "absent.npy", says="absent.npy")
        self.bad(2, "bench", self.model, "--shape", "data=1x3x9x9", says="the model declares")
        self.bad(2, "eval", self.model, "--data", self.folder, "--preprocess", "nonsense",
                 says="nonsense")
        self.bad(3, "bench", e2e.shared("models/invalid_no_opset.onnx"))

    def test_missing_operator_is_named_before_anything_runs(self):
        node = onnx.helper.make_node("StringNormalizer", ["x"], ["y"])
        graph = onnx.helper.make_graph(
            [node], "g", [onnx.helper.make_tensor_value_info("x", 1, [1])],
            [onnx.helper.make_tensor_value_info("y", 1, [1])])
        path = self.folder / "strange.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)],
                                         ir_version=8), path)
        self.bad(4, "bench", path, says="StringNormalizer")

    def test_outputs_are_not_overwritten(self):
        self.run_model(self.model, self.image)
        folder = self.folder / "again"
        arguments = ("run", self.model, *self.inputs(self.image), "--output-dir", folder)
        self.good(*arguments)
        self.bad(2, *arguments, says="--force")
        self.good(*arguments, "--force")


if __name__ == "__main__":
    e2e.main()

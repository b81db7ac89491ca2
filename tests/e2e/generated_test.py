"""Small ONNX models with every kind of weight and every corner of the format."""

import e2e  # first: it may start the test again under another Python

import os
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import ort
from oracle import layers_of, nearest, nm_keep

FLOAT = TensorProto.FLOAT


def normal(*shape, dtype=np.float32, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(nodes, tensors, inputs, outputs=("y",), opset=17, ir=8, dtype=FLOAT, **options):
    tensors = [t if isinstance(t, TensorProto) else numpy_helper.from_array(t, name)
               for name, t in tensors.items()]
    graph = helper.make_graph(nodes, "g", [value(n, s, dtype) for n, s in inputs.items()],
                              [value(n, None, dtype) for n in outputs], tensors)
    return helper.make_model(graph, ir_version=ir, opset_imports=[helper.make_opsetid("", opset)],
                             **options)


class ModelCase(e2e.Case):
    def save(self, model, name="m.onnx", **options):
        path = self.folder / name
        onnx.save(model, path, **options)
        return path

    def check(self, model, pruned, inputs=None, pattern=(2, 4), *arguments):
        """Layers named in `pruned` must become what numpy says; all else stays. Returns the report.
        """
        n, m = pattern
        path = self.save(model)
        output, report = self.prune(path, f"{n}:{m}", "--align", "none", *arguments)
        self.assertEqual({x["name"] for x in report["layers"] if x["pruned"]}, set(pruned),
                         report["layers"])
        expected, result = onnx.load(path), onnx.load(output)
        done = set()
        for layer in layers_of(expected):
            if layer.name not in pruned or layer.constant.name in done:
                continue
            done.add(layer.constant.name)
            self.mask(layer, n, m)
        self.assertEqual(len(done), len(pruned))
        for mine, theirs in zip(layers_of(result), layers_of(expected), strict=True):
            np.testing.assert_array_equal(mine.constant.array(), theirs.constant.array(), mine.name)
            mine.constant.tensor.CopyFrom(theirs.constant.tensor)
        self.assertEqual(result, expected, "something else changed")
        self.good("verify", output, "--pattern", f"{n}:{m}", "--align", "none", *arguments,
                  status=0 if pruned else 1)  # no layer to check is no success
        if inputs is not None:
            for mine, manual in zip(ort.run(output, inputs), ort.run(expected, inputs),
                                    strict=True):
                np.testing.assert_array_equal(mine, manual)
        return report

    @staticmethod
    def mask(layer, n, m):
        array = layer.constant.array().copy()
        flat = array.reshape(-1)
        scores = np.abs(flat[layer.order].astype(np.float32))
        flat[layer.order] = np.where(nm_keep(scores, n, m), flat[layer.order], 0)
        tensor = numpy_helper.from_array(array, layer.constant.tensor.name)
        layer.constant.tensor.CopyFrom(tensor)


class Operators(ModelCase):
    def test_gemm_on_either_side_transposed_or_not(self):
        for trans in (0, 1):
            with self.subTest(trans=trans):
                right = normal(*((24, 16) if trans else (16, 24)))
                node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=trans)
                self.check(model_of([node], {"w": right}, {"x": [5, 16]}), ["fc"],
                           {"x": normal(5, 16)})
                left = normal(*((16, 24) if trans else (24, 16)))
                node = helper.make_node("Gemm", ["w", "x"], ["y"], name="fc", transA=trans)
                self.check(model_of([node], {"w": left}, {"x": [16, 5]}), ["fc"],
                           {"x": normal(16, 5)})

    def test_matmul_left_right_and_batched(self):
        for shape, x, is_left in (((16, 9), (2, 5, 16), False), ((9, 16), (2, 16, 5), True),
                                  ((3, 16, 9), (3, 5, 16), False), ((3, 9, 16), (3, 16, 5), True),
                                  ((2, 3, 10, 7), (2, 3, 4, 10), False)):
            with self.subTest(shape=shape, left=is_left):
                inputs = ["w", "x"] if is_left else ["x", "w"]
                node = helper.make_node("MatMul", inputs, ["y"], name="mm")
                self.check(model_of([node], {"w": normal(*shape)}, {"x": x}), ["mm"],
                           {"x": normal(*x)})

    def test_convolutions_of_every_rank_with_groups(self):
        for spatial in ((5,), (3, 2), (2, 3, 2), (1, 1)):
            for groups in (1, 2):
                for pattern in ((2, 4), (1, 4), (4, 8)):
                    with self.subTest(spatial=spatial, groups=groups, pattern=pattern):
                        x = (1, 10 * groups, *(s + 3 for s in spatial))
                        node = helper.make_node("Conv", ["x", "w"], ["y"], name="c", group=groups)
                        model = model_of([node], {"w": normal(6 * groups, 10, *spatial)}, {"x": x})
                        self.check(model, ["c"], {"x": normal(*x)}, pattern)
                        node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="c",
                                                group=groups)
                        model = model_of([node], {"w": normal(10 * groups, 6, *spatial)}, {"x": x})
                        self.check(model, ["c"], {"x": normal(*x)}, pattern)

    def test_depthwise_has_nothing_to_drop_and_says_so(self):
        node = helper.make_node("Conv", ["x", "w"], ["y"], name="dw", group=8)
        report = self.check(model_of([node], {"w": normal(8, 1, 3, 3)}, {"x": [1, 8, 5, 5]}),
                            ["dw"], {"x": normal(1, 8, 5, 5)})
        self.assertEqual(report["layers"][0]["reason"], "the pattern drops nothing here")
        self.assertEqual(report["layers"][0]["sparsity"], 0)

    def test_recurrent(self):
        for op, gates, directions in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 2)):
            with self.subTest(op):
                size, hidden = 12, 8
                options = {"direction": "bidirectional"} if directions == 2 else {}
                node = helper.make_node(op, ["x", "w", "r"], ["y"], name="rec", hidden_size=hidden,
                                        **options)
                tensors = {"w": normal(directions, gates * hidden, size),
                           "r": normal(directions, gates * hidden, hidden)}
                self.check(model_of([node], tensors, {"x": [4, 1, size]}), ["rec:W", "rec:R"],
                           {"x": normal(4, 1, size)})

    def test_weights_of_other_types(self):
        for dtype in (np.float16, np.float64):
            with self.subTest(dtype=dtype):
                kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
                node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
                self.check(model_of([node], {"w": normal(20, 6, dtype=dtype)}, {"x": [3, 20]},
                                    dtype=kind), ["mm"], {"x": normal(3, 20, dtype=dtype)})

    def test_bfloat16(self):
        bits = (normal(20, 6).view(np.uint32) >> 16).astype(np.uint16)
        tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [20, 6], bits.tobytes(), raw=True)
        nodes = [helper.make_node("Cast", ["w"], ["f"], to=FLOAT, name="cast"),
                 helper.make_node("MatMul", ["x", "f"], ["y"], name="mm")]
        path = self.save(model_of(nodes, {"w": tensor}, {"x": [3, 20]}))
        output, _ = self.prune(path, "2:4", "--align", "none")
        after = np.frombuffer(onnx.load(output).graph.initializer[0].raw_data, np.uint16)
        scores = np.abs((bits.astype(np.uint32) << 16).view(np.float32))
        keep = nm_keep(scores.T, 2, 4).T
        np.testing.assert_array_equal(after.reshape(20, 6), np.where(keep, bits, 0))

    def test_typed_fields_instead_of_raw_data(self):
        half = normal(20, 6, dtype=np.float16)
        cases = {
            FLOAT: (normal(20, 6).ravel().tolist(), "float_data"),
            TensorProto.DOUBLE: (normal(20, 6).ravel().tolist(), "double_data"),
            TensorProto.FLOAT16: (half.ravel().tolist(), "int32_data"),
        }
        for kind, (values, field) in cases.items():
            with self.subTest(field):
                tensor = helper.make_tensor("w", kind, [20, 6], values)
                self.assertTrue(getattr(tensor, field))
                node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
                path = self.save(model_of([node], {"w": tensor}, {"x": [3, 20]}, dtype=kind))
                output, _ = self.prune(path, "2:4", "--align", "none")
                after = onnx.load(output).graph.initializer[0]
                self.assertTrue(getattr(after, field), "the values changed their field")
                self.assertFalse(after.raw_data)
                source = numpy_helper.to_array(tensor)
                keep = nm_keep(np.abs(source.T.astype(np.float32)), 2, 4).T
                np.testing.assert_array_equal(numpy_helper.to_array(after),
                                              np.where(keep, source, 0))

    def test_constant_nodes_and_what_stands_between(self):
        nodes = [
            helper.make_node("Constant", [], ["w"],
                             value=numpy_helper.from_array(normal(8, 2, 16), "w")),
            helper.make_node("Identity", ["w"], ["w1"], name="same"),
            helper.make_node("Reshape", ["w1", "shape"], ["w2"], name="reshape"),
            helper.make_node("Transpose", ["w2"], ["w3"], name="transpose", perm=[1, 0]),
            helper.make_node("MatMul", ["x", "w3"], ["y"], name="mm")]
        tensors = {"shape": np.array([16, 16])}
        self.check(model_of(nodes, tensors, {"x": [3, 16]}), ["mm"], {"x": normal(3, 16)})

    def test_attention_scores_without_weights_are_no_layers(self):
        node = helper.make_node("MatMul", ["x", "x2"], ["y"], name="mm")
        model = model_of([node], {}, {"x": [4, 4], "x2": [4, 4]})
        report = self.good("inspect", self.save(model), "--json").json
        self.assertEqual(report["layers"], [])


class Sharing(ModelCase):
    def test_weight_of_two_readers_is_pruned_once(self):
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="one"),
                 helper.make_node("MatMul", ["a", "w"], ["y"], name="two")]
        self.check(model_of(nodes, {"w": normal(16, 16)}, {"x": [3, 16]}), ["one"],
                   {"x": normal(3, 16)})

    def test_readers_of_different_axes_are_refused(self):
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="one"),
                 helper.make_node("Gemm", ["a", "w"], ["y"], name="two", transB=1)]
        report = self.check(model_of(nodes, {"w": normal(16, 16)}, {"x": [3, 16]}), [])
        for words in ("one", "two", "different axes"):
            self.assertIn(words, report["layers"][0]["reason"])

    def test_tied_embedding_is_refused(self):
        nodes = [helper.make_node("Gather", ["w", "ids"], ["e"], name="embed"),
                 helper.make_node("Gemm", ["e", "w"], ["y"], name="head", transB=1)]
        graph = helper.make_graph(nodes, "g", [value("ids", [3], TensorProto.INT64)],
                                  [value("y", None)],
                                  [numpy_helper.from_array(normal(32, 16), "w")])
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        report = self.check(model, [])
        self.assertEqual(report["layers"][0]["name"], "head")
        self.assertIn("'embed'", report["layers"][0]["reason"])

    def test_graph_output_is_refused(self):
        node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
        model = model_of([node], {"w": normal(16, 8)}, {"x": [3, 16]}, outputs=("y", "w"))
        report = self.check(model, [])
        self.assertIn("output of the graph", report["layers"][0]["reason"])


class Bodies(ModelCase):
    def test_if_branches_and_loop_body(self):
        def branch(name):
            node = helper.make_node("MatMul", ["x", f"w_{name}"], [f"{name}_y"], name=name)
            return helper.make_graph([node], name, [], [value(f"{name}_y", None)],
                                     [numpy_helper.from_array(normal(16, 16, seed=len(name)),
                                                              f"w_{name}")])

        body = helper.make_graph(
            [helper.make_node("MatMul", ["state", "w_outer"], ["next"], name="in_loop"),
             helper.make_node("Identity", ["go"], ["go_on"], name="same")], "body",
            [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL),
             value("state", [3, 16])],
            [value("go_on", [], TensorProto.BOOL), value("next", [3, 16])])
        nodes = [helper.make_node("If", ["flag"], ["picked"], name="if", then_branch=branch("yes"),
                                  else_branch=branch("other")),
                 helper.make_node("Loop", ["count", "flag", "picked"], ["y"], name="loop",
                                  body=body)]
        tensors = {"w_outer": normal(16, 16) / 8, "flag": np.array(True), "count": np.array(3)}
        self.check(model_of(nodes, tensors, {"x": [3, 16]}), ["yes", "other", "in_loop"],
                   {"x": normal(3, 16)})


class Format(ModelCase):
    def dense(self, **options):
        node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
        return model_of([node], {"w": normal(16, 8)}, {"x": [3, 16]}, **options)

    def test_newest_opset_and_ir(self):
        for opset, ir in ((21, 10), (22, 10), (23, 11), (onnx.defs.onnx_opset_version(),
                                                         onnx.IR_VERSION), (99, 99)):
            with self.subTest(opset=opset, ir=ir):
                self.check(self.dense(opset=opset, ir=ir), ["mm"])

    def test_metadata_and_functions_survive(self):
        model = self.dense(opset=21, ir=10, functions=[helper.make_function(
            "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
            [helper.make_opsetid("", 21)])])
        model.opset_import.append(helper.make_opsetid("mine", 1))
        model.graph.node[0].output[0] = "h"
        model.graph.node.append(helper.make_node("Twice", ["h"], ["y"], domain="mine", name="f"))
        helper.set_model_props(model, {"author": "a \u2713", "empty": ""})
        model.doc_string, model.producer_name, model.domain = "doc", "someone", "d.e"
        model.graph.doc_string = "graph"
        model.graph.node[0].doc_string = "node"
        entry = model.graph.node[0].metadata_props.add()
        entry.key, entry.value = "note", "kept"
        entry = model.graph.metadata_props.add()
        entry.key, entry.value = "graph note", "kept"
        self.check(model, ["mm"], {"x": normal(3, 16)})

    def test_unknown_fields_survive(self):
        # Field 4000, length-delimited, which no version of ONNX has; in the model and in a node.
        unknown = b"\x82\xfa\x01\x05hello"
        model = self.dense()
        node = model.graph.node[0]
        node.MergeFromString(unknown)
        path = self.folder / "unknown.onnx"
        path.write_bytes(model.SerializeToString() + unknown)
        self.assertEqual(path.read_bytes().count(unknown), 2)
        output, _ = self.prune(path, "2:4", "--align", "none")
        self.assertEqual(output.read_bytes().count(unknown), 2)
        ort.load(output)

    def test_weight_of_a_function_is_left_with_the_reason(self):
        function = helper.make_function("mine", "Mul2", ["a", "w"], ["b"],
                                        [helper.make_node("MatMul", ["a", "w"], ["b"])],
                                        [helper.make_opsetid("", 21)])
        node = helper.make_node("Mul2", ["x", "w"], ["y"], domain="mine", name="call")
        model = model_of([node], {"w": normal(16, 8)}, {"x": [3, 16]}, opset=21, ir=10,
                         functions=[function])
        model.opset_import.append(helper.make_opsetid("mine", 1))
        report = self.check(model, [])
        self.assertIn("inline the functions", report["layers"][0]["reason"])

    def test_external_data(self):
        nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"h{i}"], name=f"mm{i}")
                 for i in range(3)] + [helper.make_node("Sum", ["h0", "h1", "h2"], ["y"])]
        tensors = {f"w{i}": normal(64, 64, seed=i) for i in range(3)}
        (self.folder / "in").mkdir()
        for all_in_one in (True, False):
            with self.subTest(all_in_one=all_in_one):
                path = self.save(model_of(nodes, tensors, {"x": [2, 64]}), "in/ext.onnx",
                                 save_as_external_data=True, all_tensors_to_one_file=all_in_one,
                                 size_threshold=0)
                self.assertGreater(len(list(path.parent.iterdir())), 1)
                hashes = {p: e2e.sha256(p) for p in path.parent.iterdir()}
                output, _ = self.prune(path, "2:4", output=self.folder / f"o{all_in_one}/m.onnx")
                self.assertEqual({p: e2e.sha256(p) for p in path.parent.iterdir()}, hashes)
                self.assertEqual(sorted(p.name for p in output.parent.iterdir()),
                                 ["m.onnx", "m.onnx.data"])
                source, result = onnx.load(path), onnx.load(output)
                inputs = {"x": normal(2, 64)}
                for layer in layers_of(source):
                    self.mask(layer, 2, 4)
                for mine, theirs in zip(layers_of(result), layers_of(source), strict=True):
                    np.testing.assert_array_equal(mine.constant.array(), theirs.constant.array())
                np.testing.assert_array_equal(ort.run(output, inputs), ort.run(source, inputs))
                self.good("verify", output, "--pattern", "2:4")

    def test_external_data_outside_the_folder_is_refused(self):
        (self.folder / "in").mkdir()
        for location in ("../secret", "/etc/hostname", "link"):
            with self.subTest(location):
                model = self.dense()
                tensor = model.graph.initializer[0]
                (self.folder / "secret").write_bytes(tensor.raw_data)
                if location == "link" and not (self.folder / "in/link").is_symlink():
                    os.symlink("../secret", self.folder / "in/link")
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                entry = tensor.external_data.add()
                entry.key, entry.value = "location", location
                path = self.folder / "in/m.onnx"
                path.write_bytes(model.SerializeToString())
                self.bad(3, "prune", path, "-o", self.folder / "o.onnx", "--pattern", "2:4",
                         says=(location, "'w'"))
                self.assertFalse((self.folder / "o.onnx").exists())

    def big(self, count, rows):
        nodes = [helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"], name=f"mm{i}")
                 for i in range(count)]
        tensors = {}
        for i in range(count):
            tensors[f"w{i}"] = normal(rows, rows, seed=i) / np.float32(np.sqrt(rows))
        return self.save(model_of(nodes, tensors, {"h0": [2, rows]}, outputs=(f"h{count}",)),
                         "big.onnx", save_as_external_data=True)

    def check_big(self, count, rows):
        path = self.big(count, rows)
        output, report = self.prune(path, "2:4")
        self.assertEqual(sum(x["pruned"] for x in report["layers"]), count)
        self.assertEqual(report["sparsity"], 0.5)
        self.good("verify", output, "--pattern", "2:4")
        ort.run(output, {"h0": normal(2, rows)})
        self.assertLess(output.stat().st_size, 1 << 20, "the weights are beside the model")

    def test_big_external_data(self):
        self.check_big(3, 2048)

    @unittest.skipUnless(e2e.BIG_TESTS, "ESPALIER_BIG_TESTS is not set")
    def test_model_of_more_than_2_gb(self):
        self.check_big(9, 8192)


class Ranked(ModelCase):
    def test_ties_keep_the_lower_index(self):
        weight = np.tile(np.array([1, -1, 0.5, 1, 0.25], np.float32), (8, 3))
        node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)
        path = self.save(model_of([node], {"w": weight}, {"x": [2, 15]}))
        for ratio in (0.0, 0.1, 0.33, 0.5, 0.77, 0.999):
            output, report = self.prune(path, "unstructured", "--sparsity", ratio)
            after = numpy_helper.to_array(onnx.load(output).graph.initializer[0])
            count = min(nearest(ratio, weight.size), weight.size - 1)  # one unit always stays
            order = np.lexsort((-np.arange(weight.size), np.abs(weight).ravel()))
            expected = weight.ravel().copy()
            expected[order[:count]] = 0
            np.testing.assert_array_equal(after.ravel(), expected)
            self.assertEqual(report["layers"][0]["dropped"], count)

    def test_all_equal_and_all_zero_weights(self):
        for fill in (0.0, -0.0, 1.0, -3.0):
            weight = np.full((8, 16), fill, np.float32)
            node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)
            path = self.save(model_of([node], {"w": weight}, {"x": [2, 16]}))
            output, report = self.prune(path, "2:4", "--align", "none")
            after = numpy_helper.to_array(onnx.load(output).graph.initializer[0])
            expected = weight * np.tile(np.array([1, 1, 0, 0], np.float32), (8, 4))
            np.testing.assert_array_equal(after, expected)
            self.assertEqual(report["layers"][0]["kept_magnitude"], 1 if fill == 0 else 0.5)

    def test_threshold(self):
        weight = normal(16, 32)
        node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)
        path = self.save(model_of([node], {"w": weight}, {"x": [2, 32]}))
        limit = np.abs(weight).ravel()[7]  # the one that equals it stays
        output, _ = self.prune(path, "unstructured", "--threshold", repr(float(limit)))
        after = numpy_helper.to_array(onnx.load(output).graph.initializer[0])
        np.testing.assert_array_equal(after, np.where(np.abs(weight) < limit, 0, weight))

    def test_ratios_of_single_layers(self):
        nodes = [helper.make_node("MatMul", ["x", "a"], ["h"], name="one,two"),
                 helper.make_node("MatMul", ["h", "b"], ["y"], name="three")]
        tensors = {"a": normal(16, 16), "b": normal(16, 16, seed=2)}
        path = self.save(model_of(nodes, tensors, {"x": [3, 16]}))
        ratios = self.folder / "r.csv"
        ratios.write_text("layer,sparsity\n# a comment\n\none,two,0.25\r\n")
        _, report = self.prune(path, "unstructured", "--ratios", ratios)
        self.assertEqual(self.layer(report, "one,two")["sparsity"], 0.25)
        self.assertFalse(self.layer(report, "three")["pruned"])
        self.assertEqual(self.layer(report, "three")["reason"], "no ratio is given for it")
        _, report = self.prune(path, "unstructured", "--ratios", ratios, "--sparsity", "0.5")
        self.assertEqual(self.layer(report, "one,two")["sparsity"], 0.25)
        self.assertEqual(self.layer(report, "three")["sparsity"], 0.5)


del ModelCase  # not a test by itself

if __name__ == "__main__":
    e2e.main()

"""Files that are cut off, lie about themselves or hold no numbers: exit 3, a sentence, no output."""

import e2e  # first: it may start the test again under another Python

import json
import struct

import numpy as np
import onnx
from onnx import TensorProto

import safetensors_file
import small_models


class Formats(e2e.Case):
    def refused(self, path, says=(), status=3):
        """Every subcommand refuses the file, and prune writes nothing."""
        before = {p.name for p in self.folder.iterdir()}
        self.bad(status, "inspect", path, says=says)
        self.bad(status, "prune", path, "-o", self.folder / f"out{path.suffix}", "--pattern", "2:4",
                 says=says)
        self.assertEqual({p.name for p in self.folder.iterdir()}, before)

    def written(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def test_truncated_at_any_byte(self):
        for kind, path in small_models.write_all(self.folder, small_models.weight(4, 8)).items():
            whole = path.read_bytes()
            self.good("inspect", path)
            output = self.folder / f"out.{kind}"
            # Everything in the header, then some of the values, and always the last byte.
            cuts = [*range(0, min(len(whole), 200), 5), *range(200, len(whole), 41), len(whole) - 1]
            for cut in cuts:
                with self.subTest(kind=kind, cut=cut):
                    path.write_bytes(whole[:cut])
                    self.bad(3, "prune", path, "-o", output, "--pattern", "2:4", "--align", "none",
                             says=path.name)
                    self.assertFalse(output.exists())

    def test_shards_truncated(self):
        shard = safetensors_file.write(self.folder / "a.safetensors",
                                       {"a.weight": ("F32", small_models.weight())})
        index = self.written("m.safetensors.index.json",
                             json.dumps({"weight_map": {"a.weight": shard.name}}).encode())
        self.good("inspect", index)
        shard.write_bytes(shard.read_bytes()[:-1])
        self.bad(3, "inspect", index, says=("a.safetensors", index.name))

    def test_bytes_after_the_end(self):
        for kind in ("safetensors", "npy"):
            path = small_models.write_all(self.folder)[kind]
            path.write_bytes(path.read_bytes() + b"\0")
            self.refused(path)

    def test_not_a_model(self):
        for name, content in (("m.onnx", b"hello, this is text"), ("m.onnx", b"\xff" * 999),
                              ("m.npy", b"PK\3\4 not npy"), ("m.safetensors", b"\0" * 4096),
                              ("m.safetensors", b"\xff" * 64), ("m.txt", b"1 2 3\n")):
            with self.subTest(name=name, content=content[:8]):
                self.refused(self.written(name, content), name)

    def test_onnx_without_opset(self):
        self.refused(e2e.shared("models/invalid_no_opset.onnx"), ("no opset_import", "IR version"))

    def test_not_a_file(self):
        self.refused(self.folder, "folder")
        for path in ("/dev/null", "/dev/zero", self.folder / "missing.onnx", ""):
            with self.subTest(path=path):
                self.bad(3, "inspect", path, timeout=20)

    # --- safetensors -----------------------------------------------------------------------------

    def safetensors(self, header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return self.written("m.safetensors", struct.pack("<Q", len(text) if length is None
                                                         else length) + text + data)

    def test_safetensors_header_length_beyond_the_file(self):
        for length in (100, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1):
            with self.subTest(length=length):
                self.refused(self.safetensors({}, length=length), str(length))

    def test_safetensors_that_lie(self):
        def entry(shape=(2, 2), offsets=(0, 16), dtype="F32"):
            return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}

        data = bytes(16)
        cases = {
            "shape overflows": ({"a": entry((2**40, 2**40))}, "a"),
            "shape overflows to the right size": ({"a": entry((2**62, 2**2, 4))}, "a"),
            "negative": ({"a": entry((-2, -2))}, "a"),
            "fraction": ({"a": entry((2.5, 2))}, "a"),
            "too short": ({"a": entry(offsets=(0, 12))}, "a"),
            "beyond the file": ({"a": entry((4, 2), (0, 32))}, "a"),
            "backwards": ({"a": entry(offsets=(16, 0))}, "a"),
            "overlap": ({"a": entry(), "b": entry((1, 2), (8, 16))}, "b"),
            "hole": ({"a": entry((1, 2), (8, 16))}, "a"),
            "no dtype": ({"a": {"shape": [2, 2], "data_offsets": [0, 16]}}, "a"),
            "no object": ({"a": 3}, "a"),
            "metadata": ({"__metadata__": {"x": 3}, "a": entry()}, "metadata"),
            "65 dimensions": ({"a": entry((*[1] * 63, 2, 2))}, "a"),
        }
        for what, (header, says) in cases.items():
            with self.subTest(what):
                self.refused(self.safetensors(header, data), says)
        for text in (b"", b"{", b"[]", b"{} x", b"\xff\xfe", b"{\"a\":" * 5000 + b"1",
                     b'{"a": {"dtype": "F32", "dtype": "F32"}}', b'{"a": 1e999}'):
            with self.subTest(text=text[:20]):
                self.refused(self.safetensors(text))
        twice = json.dumps(entry((1, 2), (0, 8)))
        text = f'{{"a": {twice}, "a": {json.dumps(entry((1, 2), (8, 16)))}}}'.encode()
        self.refused(self.safetensors(text, data), "a")

    # --- npy -------------------------------------------------------------------------------------

    def npy(self, header, data=b"", version=b"\1\0"):
        text = header.encode("latin1")
        return self.written("m.npy", b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text
                            + data)

    def test_pth_state_dict_is_pruned_and_verified(self):
        output, report = self.prune(e2e.shared("models/cifar_resnet20.pth"), "2:4")
        self.assertEqual(sum(layer["pruned"] for layer in report["layers"]), 18)
        self.good("verify", output, "--pattern", "2:4")
        self.bad(3, "inspect", self.cut(output, 100_000), says="pth")

    def cut(self, path, length):
        short = self.folder / ("short" + path.suffix)
        short.write_bytes(path.read_bytes()[:length])
        return short

    def test_npy_that_lies(self):
        for shape in ("(2, 2", "2", "(-2, 2)", "(2.0, 2)", f"({2**62}, 4)", f"({2**64}, 1)",
                      "(2, 3)", f"({'1, ' * 65})", f"({2**40}, {2**40})"):
            with self.subTest(shape=shape):
                self.refused(self.npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
                                      "\n", bytes(16)))
        for header in ("", "{}", "nonsense", "{'descr': '<f4'}", "{'descr': '<f4', " * 999):
            with self.subTest(header=header[:20]):
                self.refused(self.npy(header, bytes(16)))
        self.refused(self.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n",
                              bytes(16), version=b"\7\0"), "version 7.0", status=4)

    def test_npy_types_that_are_not_supported(self):
        for array, says in ((np.ones((4, 4), ">f4"), ">f4"), (np.ones((4, 4), "c8"), "complex"),
                            (np.array([[None] * 4] * 4, object), ""), (np.ones((4, 4), "u1"), ""),
                            (np.ones((4, 4), "i8"), "int64"), (np.ones(4, "f4"), "4"),
                            (np.ones((4, 4), [("a", "f4")]), ""),
                            (np.ones((1,) * 6, "f4"), "1x1x1x1x1x1")):
            with self.subTest(dtype=array.dtype, shape=array.shape):
                np.save(self.folder / "m.npy", array)
                self.refused(self.folder / "m.npy", says, status=4)

    # --- ONNX ------------------------------------------------------------------------------------

    def test_onnx_that_lies(self):
        def change(**fields):
            model = small_models.onnx_model()
            tensor = model.graph.initializer[0]
            for name, value in fields.items():
                if name == "dims":
                    tensor.ClearField("dims")
                    tensor.dims.extend(value)
                else:
                    setattr(tensor, name, value)
            return self.written("m.onnx", model.SerializeToString())

        for fields in ({"dims": [16, 17]}, {"dims": [2**32, 2**32]}, {"dims": [-16, -16]},
                       {"dims": [2**63 - 1, 2]}, {"data_type": TensorProto.DOUBLE},
                       {"raw_data": b""}, {"raw_data": bytes(1023)},
                       {"dims": [1] * 64 + [16, 16]}):
            with self.subTest(fields=str(fields)[:60]):
                self.refused(change(**fields), "'w'")

    # --- values ----------------------------------------------------------------------------------

    def test_nan_and_infinity_are_named_with_their_place(self):
        for bad, words in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")):
            array = small_models.weight(24, 32)
            array[13, 29] = bad
            for kind, path in small_models.write_all(self.folder, array).items():
                for pattern in (("2:4",), ("2:4-transposable",), ("unstructured", "--sparsity",
                                                                  "0.5"),
                                ("block:4x1", "--sparsity", "0.5")):
                    with self.subTest(bad=bad, kind=kind, pattern=pattern):
                        output = self.folder / f"out.{kind}"
                        name = {"onnx": "layer", "npy": "m", "safetensors": "layer.weight"}[kind]
                        self.bad(3, "prune", path, "-o", output, "--align", "none", "--pattern",
                                 *pattern, says=(words, f"'{name}'", "output channel 13",
                                                 "input channel 29"))
                        self.assertFalse(output.exists())
                self.good("prune", path, "-o", self.folder / f"ok.{kind}", "--force", "--pattern",
                          "2:4", "--skip", "linear")
                self.good("inspect", path)

    def test_nan_in_halves(self):
        array = small_models.weight(16, 16).astype(np.float16)
        array[3, 5] = np.nan
        np.save(self.folder / "m.npy", array)
        self.bad(3, "prune", self.folder / "m.npy", "-o", self.folder / "o.npy", "--pattern", "2:4",
                 says=("NaN", "output channel 3", "input channel 5"))

    def test_huge_finite_weights_are_fine(self):
        array = np.full((16, 4096), np.finfo(np.float32).max, np.float32)
        array[:, ::2] *= -1
        for kind, path in small_models.write_all(self.folder, array).items():
            for pattern in (("2:4",), ("channel", "--sparsity", "0.5"),
                            ("unstructured", "--sparsity", "0.5", "--scope", "global-normalized")):
                with self.subTest(kind=kind, pattern=pattern):
                    _, report = self.prune(path, *pattern)
                    kept = report["layers"][0]["kept_magnitude"]
                    self.assertIsNotNone(kept, "not a number")
                    self.assertAlmostEqual(kept, 0.5, delta=2**-14)

    def test_denormals_are_ranked(self):
        array = (np.arange(256, dtype=np.uint32).reshape(16, 16) + 1).view(np.float32)
        np.save(self.folder / "m.npy", array)
        output, _ = self.prune(self.folder / "m.npy", "2:4")
        after = np.load(output).view(np.uint32).reshape(-1, 4)
        np.testing.assert_array_equal(after != 0, np.tile([False, False, True, True], (64, 1)))


if __name__ == "__main__":
    e2e.main()

"""What a person or a script reads: JSON, tables, messages, options and configuration files."""

import e2e  # first: it may start the test again under another Python

import json
import re
import unicodedata

import numpy as np
import onnx
from onnx import helper, numpy_helper

import small_models

COLUMNS = 80
NUMBER, RATIO, TEXT, FLAG = (int, float), "ratio", str, bool
MAYBE = "maybe"  # (MAYBE, x): x or null
LIST = "list"

LAYER = {"name": TEXT, "shape": (LIST, int)}
SCHEMAS = {
    "inspect": {"model": TEXT, "parameters": int, "macs": (MAYBE, int), "macs_complete": FLAG,
                "sparsity": RATIO,
                "layers": (LIST, {**LAYER, "op": TEXT, "dtype": TEXT, "parameters": int,
                                  "macs": (MAYBE, int), "sparsity": RATIO,
                                  "patterns": (LIST, TEXT), "reason": (MAYBE, TEXT)})},
    "verify": {"model": TEXT, "pattern": TEXT, "holds": FLAG, "reason": (MAYBE, TEXT),
               "warnings": (LIST, TEXT),
               "layers": (LIST, {**LAYER, "selected": FLAG, "holds": (MAYBE, FLAG),
                                 "reason": (MAYBE, TEXT),
                                 "first_violation": (MAYBE, {"k": int, "c": int, "r": int,
                                                             "s": int, "nonzeros": int}),
                                 "tensorrt": {"eligible": FLAG, "reason": (MAYBE, TEXT)}})},
    "prune": {"model": TEXT, "output": TEXT, "pattern": TEXT, "criterion": TEXT, "scope": TEXT,
              "sparsity": RATIO, "kept_magnitude": RATIO, "warnings": (LIST, TEXT),
              "layers": (LIST, {**LAYER, "op": TEXT, "pruned": FLAG, "dropped": (MAYBE, int),
                                "sparsity": (MAYBE, RATIO), "kept_magnitude": (MAYBE, RATIO),
                                "limit": (MAYBE, TEXT), "reason": (MAYBE, TEXT)})},
    "patterns": (LIST, {"name": TEXT, "help": TEXT}),
    "criteria": (LIST, {"name": TEXT, "help": TEXT}),
}


def check(value, schema, where="$"):
    """Keys must be exactly those of the schema."""
    if isinstance(schema, tuple) and schema[0] == MAYBE:
        if value is not None:
            check(value, schema[1], where)
    elif isinstance(schema, tuple) and schema[0] == LIST:
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check(item, schema[1], f"{where}[{i}]")
    elif isinstance(schema, dict):
        assert isinstance(value, dict) and set(value) == set(schema), f"{where}: {value}"
        for key, inner in schema.items():
            check(value[key], inner, f"{where}.{key}")
    elif schema == RATIO:
        assert isinstance(value, (int, float)) and 0 <= value <= 1, f"{where}: {value}"
    else:
        assert type(value) is schema, f"{where}: {value!r} is no {schema}"


def chain(names, path, shape=(16, 16)):
    """Gemm layers of these names one after the other."""
    nodes, tensors = [], []
    for i, name in enumerate(names):
        array = np.random.default_rng(i).standard_normal(shape).astype(np.float32)
        tensors.append(numpy_helper.from_array(array, f"w{i}"))
        nodes.append(helper.make_node("Gemm", [f"h{i}", f"w{i}"], [f"h{i + 1}"], name=name,
                                      transB=1))
    graph = helper.make_graph(nodes, "g", [], [], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


class Output(e2e.Case):
    def commands(self, model):
        self.counter = getattr(self, "counter", 0) + 1
        yield ("inspect", model), (0,)
        yield ("verify", model, "--pattern", "2:4"), (1,)
        yield ("verify", model, "--pattern", "1:4", "--align", "none"), (1,)
        yield ("verify", model, "--pattern", "2:4", "--only", "name:nothing"), (1,)
        for i, case in enumerate((("2:4",), ("2:4", "--only", "first"), ("2:4", "--skip", "linear"),
                                  ("unstructured", "--sparsity", "0.9", "--scope", "global"))):
            yield ("prune", model, "-o", self.folder / f"o{self.counter}{i}{model.suffix}",
                   "--pattern", *case), (0,)

    def models(self):
        yield from small_models.write_all(self.folder).values()
        yield chain([f"{'long/' * 60}layer.{i}" for i in range(4)], self.folder / "long.onnx")
        yield chain(["K=12", "more"], self.folder / "odd.onnx", (12, 12))
        for name in ("silero_vad_16k_op15.onnx", "silero_vad_16k.safetensors", "vit_mnist.onnx",
                     "picodet_s_320_coco.onnx", "gtcrn_simple.onnx"):
            if (e2e.SHARED / "models" / name).exists():
                yield e2e.SHARED / "models" / name

    def test_json_has_the_keys_of_the_manual(self):
        for command in ("patterns", "criteria"):
            check(self.good(command, "--json").json, SCHEMAS[command])
        for model in self.models():
            for arguments, statuses in self.commands(model):
                with self.subTest(arguments):
                    result = e2e.run(*arguments, "--json")
                    self.assertIn(result.status, statuses, result.err)
                    check(json.loads(result.out, parse_constant=self.fail), SCHEMAS[arguments[0]])

    def test_json_shows_a_third_kernel_dimension(self):
        np.save(self.folder / "w.npy", np.ones((8, 8, 2, 2, 2), np.float32))
        result = self.good("verify", self.folder / "w.npy", "--pattern", "2:4", "--json", status=1)
        self.assertEqual(result.json["layers"][0]["first_violation"],
                         {"k": 0, "c": 0, "d": 0, "r": 0, "s": 0, "nonzeros": 4})

    def test_tables_fit_80_columns(self):
        for model in self.models():
            for arguments, statuses in self.commands(model):
                with self.subTest(arguments):
                    result = e2e.run(*arguments)
                    self.assertIn(result.status, statuses, result.err)
                    for line in result.out.splitlines():
                        if str(model) in line or str(self.folder) in line:
                            continue  # a path of the user's is never cut
                        self.assertLessEqual(len(line), COLUMNS, line)

    def test_help_and_lists_fit_80_columns(self):
        for arguments in (("--help",), ("patterns",), ("criteria",), ("inspect", "--help"),
                          ("verify", "--help"), ("prune", "--help"), ("patterns", "--help")):
            result = self.good(*arguments)
            self.assertEqual(result.err, "")
            for line in result.out.splitlines():
                self.assertLessEqual(len(line), COLUMNS, line)

    def test_hostile_names_do_not_reach_the_terminal(self):
        names = ["\x1b]0;title\x07", "a\rb", "a\nb\nc", "tab\there", "\x9b31mred", "\u202eright",
                 "del\x7f", "\x00nul", "\u2028line"]
        model = chain(names, self.folder / "hostile.onnx")
        raw = model.read_bytes().replace(b"tab\there", b"\x9b\xff\xc3(bad!")
        model.write_bytes(raw)
        for arguments, statuses in self.commands(model):
            result = e2e.run(*arguments)
            self.assertIn(result.status, statuses, result.err)
            self.check_printable(result.out + result.err)
            result = e2e.run(*arguments, "--force", "--json") if arguments[0] == "prune" else (
                e2e.run(*arguments, "--json"))
            self.assertEqual(len(result.json["layers"]), len(names))
        nan = self.folder / "nan.onnx"
        onnx.save(small_models.onnx_model(np.full((8, 8), np.nan, np.float32),
                                          "\x1b[31mlayer\r\n\u202e"), nan)
        result = self.bad(3, "prune", nan, "-o", self.folder / "n.onnx", "--pattern", "2:4",
                          "--align", "none")
        self.check_printable(result.err)
        result = self.bad(3, "inspect", self.folder / "no\x1b[31m\u202efile")
        self.check_printable(result.err)
        result = e2e.run("inspect", self.path(), "--no\x1b[31m")
        self.assertEqual(result.status, 2)
        self.check_printable(result.err)

    def path(self):
        return small_models.write_all(self.folder)["onnx"]

    def check_printable(self, text):
        for line in text.split("\n"):
            bad = [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")]
            self.assertEqual(bad, [], repr(line))

    def test_quiet_says_nothing(self):
        model = self.path()
        for arguments, _ in self.commands(model):
            if arguments[0] == "verify" or "--skip" in arguments:
                continue
            result = self.good(*arguments, "--quiet")
            self.assertEqual((result.out, result.err), ("", ""))
        result = self.good("verify", model, "--pattern", "2:4", "--quiet", status=1)
        self.assertEqual((result.out, result.err), ("", ""))

    def test_json_is_all_there_is_on_stdout(self):
        result = self.good("prune", self.path(), "-o", self.folder / "o.onnx", "--pattern", "2:4",
                           "--json", "--verbose", "--skip", "name:nobody")
        result.json  # one document and nothing else
        self.assertIn("warning: the selection 'name:nobody' matches no layer", result.err)
        self.assertIn("instruction set", result.err)

    # --- wrong use -------------------------------------------------------------------------------

    def wrong(self, says, *arguments):
        with self.subTest(arguments):
            result = e2e.run(*arguments)
            self.assertEqual(result.status, 2, result.err)
            self.assertEqual(result.out, "")
            self.assertTrue(result.err.startswith("espalier: "), result.err)
            for words in says if isinstance(says, tuple) else (says,):
                self.assertIn(words, result.err)

    def test_wrong_use_is_exit_2_and_says_what_is_right(self):
        prune = ("prune", self.path(), "-o", self.folder / "o.onnx", "--pattern")
        self.wrong(("subcommand", "`espalier --help`"))
        self.wrong("no subcommand 'frobnicate'", "frobnicate")
        self.wrong(("MODEL", "`espalier inspect --help`"), "inspect")
        self.wrong("--pattern", "prune", self.path(), "-o", "x.onnx")
        self.wrong("--output", "prune", self.path(), "--pattern", "2:4")
        self.wrong("--bogus", *prune, "2:4", "--bogus")
        for pattern in ("2:3:4", "4:2", "0:4", "2:2", "x", "", "block", "block:0x1", "block:1x1",
                        "2:99999999999999999999", "-1:4", "block:4", "channels", "2:4 "):
            self.wrong(f"'{pattern}'", *prune, pattern)
        self.wrong(("'taylor'", "magnitude:l2"), *prune, "2:4", "--criterion", "taylor")
        for terms, says in (("foo", "'foo'"), ("conv,foo", "'foo'"), ("name:(", "missing"),
                            ("last:x", "'x'"), ("last:0", "'0'"), ("smaller:-4", "'-4'"),
                            ("smaller:", "smaller"), ("", "''"), ("name:", "name:")):
            self.wrong(says, *prune, "2:4", "--only", terms)
            self.wrong(says, *prune, "2:4", "--skip", terms)
        self.wrong("needs a sparsity", *prune, "unstructured")
        self.wrong("built in", *prune, "2:4", "--sparsity", "0.5")
        self.wrong("built in", *prune, "2:4", "--scope", "global")
        for value in ("1.5", "-0.1", "x", "nan", ""):
            self.wrong("sparsity", *prune, "unstructured", "--sparsity", value)
        self.wrong("not in 0 <= S < 1", *prune, "unstructured", "--sparsity", "1")
        for value in ("-1", "nan", "inf", "x"):
            self.wrong("threshold", *prune, "unstructured", "--threshold", value)
        self.wrong("not both", *prune, "unstructured", "--threshold", "1", "--sparsity", ".5")
        self.wrong("--scope", *prune, "unstructured", "--sparsity", ".5", "--scope", "all")
        self.wrong("--align", *prune, "2:4", "--align", "nvidia")
        for value in ("0", "-1", "x", "99999"):
            self.wrong("--threads", *prune, "2:4", "--threads", value)
        self.wrong("--seed", *prune, "2:4", "--seed", "-1")
        self.wrong("max layer sparsity", *prune, "unstructured", "--sparsity", ".5", "--scope",
                   "global", "--max-layer-sparsity", "1.5")
        self.wrong("its ratio built in", "verify", self.path(), "--pattern", "2:4", "--sparsity",
                   "0.5")
        self.assertFalse((self.folder / "o.onnx").exists())

    def test_unknown_isa_is_exit_2(self):
        self.bad(2, "patterns", env={"ESPALIER_FORCE_ISA": "MMX"}, says=("'MMX'", "available:"))

    def test_help_and_version(self):
        self.assertRegex(self.good("--version").out, r"^espalier \d+\.\d+")
        result = self.good("prune", "--help")
        for option in ("--pattern", "--sparsity", "--scope", "--criterion", "--only", "--skip",
                       "--ratios", "--align", "--force", "--seed", "--threshold"):
            self.assertIn(option, result.out)

    # --- ratios and configuration ----------------------------------------------------------------

    def test_bad_ratio_files_name_the_line(self):
        path, ratios = self.path(), self.folder / "r.csv"
        command = ("prune", path, "-o", self.folder / "o.onnx", "--pattern", "unstructured",
                   "--ratios", ratios)
        for text, status, says in (
                ("layer,sparsity\nlayer,half\n", 3, (":2:", "half")),
                ("layer\n", 3, ":1:"), ("layer,\n", 3, ":1:"), ("layer,0.5 \n", 3, ":1:"),
                ("layer,0.5\nlayer,0.6\n", 3, (":2:", "'layer'")),
                ("layer,0.5,\n", 3, ":1:"), ("\nlayer;0.5", 3, ":2:"),
                ("nobody,0.5\n", 2, "'nobody'"), ("layer,1\n", 2, "'layer'"),
                ("layer,-0.1\n", 2, "-0.1"), ("layer,nan\n", 2, "nan"),
                ("layer,1e999\n", 3, ":1:")):
            with self.subTest(text):
                ratios.write_text(text)
                self.bad(status, *command, says=says)
        ratios.unlink()
        self.bad(3, *command, says="r.csv")

    def test_configuration_file(self):
        path, config = self.path(), self.folder / "c.toml"
        config.write_text('json = true\nthreads = 1\n[prune]\npattern = "unstructured"\n'
                          'sparsity = 0.25\nonly = ["conv", "name:lay.*,linear"]\n')
        report = self.good("--config", config, "prune", path, "-o", self.folder / "a.onnx").json
        self.assertEqual((report["pattern"], report["sparsity"]), ("unstructured", 0.25))
        report = self.good("prune", path, "-o", self.folder / "b.onnx", "--config", config,
                           "--sparsity", "0.5").json  # the command line goes first
        self.assertEqual(report["sparsity"], 0.5)
        for text, says in (("[prune]\nsparcity = 0.5\n", "sparcity"), ("bogus = 1\n", "bogus")):
            config.write_text(text)
            self.wrong(says, "prune", path, "-o", self.folder / "c.onnx", "--pattern", "2:4",
                       "--config", config)
        self.assertFalse((self.folder / "c.onnx").exists())
        self.bad(3, "inspect", path, "--config", self.folder / "missing.toml", says="missing.toml")

    def test_selection_terms(self):
        model = chain(["a,b", "c.d", "e"], self.folder / "s.onnx")
        for terms, chosen in (("name:a\\,b", {"a,b"}), ("name:c.d", {"c.d"}), ("first", {"a,b"}),
                              ("last:2", {"c.d", "e"}), ("linear", {"a,b", "c.d", "e"}),
                              ("conv", set()), ("smaller:256", set()), ("smaller:257",
                                                                        {"a,b", "c.d", "e"}),
                              ("name:w[12]", {"c.d", "e"}), ("first,last", {"a,b", "e"})):
            with self.subTest(terms):
                _, report = self.prune(model, "2:4", "--only", terms)
                self.assertEqual({x["name"] for x in report["layers"] if x["pruned"]}, chosen)
                _, report = self.prune(model, "2:4", "--skip", terms)
                self.assertEqual({x["name"] for x in report["layers"] if not x["pruned"]}, chosen)
        _, report = self.prune(model, "2:4", "--only", "first", "--only", "last", "--skip", "last")
        self.assertEqual({x["name"] for x in report["layers"] if x["pruned"]}, {"a,b"})
        self.assertEqual(self.layer(report, "c.d")["reason"], "not chosen by --only")
        self.assertEqual(self.layer(report, "e")["reason"], "--skip last")


if __name__ == "__main__":
    e2e.main()

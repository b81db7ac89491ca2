"""train and finetune on data that the test makes: it learns, zeros hold, kills and signals resume."""

import e2e  # first: it may start the test again under another Python

import pathlib
import signal
import subprocess
import sys
import unittest

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SMALL = ("--preprocess", "mnist", "--batch-size", 32, "--threads", 1)


def weights(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@unittest.skipUnless(pathlib.Path(e2e.PROGRAM + "-train").exists(),
                     "built without training")
class Finetune(e2e.Case):
    def setUp(self):
        super().setUp()
        tool = [sys.executable, ROOT / "tools"]
        subprocess.run([tool[0], tool[1] / "make_example_model.py", self.path("net.onnx"),
                        "--small"], check=True)
        subprocess.run([tool[0], tool[1] / "make_example_data.py", self.folder, "600", "200"],
                       check=True)
        self.data = ("--data", self.path("train.npz"), *SMALL)

    def path(self, name):
        return self.folder / name

    def train(self, model, output, *arguments, command="finetune"):
        return self.good(command, self.path(model), "-o", self.path(output), *self.data, "--json",
                         "--force", *arguments).json

    def accuracy(self, model):
        return self.good("eval", self.path(model), "--data", self.path("test.npz"),
                         "--preprocess", "mnist", "--threads", 1, "--json").json["top1"]

    def test_trains_prunes_and_recovers(self):
        report = self.train("net.onnx", "dense.onnx", "--epochs", 10, "--lr", 0.05,
                            "--eval-data", self.path("test.npz"), command="train")
        dense = self.accuracy("dense.onnx")
        self.assertGreater(dense, 0.9)
        self.assertAlmostEqual(report["held_out_accuracy"], dense, delta=0.006)
        self.good("prune", self.path("dense.onnx"), "-o", self.path("s.onnx"), "--pattern", "1:4",
                  "--align", "none")
        pruned = self.accuracy("s.onnx")
        self.train("s.onnx", "ft.onnx", "--epochs", 4, "--teacher", self.path("dense.onnx"))
        self.good("verify", self.path("ft.onnx"), "--pattern", "1:4", "--align", "none")
        self.assertGreater(self.accuracy("ft.onnx"), max(pruned, dense - 0.05))
        before, after = weights(self.path("s.onnx")), weights(self.path("ft.onnx"))
        self.assertEqual(before.keys(), after.keys())
        for name, old in before.items():
            if name.endswith("weight") and (old == 0).any():
                np.testing.assert_array_equal(old == 0, after[name] == 0, name)
                self.assertFalse(np.signbit(after[name][after[name] == 0]).any(), name)
                self.assertTrue((old != after[name]).any(), name)

    def test_gradual_pruning_meets_the_ratio(self):
        self.train("net.onnx", "gmp.onnx", "--pattern", "unstructured", "--sparsity", 0.8,
                   "--schedule", "gmp", "--epochs", 3, "--lr", 0.05, "--skip", "first,last",
                   "--log", self.path("log.csv"))
        for name in ("stage1.weight", "stage2.weight"):
            values = weights(self.path("gmp.onnx"))[name]
            self.assertEqual((values == 0).sum(), round(0.8 * values.size), name)
        log = np.genfromtxt(self.path("log.csv"), delimiter=",", names=True)
        self.assertEqual(list(log["epoch"]), [1, 2, 3])
        self.assertTrue((np.diff(log["sparsity"]) >= 0).all())

    def test_prune_with_a_schedule_trains(self):
        arguments = ("--pattern", "unstructured", "--sparsity", 0.75, "--only", "conv",
                     "--skip", "first")
        self.train("net.onnx", "gmp.onnx", *arguments, "--schedule", "gmp", "--epochs", 2,
                   command="prune")
        for name in ("stage1.weight", "stage2.weight"):
            values = weights(self.path("gmp.onnx"))[name]
            self.assertEqual((values == 0).sum(), round(0.75 * values.size), name)
        command = ("prune", self.path("net.onnx"), "-o", self.path("o.onnx"), *arguments)
        self.bad(2, *command, "--schedule", "gmp", says="needs --data and --preprocess")
        self.bad(2, *command, *self.data, says="needs --schedule")

    def start(self, output, *arguments):
        return subprocess.Popen(
            [e2e.PROGRAM, "finetune", self.path("net.onnx"), "-o",
             self.path(output), *map(str, self.data), "--epochs", "20", "--checkpoint",
             self.path("state"), "--resume", "--force", *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def test_resumes_after_signals_to_the_same_bytes(self):
        self.train("net.onnx", "whole.onnx", "--epochs", 20)
        for number, minutes in ((signal.SIGTERM, "10"), (signal.SIGINT, "10"),
                                (signal.SIGKILL, "0")):
            self.path("state").unlink(missing_ok=True)
            killed = 0
            for attempt in range(40):
                process = self.start("parts.onnx", "--checkpoint-minutes", minutes)
                try:
                    _, talk = process.communicate(timeout=1.5 + 0.3 * attempt)
                except subprocess.TimeoutExpired:
                    process.send_signal(number)
                    _, talk = process.communicate()
                    killed += 1
                if process.returncode == 0:
                    break
                self.assertIn(process.returncode, (130, -signal.SIGKILL, -number), talk.decode())
                if self.path("parts.onnx").exists():  # killed while it ended: whole, as below
                    break
            self.assertEqual(self.path("parts.onnx").read_bytes(),
                             self.path("whole.onnx").read_bytes())
            self.assertGreater(killed, 0, "never stopped: make the training longer")
            self.path("parts.onnx").unlink()

    def test_says_what_is_wrong(self):
        def fails(status, says, *arguments):
            self.bad(status, "finetune", self.path("net.onnx"), "-o", self.path("o.onnx"),
                     *self.data, *arguments, says=says)

        fails(2, "split", "--split", "nothing")
        fails(2, "--resume needs --checkpoint", "--resume")
        fails(2, "--sparsity, --threshold, --ratios and --schedule need a --pattern", "--sparsity", 0.5)
        fails(2, "the loss is NaN at step ", "--lr", 1e30, "--no-batch-norm", "--quiet")
        fails(5, "log.csv", "--log", self.path("no/such/log.csv"), "--quiet")
        self.path("state").write_bytes(b"something else")
        fails(2, "--resume, or begin anew with --force", "--checkpoint", self.path("state"))
        fails(3, "state", "--checkpoint", self.path("state"), "--resume", "--quiet")
        fails(2, "take the place of another", "--checkpoint", self.path("net.onnx"))
        self.assertFalse(self.path("o.onnx").exists())


if __name__ == "__main__":
    e2e.main()

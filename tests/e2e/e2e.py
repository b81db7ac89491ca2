"""What the end-to-end tests share: the program, the data, skipping aloud.

Every test file imports this module first. It needs only the standard library; where numpy, onnx or
onnxruntime is missing it starts the test again under ESPALIER_PYTHON, or skips the whole file.
"""

import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77  # SKIP_RETURN_CODE of the tests
PACKAGES = ("numpy", "onnx", "onnxruntime")
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent


def skip_all(reason):
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIPPED)


def find_packages():
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    other = os.environ.pop("ESPALIER_PYTHON", "")
    if other and os.path.exists(other):
        os.execv(other, [other, "-B", *sys.argv])
    skip_all(f"Python has no {', '.join(missing)} (ESPALIER_PYTHON names one that has)")


find_packages()

PROGRAM = os.environ.get("ESPALIER_PROGRAM", "")
if not os.path.exists(PROGRAM):
    skip_all(f"ESPALIER_PROGRAM='{PROGRAM}' does not exist")

SHARED = pathlib.Path(os.environ.get("ESPALIER_SHARED") or SOURCE.parent / "shared").resolve()
BIG_TESTS = bool(os.environ.get("ESPALIER_BIG_TESTS"))


def shared(path):
    """A file of the shared data; skips the test if it is not there."""
    found = SHARED / path
    if not found.exists():
        raise unittest.SkipTest(f"no {found} (ESPALIER_SHARED)")
    return found


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)


def run(*arguments, env=None, cwd=None, timeout=120, **options):
    """Runs the program and returns status, stdout and stderr."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, timeout=timeout,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="espalier-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def good(self, *arguments, status=0, **options):
        """Runs; the status must be `status`, 0 unless told."""
        result = run(*arguments, **options)
        self.assertEqual(result.status, status, f"{arguments}\n{result.err}\n{result.out[-2000:]}")
        return result

    def bad(self, status, *arguments, says=(), **options):
        """Runs; wants this status, one error text with all of `says`, and no output on stdout."""
        result = run(*arguments, **options)
        self.assertEqual(result.status, status, f"{arguments}\n{result.err}\n{result.out[-2000:]}")
        self.assertEqual(result.out, "", arguments)
        self.assertTrue(result.err.startswith("espalier: "), result.err)
        for words in (says,) if isinstance(says, str) else says:
            self.assertIn(words, result.err)
        return result

    def prune(self, model, pattern, *arguments, output=None, **options):
        """Prunes with --json; returns (path of the output, report)."""
        model = pathlib.Path(model)
        output = output or self.folder / f"out{len(list(self.folder.iterdir()))}{model.suffix}"
        result = self.good("prune", model, "-o", output, "--pattern", pattern, "--json", *arguments,
                           **options)
        return output, result.json

    def layer(self, report, name):
        found = [layer for layer in report["layers"] if layer["name"] == name]
        self.assertEqual(len(found), 1, f"{name} in {[x['name'] for x in report['layers']]}")
        return found[0]


def main():
    """Runs the tests of the file that calls; 77 if every one of them was skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == 0:
        sys.exit("no test ran: is the name right?")
    if len(result.skipped) == result.testsRun:
        skip_all(result.skipped[0][1])
    sys.exit(0)

"""The documentation runner notices commands that fail and output that differs from the page."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import run_docs

PROGRAM = """#!/bin/sh
echo "prunes $*"; echo "3 layers"; echo "took $$ ms"; echo done
"""


def sh(commands, output=None, words=""):
    page = f"# Page\n\n```sh {words}\n{commands}\n```\n"
    return page if output is None else page + f"\n```text\n{output}\n```\n"


class RunDocsTest(unittest.TestCase):
    def run_pages(self, *pages, models=True):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            (root / "bin").mkdir()
            program = root / "bin" / "espalier"
            program.write_text(PROGRAM)
            program.chmod(0o755)
            if models:
                (root / "models").mkdir()
                (root / "models" / "net.onnx").write_text("bytes\n")
            files = []
            for number, page in enumerate(pages):
                files.append(root / f"page{number}.md")
                files[-1].write_text(page)
            done = subprocess.run(
                [sys.executable, HERE / "run_docs.py", "--program", program, "--shared", root,
                 *files], stdout=subprocess.PIPE, text=True, env=dict(os.environ), check=False)
            return done.returncode, done.stdout

    def assert_passes(self, page):
        status, text = self.run_pages(page)
        self.assertEqual(status, 0, text)

    def assert_fails(self, page, *parts):
        status, text = self.run_pages(page)
        self.assertEqual(status, 1, text)
        for part in parts:
            self.assertIn(part, text)

    def test_runs_the_program_and_finds_the_models(self):
        self.assert_passes(sh("espalier prune net.onnx >a.txt\ncat net.onnx", "bytes"))

    def test_later_blocks_see_the_files_of_earlier_ones(self):
        self.assert_passes(sh("echo hello >a.txt") + sh("cat a.txt", "hello"))

    def test_pages_do_not_see_each_others_files(self):
        status, text = self.run_pages(sh("echo hello >a.txt"), sh("cat a.txt"))
        self.assertEqual(status, 1)
        self.assertIn("page1.md:3", text)

    def test_compares_the_whole_output(self):
        self.assert_fails(sh("echo one; echo two", "one"), "page0.md:3", "other output", "+two")

    def test_dots_stand_for_any_lines(self):
        self.assert_passes(sh("espalier a", "prunes a\n3 layers\n...\ndone"))
        self.assert_passes(sh("espalier a", "...\n3 layers\n..."))
        self.assert_fails(sh("espalier a", "prunes a\n...\n4 layers\n..."), "other output")

    def test_a_failing_command_fails_even_in_the_middle(self):
        self.assert_fails(sh("false\necho fine"), "exit status 1, expected 0")
        self.assert_fails(sh("no_such_program"), "exit status 127")

    def test_expected_exit_status_must_be_met(self):
        self.assert_passes(sh("exit 1", words="exit=1"))
        self.assert_fails(sh("true", words="exit=1"), "exit status 0, expected 1")

    def test_blocks_that_are_not_run_are_named(self):
        status, text = self.run_pages(sh("rm -rf build", words="no-run"))
        self.assertEqual(status, 0)
        self.assertIn("page0.md:3: shown only: rm -rf build", text)

    def test_text_after_other_words_is_not_output(self):
        self.assert_passes(sh("echo one") + "\nThe file has:\n\n```text\ntwo\n```\n")

    def test_skips_aloud_without_models(self):
        status, text = self.run_pages(sh("false"), models=False)
        self.assertEqual(status, run_docs.SKIPPED)
        self.assertIn("SKIPPED: no models", text)

    def test_refuses_a_block_that_is_not_closed(self):
        with self.assertRaisesRegex(ValueError, "line 2 is not closed"):
            run_docs.fenced_blocks("a\n```sh\nb\n")


class MatchesTest(unittest.TestCase):
    def test_dots_never_let_one_line_count_twice(self):
        self.assertTrue(run_docs.matches(["a", "...", "a"], ["a", "a"]))
        self.assertFalse(run_docs.matches(["a", "...", "a"], ["a"]))
        self.assertTrue(run_docs.matches(["...", "b", "...", "b", "..."], ["b", "x", "b"]))
        self.assertFalse(run_docs.matches(["...", "b", "...", "b", "..."], ["b", "x"]))


if __name__ == "__main__":
    unittest.main()

"""Outputs that cannot be written, full disks, kills: the right status, and nothing half-written."""

import e2e  # first: it may start the test again under another Python

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

import numpy as np

import small_models

MAKE = e2e.SOURCE / "tools" / "make_checkpoint.py"


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))


class Outputs(e2e.Case):
    def setUp(self):
        super().setUp()
        (self.folder / "in").mkdir()
        self.models = small_models.write_all(self.folder / "in")
        self.hashes = {p: e2e.sha256(p) for p in self.models.values()}

    def tearDown(self):
        for path, digest in self.hashes.items():
            self.assertEqual(e2e.sha256(path), digest, "the input changed")

    def each(self):
        for kind, path in self.models.items():
            with self.subTest(kind):
                yield kind, path

    def refused(self, status, path, output, *says, **options):
        return self.bad(status, "prune", path, "-o", output, "--pattern", "2:4", says=says,
                        **options)

    def test_exists(self):
        for kind, path in self.each():
            output = self.folder / f"o.{kind}"
            output.write_bytes(b"mine")
            self.refused(2, path, output, "--force")
            self.assertEqual(output.read_bytes(), b"mine")
            self.good("prune", path, "-o", output, "--pattern", "2:4", "--force")
            self.good("verify", output, "--pattern", "2:4")

    def test_input_is_not_overwritten_unless_forced(self):
        for _, path in self.each():
            self.refused(2, path, path, "--force")
        self.tearDown()
        for kind, path in self.each():
            self.good("prune", path, "-o", path, "--pattern", "2:4", "--force")
            self.good("verify", path, "--pattern", "2:4")
        self.hashes = {}

    def test_missing_folders_are_made(self):
        for kind, path in self.each():
            output = self.folder / f"{kind}/a/b/o.{kind}"
            self.good("prune", path, "-o", output, "--pattern", "2:4")
            self.assertTrue(output.exists())

    def test_missing_folders_are_not_made_for_nothing(self):
        bad = self.folder / "bad.npy"
        np.save(bad, np.full((8, 8), np.nan, np.float32))
        self.refused(3, bad, self.folder / "new/o.npy")
        self.assertFalse((self.folder / "new").exists())

    def test_output_is_a_folder(self):
        for _, path in self.each():
            self.refused(2, path, self.folder, "folder")
            self.refused(2, path, f"{self.folder}/new/", "folder")

    def test_parent_is_a_file(self):
        (self.folder / "file").write_bytes(b"x")
        for kind, path in self.each():
            self.refused(5, path, self.folder / f"file/o.{kind}", "not a folder")
            self.refused(5, path, self.folder / f"file/a/b/o.{kind}", "not a folder")

    def test_special_files_are_not_replaced(self):
        os.mkfifo(self.folder / "fifo")
        for _, path in self.each():
            for output in (self.folder / "fifo", "/dev/full"):
                self.bad(2, "prune", path, "-o", output, "--force", "--pattern", "2:4")

    def test_name_too_long(self):
        for kind, path in self.each():
            result = e2e.run("prune", path, "-o", self.folder / ("n" * 300 + "." + kind),
                             "--pattern", "2:4")
            self.assertIn(result.status, (2, 5), result.err)

    def test_read_only_folder(self):
        folder = self.folder / "locked"
        folder.mkdir()
        folder.chmod(0o555)
        options = {}
        if os.geteuid() == 0:  # permissions do not hold root back
            self.folder.chmod(0o755)
            options = {"user": 65534}
            try:
                readable = e2e.run("inspect", self.models["onnx"], **options).status == 0
            except PermissionError:
                readable = False
            if not readable:
                self.skipTest("user 65534 cannot run the program here")
        for kind, path in self.each():
            self.refused(5, path, folder / f"o.{kind}", "denied", **options)
            self.refused(5, path, folder / f"new/o.{kind}", "denied", **options)
        self.assertEqual(list(folder.iterdir()), [])

    def test_proc_is_no_place_for_files(self):
        for kind, path in self.each():
            self.refused(5, path, f"/proc/o.{kind}")

    def large(self, folder):
        paths = small_models.write_all(folder, small_models.weight(512, 512))
        self.hashes = {p: e2e.sha256(p) for p in paths.values()}
        return paths

    def test_file_size_limit(self):
        for kind, path in self.large(self.folder / "in").items():
            with self.subTest(kind):
                self.refused(5, path, self.folder / f"out/o.{kind}", "cannot write",
                             preexec_fn=limit_file_size)
                self.assertFalse((self.folder / "out").exists())

    def test_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk],
                               capture_output=True)
        if mount.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted: {mount.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        for kind, path in self.large(self.folder / "in").items():
            with self.subTest(kind):
                self.refused(5, path, disk / f"o.{kind}", "cannot write")
                self.assertEqual(list(disk.iterdir()), [])

    def test_two_writers_of_one_output(self):
        path = self.large(self.folder / "in")["onnx"]
        for i in range(5):
            output = self.folder / f"o{i}.onnx"
            command = [e2e.PROGRAM, "prune", path, "-o", output, "--pattern", "2:4", "--quiet"]
            both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
            for child in both:
                child.communicate()
            self.assertEqual(sorted(child.returncode for child in both), [0, 2])
            self.good("verify", output, "--pattern", "2:4")


class Streams(e2e.Case):
    def setUp(self):
        super().setUp()
        self.path = small_models.write_all(self.folder)["onnx"]

    def status(self, *arguments, **options):
        done = subprocess.run([e2e.PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE,
                              **options)
        return done.returncode, done.stderr.decode()

    def test_full_stdout(self):
        for arguments in (("inspect", self.path), ("inspect", self.path, "--json"), ("patterns",),
                          ("inspect", self.path, "--help"), ("--help",), ("--version",),
                          ("prune", self.path, "-o", self.folder / "o.onnx", "--pattern", "2:4")):
            with self.subTest(arguments[0]), open("/dev/full", "w") as full:
                status, err = self.status(*arguments, stdout=full)
                self.assertEqual(status, 5, err)
                self.assertIn("standard output", err)

    def test_a_check_that_says_no_keeps_its_status(self):
        with open("/dev/full", "w") as full:
            status, err = self.status("verify", self.path, "--pattern", "1:2", stdout=full)
        self.assertEqual(status, 1, err)
        self.assertIn("standard output", err)

    def test_closed_stdout(self):
        status, err = self.status("patterns", preexec_fn=lambda: os.close(1))
        self.assertEqual(status, 5, err)
        self.assertIn("standard output", err)

    def test_closed_stdout_does_not_end_up_in_the_model(self):
        # The next file that is opened gets the number of stdout.
        output = self.folder / "o.onnx"
        self.status("prune", self.path, "-o", output, "--pattern", "2:4",
                    preexec_fn=lambda: (os.close(1), os.close(0)))
        if output.exists():
            self.good("verify", output, "--pattern", "2:4")

    def test_reader_of_stdout_went_away(self):
        child = subprocess.Popen([e2e.PROGRAM, "inspect", self.path, "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdout.close()
        child.wait(20)
        child.stderr.close()
        self.assertIn(child.returncode, (0, 5, -signal.SIGPIPE))


class Kills(e2e.Case):
    """A kill while a large checkpoint is written: no output, no other file, the input as it was."""

    @classmethod
    def setUpClass(cls):
        cls.source = pathlib.Path(e2e.tempfile.mkdtemp(prefix="espalier-e2e-kill-"))
        cls.addClassCleanup(shutil.rmtree, cls.source, ignore_errors=True)
        subprocess.run([sys.executable, "-B", MAKE, cls.source / "sharded", "--bytes", "150M",
                        "--shards", "2"], check=True)
        subprocess.run([sys.executable, "-B", MAKE, cls.source / "m.safetensors", "--bytes",
                        "150M"], check=True)

    def kill(self, number, model, output, tries=8):
        hashes = {p: e2e.sha256(p) for p in self.source.rglob("*") if p.is_file()}
        started = time.monotonic()
        self.good("prune", model, "-o", self.folder / "whole" / output, "--pattern", "2:4")
        duration = time.monotonic() - started
        shutil.rmtree(self.folder / "whole")
        hit = 0
        for i in range(tries):
            target = self.folder / f"try{i}"
            target.mkdir()
            child = subprocess.Popen(
                [e2e.PROGRAM, "prune", model, "-o", target / output, "--pattern", "2:4", "--quiet"])
            time.sleep(duration * (i + 0.5) / tries)
            child.send_signal(number)
            if child.wait() == 0:
                self.good("verify", next(target.rglob("*.json"), target / output), "--pattern",
                          "2:4")
            else:
                hit += 1
                left = [p for p in target.rglob("*") if p.is_file()]
                self.check_left(left)
            shutil.rmtree(target)
        self.assertGreaterEqual(hit, tries // 2, "too few kills came in time to say anything")
        self.assertEqual({p: e2e.sha256(p) for p in hashes}, hashes, "the input changed")

    def check_left(self, left):
        self.assertEqual(left, [])

    def test_single_file(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.kill(number, self.source / "m.safetensors", "o.safetensors",
                          tries=8 if number == signal.SIGKILL else 3)

    def test_sharded(self):
        self.kill(signal.SIGKILL, self.source / "sharded/model.safetensors.index.json", "out")


if __name__ == "__main__":
    e2e.main()

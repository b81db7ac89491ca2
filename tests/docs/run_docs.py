#!/usr/bin/env python3
"""Runs the commands that the documentation shows, and compares what they print with what it says.

    run_docs.py --program PATH/espalier [--program OTHER]... [--shared FOLDER] FILE.md...

Each ```sh block of a page runs with `bash -euo pipefail` in one temporary folder per page, which
holds copies of $ESPALIER_SHARED/models and the project's tools/, with the programs on PATH; so a block can use the files of
an earlier one. A ```text block that follows directly is what the block prints (stdout and stderr);
spaces at line ends do not count, and a line `...` stands for any number of lines.
Words after `sh`:  exit=N  the block ends with status N;  no-run  the block is shown only (listed).
Exit status: 0 all as shown, 1 not, 77 (ctest: skipped) without the shared models.
"""
import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
BLOCK_SECONDS = 120
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*(.*?)\s*$")


class Block:
    def __init__(self, line, words):
        self.line = line
        self.words = words  # of the info string: ["sh", "exit=1"]
        self.text = ""
        self.end = line


def fenced_blocks(markdown):
    blocks = []
    fence = None
    for number, line in enumerate(markdown.split("\n"), 1):
        match = _FENCE.match(line)
        if fence is None:
            if match:
                fence = match.group(1)
                blocks.append(Block(number, match.group(2).split() or [""]))
        elif match and match.group(1).startswith(fence) and not match.group(2):
            fence = None
            blocks[-1].end = number
        else:
            blocks[-1].text += line + "\n"
    if fence is not None:
        raise ValueError(f"the code block of line {blocks[-1].line} is not closed")
    return blocks


def commands_with_output(markdown):
    """(sh block, text block that follows with only blank lines between, or None)."""
    lines = markdown.split("\n")
    blocks = fenced_blocks(markdown)
    for block, following in zip(blocks, blocks[1:] + [None]):
        if block.words[0] != "sh":
            continue
        if following and following.words[0] == "text":
            if any(line.strip() for line in lines[block.end:following.line - 1]):
                following = None
        else:
            following = None
        yield block, following


def trimmed(text):
    return [line.rstrip() for line in text.strip("\n").split("\n")] if text.strip() else []


def matches(shown, printed):
    """Whether `printed` lines are the `shown` ones, where '...' is any number of lines."""
    parts = [[]]
    for line in shown:
        if line.strip() == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    if len(parts) == 1:
        return shown == printed
    first, *middle, last = parts
    if printed[:len(first)] != first or len(printed) < len(first) + len(last):
        return False
    position, end = len(first), len(printed) - len(last)
    for part in middle:
        while position + len(part) <= end and printed[position:position + len(part)] != part:
            position += 1
        if position + len(part) > end:
            return False
        position += len(part)
    return printed[end:] == last


def expected_status(block):
    for word in block.words[1:]:
        if word.startswith("exit="):
            return int(word[len("exit="):])
    return 0


def run_block(block, following, folder, environment):
    """Returns what is wrong, or an empty text."""
    script = re.sub(r"^\$ ", "", block.text, flags=re.M)
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder,
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=BLOCK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"still running after {BLOCK_SECONDS} s"
    printed = done.stdout.decode("utf-8", "replace")
    if done.returncode != expected_status(block):
        return (f"exit status {done.returncode}, expected {expected_status(block)}; it printed:\n"
                f"{printed}")
    if following is None or matches(trimmed(following.text), trimmed(printed)):
        return ""
    return "other output than shown:\n" + "\n".join(
        difflib.unified_diff(trimmed(following.text), trimmed(printed), "shown", "printed",
                             lineterm=""))


def run_page(path, programs, shared, folder):
    """Runs one page in `folder`; returns (blocks run, faults)."""
    for model in sorted((shared / "models").iterdir()):
        if model.is_file():
            shutil.copy(model, folder)
    (folder / "tools").symlink_to(pathlib.Path(__file__).resolve().parents[2] / "tools")
    environment = dict(os.environ, ESPALIER_SHARED=str(shared), LC_ALL="C.UTF-8", COLUMNS="80",
                       PATH=":".join([*(str(p.parent) for p in programs), os.environ["PATH"]]))
    count, faults = 0, []
    for block, following in commands_with_output(path.read_text(encoding="utf-8")):
        place = f"{path.name}:{block.line}"
        if "no-run" in block.words:
            print(f"{place}: shown only: {block.text.strip().splitlines()[0]}")
            continue
        count += 1
        start = time.monotonic()
        fault = run_block(block, following, folder, environment)
        print(f"{place}: {'FAILED' if fault else 'ok'} ({time.monotonic() - start:.1f} s)")
        if fault:
            faults.append(f"{place}: {fault}")
    return count, faults


def main():
    source = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, required=True, action="append", dest="programs")
    parser.add_argument("--shared", type=pathlib.Path,
                        default=os.environ.get("ESPALIER_SHARED", source.parent / "shared"))
    parser.add_argument("pages", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    if not (args.shared / "models").is_dir():
        print(f"SKIPPED: no models in {args.shared}; set ESPALIER_SHARED to run the documentation")
        return SKIPPED
    total, faults = 0, []
    for page in args.pages:
        with tempfile.TemporaryDirectory(prefix="espalier_docs_") as folder:
            count, wrong = run_page(page, [p.resolve() for p in args.programs], args.shared.resolve(),
                                    pathlib.Path(folder))
        total += count
        faults += wrong
    print("\n\n".join(faults))
    print(f"{total - len(faults)} blocks passed, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

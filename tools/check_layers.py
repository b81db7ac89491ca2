#!/usr/bin/env python3
"""Fails if an include goes up the list of layers, or the code breaks another rule of the house.

    tools/check_layers.py [ROOT]

Checked: includes between our folders, CMake DEPENDS lists, third-party headers, include cycles,
file and function lengths, and that only src/cli and src/cli_train print or exit. Tested by tests/tools.
"""
import pathlib
import re
import sys

import cxx_text

_CORE = {"base", "pattern", "format", "io"}
# Folder -> our own folders that it may include. `base` is the floor, `cli` and `cli_train` the roof.
ALLOWED = {
    "base": set(),
    "pattern": {"base"},
    "io": {"base"},
    "format": {"base", "pattern"},
    "kernels": {"base", "pattern", "format"},
    "graph": {"base", "pattern", "format"},
    "data": {"base", "io"},
    "onnx": {"base", "graph", "io"},
    "esp": {"base", "pattern", "format", "graph", "io"},
    "prune": _CORE | {"graph", "kernels"},
    "permute": _CORE | {"graph", "kernels"},
    "quantize": _CORE | {"graph", "kernels"},
    "runtime": {"base", "pattern", "format", "graph", "kernels"},
    "train": _CORE | {"graph", "kernels", "prune", "permute", "quantize", "onnx", "data"},
}
ALLOWED["cli"] = set(ALLOWED) - {"train"}
ALLOWED["cli_train"] = set(ALLOWED)

# Third-party header prefix -> where it may be included.
THIRD_PARTY = {
    "google/protobuf/": ("src/onnx/",),
    "onnx/": ("src/onnx/",),
    "hwy/": ("src/kernels/", "src/base/isa.cc"),
    "CLI/": ("src/cli/",),
    "nlohmann/": ("src/io/", "src/onnx/", "src/cli/", "src/cli_train/",
                  "src/permute/permutation_note.cc"),
    "re2/": ("src/graph/",),
    "fmt/": ("src/",),
    "spdlog/": ("src/cli/",),
    "torch/": ("src/train/", "include/espalier/train/"),
    "ATen/": ("src/train/",),
    "c10/": ("src/train/",),
    "oneapi/": ("src/runtime/",),
    "zlib.h": ("src/data/", "src/esp/"),
    "jpeglib.h": ("src/data/",),
    "png.h": ("src/data/",),
    "lzma.h": ("src/data/",),
}
# Headers of the C library and the kernel: a folder of theirs, or a name without a folder.
_SYSTEM = re.compile(r"^(sys|linux|bits|arpa|netinet)/|^[\w.]+$")

_NOISE = re.compile(r"\b(?:std::(?:cout|cerr|clog|terminate|exit|abort|quick_exit)\b|fmt::print\b|"
                    r"(?<![\w.>])(?:printf|fprintf|vprintf|puts|putchar|exit|_exit|abort|quick_exit)"
                    r"\s*\()")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 120
_CODE_FOLDERS = ("src", "include", "tests", "fuzz", "bench", "examples", "tools", "python")


class Checker:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.problems = []
        self.file_includes = {}  # our file -> our files that it includes
        self.folder_includes = {}  # folder -> {folder included: first place}

    def report(self, path, line, text):
        self.problems.append(f"{path}:{line}: {text}")

    def run(self):
        for top in _CODE_FOLDERS:
            for path in sorted((self.root / top).rglob("*")):
                if path.suffix in (".cc", ".h", ".py", ".cu") and path.is_file():
                    self.check_file(path.relative_to(self.root).as_posix())
        for path in sorted((self.root / "src").glob("*/CMakeLists.txt")):
            self.check_cmake(path)
        self.check_cycles()
        return self.problems

    def check_file(self, path):
        text = (self.root / path).read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            self.report(path, 1, f"{lines} lines, the limit is {MAX_FILE_LINES}: split the file")
        if path.endswith(".py"):
            return
        self.check_functions(path, text)
        folder = folder_of(path)
        if folder is None:
            return
        if folder not in ALLOWED:
            self.report(path, 1, f"folder '{folder}' is not in the list of layers (ALLOWED)")
            return
        for line, included in cxx_text.includes(text):
            self.check_include(path, folder, line, included)
        if folder not in ("cli", "cli_train"):
            self.check_noise(path, text)

    def check_functions(self, path, text):
        for function in cxx_text.functions(text):
            length = function.last_line - function.first_line + 1
            if length > MAX_FUNCTION_LINES:
                self.report(path, function.first_line,
                            f"{function.name} has {length} lines, the limit is {MAX_FUNCTION_LINES}")

    def check_include(self, path, folder, line, included):
        ours = self.resolve(included)
        if ours is None:
            self.check_third_party(path, line, included)
            return
        self.file_includes.setdefault(path, []).append(ours)
        other = folder_of(ours)
        if path.startswith("include/") and ours.startswith("src/"):
            self.report(path, line, f"a public header includes the private '{included}'")
        if other == folder:
            return
        self.folder_includes.setdefault(folder, {}).setdefault(other, f"{path}:{line}")
        if other not in ALLOWED[folder]:
            allowed = ", ".join(sorted(ALLOWED[folder])) or "nothing of ours"
            self.report(path, line, f"'{folder}' may not include '{other}' (allowed: {allowed})")

    def resolve(self, included):
        """Our file behind an include path, or None: ours may share a name with a library's."""
        for top in ("include", "src"):
            if (self.root / top / included).is_file():
                return f"{top}/{included}"
        if included.startswith("espalier/"):
            return f"include/{included}"
        return None

    def check_third_party(self, path, line, included):
        for prefix, places in THIRD_PARTY.items():
            if included.startswith(prefix):
                if not path.startswith(places):
                    self.report(path, line,
                                f"'{included}' may only be included in {', '.join(places)}")
                return
        if not _SYSTEM.match(included):
            self.report(path, line, f"'{included}' is neither ours nor in the list THIRD_PARTY")

    def check_noise(self, path, text):
        for number, code in enumerate(cxx_text.without_comments(text).split("\n"), 1):
            match = _NOISE.search(code)
            if match:
                self.report(path, number,
                            f"'{match.group(0).strip()}': only src/cli and src/cli_train print or exit; throw Error")

    def check_cmake(self, path):
        folder = path.parent.name
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        place = path.relative_to(self.root).as_posix()
        call = re.search(r"espalier_library\(\s*(\w+)([^)]*)\)", text)
        if not call:
            if folder not in ("cli", "cli_train"):
                self.report(place, 1, f"no espalier_library({folder} ...) here")
            return
        if call.group(1) != folder:
            self.report(place, 1, f"library '{call.group(1)}' is defined in folder '{folder}'")
        depends = re.search(r"\bDEPENDS\b([\w\s]*?)(?:SOURCES|PRIVATE_LIBRARIES|$)", call.group(2))
        declared = set(depends.group(1).split()) if depends else set()
        for other in sorted(declared - ALLOWED.get(folder, set())):
            self.report(place, 1, f"'{folder}' may not depend on '{other}'")
        for other, where in sorted(self.folder_includes.get(folder, {}).items()):
            if other in ALLOWED.get(folder, set()) and other not in declared:
                self.report(place, 1, f"DEPENDS lacks '{other}', which {where} includes")

    def check_cycles(self):
        done = set()
        for start in sorted(self.file_includes):
            self.walk(start, [], done)

    def walk(self, path, trail, done):
        if path in trail:
            self.report(path, 1, "include cycle: " + " -> ".join(trail[trail.index(path):] + [path]))
            return
        if path in done:
            return
        for included in self.file_includes.get(path, []):
            self.walk(included, trail + [path], done)
        done.add(path)


def folder_of(path):
    """'prune' for src/prune/a.cc and include/espalier/prune/a.h; None outside both."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ["include", "espalier"] and len(parts) > 3:
        return parts[2]
    return None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems = Checker(root).run()
    for problem in problems:
        print(problem)
    print(f"check_layers: {len(problems)} problems" if problems else "check_layers: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""tools/check_layers.py finds each kind of planted violation, and nothing in a clean tree."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_layers
import cxx_text

CLEAN = {
    "include/espalier/base/error.h": "#pragma once\n#include <string>\nclass Error {};\n",
    "include/espalier/graph/graph.h": '#pragma once\n#include "espalier/base/error.h"\n',
    "src/base/error.cc": '#include "espalier/base/error.h"\n#include <fmt/format.h>\n',
    "src/base/CMakeLists.txt": "espalier_library(base SOURCES error.cc)\n",
    "src/graph/graph.cc": '#include "espalier/graph/graph.h"\nint F() { return 1; }\n',
    "src/graph/CMakeLists.txt": "espalier_library(graph\n  SOURCES graph.cc\n  DEPENDS base)\n",
    "src/onnx/read.cc": "#include <onnx/onnx_pb.h>\n#include <google/protobuf/message.h>\n",
    "src/onnx/CMakeLists.txt": "espalier_library(onnx SOURCES read.cc DEPENDS base graph io)\n",
    "src/cli/main.cc": '#include <iostream>\nint main() { std::cout << "x"; }\n',
}


class CheckLayersTest(unittest.TestCase):
    def problems(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **changes}.items():
                file = pathlib.Path(root) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            return check_layers.Checker(root).run()

    def assert_one(self, changes, *parts):
        problems = self.problems(changes)
        self.assertEqual(len(problems), 1, problems)
        for part in parts:
            self.assertIn(part, problems[0])

    def test_clean_tree_has_no_problems(self):
        self.assertEqual(self.problems({}), [])

    def test_finds_an_include_that_goes_up(self):
        self.assert_one({"src/base/up.cc": '\n#include "espalier/graph/graph.h"\n'},
                        "src/base/up.cc:2", "'base' may not include 'graph'")

    def test_finds_an_include_of_another_folders_private_header_that_goes_up(self):
        self.assert_one({"src/onnx/secret.h": "", "src/graph/up.cc": '#include "onnx/secret.h"\n'},
                        "'graph' may not include 'onnx'")

    def test_finds_a_private_header_in_a_public_one(self):
        self.assert_one({"src/base/secret.h": "",
                         "include/espalier/base/a.h": '#include "base/secret.h"\n'},
                        "includes the private 'base/secret.h'")

    def test_finds_an_unknown_folder(self):
        self.assert_one({"src/util/a.cc": "", "src/util/CMakeLists.txt": "espalier_library(util)"},
                        "folder 'util' is not in the list")

    def test_finds_third_party_headers_in_the_wrong_place(self):
        for header, path in (("onnx/onnx_pb.h", "src/graph/a.cc"),
                             ("google/protobuf/message.h", "src/cli/a.cc"),
                             ("hwy/highway.h", "src/base/dtype.cc"),
                             ("CLI/CLI.hpp", "src/base/a.cc"),
                             ("nlohmann/json.hpp", "src/graph/a.cc"),
                             ("fmt/format.h", "include/espalier/base/a.h")):
            with self.subTest(header=header):
                self.assert_one({path: f"#include <{header}>\n"}, path, header, "may only be")

    def test_finds_a_third_party_header_that_is_not_in_the_list(self):
        self.assert_one({"src/base/a.cc": "#include <boost/any.hpp>\n"}, "boost/any.hpp",
                        "neither ours nor in the list")

    def test_allows_highway_in_the_isa_file_of_base_only(self):
        self.assertEqual(self.problems({"src/base/isa.cc": "#include <hwy/highway.h>\n"}), [])

    def test_ignores_includes_in_comments(self):
        self.assertEqual(self.problems({"src/base/a.cc": "// #include <hwy/highway.h>\n"}), [])

    def test_finds_an_include_cycle(self):
        self.assert_one({"include/espalier/base/a.h": '#include "espalier/base/b.h"\n',
                         "include/espalier/base/b.h": '#include "espalier/base/a.h"\n'},
                        "include cycle: include/espalier/base/a.h -> include/espalier/base/b.h")

    def test_finds_a_cmake_dependency_that_goes_up(self):
        self.assert_one({"src/base/CMakeLists.txt":
                         "espalier_library(base\n  SOURCES a.cc\n  DEPENDS graph\n"
                         "  PRIVATE_LIBRARIES fmt::fmt)\n"},
                        "src/base/CMakeLists.txt", "'base' may not depend on 'graph'")

    def test_finds_an_include_without_its_cmake_dependency(self):
        self.assert_one({"src/graph/CMakeLists.txt": "espalier_library(graph SOURCES graph.cc)\n"},
                        "DEPENDS lacks 'base'", "include/espalier/graph/graph.h:2")

    def test_finds_a_file_that_is_too_long(self):
        self.assert_one({"tests/base/long_test.cc": "\n" * 501}, "501 lines", "limit is 500")

    def test_finds_a_function_that_is_too_long(self):
        body = "  int x = 0;\n" * 119
        text = "namespace a {\nclass B {\n  int F() {\n" + body + "  }\n};\n}\n"
        self.assert_one({"src/base/a.cc": text}, "src/base/a.cc:3", "F has 121 lines")

    def test_finds_printing_and_exiting_outside_the_command_line(self):
        for code in ('std::cout << 1', 'std::cerr << 1', 'printf("a")', 'fmt::print("a")',
                     'std::printf("a")', 'exit(1)', 'std::exit(1)', 'abort()', 'std::abort()'):
            with self.subTest(code=code):
                self.assert_one({"src/base/a.cc": f"void F() {{ {code}; }}\n"}, "only src/cli and src/cli_train")

    def test_allows_words_that_only_look_like_printing(self):
        self.assertEqual(self.problems({
            "src/base/a.cc": 'void F() { snprintf(b, 1, "exit(1)"); at_exit(1); x.abort(); }\n'
                             "// std::cout << 1\n"}), [])


class CxxTextTest(unittest.TestCase):
    def test_finds_functions_with_their_lines(self):
        text = ('namespace {\ntemplate <class T>\nint F(T t) {\n  if (t) {\n    return \'{\';\n  }\n'
                '  return 1;\n}\n}  // }\nstruct S {\n  int G() const { return 2; }\n};\n'
                'const int kTable[] = {F(1), 2};\n')
        found = [(f.name, f.first_line, f.last_line) for f in cxx_text.functions(text)]
        self.assertEqual(found, [("F", 2, 8), ("G", 11, 11)])

    def test_blanks_comments_and_literals_but_keeps_lines(self):
        text = 'a; /* b\n */ "c // d" R"(e\n")" 1\'000 // f\n'
        self.assertEqual(cxx_text.without_comments(text).split(), ["a;", '""', '""', "1'000"])
        self.assertEqual(cxx_text.without_comments(text).count("\n"), 3)


if __name__ == "__main__":
    unittest.main()

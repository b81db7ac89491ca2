"""tools/check_public_docs.py finds each kind of planted fault, and nothing in good headers."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_public_docs

GOOD = """#pragma once
#define M(x) \\
  f(x)
namespace espalier {
/// A class.
class Box {
 public:
  Box() = default;
  /// Makes one.
  /// @throws Error  kBadFile always.
  explicit Box(int size);
  Box(Box&&) noexcept;
  int size() const noexcept { return size_; }
  /// Grows it.
  /// @throws Error  kBadFile always.
  void Grow(int by);

 private:
  void Hidden();
  int size_ = 0;
};
/// Two overloads share this.
/// @param a  A number.
int F(int a);
int F(int a, int b = 2);
namespace internal {
void NotPublic();
}
}  // namespace espalier
"""
SOURCE = """Box::Box(int) { throw Error(ErrorCode::kBadFile, "x"); }
void Box::Grow(int by) { Check(by); }
void Check(int) { throw Error(ErrorCode::kBadFile, "x"); }
int F(int a) { throw Error(ErrorCode::kInternal, "our own bug"); }
"""


class CheckPublicDocsTest(unittest.TestCase):
    def problems(self, header, source=SOURCE):
        with tempfile.TemporaryDirectory() as root:
            for path, text in (("include/espalier/base/a.h", header), ("src/base/a.cc", source)):
                file = pathlib.Path(root) / path
                file.parent.mkdir(parents=True)
                file.write_text(text, encoding="utf-8")
            return check_public_docs.check(root)

    def assert_one(self, old, new, *parts):
        self.assertIn(old, GOOD)
        problems = self.problems(GOOD.replace(old, new, 1))
        self.assertEqual(len(problems), 1, problems)
        for part in parts:
            self.assertIn(part, problems[0])

    def test_good_header_has_no_problems(self):
        self.assertEqual(self.problems(GOOD), [])

    def test_finds_a_class_without_comment(self):
        self.assert_one("/// A class.\n", "", "a.h:5", "type Box has no /// comment")

    def test_finds_an_enum_and_a_function_without_comment(self):
        for code in ("enum class Color { kRed };", "int G(int a);", "inline int G() { return 1; }",
                     "template <class T>\nT G(T t);", "std::vector<int> G();"):
            with self.subTest(code=code):
                self.assert_one("namespace internal {", f"\n{code}\nnamespace internal {{",
                                "has no /// comment")

    def test_a_struct_may_document_its_fields_instead(self):
        for code in ("struct S {\n  int a = 0;  ///< A.\n};", "enum class E {\n  /// A.\n  kA,\n};"):
            with self.subTest(code=code):
                self.assertEqual(self.problems(GOOD + code), [])
        self.assert_one("namespace internal {", "struct S {\n  int a;\n};\nnamespace internal {",
                        "type S has no ///")

    def test_finds_a_public_member_without_comment(self):
        self.assert_one(" private:", "  int Take(int a);\n\n private:", "Box::Take has no ///")

    def test_comment_of_a_neighbour_does_not_cross_a_blank_line(self):
        self.assert_one("int F(int a, int b = 2);", "\nint F(int a, int b = 2);", "F has no ///")

    def test_finds_missing_throws_of_a_constructor_and_through_a_helper(self):
        line = "  /// @throws Error  kBadFile always.\n"
        self.assert_one(line + "  explicit", "  explicit", "Box::Box throws", "no @throws")
        self.assert_one(line + "  void Grow", "  void Grow", "Box::Grow throws", "no @throws")

    def test_finds_throws_of_a_noexcept_function(self):
        self.assert_one("void Grow(int by);", "void Grow(int by) noexcept;", "noexcept and documents")

    def test_finds_a_parameter_that_does_not_exist(self):
        self.assert_one("@param a ", "@param c ", "F has no parameter 'c'")


if __name__ == "__main__":
    unittest.main()

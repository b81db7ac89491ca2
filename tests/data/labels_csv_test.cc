#include "data/labels_csv.h"

#include <string>

#include "data/image_labels.h"
#include "tests/io/io_testing.h"

namespace espalier::internal {
namespace {

using Strings = std::vector<std::string>;
using Labels = std::vector<std::int64_t>;

// "file=label@line".
Strings Rows(std::string_view text) {
  Strings rows;
  for (const LabelRow& row : ParseLabelsCsv(text)) {
    rows.push_back(row.file + "=" + row.label + "@" + std::to_string(row.line));
  }
  return rows;
}

TEST(LabelsCsv, ReadsRows) {
  EXPECT_EQ(Rows("file,label\na.jpg,1\nb.jpg,2\n"), (Strings{"a.jpg=1@2", "b.jpg=2@3"}));
  EXPECT_EQ(Rows("\xEF\xBB\xBF"
                 "file,label\r\na.jpg,1\r\n\r\nb.jpg,2"),
            (Strings{"a.jpg=1@2", "b.jpg=2@4"}));
  EXPECT_EQ(Rows("id,label,file\n7,cat,a\n8,dog,b\n"), (Strings{"a=cat@2", "b=dog@3"}));
  EXPECT_EQ(Rows("file,label\n"), Strings{});
}

TEST(LabelsCsv, ReadsQuotedFields) {
  EXPECT_EQ(Rows("\"file\",label\n\"a,b\",\"x\"\"y\"\n\"c\nd\",2\ne,3\n"),
            (Strings{"a,b=x\"y@2", "c\nd=2@3", "e=3@5"}));
}

TEST(LabelsCsv, RefusesWithTheLine) {
  const auto expect = [](std::string_view text, std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(text);
    ExpectError(ErrorCode::kBadFile, parts, [&] { ParseLabelsCsv(text); });
  };
  expect("", {"line 1", "'file'"});
  expect("a.jpg,1\n", {"line 1", "'file'", "file,label"});
  expect("file\na\n", {"line 1", "'label'"});
  expect("file,label\na,1\nb\n", {"line 3", "1 fields", "header has 2"});
  expect("file,label\na,1,2\n", {"line 2", "3 fields"});
  expect("file,label\n,1\n", {"line 2", "name is empty"});
  expect("file,label\na,\n", {"line 2", "label of 'a' is empty"});
  expect("file,label\n\"a,1\nb,2\n", {"line 2", "not closed"});
  expect("file,label\n\"a\"b,1\n", {"line 2", "after a closing quote"});
}

const Strings kPaths = {"x/a.jpg", "x/b.jpg", "y/b.jpg", "z.png"};

LabelledFiles Match(std::string_view rows, const DatasetOptions& options = {}) {
  return LabelsFromCsv(kPaths, "file,label\n" + std::string(rows), options);
}

TEST(LabelsFromCsv, FindsFilesByPathThenByName) {
  const LabelledFiles found = Match("y/b.jpg,4\n./x/b.jpg,5\nother/a.jpg,6\nz.png,0\n");
  EXPECT_EQ(found.files, (std::vector<std::size_t>{2, 1, 0, 3}));
  EXPECT_EQ(found.labels, (Labels{4, 5, 6, 0}));
  EXPECT_TRUE(found.class_names.empty());
}

TEST(LabelsFromCsv, NumbersClassNamesInByteOrder) {
  const LabelledFiles found = Match("x/a.jpg,cat\nx/b.jpg,Zebra\ny/b.jpg,cat\n");
  EXPECT_EQ(found.class_names, (Strings{"Zebra", "cat"}));
  EXPECT_EQ(found.labels, (Labels{1, 0, 1}));
}

TEST(LabelsFromCsv, TakesTheNamesGiven) {
  DatasetOptions options;
  options.class_names = {"cat", "cat", "Zebra"};
  EXPECT_EQ(Match("x/a.jpg,cat\nx/b.jpg,Zebra\n", options).labels, (Labels{0, 2}));
  ExpectError(ErrorCode::kInvalidArgument, {"line 2", "'dog'", "3 class names"},
              [&] { Match("x/a.jpg,dog\n", options); });
}

TEST(LabelsFromCsv, RefusesWithTheLine) {
  ExpectError(ErrorCode::kBadFile, {"line 3", "'q.jpg'", "among the 4"},
              [] { Match("z.png,1\nq.jpg,2\n"); });
  ExpectError(ErrorCode::kBadFile, {"line 2", "several files", "'b.jpg'"},
              [] { Match("b.jpg,2\n"); });
  ExpectError(ErrorCode::kBadFile, {"line 3", "'x/a.jpg'", "line 2"},
              [] { Match("a.jpg,2\nx/a.jpg,3\n"); });
  ExpectError(ErrorCode::kBadFile, {"line 3", "-1 is below 0"},
              [] { Match("a.jpg,2\nz.png,-1\n"); });
}

}  // namespace
}  // namespace espalier::internal

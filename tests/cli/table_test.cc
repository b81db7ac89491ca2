#include "cli/table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace espalier::cli {
namespace {

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(CountText, KeepsThreeDigitsAndALetter) {
  EXPECT_EQ(CountText(0), "0");
  EXPECT_EQ(CountText(999), "999");
  EXPECT_EQ(CountText(1000), "1.00k");
  EXPECT_EQ(CountText(12345), "12.3k");
  EXPECT_EQ(CountText(1'240'000), "1.24M");
  EXPECT_EQ(CountText(4'140'000'000), "4.14G");
  EXPECT_EQ(CountText(9'223'372'036'854'775'807), "9.22E");
}

TEST(CountText, RoundsIntoTheNextUnitNotToAThousand) {
  EXPECT_EQ(CountText(9'994), "9.99k");
  EXPECT_EQ(CountText(9'996), "10.0k");
  EXPECT_EQ(CountText(99'960), "100k");
  EXPECT_EQ(CountText(999'499), "999k");
  EXPECT_EQ(CountText(999'500), "1.00M");
}

TEST(PercentText, HasOneDecimal) {
  EXPECT_EQ(PercentText(0), "0.0%");
  EXPECT_EQ(PercentText(0.754), "75.4%");
  EXPECT_EQ(PercentText(1), "100.0%");
}

TEST(Printable, KeepsLettersOfEveryScriptAndLineEnds) {
  EXPECT_EQ(Printable("a/b.c\n\u00e9\u4e2d\U0001F600"), "a/b.c\n\u00e9\u4e2d\U0001F600");
}

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(Printable("\x1b[31m\r\t\x7f"), "\\x1b[31m\\x0d\\x09\\x7f");
  EXPECT_EQ(Printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Printable("\u009b"), "\\x9b");  // one character that starts a sequence, like ESC [
}

TEST(Printable, EscapesInvisibleAndTurningCharacters) {
  EXPECT_EQ(Printable("\u202e\u200b\ufeff\u2028"), "\\u202e\\u200b\\ufeff\\u2028");
  EXPECT_EQ(Printable("\U000E0041"), "\\ue0041");
}

TEST(Printable, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("\x9b\xff"), "\\x9b\\xff");
  EXPECT_EQ(Printable("a\xc3"), "a\\xc3");                           // cut off
  EXPECT_EQ(Printable("\xc0\x9b"), "\\xc0\\x9b");                    // overlong
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST(Wrapped, BreaksAtSpacesAndCutsLongWords) {
  EXPECT_EQ(Wrapped("one two three", 8), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(Wrapped("abcdefghij", 4), (std::vector<std::string>{"abcd", "efgh", "ij"}));
  EXPECT_EQ(Wrapped("", 4), std::vector<std::string>{""});
}

TEST(Table, AlignsColumnsAndLeavesNoTrailingSpace) {
  Table table({{"name"}, {"count", Table::Align::kRight}, {"note"}});
  table.AddRow({"a", "1", "x"});
  table.AddRow({"long", "1000000", ""});
  EXPECT_EQ(table.Text(),
            "name    count  note\n"
            "a           1  x\n"
            "long  1000000\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({{"n"}, {"v"}});
  table.AddRow({"\u00e9\u00e9", "1"});
  table.AddRow({"abc", "2"});
  EXPECT_EQ(table.Text(), "n    v\n\u00e9\u00e9   1\nabc  2\n");
}

TEST(Table, StaysWithin80ColumnsWhateverTheCells) {
  const std::string name(300, 'n');
  std::string sentence;
  for (int i = 0; i < 40; ++i) sentence += "word ";
  Table table({{"layer"}, {"shape", Table::Align::kLeft, 16}, {"because"}});
  table.AddRow({name + "END", std::string(99, 's'), sentence});
  table.AddRow({"short", "1x1", name});
  const std::vector<std::string> lines = Lines(table.Text());
  EXPECT_GT(lines.size(), 4u);
  for (const std::string& line : lines) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_EQ(lines[1].substr(0, 2), "..");
  EXPECT_NE(lines[1].find("END"), std::string::npos) << "the end of a name tells most";
}

TEST(Table, PutsEachRowOnItsOwnLineWhateverTheNames) {
  Table table({{"layer"}, {"x"}});
  table.AddRow({"a\nb\r", "1"});
  EXPECT_EQ(Lines(table.Text()).size(), 2u);
}

}  // namespace
}  // namespace espalier::cli

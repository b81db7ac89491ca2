#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::cli {

/// Escapes what a terminal would act on (names come from files), and bytes that are not UTF-8, but
/// keeps line ends.
std::string Printable(std::string_view text);

/// "950", "12.3k", "1.24M", "4.14G": at most three digits and a letter.
std::string CountText(std::int64_t count);

/// 0.754 -> "75.4%".
std::string PercentText(double ratio);

/// Breaks text at spaces into lines of at most `width` characters (longer words are cut).
std::vector<std::string> Wrapped(const std::string& text, std::size_t width);

/// A table for a terminal of 80 columns.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    /// The widest that the column gets; longer cells lose their beginning. 0: no limit.
    std::size_t most = 0;
    /// In the first column: how narrow it may get where the table would pass 80 columns.
    std::size_t least = 24;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }

  /// The table with a line of titles. Where it would pass 80 columns, the first column's cells lose
  /// their beginning down to 24 characters, then the last column wraps.
  std::string Text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace espalier::cli

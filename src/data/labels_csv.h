#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier::internal {

struct LabelRow {
  std::string file;
  std::string label;
  std::size_t line = 0;  ///< Where the row begins, from 1.
};

/// Rows of a CSV whose header names the columns `file` and `label`, among others in any order.
/// Quoted fields, CRLF, empty lines and a byte order mark are understood (RFC 4180).
/// @throws Error  kBadFile, with the line, for a missing column or field, an open quote, characters
///                after a closing quote, and an empty file name or label.
std::vector<LabelRow> ParseLabelsCsv(std::string_view text);

}  // namespace espalier::internal

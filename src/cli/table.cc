#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

namespace espalier::cli {
namespace {

constexpr std::size_t kTerminalColumns = 80;
constexpr std::size_t kLeastWrapWidth = 16;

// Characters of UTF-8 text; every byte but continuation bytes starts one.
std::size_t Length(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

// Byte offset of the n-th character.
std::size_t Offset(std::string_view text, std::size_t n) {
  std::size_t i = 0;
  while (i < text.size() && n > 0) {
    do {
      ++i;
    } while (i < text.size() && (text[i] & 0xC0) == 0x80);
    --n;
  }
  return i;
}

// Keeps the end: layers of one network share the head of their names.
std::string Shortened(const std::string& text, std::size_t most) {
  const std::size_t length = Length(text);
  if (most == 0 || length <= most) return text;
  return ".." + text.substr(Offset(text, length - (most - 2)));
}

std::string Padded(const std::string& text, std::size_t width, Table::Align align) {
  const std::string space(width - std::min(width, Length(text)), ' ');
  return align == Table::Align::kLeft ? text + space : space + text;
}

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0: not UTF-8
};

Character FirstCharacter(std::string_view text) {
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // by number of bytes
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const auto bytes = static_cast<std::size_t>(std::countl_one(lead));
  if (bytes < 2 || bytes > 4 || bytes > text.size()) return {};
  std::uint32_t code = lead & (0x7Fu >> bytes);
  for (const char c : text.substr(1, bytes - 1)) {
    if ((c & 0xC0) != 0x80) return {};
    code = code << 6 | (c & 0x3Fu);
  }
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (code < kLeast[bytes] || code > 0x10FFFF || surrogate) return {};
  return {code, bytes};
}

// Control characters, and what is invisible or turns the direction of writing.
bool ChangesTheTerminal(std::uint32_t code) {
  struct Range {
    std::uint32_t first, last;
  };
  constexpr Range kRanges[] = {{0x00, 0x09},     {0x0B, 0x1F},      {0x7F, 0x9F},
                               {0xAD, 0xAD},     {0x061C, 0x061C},  {0x200B, 0x200F},
                               {0x2028, 0x202E}, {0x2060, 0x206F},  {0xFEFF, 0xFEFF},
                               {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};
  return std::ranges::any_of(
      kRanges, [code](const Range& range) { return code >= range.first && code <= range.last; });
}

std::string WithoutTrailingSpace(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    if (character.bytes == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (ChangesTheTerminal(character.code)) {
      out += character.code < 0x100 ? fmt::format("\\x{:02x}", character.code)
                                    : fmt::format("\\u{:04x}", character.code);
    } else {
      out += text.substr(0, character.bytes);
    }
    text.remove_prefix(std::max<std::size_t>(character.bytes, 1));
  }
  return out;
}

std::vector<std::string> Wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  std::string_view rest = text;
  while (Length(rest) > width) {
    std::size_t cut = rest.rfind(' ', Offset(rest, width));
    if (cut == std::string_view::npos || cut == 0) cut = Offset(rest, width);
    lines.emplace_back(rest.substr(0, cut));
    rest.remove_prefix(cut + (rest[cut] == ' ' ? 1 : 0));
  }
  lines.emplace_back(rest);
  return lines;
}

std::string CountText(std::int64_t count) {
  if (count < 1000) return fmt::to_string(count);
  auto value = static_cast<double>(count);
  std::size_t unit = 0;
  constexpr std::string_view kUnits = " kMGTPE";
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", value, decimals, kUnits[unit]);
}

std::string PercentText(double ratio) { return fmt::format("{:.1f}%", 100 * ratio); }

std::string Table::Text() const {
  std::vector<std::vector<std::string>> rows = {{}};
  for (const Column& column : columns_) rows[0].push_back(column.title);
  std::vector<std::size_t> widths(columns_.size());
  for (const auto& row : rows_) {
    rows.emplace_back();
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      std::string cell = Printable(row[c]);
      std::ranges::replace(cell, '\n', ' ');
      rows.back().push_back(Shortened(cell, columns_[c].most));
    }
  }
  std::size_t total = 2 * (columns_.size() - 1);
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    for (const auto& row : rows) widths[c] = std::max(widths[c], Length(row[c]));
    total += widths[c];
  }
  // What is too wide comes off the first column (names), then the last one wraps.
  const std::size_t last = columns_.size() - 1;
  const auto shrink = [&total, &widths](std::size_t c, std::size_t least) {
    const std::size_t excess = total - std::min(total, kTerminalColumns);
    const std::size_t cut = std::min(excess, widths[c] - std::min(widths[c], least));
    widths[c] -= cut;
    total -= cut;
  };
  shrink(0, columns_[0].least);
  shrink(last, kLeastWrapWidth);
  for (auto& row : rows) row[0] = Shortened(row[0], widths[0]);
  const std::size_t before_last = std::accumulate(widths.begin(), widths.end() - 1, 2 * last);

  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < last; ++c) {
      line += Padded(row[c], widths[c], columns_[c].align) + "  ";
    }
    for (const std::string& part : Wrapped(row[last], widths[last])) {
      text += WithoutTrailingSpace(line + Padded(part, widths[last], columns_[last].align));
      line.assign(before_last, ' ');
    }
  }
  return text;
}

}  // namespace espalier::cli

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <unordered_map>

#include "data/image_labels.h"
#include "data/labels_csv.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

[[noreturn]] void Throw(const LabelRow& row, const std::string& text,
                        ErrorCode code = ErrorCode::kBadFile) {
  throw Error(code, fmt::format("line {} of the labels: {}", row.line, text));
}

// Finds files by path, else by the last part of it.
class Finder {
 public:
  explicit Finder(const std::vector<std::string>& paths) : paths_(paths) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      by_path_.emplace(paths[i], i);
      const auto [at, is_new] = by_name_.emplace(BaseName(paths[i]), i);
      if (!is_new) at->second = kSeveral;
    }
  }

  std::size_t Find(const LabelRow& row) const {
    std::string_view file = row.file;
    while (file.starts_with("./")) file.remove_prefix(2);
    if (const auto found = by_path_.find(file); found != by_path_.end()) return found->second;
    const auto found = by_name_.find(BaseName(file));
    if (found == by_name_.end()) {
      Throw(row,
            fmt::format("no file {} among the {} of the data set", Quote(row.file), paths_.size()));
    }
    if (found->second == kSeveral) {
      Throw(row, fmt::format("several files have the name {}, none the path {}",
                             Quote(BaseName(file)), Quote(row.file)));
    }
    return found->second;
  }

 private:
  static constexpr std::size_t kSeveral = std::numeric_limits<std::size_t>::max();
  const std::vector<std::string>& paths_;
  std::unordered_map<std::string_view, std::size_t> by_path_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

std::optional<std::int64_t> WholeNumber(std::string_view text) {
  std::int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void SetNumbers(const std::vector<LabelRow>& rows, LabelledFiles& result) {
  for (const LabelRow& row : rows) {
    const std::int64_t number = *WholeNumber(row.label);
    if (number < 0) Throw(row, fmt::format("label {} is below 0", number));
    result.labels.push_back(number);
  }
}

void SetNames(const std::vector<LabelRow>& rows, LabelledFiles& result) {
  std::vector<std::string>& names = result.class_names;
  const bool given = !names.empty();
  if (!given) {
    for (const LabelRow& row : rows) names.push_back(row.label);
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  std::unordered_map<std::string_view, std::int64_t> index;
  for (std::size_t i = 0; i < names.size(); ++i) {
    index.emplace(names[i], static_cast<std::int64_t>(i));
  }
  for (const LabelRow& row : rows) {
    const auto found = index.find(row.label);
    if (found == index.end()) {
      Throw(row,
            fmt::format("label {} is none of the {} class names given", Quote(row.label),
                        names.size()),
            ErrorCode::kInvalidArgument);
    }
    result.labels.push_back(found->second);
  }
}

}  // namespace

LabelledFiles LabelsFromCsv(const std::vector<std::string>& paths, std::string_view csv,
                            const DatasetOptions& options) {
  const std::vector<LabelRow> rows = ParseLabelsCsv(csv);
  LabelledFiles result;
  result.class_names = options.class_names;
  const Finder finder(paths);
  std::unordered_map<std::size_t, std::size_t> line_of;  // file -> line that named it
  for (const LabelRow& row : rows) {
    const std::size_t file = finder.Find(row);
    const auto [named, is_new] = line_of.emplace(file, row.line);
    if (!is_new) {
      Throw(row, fmt::format("file {} has a label already in line {}", Quote(paths[file]),
                             named->second));
    }
    result.files.push_back(file);
  }
  const bool numbers = std::ranges::all_of(
      rows, [](const LabelRow& row) { return WholeNumber(row.label).has_value(); });
  numbers ? SetNumbers(rows, result) : SetNames(rows, result);
  return result;
}

}  // namespace espalier::internal

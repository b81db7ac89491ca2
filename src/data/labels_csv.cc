#include "data/labels_csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

[[noreturn]] void Throw(std::size_t line, std::string_view what) {
  throw Error(ErrorCode::kBadFile, fmt::format("line {}: {}", line, what));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  }

  std::size_t line() const { return line_; }  // of the row read last

  // The fields of the next row that is not empty; nothing at the end.
  std::optional<std::vector<std::string>> Next() {
    while (SkipNewline()) {
    }
    if (rest_.empty()) return std::nullopt;
    line_ = next_line_;
    std::vector<std::string> fields;
    do {
      fields.push_back(Field());
    } while (Skip(','));
    if (!rest_.empty() && !SkipNewline()) Throw(next_line_, "characters after a closing quote");
    return fields;
  }

 private:
  bool Skip(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool SkipNewline() {
    if (rest_.starts_with("\r\n")) rest_.remove_prefix(1);
    if (!Skip('\n')) return false;
    ++next_line_;
    return true;
  }

  std::string Field() {
    if (Skip('"')) return Quoted();
    std::size_t size = std::min(rest_.size(), rest_.find_first_of(",\n"));
    std::string_view field = rest_.substr(0, size);
    if (field.ends_with('\r')) {
      field.remove_suffix(1);
      if (size == rest_.size()) rest_.remove_suffix(1), --size;
    }
    rest_.remove_prefix(field.size());
    return std::string(field);
  }

  std::string Quoted() {
    std::string field;
    for (;;) {
      const std::size_t size = rest_.find('"');
      if (size == std::string_view::npos) Throw(line_, "a quote is not closed");
      const std::string_view part = rest_.substr(0, size);
      next_line_ += static_cast<std::size_t>(std::ranges::count(part, '\n'));
      field += part;
      rest_.remove_prefix(size + 1);
      if (!Skip('"')) return field;
      field += '"';
    }
  }

  std::string_view rest_;
  std::size_t line_ = 1;
  std::size_t next_line_ = 1;
};

std::size_t Column(const std::vector<std::string>& header, std::string_view name) {
  const auto found = std::ranges::find(header, name);
  if (found == header.end()) {
    Throw(1, fmt::format("no column '{}'; the labels' first line has to be 'file,label', with "
                         "further columns if you like",
                         name));
  }
  return static_cast<std::size_t>(found - header.begin());
}

}  // namespace

std::vector<LabelRow> ParseLabelsCsv(std::string_view text) {
  Reader reader(text);
  const std::vector<std::string> header = reader.Next().value_or(std::vector<std::string>{});
  const std::size_t file = Column(header, "file");
  const std::size_t label = Column(header, "label");
  std::vector<LabelRow> rows;
  while (auto fields = reader.Next()) {
    if (fields->size() != header.size()) {
      Throw(reader.line(),
            fmt::format("{} fields, but the header has {}", fields->size(), header.size()));
    }
    if ((*fields)[file].empty()) Throw(reader.line(), "the file's name is empty");
    if ((*fields)[label].empty()) {
      Throw(reader.line(), fmt::format("the label of {} is empty", Quote((*fields)[file])));
    }
    rows.push_back({std::move((*fields)[file]), std::move((*fields)[label]), reader.line()});
  }
  return rows;
}

}  // namespace espalier::internal

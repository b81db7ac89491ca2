#include "espalier/pattern/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "espalier/base/error.h"
#include "espalier/pattern/nm.h"
#include "espalier/pattern/ranked.h"

namespace espalier {

const PatternRegistry& PatternRegistry::BuiltIn() {
  // The whole list, in one place. No self-registration of files: a linker may drop unused objects
  // of a static library, and a reader could not find the list.
  static const PatternRegistry registry = [] {
    PatternRegistry r;
    r.Add({"N:M", "keep N of every M consecutive input channels, e.g. 2:4", &ParseNm});
    r.Add({"2:4-transposable", "2:4 along input and along output channels", &ParseTransposable});
    r.Add({"block:RxC", "keep or drop tiles of R output x C input channels", &ParseBlock});
    r.Add({"unstructured", "keep or drop single weights", &ParseUnstructured});
    r.Add({"channel", "keep or drop whole output channels (zeros, same shapes)", &ParseChannel});
    return r;
  }();
  return registry;
}

void PatternRegistry::Add(PatternEntry entry) {
  const auto same = [&entry](const PatternEntry& e) { return e.spelling == entry.spelling; };
  if (std::ranges::any_of(entries_, same)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("a pattern spelled '{}' is registered already", entry.spelling));
  }
  entries_.push_back(std::move(entry));
}

std::unique_ptr<Pattern> PatternRegistry::Make(std::string_view spec) const {
  std::string spellings;
  for (const PatternEntry& entry : entries_) {
    if (auto pattern = entry.parse(spec)) return pattern;
    spellings += (spellings.empty() ? "" : ", ") + entry.spelling;
  }
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("unknown pattern '{}'; there are: {} (see `espalier patterns`)", spec,
                          spellings));
}

std::optional<std::int64_t> ParseCount(std::string_view text, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.front() == '-' || value > most) return std::nullopt;
  return value;
}

}  // namespace espalier

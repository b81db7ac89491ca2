#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/pattern/pattern.h"

namespace espalier {

/// One family of patterns: how it is spelled and how a spelling becomes a pattern.
struct PatternEntry {
  std::string spelling;  ///< "N:M", "block:RxC": shown by `espalier patterns`.
  std::string help;      ///< One line, likewise.
  /// Returns nothing if `spec` is not of this family.
  /// @throws Error  kInvalidArgument if it is, but its numbers make no sense.
  std::function<std::unique_ptr<Pattern>(std::string_view spec)> parse;
};

/// The list of patterns that can be made by name. A value, not a global: copy BuiltIn(), Add() your
/// own and pass it on.
class PatternRegistry {
 public:
  /// N:M, 2:4-transposable, block:RxC, unstructured, channel.
  static const PatternRegistry& BuiltIn();

  /// Appends a family; entries are asked in order.
  /// @throws Error  kInvalidArgument if an entry with this spelling exists.
  void Add(PatternEntry entry);

  /// @throws Error  kInvalidArgument if no family takes `spec` (the text lists the spellings) or
  /// its
  ///                numbers make no sense.
  std::unique_ptr<Pattern> Make(std::string_view spec) const;

  const std::vector<PatternEntry>& entries() const noexcept { return entries_; }

 private:
  std::vector<PatternEntry> entries_;
};

/// Parses a whole string of decimal digits.
/// @return  Nothing if there is anything else, or the value is above `most`.
std::optional<std::int64_t> ParseCount(std::string_view text, std::int64_t most);

}  // namespace espalier

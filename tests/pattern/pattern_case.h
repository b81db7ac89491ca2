#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/pattern/registry.h"

namespace espalier::testing {

inline std::unique_ptr<Pattern> Make(std::string_view spec) {
  return PatternRegistry::BuiltIn().Make(spec);
}

/// Whole numbers 0..most, so that sums are exact and ties happen.
inline std::vector<float> WholeScores(std::int64_t count, std::uint64_t most, std::uint64_t seed) {
  std::vector<float> scores(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = static_cast<float>(RandomAt(seed, i) % (most + 1));
  }
  return scores;
}

/// Index of a weight in packed order; `row` counts over all groups.
inline std::int64_t PackedIndex(const PackedShape& shape, std::int64_t row, std::int64_t position,
                                std::int64_t channel) {
  return (row * shape.positions + position) * shape.channels + channel;
}

/// MaskGroups into a buffer of 9s: an element left unwritten is seen.
inline std::vector<std::uint8_t> MaskOf(const Pattern& pattern, const std::vector<float>& scores,
                                        const PackedShape& shape) {
  std::vector<std::uint8_t> keep(scores.size(), 9);
  pattern.MaskGroups(scores, shape, keep);
  return keep;
}

/// ScoreUnits into a buffer of -1s.
inline std::vector<float> UnitScores(const Pattern& pattern, const std::vector<float>& scores,
                                     const PackedShape& shape, UnitNorm norm = UnitNorm::kSum) {
  std::vector<float> units(static_cast<std::size_t>(pattern.UnitCount(shape)), -1.0f);
  pattern.ScoreUnits(scores, shape, norm, units);
  return units;
}

/// Weights of the mask that keeps only one unit.
inline std::vector<std::uint8_t> WeightsOfUnit(const Pattern& pattern, const PackedShape& shape,
                                               std::size_t unit) {
  std::vector<std::uint8_t> keep_unit(static_cast<std::size_t>(pattern.UnitCount(shape)), 0);
  keep_unit.at(unit) = 1;
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(shape.Elements()), 9);
  pattern.ExpandUnits(keep_unit, shape, keep);
  return keep;
}

/// Runs `call`, which has to throw an Error of `code` whose text holds `text`.
template <class Call>
void ExpectError(ErrorCode code, const std::string& text, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos)
        << "expected '" << text << "' in: " << error.what();
  }
}

}  // namespace espalier::testing

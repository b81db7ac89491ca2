// Reads a line as a pattern, then masks a small weight with it: an Error or a mask that keeps what
// the pattern promises.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "espalier/pattern/registry.h"

namespace {

using espalier::PackedShape;
using espalier::Pattern;
using espalier::UnitNorm;
using Mask = std::vector<std::uint8_t>;

constexpr std::uint8_t kUnwritten = 9;

// Five bytes: three sizes of 0..4 or 0..8, channels 0..31, and a seed. Missing bytes are zero.
struct Weight {
  PackedShape shape;
  std::vector<float> scores;

  explicit Weight(std::string_view bytes) {
    const auto at = [bytes](std::size_t i) {
      return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u;
    };
    shape = {at(0) % 4, at(1) % 9, at(2) % 4, at(3) % 32};
    scores.resize(static_cast<std::size_t>(shape.Elements()));
    // Whole numbers up to 15: sums are exact, ties happen.
    for (std::size_t i = 0; i < scores.size(); ++i) {
      scores[i] = static_cast<float>(espalier::RandomAt(at(4), i) % 16);
    }
  }
};

void CheckNm(const Weight& weight, const Mask& keep, espalier::NmGroup nm) {
  const std::int64_t channels = weight.shape.channels;
  for (std::int64_t line = 0; line < weight.shape.Elements(); line += channels) {
    for (std::int64_t c = 0; c < channels; c += nm.m) {
      const std::int64_t size = std::min(nm.m, channels - c);
      const auto begin = keep.begin() + line + c;
      ESPALIER_CHECK(std::accumulate(begin, begin + size, std::int64_t{0}) == std::min(nm.n, size));
    }
  }
}

void CheckPerGroup(const Pattern& pattern, const Weight& weight) {
  Mask keep(weight.scores.size(), kUnwritten);
  pattern.MaskGroups(weight.scores, weight.shape, keep);
  ESPALIER_CHECK(std::ranges::all_of(keep, [](std::uint8_t k) { return k <= 1; }));
  ESPALIER_CHECK(!pattern.FindViolation(keep, weight.shape));
  if (pattern.Nm()) CheckNm(weight, keep, *pattern.Nm());
  const auto all = pattern.FindViolation(Mask(keep.size(), 1), weight.shape);
  const bool dropped = std::ranges::count(keep, 0) > 0;
  ESPALIER_CHECK(all.has_value() == dropped || pattern.IsTransposable24());
  if (!all) return;
  ESPALIER_CHECK(all->row >= 0 && all->row < weight.shape.groups * weight.shape.rows);
  ESPALIER_CHECK(all->position >= 0 && all->position < weight.shape.positions);
  ESPALIER_CHECK(all->channel >= 0 && all->channel < weight.shape.channels);
}

void CheckRanked(const Pattern& pattern, const Weight& weight) {
  const auto units = static_cast<std::size_t>(pattern.UnitCount(weight.shape));
  ESPALIER_CHECK(units <= weight.scores.size() || weight.shape.channels == 0 ||
                 weight.shape.positions == 0);
  std::vector<float> sums(units, -1.0f), roots(units, -1.0f);
  pattern.ScoreUnits(weight.scores, weight.shape, UnitNorm::kSum, sums);
  pattern.ScoreUnits(weight.scores, weight.shape, UnitNorm::kRootSumSquares, roots);
  Mask keep_unit(units);
  for (std::size_t i = 0; i < units; ++i) keep_unit[i] = espalier::RandomAt(1, i) % 2;
  Mask keep(weight.scores.size(), kUnwritten);
  pattern.ExpandUnits(keep_unit, weight.shape, keep);
  std::int64_t kept = 0, kept_units = 0;
  float from_weights = 0, from_units = 0;
  for (std::size_t i = 0; i < keep.size(); ++i) {
    ESPALIER_CHECK(keep[i] <= 1);
    kept += keep[i];
    from_weights += keep[i] * weight.scores[i];
  }
  for (std::size_t i = 0; i < units; ++i) {
    // Scores are 0 or at least 1, so that the root is never above the sum.
    ESPALIER_CHECK(roots[i] >= 0 && roots[i] <= sums[i]);
    kept_units += keep_unit[i];
    from_units += keep_unit[i] * sums[i];
  }
  ESPALIER_CHECK(from_weights == from_units);
  ESPALIER_CHECK(kept <= kept_units * pattern.UnitSize(weight.shape));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(text.find('\n'), size);
  const auto& registry = espalier::PatternRegistry::BuiltIn();
  std::unique_ptr<Pattern> pattern;
  try {
    pattern = registry.Make(text.substr(0, end));
  } catch (const espalier::Error& error) {
    if (error.code() != espalier::ErrorCode::kInvalidArgument) throw;
    return 0;
  }
  ESPALIER_CHECK(registry.Make(pattern->Name())->Name() == pattern->Name());
  const Weight weight(text.substr(std::min(end + 1, size)));
  if (pattern->kind() == Pattern::Kind::kPerGroup) {
    CheckPerGroup(*pattern, weight);
  } else {
    CheckRanked(*pattern, weight);
  }
  return 0;
}

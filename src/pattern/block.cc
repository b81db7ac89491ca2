#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/pattern/ranked.h"
#include "espalier/pattern/registry.h"
#include "pattern/unit_sum.h"

namespace espalier {
namespace {

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class BlockPattern final : public Pattern {
 public:
  BlockPattern(std::int64_t rows, std::int64_t channels) : rows_(rows), channels_(channels) {}

  Kind kind() const override { return Kind::kRanked; }
  std::string Name() const override { return fmt::format("block:{}x{}", rows_, channels_); }
  std::int64_t RowsPerBand() const override { return rows_; }

  std::int64_t UnitCount(const PackedShape& shape) const override {
    return shape.groups * CeilDiv(shape.rows, rows_) * UnitsPerBand(shape);
  }
  std::int64_t UnitSize(const PackedShape& shape) const override {
    return std::min(rows_, shape.rows) * std::min(channels_, shape.channels);
  }

  void ScoreUnits(std::span<const float> scores, const PackedShape& shape, UnitNorm norm,
                  std::span<float> unit_scores) const override {
    std::vector<UnitSum> sums(unit_scores.size(), UnitSum(norm));
    ForEachWeight(shape, [&](std::int64_t unit, std::int64_t i) { sums[unit].Add(scores[i]); });
    std::ranges::transform(sums, unit_scores.begin(), &UnitSum::Score);
  }

  void ExpandUnits(std::span<const std::uint8_t> keep_unit, const PackedShape& shape,
                   std::span<std::uint8_t> keep) const override {
    ForEachWeight(shape, [&](std::int64_t unit, std::int64_t i) { keep[i] = keep_unit[unit]; });
  }

 private:
  std::int64_t UnitsPerBand(const PackedShape& shape) const {
    return shape.positions * CeilDiv(shape.channels, channels_);
  }

  // Calls visit(unit, index of the weight) in packed order.
  template <class Visit>
  void ForEachWeight(const PackedShape& shape, const Visit& visit) const {
    const std::int64_t tiles = CeilDiv(shape.channels, channels_);
    const std::int64_t bands = CeilDiv(shape.rows, rows_);
    std::int64_t i = 0;
    for (std::int64_t group = 0; group < shape.groups; ++group) {
      for (std::int64_t row = 0; row < shape.rows; ++row) {
        const std::int64_t band = group * bands + row / rows_;
        for (std::int64_t position = 0; position < shape.positions; ++position) {
          const std::int64_t first = band * UnitsPerBand(shape) + position * tiles;
          for (std::int64_t c = 0; c < shape.channels; ++c) visit(first + c / channels_, i++);
        }
      }
    }
  }

  std::int64_t rows_;
  std::int64_t channels_;
};

}  // namespace

std::unique_ptr<Pattern> ParseBlock(std::string_view spec) {
  constexpr std::string_view kName = "block";
  constexpr std::int64_t kMost = 1024;  // a band of R rows is held in memory at once
  if (!spec.starts_with(kName)) return nullptr;
  const std::size_t cross = spec.find('x');
  if (spec.size() > kName.size() && spec[kName.size()] == ':' && cross != std::string_view::npos) {
    const auto rows = ParseCount(spec.substr(kName.size() + 1, cross - kName.size() - 1), kMost);
    const auto channels = ParseCount(spec.substr(cross + 1), kMost);
    if (rows && channels && *rows >= 1 && *channels >= 1 && *rows * *channels > 1) {
      return std::make_unique<BlockPattern>(*rows, *channels);
    }
  }
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("pattern '{}': blocks are written block:RxC, R output channels by C input "
                  "channels, each 1..{}, not both 1; e.g. block:4x1",
                  spec, kMost));
}

}  // namespace espalier

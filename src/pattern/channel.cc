#include <algorithm>
#include <vector>

#include "espalier/pattern/ranked.h"
#include "pattern/unit_sum.h"

namespace espalier {
namespace {

class ChannelPattern final : public Pattern {
 public:
  Kind kind() const override { return Kind::kRanked; }
  std::string Name() const override { return "channel"; }

  std::int64_t UnitCount(const PackedShape& shape) const override {
    return shape.groups * shape.rows;
  }
  std::int64_t UnitSize(const PackedShape& shape) const override {
    return shape.positions * shape.channels;
  }

  void ScoreUnits(std::span<const float> scores, const PackedShape& shape, UnitNorm norm,
                  std::span<float> unit_scores) const override {
    for (std::size_t row = 0; row < unit_scores.size(); ++row) {
      UnitSum sum(norm);
      for (const float score : scores.subspan(row * UnitSize(shape), UnitSize(shape))) {
        sum.Add(score);
      }
      unit_scores[row] = sum.Score();
    }
  }

  void ExpandUnits(std::span<const std::uint8_t> keep_unit, const PackedShape& shape,
                   std::span<std::uint8_t> keep) const override {
    for (std::size_t row = 0; row < keep_unit.size(); ++row) {
      std::ranges::fill(keep.subspan(row * UnitSize(shape), UnitSize(shape)), keep_unit[row]);
    }
  }
};

}  // namespace

std::unique_ptr<Pattern> ParseChannel(std::string_view spec) {
  return spec == "channel" ? std::make_unique<ChannelPattern>() : nullptr;
}

}  // namespace espalier

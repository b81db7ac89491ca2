#include <algorithm>

#include "espalier/pattern/ranked.h"

namespace espalier {
namespace {

class UnstructuredPattern final : public Pattern {
 public:
  Kind kind() const override { return Kind::kRanked; }
  std::string Name() const override { return "unstructured"; }
  bool IsElementwise() const override { return true; }

  std::int64_t UnitCount(const PackedShape& shape) const override { return shape.Elements(); }
  std::int64_t UnitSize(const PackedShape&) const override { return 1; }

  void ScoreUnits(std::span<const float> scores, const PackedShape&, UnitNorm,
                  std::span<float> unit_scores) const override {
    std::copy(scores.begin(), scores.end(), unit_scores.begin());
  }

  void ExpandUnits(std::span<const std::uint8_t> keep_unit, const PackedShape&,
                   std::span<std::uint8_t> keep) const override {
    std::copy(keep_unit.begin(), keep_unit.end(), keep.begin());
  }
};

}  // namespace

std::unique_ptr<Pattern> ParseUnstructured(std::string_view spec) {
  return spec == "unstructured" ? std::make_unique<UnstructuredPattern>() : nullptr;
}

}  // namespace espalier

// A pattern of one's own: every row of a weight (an output channel at one kernel position) keeps
// the same share of its input channels, so that rows are balanced and no output channel collapses.
//
//   custom_pattern MODEL.onnx OUTPUT.onnx rows:0.25

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <numeric>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/pattern/registry.h"
#include "espalier/prune/prune.h"

namespace {

using espalier::PackedShape;

class BalancedRows final : public espalier::Pattern {
 public:
  explicit BalancedRows(double density) : density_(density) {}

  Kind kind() const override { return Kind::kPerGroup; }
  std::string Name() const override { return "rows:" + std::to_string(density_); }

  void MaskGroups(std::span<const float> scores, const PackedShape& shape,
                  std::span<std::uint8_t> keep) const override {
    std::vector<std::int64_t> order(shape.channels);
    for (std::int64_t row = 0; row < shape.Elements(); row += shape.channels) {
      std::iota(order.begin(), order.end(), row);
      std::ranges::stable_sort(order, [scores](std::int64_t a, std::int64_t b) {
        return scores[a] > scores[b];  // stable: of equal scores the lower channel stays
      });
      for (std::int64_t rank = 0; rank < shape.channels; ++rank) {
        keep[order[rank]] = rank < Kept(shape);
      }
    }
  }

  std::optional<espalier::Violation> FindViolation(std::span<const std::uint8_t> nonzero,
                                                   const PackedShape& shape) const override {
    for (std::int64_t row = 0; row < shape.Elements(); row += shape.channels) {
      const auto values = nonzero.subspan(row, shape.channels);
      const std::int64_t count = std::accumulate(values.begin(), values.end(), std::int64_t{0});
      const std::int64_t line = row / shape.channels;  // row * positions + position
      if (count > Kept(shape)) {
        return espalier::Violation{line / shape.positions, line % shape.positions, 0, count};
      }
    }
    return std::nullopt;
  }

 private:
  std::int64_t Kept(const PackedShape& shape) const {
    return std::llround(density_ * static_cast<double>(shape.channels));
  }

  double density_;
};

std::unique_ptr<espalier::Pattern> ParseBalancedRows(std::string_view spec) {
  if (!spec.starts_with("rows:")) return nullptr;
  double density = 0;
  const auto [end, status] = std::from_chars(spec.data() + 5, spec.data() + spec.size(), density);
  if (status != std::errc() || end != spec.data() + spec.size() || !(density > 0 && density < 1)) {
    throw espalier::Error(espalier::ErrorCode::kInvalidArgument,
                          "rows:D needs 0 < D < 1, not '" + std::string(spec) + "'");
  }
  return std::make_unique<BalancedRows>(density);
}

int Run(const std::string& input, const std::string& output, const std::string& spec) {
  espalier::PatternRegistry patterns = espalier::PatternRegistry::BuiltIn();
  patterns.Add({"rows:D", "keep the share D of every row", &ParseBalancedRows});
  const auto pattern = patterns.Make(spec);
  const auto criterion = espalier::CriterionRegistry::BuiltIn().Make("magnitude");

  espalier::OnnxModel model = espalier::ReadOnnx(input);
  espalier::GraphWeights weights(model.graph);
  const espalier::PruneReport report = Prune(weights, *pattern, *criterion, {});
  espalier::WriteOnnx(model, output, espalier::Overwrite::kYes);
  std::cout << output << ": " << 100 * report.Sparsity() << " % zeros, "
            << 100 * report.KeptMagnitude() << " % of the magnitude kept\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: custom_pattern MODEL.onnx OUTPUT.onnx rows:0.25\n";
    return 2;
  }
  try {
    return Run(argv[1], argv[2], argv[3]);
  } catch (const espalier::Error& error) {
    std::cerr << "custom_pattern: " << error.what() << '\n';
    return 1;
  }
}

#include "train/mask_check.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace espalier::train {
namespace {

// A copy in packed order [groups][rows][positions][channels], on the CPU.
at::Tensor Packed(const at::Tensor& weight, const WeightView& view) {
  std::vector<Axis> axes = view.groups;
  axes.push_back(view.out);
  axes.insert(axes.end(), view.positions.begin(), view.positions.end());
  axes.push_back(view.in);
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  for (const Axis& axis : axes) {
    sizes.push_back(axis.size);
    strides.push_back(axis.stride);
  }
  return weight.detach().cpu().contiguous().as_strided(sizes, strides).contiguous();
}

std::string GroupBreach(const at::Tensor& weight, const WeightView& view, const Pattern& pattern) {
  const at::Tensor nonzero = Packed(weight.detach().ne(0).to(at::kByte), view);
  const std::span<const std::uint8_t> values(nonzero.data_ptr<std::uint8_t>(), nonzero.numel());
  const auto violation = pattern.FindViolation(values, PackedShapeOf(view));
  if (!violation) return "";
  return fmt::format("{} nonzeros break {} in row {}, kernel position {}, from channel {}",
                     violation->nonzeros, pattern.Name(), violation->row, violation->position,
                     violation->channel);
}

// Sum over each unit of a ranked pattern.
std::vector<float> UnitSums(const at::Tensor& packed, const PackedShape& shape,
                            const Pattern& pattern) {
  std::vector<float> sums(pattern.UnitCount(shape));
  pattern.ScoreUnits({packed.data_ptr<float>(), static_cast<std::size_t>(packed.numel())}, shape,
                     UnitNorm::kSum, sums);
  return sums;
}

std::string UnitBreach(const at::Tensor& mask, const WeightView& view, const Pattern& pattern) {
  if (pattern.IsElementwise()) return "";
  const PackedShape shape = PackedShapeOf(view);
  const at::Tensor keep = Packed(mask.to(at::kFloat), view);
  const std::vector<float> kept = UnitSums(keep, shape, pattern);
  const std::vector<float> dropped = UnitSums(1 - keep, shape, pattern);
  for (std::size_t unit = 0; unit < kept.size(); ++unit) {
    if (kept[unit] == 0 || dropped[unit] == 0) continue;
    return fmt::format("the mask keeps {} and drops {} weights of unit {} of {}", kept[unit],
                       dropped[unit], unit, pattern.Name());
  }
  return "";
}

}  // namespace

std::string NonzeroDropped(const at::Tensor& weight, const at::Tensor& mask) {
  const at::Tensor values = weight.detach().cpu().contiguous();
  const at::Tensor keep = mask.cpu().contiguous();
  const auto size = static_cast<std::int64_t>(values.element_size());
  const auto* bytes = static_cast<const std::uint8_t*>(values.data_ptr());
  const bool* kept = keep.data_ptr<bool>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const std::span element(bytes + i * size, static_cast<std::size_t>(size));
    if (kept[i] || std::ranges::all_of(element, [](std::uint8_t byte) { return byte == 0; })) {
      continue;
    }
    return fmt::format("dropped weight {} is {:g}, not +0", i, values.flatten()[i].item<double>());
  }
  return "";
}

std::string PatternBreach(const at::Tensor& weight, const at::Tensor& mask, const WeightView& view,
                          const Pattern& pattern) {
  return pattern.kind() == Pattern::Kind::kPerGroup ? GroupBreach(weight, view, pattern)
                                                    : UnitBreach(mask, view, pattern);
}

}  // namespace espalier::train

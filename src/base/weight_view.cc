#include "espalier/base/weight_view.h"

#include <fmt/format.h>

#include <utility>

#include "espalier/base/error.h"

namespace espalier {

std::string DimsText(const Dims& dims) {
  if (dims.empty()) return "scalar";
  std::string text;
  for (const std::int64_t dim : dims) {
    if (!text.empty()) text += 'x';
    text += dim < 0 ? "?" : fmt::to_string(dim);
  }
  return text;
}

std::int64_t ElementCount(const Dims& dims) {
  constexpr std::int64_t kMost = std::int64_t{1} << 62;
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t dim : dims) {
    if (dim < 0) {
      throw Error(ErrorCode::kBadFile, fmt::format("negative dimension {} in a shape", dim));
    }
    if (dim == 0) {
      empty = true;
    } else if (count > kMost / dim) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("shape {} has more than 2^62 elements", DimsText(dims)));
    } else {
      count *= dim;
    }
  }
  return empty ? 0 : count;
}

namespace {

std::int64_t SizeProduct(const std::vector<Axis>& axes) {
  std::int64_t product = 1;
  for (const Axis& axis : axes) product *= axis.size;
  return product;
}

}  // namespace

std::int64_t WeightView::GroupCount() const { return SizeProduct(groups); }

std::int64_t WeightView::PositionCount() const { return SizeProduct(positions); }

bool WeightView::IsPacked() const {
  std::int64_t expected = 1;
  const auto matches = [&expected](const Axis& axis) {
    const bool ok = axis.size == 1 || axis.stride == expected;
    expected *= axis.size;
    return ok;
  };
  bool packed = matches(in);
  for (auto it = positions.rbegin(); it != positions.rend(); ++it) packed = matches(*it) && packed;
  packed = matches(out) && packed;
  for (auto it = groups.rbegin(); it != groups.rend(); ++it) packed = matches(*it) && packed;
  return packed;
}

PackedShape PackedShapeOf(const WeightView& view) {
  return {view.GroupCount(), view.out.size, view.PositionCount(), view.in.size};
}

std::vector<std::int64_t> OffsetsAlong(const std::vector<Axis>& axes) {
  std::vector<std::int64_t> offsets = {0};
  for (const Axis& axis : axes) {
    std::vector<std::int64_t> longer;
    longer.reserve(offsets.size() * static_cast<std::size_t>(axis.size));
    for (const std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < axis.size; ++i) longer.push_back(offset + i * axis.stride);
    }
    offsets = std::move(longer);
  }
  return offsets;
}

}  // namespace espalier

#include "esp/positions.h"

#include <algorithm>
#include <set>
#include <utility>

namespace espalier::internal {
namespace {

// Codes of a fixed width, one after the other from the lowest bit of the first word on.
class CodeWriter {
 public:
  CodeWriter(std::uint64_t codes, std::uint32_t width)
      : width_(width), words_((codes * width + 63) / 64) {}

  void Add(std::uint64_t code) {
    words_[bit_ / 64] |= code << bit_ % 64;
    if (bit_ % 64 + width_ > 64) words_[bit_ / 64 + 1] |= code >> (64 - bit_ % 64);
    bit_ += width_;
  }
  std::vector<std::uint64_t> Take() { return std::move(words_); }

 private:
  std::uint32_t width_;
  std::uint64_t bit_ = 0;
  std::vector<std::uint64_t> words_;
};

// Calls visit(first unit of a group) in the order of the codes of kChoice.
template <typename Visit>
void ForEachGroup(std::size_t units, std::uint32_t group, std::uint64_t inner, const Visit& visit) {
  for (std::size_t block = 0; block < units; block += group * inner) {
    for (std::size_t side = 0; side < inner; ++side) visit(block + side);
  }
}

// Distances between one of a group and the next to try: along each dimension.
std::set<std::uint64_t> InnerSizes(const Dims& dims, std::size_t units) {
  std::set<std::uint64_t> inner;
  std::uint64_t size = 1;
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    inner.insert(size);
    size *= static_cast<std::uint64_t>(*dim);
  }
  if (size != units) return {};  // units are not elements
  return inner;
}

}  // namespace

PositionSet::PositionSet(std::vector<std::uint64_t> bitmap, std::size_t units)
    : bitmap_(std::move(bitmap)), units_(units) {
  for (const std::uint64_t word : bitmap_) count_ += static_cast<std::size_t>(std::popcount(word));
}

std::vector<std::uint64_t> PositionSet::GapCodeCounts() const {
  std::vector<std::uint64_t> codes(kMostGapBits + 1, count_);
  std::size_t from = 0;
  ForEach([&](std::size_t i) {
    for (std::uint32_t width = 2; width <= kMostGapBits; ++width) {
      const std::size_t escape = (std::size_t{1} << width) - 1;
      if (i - from < escape) break;  // wider codes need no escape either
      codes[width] += (i - from) / escape;
    }
    from = i + 1;
  });
  return codes;
}

std::vector<std::uint64_t> PositionSet::GapCodes(std::uint32_t width) const {
  CodeWriter writer(GapCodeCounts()[width], width);
  const std::size_t escape = (std::size_t{1} << width) - 1;
  std::size_t from = 0;
  ForEach([&](std::size_t i) {
    for (; i - from >= escape; from += escape) writer.Add(escape);
    writer.Add(i - from);
    from = i + 1;
  });
  return writer.Take();
}

std::uint32_t PositionSet::MostInGroup(std::uint32_t group, std::uint64_t inner) const {
  std::uint32_t most = 0;
  ForEachGroup(units_, group, inner, [&](std::size_t first) {
    std::uint32_t ones = 0;
    for (std::uint32_t j = 0; j < group; ++j) ones += Has(first + j * inner);
    most = std::max(most, ones);
  });
  return most;
}

PositionSet PositionSet::FilledUp(const Packing& packing) const {
  std::vector<std::uint64_t> bitmap = bitmap_;
  ForEachGroup(units_, packing.group, packing.inner, [&](std::size_t first) {
    std::uint32_t ones = 0;
    for (std::uint32_t j = 0; j < packing.group; ++j) ones += Has(first + j * packing.inner);
    for (std::uint32_t j = 0; ones < packing.kept; ++j) {
      const std::size_t i = first + j * packing.inner;
      ones += !Has(i);
      bitmap[i / 64] |= std::uint64_t{1} << i % 64;
    }
  });
  return PositionSet(std::move(bitmap), units_);
}

std::vector<std::uint64_t> PositionSet::ChoiceCodes(const Packing& packing) const {
  const std::vector<std::uint16_t> masks = ChoiceMasks(packing.group, packing.kept);
  CodeWriter writer(units_ / packing.group, ChoiceBits(masks.size()));
  ForEachGroup(units_, packing.group, packing.inner, [&](std::size_t first) {
    std::uint32_t mask = 0;
    for (std::uint32_t j = 0; j < packing.group; ++j) {
      mask |= static_cast<std::uint32_t>(Has(first + j * packing.inner)) << j;
    }
    writer.Add(static_cast<std::uint64_t>(std::ranges::lower_bound(masks, mask) - masks.begin()));
  });
  return writer.Take();
}

void ChoosePacking(const PositionSet& positions, DType dtype, const Dims& dims, Packing* packing) {
  const std::size_t units = positions.units();
  Packing best = *packing;
  best.encoding = Encoding::kRaw;
  best.count = units;
  // Offered from the quickest to read to the slowest: less than 0.2 % smaller is not worth it.
  const auto offer = [&](const Packing& candidate) {
    const std::uint64_t least = PayloadBytes(best, dtype, units);
    if (PayloadBytes(candidate, dtype, units) < least - least / 512) best = candidate;
  };
  Packing candidate = *packing;
  candidate.count = positions.count();
  if (candidate.count == 0) {
    candidate.encoding = Encoding::kFill;
    candidate.values = ValueType::kExact;
    *packing = candidate;
    return;
  }
  candidate.encoding = Encoding::kBitmap;
  offer(candidate);
  candidate = *packing;
  candidate.encoding = Encoding::kChoice;
  for (const std::uint64_t inner : InnerSizes(dims, units)) {
    for (candidate.group = 4; candidate.group <= 16; candidate.group *= 2) {
      if (units % (candidate.group * inner) != 0) continue;
      candidate.inner = inner;
      candidate.kept = positions.MostInGroup(candidate.group, inner);
      if (candidate.kept == candidate.group) continue;
      candidate.count = units / candidate.group * candidate.kept;
      offer(candidate);
    }
  }
  candidate = *packing;
  candidate.encoding = Encoding::kGaps;
  candidate.count = positions.count();
  const std::vector<std::uint64_t> codes = positions.GapCodeCounts();
  for (candidate.width = kMostGapBits; candidate.width >= 2; --candidate.width) {
    candidate.codes = codes[candidate.width];
    offer(candidate);
  }
  if (best.encoding == Encoding::kRaw) best.fill = 0;
  *packing = best;
}

}  // namespace espalier::internal

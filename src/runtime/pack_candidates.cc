#include "runtime/pack_candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "espalier/kernels/spmm.h"
#include "espalier/kernels/spmm_candidates.h"

namespace espalier::runtime {
namespace {

constexpr std::size_t kMaxCandidates = 12;
// Of these, the first ones again with 16-bit weights.
constexpr std::size_t kHalfCandidates = 3;

// Zeros that a block may store and still be a block by intent, not by chance: with single weights
// dropped at random, a block of 2 with a weight in it holds 1 / (2 - density) of its places.
constexpr double kLeastFill = 0.9;

struct Kind {
  PackedKind kind;
  std::uint64_t entries;
  std::size_t most;  // candidates of this kind
  std::size_t n = 2;
  std::size_t m = 4;
};

// Blocks of `height` x `width` that hold a weight other than zero.
std::uint64_t CountBlocks(std::span<const float> weights, std::size_t rows, std::size_t cols,
                          std::size_t height, std::size_t width) {
  std::uint64_t count = 0;
  for (std::size_t r = 0; r < rows; r += height) {
    for (std::size_t c = 0; c < cols; c += width) {
      bool any = false;
      for (std::size_t i = r; i < std::min(rows, r + height); ++i) {
        for (std::size_t j = c; j < std::min(cols, c + width); ++j) {
          any = any || weights[i * cols + j] != 0;
        }
      }
      count += any ? 1 : 0;
    }
  }
  return count;
}

// The N of the N:M whose groups hold exactly N weights everywhere; nothing if there is none.
std::optional<std::size_t> ExactNm(std::span<const float> weights, std::size_t cols,
                                   std::size_t m) {
  if (cols % m != 0 || weights.empty()) return std::nullopt;
  std::size_t n = 0;
  for (std::size_t g = 0; g < weights.size(); g += m) {
    const auto group = weights.subspan(g, m);
    const auto count = m - static_cast<std::size_t>(std::ranges::count(group, 0.0f));
    if (g == 0) n = count;
    if (count != n) return std::nullopt;
  }
  if (n == 0 || n == m) return std::nullopt;
  return n;
}

std::vector<Kind> KindsOf(std::span<const float> weights, std::size_t rows, std::size_t cols) {
  const auto zeros = static_cast<std::uint64_t>(std::ranges::count(weights, 0.0f));
  const std::uint64_t nonzeros = weights.size() - zeros;
  std::vector<Kind> kinds = {{PackedKind::kUnstructured, nonzeros, 4}};
  if (zeros == 0) return kinds;
  const auto add_block = [&](PackedKind kind, std::size_t height, std::size_t width) {
    const std::uint64_t blocks = CountBlocks(weights, rows, cols, height, width);
    const auto places = static_cast<double>(blocks * height * width);
    if (static_cast<double>(nonzeros) >= kLeastFill * places) kinds.push_back({kind, blocks, 3});
  };
  add_block(PackedKind::kRows2, 2, 1);
  add_block(PackedKind::kRows4, 4, 1);
  add_block(PackedKind::kColumns4, 1, 4);
  for (const std::size_t m : {2, 4, 8, 16}) {
    if (const auto n = ExactNm(weights, cols, m)) {
      kinds.push_back({PackedKind::kNm, nonzeros, 3, *n, m});
      break;
    }
  }
  return kinds;
}

// The least bit of a float16 of that size is worth 2^-24 or 2^(exponent - 10).
bool IsFloat16(float weight) {
  if (weight == 0) return true;
  if (!(std::abs(weight) <= 65504.0f)) return false;
  const int exponent = std::max(std::ilogb(weight), -14);
  const float units = std::ldexp(weight, 10 - exponent);
  return units == std::trunc(units);
}

bool IsBFloat16(float weight) {
  return std::isfinite(weight) && (std::bit_cast<std::uint32_t>(weight) & 0xFFFF) == 0;
}

}  // namespace

bool HoldsExactly(PackedValue value, std::span<const float> weights) noexcept {
  if (value == PackedValue::kFloat32) return true;
  return std::ranges::all_of(weights, value == PackedValue::kFloat16 ? IsFloat16 : IsBFloat16);
}

std::vector<PackOptions> PackCandidates(std::span<const float> weights, std::size_t rows,
                                        std::size_t cols, std::size_t pixels, bool dense_only) {
  struct Ranked {
    PackOptions options;
    double cycles;
  };
  std::vector<Kind> kinds;
  if (!dense_only) kinds = KindsOf(weights, rows, cols);
  kinds.push_back({PackedKind::kDense, weights.size(), 3});
  std::vector<Ranked> ranked;
  for (const Kind& kind : kinds) {
    const SpmmCandidates tiles =
        ChooseSpmmCandidates({kind.kind, rows, cols, kind.entries, pixels, SpmmLanes()});
    for (std::size_t i = 0; i < std::min(tiles.count, kind.most); ++i) {
      PackOptions options;
      options.kind = kind.kind;
      options.tile_pixels = tiles.list[i].tile_pixels;
      options.k_block = tiles.list[i].k_block;
      options.nm_n = kind.n;
      options.nm_m = kind.m;
      ranked.push_back({options, tiles.list[i].cycles});
    }
  }
  std::ranges::stable_sort(ranked, {}, &Ranked::cycles);
  if (ranked.size() > kMaxCandidates) ranked.resize(kMaxCandidates);
  std::vector<PackOptions> options;
  for (const Ranked& candidate : ranked) options.push_back(candidate.options);
  for (const PackedValue value : {PackedValue::kFloat16, PackedValue::kBFloat16}) {
    if (!HoldsExactly(value, weights)) continue;
    options.resize(std::min(options.size(), kMaxCandidates - kHalfCandidates));
    for (std::size_t i = 0, count = std::min(options.size(), kHalfCandidates); i < count; ++i) {
      options.push_back(options[i]);
      options.back().value = value;
    }
    break;
  }
  return options;
}

}  // namespace espalier::runtime

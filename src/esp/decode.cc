#include "esp/decode.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "esp/half.h"
#include "esp/layout.h"

namespace espalier::internal {
namespace {

template <typename T>
T Load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// The stored values: each loader gives unit `i` as its bits.
template <typename T>
struct Exact {
  using Unit = T;
  const std::byte* bytes;
  Unit operator[](std::size_t i) const { return Load<T>(bytes + i * sizeof(T)); }
};

struct Halves {
  using Unit = std::uint32_t;
  const std::byte* bytes;
  Unit operator[](std::size_t i) const {
    return FloatBitsOfHalf(Load<std::uint16_t>(bytes + 2 * i));
  }
};

struct BFloat16s {
  using Unit = std::uint32_t;
  const std::byte* bytes;
  Unit operator[](std::size_t i) const {
    return FloatBitsOfBFloat16(Load<std::uint16_t>(bytes + 2 * i));
  }
};

template <typename Unit>
void Store(Unit value, std::size_t i, std::byte* out) {
  std::memcpy(out + i * sizeof(Unit), &value, sizeof(Unit));
}

template <typename Values>
void ExpandAll(const Values values, std::size_t units, std::byte* out) {
  for (std::size_t i = 0; i < units; ++i) Store(values[i], i, out);
}

// Number of ones; no bit may be set at `units` or later.
bool CountOnes(const std::byte* bitmap, std::size_t units, std::uint64_t* ones) {
  const std::size_t words = (units + 63) / 64;
  *ones = 0;
  for (std::size_t w = 0; w < words; ++w) {
    *ones += static_cast<std::uint64_t>(std::popcount(Load<std::uint64_t>(bitmap + 8 * w)));
  }
  return units % 64 == 0 || Load<std::uint64_t>(bitmap + 8 * (words - 1)) >> (units % 64) == 0;
}

// The caller has counted the ones: as many as there are values, all below `units`.
template <typename Values>
void ScatterBits(const std::byte* bitmap, const Values values, std::size_t units, std::byte* out) {
  std::size_t next = 0;
  for (std::size_t base = 0; base < units; base += 64) {
    for (std::uint64_t word = Load<std::uint64_t>(bitmap + base / 8); word != 0; word &= word - 1) {
      Store(values[next++], base + static_cast<std::size_t>(std::countr_zero(word)), out);
    }
  }
}

// Code `i` of `width` bits up to 16; reads 8 bytes from the byte where it begins.
std::uint64_t CodeAt(const std::byte* codes, std::uint64_t i, std::uint32_t width) {
  const std::uint64_t bit = i * width;
  return Load<std::uint64_t>(codes + bit / 8) >> bit % 8 & ((1u << width) - 1);
}

// A code below the largest stands for so many fill values and one stored value; the largest for as
// many fill values as it says and none stored.
template <typename Values>
const char* ScatterGaps(const Packing& packing, const std::byte* codes, const Values values,
                        std::uint64_t units, std::byte* out) {
  using Unit = typename Values::Unit;
  constexpr std::uint64_t kBatch = 8;
  const std::uint64_t code_count = packing.codes;  // copies: `out` could alias the original
  const std::uint64_t value_count = packing.count;
  const std::uint32_t width = packing.width;
  const std::uint64_t escape = (1u << width) - 1;
  const auto fill = static_cast<Unit>(packing.fill);
  std::uint64_t at = 0;
  std::uint64_t next = 0;
  std::uint64_t code = 0;
  while (code < code_count) {
    // Eight codes that cannot pass either end take no checks and no branches: where a code stores
    // nothing, the fill value is written over itself.
    if (code_count - code >= kBatch && value_count - next >= kBatch &&
        units - at >= kBatch * (escape + 1)) {
      for (const std::uint64_t end = code + kBatch; code < end; ++code) {
        const std::uint64_t gap = CodeAt(codes, code, width);
        const bool stored = gap != escape;
        const auto mask = static_cast<Unit>(-static_cast<std::int64_t>(stored));
        at += gap;
        Store(static_cast<Unit>(fill ^ ((values[next] ^ fill) & mask)), at, out);
        at += stored;
        next += stored;
      }
      continue;
    }
    const std::uint64_t gap = CodeAt(codes, code++, width);
    if (gap > units - at) return "positions run past the end";
    at += gap;
    if (gap == escape) continue;
    if (at == units) return "positions run past the end";
    if (next == value_count) return "more positions than values";
    Store(values[next++], at++, out);
  }
  return next == value_count ? nullptr : "fewer positions than values";
}

// ORs the low `bits` bits of `word` into the bitmap from bit `at` on.
void OrBits(std::uint64_t word, std::uint64_t at, std::vector<std::uint64_t>* bitmap) {
  (*bitmap)[at / 64] |= word << at % 64;
  if (at % 64 != 0 && word >> (64 - at % 64) != 0) {
    (*bitmap)[at / 64 + 1] |= word >> (64 - at % 64);
  }
}

// Turns the codes of kChoice into a bitmap. Codes come block after block of group * inner units;
// inside a block, one for each of the `inner` groups that lie side by side.
const char* BitmapOfChoices(const Packing& packing, const std::byte* codes, std::uint64_t units,
                            std::vector<std::uint64_t>* bitmap) {
  const std::vector<std::uint16_t> masks = ChoiceMasks(packing.group, packing.kept);
  const std::uint32_t width = ChoiceBits(masks.size());
  const std::uint64_t groups = units / packing.group;
  bitmap->assign((units + 63) / 64, 0);
  std::uint64_t first_unit = 0;
  for (std::uint64_t code = 0; code < groups; first_unit += packing.group * packing.inner) {
    for (std::uint64_t side = 0; side < packing.inner;) {
      const std::uint64_t lanes = std::min<std::uint64_t>(packing.inner - side, 64);
      std::uint64_t rows[16] = {};
      for (std::uint64_t lane = 0; lane < lanes; ++lane) {
        const std::uint64_t index = CodeAt(codes, code++, width);
        if (index >= masks.size()) return "a choice that does not exist";
        for (std::uint32_t j = 0; j < packing.group; ++j) {
          rows[j] |= std::uint64_t{masks[index]} >> j << 63 >> (63 - lane);
        }
      }
      for (std::uint32_t j = 0; j < packing.group; ++j) {
        OrBits(rows[j], first_unit + j * packing.inner + side, bitmap);
      }
      side += lanes;
    }
  }
  return nullptr;
}

// The same for groups of neighbours: a mask is a piece of the bitmap, and words hold whole groups.
const char* BitmapOfNeighbours(const Packing& packing, const std::byte* codes, std::uint64_t units,
                               std::vector<std::uint64_t>* bitmap) {
  const std::vector<std::uint16_t> masks = ChoiceMasks(packing.group, packing.kept);
  const std::uint32_t width = ChoiceBits(masks.size());
  const std::uint32_t group = packing.group;
  bitmap->assign((units + 63) / 64, 0);
  std::uint64_t code = 0;
  for (std::uint64_t base = 0; base < units; base += 64) {
    const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(units - base, 64));
    std::uint64_t word = 0;
    for (std::uint32_t at = 0; at < end; at += group) {
      const std::uint64_t index = CodeAt(codes, code++, width);
      if (index >= masks.size()) return "a choice that does not exist";
      word |= std::uint64_t{masks[index]} << at;
    }
    (*bitmap)[base / 64] = word;
  }
  return nullptr;
}

template <typename Values>
const char* ExpandAs(const Packing& packing, const std::byte* positions, const Values values,
                     std::uint64_t units, std::byte* out) {
  using Unit = typename Values::Unit;
  if (packing.encoding == Encoding::kRaw) {
    ExpandAll(values, units, out);
    return nullptr;
  }
  if (packing.fill != 0) {
    const auto fill = static_cast<Unit>(packing.fill);
    for (std::uint64_t i = 0; i < units; ++i) Store(fill, i, out);
  }
  if (packing.encoding == Encoding::kFill) return nullptr;
  if (packing.encoding == Encoding::kGaps) {
    return ScatterGaps(packing, positions, values, units, out);
  }
  if (packing.encoding == Encoding::kChoice) {
    std::vector<std::uint64_t> bitmap;
    const auto make = packing.inner == 1 ? &BitmapOfNeighbours : &BitmapOfChoices;
    const char* problem = make(packing, positions, units, &bitmap);
    if (problem != nullptr) return problem;
    ScatterBits(std::as_bytes(std::span(bitmap)).data(), values, units, out);
    return nullptr;
  }
  std::uint64_t ones = 0;
  if (!CountOnes(positions, units, &ones)) return "a position past the end";
  if (ones != packing.count) return "positions and values differ in number";
  ScatterBits(positions, values, units, out);
  return nullptr;
}

// Sparse 16-bit values become float32 in one pass that the compiler vectorises, not one by one
// where their positions are found.
template <typename Values>
const char* ExpandRounded(const Packing& packing, std::span<std::byte> work, std::uint64_t units,
                          std::byte* out) {
  const Values values{work.data() + PositionBytes(packing, units)};
  if (packing.encoding == Encoding::kRaw) return ExpandAs(packing, nullptr, values, units, out);
  std::byte* const wide = work.data() + (work.size() - 4 * packing.count);
  ExpandAll(values, packing.count, wide);
  return ExpandAs(packing, work.data(), Exact<std::uint32_t>{wide}, units, out);
}

template <typename Unit>
const char* ExpandExact(const Packing& packing, std::span<std::byte> work,
                        std::span<std::byte> out) {
  const std::uint64_t units = out.size() / sizeof(Unit);
  const Exact<Unit> values{work.data() + PositionBytes(packing, units)};
  return ExpandAs(packing, work.data(), values, units, out.data());
}

}  // namespace

std::uint64_t WorkBytes(const Packing& packing, std::uint64_t payload_bytes) noexcept {
  const bool widens = packing.values != ValueType::kExact && packing.encoding != Encoding::kRaw;
  return Aligned(payload_bytes) + kAlignment + (widens ? 4 * packing.count : 0);
}

const char* Expand(const Packing& packing, DType dtype, std::span<std::byte> work,
                   std::span<std::byte> out) {
  if (packing.values == ValueType::kHalf) {
    return ExpandRounded<Halves>(packing, work, out.size() / 4, out.data());
  }
  if (packing.values == ValueType::kBFloat16) {
    return ExpandRounded<BFloat16s>(packing, work, out.size() / 4, out.data());
  }
  switch (UnitBytes(dtype)) {
    case 1:
      return ExpandExact<std::uint8_t>(packing, work, out);
    case 2:
      return ExpandExact<std::uint16_t>(packing, work, out);
    case 4:
      return ExpandExact<std::uint32_t>(packing, work, out);
    default:
      return ExpandExact<std::uint64_t>(packing, work, out);
  }
}

}  // namespace espalier::internal

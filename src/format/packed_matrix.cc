#include "espalier/format/packed_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "espalier/base/dtype.h"
#include "espalier/base/error.h"
#include "format/round_half.h"

namespace espalier {
namespace {

constexpr std::size_t kStreamPadding = 16;  // kernels load 4 entries, of 4 values, at a time
constexpr std::size_t kOffsetUnit = 2;      // floats; 16-bit offsets count 8 bytes
constexpr std::size_t kMaxTilePixels = 1024;

std::size_t RoundUp(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

class Packer {
 public:
  Packer(std::span<const float> weights, std::size_t rows, std::size_t cols,
         const PackOptions& options)
      : weights_(weights.data()), options_(options), strip_(RowsPerEntry(options.kind)) {
    out_.kind = options.kind;
    out_.value = options.value;
    out_.rows = rows;
    out_.cols = cols;
    out_.tile_pixels = RoundUp(options.tile_pixels, 8);
    ChooseKBlock();
  }

  PackedMatrix Run() {
    CountEntries();
    CutRowBlocks();
    Reserve();
    for (std::size_t block = 0; block < out_.row_blocks(); ++block) {
      for (std::size_t k = 0; k < out_.k_blocks; ++k) PackBlock(block, k);
    }
    PadStreams();
    return std::move(out_);
  }

 private:
  std::size_t strips() const { return (out_.rows + strip_ - 1) / strip_; }
  std::size_t KBegin(std::size_t k) const { return k * out_.k_block; }
  std::size_t KEnd(std::size_t k) const { return std::min(out_.cols, (k + 1) * out_.k_block); }

  void ChooseKBlock() {
    // Whole groups in a K block, so that no entry and no N:M group crosses its end.
    const std::size_t unit = out_.kind == PackedKind::kNm ? std::lcm(options_.nm_m, 4) : 4;
    const std::size_t most = 65535 * kOffsetUnit / out_.tile_pixels / unit * unit;
    const std::size_t useful = RoundUp(std::max<std::size_t>(out_.cols, 1), unit);
    const std::size_t asked = RoundUp(options_.k_block, unit);
    out_.k_block = std::max(unit, std::min({asked, useful, most}));
    out_.k_blocks = std::max<std::size_t>(1, (out_.cols + out_.k_block - 1) / out_.k_block);
  }

  // Weight of (row, col); zero behind the last row and column.
  float At(std::size_t row, std::size_t col) const {
    return row < out_.rows && col < out_.cols ? weights_[row * out_.cols + col] : 0.0f;
  }

  // Calls entry(first row, column) for each entry of a strip in a K block, in column order.
  template <typename Entry>
  void ForEachEntry(std::size_t strip, std::size_t k_begin, std::size_t k_end, Entry entry) const {
    const std::size_t row = strip * strip_;
    switch (out_.kind) {
      case PackedKind::kUnstructured: {
        const float* w = weights_ + row * out_.cols;
        for (std::size_t col = k_begin; col < k_end; ++col) {
          if (w[col] != 0.0f) entry(row, col);
        }
        return;
      }
      case PackedKind::kNm:
        for (std::size_t col = k_begin; col < k_end; col += options_.nm_m) {
          ForEachOfGroup(row, col, std::min(k_end, col + options_.nm_m), entry);
        }
        return;
      case PackedKind::kColumns4:
        for (std::size_t col = k_begin; col < k_end; col += 4) {
          if (At(row, col) != 0.0f || At(row, col + 1) != 0.0f || At(row, col + 2) != 0.0f ||
              At(row, col + 3) != 0.0f) {
            entry(row, col);
          }
        }
        return;
      case PackedKind::kRows2:
      case PackedKind::kRows4:
        for (std::size_t col = k_begin; col < k_end; ++col) {
          bool any = false;
          for (std::size_t r = 0; r < strip_; ++r) any = any || At(row + r, col) != 0.0f;
          if (any) entry(row, col);
        }
        return;
      case PackedKind::kDense:
        for (std::size_t col = k_begin; col < k_end; ++col) entry(row, col);
        return;
    }
  }

  // The nonzeros of an N:M group, filled up to N with zeros: every row has the same trip count.
  template <typename Entry>
  void ForEachOfGroup(std::size_t row, std::size_t begin, std::size_t end, Entry entry) const {
    const float* w = weights_ + row * out_.cols;
    const auto nonzeros = static_cast<std::size_t>(
        std::count_if(w + begin, w + end, [](float value) { return value != 0.0f; }));
    std::size_t zeros = std::min(options_.nm_n, end - begin);
    zeros -= std::min(zeros, nonzeros);
    for (std::size_t col = begin; col < end; ++col) {
      if (w[col] == 0.0f) {
        if (zeros == 0) continue;
        --zeros;
      }
      entry(row, col);
    }
  }

  void CountEntries() {
    counts_.resize(strips() * out_.k_blocks);
    for (std::size_t strip = 0; strip < strips(); ++strip) {
      for (std::size_t k = 0; k < out_.k_blocks; ++k) {
        const std::uint32_t count = CountStrip(strip, KBegin(k), KEnd(k));
        counts_[strip * out_.k_blocks + k] = count;
        out_.entries += count;
      }
    }
  }

  std::uint32_t CountStrip(std::size_t strip, std::size_t k_begin, std::size_t k_end) const {
    std::uint32_t count = 0;
    if (out_.kind == PackedKind::kUnstructured) {
      const float* w = weights_ + strip * out_.cols;
      for (std::size_t col = k_begin; col < k_end; ++col) count += w[col] != 0.0f ? 1 : 0;
    } else {
      ForEachEntry(strip, k_begin, k_end, [&](std::size_t, std::size_t) { ++count; });
    }
    return count;
  }

  // Cuts where the running sum of entries (and one for each row's own cost) passes equal shares.
  void CutRowBlocks() {
    constexpr std::size_t kUnit = 8;  // whole strips, whole vectors of a token's outputs
    const std::size_t most = std::max<std::size_t>(1, (out_.rows + kUnit - 1) / kUnit);
    const std::size_t fewest = (out_.rows + kMaxRowBlock - 1) / kMaxRowBlock;
    const std::size_t blocks = std::min(most, std::max(fewest, options_.row_blocks));
    const double share = static_cast<double>(out_.entries + strips()) / static_cast<double>(blocks);
    out_.row_begin.assign(1, 0);
    double sum = 0;
    for (std::size_t row = 0; row < out_.rows; row += kUnit) {
      const std::size_t begin = out_.row_begin.back();
      const bool full =
          sum >= share * static_cast<double>(out_.row_begin.size()) || row - begin == kMaxRowBlock;
      if (full && row > begin) out_.row_begin.push_back(static_cast<std::uint32_t>(row));
      sum += static_cast<double>(EntriesOfRows(row, std::min(out_.rows, row + kUnit)));
    }
    if (out_.rows > 0) out_.row_begin.push_back(static_cast<std::uint32_t>(out_.rows));
  }

  std::uint64_t EntriesOfRows(std::size_t begin, std::size_t end) const {
    const std::size_t last = (end + strip_ - 1) / strip_;
    const std::size_t first = begin / strip_;
    return std::accumulate(counts_.begin() + static_cast<std::ptrdiff_t>(first * out_.k_blocks),
                           counts_.begin() + static_cast<std::ptrdiff_t>(last * out_.k_blocks),
                           std::uint64_t{last - first});
  }

  void Reserve() {
    const std::size_t values = (out_.entries + kStreamPadding) * ValuesPerEntry(out_.kind);
    if (out_.value == PackedValue::kFloat32) {
      out_.values.reserve(values);
    } else {
      out_.halves.reserve(values);
    }
    if (out_.kind != PackedKind::kDense) out_.offsets.reserve(out_.entries + kStreamPadding);
    if (IsSingleFloats()) PadStreams();
    out_.visits.reserve(counts_.size());
    out_.blocks.reserve(out_.row_blocks() * out_.k_blocks);
  }

  void PackBlock(std::size_t block, std::size_t k) {
    const std::size_t first_row = out_.row_begin[block];
    const std::size_t first = first_row / strip_;
    const std::size_t last = (out_.row_begin[block + 1] + strip_ - 1) / strip_;
    order_.resize(last - first);
    std::iota(order_.begin(), order_.end(), static_cast<std::uint32_t>(first));
    std::stable_sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return counts_[a * out_.k_blocks + k] < counts_[b * out_.k_blocks + k];
    });
    PackedBlock packed = {static_cast<std::uint32_t>(out_.visits.size()), 0, packed_entries_};
    for (const std::uint32_t strip : order_) {
      const std::uint32_t count = counts_[strip * out_.k_blocks + k];
      out_.visits.push_back({static_cast<std::uint16_t>(strip * strip_ - first_row),
                             static_cast<std::uint16_t>(count)});
      if (IsSingleFloats()) {
        PackSingleFloats(strip, k);
      } else {
        ForEachEntry(strip, KBegin(k), KEnd(k), [&](std::size_t row, std::size_t col) {
          PushEntry(row, col, col - KBegin(k));
        });
      }
      packed_entries_ += count;
    }
    packed.visit_end = static_cast<std::uint32_t>(out_.visits.size());
    out_.blocks.push_back(packed);
  }

  bool IsSingleFloats() const {
    return out_.kind == PackedKind::kUnstructured && out_.value == PackedValue::kFloat32;
  }

  // Stores every weight and goes on only behind those to keep: a branch on zero would be wrong
  // most of the times that it matters (2.2 instead of 4.7 ns a weight). May write one entry of
  // padding.
  void PackSingleFloats(std::size_t row, std::size_t k) {
    const float* w = weights_ + row * out_.cols;
    float* value = out_.values.data() + packed_entries_;
    std::uint16_t* offset = out_.offsets.data() + packed_entries_;
    const auto step = static_cast<std::uint16_t>(out_.tile_pixels / kOffsetUnit);
    std::uint16_t at = 0;
    for (std::size_t col = KBegin(k); col < KEnd(k); ++col) {
      *value = w[col];
      *offset = at;
      const std::ptrdiff_t kept = w[col] != 0.0f ? 1 : 0;
      value += kept;
      offset += kept;
      at = static_cast<std::uint16_t>(at + step);
    }
  }

  void PushEntry(std::size_t row, std::size_t col, std::size_t tile_row) {
    if (out_.kind != PackedKind::kDense) {
      const std::size_t offset = tile_row * out_.tile_pixels / kOffsetUnit;
      out_.offsets.push_back(static_cast<std::uint16_t>(offset));
    }
    if (out_.kind == PackedKind::kColumns4) {
      for (std::size_t i = 0; i < 4; ++i) PushValue(At(row, col + i));
    } else {
      for (std::size_t r = 0; r < strip_; ++r) PushValue(At(row + r, col));
    }
  }

  void PushValue(float value) {
    if (out_.value == PackedValue::kFloat32) {
      out_.values.push_back(value);
    } else if (out_.value == PackedValue::kFloat16) {
      out_.halves.push_back(RoundToHalf(value));
    } else {
      out_.halves.push_back(RoundToBFloat16(value));
    }
  }

  void PadStreams() {
    const std::size_t values = (out_.entries + kStreamPadding) * ValuesPerEntry(out_.kind);
    if (IsSingleFloats() && !out_.values.empty()) {
      std::fill(out_.values.end() - kStreamPadding, out_.values.end(), 0.0f);
      std::fill(out_.offsets.end() - kStreamPadding, out_.offsets.end(), std::uint16_t{0});
      return;
    }
    if (out_.value == PackedValue::kFloat32) {
      out_.values.resize(values);
    } else {
      out_.halves.resize(values);
    }
    if (out_.kind != PackedKind::kDense) out_.offsets.resize(out_.entries + kStreamPadding);
  }

  const float* weights_;
  const PackOptions& options_;
  std::size_t strip_;
  PackedMatrix out_;
  std::vector<std::uint32_t> counts_;  // [strip][K block]
  std::vector<std::uint32_t> order_;
  std::uint64_t packed_entries_ = 0;
};

void CheckOptions(const PackOptions& options) {
  if (options.tile_pixels == 0 || options.tile_pixels > kMaxTilePixels) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("tile of {} pixels, 1 to {} are possible",
                                                         options.tile_pixels, kMaxTilePixels));
  }
  if (options.k_block == 0 || options.row_blocks == 0) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("K block of {}, {} row blocks: above 0",
                                                         options.k_block, options.row_blocks));
  }
  if (options.kind == PackedKind::kNm &&
      (options.nm_n == 0 || options.nm_n > options.nm_m || options.nm_m > 64)) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("pattern {}:{}; N is 1 to M, M at most 64",
                                                         options.nm_n, options.nm_m));
  }
}

}  // namespace

std::size_t RowsPerEntry(PackedKind kind) noexcept {
  if (kind == PackedKind::kRows2) return 2;
  return kind == PackedKind::kRows4 || kind == PackedKind::kDense ? 4 : 1;
}

std::size_t ValuesPerEntry(PackedKind kind) noexcept {
  return kind == PackedKind::kColumns4 ? 4 : RowsPerEntry(kind);
}

PackedMatrix PackSparse(std::span<const float> weights, std::size_t rows, std::size_t cols,
                        const PackOptions& options) {
  CheckOptions(options);
  if (weights.size() != rows * cols) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("{} weights for a matrix of {} x {}", weights.size(), rows, cols));
  }
  return Packer(weights, rows, cols, options).Run();
}

std::size_t PackedBytes(const PackedMatrix& packed) noexcept {
  return packed.visits.size() * sizeof(PackedVisit) + packed.offsets.size() * 2 +
         packed.values.size() * 4 + packed.halves.size() * 2;
}

}  // namespace espalier

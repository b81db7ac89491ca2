#include "runtime/packed_product.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "espalier/base/thread_pool.h"

namespace espalier::runtime {
namespace {

// By PackedKind and PackedValue.
constexpr std::array<std::string_view, 6> kKinds = {"unstructured", "nm",       "rows2",
                                                    "rows4",        "columns4", "dense"};
constexpr std::array<std::string_view, 3> kValues = {"f32", "f16", "bf16"};

// Fewer vectors of pixels than this a thread, and one thread gets a vector more than another too
// often: at 4 the worst share is 25 % too large.
constexpr std::size_t kVectorsPerThread = 16;

bool SplitByRows(std::size_t pixels, int threads) {
  return threads > 1 &&
         pixels < kVectorsPerThread * SpmmLanes() * static_cast<std::size_t>(threads);
}

PackOptions WithRowBlocks(PackOptions options, std::size_t rows, bool by_rows, int threads) {
  if (!by_rows) return options;
  const auto share = static_cast<std::size_t>(threads);
  const std::size_t blocks = (rows + kMaxRowBlock - 1) / kMaxRowBlock;
  options.row_blocks = (blocks + share - 1) / share * share;
  return options;
}

template <std::size_t kCount>
int IndexOf(const std::array<std::string_view, kCount>& names, std::string_view name) {
  const auto it = std::ranges::find(names, name);
  return it == names.end() ? -1 : static_cast<int>(it - names.begin());
}

}  // namespace

PackedProduct::PackedProduct(std::span<const float> weights, std::size_t rows, std::size_t cols,
                             PackOptions options, std::size_t pixels, int threads)
    : by_rows_(SplitByRows(pixels, threads)),
      threads_(threads),
      matrix_(PackSparse(weights, rows, cols, WithRowBlocks(options, rows, by_rows_, threads))) {}

void PackedProduct::Run(const ProductCall& call, OpContext& context) const {
  const std::size_t bytes = (SpmmScratchBytes(matrix_) + 63) / 64 * 64;
  const std::size_t blocks = matrix_.row_blocks();
  if (threads_ == 1) {
    Spmm(matrix_, call.input, call.output, {0, call.pixels, 0, blocks}, context.Scratch(bytes));
    return;
  }
  const auto threads = static_cast<std::size_t>(threads_);
  std::byte* const scratch = context.Scratch(bytes * threads);
  const std::size_t lanes = SpmmLanes();
  const std::size_t vectors = (call.pixels + lanes - 1) / lanes;
  ThreadPool::Shared().Run(threads_, threads, [&](std::size_t t) {
    SpmmRange range{0, call.pixels, 0, blocks};
    if (by_rows_) {
      range.block_begin = blocks * t / threads;
      range.block_end = blocks * (t + 1) / threads;
    } else {
      range.pixel_begin = std::min(call.pixels, vectors * t / threads * lanes);
      range.pixel_end = std::min(call.pixels, vectors * (t + 1) / threads * lanes);
    }
    if (range.pixel_begin == range.pixel_end || range.block_begin == range.block_end) return;
    Spmm(matrix_, call.input, call.output, range, scratch + t * bytes);
  });
}

std::string PackText(const PackOptions& options) {
  std::string kind(kKinds[static_cast<std::size_t>(options.kind)]);
  if (options.kind == PackedKind::kNm) {
    kind += fmt::format("{}:{}", options.nm_n, options.nm_m);
  }
  return fmt::format("{} {} {}x{}", kind, kValues[static_cast<std::size_t>(options.value)],
                     options.tile_pixels, options.k_block);
}

std::optional<PackOptions> PackFromText(const std::string& text) {
  char kind[32] = "";
  char value[8] = "";
  unsigned tile = 0;
  unsigned k_block = 0;
  if (std::sscanf(text.c_str(), "%31s %7s %ux%u", kind, value, &tile, &k_block) != 4) {
    return std::nullopt;
  }
  PackOptions options;
  unsigned n = 0;
  unsigned m = 0;
  int index = IndexOf(kKinds, kind);
  if (std::sscanf(kind, "nm%u:%u", &n, &m) == 2) {
    index = static_cast<int>(PackedKind::kNm);
    options.nm_n = n;
    options.nm_m = m;
  }
  const int value_index = IndexOf(kValues, value);
  if (index < 0 || value_index < 0 || tile == 0 || k_block == 0 || tile > 1024) {
    return std::nullopt;
  }
  if (options.nm_n == 0 || options.nm_n > options.nm_m) return std::nullopt;
  options.kind = static_cast<PackedKind>(index);
  options.value = static_cast<PackedValue>(value_index);
  options.tile_pixels = tile;
  options.k_block = k_block;
  return options;
}

}  // namespace espalier::runtime

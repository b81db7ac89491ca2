#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "espalier/format/packed_matrix.h"
#include "espalier/kernels/spmm.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// What a packed matrix multiplies at run time.
struct ProductCall {
  SpmmInput input;
  SpmmOutput output;
  std::size_t pixels = 0;
};

/// A constant weight matrix, packed for a number of pixels and threads.
class PackedProduct {
 public:
  /// @param weights  [rows, cols], row-major.
  PackedProduct(std::span<const float> weights, std::size_t rows, std::size_t cols,
                PackOptions options, std::size_t pixels, int threads);

  /// Multiplies. Few pixels are split over the threads by rows, many by pixels.
  void Run(const ProductCall& call, OpContext& context) const;

  const PackedMatrix& matrix() const { return matrix_; }

 private:
  bool by_rows_;
  int threads_;
  PackedMatrix matrix_;
};

/// "rows4 f32 64x96": kind, value type, pixels of a tile x channels of a K block.
std::string PackText(const PackOptions& options);

/// What PackText() made a text from; nothing for other texts.
std::optional<PackOptions> PackFromText(const std::string& text);

}  // namespace espalier::runtime

#pragma once

#include <cstddef>
#include <cstdint>

#include "espalier/format/packed_matrix.h"
#include "espalier/kernels/activation.h"

namespace espalier {

/// How element (input channel k, pixel p) of X is found.
enum class SpmmInputKind : std::uint8_t {
  kPlanes,  ///< x[k * ld + p]: a 1x1 convolution of stride 1 on an NCHW image.
  kTokens,  ///< x[p * ld + k]: a linear layer on rows [tokens, channels].
  kWindow,  ///< Input channel k = (c * kernel_h + r) * kernel_w + s of a k x k convolution.
};

/// A convolution's window over the planes [channels, height, width] of one image (or one group).
struct SpmmWindow {
  std::uint32_t channels = 0;
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::uint32_t kernel_h = 1;
  std::uint32_t kernel_w = 1;
  std::uint32_t stride_h = 1;
  std::uint32_t stride_w = 1;
  std::uint32_t dilation_h = 1;
  std::uint32_t dilation_w = 1;
  /// Zeros above and, as far as out_h asks, below. Less than 0: the first output row reads input
  /// rows from -pad_top on.
  std::int32_t pad_top = 0;
  std::uint32_t pad_left = 0;  ///< Zeros left and, as far as out_w asks, right.
  std::uint32_t out_h = 0;     ///< Pixel p is row p / out_w, column p % out_w of the output.
  std::uint32_t out_w = 0;
};

struct SpmmInput {
  SpmmInputKind kind = SpmmInputKind::kPlanes;
  const float* x = nullptr;
  std::size_t ld = 0;  ///< kWindow: floats between two planes, at least height * width.
  SpmmWindow window;   ///< kWindow only.
};

enum class SpmmOutputKind : std::uint8_t {
  kPlanes,  ///< y[row * ld + p]
  kTokens,  ///< y[p * ld + row]
};

struct SpmmOutput {
  SpmmOutputKind kind = SpmmOutputKind::kPlanes;
  float* y = nullptr;
  std::size_t ld = 0;
  const float* bias = nullptr;      ///< [rows], or null.
  const float* residual = nullptr;  ///< Laid out as y, or null; may be y itself.
  std::size_t residual_ld = 0;
  Activation activation;  ///< Applied last: activation(W x + bias + residual).
};

/// What one call computes: pixels [pixel_begin, pixel_end) of row blocks [block_begin, block_end).
struct SpmmRange {
  std::size_t pixel_begin = 0;
  std::size_t pixel_end = 0;
  std::size_t block_begin = 0;
  std::size_t block_end = 0;
};

/// Bytes of scratch that Spmm() needs for this matrix, for any input, output and range.
std::size_t SpmmScratchBytes(const PackedMatrix& weights) noexcept;

/// Lanes of a vector of floats on the instruction set in use: 4, 8 or 16. Tiles are best a
/// multiple.
std::size_t SpmmLanes() noexcept;

/// Y = activation(W X + bias + residual) for a range of pixels and rows. Every matrix product of
/// the runtime with packed weights: 1x1 and k x k convolutions, linear layers, sparse and dense.
///
/// Reads and writes nothing but the elements of its range: threads may share input and output as
/// long as their ranges do not overlap. Pointers need no alignment. Sums are in float, their order
/// depends on the packing and the range, so results agree to rounding.
///
/// @param weights  From PackSparse() with cols = the input channels of `input`.
/// @param scratch  SpmmScratchBytes() bytes, one per thread, any alignment. Not read before
/// written.
/// @cost           O(entries * pixels); no allocation, no locks. One dispatch a call.
void Spmm(const PackedMatrix& weights, const SpmmInput& input, const SpmmOutput& output,
          const SpmmRange& range, void* scratch) noexcept;

/// The same in plain loops and double sums, rounded once before the activation: the oracle.
/// @param dense  [rows, cols] row-major: UnpackSparse() of what Spmm() gets.
void SpmmReference(const float* dense, std::size_t rows, std::size_t cols, const SpmmInput& input,
                   const SpmmOutput& output, std::size_t pixel_begin,
                   std::size_t pixel_end) noexcept;

}  // namespace espalier

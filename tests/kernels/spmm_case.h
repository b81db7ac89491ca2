#pragma once

#include <fmt/format.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "espalier/kernels/spmm.h"
#include "gtest/gtest.h"

namespace espalier {

/// One product to check: shapes, packing, and how X and Y lie in memory.
struct SpmmCase {
  std::size_t rows = 16;
  std::size_t cols = 32;
  std::size_t pixels = 24;
  double density = 0.3;
  PackOptions pack;
  SpmmInputKind input = SpmmInputKind::kPlanes;
  SpmmOutputKind output = SpmmOutputKind::kPlanes;
  SpmmWindow window;  ///< kWindow: gives cols and pixels.
  bool bias = true;
  bool residual = false;
  bool in_place = false;  ///< The residual is y itself.
  Activation activation;
  std::size_t spare_ld = 3;  ///< Floats between planes or tokens beyond what they need.
  std::size_t parts = 1;     ///< Computed in so many ranges of pixels, times row blocks.

  std::string ToString() const {
    return fmt::format(
        "kind={} value={} rows={} cols={} pixels={} density={} tile={} k_block={} row_blocks={} "
        "input={} output={} residual={} activation={} parts={}",
        static_cast<int>(pack.kind), static_cast<int>(pack.value), rows, cols, pixels, density,
        pack.tile_pixels, pack.k_block, pack.row_blocks, static_cast<int>(input),
        static_cast<int>(output), residual, static_cast<int>(activation.kind), parts);
  }
};

inline std::vector<float> RandomFloats(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(count);
  for (float& v : values) v = uniform(random);
  return values;
}

/// `density` of the weights are not zero; every fifth row is empty, every seventh full, unless the
/// density is 0 or 1.
inline std::vector<float> SparseWeights(std::size_t rows, std::size_t cols, double density,
                                        std::uint32_t seed) {
  std::vector<float> weights = RandomFloats(rows * cols, seed);
  std::mt19937 random(seed + 1);
  std::bernoulli_distribution keep(density);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::size_t row = i / cols;
    const bool mixed = density > 0 && density < 1;
    const bool kept = keep(random);
    if (mixed && row % 7 == 6) continue;
    if (!kept || (mixed && row % 5 == 4)) weights[i] = 0.0f;
  }
  return weights;
}

inline SpmmCase WithWindow(SpmmCase c, const SpmmWindow& window) {
  c.input = SpmmInputKind::kWindow;
  c.window = window;
  c.cols = std::size_t{window.channels} * window.kernel_h * window.kernel_w;
  c.pixels = std::size_t{window.out_h} * window.out_w;
  return c;
}

/// Buffers of a case. `x` and `y` end exactly where the last element may lie.
struct SpmmBuffers {
  std::vector<float> weights, x, bias, residual;
  SpmmInput input;
  std::size_t y_ld = 0;
  std::size_t y_size = 0;
};

inline SpmmBuffers MakeBuffers(const SpmmCase& c) {
  SpmmBuffers b;
  b.weights = SparseWeights(c.rows, c.cols, c.density, /*seed=*/11);
  const std::size_t area = std::size_t{c.window.height} * c.window.width;
  b.input.kind = c.input;
  b.input.window = c.window;
  std::size_t x_size = 0;
  if (c.input == SpmmInputKind::kPlanes) {
    b.input.ld = c.pixels + c.spare_ld;
    x_size = c.cols == 0 ? 0 : (c.cols - 1) * b.input.ld + c.pixels;
  } else if (c.input == SpmmInputKind::kTokens) {
    b.input.ld = c.cols + c.spare_ld;
    x_size = c.pixels == 0 ? 0 : (c.pixels - 1) * b.input.ld + c.cols;
  } else {
    b.input.ld = area + c.spare_ld;
    x_size = (c.window.channels - 1) * b.input.ld + area;
  }
  b.x = RandomFloats(x_size, /*seed=*/12);
  b.bias = RandomFloats(c.rows, /*seed=*/13);
  const bool planes = c.output == SpmmOutputKind::kPlanes;
  const std::size_t width = planes ? c.pixels : c.rows;
  const std::size_t lines = planes ? c.rows : c.pixels;
  b.y_ld = width + c.spare_ld;
  b.y_size = lines == 0 ? 0 : (lines - 1) * b.y_ld + width;
  b.residual = RandomFloats(b.y_size, /*seed=*/14);
  return b;
}

inline SpmmOutput MakeOutput(const SpmmCase& c, const SpmmBuffers& b, float* y) {
  SpmmOutput output;
  output.kind = c.output;
  output.y = y;
  output.ld = b.y_ld;
  output.bias = c.bias ? b.bias.data() : nullptr;
  output.activation = c.activation;
  if (c.residual) {
    output.residual = c.in_place ? y : b.residual.data();
    output.residual_ld = b.y_ld;
  }
  return output;
}

/// Runs all ranges of a case one after the other.
inline void RunCase(const SpmmCase& c, const PackedMatrix& packed, const SpmmInput& input,
                    const SpmmOutput& output) {
  std::vector<char> scratch(SpmmScratchBytes(packed));
  for (std::size_t part = 0; part < c.parts; ++part) {
    const std::size_t begin = c.pixels * part / c.parts;
    const std::size_t end = c.pixels * (part + 1) / c.parts;
    if (c.parts == 1) {
      Spmm(packed, input, output, {begin, end, 0, packed.row_blocks()}, scratch.data());
      continue;
    }
    for (std::size_t block = 0; block < packed.row_blocks(); ++block) {
      Spmm(packed, input, output, {begin, end, block, block + 1}, scratch.data());
    }
  }
}

/// Compares with the reference, element by element, and looks for writes outside of Y's elements.
inline void ExpectMatchesReference(const SpmmCase& c) {
  SCOPED_TRACE(c.ToString());
  SpmmBuffers b = MakeBuffers(c);
  b.input.x = b.x.data();
  const PackedMatrix packed = PackSparse(b.weights, c.rows, c.cols, c.pack);
  const std::vector<float> dense = UnpackSparse(packed);
  constexpr float kCanary = 12345.0f;
  constexpr std::size_t kFence = 64;
  std::vector<float> got(b.y_size + 2 * kFence, kCanary);
  std::vector<float> want = got;
  if (c.in_place) {
    std::copy(b.residual.begin(), b.residual.end(), got.begin() + kFence);
    want = got;
  }
  SpmmReference(dense.data(), c.rows, c.cols, b.input, MakeOutput(c, b, want.data() + kFence), 0,
                c.pixels);
  RunCase(c, packed, b.input, MakeOutput(c, b, got.data() + kFence));
  // |x| and |w| are at most 1, so cols + 2 terms of at most 1; HardSwish and SiLU have slopes up
  // to 1.5, the exponentials a relative error of a few eps.
  const double terms = static_cast<double>(c.cols) * std::min(1.0, c.density + 0.3) + 3;
  const double tolerance = 2 * terms * terms * FLT_EPSILON + 8 * FLT_EPSILON;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (want[i] == kCanary) {
      ASSERT_EQ(got[i], kCanary) << "written outside, at " << i << " of " << got.size();
    } else {
      ASSERT_NEAR(got[i], want[i], tolerance) << "at " << i << " of " << got.size();
    }
  }
}

}  // namespace espalier

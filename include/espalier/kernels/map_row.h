#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

// Functions of runs of neighbouring float32 values. Pointers need no alignment. NaN stays NaN.

/// What is done with each number.
enum class MapKind : std::uint8_t {
  kExp,
  kErf,
  kGelu,      ///< x / 2 * (1 + erf(x / sqrt(2)))
  kTanhGelu,  ///< x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
  kSigmoid,   ///< 1 / (1 + exp(-x))
  kTanh,
};

/// out[i] = f(x[i]). `x` and `out` may be the same.
/// @return Within 4 units in the last place of kExp, kErf, kSigmoid and kTanh; of the larger of |x|
///         and 1 for the others.
void MapRow(MapKind kind, const float* x, float* out, std::size_t count) noexcept;

/// What is done with two numbers.
enum class CombineKind : std::uint8_t { kAdd, kSubtract, kMultiply, kDivide, kMax, kMin };

/// out[i] = a[i * a_step] combined with b[i * b_step]. `out` may be `a` or `b` where their step
/// is 1.
/// @param a_step, b_step  1, or 0 for a single element that repeats.
void CombineRow(CombineKind kind, const float* a, std::size_t a_step, const float* b,
                std::size_t b_step, float* out, std::size_t count) noexcept;

}  // namespace espalier

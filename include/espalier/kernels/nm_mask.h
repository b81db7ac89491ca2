#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

/// Keeps, in every group of `m` neighbours of every row, the `n` elements of largest magnitude and
/// sets the others to +0.0, in place. Of equal magnitudes the lower index stays. The last group of
/// a row may be shorter; it is treated as if padded with zeros (it keeps min(n, its length)).
///
/// Elements are the bits of IEEE-like floats (float16 and bfloat16 in the 16-bit version, float32
/// in the 32-bit one): magnitude order is the integer order of the bits without the sign. NaN ranks
/// above infinity; callers refuse both.
///
/// @param bits  [rows, cols], row-major.
/// @param n     1..m. @param m  2..16 (any other m: MaskNm of pattern/nm.h).
/// @cost   One pass over the matrix, no allocation. Same bytes on every ISA.
/// @source Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3 (2:4).
void PruneNm(std::uint32_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
             std::size_t m) noexcept;
void PruneNm(std::uint16_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
             std::size_t m) noexcept;

/// The same in plain loops: the oracle of the tests.
void PruneNmReference(std::uint32_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
                      std::size_t m) noexcept;
void PruneNmReference(std::uint16_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
                      std::size_t m) noexcept;

}  // namespace espalier

#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

/// What one pass over a run of weights tells. Same values on every ISA.
struct MagnitudeStats {
  double sum = 0;           ///< Sum of |w| in a fixed order (see below); 0 unless finite.
  std::uint64_t zeros = 0;  ///< Elements equal to zero; -0.0 counts.
  bool finite = true;       ///< No NaN, no infinity.
};

/// Sums |w|, counts zeros, looks for NaN and infinity. The sum runs in 16 fixed lanes of float32
/// over blocks of 4096 elements (element i goes to lane i % 16), then in double over lanes and
/// blocks, so the result does not depend on the ISA: relative error below 2^-15 of the sum in the
/// worst case. (256 numbers of a lane that add up to more than FLT_MAX make it infinite.)
MagnitudeStats MeasureMagnitudes(const float* values, std::size_t count) noexcept;
MagnitudeStats MeasureMagnitudesReference(const float* values, std::size_t count) noexcept;

/// The same for float16 and bfloat16 bits, each widened to float32 exactly.
MagnitudeStats MeasureHalfMagnitudes(const std::uint16_t* bits, std::size_t count) noexcept;
MagnitudeStats MeasureHalfMagnitudesReference(const std::uint16_t* bits,
                                              std::size_t count) noexcept;
MagnitudeStats MeasureBFloat16Magnitudes(const std::uint16_t* bits, std::size_t count) noexcept;
MagnitudeStats MeasureBFloat16MagnitudesReference(const std::uint16_t* bits,
                                                  std::size_t count) noexcept;

/// Adds the counts of (key >> shift) & 2047 over all keys with (key >> (shift + 11)) == prefix to
/// `histogram[2048]`: one step of an exact radix selection over 31-bit keys. A key is the bits of a
/// non-negative float, i.e. its magnitude order; the float32 version masks the sign off itself.
/// @param shift  20 (prefix 0 takes all keys), 9, or 0. With shift 0 only the low 9 bits count:
///               the digit is key & 511 and the prefix is compared with key >> 9.
void AddKeyHistogram(const std::uint32_t* bits, std::size_t count, int shift, std::uint32_t prefix,
                     std::uint64_t* histogram) noexcept;
void AddKeyHistogramReference(const std::uint32_t* bits, std::size_t count, int shift,
                              std::uint32_t prefix, std::uint64_t* histogram) noexcept;

/// Sets to +0.0, in place, every float32 whose key (bits without the sign) is below `threshold`,
/// and of those equal to it all but the first `*ties_kept`, which is lowered by the number of ties
/// kept.
void PruneBelow(std::uint32_t* bits, std::size_t count, std::uint32_t threshold,
                std::uint64_t* ties_kept) noexcept;
void PruneBelowReference(std::uint32_t* bits, std::size_t count, std::uint32_t threshold,
                         std::uint64_t* ties_kept) noexcept;

}  // namespace espalier

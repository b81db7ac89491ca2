#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier {

// What the search for a channel permutation asks of a matrix of magnitudes, again and again. They
// are whole numbers below 2^15, a column at a time, so that sums are exact: the same on every ISA
// and for every number of threads.

/// Columns are padded with zeros to a multiple of so many rows.
inline constexpr std::size_t kPermuteRowUnit = 32;

/// out[r] = the n-th largest of the columns' elements r; 0 if there are fewer than n columns.
/// @param columns  `count` columns of `rows` elements, 64-byte aligned.
/// @param n        At least 1.
/// @param rows     A multiple of kPermuteRowUnit.
/// @cost   O(rows * count * n), no allocation.
void NthLargest(const std::uint16_t* const* columns, std::size_t count, std::size_t n,
                std::size_t rows, std::uint16_t* out) noexcept;

/// gains[j] = sum over rows r of max(0, column[r] - levels[j * rows + r]): what a group of M - 1
/// columns gains by this one as its M-th, if the level is the N-th largest of the others.
/// @param column  `rows` elements, 64-byte aligned, below 2^15. So are the levels.
/// @param levels  [count, rows]
/// @param rows    A multiple of kPermuteRowUnit.
/// @cost   O(rows * count), no allocation.
void ColumnGains(const std::uint16_t* column, const std::uint16_t* levels, std::size_t count,
                 std::size_t rows, std::int64_t* gains) noexcept;

/// The same in plain loops: the oracle of the tests.
void NthLargestReference(const std::uint16_t* const* columns, std::size_t count, std::size_t n,
                         std::size_t rows, std::uint16_t* out);
void ColumnGainsReference(const std::uint16_t* column, const std::uint16_t* levels,
                          std::size_t count, std::size_t rows, std::int64_t* gains) noexcept;

}  // namespace espalier

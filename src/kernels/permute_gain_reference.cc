#include <algorithm>
#include <functional>
#include <vector>

#include "espalier/kernels/permute_gain.h"

namespace espalier {

void NthLargestReference(const std::uint16_t* const* columns, std::size_t count, std::size_t n,
                         std::size_t rows, std::uint16_t* out) {
  std::vector<std::uint16_t> row(count);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < count; ++c) row[c] = columns[c][r];
    std::sort(row.begin(), row.end(), std::greater<>());
    out[r] = n <= count ? row[n - 1] : std::uint16_t{0};
  }
}

void ColumnGainsReference(const std::uint16_t* column, const std::uint16_t* levels,
                          std::size_t count, std::size_t rows, std::int64_t* gains) noexcept {
  for (std::size_t j = 0; j < count; ++j) {
    gains[j] = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      gains[j] += std::max(0, int{column[r]} - int{levels[j * rows + r]});
    }
  }
}

}  // namespace espalier

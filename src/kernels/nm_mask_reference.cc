#include <algorithm>
#include <array>

#include "espalier/kernels/nm_mask.h"

namespace espalier {
namespace {

template <typename T>
constexpr T kMagnitudeBits = static_cast<T>(static_cast<T>(~T{0}) >> 1);

template <typename T>
void PruneGroupReference(T* group, std::size_t length, std::size_t n) {
  std::array<std::size_t, 16> rank = {};
  for (std::size_t i = 0; i < length; ++i) {
    const T own = group[i] & kMagnitudeBits<T>;
    for (std::size_t j = 0; j < length; ++j) {
      const T other = group[j] & kMagnitudeBits<T>;
      if (other > own || (other == own && j < i)) ++rank[i];
    }
  }
  for (std::size_t i = 0; i < length; ++i) {
    if (rank[i] >= n) group[i] = 0;
  }
}

template <typename T>
void PruneRowsReference(T* bits, std::size_t rows, std::size_t cols, std::size_t n, std::size_t m) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; col += m) {
      PruneGroupReference(bits + row * cols + col, std::min(m, cols - col), n);
    }
  }
}

}  // namespace

void PruneNmReference(std::uint32_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
                      std::size_t m) noexcept {
  PruneRowsReference(bits, rows, cols, n, m);
}

void PruneNmReference(std::uint16_t* bits, std::size_t rows, std::size_t cols, std::size_t n,
                      std::size_t m) noexcept {
  PruneRowsReference(bits, rows, cols, n, m);
}

}  // namespace espalier

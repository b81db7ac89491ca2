#include "io/strided.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace espalier::internal {
namespace {

// Calls copy(strided, packed) with both offsets in bytes, for each of the elements in `size` bytes.
template <typename Copy>
void ForEachElement(const PthEntry& entry, std::size_t size, const Copy& copy) {
  const std::size_t element = DTypeBits(entry.dtype) / 8;
  std::vector<std::int64_t> index(entry.shape.size(), 0);
  std::size_t at = 0;  // in elements
  for (std::size_t done = 0; done < size; done += element) {
    copy(at * element, done, element);
    for (std::size_t d = index.size(); d-- > 0;) {
      const auto stride = static_cast<std::size_t>(entry.strides[d]);
      at += stride;
      if (++index[d] < entry.shape[d]) break;
      at -= stride * static_cast<std::size_t>(entry.shape[d]);
      index[d] = 0;
    }
  }
}

}  // namespace

void Gather(const PthEntry& entry, std::span<const std::byte> from, std::span<std::byte> out) {
  ForEachElement(entry, out.size(), [&](std::size_t strided, std::size_t packed, std::size_t size) {
    std::memcpy(out.data() + packed, from.data() + strided, size);
  });
}

void Scatter(const PthEntry& entry, std::span<const std::byte> from, std::span<std::byte> to) {
  ForEachElement(entry, from.size(),
                 [&](std::size_t strided, std::size_t packed, std::size_t size) {
                   std::memcpy(to.data() + strided, from.data() + packed, size);
                 });
}

}  // namespace espalier::internal

#include "runtime/value.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/graph/tensor.h"

namespace espalier::runtime {

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void AlignedBuffer::Free() noexcept {
  ::operator delete (data_, std::align_val_t{kAlignment});
  data_ = nullptr;
  size_ = 0;
}

std::byte* AlignedBuffer::Reserve(std::size_t bytes) {
  if (bytes <= size_ && data_ != nullptr) return data_;
  Free();
  // Room for a vector that is read across the end.
  const std::size_t rounded = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  data_ =
      static_cast<std::byte*>(::operator new (rounded, std::align_val_t{kAlignment}, std::nothrow));
  if (data_ == nullptr) {
    throw Error(ErrorCode::kUnsupported, fmt::format("no memory for {} bytes", bytes));
  }
  std::memset(data_, 0, rounded);
  size_ = bytes;
  return data_;
}

std::size_t Value::Elements() const {
  std::size_t count = 1;
  for (const std::int64_t dim : dims) count *= static_cast<std::size_t>(dim);
  return count;
}

std::size_t Value::Bytes() const { return static_cast<std::size_t>(TensorByteCount(dtype, dims)); }

}  // namespace espalier::runtime

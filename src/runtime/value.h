#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::runtime {

/// Where vectors start, and what is readable behind the last element of every value.
inline constexpr std::size_t kAlignment = 64;

/// Bytes at a 64-byte boundary; grows, never shrinks.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = static_cast<AlignedBuffer&&>(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer() { Free(); }

  /// At least `bytes` bytes; what was there is lost if it has to grow. New bytes are zero.
  /// @throws Error  kUnsupported if the system has no memory left.
  std::byte* Reserve(std::size_t bytes);

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void Free() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A tensor while the network runs: row-major, nothing between the rows. Borrowed memory.
struct Value {
  DType dtype = DType::kUnknown;
  Dims dims;
  std::byte* data = nullptr;

  template <typename T>
  const T* As() const {
    return reinterpret_cast<const T*>(data);
  }
  template <typename T>
  T* As() {
    return reinterpret_cast<T*>(data);
  }
  std::size_t rank() const { return dims.size(); }
  std::size_t Elements() const;
  std::size_t Bytes() const;
};

}  // namespace espalier::runtime

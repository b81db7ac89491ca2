#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::runtime {

/// Where vectors start, and what is readable behind the last element of every value.
inline constexpr std::size_t kAlignment = 64;

/// Bytes that the values of one session may take together. While a Scope is open on a thread, what
/// its buffers grow by counts, until they are freed. One thread at a time.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit = UINT64_MAX) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// @throws Error  kUnsupported if it is more than what is left.
  void Take(std::uint64_t bytes);
  void GiveBack(std::uint64_t bytes) noexcept { used_ -= bytes; }
  std::uint64_t limit() const noexcept { return limit_; }
  std::uint64_t used() const noexcept { return used_; }

  /// The budget whose scope is open on this thread; null if none is.
  static MemoryBudget* Open() noexcept;

  class Scope {
   public:
    explicit Scope(MemoryBudget& budget);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    MemoryBudget* outer_;
  };

 private:
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
};

/// Bytes at a 64-byte boundary; grows, never shrinks. Counts in the budget whose scope is open when
/// it grows, which has to outlive it.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = static_cast<AlignedBuffer&&>(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer() { Free(); }

  /// At least `bytes` bytes; what was there is lost if it has to grow. New bytes are zero.
  /// @throws Error  kUnsupported if the budget or the system has no memory left; the buffer is
  ///                empty then.
  std::byte* Reserve(std::size_t bytes);

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void Free() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  MemoryBudget* budget_ = nullptr;  // where size_ counts
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
  /// @throws Error  for types and shapes that nothing can hold or walk over.
  void Check() const;
  std::size_t Elements() const;
  std::size_t Bytes() const;
};

}  // namespace espalier::runtime

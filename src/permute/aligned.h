#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace espalier::internal {

/// An array that begins at a cache line; zeros when it grows.
template <typename T>
class AlignedArray {
 public:
  /// What was there is lost if it grows.
  void Reserve(std::size_t count) {
    if (count <= size_) return;
    data_.reset(new (kAlignment) T[count]());
    size_ = count;
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* data) const noexcept { ::operator delete[](data, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t size_ = 0;
};

}  // namespace espalier::internal

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier {

/// Bytes that a tensor takes: 4-bit types fill whole bytes; 0 for kString and kUnknown.
/// @throws Error  kBadFile as ElementCount(), or if it is more than 2^62 bytes.
std::uint64_t TensorByteCount(DType dtype, const Dims& dims);

/// A constant tensor: type, dimensions and little-endian bytes, row-major. Copies share the bytes
/// until one of them writes (copy on write).
class Tensor {
 public:
  Tensor() = default;

  /// Takes ownership of `bytes`.
  /// @throws Error  kShapeMismatch if bytes.size() is not what dtype and dims need.
  Tensor(DType dtype, Dims dims, std::vector<std::byte> bytes);

  /// Borrows bytes that `owner` keeps alive.
  /// @throws Error  kShapeMismatch as above.
  Tensor(DType dtype, Dims dims, std::span<const std::byte> bytes,
         std::shared_ptr<const void> owner);

  /// A tensor whose bytes are not held (strings, unknown types): dims only, bytes() empty.
  static Tensor WithoutBytes(DType dtype, Dims dims);

  DType dtype() const noexcept { return dtype_; }
  const Dims& dims() const noexcept { return dims_; }
  std::int64_t elements() const noexcept { return elements_; }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// The bytes for writing; the first call makes a private copy if they are shared or borrowed.
  std::span<std::byte> MutableBytes();

  /// The elements as 64-bit integers, for shapes and axes.
  /// @throws Error  kUnsupported if the type is not an integer type or bool.
  std::vector<std::int64_t> AsInts() const;

  /// The elements as doubles: float types and integers.
  /// @throws Error  kUnsupported if the type is neither.
  std::vector<double> AsDoubles() const;

 private:
  DType dtype_ = DType::kUnknown;
  Dims dims_;
  std::int64_t elements_ = 0;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<std::vector<std::byte>> own_;  // set once the bytes are writable here
};

}  // namespace espalier

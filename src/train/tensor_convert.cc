#include "train/tensor_convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "espalier/base/error.h"

namespace espalier::train {

std::optional<at::ScalarType> TorchType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return at::kFloat;
    case DType::kFloat16:
      return at::kHalf;
    case DType::kBFloat16:
      return at::kBFloat16;
    case DType::kFloat64:
      return at::kDouble;
    case DType::kInt8:
      return at::kChar;
    case DType::kUint8:
      return at::kByte;
    case DType::kInt16:
      return at::kShort;
    case DType::kInt32:
      return at::kInt;
    case DType::kInt64:
      return at::kLong;
    case DType::kBool:
      return at::kBool;
    default:
      return std::nullopt;
  }
}

namespace {

at::ScalarType RequiredType(DType dtype) {
  if (const auto type = TorchType(dtype)) return *type;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("libtorch has no values of type {}", DTypeName(dtype)));
}

}  // namespace

at::Tensor ToTorch(const Tensor& tensor) {
  const at::ScalarType type = RequiredType(tensor.dtype());
  at::Tensor copy = at::empty(tensor.dims(), type);
  if (!tensor.bytes().empty())
    std::memcpy(copy.data_ptr(), tensor.bytes().data(), tensor.bytes().size());
  return copy;
}

Tensor FromTorch(const at::Tensor& tensor, DType dtype) {
  const at::Tensor stored = tensor.detach().to(at::kCPU, RequiredType(dtype)).contiguous();
  std::vector<std::byte> bytes(stored.nbytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), stored.data_ptr(), bytes.size());
  return Tensor(dtype, stored.sizes().vec(), std::move(bytes));
}

Tensor WithChanges(const Tensor& old, const at::Tensor& now) {
  const at::Tensor before = ToTorch(old);
  const at::Tensor after = now.detach().to(at::kCPU);
  const at::Tensor own = before.to(after.scalar_type());
  // -0 and +0 are equal, and a dropped weight has to be +0.
  const at::Tensor kept = own.eq(after).logical_and(own.signbit().eq(after.signbit()));
  return FromTorch(at::where(kept, before, after.to(before.scalar_type())), old.dtype());
}

bool SameBytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() &&
         std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin(), b.bytes().end());
}

}  // namespace espalier::train

#include "train/apply_mask.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>

namespace espalier::train {
namespace {

// 128 KB of float32: below that a second thread costs more than it saves.
constexpr std::int64_t kElementsPerThread = 32768;

// All bits go where the mask is 0, so no -0.0 can stay; compilers vectorise the loop.
template <class Bits>
void ClearDropped(void* values, const bool* mask, std::int64_t count) {
  auto* bits = static_cast<Bits*>(values);
  at::parallel_for(0, count, kElementsPerThread, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      bits[i] &= static_cast<Bits>(-static_cast<Bits>(mask[i]));
    }
  });
}

bool ClearInMemory(const at::Tensor& tensor, const at::Tensor& mask) {
  const bool plain = tensor.is_cpu() && mask.is_cpu() && tensor.layout() == at::kStrided &&
                     mask.scalar_type() == at::kBool && tensor.sizes() == mask.sizes() &&
                     tensor.is_contiguous() && mask.is_contiguous();
  if (!plain) return false;
  const auto* keep = mask.data_ptr<bool>();
  switch (tensor.element_size()) {
    case 2:
      ClearDropped<std::uint16_t>(tensor.data_ptr(), keep, tensor.numel());
      return true;
    case 4:
      ClearDropped<std::uint32_t>(tensor.data_ptr(), keep, tensor.numel());
      return true;
    case 8:
      ClearDropped<std::uint64_t>(tensor.data_ptr(), keep, tensor.numel());
      return true;
    default:
      return false;
  }
}

}  // namespace

void ApplyMask(const at::Tensor& tensor, const at::Tensor& mask) {
  const at::NoGradGuard no_grad;
  if (ClearInMemory(tensor, mask)) {
    tensor.unsafeGetTensorImpl()->bump_version();  // as an in-place operator does
    return;
  }
  tensor.masked_fill_(mask.logical_not(), 0);
}

}  // namespace espalier::train

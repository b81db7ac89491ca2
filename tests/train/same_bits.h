#pragma once

#include <ATen/ATen.h>

#include <cstring>

namespace espalier::train {

/// Equal bit for bit, so that -0.0 differs from 0.0 and NaN equals itself.
inline bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous();
  const at::Tensor y = b.detach().contiguous();
  return x.nbytes() == y.nbytes() && std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

}  // namespace espalier::train

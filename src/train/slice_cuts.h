#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace espalier::train {

/// Several Slice nodes that cut one value into neighbouring parts: queries, keys and values.
///
/// Each slice alone has a gradient as large as the whole value, mostly zeros; split at once, the
/// parts' gradients are just joined. That is a quarter of a step of vit_mnist. Where the cuts are
/// is only known while running, so the first run records them and later ones split ahead; a cut
/// that is not where it was is taken alone.
class SliceCuts {
 public:
  /// @param members  Slices of the value in one run, at least 2.
  explicit SliceCuts(std::size_t members) : members_(members) {}

  /// x.slice(axis, begin, end), 0 <= begin <= end <= size.
  at::Tensor Take(const at::Tensor& x, std::int64_t axis, std::int64_t begin, std::int64_t end);

 private:
  struct Cut {
    std::int64_t begin, end;
  };
  void Record(const at::Tensor& x, std::int64_t axis, Cut cut);
  void Forget();

  std::size_t members_;
  std::int64_t axis_ = -1;
  std::vector<Cut> cuts_;  // sorted once all are known
  bool known_ = false;     // whether they tile the axis
  at::Tensor whole_;       // of the present run
  std::vector<at::Tensor> parts_;
  std::size_t taken_ = 0;
};

}  // namespace espalier::train

#include "train/slice_cuts.h"

#include <algorithm>

namespace espalier::train {

at::Tensor SliceCuts::Take(const at::Tensor& x, std::int64_t axis, std::int64_t begin,
                           std::int64_t end) {
  if (!known_) {
    Record(x, axis, {begin, end});
    return x.slice(axis, begin, end);
  }
  const auto cut = std::find_if(cuts_.begin(), cuts_.end(), [&](const Cut& known) {
    return known.begin == begin && known.end == end;
  });
  if (axis != axis_ || x.size(axis) != cuts_.back().end || cut == cuts_.end()) {
    Forget();
    return x.slice(axis, begin, end);
  }
  if (!x.is_same(whole_)) {
    std::vector<std::int64_t> sizes;
    for (const Cut& known : cuts_) sizes.push_back(known.end - known.begin);
    parts_ = at::split_with_sizes(x, sizes, axis);
    whole_ = x;
    taken_ = 0;
  }
  const at::Tensor part = parts_[static_cast<std::size_t>(cut - cuts_.begin())];
  if (++taken_ == members_) {
    whole_ = at::Tensor();
    parts_.clear();
  }
  return part;
}

void SliceCuts::Record(const at::Tensor& x, std::int64_t axis, Cut cut) {
  if (cuts_.size() == members_) cuts_.clear();  // those of the run before did not fit together
  if (cuts_.empty()) axis_ = axis;
  cuts_.push_back(axis == axis_ ? cut : Cut{-1, -1});
  if (cuts_.size() < members_) return;
  std::sort(cuts_.begin(), cuts_.end(),
            [](const Cut& a, const Cut& b) { return a.begin < b.begin; });
  known_ = cuts_.front().begin == 0 && cuts_.back().end == x.size(axis_);
  for (std::size_t i = 1; i < cuts_.size(); ++i) {
    known_ = known_ && cuts_[i].begin == cuts_[i - 1].end;
  }
}

void SliceCuts::Forget() {
  known_ = false;
  cuts_.clear();
  whole_ = at::Tensor();
  parts_.clear();
}

}  // namespace espalier::train

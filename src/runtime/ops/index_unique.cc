#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/ops/index_keys.h"

namespace espalier::runtime {
namespace {

class UniqueOp final : public Op {
 public:
  explicit UniqueOp(const OpBuild& build)
      : has_axis_(build.Has("axis")),
        axis_(build.Int("axis", 0)),
        sorted_(build.Int("sorted", 1) != 0) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    Plan(x);
    keys_.resize(x.Elements());
    OrderKeys(x.dtype, x.data, 1, keys_.size(), keys_.data());
    FindGroups();
    WriteValues(context, x);
    WriteIndices(context);
  }

 private:
  // x as [outer_, size_, inner_]: `size_` slices, of which equal ones become one.
  void Plan(const Value& x) {
    if (has_axis_) {
      const std::size_t axis = CheckedAxis(axis_, x.rank());
      dims_ = x.dims;
      place_ = axis;
      outer_ = Product(x.dims, 0, axis);
      size_ = static_cast<std::size_t>(x.dims[axis]);
      inner_ = Product(x.dims, axis + 1, x.rank());
    } else {
      dims_.assign(1, 0);
      place_ = 0;
      outer_ = 1;
      size_ = x.Elements();
      inner_ = 1;
    }
    if (size_ == 0 || x.Elements() > 0) return;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("unique slices of {}, which have no elements", DimsText(x.dims)));
  }

  // Below 0, 0 or above as slice `a` is less, equal or greater.
  int Compare(std::size_t a, std::size_t b) const {
    for (std::size_t o = 0; o < outer_; ++o) {
      const std::uint64_t* x = keys_.data() + (o * size_ + a) * inner_;
      const std::uint64_t* y = keys_.data() + (o * size_ + b) * inner_;
      for (std::size_t i = 0; i < inner_; ++i) {
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
      }
    }
    return 0;
  }

  void FindGroups() {
    order_.resize(size_);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
      const int compared = Compare(a, b);
      return compared != 0 ? compared < 0 : a < b;
    });
    first_.clear();
    group_of_.resize(size_);
    for (std::size_t i = 0; i < size_; ++i) {
      if (i == 0 || Compare(order_[i - 1], order_[i]) != 0) first_.push_back(order_[i]);
      group_of_[order_[i]] = first_.size() - 1;
    }
    if (!sorted_) ByFirstOccurrence();
    counts_.assign(first_.size(), 0);
    for (const std::size_t group : group_of_) ++counts_[group];
  }

  void ByFirstOccurrence() {
    std::sort(first_.begin(), first_.end());
    // A slice's group is found by its first member's place.
    for (std::size_t i = 0; i < first_.size(); ++i) order_[first_[i]] = i;
    renamed_.assign(first_.size(), SIZE_MAX);
    for (const std::size_t slice : first_) renamed_[group_of_[slice]] = order_[slice];
    for (std::size_t& group : group_of_) group = renamed_[group];
  }

  void WriteValues(OpContext& context, const Value& x) {
    if (!context.HasOutput(0)) return;
    dims_[place_] = static_cast<std::int64_t>(first_.size());
    std::byte* out = context.Output(0, x.dtype, dims_).data;
    const std::size_t block = inner_ * ElementBytes(x.dtype);
    if (x.Elements() == 0) return;
    for (std::size_t o = 0; o < outer_; ++o) {
      for (const std::size_t slice : first_) {
        std::memcpy(out, x.data + (o * size_ + slice) * block, block);
        out += block;
      }
    }
  }

  void WriteIndices(OpContext& context) {
    const Offsets* const lists[] = {&first_, &group_of_, &counts_};
    for (std::size_t i = 0; i < 3; ++i) {
      if (!context.HasOutput(i + 1)) continue;
      list_dims_.assign(1, static_cast<std::int64_t>(lists[i]->size()));
      auto* out = context.Out<std::int64_t>(i + 1, DType::kInt64, list_dims_);
      std::copy(lists[i]->begin(), lists[i]->end(), out);
    }
  }

  const bool has_axis_;
  const std::int64_t axis_;
  const bool sorted_;
  Dims dims_;
  Dims list_dims_;
  std::size_t place_ = 0;
  std::size_t outer_ = 1;
  std::size_t size_ = 0;
  std::size_t inner_ = 1;
  std::vector<std::uint64_t> keys_;
  Offsets order_;     // slices, least first
  Offsets first_;     // a group's first slice
  Offsets group_of_;  // of each slice
  Offsets counts_;
  Offsets renamed_;
};

constexpr OpEntry kEntries[] = {{"", "Unique", &MakeOp<UniqueOp>}};

}  // namespace

std::span<const OpEntry> UniqueOps() { return kEntries; }

}  // namespace espalier::runtime

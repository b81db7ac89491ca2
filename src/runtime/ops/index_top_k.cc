#include <algorithm>
#include <cstring>

#include "runtime/ops/index_keys.h"

namespace espalier::runtime {
namespace {

// Moves the `k` least items to the front, in order.
template <typename Item>
void SortLeast(std::vector<Item>* items, std::size_t k) {
  const auto middle = items->begin() + static_cast<std::ptrdiff_t>(k);
  // A heap of k is the faster way to few; 1/16 was found by trying, and matters little.
  if (k < items->size() / 16) return std::partial_sort(items->begin(), middle, items->end());
  if (k < items->size()) std::nth_element(items->begin(), middle, items->end());
  std::sort(items->begin(), middle);
}

class TopKOp final : public Op {
 public:
  explicit TopKOp(const OpBuild& build)
      : k_is_input_(build.opset() >= 10),
        k_(build.Int("k", -1)),
        axis_(build.Int("axis", -1)),
        largest_(build.Int("largest", 1) != 0) {}

  void Run(OpContext& context) override {
    const Value& x = context.Input(0);
    const std::size_t axis = CheckedAxis(axis_, x.rank());
    const std::int64_t k = k_is_input_ ? ReadInt(context, 1) : k_;
    if (k < 0 || k > x.dims[axis]) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("top {} of {} along axis {}", k, DimsText(x.dims), axis));
    }
    dims_ = x.dims;
    dims_[axis] = k;
    std::byte* values = nullptr;
    std::int64_t* indices = nullptr;
    if (context.HasOutput(0)) values = context.Output(0, x.dtype, dims_).data;
    if (context.HasOutput(1)) indices = context.Out<std::int64_t>(1, DType::kInt64, dims_);
    if (k == 0 || x.Elements() == 0) return;
    const std::size_t outer = Product(x.dims, 0, axis);
    const std::size_t inner = Product(x.dims, axis + 1, x.rank());
    const auto size = static_cast<std::size_t>(x.dims[axis]);
    for (std::size_t o = 0; o < outer; ++o) {
      for (std::size_t i = 0; i < inner; ++i) {
        Select(x, o * size * inner + i, inner, static_cast<std::size_t>(k));
        Write(x, o * size * inner + i, inner, values, indices,
              o * static_cast<std::size_t>(k) * inner + i);
      }
    }
  }

 private:
  // Sets best_ to the `k` best of the elements from `first` on, `stride` apart.
  void Select(const Value& x, std::size_t first, std::size_t stride, std::size_t k) {
    const auto size = static_cast<std::size_t>(x.dims[CheckedAxis(axis_, x.rank())]);
    const std::size_t bytes = ElementBytes(x.dtype);
    keys_.resize(size);
    OrderKeys(x.dtype, x.data + first * bytes, stride, size, keys_.data());
    if (largest_) {
      for (std::uint64_t& key : keys_) key = ~key;
    }
    best_.resize(k);
    if (bytes <= 4 && size <= UINT32_MAX) {  // key and index in one number
      for (std::size_t i = 0; i < size; ++i) keys_[i] = keys_[i] << 32 | i;
      SortLeast(&keys_, k);
      for (std::size_t i = 0; i < k; ++i) best_[i] = keys_[i] & UINT32_MAX;
      return;
    }
    pairs_.resize(size);
    for (std::size_t i = 0; i < size; ++i) pairs_[i] = {keys_[i], i};
    SortLeast(&pairs_, k);
    for (std::size_t i = 0; i < k; ++i) best_[i] = pairs_[i].second;
  }

  void Write(const Value& x, std::size_t first, std::size_t stride, std::byte* values,
             std::int64_t* indices, std::size_t to) const {
    const std::size_t bytes = ElementBytes(x.dtype);
    for (const std::size_t index : best_) {
      if (values != nullptr) {
        std::memcpy(values + to * bytes, x.data + (first + index * stride) * bytes, bytes);
      }
      if (indices != nullptr) indices[to] = static_cast<std::int64_t>(index);
      to += stride;
    }
  }

  const bool k_is_input_;
  const std::int64_t k_;
  const std::int64_t axis_;
  const bool largest_;
  Dims dims_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::pair<std::uint64_t, std::size_t>> pairs_;
  Offsets best_;
};

constexpr OpEntry kEntries[] = {{"", "TopK", &MakeOp<TopKOp>}};

}  // namespace

std::span<const OpEntry> TopKOps() { return kEntries; }

}  // namespace espalier::runtime

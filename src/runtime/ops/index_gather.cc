#include <bit>
#include <cstring>

#include "espalier/base/thread_pool.h"
#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

// Block i of `out` is block offsets[i] of `data`.
struct Blocks {
  const std::byte* data;
  const std::size_t* offsets;
  std::byte* out;
  std::size_t block;  // bytes
};

void CopyRange(const Blocks& blocks, std::size_t begin, std::size_t end) {
  const auto copy = [&]<typename T>() {
    T* out = reinterpret_cast<T*>(blocks.out);
    for (std::size_t i = begin; i < end; ++i) {
      std::memcpy(out + i, blocks.data + blocks.offsets[i] * sizeof(T), sizeof(T));
    }
  };
  if (blocks.block <= 16 && std::has_single_bit(blocks.block)) {
    return DispatchSize(blocks.block, copy);
  }
  for (std::size_t i = begin; i < end; ++i) {
    std::memcpy(blocks.out + i * blocks.block, blocks.data + blocks.offsets[i] * blocks.block,
                blocks.block);
  }
}

void CopyBlocks(int threads, const Blocks& blocks, std::size_t count) {
  if (threads <= 1 || count * blocks.block < kParallelElements * 4) {
    return CopyRange(blocks, 0, count);
  }
  const auto parts = static_cast<std::size_t>(threads);
  ThreadPool::Shared().Run(threads, parts, [&](std::size_t i) {
    CopyRange(blocks, count / parts * i, i + 1 == parts ? count : count / parts * (i + 1));
  });
}

class GatherOp final : public Op {
 public:
  explicit GatherOp(const OpBuild& build) : axis_(build.Int("axis", 0)) {}

  void Run(OpContext& context) override {
    const Value& data = context.Input(0);
    const Value& indices = context.Input(1);
    const std::size_t axis = CheckedAxis(axis_, data.rank());
    dims_.assign(data.dims.begin(), data.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    dims_.insert(dims_.end(), indices.dims.begin(), indices.dims.end());
    dims_.insert(dims_.end(), data.dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                 data.dims.end());
    const auto size = static_cast<std::size_t>(data.dims[axis]);
    ResolveIndices(indices, size, &offsets_);
    Value& out = context.Output(0, data.dtype, dims_);
    if (out.Elements() == 0) return;
    const std::size_t block = Product(data.dims, axis + 1, data.rank()) * ElementBytes(data.dtype);
    const std::size_t outer = Product(data.dims, 0, axis);
    for (std::size_t i = 0; i < outer; ++i) {
      CopyBlocks(context.threads(),
                 {data.data + i * size * block, offsets_.data(),
                  out.data + i * offsets_.size() * block, block},
                 offsets_.size());
    }
  }

 private:
  const std::int64_t axis_;
  Dims dims_;
  Offsets offsets_;
};

class GatherElementsOp final : public Op {
 public:
  explicit GatherElementsOp(const OpBuild& build) : axis_(build.Int("axis", 0)) {}

  void Run(OpContext& context) override {
    const Value& data = context.Input(0);
    const Value& indices = context.Input(1);
    const std::size_t axis = CheckedAxis(axis_, data.rank());
    ElementOffsets(indices, data.dims, axis, &offsets_);
    Value& out = context.Output(0, data.dtype, indices.dims);
    CopyBlocks(context.threads(), {data.data, offsets_.data(), out.data, ElementBytes(data.dtype)},
               offsets_.size());
  }

 private:
  const std::int64_t axis_;
  Offsets offsets_;
};

class GatherNdOp final : public Op {
 public:
  explicit GatherNdOp(const OpBuild& build) : batch_dims_(build.Int("batch_dims", 0)) {
    if (batch_dims_ < 0) build.Refuse(fmt::format("batch_dims {}", batch_dims_));
  }

  void Run(OpContext& context) override {
    const Value& data = context.Input(0);
    const Value& indices = context.Input(1);
    if (batch_dims_ >= static_cast<std::int64_t>(data.rank())) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("batch_dims {} of data {}", batch_dims_, DimsText(data.dims)));
    }
    const auto batch_dims = static_cast<std::size_t>(batch_dims_);
    TupleOffsets(indices, data.dims, batch_dims, &offsets_);
    const std::size_t first = batch_dims + static_cast<std::size_t>(indices.dims.back());
    dims_.assign(indices.dims.begin(), indices.dims.end() - 1);
    dims_.insert(dims_.end(), data.dims.begin() + static_cast<std::ptrdiff_t>(first),
                 data.dims.end());
    Value& out = context.Output(0, data.dtype, dims_);
    if (out.Elements() == 0) return;
    const std::size_t block = Product(data.dims, first, data.rank());
    CopyBlocks(context.threads(),
               {data.data, offsets_.data(), out.data, block * ElementBytes(data.dtype)},
               offsets_.size());
  }

 private:
  const std::int64_t batch_dims_;
  Dims dims_;
  Offsets offsets_;
};

constexpr OpEntry kEntries[] = {
    {"", "Gather", &MakeOp<GatherOp>},
    {"", "GatherElements", &MakeOp<GatherElementsOp>},
    {"", "GatherND", &MakeOp<GatherNdOp>},
};

}  // namespace

std::span<const OpEntry> GatherOps() { return kEntries; }

}  // namespace espalier::runtime

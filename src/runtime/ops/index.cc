#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

std::size_t Resolved(std::int64_t index, std::size_t bound) {
  const auto size = static_cast<std::int64_t>(bound);
  if (index >= -size && index < size) {
    return static_cast<std::size_t>(index < 0 ? index + size : index);
  }
  throw Error(ErrorCode::kBadFile, fmt::format("index {} into {} elements", index, bound));
}

// Calls body(indices) with the elements as they are stored.
template <typename Body>
void WithIndices(const Value& indices, const Body& body) {
  if (indices.dtype == DType::kInt64) return body(indices.As<std::int64_t>());
  if (indices.dtype == DType::kInt32) return body(indices.As<std::int32_t>());
  throw Error(ErrorCode::kBadFile,
              fmt::format("indices are {}, expected int64 or int32", DTypeName(indices.dtype)));
}

void CheckElementDims(const Dims& indices, const Dims& dims, std::size_t axis) {
  bool fits = indices.size() == dims.size();
  for (std::size_t i = 0; fits && i < dims.size(); ++i) fits = i == axis || indices[i] <= dims[i];
  if (fits) return;
  throw Error(ErrorCode::kBadFile, fmt::format("indices {} into data {} along axis {}",
                                               DimsText(indices), DimsText(dims), axis));
}

}  // namespace

void ResolveIndices(const Value& indices, std::size_t bound, Offsets* out) {
  const std::size_t count = indices.Elements();
  out->resize(count);
  std::size_t* to = out->data();
  WithIndices(indices, [&](const auto* index) {
    bool outside = false;  // asked for once, as this loop often is what an operator costs
    for (std::size_t i = 0; i < count; ++i) {
      const auto resolved = static_cast<std::size_t>(index[i]) + (index[i] < 0 ? bound : 0);
      outside |= resolved >= bound;
      to[i] = resolved;
    }
    if (!outside) return;
    for (std::size_t i = 0; i < count; ++i) Resolved(index[i], bound);
  });
}

void ElementOffsets(const Value& indices, const Dims& dims, std::size_t axis, Offsets* out) {
  CheckElementDims(indices.dims, dims, axis);
  const auto bound = static_cast<std::size_t>(dims[axis]);
  ResolveIndices(indices, bound, out);
  if (out->empty()) return;
  // As dims are at least those of the indices, none of which is 0, no product is too large.
  const std::size_t axis_stride = Product(dims, axis + 1, dims.size());
  const std::size_t columns = Product(indices.dims, dims.size() - 1, dims.size());
  const bool last = axis + 1 == dims.size();
  std::size_t row = 0;
  for (std::size_t begin = 0; begin < out->size(); begin += columns, ++row) {
    std::size_t base = 0;
    std::size_t rest = row;
    std::size_t stride = static_cast<std::size_t>(dims.back());
    for (std::size_t d = dims.size() - 1; d-- > 0;) {
      const auto size = static_cast<std::size_t>(indices.dims[d]);
      if (d != axis) base += rest % size * stride;
      rest /= size;
      stride *= static_cast<std::size_t>(dims[d]);
    }
    std::size_t* offsets = out->data() + begin;
    for (std::size_t i = 0; i < columns; ++i) {
      offsets[i] = base + offsets[i] * axis_stride + (last ? 0 : i);
    }
  }
}

void TupleOffsets(const Value& indices, const Dims& dims, std::size_t batch_dims, Offsets* out) {
  const std::size_t rank = indices.rank();
  const std::size_t length = rank == 0 ? 0 : static_cast<std::size_t>(indices.dims.back());
  bool fits = rank > batch_dims && length > 0 && length <= dims.size() - batch_dims;
  for (std::size_t i = 0; fits && i < batch_dims; ++i) fits = indices.dims[i] == dims[i];
  if (!fits) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("tuples of indices {} into {} with {} batch dimensions",
                            DimsText(indices.dims), DimsText(dims), batch_dims));
  }
  const std::size_t count = indices.Elements() / length;
  out->assign(count, 0);
  if (count == 0) return;
  const std::size_t per_batch = count / Product(dims, 0, batch_dims);
  const std::size_t batch_blocks = Product(dims, batch_dims, batch_dims + length);
  WithIndices(indices, [&](const auto* index) {
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t offset = 0;
      for (std::size_t k = 0; k < length; ++k) {
        const auto size = static_cast<std::size_t>(dims[batch_dims + k]);
        offset = offset * size + Resolved(index[i * length + k], size);
      }
      (*out)[i] = i / per_batch * batch_blocks + offset;
    }
  });
}

std::span<const OpEntry> IndexOps() {
  static const std::vector<OpEntry> all = [] {
    std::vector<OpEntry> entries;
    for (const auto& part : {GatherOps(), ScatterOps(), ArgOps(), TopKOps(), SelectionOps(),
                             UniqueOps(), CumulateOps(), SuppressOps()}) {
      entries.insert(entries.end(), part.begin(), part.end());
    }
    return entries;
  }();
  return all;
}

}  // namespace espalier::runtime

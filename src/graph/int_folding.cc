#include "graph/int_folding.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "espalier/base/error.h"

namespace espalier::shapes {
namespace {

// Float tensors matter only as scales of Resize: one element an axis.
constexpr std::int64_t kMaxFloatElements = kMaxRank;

bool IsFollowedInt(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
    case DType::kInt16:
    case DType::kUint16:
    case DType::kInt32:
    case DType::kUint32:
    case DType::kInt64:
    case DType::kBool:
      return true;
    default:
      return false;
  }
}

using FoldTable = std::unordered_map<std::string_view, Fold>;

FoldTable MakeTable() {
  FoldTable table;
  for (const auto part : {ArithmeticFolds(), MoveFolds()}) {
    for (const FoldEntry& entry : part) table.emplace(entry.op_type, entry.fold);
  }
  return table;
}

}  // namespace

std::vector<SmallTensor> FoldNode(const NodeView& view) {
  static const FoldTable table = MakeTable();
  if (!view.node().domain.empty()) return {};
  const auto it = table.find(view.node().op_type);
  if (it == table.end()) return {};
  auto results = it->second(view);
  // Elements and dimensions go apart where a node contradicts itself: a Gather from nothing.
  const bool whole = std::ranges::all_of(results, [](const SmallTensor& result) {
    return static_cast<std::int64_t>(result.size()) == KnownElements(result.dims);
  });
  return whole ? results : std::vector<SmallTensor>();
}

std::shared_ptr<const SmallTensor> SmallTensorOf(const Tensor& tensor) {
  SmallTensor small{tensor.dtype(), tensor.dims(), {}, {}};
  const std::int64_t most = small.IsFloat() ? kMaxFloatElements : kMaxElements;
  if (!IsSmall(small.dims) || tensor.elements() > most) return nullptr;
  if (!small.IsFloat() && !IsFollowedInt(small.dtype)) return nullptr;
  try {
    if (small.IsFloat()) {
      small.floats = tensor.AsDoubles();
    } else {
      small.ints = tensor.AsInts();
    }
  } catch (const Error&) {
    return nullptr;  // bytes that are not held
  }
  // A default Tensor is a scalar without an element.
  if (static_cast<std::int64_t>(small.size()) != *KnownElements(small.dims)) return nullptr;
  return std::make_shared<const SmallTensor>(std::move(small));
}

bool IsSmall(const Dims& dims) {
  const auto elements = KnownElements(dims);
  return elements && *elements <= kMaxElements && dims.size() <= kMaxRank;
}

Dims RowMajorStrides(const Dims& dims) {
  Dims strides(dims.size());
  if (!IsSmall(dims) || KnownElements(dims) == 0) return strides;  // nothing to read: all 0
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

std::vector<std::size_t> StridedPositions(const Dims& dims, const Dims& strides,
                                          std::int64_t offset) {
  const std::int64_t count = KnownElements(dims).value_or(0);
  std::vector<std::size_t> positions;
  positions.reserve(static_cast<std::size_t>(count));
  Dims index(dims.size());
  for (std::int64_t i = 0; i < count; ++i) {
    positions.push_back(static_cast<std::size_t>(offset));
    for (std::size_t axis = dims.size(); axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < dims[axis]) break;
      offset -= dims[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return positions;
}

std::vector<std::size_t> BroadcastPositions(const Dims& dims, const Dims& out) {
  const Dims own = RowMajorStrides(dims);
  Dims strides(out.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != 1) strides[out.size() - dims.size() + i] = own[i];
  }
  return StridedPositions(out, strides, 0);
}

SmallTensor Pick(const SmallTensor& from, Dims dims, const std::vector<std::size_t>& positions) {
  SmallTensor out{from.dtype, std::move(dims), {}, {}};
  for (const std::size_t position : positions) {
    if (from.IsFloat()) {
      out.floats.push_back(from.floats[position]);
    } else {
      out.ints.push_back(from.ints[position]);
    }
  }
  return out;
}

}  // namespace espalier::shapes

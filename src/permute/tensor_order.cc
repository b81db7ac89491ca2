#include "espalier/permute/tensor_order.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <utility>

#include "espalier/base/error.h"

namespace espalier {
namespace {

[[noreturn]] void Refuse(const std::string& text) {
  throw Error(ErrorCode::kInvalidArgument, text);
}

bool IsPermutation(std::span<const std::uint32_t> from) {
  std::vector<bool> seen(from.size());
  for (const std::uint32_t index : from) {
    if (index >= from.size() || seen[index]) return false;
    seen[index] = true;
  }
  return true;
}

void CheckOrder(const Tensor& tensor, std::span<const int> axes,
                std::span<const std::uint32_t> from) {
  const Dims& dims = tensor.dims();
  std::size_t indices = 1;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const bool rises = i == 0 ? axes[i] >= 0 : axes[i] > axes[i - 1];
    if (!rises || axes[i] >= static_cast<int>(dims.size())) {
      Refuse(fmt::format("axes [{}] of a tensor {}", fmt::join(axes, ", "), DimsText(dims)));
    }
    indices *= static_cast<std::size_t>(dims[static_cast<std::size_t>(axes[i])]);
  }
  if (axes.empty() || from.size() != indices || !IsPermutation(from)) {
    Refuse(fmt::format("an order of {} indices is no permutation of the axes [{}] of a tensor {}",
                       from.size(), fmt::join(axes, ", "), DimsText(dims)));
  }
  if (DTypeBits(tensor.dtype()) % 8 != 0 || tensor.bytes().empty()) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("elements of type {} cannot be moved", DTypeName(tensor.dtype())));
  }
}

// Some axes of a row-major tensor.
std::vector<Axis> AxesOf(const Dims& dims, std::span<const int> axes) {
  std::vector<Axis> found;
  for (const int axis : axes) {
    Axis one = {dims[static_cast<std::size_t>(axis)], 1};
    for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < dims.size(); ++i) {
      one.stride *= dims[i];
    }
    found.push_back(one);
  }
  return found;
}

}  // namespace

Tensor Reordered(const Tensor& tensor, std::span<const int> axes,
                 std::span<const std::uint32_t> from) {
  CheckOrder(tensor, axes, from);
  const Dims& dims = tensor.dims();
  // What lies behind the last axis moves as one block.
  std::vector<int> others;
  std::size_t next = 0;
  for (int axis = 0; axis < axes.back(); ++axis) {
    if (axes[next] == axis) {
      ++next;
    } else {
      others.push_back(axis);
    }
  }
  std::size_t block = DTypeBits(tensor.dtype()) / 8;
  const std::size_t element = block;
  for (std::size_t i = static_cast<std::size_t>(axes.back()) + 1; i < dims.size(); ++i) {
    block *= static_cast<std::size_t>(dims[i]);
  }
  const std::vector<std::int64_t> moved = OffsetsAlong(AxesOf(dims, axes));
  const std::byte* const in = tensor.bytes().data();
  std::vector<std::byte> out(tensor.bytes().size());
  for (const std::int64_t base : OffsetsAlong(AxesOf(dims, others))) {
    for (std::size_t i = 0; i < moved.size(); ++i) {
      const auto to = static_cast<std::size_t>(base + moved[i]) * element;
      const auto from_here = static_cast<std::size_t>(base + moved[from[i]]) * element;
      std::memcpy(out.data() + to, in + from_here, block);
    }
  }
  return Tensor(tensor.dtype(), dims, std::move(out));
}

void ApplyOrders(Graph& graph, std::span<const TensorOrder> orders) {
  const ConstantIndex constants(graph);
  std::map<int, Tensor> changed;
  for (const TensorOrder& order : orders) {
    const int index = constants.Find(0, order.constant);
    if (index < 0) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the model has no constant '{}' to reorder", order.constant));
    }
    try {
      const auto [place, fresh] = changed.try_emplace(index);
      const Tensor& now =
          fresh ? graph.constants[static_cast<std::size_t>(index)].tensor : place->second;
      place->second = Reordered(now, order.axes, order.from);
    } catch (Error& error) {
      error.AddContext(fmt::format("reordering constant '{}'", order.constant));
      throw;
    }
  }
  for (auto& [index, tensor] : changed) {
    Constant& constant = graph.constants[static_cast<std::size_t>(index)];
    constant.tensor = std::move(tensor);
    constant.modified = true;
  }
}

}  // namespace espalier

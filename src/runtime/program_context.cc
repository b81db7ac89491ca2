#include "runtime/program_context.h"

#include <fmt/format.h>

#include <cstring>

namespace espalier::runtime {
namespace {

// A constant's bytes, in place if they are aligned for their type; files align them to nothing.
void LoadConstant(Slot& slot, const Tensor& tensor) {
  const auto bytes = tensor.bytes();
  slot.value.dtype = tensor.dtype();
  slot.value.dims = tensor.dims();
  const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % 16 == 0;
  if (aligned && !bytes.empty()) {
    slot.value.data = const_cast<std::byte*>(bytes.data());  // operators only read their inputs
    return;
  }
  PlaceOnHeap(slot);
  if (!bytes.empty()) std::memcpy(slot.value.data, bytes.data(), bytes.size());
}

}  // namespace

Slot& ProgramContext::InputSlot(std::size_t i) const {
  if (!HasInput(i)) {
    throw Error(ErrorCode::kBadFile, fmt::format("input {} is missing", i));
  }
  return program_.slots_[static_cast<std::size_t>(step_.inputs[i])];
}

Slot& ProgramContext::OutputSlot(std::size_t i) const {
  if (!HasOutput(i)) {
    throw Error(ErrorCode::kBadFile, fmt::format("output {} has no name", i));
  }
  return program_.slots_[static_cast<std::size_t>(step_.outputs[i])];
}

const Value& ProgramContext::Input(std::size_t i) const {
  Slot& slot = InputSlot(i);
  if (slot.value.data == nullptr) {
    if (slot.constant < 0) {
      throw Error(ErrorCode::kBadFile, fmt::format("nothing makes the value '{}'", slot.name));
    }
    const Tensor& tensor =
        program_.graph_.constants[static_cast<std::size_t>(slot.constant)].tensor;
    LoadConstant(slot, tensor);
  }
  return slot.value;
}

bool ProgramContext::IsConstant(std::size_t i) const {
  if (!HasInput(i)) return false;
  const Slot& slot = InputSlot(i);
  return slot.constant >= 0 || slot.fixed;
}

Value& ProgramContext::Output(std::size_t i, DType dtype, const Dims& dims) {
  Slot& slot = OutputSlot(i);
  Value& value = slot.value;
  value.dtype = dtype;
  value.dims = dims;
  slot.view_of = -1;
  const Value& planned = slot.planned;
  if (planned.data != nullptr && planned.dtype == dtype && planned.dims == dims) {
    value.data = planned.data;
    return value;
  }
  PlaceOnHeap(slot);
  return value;
}

Value& ProgramContext::OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                                  std::size_t byte_offset) {
  const Value& source = Input(input);
  Slot& slot = OutputSlot(i);
  if (byte_offset + TensorByteCount(dtype, dims) > source.Bytes()) {
    throw Error(ErrorCode::kInternal, "a view reaches beyond its value");
  }
  if (program_.planned_ && slot.planned_view_of != step_.inputs[input]) {
    // The plan may give the source's place to another value while this one is still read.
    Value& copy = Output(i, dtype, dims);
    if (const std::size_t bytes = copy.Bytes()) {
      std::memcpy(copy.data, source.data + byte_offset, bytes);
    }
    return copy;
  }
  slot.value.dtype = dtype;
  slot.value.dims = dims;
  slot.value.data = source.data + byte_offset;
  slot.view_of = step_.inputs[input];
  slot.view_offset = byte_offset;
  return slot.value;
}

}  // namespace espalier::runtime

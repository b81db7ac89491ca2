#include "tests/onnx_backend/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "runtime/op.h"

namespace espalier {
namespace {

using runtime::AlignedBuffer;
using runtime::Op;
using runtime::OpBuild;
using runtime::OpEntry;
using runtime::Value;

struct Slot {
  AlignedBuffer buffer;
  Value value;
  bool constant = false;
};

using Slots = std::map<std::string, Slot>;

class NodeContext : public runtime::OpContext {
 public:
  NodeContext(const Node& node, Slots* slots) : node_(node), slots_(*slots) {}

  std::size_t InputCount() const override { return node_.inputs.size(); }
  bool HasInput(std::size_t i) const override {
    return i < node_.inputs.size() && !node_.inputs[i].empty();
  }
  const Value& Input(std::size_t i) const override { return Find(i).value; }
  bool IsConstant(std::size_t i) const override { return Find(i).constant; }

  std::size_t OutputCount() const override { return node_.outputs.size(); }
  bool HasOutput(std::size_t i) const override {
    return i < node_.outputs.size() && !node_.outputs[i].empty();
  }
  Value& Output(std::size_t i, DType dtype, const Dims& dims) override {
    Slot& slot = slots_[node_.outputs.at(i)];
    const auto bytes = static_cast<std::size_t>(TensorByteCount(dtype, dims));
    slot.value = {dtype, dims, slot.buffer.Reserve(bytes)};
    std::memset(slot.value.data, 0xCD, bytes);  // an element left unwritten must show
    return slot.value;
  }
  Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                    std::size_t byte_offset) override {
    Slot& slot = slots_[node_.outputs.at(i)];
    slot.value = {dtype, dims, Input(input).data + byte_offset};
    return slot.value;
  }

  int threads() const override { return 2; }
  std::byte* Scratch(std::size_t bytes) override { return scratch_.Reserve(bytes); }

 private:
  const Slot& Find(std::size_t i) const {
    const auto it = HasInput(i) ? slots_.find(node_.inputs[i]) : slots_.end();
    if (it == slots_.end()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} lacks input {}", NodeText(node_), i));
    }
    return it->second;
  }

  const Node& node_;
  Slots& slots_;
  AlignedBuffer scratch_;
};

bool IsRuntimeType(DType dtype) {
  return dtype != DType::kUnknown && dtype != DType::kString && dtype < DType::kComplex64;
}

void CheckType(const std::string& name, DType dtype) {
  if (IsRuntimeType(dtype)) return;
  throw Error(ErrorCode::kUnsupported, fmt::format("'{}' is {}", name, DTypeName(dtype)));
}

Value ValueOf(const Tensor& tensor, AlignedBuffer* buffer) {
  Value value{tensor.dtype(), tensor.dims(), buffer->Reserve(tensor.bytes().size())};
  if (!tensor.bytes().empty()) {
    std::memcpy(value.data, tensor.bytes().data(), tensor.bytes().size());
  }
  return value;
}

}  // namespace

struct Interpreter::Impl {
  std::vector<std::unique_ptr<Op>> ops;
  Slots constants;
};

Interpreter::Interpreter(const Graph& graph) : graph_(graph), impl_(std::make_unique<Impl>()) {
  for (const Constant& constant : graph.constants) {
    if (constant.scope != 0) continue;
    CheckType(constant.name, constant.tensor.dtype());
    Slot& slot = impl_->constants[constant.name];
    slot.value = ValueOf(constant.tensor, &slot.buffer);
    slot.constant = true;
  }
  const Scope& scope = graph.scopes.at(0);
  for (const ValueInfo& input : scope.inputs) {
    if (impl_->constants.contains(input.name)) continue;
    CheckType(input.name, input.dtype);
    input_names_.push_back(input.name);
  }
  for (const ValueInfo& output : scope.outputs) CheckType(output.name, output.dtype);
  for (const Node& node : scope.nodes) {
    const OpEntry* entry = runtime::FindOp(node);
    if (entry == nullptr) {
      throw Error(ErrorCode::kUnsupported, fmt::format("{} is not supported", NodeText(node)));
    }
    impl_->ops.push_back(entry->make(OpBuild(graph, 0, node)));
  }
}

Interpreter::~Interpreter() = default;

std::vector<Tensor> Interpreter::Run(const std::vector<Tensor>& inputs) {
  Slots slots;
  for (const auto& [name, slot] : impl_->constants) {
    Slot& copy = slots[name];
    copy.value = slot.value;
    copy.constant = true;
  }
  for (std::size_t i = 0; i < std::min(inputs.size(), input_names_.size()); ++i) {
    Slot& slot = slots[input_names_[i]];
    slot.value = ValueOf(inputs[i], &slot.buffer);
  }
  const Scope& scope = graph_.scopes.at(0);
  for (std::size_t i = 0; i < scope.nodes.size(); ++i) {
    NodeContext context(scope.nodes[i], &slots);
    impl_->ops[i]->Run(context);
  }
  std::vector<Tensor> outputs;
  for (const ValueInfo& info : scope.outputs) {
    const auto it = slots.find(info.name);
    if (it == slots.end()) {
      throw Error(ErrorCode::kBadFile, fmt::format("no node makes '{}'", info.name));
    }
    const Value& value = it->second.value;
    std::vector<std::byte> bytes(value.data, value.data + value.Bytes());
    outputs.emplace_back(value.dtype, value.dims, std::move(bytes));
  }
  return outputs;
}

}  // namespace espalier

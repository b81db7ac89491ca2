#include "tests/runtime/test_context.h"

#include <fmt/format.h>

#include <utility>

#include "espalier/base/error.h"
#include "espalier/base/random.h"

namespace espalier::runtime {

void TestContext::AddInput(const Tensor& tensor, bool constant) {
  auto slot = std::make_unique<Slot>();
  slot->present = tensor.dtype() != DType::kUnknown;
  slot->constant = constant;
  slot->value = {tensor.dtype(), tensor.dims(), slot->buffer.Reserve(tensor.bytes().size())};
  if (!tensor.bytes().empty()) {
    std::memcpy(slot->value.data, tensor.bytes().data(), tensor.bytes().size());
  }
  inputs_.push_back(std::move(slot));
}

void TestContext::SetOutputs(std::vector<bool> named) {
  while (outputs_.size() < named.size()) outputs_.push_back(std::make_unique<Slot>());
  outputs_.resize(named.size());
  for (std::size_t i = 0; i < named.size(); ++i) outputs_[i]->present = named[i];
}

Tensor TestContext::OutputTensor(std::size_t i) const {
  const Value& value = outputs_.at(i)->value;
  if (value.dtype == DType::kUnknown) {
    throw Error(ErrorCode::kInternal, fmt::format("output {} was not made", i));
  }
  return Tensor(value.dtype, value.dims,
                std::vector<std::byte>(value.data, value.data + value.Bytes()));
}

bool TestContext::HasInput(std::size_t i) const {
  return i < inputs_.size() && inputs_[i]->present;
}

const Value& TestContext::Input(std::size_t i) const {
  if (!HasInput(i)) throw Error(ErrorCode::kBadFile, fmt::format("input {} is missing", i));
  return inputs_[i]->value;
}

bool TestContext::IsConstant(std::size_t i) const { return HasInput(i) && inputs_[i]->constant; }

bool TestContext::HasOutput(std::size_t i) const {
  return i < outputs_.size() && outputs_[i]->present;
}

Value& TestContext::Output(std::size_t i, DType dtype, const Dims& dims) {
  if (!HasOutput(i)) throw Error(ErrorCode::kBadFile, fmt::format("output {} has no name", i));
  Slot& slot = *outputs_[i];
  const auto bytes = static_cast<std::size_t>(TensorByteCount(dtype, dims));
  if (bytes > std::size_t{1} << 32) throw Error(ErrorCode::kUnsupported, "a huge value");
  slot.view_of = -1;
  slot.value = {dtype, dims, slot.buffer.Reserve(bytes)};
  std::memset(slot.value.data, 0xCD, bytes);
  return slot.value;
}

Value& TestContext::OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                               std::size_t byte_offset) {
  const Value& source = Input(input);
  if (byte_offset + TensorByteCount(dtype, dims) > source.Bytes()) {
    throw Error(ErrorCode::kInternal, "a view reaches beyond its value");
  }
  Slot& slot = *outputs_.at(i);
  slot.view_of = static_cast<int>(input);
  slot.value = {dtype, dims, source.data + byte_offset};
  return slot.value;
}

std::byte* TestContext::Scratch(std::size_t bytes) { return scratch_.Reserve(bytes); }

OpRunner::OpRunner(std::string op_type, std::int64_t opset, std::string domain) {
  graph_.opsets[domain] = opset;
  graph_.scopes.emplace_back();
  Node& node = graph_.scopes[0].nodes.emplace_back();
  node.name = "test";
  node.op_type = std::move(op_type);
  node.domain = std::move(domain);
}

OpRunner& OpRunner::Set(const std::string& attribute, Attribute value) {
  graph_.scopes[0].nodes[0].attributes[attribute] = std::move(value);
  return *this;
}

OpRunner& OpRunner::Outputs(std::size_t count) {
  outputs_ = count;
  return *this;
}

OpRunner& OpRunner::Threads(int threads) {
  context_.SetThreads(threads);
  return *this;
}

OpRunner& OpRunner::Initializer(std::size_t i, Tensor tensor) {
  initializers_[i] = std::move(tensor);
  return *this;
}

void OpRunner::Make(std::size_t input_count) {
  Node& node = graph_.scopes[0].nodes[0];
  node.inputs.clear();
  node.outputs.clear();
  for (std::size_t i = 0; i < input_count; ++i) node.inputs.push_back(fmt::format("input{}", i));
  for (std::size_t i = 0; i < outputs_; ++i) node.outputs.push_back(fmt::format("output{}", i));
  for (const auto& [i, tensor] : initializers_) {
    graph_.constants.push_back({fmt::format("input{}", i), 0, tensor});
  }
  const OpEntry* entry = FindOp(node);
  if (entry == nullptr) {
    throw Error(ErrorCode::kUnsupported, fmt::format("there is no {}", NodeText(node)));
  }
  op_ = entry->make(OpBuild(graph_, 0, node));
  context_.SetOutputs(std::vector<bool>(outputs_, true));
}

std::vector<Tensor> OpRunner::Run(const std::vector<Tensor>& inputs) {
  if (op_ == nullptr) Make(inputs.size());
  context_.ClearInputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    context_.AddInput(inputs[i], initializers_.contains(i));
  }
  op_->Run(context_);
  std::vector<Tensor> outputs;
  for (std::size_t i = 0; i < outputs_; ++i) outputs.push_back(context_.OutputTensor(i));
  return outputs;
}

Tensor OpRunner::Run1(const std::vector<Tensor>& inputs) { return Run(inputs).at(0); }

bool OpRunner::IsRefused(std::size_t input_count) {
  try {
    Make(input_count);
  } catch (const Error& error) {
    return error.code() == ErrorCode::kUnsupported;
  }
  return false;
}

bool OpRunner::Fails(const std::vector<Tensor>& inputs, ErrorCode code) {
  try {
    Run(inputs);
  } catch (const Error& error) {
    return error.code() == code;
  }
  return false;
}

Tensor RandomTensor(Dims dims, std::uint64_t seed, float low, float high) {
  std::vector<float> elements(static_cast<std::size_t>(ElementCount(dims)));
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const auto unit = static_cast<float>(RandomAt(seed, i) >> 40) * 0x1p-24f;
    elements[i] = low + (high - low) * unit;
  }
  return MakeTensor(std::move(dims), elements);
}

}  // namespace espalier::runtime

#include <cstring>
#include <deque>
#include <optional>

#include "runtime/op.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/scope_editor.h"

namespace espalier::runtime {
namespace {

// A node that makes much from little (Expand, ConstantOfShape) is left for the run.
constexpr std::size_t kMaxGrowth = std::size_t{1} << 20;

// Runs one node on constants, outside of a program.
class FoldingContext final : public OpContext {
 public:
  FoldingContext(const Node& node, std::vector<const Tensor*> inputs)
      : node_(node), tensors_(std::move(inputs)), inputs_(tensors_.size()) {
    outputs_.resize(node.outputs.size());
    buffers_.resize(node.outputs.size());
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i] == nullptr) continue;
      const auto bytes = tensors_[i]->bytes();
      inputs_[i] = {tensors_[i]->dtype(), tensors_[i]->dims(), nullptr};
      inputs_[i].Check();
      inputs_[i].data = copies_.emplace_back().Reserve(bytes.size());
      if (!bytes.empty()) std::memcpy(inputs_[i].data, bytes.data(), bytes.size());
    }
  }

  std::size_t InputCount() const override { return inputs_.size(); }
  bool HasInput(std::size_t i) const override { return i < tensors_.size() && tensors_[i]; }
  const Value& Input(std::size_t i) const override {
    if (!HasInput(i)) throw Error(ErrorCode::kBadFile, "an input is missing");
    return inputs_[i];
  }
  bool IsConstant(std::size_t i) const override { return HasInput(i); }
  std::size_t OutputCount() const override { return outputs_.size(); }
  bool HasOutput(std::size_t i) const override {
    return i < outputs_.size() && !node_.outputs[i].empty();
  }
  Value& Output(std::size_t i, DType dtype, const Dims& dims) override {
    Value& value = outputs_.at(i);
    value.dtype = dtype;
    value.dims = dims;
    value.data = nullptr;
    value.Check();
    value.data = buffers_[i].Reserve(value.Bytes());
    return value;
  }
  Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                    std::size_t byte_offset) override {
    Value& value = Output(i, dtype, dims);
    if (const std::size_t bytes = value.Bytes()) {
      std::memcpy(value.data, Input(input).data + byte_offset, bytes);
    }
    return value;
  }
  int threads() const override { return 1; }
  std::byte* Scratch(std::size_t bytes) override { return scratch_.Reserve(bytes); }

  // Nothing if a named output is missing, or they take more than `most` bytes together.
  std::optional<std::vector<Tensor>> Results(std::size_t most) const {
    std::vector<Tensor> results;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      results.emplace_back();
      if (!HasOutput(i)) continue;
      const Value& value = outputs_[i];
      if (value.data == nullptr || value.Bytes() > most) return std::nullopt;
      most -= value.Bytes();
      results.back() = Tensor(value.dtype, value.dims,
                              std::vector<std::byte>(value.data, value.data + value.Bytes()));
    }
    return results;
  }

 private:
  const Node& node_;
  std::vector<const Tensor*> tensors_;
  std::vector<Value> inputs_;
  std::deque<AlignedBuffer> copies_;
  std::vector<Value> outputs_;
  std::vector<AlignedBuffer> buffers_;
  AlignedBuffer scratch_;
};

bool IsRandom(const Node& node) {
  return node.op_type.starts_with("Random") || node.op_type == "Bernoulli" ||
         node.op_type == "Multinomial";
}

// The node's inputs if all are constants.
std::optional<std::vector<const Tensor*>> ConstantInputs(const ScopeEditor& editor,
                                                         const Node& node) {
  std::vector<const Tensor*> inputs;
  for (const std::string& name : node.inputs) {
    inputs.push_back(name.empty() ? nullptr : editor.ConstantOf(name));
    if (inputs.back() == nullptr && !name.empty()) return std::nullopt;
    if (inputs.back() != nullptr && DTypeBits(inputs.back()->dtype()) == 0) return std::nullopt;
  }
  return inputs;
}

// What the node makes, by output; nothing if it makes too much, or cannot run. Then the session's
// run will say so, if it gets there.
std::optional<std::vector<Tensor>> Fold(const OpBuild& build, const OpEntry& entry,
                                        const std::vector<const Tensor*>& inputs) {
  std::size_t bytes = 0;
  for (const Tensor* input : inputs) bytes += input == nullptr ? 0 : input->bytes().size();
  const std::size_t most = bytes + kMaxGrowth;
  MemoryBudget* const session = MemoryBudget::Open();
  MemoryBudget budget(4 * most);  // copies of the inputs, outputs, working memory
  const MemoryBudget::Scope counted(budget);
  try {
    FoldingContext context(build.node(), inputs);
    entry.make(build)->Run(context);
    const auto results = context.Results(most);
    if (results && session != nullptr) {
      for (const Tensor& result : *results) session->Take(result.bytes().size());
    }
    return results;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

bool FoldConstants(Graph& graph, int scope) {
  ScopeEditor editor(graph, scope);
  for (std::size_t i = 0; i < editor.NodeCount(); ++i) {
    Node& node = editor.node(i);
    const OpEntry* entry = FindOp(node);
    if (entry == nullptr || !node.subgraphs.empty() || IsRandom(node)) continue;
    const auto inputs = ConstantInputs(editor, node);
    if (!inputs) continue;
    auto results = Fold(OpBuild(graph, scope, node), *entry, *inputs);
    if (!results) continue;
    const std::vector<std::string> names = node.outputs;
    editor.Remove(i);
    for (std::size_t k = 0; k < names.size(); ++k) {
      if (!names[k].empty()) editor.AddConstant(names[k], std::move((*results)[k]));
    }
  }
  return editor.changed();
}

}  // namespace espalier::runtime

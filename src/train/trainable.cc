#include "train/trainable.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "espalier/base/error.h"
#include "train/batch_norm.h"
#include "train/tensor_convert.h"
#include "train/trainable_fusion.h"

namespace espalier::train {
namespace {

std::int64_t OpsetOf(const Graph& graph) {
  const auto found = graph.opsets.find("");
  return found == graph.opsets.end() ? 1 : found->second;
}

bool IsOutput(const Scope& scope, const std::string& name) {
  return std::any_of(scope.outputs.begin(), scope.outputs.end(),
                     [&](const ValueInfo& output) { return output.name == name; });
}

// In place of an index in Graph::constants: a value that follows from constants.
constexpr int kFolded = std::numeric_limits<int>::max();

}  // namespace

/// One run: the values that are there at the moment.
class Trainable::Execution final : public ScopeRunner {
 public:
  Execution(Trainable* network, bool training)
      : network_(*network),
        opset_(OpsetOf(network->graph_)),
        training_(training),
        values_(network->fixed_),
        kept_(values_.size(), false) {
    for (const auto* list : {&network_.parameters_, &network_.buffers_}) {
      for (const TrainTensor& tensor : *list) {
        if (tensor.slot >= 0) value(tensor.slot) = tensor.tensor;
      }
    }
  }

  at::Tensor& value(int slot) { return values_[static_cast<std::size_t>(slot)]; }
  void Keep(int slot) { kept_[static_cast<std::size_t>(slot)] = true; }

  void RunSteps(int scope) {
    for (const Step& step : network_.program_.scopes[static_cast<std::size_t>(scope)].steps) {
      RunStep(step);
    }
  }

  std::vector<at::Tensor> RunScope(int scope, std::span<const at::Tensor> inputs) override {
    const ScopeSteps& steps = network_.program_.scopes[static_cast<std::size_t>(scope)];
    ESPALIER_CHECK(inputs.size() == steps.inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) value(steps.inputs[i]) = inputs[i];
    RunSteps(scope);
    std::vector<at::Tensor> outputs;
    for (const int slot : steps.outputs) outputs.push_back(value(slot));
    return outputs;
  }

  void RunStep(const Step& step) {
    std::vector<at::Tensor> inputs;
    inputs.reserve(step.inputs.size());
    for (const int slot : step.inputs) inputs.push_back(slot < 0 ? at::Tensor() : value(slot));
    const OpCall call{
        step.node,
        OpInputs(step.node, inputs),
        opset_,
        training_,
        network_.real_,
        network_.device_,
        this,
        step.cuts < 0 ? nullptr : &network_.cuts_[static_cast<std::size_t>(step.cuts)]};
    Outputs outputs = RunOp(step, call);
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      if (step.outputs[i] < 0) continue;
      if (i >= outputs.size()) {
        throw Error(
            ErrorCode::kUnsupported,
            fmt::format("{} cannot be trained: output {} is not computed", NodeText(step.node), i));
      }
      value(step.outputs[i]) = std::move(outputs[i]);
    }
    for (const int slot : step.released) {
      if (!kept_[static_cast<std::size_t>(slot)]) value(slot) = at::Tensor();
    }
  }

 private:
  Outputs RunOp(const Step& step, const OpCall& call) {
    try {
      Outputs outputs = step.op->run(call);
      if (step.norm >= 0) outputs[0] = Normalized(step.norm, outputs[0]);
      if (network_.observer_) network_.observer_(step, outputs[0]);
      return outputs;
    } catch (const Error&) {
      throw;
    } catch (const c10::Error& error) {
      throw Error(ErrorCode::kShapeMismatch,
                  fmt::format("{}: {}", NodeText(step.node), error.what_without_backtrace()));
    } catch (const std::exception& error) {  // of the standard library, on a malformed node
      throw Error(ErrorCode::kBadFile, fmt::format("{}: {}", NodeText(step.node), error.what()));
    }
  }

  at::Tensor Normalized(int index, const at::Tensor& x) {
    const InsertedNorm& norm = network_.norms_[static_cast<std::size_t>(index)];
    return BatchNorm(x, network_.parameters_[norm.scale].tensor,
                     network_.parameters_[norm.shift].tensor, network_.buffers_[norm.mean].tensor,
                     network_.buffers_[norm.variance].tensor, InsertedNorm::kEpsilon,
                     InsertedNorm::kMomentum, training_);
  }

  Trainable& network_;
  std::int64_t opset_;
  bool training_;
  std::vector<at::Tensor> values_;
  std::vector<bool> kept_;
};

Trainable::Trainable(const Graph& graph) : graph_(graph) {
  stated_constants_ = graph_.constants.size();
  SeparateMergedConstants();
  program_ = MakeTrainProgram(graph_);
  MakeTensors();
  fused_ = FuseLayerNorms(graph_, &program_);
  FoldConstants();
  for (const std::size_t count : FindSlicesOfOneValue(&program_)) cuts_.emplace_back(count);
  FindLastReaders(&program_);
}

// Exporters store equal constants once and let Identity nodes stand for the others. Each gets its
// own values back; WriteTo() merges again what training left equal.
void Trainable::SeparateMergedConstants() {
  Scope& scope = graph_.scopes[0];
  std::map<std::string, std::size_t> constants;
  for (std::size_t i = 0; i < graph_.constants.size(); ++i) {
    if (graph_.constants[i].scope == 0) constants.emplace(graph_.constants[i].name, i);
  }
  std::erase_if(scope.nodes, [&](const Node& node) {
    if (node.op_type != "Identity" || !node.domain.empty() || node.inputs.size() != 1 ||
        node.outputs.empty())
      return false;
    const auto found = constants.find(node.inputs[0]);
    if (found == constants.end() || IsOutput(scope, node.outputs[0])) return false;
    Constant copy{node.outputs[0], 0, graph_.constants[found->second].tensor};
    if (!IsFloatDType(copy.tensor.dtype())) return false;
    merged_.emplace_back(copy.name, node.inputs[0]);
    constants.emplace(copy.name, graph_.constants.size());
    graph_.constants.push_back(std::move(copy));
    return true;
  });
}

void Trainable::MakeTensors() {
  const std::vector<ConstantRole> roles = FindConstantRoles(graph_, program_);
  std::set<int> read;
  for (const ScopeSteps& scope : program_.scopes) {
    for (const Step& step : scope.steps) read.insert(step.inputs.begin(), step.inputs.end());
    read.insert(scope.outputs.begin(), scope.outputs.end());
  }
  std::map<std::string, int> stored;  // of constants that stand for another one
  for (std::size_t i = 0; i < stated_constants_; ++i) {
    if (graph_.constants[i].scope == 0) stored[graph_.constants[i].name] = static_cast<int>(i);
  }
  for (const auto& [name, source] : merged_) stored[name] = stored.at(source);
  std::set<std::string> names;
  fixed_.resize(static_cast<std::size_t>(program_.slot_count()));
  for (int slot = 0; slot < program_.slot_count(); ++slot) {
    const int index = program_.constants[static_cast<std::size_t>(slot)];
    if (index < 0 || !read.contains(slot)) continue;
    const Constant& constant = graph_.constants[static_cast<std::size_t>(index)];
    at::Tensor tensor = ToTorch(constant.tensor);
    if (tensor.is_floating_point()) tensor = tensor.to(real_);
    const ConstantRole role = roles[static_cast<std::size_t>(index)];
    if (role == ConstantRole::kFixed) {
      fixed_[static_cast<std::size_t>(slot)] = tensor;
      continue;
    }
    auto& list = role == ConstantRole::kBuffer ? buffers_ : parameters_;
    std::string name = constant.name;
    if (!names.insert(name).second) name = fmt::format("{}@{}", name, constant.scope);
    list.push_back({std::move(name), tensor, role == ConstantRole::kWeight,
                    constant.scope == 0 ? stored.at(constant.name) : index, slot});
    tensor.set_requires_grad(role != ConstantRole::kBuffer);
  }
}

// What no parameter feeds is the same in every step: computed once.
void Trainable::FoldConstants() {
  const at::NoGradGuard no_grad;
  std::vector<bool> known(static_cast<std::size_t>(program_.slot_count()));
  for (std::size_t i = 0; i < known.size(); ++i) known[i] = fixed_[i].defined();
  const std::vector<bool> constant = FindConstantSlots(program_);
  Execution execution(this, /*training=*/false);
  std::erase_if(program_.scopes[0].steps, [&](const Step& step) {
    const bool fold = !step.outputs.empty() && step.outputs[0] >= 0 &&
                      constant[static_cast<std::size_t>(step.outputs[0])] &&
                      std::all_of(step.inputs.begin(), step.inputs.end(), [&](int slot) {
                        return slot < 0 || known[static_cast<std::size_t>(slot)];
                      });
    if (!fold) return false;
    execution.RunStep(step);
    for (const int slot : step.outputs) {
      if (slot < 0) continue;
      fixed_[static_cast<std::size_t>(slot)] = execution.value(slot);
      known[static_cast<std::size_t>(slot)] = true;
      program_.constants[static_cast<std::size_t>(slot)] = kFolded;
    }
    return true;
  });
}

std::map<std::string, at::Tensor> Trainable::Forward(
    const std::map<std::string, at::Tensor>& inputs, bool training,
    std::span<const std::string> wanted) {
  Execution execution(this, training);
  for (const int slot : program_.scopes[0].inputs) {
    if (program_.constants[static_cast<std::size_t>(slot)] >= 0) continue;
    const std::string& name = program_.names[static_cast<std::size_t>(slot)];
    const auto found = inputs.find(name);
    if (found == inputs.end())
      throw Error(ErrorCode::kInvalidArgument, fmt::format("there is no input '{}'", name));
    const at::Tensor& given = found->second;
    execution.value(slot) = given.is_floating_point() ? given.to(device_, real_) : given;
  }
  std::map<std::string, int> results;
  for (const std::string& name : wanted) {
    const auto found = program_.main.find(name);
    if (found == program_.main.end())
      throw Error(ErrorCode::kInvalidArgument, fmt::format("the network has no value '{}'", name));
    if (fused_.contains(found->second))
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("'{}' is inside of a layer normalization, which runs as one step", name));
    results.emplace(name, found->second);
    execution.Keep(found->second);
  }
  execution.RunSteps(0);
  for (const int slot : program_.scopes[0].outputs) {
    results.emplace(program_.names[static_cast<std::size_t>(slot)], slot);
  }
  std::map<std::string, at::Tensor> outputs;
  for (const auto& [name, slot] : results) outputs.emplace(name, execution.value(slot));
  return outputs;
}

void Trainable::Place(TrainTensor* tensor, bool requires_grad) {
  tensor->tensor = tensor->tensor.detach().to(device_, real_);
  tensor->tensor.set_requires_grad(requires_grad);
}

void Trainable::To(at::Device device, at::ScalarType real) {
  device_ = device;
  real_ = real;
  for (TrainTensor& parameter : parameters_) Place(&parameter, true);
  for (TrainTensor& buffer : buffers_) Place(&buffer, false);
  for (at::Tensor& tensor : fixed_) {
    if (tensor.defined() && tensor.is_floating_point()) tensor = tensor.to(device, real);
  }
}

}  // namespace espalier::train

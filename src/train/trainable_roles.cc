#include "train/trainable_roles.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace espalier::train {
namespace {

using Role = ConstantRole;

struct WeightPlace {
  std::string_view op_type;
  int input;
  Role role;
};

constexpr WeightPlace kPlaces[] = {
    {"Conv", 1, Role::kWeight},
    {"Conv", 2, Role::kVector},
    {"ConvTranspose", 1, Role::kWeight},
    {"ConvTranspose", 2, Role::kVector},
    {"Gemm", 0, Role::kWeight},
    {"Gemm", 1, Role::kWeight},
    {"Gemm", 2, Role::kVector},
    {"MatMul", 0, Role::kWeight},
    {"MatMul", 1, Role::kWeight},
    {"RNN", 1, Role::kWeight},
    {"RNN", 2, Role::kWeight},
    {"RNN", 3, Role::kVector},
    {"GRU", 1, Role::kWeight},
    {"GRU", 2, Role::kWeight},
    {"GRU", 3, Role::kVector},
    {"LSTM", 1, Role::kWeight},
    {"LSTM", 2, Role::kWeight},
    {"LSTM", 3, Role::kVector},
    {"LSTM", 7, Role::kVector},
    {"BatchNormalization", 1, Role::kVector},
    {"BatchNormalization", 2, Role::kVector},
    {"BatchNormalization", 3, Role::kBuffer},
    {"BatchNormalization", 4, Role::kBuffer},
    {"InstanceNormalization", 1, Role::kVector},
    {"InstanceNormalization", 2, Role::kVector},
    {"LayerNormalization", 1, Role::kVector},
    {"LayerNormalization", 2, Role::kVector},
    {"GroupNormalization", 1, Role::kVector},
    {"GroupNormalization", 2, Role::kVector},
    {"PRelu", 1, Role::kVector},
};

Role RoleAt(const Node& node, int input) {
  if (node.op_type == "Einsum") return Role::kWeight;
  for (const WeightPlace& place : kPlaces) {
    if (place.op_type == node.op_type && place.input == input) return place.role;
  }
  return Role::kFixed;
}

bool Is(const Node& node, std::initializer_list<std::string_view> types) {
  return std::find(types.begin(), types.end(), node.op_type) != types.end();
}

bool IsMoveOfFirst(const Node& node) {
  return Is(node, {"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten",
                   "Expand", "Tile", "Slice", "Split", "Gather", "Pad", "Dropout"});
}

bool IsArithmetic(const Node& node) { return Is(node, {"Add", "Sub", "Mul", "Div"}); }

bool IsVector(const Dims& dims) {
  return std::count_if(dims.begin(), dims.end(), [](std::int64_t dim) { return dim > 1; }) <= 1;
}

bool LooksLikeMask(const Tensor& tensor) {
  constexpr double kHidden = -1e4;      // what float16 exporters take for minus infinity
  constexpr double kHiddenPair = -100;  // Swin's masks: this or zero
  const std::vector<double> values = tensor.AsDoubles();
  if (values.empty()) return false;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (*low <= kHidden || std::isinf(*high)) return true;
  const bool two_valued = *low != *high && std::all_of(values.begin(), values.end(), [&](double v) {
    return v == *low || v == *high;
  });
  return two_valued && ((*low == 0 && *high == 1) || (*low <= kHiddenPair && *high == 0));
}

class RoleFinder {
 public:
  RoleFinder(const Graph& graph, const TrainProgram& program)
      : graph_(graph),
        program_(program),
        constant_slots_(FindConstantSlots(program)),
        makers_(static_cast<std::size_t>(program.slot_count()), nullptr),
        roles_(graph.constants.size(), Role::kFixed) {
    ForEachStep([&](const Step& step) {
      for (const int slot : step.outputs) {
        if (slot >= 0) makers_[static_cast<std::size_t>(slot)] = &step;
      }
    });
  }

  std::vector<Role> Find() {
    MarkPlaces();
    const std::vector<bool> before = FindSlotsBeforeLayers(program_);
    ForEachStep([&](const Step& step) { MarkToken(step, before); });
    after_layers_.assign(static_cast<std::size_t>(program_.slot_count()), false);
    WalkForward(0);
    ForEachStep([&](const Step& step) { MarkOperands(step, before); });
    return roles_;
  }

 private:
  void ForEachStep(const std::function<void(const Step&)>& visit) const {
    for (const ScopeSteps& scope : program_.scopes) {
      for (const Step& step : scope.steps) visit(step);
    }
  }

  bool IsConstant(int slot) const {
    return slot >= 0 && constant_slots_[static_cast<std::size_t>(slot)];
  }

  // Nodes on constants alone are a part of the weight that they compute.
  bool IsComputedConstant(const Step& step) const {
    return !step.outputs.empty() && IsConstant(step.outputs[0]);
  }

  void MarkPlaces() {
    ForEachStep([&](const Step& step) {
      if (IsComputedConstant(step)) return;
      for (std::size_t i = 0; i < step.inputs.size(); ++i) {
        const Role role = RoleAt(step.node, static_cast<int>(i));
        if (role != Role::kFixed && IsConstant(step.inputs[i])) Mark(step.inputs[i], role, 1);
      }
    });
  }

  // `least`: the number of elements below which a constant is no parameter.
  bool Mark(int slot, Role role, std::int64_t least) {
    const int constant = program_.constants[static_cast<std::size_t>(slot)];
    if (constant >= 0) return MarkConstant(constant, role, least);
    const Step* maker = makers_[static_cast<std::size_t>(slot)];
    if (maker == nullptr) return false;
    const bool all = maker->node.op_type == "Concat" || IsArithmetic(maker->node);
    if (!all && !IsMoveOfFirst(maker->node)) return false;
    bool marked = false;
    for (std::size_t i = 0; i < (all ? maker->inputs.size() : 1); ++i) {
      if (IsConstant(maker->inputs[i]))
        marked = Mark(maker->inputs[i], role, all ? 2 : least) || marked;
    }
    return marked;
  }

  bool MarkConstant(int constant, Role role, std::int64_t least) {
    const Tensor& tensor = graph_.constants[static_cast<std::size_t>(constant)].tensor;
    if (!IsFloatDType(tensor.dtype()) || tensor.elements() < least) return false;
    Role& known = roles_[static_cast<std::size_t>(constant)];
    known = std::max(known, role);
    return true;
  }

  // Embeddings, class tokens: a table that enters the network before a layer.
  void MarkToken(const Step& step, const std::vector<bool>& before) {
    if (!Is(step.node, {"Gather", "Expand", "Tile"}) || IsComputedConstant(step)) return;
    const int slot = step.inputs[0];
    if (!IsConstant(slot) || IsMask(slot) || step.outputs[0] < 0) return;
    if (!before[static_cast<std::size_t>(step.outputs[0])]) return;
    const Role role = step.node.op_type == "Gather" ? Role::kWeight : Role::kVector;
    if (Mark(slot, role, 2)) tokens_.insert(slot);
  }

  // In the order of execution, branches before what follows them.
  bool WalkForward(int scope) {
    bool any = false;
    for (const Step& step : program_.scopes[static_cast<std::size_t>(scope)].steps) {
      bool after = HasWeight(step);
      for (const int slot : step.inputs) {
        if (slot < 0) continue;
        after = after || after_layers_[static_cast<std::size_t>(slot)] || tokens_.contains(slot);
      }
      for (const auto& [name, inner] : step.node.subgraphs) after = WalkForward(inner) || after;
      for (const int slot : step.outputs) {
        if (slot >= 0) after_layers_[static_cast<std::size_t>(slot)] = after;
      }
      any = any || after;
    }
    return any;
  }

  bool IsMarked(int slot) const {
    const int constant = slot < 0 ? -1 : program_.constants[static_cast<std::size_t>(slot)];
    return constant >= 0 && roles_[static_cast<std::size_t>(constant)] >= Role::kVector;
  }

  bool HasWeight(const Step& step) const {
    if (IsComputedConstant(step)) return false;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      if (RoleAt(step.node, static_cast<int>(i)) == Role::kWeight && IsConstant(step.inputs[i]))
        return true;
    }
    return false;
  }

  void MarkOperands(const Step& step, const std::vector<bool>& before_layers) {
    if (!IsArithmetic(step.node) && step.node.op_type != "Concat") return;
    if (IsComputedConstant(step) || step.outputs[0] < 0) return;
    if (!after_layers_[static_cast<std::size_t>(step.outputs[0])]) return;
    const bool before = before_layers[static_cast<std::size_t>(step.outputs[0])];
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const int slot = step.inputs[i];
      if (!IsConstant(slot) || IsMask(slot)) continue;
      if (before || EndsLayer(step, i)) Mark(slot, Role::kVector, 2);
    }
  }

  bool IsMask(int slot) const {
    const int constant = program_.constants[static_cast<std::size_t>(slot)];
    if (constant < 0) return false;
    const Tensor& tensor = graph_.constants[static_cast<std::size_t>(constant)].tensor;
    return !IsFloatDType(tensor.dtype()) || LooksLikeMask(tensor);
  }

  // The last bias, and the scale and bias of a last normalization, have no layer after them.
  bool EndsLayer(const Step& step, std::size_t operand) const {
    if (step.inputs.size() != 2) return false;
    const int constant = program_.constants[static_cast<std::size_t>(step.inputs[operand])];
    if (constant < 0 ||
        !IsVector(graph_.constants[static_cast<std::size_t>(constant)].tensor.dims()))
      return false;
    const int other = step.inputs[1 - operand];
    const Step* maker = other < 0 ? nullptr : makers_[static_cast<std::size_t>(other)];
    while (maker != nullptr && IsMoveOfFirst(maker->node) && maker->inputs[0] >= 0) {
      maker = makers_[static_cast<std::size_t>(maker->inputs[0])];
    }
    if (maker == nullptr) return false;
    if (step.node.op_type == "Mul")
      return Is(maker->node, {"Div", "LayerNormalization", "InstanceNormalization",
                              "BatchNormalization", "GroupNormalization", "LpNormalization"});
    if (step.node.op_type != "Add") return false;
    if (maker->node.op_type != "Mul") return HasWeight(*maker);
    return std::any_of(maker->inputs.begin(), maker->inputs.end(),
                       [&](int slot) { return IsMarked(slot); });
  }

  const Graph& graph_;
  const TrainProgram& program_;
  std::vector<bool> constant_slots_;
  std::vector<const Step*> makers_;  // by slot
  std::vector<Role> roles_;
  std::set<int> tokens_;  // slots
  std::vector<bool> after_layers_;
};

}  // namespace

std::vector<ConstantRole> FindConstantRoles(const Graph& graph, const TrainProgram& program) {
  return RoleFinder(graph, program).Find();
}

std::vector<bool> FindConstantSlots(const TrainProgram& program) {
  std::vector<bool> constant(static_cast<std::size_t>(program.slot_count()));
  for (std::size_t i = 0; i < constant.size(); ++i) constant[i] = program.constants[i] >= 0;
  // Parents come before their subgraphs, so one walk sees every value that a body captures.
  for (const ScopeSteps& scope : program.scopes) {
    for (const Step& step : scope.steps) {
      const bool follows = step.node.subgraphs.empty() && step.node.op_type != "Dropout" &&
                           !step.inputs.empty() &&
                           std::all_of(step.inputs.begin(), step.inputs.end(), [&](int slot) {
                             return slot < 0 || constant[static_cast<std::size_t>(slot)];
                           });
      for (const int slot : step.outputs) {
        if (slot >= 0) constant[static_cast<std::size_t>(slot)] = follows;
      }
    }
  }
  return constant;
}

std::vector<bool> FindSlotsBeforeLayers(const TrainProgram& program) {
  std::vector<bool> before(static_cast<std::size_t>(program.slot_count()), false);
  const std::vector<bool> constant = FindConstantSlots(program);
  const auto visit = [&](const Step& step) {
    bool reaches = false;
    for (const int slot : step.outputs) {
      reaches = reaches || (slot >= 0 && before[static_cast<std::size_t>(slot)]);
    }
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const int slot = step.inputs[i];
      if (slot < 0 || !constant[static_cast<std::size_t>(slot)]) continue;
      reaches = reaches || (RoleAt(step.node, static_cast<int>(i)) == ConstantRole::kWeight);
    }
    if (!reaches) return false;
    bool changed = false;
    for (const int slot : ReadsOf(program, step)) {
      changed = changed || !before[static_cast<std::size_t>(slot)];
      before[static_cast<std::size_t>(slot)] = true;
    }
    return changed;
  };
  // Backwards; once more for as long as values of an outer scope are reached from inside.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto scope = program.scopes.rbegin(); scope != program.scopes.rend(); ++scope) {
      for (auto step = scope->steps.rbegin(); step != scope->steps.rend(); ++step) {
        changed = visit(*step) || changed;
      }
    }
  }
  return before;
}

}  // namespace espalier::train

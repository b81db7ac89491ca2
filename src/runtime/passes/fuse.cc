#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "espalier/graph/shape_inference.h"
#include "runtime/fused.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/scope_editor.h"

namespace espalier::runtime {
namespace {

// The layers whose kernels take a residual and an activation.
bool IsLayer(const Node& node) {
  return node.domain.empty() && node.outputs.size() == 1 &&
         (node.op_type == "Conv" || node.op_type == "Gemm" || node.op_type == "MatMul");
}

bool HasActivation(const Node& node) { return FusedActivation(node).kind != ActivationKind::kNone; }

// ---------------------------------------------------------------- Residuals

// Whether node `i` may run at the place of the later node `add`: nobody else reads its output.
bool CanTakeResidual(ScopeEditor& editor, int i) {
  if (i < 0) return false;
  const Node& node = editor.node(static_cast<std::size_t>(i));
  return IsLayer(node) && !HasActivation(node) && node.inputs.size() <= kResidualInput &&
         editor.OnlyReader(node.outputs[0]) >= 0;
}

// Shapes with each unknown dimension of the inputs another number: values of the same shape then
// have it whatever the dimensions turn out to be.
ValueShapes ShapesOfAnyInputs(Graph& graph) {
  std::int64_t unknown = 1009;  // larger than any window
  const std::vector<ValueInfo> declared = graph.scopes.at(0).inputs;
  for (ValueInfo& input : graph.scopes[0].inputs) {
    if (!input.dims) continue;
    for (std::int64_t& dim : *input.dims) {
      if (dim < 0) dim = unknown++;
    }
  }
  ValueShapes shapes = InferShapes(graph);
  graph.scopes[0].inputs = declared;
  return shapes;
}

// ---------------------------------------------------------------- Activations

struct Match {
  Activation activation;
  int last = -1;             // the node whose output takes the activation's place
  std::vector<int> between;  // nodes that go with it
};

std::optional<Activation> ClipOf(const ScopeEditor& editor, const Node& node) {
  if (node.op_type != "Clip" || !node.domain.empty() || node.inputs.empty()) return std::nullopt;
  float low = std::numeric_limits<float>::lowest();
  float high = std::numeric_limits<float>::max();
  if (node.inputs.size() > 1 && !node.inputs[1].empty() && !editor.ScalarOf(node.inputs[1], low)) {
    return std::nullopt;
  }
  if (node.inputs.size() > 2 && !node.inputs[2].empty() && !editor.ScalarOf(node.inputs[2], high)) {
    return std::nullopt;
  }
  for (const auto& [name, bound] : {std::pair("min", &low), std::pair("max", &high)}) {
    const auto it = node.attributes.find(name);
    if (it == node.attributes.end()) continue;
    const float* value = std::get_if<float>(&it->second);
    if (value == nullptr) return std::nullopt;
    *bound = *value;
  }
  if (!(low <= high)) return std::nullopt;
  return Activation{ActivationKind::kClip, low, high};
}

// One node that alone reads the value.
std::optional<Match> SingleNode(ScopeEditor& editor, const std::string& value) {
  const int reader = editor.OnlyReader(value);
  if (reader < 0) return std::nullopt;
  const Node& node = editor.node(static_cast<std::size_t>(reader));
  Match match;
  match.last = reader;
  if (node.inputs.empty() || node.inputs[0] != value) return std::nullopt;
  if (ActivationOf(node, match.activation)) return match;
  if (const auto clip = ClipOf(editor, node)) {
    match.activation = *clip;
    return match;
  }
  return std::nullopt;
}

// A gate g(x) that is multiplied with x: x * sigmoid(x), x * hardsigmoid(x).
std::optional<Match> GatedByNode(ScopeEditor& editor, const std::string& value, int gate,
                                 int product) {
  Node& node = editor.node(static_cast<std::size_t>(gate));
  const Node& mul = editor.node(static_cast<std::size_t>(product));
  if (mul.op_type != "Mul" || !mul.domain.empty() || mul.inputs.size() != 2) return std::nullopt;
  Match match;
  if (!ActivationOf(node, match.activation) || editor.OnlyReader(node.outputs[0]) != product) {
    return std::nullopt;
  }
  if (std::ranges::find(mul.inputs, value) == mul.inputs.end()) return std::nullopt;
  if (match.activation.kind == ActivationKind::kSigmoid) {
    match.activation.kind = ActivationKind::kSilu;
  } else if (match.activation.kind == ActivationKind::kHardSigmoid) {
    match.activation.kind = ActivationKind::kHardSwish;
  } else {
    return std::nullopt;
  }
  match.last = product;
  match.between = {gate};
  return match;
}

// The constant operand of a node with two inputs of which the other is `value`.
bool OtherScalar(const ScopeEditor& editor, const Node& node, const std::string& value,
                 float& scalar) {
  if (!node.domain.empty() || node.inputs.size() != 2) return false;
  if (node.inputs[0] == value) return editor.ScalarOf(node.inputs[1], scalar);
  return node.op_type != "Div" && node.inputs[1] == value &&
         editor.ScalarOf(node.inputs[0], scalar);
}

// x * clip(x + shift, 0, top) / top, the division before or behind the product.
std::optional<Match> WrittenOutHardSwish(ScopeEditor& editor, const std::string& value, int add,
                                         int product) {
  const auto node = [&](int i) -> Node& { return editor.node(static_cast<std::size_t>(i)); };
  float shift = 0;
  if (node(add).op_type != "Add" || !OtherScalar(editor, node(add), value, shift)) {
    return std::nullopt;
  }
  const int clip = editor.OnlyReader(node(add).outputs[0]);
  if (clip < 0) return std::nullopt;
  const auto bounds = ClipOf(editor, node(clip));
  if (!bounds || bounds->alpha != 0 || !(bounds->beta > 0)) return std::nullopt;
  if (editor.OnlyReader(node(clip).outputs[0]) != product || node(product).op_type != "Mul" ||
      node(product).inputs.size() != 2) {
    return std::nullopt;
  }
  const std::string scaled = node(product).outputs[0];
  const int divide = editor.OnlyReader(scaled);
  if (divide < 0) return std::nullopt;
  float divisor = 0;
  if (!OtherScalar(editor, node(divide), scaled, divisor)) return std::nullopt;
  if (node(divide).op_type == "Mul") {
    divisor = 1 / divisor;
  } else if (node(divide).op_type != "Div") {
    return std::nullopt;
  }
  if (!(std::abs(divisor - bounds->beta) <= 1e-6f * bounds->beta)) return std::nullopt;
  Match match;
  match.activation = {ActivationKind::kHardSwish, 1 / bounds->beta, shift / bounds->beta};
  match.last = divide;
  match.between = {add, clip, product};
  return match;
}

std::optional<Match> MatchActivation(ScopeEditor& editor, const std::string& value) {
  if (auto match = SingleNode(editor, value)) return match;
  const std::vector<int> readers = editor.Readers(value);
  if (readers.size() != 2 || editor.UseCount(value) != 2 || readers[0] == readers[1]) {
    return std::nullopt;
  }
  for (const bool swapped : {false, true}) {
    const int gate = readers[swapped ? 1 : 0];
    const int product = readers[swapped ? 0 : 1];
    if (auto match = GatedByNode(editor, value, gate, product)) return match;
    if (auto match = WrittenOutHardSwish(editor, value, gate, product)) return match;
  }
  return std::nullopt;
}

}  // namespace

bool FuseResiduals(Graph& graph, int scope) {
  // Of the whole graph: only for a scope that has a use for them.
  std::optional<ValueShapes> shapes;
  const auto same_shape = [&](const std::string& a, const std::string& b) {
    if (!shapes) shapes = ShapesOfAnyInputs(graph);
    const auto& own = (*shapes)[static_cast<std::size_t>(scope)];
    const auto first = own.find(a);
    const auto second = own.find(b);
    return first != own.end() && second != own.end() && first->second == second->second;
  };
  ScopeEditor editor(graph, scope);
  for (std::size_t i = 0; i < editor.NodeCount(); ++i) {
    const Node& add = editor.node(i);
    if (editor.IsRemoved(i) || add.op_type != "Add" || !add.domain.empty() ||
        add.inputs.size() != 2 || add.inputs[0] == add.inputs[1] ||
        add.attributes.contains("broadcast")) {
      continue;
    }
    const int makers[2] = {editor.Maker(add.inputs[0]), editor.Maker(add.inputs[1])};
    // The later of two layers: the other one's output is there when it runs.
    int side = makers[1] > makers[0] ? 1 : 0;
    if (!CanTakeResidual(editor, makers[side])) side = 1 - side;
    if (!CanTakeResidual(editor, makers[side])) continue;
    if (!same_shape(add.inputs[0], add.inputs[1])) continue;
    const std::string other = add.inputs[side == 0 ? 1 : 0];
    const std::string output = add.outputs[0];
    if (editor.ConstantOf(other) != nullptr) continue;
    const auto layer = static_cast<std::size_t>(makers[side]);
    editor.Remove(i);
    editor.Swap(layer, i);
    editor.SetInput(i, kResidualInput, other);
    editor.SetOutput(i, output);
  }
  return editor.changed();
}

bool FuseActivations(Graph& graph, int scope) {
  ScopeEditor editor(graph, scope);
  for (std::size_t i = 0; i < editor.NodeCount(); ++i) {
    if (editor.IsRemoved(i) || !IsLayer(editor.node(i)) || HasActivation(editor.node(i))) continue;
    const auto match = MatchActivation(editor, editor.node(i).outputs[0]);
    if (!match) continue;
    const std::string output = editor.node(static_cast<std::size_t>(match->last)).outputs[0];
    for (const int between : match->between) editor.Remove(static_cast<std::size_t>(between));
    editor.Remove(static_cast<std::size_t>(match->last));
    SetFusedActivation(editor.node(i), match->activation);
    editor.SetOutput(i, output);
  }
  return editor.changed();
}

}  // namespace espalier::runtime

#include "espalier/graph/shape_inference.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "graph/inferred_facts.h"
#include "graph/int_folding.h"
#include "graph/shape_rules.h"

namespace espalier {
namespace {

using shapes::kMaxDim;
using shapes::kMaxRank;
using shapes::kUnknownDim;
using shapes::NodeView;
using shapes::Shape;
using shapes::ValueFact;

// Deeper subgraphs are inferred too, but after the nodes that hold them.
constexpr int kMaxDepth = 64;
constexpr int kMaxScopeDistance = 256;

// Elements that may be folded in all, so that a file of large integer tensors stays cheap.
constexpr std::int64_t kFoldBudget = std::int64_t{1} << 22;

// Loop bodies that may be inferred again, because a carried value does not keep its shape.
constexpr int kMaxRetries = 16;

Shape Sane(Shape shape) {
  if (!shape || shape->size() > kMaxRank) return std::nullopt;
  for (std::int64_t& dim : *shape) {
    if (dim < 0 || dim > kMaxDim) dim = kUnknownDim;
  }
  return shape;
}

// Takes from the file's declaration what the rules left open.
Shape FilledFrom(const ValueInfo* declared, Shape shape) {
  const Shape other = declared == nullptr ? std::nullopt : Sane(declared->dims);
  if (!shape || !other) return shape ? shape : other;
  if (shape->size() != other->size()) return shape;
  for (std::size_t i = 0; i < shape->size(); ++i) {
    if ((*shape)[i] < 0) (*shape)[i] = (*other)[i];
  }
  return shape;
}

// What holds for a value that may have either shape.
Shape Common(const Shape& a, const Shape& b) {
  if (!a || !b || a->size() != b->size()) return std::nullopt;
  Dims out = *a;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] != (*b)[i]) out[i] = kUnknownDim;
  }
  return out;
}

class Inference {
 public:
  // `unknown` is what the unknown dimensions of graph inputs count as, one entry an axis; without
  // a list, all count as 1. `strict`: what the file says of values between the nodes is not
  // believed.
  Inference(const Graph& graph, const std::optional<Dims>& unknown, bool strict);
  void Run();
  ValueShapes Result() const;
  MainFacts MainResult() const;

 private:
  using Facts = std::unordered_map<std::string_view, ValueFact>;
  using Declared = std::unordered_map<std::string_view, const ValueInfo*>;

  // `inputs` is what the node that holds the scope knows of its inputs.
  void InferScope(int scope, int depth, const std::vector<Shape>& inputs);
  void InferNode(int scope, int depth, const Node& node);
  void InferIf(int scope, int depth, const NodeView& view);
  void InferLoop(int scope, int depth, const NodeView& view);
  void InferScan(int scope, int depth, const NodeView& view);
  // The body's index, inferred with the carried values' first shapes if it keeps them.
  int InferLoopBody(const NodeView& view, int depth);
  // Forgets the scopes that were inferred after the first `count`.
  void Forget(std::size_t count);
  // Infers the subgraph in an attribute; -1 if there is none or it was inferred before.
  int InferSubgraph(const Node& node, const char* attribute, int depth,
                    const std::vector<Shape>& inputs);

  const ValueFact* Find(int scope, std::string_view name) const;
  const ValueFact* OutputOf(int scope, std::size_t i) const;
  bool IsScope(int scope) const {
    return scope >= 0 && static_cast<std::size_t>(scope) < graph_.scopes.size();
  }
  void Record(int scope, const std::string& name, ValueFact fact);
  void RecordShapes(int scope, const Node& node, const std::vector<Shape>& shapes);
  bool SpendFolding(const NodeView& view);

  std::int64_t UnknownDim(std::size_t axis) const;

  const Graph& graph_;
  const std::optional<Dims>& unknown_;
  std::vector<Facts> constants_;
  std::vector<Facts> facts_;
  std::vector<Declared> declared_;
  std::vector<bool> done_;
  std::vector<int> order_;  // scopes as they were inferred
  std::int64_t fold_budget_ = kFoldBudget;
  int retries_ = 0;
};

Inference::Inference(const Graph& graph, const std::optional<Dims>& unknown, bool strict)
    : graph_(graph),
      unknown_(unknown),
      constants_(graph.scopes.size()),
      facts_(graph.scopes.size()),
      declared_(graph.scopes.size()),
      done_(graph.scopes.size()) {
  for (const Constant& constant : graph.constants) {
    if (!IsScope(constant.scope)) continue;
    const auto scope = static_cast<std::size_t>(constant.scope);
    ValueFact fact{Sane(constant.tensor.dims()), shapes::SmallTensorOf(constant.tensor)};
    constants_[scope].try_emplace(constant.name, std::move(fact));
  }
  if (strict) return;
  for (std::size_t s = 0; s < graph.scopes.size(); ++s) {
    for (const ValueInfo& value : graph.scopes[s].values) {
      declared_[s].try_emplace(value.name, &value);
    }
    for (const ValueInfo& value : graph.scopes[s].outputs) {
      declared_[s].try_emplace(value.name, &value);
    }
  }
}

void Inference::Run() {
  for (std::size_t s = 0; s < graph_.scopes.size(); ++s) {
    // Scope 0 reaches its subgraphs; what is left are functions and malformed leftovers.
    if (!done_[s]) InferScope(static_cast<int>(s), 0, {});
  }
}

ValueShapes Inference::Result() const {
  ValueShapes result(facts_.size());
  for (std::size_t s = 0; s < facts_.size(); ++s) {
    for (const Facts* facts : {&constants_[s], &facts_[s]}) {
      for (const auto& [name, fact] : *facts) {
        if (fact.dims) result[s].emplace(name, *fact.dims);
      }
    }
  }
  return result;
}

MainFacts Inference::MainResult() const {
  MainFacts result;
  if (facts_.empty()) return result;
  for (const Facts* facts : {&constants_[0], &facts_[0]}) {
    for (const auto& [name, fact] : *facts) result.emplace(name, fact);
  }
  return result;
}

std::int64_t Inference::UnknownDim(std::size_t axis) const {
  if (!unknown_) return 1;  // one sample
  return axis < unknown_->size() ? (*unknown_)[axis] : kUnknownDim;
}

void Inference::InferScope(int scope, int depth, const std::vector<Shape>& inputs) {
  done_[scope] = true;
  order_.push_back(scope);
  const Scope& code = graph_.scopes[scope];
  for (std::size_t i = 0; i < code.inputs.size(); ++i) {
    Shape shape = FilledFrom(&code.inputs[i], i < inputs.size() ? Sane(inputs[i]) : std::nullopt);
    if (shape && code.kind == Scope::Kind::kMain) {
      for (std::size_t k = 0; k < shape->size(); ++k) {
        if ((*shape)[k] < 1) (*shape)[k] = UnknownDim(k);
      }
    }
    Record(scope, code.inputs[i].name, {std::move(shape), nullptr});
  }
  for (const Node& node : code.nodes) InferNode(scope, depth, node);
}

void Inference::InferNode(int scope, int depth, const Node& node) {
  std::vector<const ValueFact*> inputs;
  for (const std::string& input : node.inputs) inputs.push_back(Find(scope, input));
  const NodeView view(node, std::move(inputs));
  if (!node.subgraphs.empty()) {
    if (node.op_type == "If") return InferIf(scope, depth, view);
    if (node.op_type == "Loop") return InferLoop(scope, depth, view);
    if (node.op_type == "Scan") return InferScan(scope, depth, view);
  }
  if (SpendFolding(view)) {
    std::vector<shapes::SmallTensor> folded = shapes::FoldNode(view);
    const std::size_t count = std::min(folded.size(), node.outputs.size());
    for (std::size_t i = 0; i < count; ++i) {
      fold_budget_ -= static_cast<std::int64_t>(folded[i].size());
      auto tensor = std::make_shared<const shapes::SmallTensor>(std::move(folded[i]));
      Record(scope, node.outputs[i], {tensor->dims, tensor});
    }
    if (count == node.outputs.size()) return;
  }
  const shapes::Rule rule = shapes::FindRule(node);
  RecordShapes(scope, node, rule == nullptr ? std::vector<Shape>() : rule(view));
}

// Charges a node's inputs, so that many reductions of one large tensor come to an end too.
bool Inference::SpendFolding(const NodeView& view) {
  for (std::size_t i = 0; i < view.InputCount(); ++i) {
    const shapes::SmallTensor* input = view.Elements(i);
    if (input != nullptr) fold_budget_ -= static_cast<std::int64_t>(input->size());
  }
  return fold_budget_ > 0;
}

int Inference::InferSubgraph(const Node& node, const char* attribute, int depth,
                             const std::vector<Shape>& inputs) {
  const auto it = node.subgraphs.find(attribute);
  if (it == node.subgraphs.end() || !IsScope(it->second)) return -1;
  if (done_[it->second] || depth >= kMaxDepth) return -1;
  InferScope(it->second, depth + 1, inputs);
  return it->second;
}

void Inference::InferIf(int scope, int depth, const NodeView& view) {
  const Node& node = view.node();
  const int yes = InferSubgraph(node, "then_branch", depth, {});
  const int no = InferSubgraph(node, "else_branch", depth, {});
  const auto condition = view.OneInt(0);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    ValueFact fact;
    if (condition) {
      const ValueFact* taken = OutputOf(*condition != 0 ? yes : no, i);
      if (taken != nullptr) fact = *taken;
    } else if (OutputOf(yes, i) != nullptr && OutputOf(no, i) != nullptr) {
      fact.dims = Common(OutputOf(yes, i)->dims, OutputOf(no, i)->dims);
    }
    Record(scope, node.outputs[i], std::move(fact));
  }
}

void Inference::Forget(std::size_t count) {
  for (; order_.size() > count; order_.pop_back()) {
    done_[order_.back()] = false;
    facts_[order_.back()].clear();
  }
}

// Inputs: trip count, condition, carried values. The body sees the iteration number first.
int Inference::InferLoopBody(const NodeView& view, int depth) {
  std::vector<Shape> inputs = {Dims(), Dims()};
  const std::vector<Shape> cautious = inputs;
  for (std::size_t i = 2; i < view.InputCount(); ++i) inputs.push_back(view.InputDims(i));
  const std::size_t before = order_.size();
  const int body =
      InferSubgraph(view.node(), "body", depth, retries_ < kMaxRetries ? inputs : cautious);
  if (body < 0 || retries_ >= kMaxRetries) return body;
  for (std::size_t i = 2; i < inputs.size(); ++i) {
    const ValueFact* next = OutputOf(body, i - 1);  // output 0 is the condition
    if (!inputs[i] || (next != nullptr && Common(inputs[i], next->dims) == inputs[i])) continue;
    // The next iteration sees another shape: nothing that was found can be kept.
    ++retries_;
    Forget(before);
    return InferSubgraph(view.node(), "body", depth, cautious);
  }
  return body;
}

void Inference::InferLoop(int scope, int depth, const NodeView& view) {
  const Node& node = view.node();
  const int body = InferLoopBody(view, depth);
  const std::size_t carried = view.InputCount() < 2 ? 0 : view.InputCount() - 2;
  std::vector<Shape> out;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueFact* last = OutputOf(body, i + 1);
    out.push_back(last == nullptr ? std::nullopt : last->dims);
    if (i < carried) {
      out.back() = Common(view.InputDims(i + 2), out.back());  // no iteration gives the input
    } else if (out.back()) {
      out.back()->insert(out.back()->begin(), kUnknownDim);
    }
  }
  RecordShapes(scope, node, out);
}

// Inputs: states, then sequences, of which the body sees one step. States keep their shape.
void Inference::InferScan(int scope, int depth, const NodeView& view) {
  const Node& node = view.node();
  const std::int64_t count = view.Int("num_scan_inputs", 0).value_or(0);
  const bool batched = view.HasAttribute("directions");  // opset 8: other inputs, a batch axis
  if (batched || count < 1 || count > static_cast<std::int64_t>(view.InputCount())) {
    return RecordShapes(scope, node, {});
  }
  const std::size_t states = view.InputCount() - static_cast<std::size_t>(count);
  const auto axis_of = [&view](const char* name, std::size_t i, std::size_t rank) {
    const auto axes = view.IntList(name, Dims());
    const bool given = axes && i < axes->size();
    return axes ? shapes::AxisIndex(given ? (*axes)[i] : 0, rank) : std::nullopt;
  };
  std::int64_t steps = kUnknownDim;
  std::vector<Shape> inputs;
  for (std::size_t i = 0; i < view.InputCount(); ++i) {
    inputs.push_back(view.InputDims(i));
    if (i < states || !inputs.back()) continue;
    Dims& dims = *inputs.back();
    if (const auto axis = axis_of("scan_input_axes", i - states, dims.size())) {
      steps = std::max(steps, dims[*axis]);
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(*axis));
    } else {
      inputs.back().reset();
    }
  }
  const int body = InferSubgraph(node, "body", depth, inputs);
  std::vector<Shape> out;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueFact* last = OutputOf(body, i);
    out.push_back(last == nullptr ? std::nullopt : last->dims);
    if (i < states || !out.back()) continue;
    const auto axis = axis_of("scan_output_axes", i - states, out.back()->size() + 1);
    if (axis) out.back()->insert(out.back()->begin() + static_cast<std::ptrdiff_t>(*axis), steps);
    if (!axis) out.back().reset();
  }
  RecordShapes(scope, node, out);
}

const ValueFact* Inference::Find(int scope, std::string_view name) const {
  if (name.empty()) return nullptr;
  for (int i = 0; IsScope(scope) && i < kMaxScopeDistance; ++i) {
    for (const Facts* facts : {&constants_[scope], &facts_[scope]}) {
      const auto it = facts->find(name);
      if (it != facts->end()) return &it->second;
    }
    scope = graph_.scopes[scope].parent;
  }
  return nullptr;
}

const ValueFact* Inference::OutputOf(int scope, std::size_t i) const {
  if (!IsScope(scope) || i >= graph_.scopes[scope].outputs.size()) return nullptr;
  return Find(scope, graph_.scopes[scope].outputs[i].name);
}

void Inference::Record(int scope, const std::string& name, ValueFact fact) {
  if (name.empty() || constants_[scope].contains(name)) return;
  const auto declared = declared_[scope].find(name);
  const ValueInfo* info = declared == declared_[scope].end() ? nullptr : declared->second;
  fact.dims = FilledFrom(info, Sane(std::move(fact.dims)));
  facts_[scope].try_emplace(name,
                            std::move(fact));  // the first definition counts
}

void Inference::RecordShapes(int scope, const Node& node, const std::vector<Shape>& shapes) {
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    Record(scope, node.outputs[i], {i < shapes.size() ? shapes[i] : std::nullopt, nullptr});
  }
}

}  // namespace

ValueShapes InferShapes(const Graph& graph) {
  const std::optional<Dims> one_sample;
  Inference inference(graph, one_sample, /*strict=*/false);
  inference.Run();
  return inference.Result();
}

MainFacts InferMainFacts(const Graph& graph, const Dims& unknown) {
  const std::optional<Dims> dims = unknown;
  Inference inference(graph, dims, /*strict=*/true);
  inference.Run();
  return inference.MainResult();
}

}  // namespace espalier

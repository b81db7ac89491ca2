#include "espalier/graph/layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "graph/layer_macs.h"
#include "graph/layer_quantization.h"
#include "graph/weight_role.h"

namespace espalier {
namespace {

struct RoleUse {
  ConstantUse use;
  WeightRole role;
};

// All that is known of one constant that some layer reads.
struct Candidate {
  int order = 0;  // of the first reader, in order of execution
  std::vector<RoleUse> good;
  Layer layer;
};

std::string ReaderText(const ConstantUse& use) {
  if (!use.obstacle.empty()) return use.obstacle;
  return fmt::format("{} reads it too, and has no input channels along which to prune",
                     NodeText(*use.node));
}

bool CallsFunction(const Graph& graph, const Node& node) {
  const std::string name =
      node.domain.empty() ? "ai.onnx." + node.op_type : node.domain + "." + node.op_type;
  return std::ranges::any_of(graph.scopes, [&](const Scope& scope) {
    return scope.kind == Scope::Kind::kFunction && scope.name == name;
  });
}

// Whether the constant looks like a weight that a model-local function computes with.
bool IsFunctionArgument(const Graph& graph, const Constant& constant,
                        const std::vector<ConstantUse>& uses) {
  return constant.tensor.dims().size() >= 2 && IsPrunableDType(constant.tensor.dtype()) &&
         std::ranges::any_of(uses, [&graph](const ConstantUse& use) {
           return use.node != nullptr && use.obstacle.empty() && CallsFunction(graph, *use.node);
         });
}

// Whether a constant that a weight is made of is worth a word: scalars, factors of one dimension
// and indices are not.
bool MayBeWeight(const Constant& constant, const ConstantUse& use) {
  if (!use.indirect && use.node->op_type != "Einsum") return true;
  return IsPrunableDType(constant.tensor.dtype()) &&
         (constant.tensor.dims().size() >= 2 || use.cut_or_joined);
}

// A 1x1 convolution and a matrix product may share a weight: kernel axes of size 1 do not count.
WeightView WithoutUnitPositions(WeightView view) {
  std::erase_if(view.positions, [](const Axis& axis) { return axis.size == 1; });
  return view;
}

void CheckViewsAgree(Candidate* candidate) {
  const RoleUse& first = candidate->good.front();
  for (const RoleUse& other : candidate->good) {
    if (WithoutUnitPositions(other.role.view) == WithoutUnitPositions(first.role.view)) continue;
    candidate->layer.refusal = fmt::format("{} and {} share it but read it along different axes",
                                           NodeText(*first.use.node), NodeText(*other.use.node));
    return;
  }
}

// Whether two axes of one buffer share a digit of the element number: in a row-major buffer an axis
// is the digits from its stride to stride * size.
bool Overlap(const Axis& a, const Axis& b) {
  return a.size > 1 && b.size > 1 && a.stride < b.stride * b.size && b.stride < a.stride * a.size;
}

// Sorts the uses into roles and obstacles; false if no layer reads the constant.
bool ReadUses(const Graph& graph, const Constant& constant, const std::vector<ConstantUse>& uses,
              Candidate* candidate) {
  Layer& layer = candidate->layer;
  bool is_weight = false;
  std::string obstacle;
  for (const ConstantUse& use : uses) {
    const auto role = use.obstacle.empty() ? RoleOf(use) : std::nullopt;
    if (!role) {
      is_weight = is_weight || (use.node != nullptr && IsWeightInput(*use.node, use.input) &&
                                MayBeWeight(constant, use));
      if (obstacle.empty()) obstacle = ReaderText(use);
    } else if (const auto* text = std::get_if<std::string>(&*role)) {
      is_weight = is_weight || MayBeWeight(constant, use);
      layer.refusal = *text;
    } else {
      is_weight = true;
      candidate->good.push_back({use, std::get<WeightRole>(*role)});
      const WeightView& view = candidate->good.back().role.view;
      for (const ReorderedAxis& reordered : use.reordered) {
        const std::int64_t run = reordered.axis == view.out ? reordered.run : 1;
        layer.output_run = std::gcd(layer.output_run, run);
        if (!Overlap(reordered.axis, view.in)) continue;
        obstacle = fmt::format("{} sees its input channels in another order", NodeText(*use.node));
      }
    }
  }
  if (!is_weight && IsFunctionArgument(graph, constant, uses)) {
    is_weight = true;
    obstacle = "a model-local function reads it; inline the functions first";
  }
  if (layer.refusal.empty()) layer.refusal = obstacle;
  return is_weight;
}

void Describe(const ConstantUses& uses, std::vector<ConstantUse> all, Candidate* candidate) {
  Layer& layer = candidate->layer;
  std::erase_if(all, [](const ConstantUse& use) { return use.node == nullptr; });
  const auto order = [&uses](const Node* node) { return uses.OrderOf(node); };
  std::ranges::sort(all, {}, [&](const ConstantUse& use) { return order(use.node); });
  std::ranges::sort(candidate->good, {}, [&](const RoleUse& use) { return order(use.use.node); });
  const Node* last = nullptr;
  for (const ConstantUse& use : all) {
    if (use.node != last) layer.readers.push_back(NodeText(*use.node));
    last = use.node;
  }
  const Node& first = candidate->good.empty() ? *all.front().node : *candidate->good[0].use.node;
  candidate->order = order(&first);
  layer.op = first.op_type;
  layer.name = first.name.empty() ? layer.weight : first.name;
  if (candidate->good.empty()) return;
  const WeightRole& role = candidate->good.front().role;
  if (!first.name.empty()) layer.name += role.suffix;
  layer.kind = role.kind;
  layer.pointwise = role.pointwise;
  layer.depthwise = role.depthwise;
  layer.view = role.view;
}

bool HasSameZeros(const Quantization& a, const Quantization& b) {
  const auto uniform = [](const Quantization& q) {
    return std::ranges::all_of(q.zero_point,
                               [&q](std::int32_t zero) { return zero == q.zero_point[0]; });
  };
  if (uniform(a) && uniform(b)) return a.zero_point[0] == b.zero_point[0];
  return a.along == b.along && a.zero_point == b.zero_point;
}

// Rounding that all readers of a float weight see alike.
void FindRounding(const Graph& graph, const ConstantUses& uses, Candidate* candidate) {
  std::optional<Quantization> all;
  for (const RoleUse& good : candidate->good) {
    const auto found = FindFakeQuantization(graph, uses.constants(), good.use, good.role);
    if (!found || (all && *all != *found)) return;
    all = found;
  }
  candidate->layer.fake_quantization = std::move(all);
}

// What makes a weight unfit although every reader is known.
void CheckWeight(const Graph& graph, const ConstantUses& uses, Candidate* candidate) {
  Layer& layer = candidate->layer;
  if (!IsPrunableDType(layer.dtype)) {
    layer.refusal = fmt::format("its type {} cannot be pruned", DTypeName(layer.dtype));
    return;
  }
  CheckViewsAgree(candidate);
  if (!layer.refusal.empty()) return;
  if (IsFloatDType(layer.dtype)) return FindRounding(graph, uses, candidate);
  for (const RoleUse& good : candidate->good) {
    auto found = FindQuantization(graph, uses.constants(), good.use, good.role, layer.dtype);
    if (const auto* refusal = std::get_if<std::string>(&found)) {
      layer.refusal = *refusal;
    } else if (!layer.quantization) {
      layer.quantization = std::get<Quantization>(std::move(found));
    } else if (!HasSameZeros(*layer.quantization, std::get<Quantization>(found))) {
      layer.refusal =
          fmt::format("{} and {} share it but have different zero points",
                      NodeText(*candidate->good.front().use.node), NodeText(*good.use.node));
    }
    if (!layer.refusal.empty()) return layer.quantization.reset();
  }
}

void CountMacs(const Graph& graph, const ValueShapes& shapes, Candidate* candidate) {
  std::int64_t total = 0;
  for (const RoleUse& use : candidate->good) {
    const auto macs = LayerMacs(graph, shapes, use.use.scope, *use.use.node, use.role.view);
    if (!macs || __builtin_add_overflow(total, *macs, &total)) return;
  }
  if (!candidate->good.empty()) candidate->layer.macs = total;
}

void MakeNamesUnique(std::vector<Layer>* layers) {
  std::set<std::string> taken;
  std::map<std::string, int> last_number;
  for (Layer& layer : *layers) {
    const std::string base = layer.name;
    while (!taken.insert(layer.name).second) {
      const int number = last_number.try_emplace(base, 1).first->second += 1;
      layer.name = fmt::format("{}#{}", base, number);
    }
  }
}

}  // namespace

std::vector<Layer> FindLayers(const Graph& graph) {
  const ConstantUses uses(graph);
  const ValueShapes shapes = InferShapes(graph);
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    const Constant& constant = graph.constants[i];
    if (constant.tensor.dims().empty()) continue;
    Candidate candidate;
    candidate.layer.constant = static_cast<int>(i);
    candidate.layer.weight = constant.name;
    candidate.layer.dtype = constant.tensor.dtype();
    candidate.layer.shape = constant.tensor.dims();
    const std::vector<ConstantUse> all = uses.Of(static_cast<int>(i));
    if (!ReadUses(graph, constant, all, &candidate)) continue;
    Describe(uses, all, &candidate);
    if (candidate.layer.refusal.empty()) CheckWeight(graph, uses, &candidate);
    CountMacs(graph, shapes, &candidate);
    candidates.push_back(std::move(candidate));
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::order);
  std::vector<Layer> layers;
  for (Candidate& candidate : candidates) layers.push_back(std::move(candidate.layer));
  MakeNamesUnique(&layers);
  return layers;
}

}  // namespace espalier

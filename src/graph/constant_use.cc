#include "graph/constant_use.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "espalier/base/error.h"
#include "graph/weight_role.h"

namespace espalier {
namespace {

constexpr std::int64_t kMostRank = 64;
constexpr int kMostDepth = 256;  // of subgraphs; deeper ones come last in the order

bool IsOneOf(const std::string& text, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, text) != list.end();
}

bool IsStandard(const Node& node) { return node.domain.empty(); }

// Reads the shape only, never the elements.
bool ReadsShapeOnly(const Node& node) {
  return IsStandard(node) && IsOneOf(node.op_type, {"Shape", "Size"});
}

std::optional<Dims> NormalizedAxes(Dims axes, std::int64_t rank) {
  for (std::int64_t& axis : axes) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
  }
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) return std::nullopt;
  return axes;
}

std::optional<Dims> SqueezedDims(const Dims& dims, const std::optional<Dims>& axes) {
  Dims out;
  const auto rank = static_cast<std::int64_t>(dims.size());
  const bool chosen = axes && !axes->empty();  // ONNX Runtime takes an empty list as none given
  const auto normal = chosen ? NormalizedAxes(*axes, rank) : std::optional<Dims>();
  if (chosen && !normal) return std::nullopt;
  for (std::int64_t i = 0; i < rank; ++i) {
    const bool drop = normal ? std::ranges::binary_search(*normal, i) : dims[i] == 1;
    if (!drop) {
      out.push_back(dims[i]);
    } else if (dims[i] != 1) {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<Dims> UnsqueezedDims(const Dims& dims, const Dims& axes) {
  const auto rank = static_cast<std::int64_t>(dims.size() + axes.size());
  const auto normal = NormalizedAxes(axes, rank);
  if (!normal) return std::nullopt;
  Dims out;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < rank; ++i) {
    out.push_back(std::ranges::binary_search(*normal, i) ? 1 : dims[next++]);
  }
  return out;
}

// ONNX Reshape: 0 copies the input's dimension (unless allowzero), -1 takes what is left.
std::optional<Dims> ReshapeTarget(const Dims& dims, Dims target, bool allow_zero) {
  std::int64_t known = 1;
  std::int64_t* inferred = nullptr;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !allow_zero) {
      if (i >= dims.size()) return std::nullopt;
      target[i] = dims[i];
    }
    if (target[i] == -1 && inferred == nullptr) {
      inferred = &target[i];
    } else if (target[i] <= 0 || __builtin_mul_overflow(known, target[i], &known)) {
      return std::nullopt;
    }
  }
  const std::int64_t elements = ElementCount(dims);
  if (known > elements) return std::nullopt;  // also keeps ElementCount(target) in range
  if (inferred != nullptr) *inferred = elements / known;
  return target;
}

}  // namespace

StridedArray ContiguousArray(const Dims& dims) {
  StridedArray array{dims, Dims(dims.size())};
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    array.strides[i] = stride;
    stride *= dims[i];
  }
  return array;
}

std::optional<StridedArray> Transposed(const StridedArray& array, const Dims& order) {
  Dims sorted = order;
  std::ranges::sort(sorted);
  Dims identity(array.dims.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (sorted != identity) return std::nullopt;
  StridedArray out;
  for (const std::int64_t axis : order) {
    out.dims.push_back(array.dims[axis]);
    out.strides.push_back(array.strides[axis]);
  }
  return out;
}

std::optional<StridedArray> Reshaped(const StridedArray& array, const Dims& dims) {
  if (ElementCount(array.dims) != ElementCount(dims)) return std::nullopt;
  if (ElementCount(dims) == 0) return ContiguousArray(dims);
  // Axes that are neighbours in memory merge into one; then each merged axis splits into new ones.
  std::vector<Axis> merged;
  for (std::size_t i = 0; i < array.dims.size(); ++i) {
    if (array.dims[i] == 1) continue;
    const Axis axis{array.dims[i], array.strides[i]};
    if (!merged.empty() && merged.back().stride == axis.size * axis.stride) {
      merged.back() = {merged.back().size * axis.size, axis.stride};
    } else {
      merged.push_back(axis);
    }
  }
  StridedArray out{dims, Dims(dims.size())};
  for (std::size_t i = dims.size(); i-- > 0;) {
    while (!merged.empty() && merged.back().size == 1) merged.pop_back();
    if (dims[i] == 1) {
      out.strides[i] = 0;
    } else if (merged.empty() || merged.back().size % dims[i] != 0) {
      return std::nullopt;
    } else {
      out.strides[i] = merged.back().stride;
      merged.back() = {merged.back().size / dims[i], merged.back().stride * dims[i]};
    }
  }
  return out;
}

ConstantUses::ConstantUses(const Graph& graph)
    : graph_(graph), constants_(graph), readers_(graph), computed_(graph, readers_) {
  for (std::size_t s = 0; s < graph.scopes.size(); ++s) {
    if (graph.scopes[s].parent < 0) Number(static_cast<int>(s), 0);
  }
}

void ConstantUses::Number(int scope, int depth) {
  if (!readers_.IsScope(scope) || depth > kMostDepth) return;
  for (const Node& node : graph_.scopes[scope].nodes) {
    // A node that has a number already: malformed, two nodes share a subgraph.
    if (!order_.emplace(&node, static_cast<int>(order_.size())).second) return;
    for (const auto& [attribute, subgraph] : node.subgraphs) Number(subgraph, depth + 1);
  }
}

int ConstantUses::OrderOf(const Node* node) const {
  const auto it = order_.find(node);
  return it == order_.end() ? static_cast<int>(order_.size()) : it->second;
}

std::vector<ConstantUse> ConstantUses::Of(int index) const {
  const Constant& constant = graph_.constants[index];
  ConstantUse start;
  start.array = ContiguousArray(constant.tensor.dims());
  Walk walk;
  walk.steps = {{constant.scope, constant.name, start}};
  while (!walk.steps.empty()) {
    const Step step = std::move(walk.steps.back());
    walk.steps.pop_back();
    for (const Reader& reader : readers_.Of(step.scope, step.value)) Visit(reader, step, &walk);
  }
  return std::move(walk.uses);
}

void ConstantUses::Visit(const Reader& reader, const Step& step, Walk* walk) const {
  if (reader.node != nullptr && ReadsShapeOnly(*reader.node)) return;
  ConstantUse use = step.so_far;
  const auto part = use.obstacle.empty() ? PartOf(reader, use.array) : std::nullopt;
  const Reader* concat = part ? ConcatOf(reader) : nullptr;
  if (concat != nullptr) {
    const auto [known, is_new] = walk->concats.try_emplace(concat->node, 0);
    if (is_new) known->second = JoinsWhole(*concat, reader, use.array, *part);
    if (known->second > 0) {
      if (!walk->passed.insert(concat->node).second) return;
      use.reordered.push_back({{part->size, use.array.strides[part->axis]}, known->second});
      walk->steps.push_back({concat->scope, concat->node->outputs[0], use});
      return;
    }
  }
  if (PassThrough(reader, &use)) {
    if (!walk->passed.insert(reader.node).second) return;
    walk->steps.push_back({reader.scope, reader.node->outputs[0], use});
  } else if (!VisitIndirect(reader, use, walk)) {
    walk->uses.push_back(use);
  }
}

// Finds weight inputs where the constant arrives in another form; they make a use with an obstacle.
bool ConstantUses::VisitIndirect(const Reader& reader, const ConstantUse& use, Walk* walk) const {
  if (reader.node != nullptr && IsWeightInput(*reader.node, reader.input)) return false;
  std::optional<Reader> weight = computed_.WeightOf(reader);
  std::string text;
  if (weight) {
    text = fmt::format("{} computes with it", NodeText(*reader.node));
  } else if (auto crossed = computed_.WeightAcross(reader)) {
    weight = crossed->weight;
    text = std::move(crossed->text);
  } else {
    return false;
  }
  if (!walk->indirect.emplace(weight->node, weight->input).second) return true;
  ConstantUse found = use;
  found.scope = weight->scope;
  found.node = weight->node;
  found.input = weight->input;
  found.indirect = true;
  found.cut_or_joined = reader.node != nullptr &&
                        IsOneOf(reader.node->op_type, {"Slice", "Split", "Gather", "Concat"});
  // PassThrough() has its own words for every output of a scope; these say more.
  if (found.obstacle.empty() || reader.node == nullptr) found.obstacle = std::move(text);
  walk->uses.push_back(std::move(found));
  return true;
}

bool ConstantUses::PassThrough(const Reader& reader, ConstantUse* use) const {
  use->scope = reader.scope;
  use->node = reader.node;
  use->input = reader.input;
  if (reader.node == nullptr) {
    use->obstacle = "it is an output of the graph";
    return false;
  }
  const Node& node = *reader.node;
  if (!IsMove(node) || reader.input != 0 || node.outputs.size() != 1) return false;
  if (!use->obstacle.empty()) return true;  // only who reads it in the end is of interest
  const auto moved = Moved(reader, use->array);
  if (!moved) {
    use->obstacle =
        fmt::format("{} changes its layout in a way that cannot be followed", NodeText(node));
    return true;
  }
  use->array = *moved;
  if (node.op_type == "DequantizeLinear" && !use->dequantize) {
    use->dequantize = QuantizationNode{reader.scope, &node, *moved, !use->reordered.empty()};
  } else if (node.op_type == "QuantizeLinear" && !use->dequantize && !use->quantize) {
    use->quantize = QuantizationNode{reader.scope, &node, *moved, !use->reordered.empty()};
  }
  return true;
}

std::optional<ConstantUses::SlicePart> ConstantUses::PartOf(const Reader& reader,
                                                            const StridedArray& array) const {
  if (reader.node == nullptr || reader.input != 0) return std::nullopt;
  const Node& node = *reader.node;
  if (!IsStandard(node) || node.op_type != "Slice" || node.inputs.size() < 4) return std::nullopt;
  const auto begins = ConstantInts(reader.scope, node, 1);
  const auto ends = ConstantInts(reader.scope, node, 2);
  const auto axes = ConstantInts(reader.scope, node, 3);
  const auto steps = node.inputs.size() > 4 ? ConstantInts(reader.scope, node, 4) : Dims{1};
  if (!begins || !ends || !axes || steps != Dims{1} || axes->size() != 1 || begins->size() != 1 ||
      ends->size() != 1) {
    return std::nullopt;
  }
  const auto rank = static_cast<std::int64_t>(array.dims.size());
  SlicePart part{axes->front(), begins->front(), ends->front(), 0};
  if (part.axis < 0) part.axis += rank;
  if (part.axis < 0 || part.axis >= rank) return std::nullopt;
  part.size = array.dims[part.axis];
  if (part.begin < 0) part.begin += part.size;
  if (part.end < 0) part.end += part.size;
  part.end = std::min(part.end, part.size);
  return part;
}

// The Concat that alone reads what the Slice `reader` makes; null if there is none.
const ConstantUses::Reader* ConstantUses::ConcatOf(const Reader& reader) const {
  if (reader.node->outputs.size() != 1) return nullptr;
  const auto& readers = readers_.Of(reader.scope, reader.node->outputs[0]);
  if (readers.size() != 1) return nullptr;
  const Reader& next = readers.front();
  const bool joins = next.node != nullptr && IsStandard(*next.node) &&
                     next.node->op_type == "Concat" && next.node->outputs.size() == 1 &&
                     next.scope == reader.scope;
  return joins ? &next : nullptr;
}

// Whether the Concat puts all parts of the value that the Slice `reader` reads together again.
std::int64_t ConstantUses::JoinsWhole(const Reader& concat, const Reader& reader,
                                      const StridedArray& array, const SlicePart& part) const {
  std::vector<std::pair<std::int64_t, std::int64_t>> runs;
  for (const std::string& input : concat.node->inputs) {
    const Node* maker = readers_.Maker(reader.scope, input);
    if (maker == nullptr) return 0;
    const Node& slice = *maker;
    if (slice.inputs.empty() || slice.inputs[0] != reader.node->inputs[0]) return 0;
    const auto other = PartOf({reader.scope, &slice, 0}, array);
    if (!other || other->axis != part.axis) return 0;
    runs.emplace_back(other->begin, other->end);
  }
  std::ranges::sort(runs);
  std::int64_t covered = 0;
  std::int64_t run = part.size;
  for (const auto& [begin, end] : runs) {
    if (begin != covered || end <= begin) return 0;
    covered = end;
    run = std::gcd(run, end);
  }
  const auto axis = IntAttribute(*concat.node, "axis", -1);
  return covered == part.size && axis == part.axis ? run : 0;
}

std::optional<Dims> ConstantUses::ConstantInts(int scope, const Node& node,
                                               std::size_t input) const {
  if (input >= node.inputs.size() || node.inputs[input].empty()) return std::nullopt;
  const int index = constants_.Find(scope, node.inputs[input]);
  if (index < 0 || graph_.constants[index].tensor.dtype() != DType::kInt64) return std::nullopt;
  if (graph_.constants[index].tensor.elements() > kMostRank) return std::nullopt;
  return graph_.constants[index].tensor.AsInts();
}

std::optional<StridedArray> ConstantUses::Moved(const Reader& reader,
                                                const StridedArray& array) const {
  const Node& node = *reader.node;
  const auto rank = static_cast<std::int64_t>(array.dims.size());
  // Axes moved from an attribute to an input with opset 13 (Squeeze, Unsqueeze) and 5 (Reshape).
  const auto ints = [&](const char* attribute) -> std::optional<Dims> {
    if (node.attributes.contains(attribute)) return IntsAttribute(node, attribute, {});
    return ConstantInts(reader.scope, node, 1);
  };
  std::optional<Dims> dims;
  if (node.op_type == "Transpose") {
    Dims reversed(array.dims.size());
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    const auto order = IntsAttribute(node, "perm", reversed);
    return order ? Transposed(array, *order) : std::nullopt;
  }
  if (node.op_type == "Reshape") {
    const auto target = ints("shape");
    const auto allow_zero = IntAttribute(node, "allowzero", 0);
    if (target && allow_zero) dims = ReshapeTarget(array.dims, *target, *allow_zero != 0);
  } else if (node.op_type == "Squeeze") {
    const bool given =
        node.attributes.contains("axes") || (node.inputs.size() > 1 && !node.inputs[1].empty());
    const auto axes = ints("axes");
    if (axes || !given) dims = SqueezedDims(array.dims, axes);
  } else if (node.op_type == "Unsqueeze") {
    if (const auto axes = ints("axes")) dims = UnsqueezedDims(array.dims, *axes);
  } else if (node.op_type == "Flatten") {
    auto axis = IntAttribute(node, "axis", 1);
    if (axis && *axis < 0) *axis += rank;
    if (!axis || *axis < 0 || *axis > rank) return std::nullopt;
    const Dims head(array.dims.begin(), array.dims.begin() + *axis);
    const Dims tail(array.dims.begin() + *axis, array.dims.end());
    dims = Dims{ElementCount(head), ElementCount(tail)};
  } else {
    return array;  // Identity, casts, quantization: same elements in the same places
  }
  return dims ? Reshaped(array, *dims) : std::nullopt;
}

}  // namespace espalier

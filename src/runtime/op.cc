#include "runtime/op.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_map>

namespace espalier::runtime {
namespace {

template <typename T>
T AttributeOr(const Node& node, const std::string& name, T fallback, const char* kind) {
  const auto it = node.attributes.find(name);
  if (it == node.attributes.end()) return fallback;
  if (const T* value = std::get_if<T>(&it->second)) return *value;
  throw Error(ErrorCode::kBadFile,
              fmt::format("attribute '{}' of {} is not {}", name, NodeText(node), kind));
}

using OpTable = std::unordered_map<std::string, const OpEntry*>;

std::string Key(std::string_view domain, std::string_view op_type) {
  return fmt::format("{}:{}", domain, op_type);
}

OpTable MakeTable() {
  OpTable table;
  for (const auto& part :
       {ElementwiseOps(), MoveOps(), IndexOps(), ReduceOps(), NormalizeOps(), ConvOps(), PoolOps(),
        MatrixOps(), RecurrentOps(), ResizeOps(), QuantizedOps(), ControlOps()}) {
    for (const OpEntry& entry : part) table.emplace(Key(entry.domain, entry.op_type), &entry);
  }
  return table;
}

}  // namespace

std::vector<std::int64_t> OpContext::Ints(std::size_t i) const {
  const Value& value = Input(i);
  const std::size_t count = value.Elements();
  std::vector<std::int64_t> out(count);
  if (value.dtype == DType::kInt64) {
    for (std::size_t k = 0; k < count; ++k) out[k] = value.As<std::int64_t>()[k];
  } else if (value.dtype == DType::kInt32) {
    for (std::size_t k = 0; k < count; ++k) out[k] = value.As<std::int32_t>()[k];
  } else {
    throw Error(ErrorCode::kBadFile,
                fmt::format("input {} is {}, expected int64 or int32", i, DTypeName(value.dtype)));
  }
  return out;
}

std::int64_t OpBuild::opset() const {
  const auto it = graph_->opsets.find(node_->domain);
  return it == graph_->opsets.end() ? 1 : it->second;
}

std::int64_t OpBuild::Int(const std::string& attribute, std::int64_t fallback) const {
  return AttributeOr(*node_, attribute, fallback, "an integer");
}

float OpBuild::Float(const std::string& attribute, float fallback) const {
  return AttributeOr(*node_, attribute, fallback, "a number");
}

std::string OpBuild::String(const std::string& attribute, const std::string& fallback) const {
  return AttributeOr(*node_, attribute, fallback, "a text");
}

std::vector<std::int64_t> OpBuild::Ints(const std::string& attribute,
                                        std::vector<std::int64_t> fallback) const {
  return AttributeOr(*node_, attribute, std::move(fallback), "a list of integers");
}

std::vector<float> OpBuild::Floats(const std::string& attribute,
                                   std::vector<float> fallback) const {
  return AttributeOr(*node_, attribute, std::move(fallback), "a list of numbers");
}

const Tensor* OpBuild::TensorOf(const std::string& attribute) const {
  const auto it = node_->attributes.find(attribute);
  return it == node_->attributes.end() ? nullptr : std::get_if<Tensor>(&it->second);
}

const Tensor* OpBuild::ConstantInput(std::size_t i) const {
  if (constants_ == nullptr || i >= node_->inputs.size() || node_->inputs[i].empty())
    return nullptr;
  const int constant = constants_->Find(scope_, node_->inputs[i]);
  return constant < 0 ? nullptr : &graph_->constants[static_cast<std::size_t>(constant)].tensor;
}

void OpBuild::Refuse(const std::string& what) const {
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: {} is not supported", NodeText(*node_), what));
}

const OpEntry* FindOp(const Node& node) {
  static const OpTable table = MakeTable();
  const auto it = table.find(Key(node.domain, node.op_type));
  return it == table.end() ? nullptr : it->second;
}

std::size_t CheckedAxis(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (axis < -count || axis >= count) {
    throw Error(ErrorCode::kBadFile, fmt::format("axis {} of a tensor of rank {}", axis, rank));
  }
  return static_cast<std::size_t>(axis < 0 ? axis + count : axis);
}

}  // namespace espalier::runtime

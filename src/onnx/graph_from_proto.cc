#include "onnx/graph_from_proto.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"
#include "onnx/model_walk.h"

namespace espalier::internal {
namespace {

using ScopeOfGraph = std::unordered_map<const onnx::GraphProto*, int>;

ValueInfo ReadValueInfo(const onnx::ValueInfoProto& proto) {
  ValueInfo value{proto.name(), DType::kUnknown, std::nullopt};
  if (!proto.type().has_tensor_type()) return value;
  const onnx::TypeProto_Tensor& type = proto.type().tensor_type();
  value.dtype = DTypeFromProto(type.elem_type());
  if (!type.has_shape()) return value;
  value.dims.emplace();
  for (const onnx::TensorShapeProto_Dimension& dim : type.shape().dim()) {
    value.dims->push_back(dim.has_dim_value() ? std::max<std::int64_t>(dim.dim_value(), -1) : -1);
  }
  return value;
}

template <typename Field>
std::vector<ValueInfo> ReadValueInfos(const Field& field) {
  std::vector<ValueInfo> values;
  for (const auto& value : field) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
      values.push_back({value, DType::kUnknown, std::nullopt});
    } else {
      values.push_back(ReadValueInfo(value));
    }
  }
  return values;
}

// Files of IR versions 1 and 2 and some hand-written ones leave the type out.
onnx::AttributeProto::AttributeType TypeOf(const onnx::AttributeProto& proto) {
  if (proto.has_type() && proto.type() != onnx::AttributeProto::UNDEFINED) return proto.type();
  if (proto.has_f()) return onnx::AttributeProto::FLOAT;
  if (proto.has_i()) return onnx::AttributeProto::INT;
  if (proto.has_s()) return onnx::AttributeProto::STRING;
  if (proto.has_t()) return onnx::AttributeProto::TENSOR;
  if (proto.floats_size() > 0) return onnx::AttributeProto::FLOATS;
  if (proto.ints_size() > 0) return onnx::AttributeProto::INTS;
  if (proto.strings_size() > 0) return onnx::AttributeProto::STRINGS;
  return onnx::AttributeProto::UNDEFINED;
}

Attribute ReadAttribute(onnx::AttributeProto* proto, const TensorSource& source) {
  if (!proto->ref_attr_name().empty()) return std::monostate{};
  switch (TypeOf(*proto)) {
    case onnx::AttributeProto::FLOAT:
      return proto->f();
    case onnx::AttributeProto::INT:
      return std::int64_t{proto->i()};
    case onnx::AttributeProto::STRING:
      return proto->s();
    case onnx::AttributeProto::FLOATS:
      return std::vector<float>(proto->floats().begin(), proto->floats().end());
    case onnx::AttributeProto::INTS:
      return std::vector<std::int64_t>(proto->ints().begin(), proto->ints().end());
    case onnx::AttributeProto::STRINGS:
      return std::vector<std::string>(proto->strings().begin(), proto->strings().end());
    case onnx::AttributeProto::TENSOR:
      return proto->has_t() ? ReadTensor(proto->mutable_t(), source).tensor : Attribute{};
    default:
      return std::monostate{};
  }
}

Node ReadNode(onnx::NodeProto* proto, const ScopeOfGraph& scope_of, const TensorSource& source) {
  Node node;
  node.name = proto->name();
  node.op_type = proto->op_type();
  if (!IsDefaultDomain(proto->domain())) node.domain = proto->domain();
  node.inputs.assign(proto->input().begin(), proto->input().end());
  node.outputs.assign(proto->output().begin(), proto->output().end());
  for (onnx::AttributeProto& attribute : *proto->mutable_attribute()) {
    const std::string& name = attribute.name();
    if (attribute.has_g()) node.subgraphs.try_emplace(name, scope_of.at(&attribute.g()));
    for (int i = 0; i < attribute.graphs_size(); ++i) {
      node.subgraphs.try_emplace(fmt::format("{}[{}]", name, i), scope_of.at(&attribute.graphs(i)));
    }
    if (attribute.has_g() || attribute.graphs_size() > 0) continue;
    try {
      node.attributes.try_emplace(name, ReadAttribute(&attribute, source));
    } catch (Error& error) {
      error.AddContext(fmt::format("reading attribute {} of {}", Quote(name), NodeText(node)));
      throw;
    }
  }
  return node;
}

Scope ReadScope(const ScopePlace& place, const ScopeOfGraph& scope_of, const TensorSource& source) {
  Scope scope;
  scope.kind = place.kind;
  scope.parent = place.parent;
  if (const onnx::GraphProto* graph = place.graph) {
    scope.name = graph->name();
    scope.inputs = ReadValueInfos(graph->input());
    scope.outputs = ReadValueInfos(graph->output());
    scope.values = ReadValueInfos(graph->value_info());
  } else {
    scope.name = fmt::format("{}.{}", place.function->domain(), place.function->name());
    scope.inputs = ReadValueInfos(place.function->input());
    scope.outputs = ReadValueInfos(place.function->output());
  }
  for (onnx::NodeProto& node : place.nodes()) {
    if (!IsStatedConstant(node)) scope.nodes.push_back(ReadNode(&node, scope_of, source));
  }
  return scope;
}

StoredTensor ReadConstant(const ConstantPlace& place, const TensorSource& source) {
  if (place.tensor != nullptr) return ReadTensor(place.tensor, source);
  if (place.attribute != nullptr) return ReadScalarAttribute(*place.attribute);
  return {ReadSparseTensor(*place.sparse), Storage::kNone, false};
}

void ReadConstants(const std::vector<ConstantPlace>& places, const TensorSource& source,
                   Graph* graph, OnnxSource* out) {
  for (const ConstantPlace& place : places) {
    try {
      StoredTensor stored = ReadConstant(place, source);
      graph->constants.push_back({place.name, place.scope, std::move(stored.tensor)});
      out->constants.push_back({place.name, place.scope, stored.storage, stored.detached});
    } catch (Error& error) {
      error.AddContext(fmt::format("reading tensor {}", Quote(place.name)));
      throw;
    }
  }
}

void CheckNames(const Graph& graph) {
  std::set<std::pair<int, std::string_view>> constants;
  for (const Constant& constant : graph.constants) {
    if (constants.emplace(constant.scope, constant.name).second) continue;
    throw Error(ErrorCode::kBadFile,
                fmt::format("two constants of graph {} have the name {}",
                            Quote(graph.scopes[constant.scope].name), Quote(constant.name)));
  }
  for (std::size_t i = 0; i < graph.scopes.size(); ++i) {
    for (const Node& node : graph.scopes[i].nodes) {
      for (const std::string& output : node.outputs) {
        if (output.empty() || !constants.contains({static_cast<int>(i), output})) continue;
        throw Error(ErrorCode::kBadFile, fmt::format("{} is both a constant and an output of {}",
                                                     Quote(output), NodeText(node)));
      }
    }
  }
}

// Tensors in other files that are no constants of the graph: in training graphs or in attributes.
void ReadOtherExternal(const std::vector<ConstantPlace>& places, ExternalReader* reader,
                       OnnxSource* source) {
  std::unordered_set<const onnx::TensorProto*> known;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (source->constants[i].storage == Storage::kExternal) known.insert(places[i].tensor);
  }
  for (const onnx::TensorProto* tensor : ListExternalTensors(source->proto.get())) {
    SharedBytes bytes;
    if (!known.contains(tensor)) {
      if (reader == nullptr) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("tensor {} is in another file", Quote(tensor->name())));
      }
      bytes = reader->Read(*tensor, std::nullopt);
    }
    source->external.push_back(std::move(bytes));
  }
}

}  // namespace

Graph GraphFromProto(OnnxSource* source, ExternalReader* external) {
  const std::vector<ScopePlace> scopes = ListScopes(source->proto.get());
  ScopeOfGraph scope_of;
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    if (scopes[i].graph != nullptr) scope_of[scopes[i].graph] = static_cast<int>(i);
  }
  Graph graph;
  TensorSource tensors{external, source->proto, /*detach=*/false};
  for (const ScopePlace& place : scopes) {
    graph.scopes.push_back(ReadScope(place, scope_of, tensors));
  }
  for (const onnx::OperatorSetIdProto& opset : source->proto->opset_import()) {
    std::int64_t& version = graph.opsets[IsDefaultDomain(opset.domain()) ? "" : opset.domain()];
    version = std::max<std::int64_t>(version, opset.version());
  }
  graph.ir_version = source->proto->ir_version();
  for (const onnx::StringStringEntryProto& entry : source->proto->metadata_props()) {
    graph.metadata.emplace(entry.key(), entry.value());
  }
  const std::vector<ConstantPlace> places = ListConstants(scopes);
  tensors.detach = true;
  ReadConstants(places, tensors, &graph, source);
  CheckNames(graph);
  ReadOtherExternal(places, external, source);
  return graph;
}

}  // namespace espalier::internal

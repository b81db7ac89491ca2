#include "onnx/graph_edits.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "espalier/base/error.h"
#include "io/text.h"
#include "onnx/model_walk.h"
#include "onnx/tensor_proto.h"

namespace espalier::internal {
namespace {

constexpr std::int64_t kLastIrWithInputs = 3;  // up to it every initializer is an input, too

template <typename Field>
bool SameNames(const Field& field, const std::vector<std::string>& names) {
  return std::equal(field.begin(), field.end(), names.begin(), names.end());
}

bool SameNode(const onnx::NodeProto& proto, const Node& node) {
  return proto.op_type() == node.op_type && SameNames(proto.output(), node.outputs);
}

// Both lists are in the file's order, so what does not match has been removed.
void StoreNodes(const Scope& scope, google::protobuf::RepeatedPtrField<onnx::NodeProto>* protos) {
  std::size_t next = 0;
  std::set<int> removed;
  for (int i = 0; i < protos->size(); ++i) {
    onnx::NodeProto& proto = *protos->Mutable(i);
    if (IsStatedConstant(proto)) continue;
    if (next == scope.nodes.size() || !SameNode(proto, scope.nodes[next])) {
      removed.insert(i);
      continue;
    }
    const Node& node = scope.nodes[next++];
    if (SameNames(proto.input(), node.inputs)) continue;
    proto.clear_input();
    for (const std::string& input : node.inputs) proto.add_input(input);
  }
  if (next < scope.nodes.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("{} is not in the file that the graph came from",
                                                  NodeText(scope.nodes[next])));
  }
  for (auto index = removed.rbegin(); index != removed.rend(); ++index) {
    protos->DeleteSubrange(*index, 1);
  }
}

int ProtoType(const Constant& constant) {
  for (int type = 1; type <= onnx::TensorProto::BFLOAT16; ++type) {
    if (DTypeFromProto(type) == constant.tensor.dtype() &&
        constant.tensor.dtype() != DType::kString)
      return type;
  }
  throw Error(ErrorCode::kInternal,
              fmt::format("added constant {} is of type {}", Quote(constant.name),
                          DTypeName(constant.tensor.dtype())));
}

void AddConstant(const Constant& constant, bool also_input, onnx::GraphProto* graph,
                 ExternalWriter* external) {
  for (const onnx::TensorProto& other : graph->initializer()) {
    if (other.name() == constant.name)
      throw Error(ErrorCode::kInternal,
                  fmt::format("there is an initializer {} already", Quote(constant.name)));
  }
  const int type = ProtoType(constant);
  onnx::TensorProto* const proto = graph->add_initializer();
  proto->set_name(constant.name);
  proto->set_data_type(type);
  for (const std::int64_t dim : constant.tensor.dims()) proto->add_dims(dim);
  const std::span<const std::byte> bytes = constant.tensor.bytes();
  if (external != nullptr && bytes.size() >= kExternalBytes) {
    external->Add(bytes, proto);
  } else {
    proto->set_raw_data(bytes.data(), bytes.size());
  }
  if (!also_input) return;
  onnx::ValueInfoProto* const input = graph->add_input();
  input->set_name(constant.name);
  onnx::TypeProto_Tensor* const tensor = input->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  for (const std::int64_t dim : constant.tensor.dims()) {
    tensor->mutable_shape()->add_dim()->set_dim_value(dim);
  }
}

}  // namespace

void StoreEdits(const Graph& graph, std::size_t stated, onnx::ModelProto* proto,
                ExternalWriter* external) {
  // Listed before nodes go: those that go take no subgraph along, or the counts would differ.
  const std::vector<ScopePlace> places = ListScopes(proto);
  if (places.size() != graph.scopes.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("the graph has {} scopes, its source {}",
                                                  graph.scopes.size(), places.size()));
  }
  for (std::size_t i = stated; i < graph.constants.size(); ++i) {
    const Constant& constant = graph.constants[i];
    onnx::GraphProto* const place = places.at(static_cast<std::size_t>(constant.scope)).graph;
    if (place == nullptr) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("added constant {} is in a function", Quote(constant.name)));
    }
    AddConstant(constant, proto->ir_version() <= kLastIrWithInputs && constant.scope == 0, place,
                external);
  }
  // Children first: a parent that loses a node moves the ones behind it.
  for (std::size_t i = places.size(); i-- > 0;) StoreNodes(graph.scopes[i], &places[i].nodes());
}

}  // namespace espalier::internal

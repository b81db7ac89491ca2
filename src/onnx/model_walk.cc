#include "onnx/model_walk.h"

#include <google/protobuf/message.h>

#include <string_view>

namespace espalier::internal {
namespace {

constexpr std::string_view kScalarValues[] = {"value_float", "value_floats", "value_int",
                                              "value_ints",  "value_string", "value_strings"};

void AddSubgraphs(std::vector<ScopePlace>* scopes, int parent);

void AddGraph(std::vector<ScopePlace>* scopes, int parent, onnx::GraphProto* graph) {
  scopes->push_back({Scope::Kind::kSubgraph, parent, graph, nullptr});
  AddSubgraphs(scopes, static_cast<int>(scopes->size()) - 1);
}

// Recursion ends early: protobuf refuses files with over 100 nested messages, 3 a subgraph.
void AddSubgraphs(std::vector<ScopePlace>* scopes, int parent) {
  for (onnx::NodeProto& node : (*scopes)[static_cast<std::size_t>(parent)].nodes()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) AddGraph(scopes, parent, attribute.mutable_g());
      for (onnx::GraphProto& graph : *attribute.mutable_graphs()) AddGraph(scopes, parent, &graph);
    }
  }
}

bool StatesValue(const onnx::AttributeProto& attribute) {
  if (!attribute.ref_attr_name().empty()) return false;
  if (attribute.name() == "value") return attribute.has_t();
  if (attribute.name() == "sparse_value") return attribute.has_sparse_tensor();
  for (const std::string_view name : kScalarValues) {
    if (attribute.name() == name) return true;
  }
  return false;
}

ConstantPlace PlaceOf(int scope, onnx::NodeProto* node) {
  onnx::AttributeProto* attribute = node->mutable_attribute(0);
  ConstantPlace place{scope, node->output(0)};
  if (attribute->name() == "value") {
    place.tensor = attribute->mutable_t();
  } else if (attribute->name() == "sparse_value") {
    place.sparse = attribute->mutable_sparse_tensor();
  } else {
    place.attribute = attribute;
  }
  return place;
}

void AddExternalTensors(google::protobuf::Message* message,
                        std::vector<onnx::TensorProto*>* tensors) {
  if (message->GetDescriptor() == onnx::TensorProto::descriptor()) {
    auto* tensor = static_cast<onnx::TensorProto*>(message);
    if (tensor->data_location() == onnx::TensorProto::EXTERNAL) tensors->push_back(tensor);
    return;
  }
  const google::protobuf::Reflection* reflection = message->GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      AddExternalTensors(reflection->MutableMessage(message, field), tensors);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
      AddExternalTensors(reflection->MutableRepeatedMessage(message, field, i), tensors);
    }
  }
}

}  // namespace

google::protobuf::RepeatedPtrField<onnx::NodeProto>& ScopePlace::nodes() const {
  return graph != nullptr ? *graph->mutable_node() : *function->mutable_node();
}

std::vector<ScopePlace> ListScopes(onnx::ModelProto* model) {
  std::vector<ScopePlace> scopes;
  scopes.push_back({Scope::Kind::kMain, -1, model->mutable_graph(), nullptr});
  AddSubgraphs(&scopes, 0);
  for (onnx::FunctionProto& function : *model->mutable_functions()) {
    scopes.push_back({Scope::Kind::kFunction, -1, nullptr, &function});
    AddSubgraphs(&scopes, static_cast<int>(scopes.size()) - 1);
  }
  return scopes;
}

std::vector<ConstantPlace> ListConstants(const std::vector<ScopePlace>& scopes) {
  std::vector<ConstantPlace> places;
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    const int scope = static_cast<int>(i);
    if (onnx::GraphProto* graph = scopes[i].graph) {
      for (onnx::TensorProto& tensor : *graph->mutable_initializer()) {
        places.push_back({scope, tensor.name(), &tensor, nullptr, nullptr});
      }
      for (onnx::SparseTensorProto& sparse : *graph->mutable_sparse_initializer()) {
        places.push_back({scope, sparse.values().name(), nullptr, &sparse, nullptr});
      }
    }
    for (onnx::NodeProto& node : scopes[i].nodes()) {
      if (IsStatedConstant(node)) places.push_back(PlaceOf(scope, &node));
    }
  }
  return places;
}

std::vector<onnx::TensorProto*> ListExternalTensors(onnx::ModelProto* model) {
  std::vector<onnx::TensorProto*> tensors;
  AddExternalTensors(model, &tensors);
  return tensors;
}

bool IsDefaultDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

bool IsStatedConstant(const onnx::NodeProto& node) {
  return node.op_type() == "Constant" && IsDefaultDomain(node.domain()) &&
         node.output_size() == 1 && !node.output(0).empty() && node.attribute_size() == 1 &&
         StatesValue(node.attribute(0));
}

}  // namespace espalier::internal

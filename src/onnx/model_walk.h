#pragma once

#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "espalier/graph/graph.h"

// Where things are in a ModelProto. Both the reader and the writer walk with these functions, so
// that the n-th constant of a graph is the n-th of its file.
namespace espalier::internal {

/// A scope's part of the file: one of `graph` and `function` is set.
struct ScopePlace {
  Scope::Kind kind = Scope::Kind::kMain;
  int parent = -1;
  onnx::GraphProto* graph = nullptr;
  onnx::FunctionProto* function = nullptr;

  google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes() const;
};

/// A constant's part of the file: one of the pointers is set.
struct ConstantPlace {
  int scope = 0;
  std::string name;
  onnx::TensorProto* tensor = nullptr;
  onnx::SparseTensorProto* sparse = nullptr;
  onnx::AttributeProto* attribute = nullptr;  ///< value_float, value_ints, ... of a Constant node.
};

/// Main graph, its subgraphs, then each function with its subgraphs; parents before children.
std::vector<ScopePlace> ListScopes(onnx::ModelProto* model);

/// In each scope initializers, sparse initializers, then Constant nodes.
std::vector<ConstantPlace> ListConstants(const std::vector<ScopePlace>& scopes);

/// All tensors anywhere in the file (training graphs and attributes, too) whose bytes are in
/// another file.
std::vector<onnx::TensorProto*> ListExternalTensors(onnx::ModelProto* model);

/// Whether the operator belongs to ONNX itself.
bool IsDefaultDomain(const std::string& domain);

/// A Constant node whose value the file states; one that takes it from a function's caller is none.
bool IsStatedConstant(const onnx::NodeProto& node);

}  // namespace espalier::internal

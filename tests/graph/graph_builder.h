#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/graph/shape_inference.h"

// Small graphs by hand, for tests of shape inference.
namespace espalier::testing {

template <class T>
Tensor TensorOf(DType dtype, Dims dims, const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

inline Tensor IntVector(const Dims& values) {
  return TensorOf(DType::kInt64, {static_cast<std::int64_t>(values.size())}, values);
}

inline Tensor IntScalar(std::int64_t value) { return TensorOf(DType::kInt64, {}, Dims{value}); }

inline Tensor FloatVector(const std::vector<float>& values) {
  return TensorOf(DType::kFloat32, {static_cast<std::int64_t>(values.size())}, values);
}

using Attributes = std::map<std::string, Attribute>;

/// One graph that grows by calls; every name is a value's name.
class GraphBuilder {
 public:
  GraphBuilder() : graph_{std::vector<Scope>(1), {}, {{"", 18}}} {}

  int AddScope(Scope::Kind kind, int parent) {
    graph_.scopes.emplace_back();
    graph_.scopes.back().kind = kind;
    graph_.scopes.back().parent = parent;
    return static_cast<int>(graph_.scopes.size()) - 1;
  }
  GraphBuilder& Input(const std::string& name, std::optional<Dims> dims, int scope = 0) {
    graph_.scopes[scope].inputs.push_back({name, DType::kFloat32, std::move(dims)});
    return *this;
  }
  GraphBuilder& Output(const std::string& name, int scope = 0) {
    graph_.scopes[scope].outputs.push_back({name, DType::kFloat32, std::nullopt});
    return *this;
  }
  GraphBuilder& Declare(const std::string& name, Dims dims, int scope = 0) {
    graph_.scopes[scope].values.push_back({name, DType::kFloat32, std::move(dims)});
    return *this;
  }
  GraphBuilder& Constant(const std::string& name, Tensor tensor, int scope = 0) {
    graph_.constants.push_back({name, scope, std::move(tensor), false});
    return *this;
  }
  GraphBuilder& Add(const std::string& op, std::vector<std::string> inputs,
                    std::vector<std::string> outputs, Attributes attributes = {}, int scope = 0) {
    const std::size_t colon = op.find(':');
    Node node;
    node.op_type = colon == std::string::npos ? op : op.substr(colon + 1);
    node.domain = colon == std::string::npos ? "" : op.substr(0, colon);
    node.inputs = std::move(inputs);
    node.outputs = std::move(outputs);
    node.attributes = std::move(attributes);
    graph_.scopes[scope].nodes.push_back(std::move(node));
    return *this;
  }
  /// Gives the last node of `scope` a subgraph.
  GraphBuilder& Subgraph(const std::string& attribute, int subgraph, int scope = 0) {
    graph_.scopes[scope].nodes.back().subgraphs[attribute] = subgraph;
    return *this;
  }

  Graph& graph() { return graph_; }

  /// Inferred dimensions; nothing if the rank is unknown.
  std::optional<Dims> DimsOf(const std::string& name, int scope = 0) const {
    const ValueShapes shapes = InferShapes(graph_);
    const auto it = shapes[scope].find(name);
    return it == shapes[scope].end() ? std::nullopt : std::optional<Dims>(it->second);
  }

 private:
  Graph graph_;
};

/// One input of a single node: of some dimensions (-1: unknown), or a constant.
struct Arg {
  std::optional<Dims> dims;
  std::optional<Tensor> constant;
  bool absent = false;
};

inline Arg Of(Dims dims) { return {std::move(dims), std::nullopt}; }
inline Arg Ints(const Dims& values) { return {std::nullopt, IntVector(values)}; }
inline Arg Int(std::int64_t value) { return {std::nullopt, IntScalar(value)}; }
inline Arg Floats(const std::vector<float>& values) { return {std::nullopt, FloatVector(values)}; }
inline Arg Anything() { return {}; }                                ///< Nothing is known of it.
inline Arg Absent() { return {std::nullopt, std::nullopt, true}; }  ///< An input left out.

/// A graph of one node "op" or "domain:op", with outputs "y0", "y1", ...
inline GraphBuilder OneNode(const std::string& op, const std::vector<Arg>& args,
                            const Attributes& attributes = {}, int outputs = 1) {
  GraphBuilder builder;
  std::vector<std::string> inputs;
  for (const Arg& arg : args) {
    inputs.push_back(arg.absent ? "" : fmt::format("x{}", inputs.size()));
    if (arg.constant) {
      builder.Constant(inputs.back(), *arg.constant);
    } else if (!arg.absent) {
      // A graph input's unknown dimensions would count as 1; those of a declared value do not.
      builder.Add("test:Source", {}, {inputs.back()});
      if (arg.dims) builder.Declare(inputs.back(), *arg.dims);
    }
  }
  std::vector<std::string> names;
  for (int i = 0; i < outputs; ++i) names.push_back(fmt::format("y{}", i));
  builder.Add(op, inputs, names, attributes);
  return builder;
}

/// Dimensions of one output of a single node.
inline std::optional<Dims> Result(const std::string& op, const std::vector<Arg>& args,
                                  const Attributes& attributes = {}) {
  return OneNode(op, args, attributes).DimsOf("y0");
}

/// The elements that inference knows of an integer vector: ConstantOfShape turns them into dims.
inline std::optional<Dims> Values(GraphBuilder builder, const std::string& name) {
  builder.Add("ConstantOfShape", {name}, {"shape of " + name});
  return builder.DimsOf("shape of " + name);
}

}  // namespace espalier::testing

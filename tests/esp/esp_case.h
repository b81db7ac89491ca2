#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/esp/esp_file.h"

namespace espalier {

/// Where two graphs differ, to the bit; empty if nowhere. Constant::modified does not count.
inline std::string GraphDifference(const Graph& a, const Graph& b);

template <typename T>
Tensor TensorOf(DType dtype, Dims dims, const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

/// Normal numbers, each of which is zero with probability `zeros`.
inline std::vector<float> SparseFloats(std::size_t count, double zeros, unsigned seed = 7) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random) < zeros ? 0.0f : normal(random);
  return values;
}

/// A graph of one scope: a MatMul for each constant, which makes it a layer's weight.
inline Graph GraphOf(std::vector<Constant> constants) {
  Graph graph;
  graph.scopes.resize(1);
  graph.opsets[""] = 17;
  graph.constants = std::move(constants);
  for (const Constant& constant : graph.constants) {
    Node node;
    node.op_type = "MatMul";
    node.inputs = {"x", constant.name};
    node.outputs = {constant.name + "_product"};
    graph.scopes[0].nodes.push_back(std::move(node));
  }
  graph.scopes[0].inputs.push_back({"x", DType::kFloat32, std::nullopt});
  return graph;
}

/// Everything that a graph can hold, in little space.
inline Graph RichGraph() {
  Graph graph = GraphOf({});
  graph.scopes.resize(4);
  graph.opsets = {{"", 17}, {"com.microsoft", 1}, {"odd", -3}};
  Scope& main = graph.scopes[0];
  main.name = "main \xC3\xA9 \xFF";
  main.outputs.push_back({"y", DType::kFloat16, Dims{}});
  main.values.push_back({"v", DType::kUnknown, Dims{-1, 0, 5}});
  graph.scopes[1] = {Scope::Kind::kSubgraph, 0, "then", {}, {}, {}, {}};
  graph.scopes[2] = {Scope::Kind::kSubgraph, 1, "inner", {}, {}, {}, {}};
  graph.scopes[3] = {Scope::Kind::kFunction, -1, "my.f", {}, {}, {}, {}};
  Node node;
  node.name = "n";
  node.op_type = "If";
  node.domain = "odd";
  node.inputs = {"x", "", "c0"};
  node.outputs = {"y", ""};
  node.attributes["none"] = std::monostate{};
  node.attributes["int"] = std::numeric_limits<std::int64_t>::min();
  node.attributes["float"] = -0.0f;
  node.attributes["text"] = std::string("a\0b", 3);
  node.attributes["ints"] = std::vector<std::int64_t>{0, -1, 1, INT64_MAX, INT64_MIN, 64, -65};
  node.attributes["floats"] = std::vector<float>{1.5f, std::numeric_limits<float>::infinity()};
  node.attributes["texts"] = std::vector<std::string>{"", "x"};
  node.attributes["empty"] = std::vector<float>{};
  node.attributes["tensor"] = TensorOf<std::int16_t>(DType::kInt16, {3, 1}, {-1, 2, 300});
  node.attributes["strings"] = Tensor::WithoutBytes(DType::kString, {2});
  node.subgraphs["then_branch"] = 1;
  main.nodes.push_back(node);
  Node inner;
  inner.op_type = "Loop";
  inner.subgraphs["body"] = 2;
  graph.scopes[1].nodes.push_back(inner);
  graph.constants.push_back({"c0", 0, TensorOf<std::int64_t>(DType::kInt64, {}, {-7})});
  graph.constants.push_back({"c0", 2, TensorOf<float>(DType::kFloat32, {0, 3}, {})});
  graph.constants.push_back({"s", 1, Tensor::WithoutBytes(DType::kString, {2, 2})});
  graph.constants.push_back({"u", 3, Tensor::WithoutBytes(DType::kUnknown, {1000, 1000})});
  graph.constants.push_back({"w", 0, TensorOf(DType::kFloat32, {9, 16}, SparseFloats(144, 0.75))});
  return graph;
}

inline std::vector<std::byte> ToBytes(const Graph& graph, const EspOptions& options = {}) {
  return WriteEspToBytes(graph, options, nullptr);
}

template <typename Action>
void ExpectError(ErrorCode code, std::string_view text, const Action& action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(text), std::string_view::npos) << error.what();
  }
}

namespace difference {

inline bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

inline bool Same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() && a.elements() == b.elements() &&
         SameBytes(a.bytes(), b.bytes());
}

inline bool Same(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b]<typename T>(const T& left) {
        const T& right = std::get<T>(b);
        if constexpr (std::is_same_v<T, Tensor>) {
          return Same(left, right);
        } else if constexpr (std::is_same_v<T, float>) {
          return std::bit_cast<std::uint32_t>(left) == std::bit_cast<std::uint32_t>(right);
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          return SameBytes(std::as_bytes(std::span(left)), std::as_bytes(std::span(right)));
        } else {
          return left == right;
        }
      },
      a);
}

inline bool Same(const Node& a, const Node& b) {
  if (a.attributes.size() != b.attributes.size()) return false;
  for (const auto& [name, attribute] : a.attributes) {
    const auto other = b.attributes.find(name);
    if (other == b.attributes.end() || !Same(attribute, other->second)) return false;
  }
  return a.name == b.name && a.op_type == b.op_type && a.domain == b.domain &&
         a.inputs == b.inputs && a.outputs == b.outputs && a.subgraphs == b.subgraphs;
}

inline bool Same(const std::vector<ValueInfo>& a, const std::vector<ValueInfo>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].dtype != b[i].dtype || a[i].dims != b[i].dims) return false;
  }
  return true;
}

}  // namespace difference

inline std::string GraphDifference(const Graph& a, const Graph& b) {
  using difference::Same;
  if (a.opsets != b.opsets) return "opsets";
  if (a.scopes.size() != b.scopes.size()) return "number of scopes";
  if (a.constants.size() != b.constants.size()) return "number of constants";
  for (std::size_t i = 0; i < a.scopes.size(); ++i) {
    const Scope& left = a.scopes[i];
    const Scope& right = b.scopes[i];
    if (left.kind != right.kind || left.parent != right.parent || left.name != right.name ||
        left.nodes.size() != right.nodes.size() || !Same(left.inputs, right.inputs) ||
        !Same(left.outputs, right.outputs) || !Same(left.values, right.values)) {
      return fmt::format("scope {}", i);
    }
    for (std::size_t n = 0; n < left.nodes.size(); ++n) {
      if (!Same(left.nodes[n], right.nodes[n])) return fmt::format("scope {}, node {}", i, n);
    }
  }
  for (std::size_t i = 0; i < a.constants.size(); ++i) {
    const Constant& left = a.constants[i];
    const Constant& right = b.constants[i];
    if (left.name != right.name || left.scope != right.scope || !Same(left.tensor, right.tensor)) {
      return "constant " + left.name;
    }
  }
  return {};
}

}  // namespace espalier

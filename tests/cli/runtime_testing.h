#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cli_testing.h"
#include "tests/onnx/model_builder.h"

namespace espalier::cli {

/// A test with a folder that holds conv.onnx, a 1x1 convolution of 4 to 8 channels with Relu on
/// x: float32 [1, 4, 3, 3]; the weight of output channel k is k - 3 on input channel k % 4, else 0.
class RuntimeCliTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    std::vector<float> weight(8 * 4, 0.0f);
    for (std::size_t k = 0; k < 8; ++k) weight[k * 4 + k % 4] = static_cast<float>(k) - 3;
    WriteConv("conv.onnx", weight, {1, 4, 3, 3});
  }

  static void AddValue(onnx::ValueInfoProto* value, const std::string& name,
                       const std::vector<std::int64_t>& dims) {
    value->set_name(name);
    auto* type = value->mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : dims) {
      auto* added = type->mutable_shape()->add_dim();
      if (dim >= 0) added->set_dim_value(dim);
    }
  }

  static void AddWeight(onnx::GraphProto* graph, const std::string& name,
                        const std::vector<std::int64_t>& dims, const std::vector<float>& values) {
    onnx::TensorProto* tensor = AddInitializer(graph, name, onnx::TensorProto::FLOAT, dims);
    for (const float value : values) tensor->add_float_data(value);
  }

  void WriteProto(const std::string& name, const onnx::ModelProto& model) const {
    WriteText(name, model.SerializeAsString());
  }

  /// A 1x1 convolution of 4 to 8 channels from x to y; -1 leaves a dimension of x open.
  void WriteConv(const std::string& name, const std::vector<float>& weight,
                 const std::vector<std::int64_t>& dims) const {
    onnx::ModelProto model = EmptyModel();
    onnx::GraphProto* graph = model.mutable_graph();
    AddValue(graph->add_input(), "x", dims);
    AddValue(graph->add_output(), "y", {dims[0], 8, dims[2], dims[3]});
    AddWeight(graph, "w", {8, 4, 1, 1}, weight);
    AddNode(graph, "Conv", {"x", "w"}, "c")->set_name("mix");
    AddNode(graph, "Relu", {"c"}, "y");
    WriteProto(name, model);
  }

  /// One operator on x: float32 `dims`, which gives y.
  void WriteOneNode(const std::string& name, const std::string& op,
                    const std::vector<std::int64_t>& dims) const {
    onnx::ModelProto model = EmptyModel();
    onnx::GraphProto* graph = model.mutable_graph();
    AddValue(graph->add_input(), "x", dims);
    AddValue(graph->add_output(), "y", dims);
    AddNode(graph, op, {"x"}, "y");
    WriteProto(name, model);
  }

  /// Three class scores that are the three inputs, a classifier that can be right.
  void WriteClassifier(const std::string& name) const { WriteOneNode(name, "Identity", {-1, 3}); }

  void WriteLabels(const std::string& name, const std::vector<std::int64_t>& labels) const {
    NpyArray array{DType::kInt64, {static_cast<std::int64_t>(labels.size())}, false, {}};
    array.bytes.resize(labels.size() * sizeof(std::int64_t));
    std::memcpy(array.bytes.data(), labels.data(), array.bytes.size());
    WriteNpy(Path(name), Overwrite::kYes, array);
  }
};

inline std::size_t WidestLine(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

}  // namespace espalier::cli

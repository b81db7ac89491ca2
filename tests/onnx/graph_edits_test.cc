// What a graph has more or less than the file it came from.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

using google::protobuf::util::MessageDifferencer;

template <class T>
Tensor VectorOf(DType dtype, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return Tensor(dtype, {static_cast<std::int64_t>(values.size())}, {bytes.begin(), bytes.end()});
}

Tensor FloatVector(const std::vector<float>& values) { return VectorOf(DType::kFloat32, values); }

class GraphEdits : public FolderTest {
 protected:
  // Two layers that read one constant, the second through Identity.
  static onnx::ModelProto Model() {
    onnx::ModelProto model = EmptyModel();
    onnx::GraphProto* graph = model.mutable_graph();
    graph->add_input()->set_name("x");
    AddInitializer(graph, "a", onnx::TensorProto::FLOAT, {2})->set_raw_data(Pattern(8));
    AddNode(graph, "Identity", {"a"}, "b")->set_doc_string("kept as it is");
    AddNode(graph, "Mul", {"x", "a"}, "m");
    AddNode(graph, "Add", {"m", "b"}, "y");
    graph->add_output()->set_name("y");
    return model;
  }

  onnx::ModelProto Write(const OnnxModel& model) {
    WriteOnnx(model, Path("out.onnx"), Overwrite::kYes);
    return ReadProto("out.onnx");
  }

  static void Add(OnnxModel* model, const std::string& name, Tensor tensor) {
    model->graph.constants.push_back({name, 0, std::move(tensor), true});
  }
};

TEST_F(GraphEdits, AConstantTakesThePlaceOfANode) {
  OnnxModel model = ReadFromMemory(Model());
  model.graph.scopes[0].nodes.erase(model.graph.scopes[0].nodes.begin());
  Add(&model, "b", FloatVector({1, 2}));
  onnx::ModelProto want = Model();
  want.mutable_graph()->mutable_node()->DeleteSubrange(0, 1);
  onnx::TensorProto* added =
      AddInitializer(want.mutable_graph(), "b", onnx::TensorProto::FLOAT, {2});
  const float values[] = {1, 2};
  added->set_raw_data(values, sizeof(values));
  EXPECT_TRUE(MessageDifferencer::Equals(Write(model), want));
}

TEST_F(GraphEdits, ANodeGetsAnInput) {
  OnnxModel model = ReadFromMemory(Model());
  model.graph.scopes[0].nodes[2].inputs.push_back("c");
  Add(&model, "c", VectorOf<std::int64_t>(DType::kInt64, {3}));
  const onnx::ModelProto written = Write(model);
  ASSERT_EQ(written.graph().node(2).input_size(), 3);
  EXPECT_EQ(written.graph().node(2).input(2), "c");
  EXPECT_EQ(written.graph().initializer(1).data_type(), onnx::TensorProto::INT64);
  EXPECT_EQ(written.graph().node(0).doc_string(), "kept as it is");
}

TEST_F(GraphEdits, OldFilesListAddedConstantsAsInputs) {
  onnx::ModelProto proto = Model();
  proto.set_ir_version(3);
  OnnxModel model = ReadFromMemory(proto);
  Add(&model, "c", FloatVector({1, 2, 3}));
  const onnx::ModelProto written = Write(model);
  ASSERT_EQ(written.graph().input_size(), 2);
  EXPECT_EQ(written.graph().input(1).name(), "c");
  EXPECT_EQ(written.graph().input(1).type().tensor_type().shape().dim(0).dim_value(), 3);
}

TEST_F(GraphEdits, LargeConstantsGoOutsideWithTheOthers) {
  onnx::ModelProto proto = Model();
  WriteText("w.bin", Pattern(2048));
  SetExternal(AddInitializer(proto.mutable_graph(), "w", onnx::TensorProto::FLOAT, {512}), "w.bin",
              "", "");
  OnnxModel model = ReadOnnx(WriteModel("in.onnx", proto));
  Add(&model, "large", FloatVector(std::vector<float>(512, 2.5f)));
  Add(&model, "small", FloatVector({1}));
  const onnx::ModelProto written = Write(model);
  EXPECT_EQ(written.graph().initializer(2).data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(written.graph().initializer(3).raw_data().size(), 4u);
  const OnnxModel again = ReadOnnx(Path("out.onnx"));
  EXPECT_EQ(again.graph.constants[2].tensor.AsDoubles(), std::vector<double>(512, 2.5));
}

TEST_F(GraphEdits, RefusesWhatTheFormatCannotHold) {
  const auto refuse = [&](const std::string& text, auto edit) {
    OnnxModel model = ReadFromMemory(Model());
    edit(&model);
    ExpectError(ErrorCode::kInternal, text, [&] { Write(model); });
    EXPECT_FALSE(std::filesystem::exists(Path("out.onnx")));
  };
  refuse("Relu of 'z' is not in the file", [](OnnxModel* model) {
    Node relu;
    relu.op_type = "Relu";
    relu.inputs = {"y"};
    relu.outputs = {"z"};
    model->graph.scopes[0].nodes.push_back(relu);
  });
  refuse("initializer 'a' already", [](OnnxModel* model) { Add(model, "a", FloatVector({1})); });
  refuse("'s' is of type string",
         [](OnnxModel* model) { Add(model, "s", Tensor::WithoutBytes(DType::kString, {1})); });
  refuse("the graph has 2 scopes, its source 1",
         [](OnnxModel* model) { model->graph.scopes.emplace_back(); });
}

}  // namespace
}  // namespace espalier

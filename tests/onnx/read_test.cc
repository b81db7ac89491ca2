#include <algorithm>

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

using onnx::AttributeProto;

const Constant& FindConstant(const Graph& graph, const std::string& name) {
  for (const Constant& constant : graph.constants) {
    if (constant.name == name) return constant;
  }
  throw Error(ErrorCode::kInternal, "no constant " + name);
}

TEST(ReadOnnx, RefusesEmptyInput) {
  ExpectError(ErrorCode::kBadFile, "the file is empty", [] { ReadOnnxFromBytes({}); });
}

TEST(ReadOnnx, RefusesTextAndSaysThatItIsNotOnnx) {
  ExpectError(ErrorCode::kBadFile, "not an ONNX model",
              [] { ReadOnnxFromBytes(AsBytes("hello, I am a text file\n")); });
  ExpectError(ErrorCode::kBadFile, "git lfs pull", [] {
    ReadOnnxFromBytes(AsBytes("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"));
  });
}

TEST(ReadOnnx, RefusesEveryTruncationWithoutCrashing) {
  onnx::ModelProto proto = EmptyModel();
  AddInitializer(proto.mutable_graph(), "w", onnx::TensorProto::FLOAT, {2})
      ->set_raw_data("12345678");
  const std::string whole = proto.SerializeAsString();
  // The graph is the last field but one: cut anywhere in it and protobuf must notice.
  const std::size_t graph_end = whole.size() - 4;  // opset_import: tag, length, tag, 17
  for (std::size_t size = 3; size < graph_end; ++size) {
    ExpectError(ErrorCode::kBadFile, "",
                [&] { ReadOnnxFromBytes(AsBytes(whole.substr(0, size))); });
  }
}

TEST(ReadOnnx, RefusesAModelWithoutGraph) {
  onnx::ModelProto proto = EmptyModel();
  proto.clear_graph();
  ExpectRefused(proto, "no graph");
}

TEST(ReadOnnx, RefusesOldIrVersions) {
  onnx::ModelProto proto = EmptyModel();
  for (const int version : {0, 1, 2}) {
    proto.set_ir_version(version);
    ExpectRefused(proto, "IR version " + std::to_string(version) + ", the oldest");
  }
  for (const int version : {3, 8, 13, 99}) {
    proto.set_ir_version(version);
    EXPECT_NO_THROW(ReadFromMemory(proto)) << version;
  }
}

TEST(ReadOnnx, NeedsAnOpsetForOperatorsOfOnnx) {
  onnx::ModelProto proto = EmptyModel();
  proto.clear_opset_import();
  EXPECT_NO_THROW(ReadFromMemory(proto)) << "no node needs one";
  AddNode(proto.mutable_graph(), "Mine", {"x"}, "y")->set_domain("my.domain");
  proto.add_opset_import()->set_domain("my.domain");
  EXPECT_NO_THROW(ReadFromMemory(proto));
  AddNode(proto.mutable_graph(), "Relu", {"y"}, "z");
  ExpectRefused(proto, "no opset_import: ");
  proto.add_opset_import()->set_domain("ai.onnx");
  EXPECT_NO_THROW(ReadFromMemory(proto));
}

TEST(ReadOnnx, ReadsOpsetsWithOneNameForOnnxItself) {
  onnx::ModelProto proto = EmptyModel();
  proto.mutable_opset_import(0)->set_domain("ai.onnx");
  onnx::OperatorSetIdProto* opset = proto.add_opset_import();
  opset->set_domain("com.microsoft");
  opset->set_version(1);
  AddNode(proto.mutable_graph(), "Relu", {"x"}, "y")->set_domain("ai.onnx");
  const Graph graph = ReadFromMemory(proto).graph;
  EXPECT_EQ(graph.opsets, (std::map<std::string, std::int64_t>{{"", 17}, {"com.microsoft", 1}}));
  EXPECT_EQ(graph.scopes[0].nodes[0].domain, "");
}

TEST(ReadOnnx, NamesTheTensorThatDoesNotFit) {
  onnx::ModelProto proto = EmptyModel();
  AddInitializer(proto.mutable_graph(), "bad\x1B[31m", onnx::TensorProto::FLOAT, {2})
      ->set_raw_data("1234");
  ExpectRefused(proto, "needs 8 bytes in raw_data, got 4");
  ExpectRefused(proto, "reading tensor 'bad\\x1b[31m'");
}

TEST(ReadOnnx, NamesTheNodeWhoseAttributeDoesNotFit) {
  onnx::ModelProto proto = EmptyModel();
  onnx::NodeProto* node = AddNode(proto.mutable_graph(), "ConstantOfShape", {"s"}, "y");
  onnx::TensorProto* value = AddAttribute(node, "value", AttributeProto::TENSOR)->mutable_t();
  value->set_data_type(onnx::TensorProto::FLOAT);
  value->add_dims(1);
  ExpectRefused(proto, "reading attribute 'value' of ConstantOfShape of 'y'");
}

TEST(ReadOnnx, RefusesANameThatIsDefinedTwice) {
  onnx::ModelProto proto = EmptyModel();
  onnx::GraphProto* graph = proto.mutable_graph();
  AddInitializer(graph, "w", onnx::TensorProto::FLOAT, {0});
  AddNode(graph, "Relu", {"x"}, "w");
  ExpectRefused(proto, "'w' is both a constant and an output of Relu of 'w'");
  graph->clear_node();
  AddAttribute(AddNode(graph, "Constant", {}, "w"), "value_int", AttributeProto::INT);
  ExpectRefused(proto, "two constants of graph 'main' have the name 'w'");
  graph->clear_node();
  AddInitializer(graph, "w", onnx::TensorProto::FLOAT, {0});
  ExpectRefused(proto, "two constants of graph 'main' have the name 'w'");
}

TEST(ReadOnnx, RefusesExternalDataInMemory) {
  onnx::ModelProto proto = EmptyModel();
  SetExternal(AddInitializer(proto.mutable_graph(), "w", onnx::TensorProto::FLOAT, {1}), "w.bin",
              "0", "4");
  ExpectRefused(proto, "a model in memory has no folder");
  proto.mutable_graph()->mutable_initializer(0)->set_data_type(77);  // unknown, so unread
  ExpectRefused(proto, "tensor 'w' is in another file");
}

TEST(ReadOnnx, TurnsEveryKindOfConstantNodeIntoAConstant) {
  onnx::ModelProto proto = EmptyModel();
  onnx::GraphProto* graph = proto.mutable_graph();
  const auto add = [&](const std::string& name, AttributeProto::AttributeType type) {
    return AddAttribute(AddNode(graph, "Constant", {}, name), name, type);
  };
  onnx::TensorProto* tensor = add("value", AttributeProto::TENSOR)->mutable_t();
  tensor->set_data_type(onnx::TensorProto::INT8);
  tensor->add_dims(2);
  tensor->set_raw_data("\x01\xFF");
  add("value_float", AttributeProto::FLOAT)->set_f(1.5f);
  for (const float f : {2.5f, 3.5f}) {
    if (f == 2.5f) add("value_floats", AttributeProto::FLOATS);
    graph->mutable_node(2)->mutable_attribute(0)->add_floats(f);
  }
  add("value_int", AttributeProto::INT)->set_i(-4);
  AttributeProto* ints = add("value_ints", AttributeProto::INTS);
  ints->add_ints(5);
  ints->add_ints(6);
  add("value_string", AttributeProto::STRING)->set_s("seven");
  add("value_strings", AttributeProto::STRINGS)->add_strings("eight");
  onnx::SparseTensorProto* sparse =
      add("sparse_value", AttributeProto::SPARSE_TENSOR)->mutable_sparse_tensor();
  sparse->add_dims(100);
  sparse->mutable_values()->set_data_type(onnx::TensorProto::FLOAT);

  const Graph read = ReadFromMemory(proto).graph;
  EXPECT_TRUE(read.scopes[0].nodes.empty());
  ASSERT_EQ(read.constants.size(), 8u);
  EXPECT_EQ(FindConstant(read, "value").tensor.AsInts(), (std::vector<std::int64_t>{1, -1}));
  const Tensor& scalar = FindConstant(read, "value_float").tensor;
  EXPECT_EQ(scalar.AsDoubles(), std::vector<double>{1.5});
  EXPECT_TRUE(scalar.dims().empty());
  EXPECT_EQ(FindConstant(read, "value_floats").tensor.AsDoubles(), (std::vector<double>{2.5, 3.5}));
  EXPECT_EQ(FindConstant(read, "value_int").tensor.AsInts(), std::vector<std::int64_t>{-4});
  EXPECT_EQ(FindConstant(read, "value_ints").tensor.AsInts(), (std::vector<std::int64_t>{5, 6}));
  EXPECT_EQ(FindConstant(read, "value_ints").tensor.dims(), Dims{2});
  EXPECT_EQ(FindConstant(read, "value_string").tensor.dtype(), DType::kString);
  EXPECT_EQ(FindConstant(read, "value_strings").tensor.dims(), Dims{1});
  EXPECT_EQ(FindConstant(read, "sparse_value").tensor.dims(), Dims{100});
  EXPECT_TRUE(FindConstant(read, "sparse_value").tensor.bytes().empty());
}

TEST(ReadOnnx, KeepsAConstantNodeOfUnknownValueAsNode) {
  onnx::ModelProto proto = EmptyModel();
  onnx::GraphProto* graph = proto.mutable_graph();
  AddNode(graph, "Constant", {}, "without attribute");
  AddAttribute(AddNode(graph, "Constant", {}, "later"), "value_later", AttributeProto::INT);
  AddAttribute(AddNode(graph, "Constant", {}, "of the caller"), "value_int", AttributeProto::INT)
      ->set_ref_attr_name("n");
  AddAttribute(AddNode(graph, "Constant", {}, "foreign"), "value_int", AttributeProto::INT);
  graph->mutable_node(3)->set_domain("my.domain");
  const Graph read = ReadFromMemory(proto).graph;
  EXPECT_EQ(read.scopes[0].nodes.size(), 4u);
  EXPECT_TRUE(read.constants.empty());
  EXPECT_TRUE(
      std::holds_alternative<std::monostate>(read.scopes[0].nodes[2].attributes.at("value_int")));
}

TEST(ReadOnnx, ReadsEveryKindOfAttribute) {
  onnx::ModelProto proto = EmptyModel();
  onnx::NodeProto* node = AddNode(proto.mutable_graph(), "Any", {"a", "", "b"}, "y");
  node->set_name("any");
  AddAttribute(node, "i", AttributeProto::INT)->set_i(3);
  AddAttribute(node, "f", AttributeProto::FLOAT)->set_f(0.5f);
  AddAttribute(node, "s", AttributeProto::STRING)->set_s("text");
  AddAttribute(node, "is", AttributeProto::INTS)->add_ints(7);
  AddAttribute(node, "fs", AttributeProto::FLOATS)->add_floats(8);
  AddAttribute(node, "ss", AttributeProto::STRINGS)->add_strings("nine");
  AddAttribute(node, "type", AttributeProto::TYPE_PROTO)->mutable_tp();
  AddAttribute(node, "zero", AttributeProto::INT);  // proto3 writers leave zeros out
  onnx::TensorProto* tensor = AddAttribute(node, "t", AttributeProto::TENSOR)->mutable_t();
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_int64_data(10);
  node->add_attribute()->set_name("untyped");
  node->mutable_attribute(9)->set_i(11);

  const Node read = ReadFromMemory(proto).graph.scopes[0].nodes.at(0);
  EXPECT_EQ(read.inputs, (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(std::get<std::int64_t>(read.attributes.at("i")), 3);
  EXPECT_EQ(std::get<float>(read.attributes.at("f")), 0.5f);
  EXPECT_EQ(std::get<std::string>(read.attributes.at("s")), "text");
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(read.attributes.at("is")).at(0), 7);
  EXPECT_EQ(std::get<std::vector<float>>(read.attributes.at("fs")).at(0), 8);
  EXPECT_EQ(std::get<std::vector<std::string>>(read.attributes.at("ss")).at(0), "nine");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(read.attributes.at("type")));
  EXPECT_EQ(std::get<std::int64_t>(read.attributes.at("zero")), 0);
  EXPECT_EQ(std::get<Tensor>(read.attributes.at("t")).AsInts(), std::vector<std::int64_t>{10});
  EXPECT_EQ(std::get<std::int64_t>(read.attributes.at("untyped")), 11);
}

TEST(ReadOnnx, AttributeTensorsOutliveTheModel) {
  onnx::ModelProto proto = EmptyModel();
  onnx::NodeProto* node = AddNode(proto.mutable_graph(), "Any", {}, "y");
  onnx::TensorProto* tensor = AddAttribute(node, "t", AttributeProto::TENSOR)->mutable_t();
  tensor->set_data_type(onnx::TensorProto::UINT8);
  tensor->add_dims(2000);
  tensor->set_raw_data(Pattern(2000));
  AddInitializer(proto.mutable_graph(), "small", onnx::TensorProto::UINT8, {2})->set_raw_data("ab");
  Tensor attribute;
  Tensor small;
  {
    const OnnxModel model = ReadFromMemory(proto);
    attribute = std::get<Tensor>(model.graph.scopes[0].nodes[0].attributes.at("t"));
    small = model.graph.constants[0].tensor;
  }
  EXPECT_EQ(AsText(attribute.bytes()), Pattern(2000));
  EXPECT_EQ(AsText(small.bytes()), "ab");
}

TEST(ReadOnnx, ReadsDeclaredTypes) {
  onnx::ModelProto proto = EmptyModel();
  onnx::ValueInfoProto* input = proto.mutable_graph()->add_input();
  input->set_name("x");
  onnx::TypeProto_Tensor* type = input->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT16);
  type->mutable_shape()->add_dim()->set_dim_param("N");
  type->mutable_shape()->add_dim()->set_dim_value(3);
  type->mutable_shape()->add_dim();
  type->mutable_shape()->add_dim()->set_dim_value(-5);
  proto.mutable_graph()->add_output()->set_name("y");
  proto.mutable_graph()->add_value_info()->mutable_type()->mutable_sequence_type();
  const Scope scope = ReadFromMemory(proto).graph.scopes[0];
  EXPECT_EQ(scope.inputs.at(0).name, "x");
  EXPECT_EQ(scope.inputs[0].dtype, DType::kFloat16);
  EXPECT_EQ(scope.inputs[0].dims, (Dims{-1, 3, -1, -1}));
  EXPECT_EQ(scope.outputs.at(0).dims, std::nullopt);
  EXPECT_EQ(scope.values.at(0).dtype, DType::kUnknown);
}

TEST(ReadOnnx, ReadsSubgraphsAsScopes) {
  onnx::ModelProto proto = EmptyModel();
  onnx::NodeProto* node = AddNode(proto.mutable_graph(), "If", {"c"}, "y");
  onnx::GraphProto* then = AddAttribute(node, "then_branch", AttributeProto::GRAPH)->mutable_g();
  then->set_name("then");
  AddInitializer(then, "w", onnx::TensorProto::UINT8, {1})->set_raw_data("t");
  onnx::NodeProto* inner = AddNode(then, "Switch", {}, "z");
  AttributeProto* cases = AddAttribute(inner, "cases", AttributeProto::GRAPHS);
  cases->add_graphs()->set_name("case 0");
  cases->add_graphs()->set_name("case 1");
  AddAttribute(node, "else_branch", AttributeProto::GRAPH)->mutable_g()->set_name("else");

  const Graph graph = ReadFromMemory(proto).graph;
  ASSERT_EQ(graph.scopes.size(), 5u);
  const Node& outer = graph.scopes[0].nodes.at(0);
  const int then_index = outer.subgraphs.at("then_branch");
  EXPECT_EQ(graph.scopes[then_index].name, "then");
  EXPECT_EQ(graph.scopes[then_index].parent, 0);
  EXPECT_EQ(graph.scopes[then_index].kind, Scope::Kind::kSubgraph);
  EXPECT_EQ(graph.scopes[outer.subgraphs.at("else_branch")].name, "else");
  const Node& switch_node = graph.scopes[then_index].nodes.at(0);
  const int last_case = switch_node.subgraphs.at("cases[1]");
  EXPECT_EQ(graph.scopes[last_case].name, "case 1");
  EXPECT_EQ(graph.scopes[last_case].parent, then_index);
  EXPECT_TRUE(outer.attributes.empty());
  EXPECT_EQ(graph.constants.at(0).scope, then_index);
}

TEST(ReadOnnx, SurvivesTheDeepestNestingThatProtobufReads) {
  onnx::ModelProto proto = EmptyModel();
  onnx::GraphProto* graph = proto.mutable_graph();
  for (int depth = 0; depth < 32; ++depth) {  // 3 messages each, protobuf's limit is 100
    onnx::NodeProto* node = AddNode(graph, "If", {"c"}, "y");
    graph = AddAttribute(node, "then_branch", AttributeProto::GRAPH)->mutable_g();
  }
  EXPECT_EQ(ReadFromMemory(proto).graph.scopes.size(), 33u);
  for (int depth = 0; depth < 4; ++depth) {
    onnx::NodeProto* node = AddNode(graph, "If", {"c"}, "y");
    graph = AddAttribute(node, "then_branch", AttributeProto::GRAPH)->mutable_g();
  }
  ExpectRefused(proto, "protobuf cannot parse it");
}

TEST(ReadOnnx, ReadsFunctionsAsScopesOfTheirOwn) {
  onnx::ModelProto proto = EmptyModel();
  onnx::FunctionProto* function = proto.add_functions();
  function->set_domain("my.domain");
  function->set_name("Double");
  function->add_input("x");
  function->add_output("y");
  onnx::NodeProto* constant = function->add_node();
  constant->set_op_type("Constant");
  constant->add_output("two");
  AddAttribute(constant, "value_float", AttributeProto::FLOAT)->set_f(2);
  onnx::NodeProto* node = function->add_node();
  node->set_op_type("Mul");
  node->add_output("y");
  AddAttribute(node, "axis", AttributeProto::INT)->set_ref_attr_name("axis");

  const Graph graph = ReadFromMemory(proto).graph;
  ASSERT_EQ(graph.scopes.size(), 2u);
  const Scope& scope = graph.scopes[1];
  EXPECT_EQ(scope.kind, Scope::Kind::kFunction);
  EXPECT_EQ(scope.parent, -1);
  EXPECT_EQ(scope.name, "my.domain.Double");
  EXPECT_EQ(scope.inputs.at(0).name, "x");
  EXPECT_EQ(scope.nodes.size(), 1u);
  EXPECT_EQ(IntAttribute(scope.nodes[0], "axis", 0), std::nullopt);
  EXPECT_EQ(graph.constants.at(0).scope, 1);
}

TEST(ReadOnnx, ListsSparseInitializersWithoutValues) {
  onnx::ModelProto proto = EmptyModel();
  onnx::SparseTensorProto* sparse = proto.mutable_graph()->add_sparse_initializer();
  sparse->mutable_values()->set_name("s");
  sparse->mutable_values()->set_data_type(onnx::TensorProto::FLOAT);
  sparse->add_dims(1000);
  sparse->add_dims(1000);
  const Graph graph = ReadFromMemory(proto).graph;
  EXPECT_EQ(graph.constants.at(0).name, "s");
  EXPECT_EQ(graph.constants[0].tensor.dims(), (Dims{1000, 1000}));
  EXPECT_EQ(graph.constants[0].tensor.dtype(), DType::kUnknown) << "no bytes, so no type to prune";
  sparse->set_dims(0, -2);
  ExpectRefused(proto, "-2");
}

class ReadOnnxFile : public FolderTest {};

TEST_F(ReadOnnxFile, NamesTheFile) {
  ExpectError(ErrorCode::kBadFile, "absent.onnx", [&] { ReadOnnx(Path("absent.onnx")); });
  ExpectError(ErrorCode::kBadFile, "empty.onnx", [&] { ReadOnnx(WriteText("empty.onnx", "")); });
  ExpectError(ErrorCode::kBadFile, "text.onnx",
              [&] { ReadOnnx(WriteText("text.onnx", "version https://git-lfs...")); });
}

TEST_F(ReadOnnxFile, AdvisesExternalDataAbove2GB) {
  WriteText("large.onnx", "x");
  std::filesystem::resize_file(Path("large.onnx"), std::uintmax_t{1} << 31);  // sparse
  ExpectError(ErrorCode::kBadFile, "2147483648 bytes", [&] { ReadOnnx(Path("large.onnx")); });
  ExpectError(ErrorCode::kBadFile, "save_as_external_data", [&] { ReadOnnx(Path("large.onnx")); });
}

}  // namespace
}  // namespace espalier

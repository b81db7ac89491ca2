#include "onnx/write.h"

#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/message_differencer.h>

#include <cstring>

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::MessageDifferencer;
using internal::WriteOnnxWithLimit;
using onnx::AttributeProto;

constexpr int kUint8 = onnx::TensorProto::UINT8;
constexpr std::int64_t kLarge = 5000;  // bytes: above the 1 KB from which tensors go outside

Constant& Find(OnnxModel& model, const std::string& name) {
  for (Constant& constant : model.graph.constants) {
    if (constant.name == name) return constant;
  }
  throw Error(ErrorCode::kInternal, "no constant " + name);
}

void Zero(OnnxModel& model, const std::string& name) {
  Constant& constant = Find(model, name);
  const std::span<std::byte> bytes = constant.tensor.MutableBytes();
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  constant.modified = true;
}

// Something of everything that Espalier does not read.
onnx::ModelProto RichModel() {
  onnx::ModelProto proto = EmptyModel();
  proto.set_ir_version(13);
  proto.mutable_opset_import(0)->set_version(99);
  proto.set_producer_name("a producer");
  onnx::StringStringEntryProto* metadata = proto.add_metadata_props();
  metadata->set_key("licence");
  metadata->set_value("MIT");
  proto.add_functions()->set_name("F");
  proto.add_training_info()->mutable_algorithm()->set_name("train");
  onnx::GraphProto* graph = proto.mutable_graph();
  AddInitializer(graph, "large", kUint8, {kLarge})->set_raw_data(Pattern(kLarge));
  AddInitializer(graph, "small", kUint8, {2})->set_raw_data("ab");
  onnx::TensorProto* floats = AddInitializer(graph, "floats", onnx::TensorProto::FLOAT, {1000});
  for (int i = 0; i < 1000; ++i) floats->add_float_data(0.5f * static_cast<float>(i + 1));
  onnx::TensorProto* bits = AddInitializer(graph, "bits", kUint8, {1});
  bits->add_int32_data(-1);  // an unusual way to write 255 that has to come back
  AddInitializer(graph, "later", 77, {3})->set_raw_data("unknown type");
  AddInitializer(graph, "strings", onnx::TensorProto::STRING, {1})->add_string_data("text");
  graph->add_sparse_initializer()->mutable_values()->set_name("sparse");
  onnx::NodeProto* node = AddNode(graph, "If", {"c"}, "y");
  onnx::GraphProto* branch = AddAttribute(node, "then_branch", AttributeProto::GRAPH)->mutable_g();
  AddInitializer(branch, "large", kUint8, {kLarge})->set_raw_data(std::string(kLarge, 'b'));
  // Unknown fields on every level that the reader walks through.
  proto.GetReflection()->MutableUnknownFields(&proto)->AddVarint(1000, 7);
  graph->GetReflection()->MutableUnknownFields(graph)->AddLengthDelimited(1001, "graph");
  node->GetReflection()->MutableUnknownFields(node)->AddFixed32(1002, 9);
  floats->GetReflection()->MutableUnknownFields(floats)->AddVarint(1003, 11);
  return proto;
}

class WriteOnnxFile : public FolderTest {};

TEST_F(WriteOnnxFile, WithoutAChangeWritesTheSameBytes) {
  const onnx::ModelProto proto = RichModel();
  WriteOnnx(ReadFromMemory(proto), Path("out.onnx"), Overwrite::kNo);
  const onnx::ModelProto written = ReadProto("out.onnx");
  EXPECT_TRUE(MessageDifferencer::Equals(proto, written));
  EXPECT_EQ(proto.SerializeAsString(), ReadText("out.onnx"));
  EXPECT_EQ(written.GetReflection()->GetUnknownFields(written).field(0).varint(), 7u);
  EXPECT_FALSE(fs::exists(Path("out.onnx.data")));
}

TEST_F(WriteOnnxFile, WritesMetadataBack) {
  onnx::ModelProto proto = RichModel();
  for (const char* value : {"first", "second"}) {
    onnx::StringStringEntryProto* twice = proto.add_metadata_props();
    twice->set_key("twice");
    twice->set_value(value);
  }
  OnnxModel model = ReadFromMemory(proto);
  EXPECT_EQ(model.graph.metadata.at("twice"), "first");
  model.graph.metadata["twice"] = "changed";
  model.graph.metadata["new"] = std::string("a\0b", 3);
  model.graph.metadata.erase("licence");
  WriteOnnx(model, Path("out.onnx"), Overwrite::kNo);
  const onnx::ModelProto written = ReadProto("out.onnx");
  ASSERT_EQ(written.metadata_props_size(), 3);
  EXPECT_EQ(written.metadata_props(0).value(), "changed");
  EXPECT_EQ(written.metadata_props(1).value(), "second");
  EXPECT_EQ(written.metadata_props(2).key(), "new");
  EXPECT_EQ(written.metadata_props(2).value(), std::string("a\0b", 3));
}

TEST_F(WriteOnnxFile, ChangesOnlyWhatIsModified) {
  onnx::ModelProto proto = RichModel();
  OnnxModel model = ReadFromMemory(proto);
  Zero(model, "large");  // the first: that of the main graph
  Zero(model, "floats");
  Zero(model, "bits");
  WriteOnnx(model, Path("out.onnx"), Overwrite::kNo);
  onnx::GraphProto* graph = proto.mutable_graph();
  graph->mutable_initializer(0)->set_raw_data(std::string(kLarge, '\0'));
  for (float& value : *graph->mutable_initializer(2)->mutable_float_data()) value = 0;
  graph->mutable_initializer(3)->set_int32_data(0, 0);
  EXPECT_TRUE(MessageDifferencer::Equals(proto, ReadProto("out.onnx")));
}

// Writes a model twice: what was written first must not depend on what changes later.
TEST_F(WriteOnnxFile, CanBeCalledAgain) {
  const onnx::ModelProto proto = RichModel();
  OnnxModel model = ReadFromMemory(proto);
  const OnnxModel untouched = model;
  Zero(model, "large");
  WriteOnnx(model, Path("zero.onnx"), Overwrite::kNo);
  WriteOnnx(untouched, Path("same.onnx"), Overwrite::kNo);
  EXPECT_EQ(proto.SerializeAsString(), ReadText("same.onnx"));
  EXPECT_NE(ReadText("zero.onnx"), ReadText("same.onnx"));
}

TEST_F(WriteOnnxFile, KeepsTheFieldOfEveryKindOfConstantNode) {
  onnx::ModelProto proto = EmptyModel();
  onnx::GraphProto* graph = proto.mutable_graph();
  const auto add = [&](const std::string& name, AttributeProto::AttributeType type) {
    return AddAttribute(AddNode(graph, "Constant", {}, name), name, type);
  };
  add("value_float", AttributeProto::FLOAT)->set_f(1);
  add("value_floats", AttributeProto::FLOATS)->add_floats(1);
  add("value_int", AttributeProto::INT)->set_i(1);
  add("value_ints", AttributeProto::INTS)->add_ints(1);
  onnx::TensorProto* tensor = add("value", AttributeProto::TENSOR)->mutable_t();
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_int64_data(1);
  OnnxModel model = ReadFromMemory(proto);
  for (const char* name : {"value_float", "value_floats", "value_int", "value_ints", "value"}) {
    Zero(model, name);
  }
  WriteOnnx(model, Path("out.onnx"), Overwrite::kNo);
  const onnx::ModelProto written = ReadProto("out.onnx");
  const auto attribute = [&](int node) { return written.graph().node(node).attribute(0); };
  EXPECT_TRUE(attribute(0).has_f());
  EXPECT_EQ(attribute(0).f(), 0);
  ASSERT_EQ(attribute(1).floats_size(), 1);
  EXPECT_EQ(attribute(1).floats(0), 0);
  EXPECT_TRUE(attribute(2).has_i());
  EXPECT_EQ(attribute(2).i(), 0);
  EXPECT_EQ(attribute(3).ints(0), 0);
  ASSERT_EQ(attribute(4).t().int64_data_size(), 1);
  EXPECT_EQ(attribute(4).t().int64_data(0), 0);
}

TEST_F(WriteOnnxFile, KeepsAnExistingFileUnlessToldOtherwise) {
  WriteText("out.onnx", "precious");
  const OnnxModel model = ReadFromMemory(EmptyModel());
  ExpectError(ErrorCode::kInvalidArgument, "out.onnx",
              [&] { WriteOnnx(model, Path("out.onnx"), Overwrite::kNo); });
  EXPECT_EQ(ReadText("out.onnx"), "precious");
  WriteOnnx(model, Path("out.onnx"), Overwrite::kYes);
  EXPECT_EQ(ReadText("out.onnx"), EmptyModel().SerializeAsString());
}

TEST_F(WriteOnnxFile, NamesAFolderThatCannotBeWritten) {
  WriteText("file", "");
  ExpectError(ErrorCode::kWriteFailed, "out.onnx", [&] {
    WriteOnnx(ReadFromMemory(EmptyModel()), Path("file/out.onnx"), Overwrite::kNo);
  });
}

TEST_F(WriteOnnxFile, RefusesAGraphOfOtherConstants) {
  const onnx::ModelProto proto = RichModel();
  OnnxModel model = ReadFromMemory(proto);
  const auto refuse = [&](const std::string& text) {
    ExpectError(ErrorCode::kInternal, text,
                [&] { WriteOnnx(model, Path("out.onnx"), Overwrite::kNo); });
    EXPECT_FALSE(fs::exists(Path("out.onnx")));
    model = ReadFromMemory(proto);
  };
  model.graph.constants.pop_back();
  refuse("the graph has 7 constants, its source 8");
  model.graph.constants[0].name = "renamed";
  refuse("'renamed'");
  Find(model, "small").tensor = Tensor(DType::kUint8, {3}, std::vector<std::byte>(3));
  refuse("constant 'small' is uint8 3, in its source uint8 2");
  Find(model, "strings").modified = true;
  refuse("constant 'strings' was modified");
}

TEST_F(WriteOnnxFile, MovesLargeTensorsOutsideAboveTheLimit) {
  const onnx::ModelProto proto = RichModel();
  OnnxModel model = ReadFromMemory(proto);
  Zero(model, "floats");
  WriteOnnxWithLimit(model, Path("out.onnx"), Overwrite::kNo, /*most_bytes=*/10'000);
  EXPECT_LT(ReadText("out.onnx").size(), 2000u);
  const onnx::ModelProto written = ReadProto("out.onnx");
  const onnx::TensorProto& floats = written.graph().initializer(2);
  EXPECT_EQ(floats.data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(floats.float_data_size(), 0);
  EXPECT_EQ(floats.external_data(0).value(), "out.onnx.data") << "a plain file name";
  EXPECT_EQ(written.graph().initializer(1).raw_data(), "ab") << "small ones stay";

  const OnnxModel again = ReadOnnx(Path("out.onnx"));
  ASSERT_EQ(again.graph.constants.size(), model.graph.constants.size());
  for (std::size_t i = 0; i < again.graph.constants.size(); ++i) {
    EXPECT_EQ(AsText(again.graph.constants[i].tensor.bytes()),
              AsText(model.graph.constants[i].tensor.bytes()))
        << again.graph.constants[i].name;
  }
}

TEST_F(WriteOnnxFile, AlignsTensorsOutsideTo4096Bytes) {
  WriteOnnxWithLimit(ReadFromMemory(RichModel()), Path("out.onnx"), Overwrite::kNo, 10'000);
  const onnx::ModelProto written = ReadProto("out.onnx");
  const onnx::TensorProto& floats = written.graph().initializer(2);
  EXPECT_EQ(floats.external_data(1).key(), "offset");
  EXPECT_EQ(floats.external_data(1).value(), "8192") << "after 5000 bytes";
  EXPECT_EQ(floats.external_data(2).value(), "4000");
}

TEST_F(WriteOnnxFile, RefusesAModelThatIsTooLargeWithoutItsTensors) {
  ExpectError(ErrorCode::kWriteFailed, "one file may have 100", [&] {
    WriteOnnxWithLimit(ReadFromMemory(RichModel()), Path("out.onnx"), Overwrite::kNo, 100);
  });
  EXPECT_FALSE(fs::exists(Path("out.onnx")));
  EXPECT_FALSE(fs::exists(Path("out.onnx.data")));
}

class WriteExternal : public WriteOnnxFile {
 protected:
  // "a.onnx" with a large tensor, a small one and one of a training graph in "weights.bin".
  OnnxModel ReadExternalModel() {
    WriteText("weights.bin", Pattern(kLarge) + "small" + std::string(2000, 't'));
    onnx::ModelProto proto = EmptyModel();
    onnx::GraphProto* graph = proto.mutable_graph();
    SetExternal(AddInitializer(graph, "large", kUint8, {kLarge}), "weights.bin", "0", "5000");
    SetExternal(AddInitializer(graph, "tied", kUint8, {kLarge}), "weights.bin", "0", "5000");
    SetExternal(AddInitializer(graph, "small", kUint8, {5}), "weights.bin", "5000", "5");
    AddInitializer(graph, "inside", kUint8, {kLarge})->set_raw_data(Pattern(kLarge));
    onnx::GraphProto* train = proto.add_training_info()->mutable_algorithm();
    SetExternal(AddInitializer(train, "rate", kUint8, {2000}), "weights.bin", "5005", "2000");
    return ReadOnnx(WriteModel("a.onnx", proto));
  }

  // The data file that the model's first tensor names.
  std::string DataOf(const std::string& model) {
    return ReadProto(model).graph().initializer(0).external_data(0).value();
  }
};

TEST_F(WriteExternal, WritesAllBytesBesideTheOutput) {
  OnnxModel model = ReadExternalModel();
  Zero(model, "large");
  fs::create_directory(Path("out"));
  WriteOnnx(model, Path("out/b.onnx"), Overwrite::kNo);
  const OnnxModel again = ReadOnnx(Path("out/b.onnx"));
  EXPECT_EQ(AsText(again.graph.constants[0].tensor.bytes()), std::string(kLarge, '\0'));
  EXPECT_EQ(AsText(again.graph.constants[1].tensor.bytes()), Pattern(kLarge)) << "untouched";
  EXPECT_EQ(AsText(again.graph.constants[2].tensor.bytes()), "small");
  EXPECT_EQ(AsText(again.graph.constants[3].tensor.bytes()), Pattern(kLarge));
  ASSERT_EQ(again.external_files.size(), 1u);
  EXPECT_EQ(again.external_files[0].filename(), "b.onnx.data");
  const onnx::ModelProto written = ReadProto("out/b.onnx");
  EXPECT_EQ(written.graph().initializer(2).raw_data(), "small") << "below 1 KB";
  const onnx::TensorProto& rate = written.training_info(0).algorithm().initializer(0);
  ASSERT_EQ(rate.external_data_size(), 3);
  EXPECT_EQ(ReadText("out/b.onnx.data").substr(std::stoul(rate.external_data(1).value()), 2000),
            std::string(2000, 't'));
}

TEST_F(WriteExternal, KeepsTiedTensorsTied) {
  OnnxModel model = ReadExternalModel();
  WriteOnnx(model, Path("b.onnx"), Overwrite::kNo);
  const onnx::GraphProto graph = ReadProto("b.onnx").graph();
  EXPECT_TRUE(MessageDifferencer::Equals(graph.initializer(0).external_data(1),
                                         graph.initializer(1).external_data(1)));
  EXPECT_NE(graph.initializer(0).external_data(1).value(),
            graph.initializer(3).external_data(1).value());
}

TEST_F(WriteExternal, CanReplaceItsOwnInput) {
  const OnnxModel model = ReadExternalModel();
  WriteOnnx(model, Path("b.onnx"), Overwrite::kNo);
  OnnxModel again = ReadOnnx(Path("b.onnx"));
  ExpectError(ErrorCode::kInvalidArgument, "b.onnx",
              [&] { WriteOnnx(again, Path("b.onnx"), Overwrite::kNo); });
  Zero(again, "tied");
  WriteOnnx(again, Path("b.onnx"), Overwrite::kYes);
  const OnnxModel last = ReadOnnx(Path("b.onnx"));
  EXPECT_EQ(AsText(last.graph.constants[0].tensor.bytes()), Pattern(kLarge));
  EXPECT_EQ(AsText(last.graph.constants[1].tensor.bytes()), std::string(kLarge, '\0'));
}

TEST_F(WriteExternal, KeepsAnExistingDataFileUnlessToldOtherwise) {
  const OnnxModel model = ReadExternalModel();
  WriteText("b.onnx.data", "precious");
  ExpectError(ErrorCode::kInvalidArgument, "b.onnx.data",
              [&] { WriteOnnx(model, Path("b.onnx"), Overwrite::kNo); });
  EXPECT_EQ(ReadText("b.onnx.data"), "precious");
  EXPECT_FALSE(fs::exists(Path("b.onnx")));
}

TEST_F(WriteExternal, KeepsTheDataOfAnotherInput) {
  ReadExternalModel();
  fs::rename(Path("weights.bin"), Path("b.onnx.data"));
  onnx::ModelProto proto = ReadProto("a.onnx");
  for (onnx::TensorProto& tensor : *proto.mutable_graph()->mutable_initializer()) {
    if (tensor.external_data_size() > 0) tensor.mutable_external_data(0)->set_value("b.onnx.data");
  }
  proto.clear_training_info();
  const OnnxModel model = ReadOnnx(WriteModel("a.onnx", proto));
  ExpectError(ErrorCode::kInvalidArgument, "b.onnx.data', which the input model",
              [&] { WriteOnnx(model, Path("b.onnx.data"), Overwrite::kYes); });
  WriteModel("b.onnx", proto);  // replaced, and its data is the input's
  WriteOnnx(model, Path("b.onnx"), Overwrite::kYes);
  EXPECT_EQ(DataOf("b.onnx"), "b.onnx.1.data");
  for (const char* name : {"a.onnx", "b.onnx"}) {
    EXPECT_EQ(AsText(ReadOnnx(Path(name)).graph.constants[0].tensor.bytes()), Pattern(kLarge));
  }
}

TEST_F(WriteExternal, NeverPutsOtherDataUnderAModelThatIsReplaced) {
  WriteOnnx(ReadExternalModel(), Path("b.onnx"), Overwrite::kNo);
  fs::create_hard_link(Path("b.onnx"), Path("old.onnx"));  // the moment before the rename
  OnnxModel model = ReadOnnx(Path("b.onnx"));
  Zero(model, "large");
  WriteOnnx(model, Path("b.onnx"), Overwrite::kYes);
  EXPECT_EQ(DataOf("old.onnx"), "b.onnx.data");
  EXPECT_EQ(DataOf("b.onnx"), "b.onnx.1.data");
  EXPECT_EQ(AsText(ReadOnnx(Path("old.onnx")).graph.constants[0].tensor.bytes()), Pattern(kLarge));
  EXPECT_EQ(AsText(ReadOnnx(Path("b.onnx")).graph.constants[0].tensor.bytes()),
            std::string(kLarge, '\0'));
}

TEST_F(WriteExternal, RemovesTheDataOfTheModelItReplaced) {
  const OnnxModel model = ReadExternalModel();
  WriteOnnx(model, Path("b.onnx"), Overwrite::kNo);
  fs::permissions(Path("b.onnx.data"), fs::perms(0600));
  WriteText("b.onnx.1.data", "precious");
  for (const char* name : {"b.onnx.2.data", "b.onnx.data"}) {
    const std::string before = DataOf("b.onnx");
    WriteOnnx(model, Path("b.onnx"), Overwrite::kYes);
    EXPECT_EQ(DataOf("b.onnx"), name);
    EXPECT_FALSE(fs::exists(Path(before)));
    EXPECT_EQ(fs::status(Path(name)).permissions(), fs::perms(0600)) << "of the old data";
  }
  EXPECT_EQ(ReadText("b.onnx.1.data"), "precious");
}

TEST_F(WriteExternal, KeepsDataThatItWouldNotHaveNamedSo) {
  const OnnxModel model = ReadExternalModel();
  for (const char* name : {"data", "b.onnx.x.data", "b.onnx..data", "b.onnx.1data"}) {
    onnx::ModelProto old = EmptyModel();
    SetExternal(AddInitializer(old.mutable_graph(), "w", kUint8, {2}), name, "0", "2");
    WriteText(name, "ab");
    WriteModel("b.onnx", old);
    WriteOnnx(model, Path("b.onnx"), Overwrite::kYes);
    EXPECT_EQ(ReadText(name), "ab");
  }
}

// A killed run or a half-made copy may leave a model whose data is missing.
TEST_F(WriteExternal, DoesNotCompleteAModelWithMissingDataByOtherData) {
  const OnnxModel model = ReadExternalModel();
  WriteOnnx(model, Path("b.onnx"), Overwrite::kNo);
  fs::remove(Path("b.onnx.data"));
  WriteOnnx(model, Path("b.onnx"), Overwrite::kYes);
  EXPECT_EQ(DataOf("b.onnx"), "b.onnx.1.data");
}

TEST_F(WriteExternal, LeavesNoDataIfTheModelCannotGetItsName) {
  const OnnxModel model = ReadExternalModel();
  // The data file comes first, and then the link's folder cannot be made.
  fs::create_symlink("b.onnx.data/b.onnx", Path("b.onnx"));
  ExpectError(ErrorCode::kWriteFailed, "b.onnx': Not a directory",
              [&] { WriteOnnx(model, Path("b.onnx"), Overwrite::kYes); });
  EXPECT_FALSE(fs::exists(Path("b.onnx.data")));
}

TEST_F(WriteExternal, CarriesTensorsOfUnknownTypeAlong) {
  WriteText("weights.bin", Pattern(3000));
  onnx::ModelProto proto = EmptyModel();
  SetExternal(AddInitializer(proto.mutable_graph(), "later", 77, {9}), "weights.bin", "100",
              "2000");
  SetExternal(AddInitializer(proto.mutable_graph(), "few", 77, {9}), "weights.bin", "2900", "");
  fs::create_directory(Path("out"));
  WriteOnnx(ReadOnnx(WriteModel("a.onnx", proto)), Path("out/b.onnx"), Overwrite::kNo);
  EXPECT_EQ(ReadText("out/b.onnx.data"), Pattern(3000).substr(100, 2000));
  EXPECT_EQ(ReadProto("out/b.onnx").graph().initializer(1).raw_data(), Pattern(3000).substr(2900));
}

}  // namespace
}  // namespace espalier

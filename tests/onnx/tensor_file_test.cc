#include "espalier/onnx/tensor_file.h"

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

class TensorFile : public ::testing::Test {
 protected:
  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::filesystem::path path_ =
      std::filesystem::path(::testing::TempDir()) / ("tensor_file_" + std::to_string(getpid()));
};

onnx::TensorProto Floats() {
  onnx::TensorProto proto;
  proto.set_data_type(onnx::TensorProto::FLOAT);
  proto.add_dims(2);
  proto.add_float_data(1.5f);
  proto.add_float_data(-2);
  return proto;
}

TEST_F(TensorFile, ReadsTypeShapeAndValues) {
  Write(Floats().SerializeAsString());
  const Tensor tensor = ReadTensorProto(path_);
  EXPECT_EQ(tensor.dtype(), DType::kFloat32);
  EXPECT_EQ(tensor.dims(), Dims{2});
  EXPECT_EQ(tensor.AsDoubles(), (std::vector<double>{1.5, -2}));
}

TEST_F(TensorFile, RefusesWhatIsNoTensorAndNamesTheFile) {
  Write("no protobuf at all");
  ExpectError(ErrorCode::kBadFile, path_.native(), [&] { ReadTensorProto(path_); });
  std::filesystem::remove(path_);
  ExpectError(ErrorCode::kBadFile, path_.native(), [&] { ReadTensorProto(path_); });
}

TEST_F(TensorFile, RefusesValuesThatDoNotFitTheShape) {
  onnx::TensorProto proto = Floats();
  proto.set_dims(0, 3);
  Write(proto.SerializeAsString());
  ExpectError(ErrorCode::kBadFile, "needs 3 values", [&] { ReadTensorProto(path_); });
}

}  // namespace
}  // namespace espalier

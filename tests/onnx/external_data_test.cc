#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int kUint8 = onnx::TensorProto::UINT8;

class ExternalData : public FolderTest {
 protected:
  // A model with one uint8 tensor of 4 bytes at the place that is asked for.
  fs::path ModelWith(const std::string& location, const std::string& offset,
                     const std::string& length) {
    onnx::ModelProto proto = EmptyModel();
    SetExternal(AddInitializer(proto.mutable_graph(), "w", kUint8, {4}), location, offset, length);
    return WriteModel("model.onnx", proto);
  }

  void ExpectRefusedPlace(const std::string& location, const std::string& offset,
                          const std::string& length, const std::string& text) {
    const fs::path model = ModelWith(location, offset, length);
    ExpectError(ErrorCode::kBadFile, text, [&] { ReadOnnx(model); });
    ExpectError(ErrorCode::kBadFile, "reading tensor 'w'", [&] { ReadOnnx(model); });
  }
};

TEST_F(ExternalData, IsReadFromItsOffset) {
  WriteText("w.bin", "0123456789");
  const OnnxModel model = ReadOnnx(ModelWith("w.bin", "3", "4"));
  EXPECT_EQ(AsText(model.graph.constants.at(0).tensor.bytes()), "3456");
  ASSERT_EQ(model.external_files.size(), 1u);
  EXPECT_TRUE(fs::equivalent(model.external_files[0], Path("w.bin")));
}

TEST_F(ExternalData, OffsetAndLengthMayBeLeftOut) {
  WriteText("w.bin", "0123456789");
  const OnnxModel model = ReadOnnx(ModelWith("w.bin", "", ""));
  EXPECT_EQ(AsText(model.graph.constants.at(0).tensor.bytes()), "0123");
}

TEST_F(ExternalData, MayLieInASubfolder) {
  fs::create_directory(Path("data"));
  WriteText("data/w.bin", "abcd");
  EXPECT_NO_THROW(ReadOnnx(ModelWith("data/w.bin", "0", "4")));
  EXPECT_NO_THROW(ReadOnnx(ModelWith("./data/../data/w.bin", "0", "4")));
}

TEST_F(ExternalData, MayNotLeaveTheFolder) {
  fs::create_directory(Path("inside"));
  WriteText("outside.bin", "abcd");
  const auto refuse = [&](const std::string& location, const std::string& text) {
    onnx::ModelProto proto = EmptyModel();
    SetExternal(AddInitializer(proto.mutable_graph(), "w", kUint8, {4}), location, "0", "4");
    const fs::path model = WriteModel("inside/model.onnx", proto);
    ExpectError(ErrorCode::kBadFile, text, [&] { ReadOnnx(model); });
  };
  refuse("../outside.bin", "'../outside.bin' leaves the model's folder");
  refuse("x/../../outside.bin", "leaves the model's folder");
  refuse("..", "leaves the model's folder");
  refuse(".", "leaves the model's folder");
  refuse(Path("outside.bin").string(), "is absolute");
  refuse("/dev/zero", "is absolute");
  refuse(std::string("a\0b", 3), "NUL");
  fs::create_symlink("../outside.bin", Path("inside/link.bin"));
  refuse("link.bin", "leaves the model's folder");
  fs::create_directory_symlink("..", Path("inside/up"));
  refuse("up/outside.bin", "leaves the model's folder");
  fs::create_directory(Path("inside-too"));  // a longer name with the same beginning
  WriteText("inside-too/w.bin", "abcd");
  refuse("../inside-too/w.bin", "leaves the model's folder");
}

TEST_F(ExternalData, LinksInsideTheFolderAreFollowed) {
  WriteText("w.bin", "abcd");
  fs::create_symlink("w.bin", Path("link.bin"));
  EXPECT_NO_THROW(ReadOnnx(ModelWith("link.bin", "0", "4")));
}

TEST_F(ExternalData, RefusesPlacesBeyondTheFile) {
  WriteText("w.bin", "0123456789");
  ExpectRefusedPlace("w.bin", "11", "4", "offset 11 of 'w.bin', which has 10 bytes");
  ExpectRefusedPlace("w.bin", "7", "4", "4 bytes at offset 7 of 'w.bin', which has 10 bytes");
  ExpectRefusedPlace("w.bin", "18446744073709551615", "4", "18446744073709551615");
  ExpectRefusedPlace("w.bin", "7", "", "4 bytes at offset 7");
}

TEST_F(ExternalData, RefusesLengthsThatDoNotFitTheTensor) {
  WriteText("w.bin", "0123456789");
  ExpectRefusedPlace("w.bin", "0", "5", "length 5, type and dimensions need 4 bytes");
  ExpectRefusedPlace("w.bin", "0", "3", "length 3, type and dimensions need 4 bytes");
}

TEST_F(ExternalData, RefusesNumbersThatAreNone) {
  WriteText("w.bin", "0123456789");
  ExpectRefusedPlace("w.bin", "-1", "4", "offset is '-1'");
  ExpectRefusedPlace("w.bin", "0x1", "4", "offset is '0x1'");
  ExpectRefusedPlace("w.bin", "0", "4 ", "length is '4 '");
  ExpectRefusedPlace("w.bin", "0", "99999999999999999999", "length is '99999999999999999999'");
}

TEST_F(ExternalData, RefusesAMissingFileOrLocation) {
  ExpectRefusedPlace("absent.bin", "0", "4", "absent.bin");
  ExpectRefusedPlace("", "0", "4", "is empty");
  fs::create_directory(Path("folder"));
  ExpectRefusedPlace("folder", "0", "4", "folder");
}

TEST_F(ExternalData, TensorsOfTheSameRangeShareIt) {
  WriteText("w.bin", "0123");
  onnx::ModelProto proto = EmptyModel();
  for (const char* name : {"a", "b", "c"}) {
    SetExternal(AddInitializer(proto.mutable_graph(), name, kUint8, {4}), "w.bin", "0", "4");
  }
  OnnxModel model = ReadOnnx(WriteModel("model.onnx", proto));
  std::vector<Constant>& constants = model.graph.constants;
  EXPECT_EQ(constants[0].tensor.bytes().data(), constants[2].tensor.bytes().data());
  constants[0].tensor.MutableBytes()[0] = std::byte{'x'};
  EXPECT_EQ(AsText(constants[2].tensor.bytes()), "0123");
}

// 1000 tensors of nearly the whole file each would take 1000 times its size.
TEST_F(ExternalData, RefusesRangesThatOverlap) {
  WriteText("w.bin", Pattern(1000));
  onnx::ModelProto proto = EmptyModel();
  for (int i = 0; i < 3; ++i) {
    SetExternal(AddInitializer(proto.mutable_graph(), std::to_string(i), kUint8, {900}), "w.bin",
                std::to_string(i), "900");
  }
  ExpectError(ErrorCode::kBadFile, "overlaps in 'w.bin'",
              [&] { ReadOnnx(WriteModel("model.onnx", proto)); });
}

TEST_F(ExternalData, ReservesNothingForHugeShapes) {
  WriteText("w.bin", "0123");
  onnx::ModelProto proto = EmptyModel();
  SetExternal(AddInitializer(proto.mutable_graph(), "w", kUint8, {std::int64_t{1} << 60}), "w.bin",
              "0", "");
  ExpectError(ErrorCode::kBadFile, "1152921504606846976",
              [&] { ReadOnnx(WriteModel("model.onnx", proto)); });
}

}  // namespace
}  // namespace espalier

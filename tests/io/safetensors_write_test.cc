#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "espalier/base/error.h"
#include "espalier/io/safetensors.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

class SafetensorsWrite : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / "espalier_safetensors_write";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "a.safetensors"; }

  fs::path folder_;
};

SafetensorsTensor Floats(const std::string& name, const Dims& shape,
                         const std::vector<float>& values) {
  return {name, DType::kFloat32, shape, std::as_bytes(std::span(values))};
}

ErrorCode CodeOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST_F(SafetensorsWrite, IsReadBackAsItWas) {
  const std::vector<float> b = {1, -2.5f, 3, 4, 5, 6};
  const std::vector<std::uint8_t> a = {1, 0, 1};
  const std::vector<float> none;
  const std::vector<float> one = {7};
  const SafetensorsTensor tensors[] = {Floats("b", {2, 3}, b),
                                       {"a", DType::kBool, {3}, std::as_bytes(std::span(a))},
                                       Floats("empty", {0, 4}, none),
                                       Floats("scalar \"x\"\n", {}, one)};
  WriteSafetensors(path(), Overwrite::kNo, tensors, {{"step", "12"}});
  const InputFile file(path());
  const SafetensorsHeader header = ReadSafetensorsHeader(file);
  EXPECT_THAT(header.metadata, ::testing::ElementsAre(::testing::Pair("step", "12")));
  ASSERT_EQ(header.entries.size(), 4u);
  EXPECT_EQ(header.data_begin % 8, 0u);
  EXPECT_EQ(header.entries[0].name, "b");
  EXPECT_EQ(header.entries[0].shape, (Dims{2, 3}));
  EXPECT_EQ(header.entries[1].dtype, DType::kBool);
  std::vector<float> read(6);
  file.ReadAt(header.entries[0].begin, std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, b);
  std::vector<std::uint8_t> bools(3);
  file.ReadAt(header.entries[1].begin, std::as_writable_bytes(std::span(bools)));
  EXPECT_EQ(bools, a);
}

TEST_F(SafetensorsWrite, RefusesWhatTheFormatCannotSay) {
  const std::vector<float> two = {1, 2};
  const auto write = [&](std::vector<SafetensorsTensor> tensors) {
    return CodeOf([&] { WriteSafetensors(path(), Overwrite::kNo, tensors); });
  };
  EXPECT_EQ(write({Floats("a", {2}, two), Floats("a", {2}, two)}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(write({Floats("__metadata__", {2}, two)}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(write({Floats("\xff\xfe", {2}, two)}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(write({Floats("a", {3}, two)}), ErrorCode::kShapeMismatch);
  EXPECT_EQ(write({Floats("a", {-2, -1}, two)}), ErrorCode::kShapeMismatch);
  EXPECT_EQ(write({{"a", DType::kComplex128, {1}, std::as_bytes(std::span(two))}}),
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(path())) << "nothing is left behind";
}

TEST_F(SafetensorsWrite, KeepsAnExistingFileUnlessTold) {
  const std::vector<float> two = {1, 2};
  const SafetensorsTensor tensor = Floats("a", {2}, two);
  WriteSafetensors(path(), Overwrite::kNo, {&tensor, 1});
  EXPECT_EQ(CodeOf([&] {
              WriteSafetensors(path(), Overwrite::kNo, {&tensor, 1});
            }),
            ErrorCode::kInvalidArgument);
  WriteSafetensors(path(), Overwrite::kYes, {});
  EXPECT_EQ(ReadSafetensorsHeader(InputFile(path())).entries.size(), 0u);
}

}  // namespace
}  // namespace espalier

#include "espalier/prune/pth_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "espalier/pattern/registry.h"
#include "espalier/prune/prune.h"
#include "tests/io/io_testing.h"
#include "tests/io/make_pth.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

using PthWeightsTest = FolderTest;

PruneReport PruneTo(WeightStore& weights) {
  PruneOptions options;
  options.threads = 2;
  return Prune(weights, *PatternRegistry::BuiltIn().Make("2:4"),
               *CriterionRegistry::BuiltIn().Make("magnitude"), options);
}

// Property: a layer comes out as the same values in memory do, all else as it was.
TEST_F(PthWeightsTest, ChangesThePrunedTensorAndNothingElse) {
  const std::vector<float> linear = NormalValues(32 * 64, 1);
  const std::vector<float> conv = NormalValues(16 * 32 * 9, 2);
  const std::vector<std::vector<std::byte>> bytes = {BytesOf(linear), BytesOf(conv),
                                                     BytesOf(NormalValues(32, 3))};
  WritePth(Path("in.pth"), Overwrite::kNo,
           {{"fc.bias", DType::kFloat32, {32}, bytes[2]},
            {"fc.weight", DType::kFloat32, {32, 64}, bytes[0]},
            {"conv.weight", DType::kFloat32, {16, 32, 3, 3}, bytes[1]},
            {"steps", DType::kInt64, {16}, bytes[2]}});
  PthWeights weights(Path("in.pth"));
  ASSERT_EQ(weights.layers().size(), 2u);
  EXPECT_EQ(weights.OtherParameters(), 32);
  weights.OpenOutput(Path("out.pth"), Overwrite::kNo);
  PruneTo(weights);
  EXPECT_FALSE(std::filesystem::exists(Path("out.pth")));
  weights.Commit();

  MemoryWeights want;
  want.Add("fc.weight", {32, 64}, linear);
  want.Add("conv.weight", {16, 32, 3, 3}, conv);
  PruneTo(want);
  const InputFile out(Path("out.pth"));
  const PthHeader header = ReadPthHeader(out);
  ASSERT_EQ(header.entries.size(), 4u);
  EXPECT_EQ(ReadPthTensor(out, header.entries[0]), bytes[2]);
  EXPECT_EQ(ReadPthTensor(out, header.entries[1]), want.Bytes(0));
  EXPECT_EQ(ReadPthTensor(out, header.entries[2]), want.Bytes(1));
  EXPECT_EQ(ReadPthTensor(out, header.entries[3]), bytes[2]);
  EXPECT_NE(want.Bytes(0), bytes[0]);
}

TEST_F(PthWeightsTest, PrunesSharedElementsOnce) {
  const std::string storage = PStorage("0", 32);
  const std::vector<std::byte> bytes = BytesOf(NormalValues(32, 3));
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string pickle = PDone(PDict({{"a.weight", PTensor(storage, 0, {4, 4}, {4, 1})},
                                          {"tied.weight", PTensor(storage, 0, {4, 4}, {4, 1})},
                                          {"b.weight", PTensor(storage, 16, {4, 4}, {1, 4})},
                                          {"part.weight", PTensor(storage, 31, {1, 1}, {1, 1})},
                                          {"none.weight", PTensor(storage, 0, {0, 4}, {4, 1})}}));
  PthWeights weights(Write("in.pth", PthZip(pickle, {text})));
  ASSERT_EQ(weights.layers().size(), 5u);
  EXPECT_EQ(weights.layers()[0].refusal, "");
  EXPECT_EQ(weights.layers()[1].refusal, "it shares elements with a.weight");
  EXPECT_EQ(weights.layers()[2].refusal, "");
  EXPECT_EQ(weights.layers()[3].refusal, "it shares elements with b.weight");
  EXPECT_EQ(weights.layers()[4].refusal, "it has no elements");
  weights.OpenOutput(Path("out.pth"), Overwrite::kNo);
  PruneTo(weights);
  weights.Commit();
  PthWeights again(Path("out.pth"));
  std::vector<std::byte> first(64);
  std::vector<std::byte> tied(64);
  again.Read(0, 0, first);
  again.Read(1, 0, tied);
  EXPECT_EQ(first, tied);
  again.Read(2, 0, tied);
  for (const auto& half : {first, tied}) {
    const std::vector<float> values = FloatsOf(half);
    EXPECT_EQ(std::ranges::count(values, 0.0f), 8);
  }
}

TEST_F(PthWeightsTest, CopiesAFileWithoutLayersByteForByte) {
  const std::vector<std::byte> bytes = BytesOf(NormalValues(32, 3));
  WritePth(Path("in.pth"), Overwrite::kNo, {{"bias", DType::kFloat32, {32}, bytes}});
  PthWeights weights(Path("in.pth"));
  weights.OpenOutput(Path("out.pth"), Overwrite::kNo);
  weights.Commit();
  EXPECT_EQ(Read(Path("out.pth")), Read(Path("in.pth")));
  ExpectError(ErrorCode::kInvalidArgument, {"out.pth"},
              [&] { weights.OpenOutput(Path("out.pth"), Overwrite::kNo); });
}

}  // namespace
}  // namespace espalier

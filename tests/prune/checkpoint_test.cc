#include "espalier/prune/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "espalier/base/error.h"
#include "espalier/pattern/registry.h"
#include "espalier/prune/prune.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::temp_directory_path() / (std::string("espalier-checkpoint-") +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "in");
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void WriteText(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string ReadText(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }

  // A file with one float32 matrix and one bias behind it.
  static std::string File(const std::string& name, std::int64_t rows, std::int64_t columns,
                          const std::vector<float>& values) {
    const std::size_t bytes = values.size() * 4;
    std::string header = R"({"__metadata__":{"format":"pt"},")" + name +
                         R"(.weight":{"dtype":"F32","shape":[)" + std::to_string(rows) + "," +
                         std::to_string(columns) + R"(],"data_offsets":[0,)" +
                         std::to_string(bytes) + R"(]},")" + name +
                         R"(.bias":{"dtype":"F32","shape":[2],"data_offsets":[)" +
                         std::to_string(bytes) + "," + std::to_string(bytes + 8) + "]}}";
    const std::uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), 8);
    file += header;
    file.append(reinterpret_cast<const char*>(values.data()), bytes);
    return file + "BIASBIAS";
  }

  static PruneReport PruneTo(CheckpointWeights& weights, const fs::path& output,
                             const std::string& pattern, PruneOptions options) {
    weights.OpenOutput(output, Overwrite::kNo);
    const PruneReport report = Prune(weights, *PatternRegistry::BuiltIn().Make(pattern),
                                     *CriterionRegistry::BuiltIn().Make("magnitude"), options);
    weights.Commit();
    return report;
  }

  fs::path folder_;
};

TEST_F(CheckpointTest, ChangesThePrunedTensorAndNothingElse) {
  const auto values = NormalValues(300 * 700, 1);
  const std::string file = File("layer", 300, 700, values);
  WriteText(folder_ / "in/model.safetensors", file);
  for (const char* pattern : {"2:4", "unstructured"}) {
    PruneOptions options;
    options.threads = 2;
    if (std::string(pattern) == "unstructured") options.sparsity = 0.5;
    CheckpointWeights weights(folder_ / "in/model.safetensors");
    ASSERT_EQ(weights.layers().size(), 1u);
    EXPECT_EQ(weights.OtherParameters(), 2);
    const fs::path output = folder_ / (std::string(pattern == std::string("2:4") ? "a" : "b"));
    PruneTo(weights, output, pattern, options);
    MemoryWeights want;
    want.Add("layer.weight", {300, 700}, values);
    Prune(want, *PatternRegistry::BuiltIn().Make(pattern),
          *CriterionRegistry::BuiltIn().Make("magnitude"), options);
    std::string expected = file;
    expected.replace(file.size() - 8 - 4 * values.size(), 4 * values.size(),
                     reinterpret_cast<const char*>(want.Bytes(0).data()), 4 * values.size());
    EXPECT_EQ(ReadText(output) == expected, true) << pattern;
  }
}

TEST_F(CheckpointTest, IndexGivesAFolderWithShardsIndexAndConfiguration) {
  WriteText(folder_ / "in/a.safetensors", File("first", 8, 16, NormalValues(128, 1)));
  WriteText(folder_ / "in/b.safetensors", File("second", 8, 16, NormalValues(128, 2)));
  WriteText(folder_ / "in/config.json", "{}");
  WriteText(folder_ / "in/pytorch_model.bin", "other weights");
  const std::string index =
      R"({"weight_map":{"first.weight":"a.safetensors","first.bias":"a.safetensors",)"
      R"("second.weight":"b.safetensors","second.bias":"b.safetensors"}})";
  WriteText(folder_ / "in/model.safetensors.index.json", index);
  CheckpointWeights weights(folder_ / "in/model.safetensors.index.json");
  ASSERT_EQ(weights.layers().size(), 2u);
  PruneTo(weights, folder_ / "deep/out", "2:4", {});
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_ / "deep/out")) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"a.safetensors", "b.safetensors", "config.json",
                                             "model.safetensors.index.json"}));
  EXPECT_EQ(ReadText(folder_ / "deep/out/model.safetensors.index.json"), index);
  CheckpointWeights again(folder_ / "deep/out/model.safetensors.index.json");
  EXPECT_EQ(again.layers().size(), 2u);
}

TEST_F(CheckpointTest, RefusesAnIndexThatNamesAMissingTensor) {
  WriteText(folder_ / "in/a.safetensors", File("first", 8, 16, NormalValues(128, 1)));
  WriteText(folder_ / "in/m.index.json", R"({"weight_map":{"ghost.weight":"a.safetensors"}})");
  try {
    CheckpointWeights weights(folder_ / "in/m.index.json");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFile);
    EXPECT_NE(std::string(error.what()).find("'ghost.weight'"), std::string::npos);
  }
}

TEST_F(CheckpointTest, NothingAppearsWithoutCommit) {
  WriteText(folder_ / "in/a.safetensors", File("first", 8, 16, NormalValues(128, 1)));
  {
    CheckpointWeights weights(folder_ / "in/a.safetensors");
    weights.OpenOutput(folder_ / "out/a.safetensors", Overwrite::kNo);
  }
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

SafetensorsEntry Entry(const std::string& name, const Dims& shape, DType dtype = DType::kBFloat16) {
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = dtype;
  entry.dtype_name = std::string(DTypeName(dtype));
  entry.shape = shape;
  return entry;
}

TEST(LayerOfCheckpointTensor, TellsLayersFromEmbeddingsAndTheRest) {
  EXPECT_FALSE(LayerOfCheckpointTensor(Entry("norm.weight", {64})).has_value());
  const auto linear = LayerOfCheckpointTensor(Entry("model.layers.0.mlp.up_proj.weight", {64, 32}));
  EXPECT_EQ(linear->refusal + linear->caution, "");
  EXPECT_EQ(linear->kind, LayerKind::kLinear);
  EXPECT_EQ(linear->view.in, (Axis{32, 1}));
  const auto conv = LayerOfCheckpointTensor(Entry("conv.weight", {64, 32, 3, 3}));
  EXPECT_EQ(conv->kind, LayerKind::kConv);
  EXPECT_EQ(conv->view.in, (Axis{32, 9}));
  EXPECT_TRUE(LayerOfCheckpointTensor(Entry("dw.weight", {64, 1, 3, 3}))->depthwise);
  EXPECT_TRUE(LayerOfCheckpointTensor(Entry("pw.weight", {64, 8, 1, 1}))->pointwise);
  EXPECT_EQ(LayerOfCheckpointTensor(Entry("rnn.weight_hh_l0", {64, 16}))->kind,
            LayerKind::kRecurrent);
  EXPECT_NE(LayerOfCheckpointTensor(Entry("model.embed_tokens.weight", {64, 16}))->caution, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("lm_head.weight", {64, 16}))->caution, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("h.0.attn.c_attn.weight", {64, 16}))->caution, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("pos_table", {64, 16}))->caution, "");
  EXPECT_EQ(LayerOfCheckpointTensor(Entry("patch_embed.proj.weight", {64, 3, 4, 4}))->caution, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("mlp.experts.up.weight", {4, 64, 16}))->refusal, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("q.weight", {64, 16}, DType::kInt8))->refusal, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("q.weight", {64, 16}, DType::kInt64))->refusal, "");
  EXPECT_NE(LayerOfCheckpointTensor(Entry("e.weight", {0, 16}))->refusal, "");
}

}  // namespace
}  // namespace espalier

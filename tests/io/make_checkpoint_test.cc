#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "espalier/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

// tools/make_checkpoint.py writes the inputs of the large benchmarks: they have to be valid.
class MakeCheckpoint : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    if (std::system("python3 -c ''") != 0) GTEST_SKIP() << "no python3 here";
  }
  void Run(const std::string& out, const std::string& arguments) {
    const std::string command =
        fmt::format("python3 '" ESPALIER_SOURCE_DIR "/tools/make_checkpoint.py' '{}' {}",
                    Path(out).native(), arguments);
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
};

double ValueOf(DType dtype, const std::byte* bytes) {
  std::uint16_t half = 0;
  float value = 0;
  std::memcpy(&half, bytes, 2);
  if (dtype == DType::kBFloat16) return BFloat16ToFloat(half);
  if (dtype == DType::kFloat16) return HalfToFloat(half);
  std::memcpy(&value, bytes, 4);
  return value;
}

TEST_F(MakeCheckpoint, WritesFiniteWeightsOfAboutTheSizeAskedFor) {
  for (const char* dtype : {"bf16", "f16", "f32"}) {
    SCOPED_TRACE(dtype);
    ASSERT_NO_FATAL_FAILURE(Run("m.safetensors", fmt::format("--bytes 1M --dtype {}", dtype)));
    const InputFile file(Path("m.safetensors"));
    EXPECT_NEAR(static_cast<double>(file.size()), 1 << 20, 0.02 * (1 << 20));
    const SafetensorsHeader header = ReadSafetensorsHeader(file);
    EXPECT_EQ(header.metadata.at("format"), "pt");
    double squares = 0;
    std::int64_t count = 0;
    for (const SafetensorsEntry& entry : header.entries) {
      std::vector<std::byte> bytes(entry.end - entry.begin);
      file.ReadAt(entry.begin, bytes);
      if (entry.shape.size() != 2) continue;
      for (std::size_t i = 0; i < bytes.size(); i += DTypeBits(entry.dtype) / 8, ++count) {
        const double value = ValueOf(entry.dtype, bytes.data() + i);
        ASSERT_LT(std::abs(value), 1);  // false for NaN and infinity
        squares += value * value;
      }
    }
    EXPECT_GT(std::sqrt(squares / static_cast<double>(count)), 0.01);
    EXPECT_LT(std::sqrt(squares / static_cast<double>(count)), 0.05);
  }
}

TEST_F(MakeCheckpoint, WritesShardsThatTheIndexNames) {
  ASSERT_NO_FATAL_FAILURE(Run("m", "--bytes 500K --shards 3"));
  const SafetensorsIndex index = ReadSafetensorsIndex(Path("m/model.safetensors.index.json"));
  ASSERT_EQ(index.shards.size(), 3u);
  std::size_t tensors = 0;
  for (const std::string& shard : index.shards) {
    const InputFile file(Path("m") / shard);
    for (const SafetensorsEntry& entry : ReadSafetensorsHeader(file).entries) {
      EXPECT_EQ(index.weight_map.at(entry.name), shard);
      ++tensors;
    }
  }
  EXPECT_EQ(tensors, index.weight_map.size());
  EXPECT_TRUE(index.weight_map.contains("model.layers.0.self_attn.q_proj.weight"));
}

TEST_F(MakeCheckpoint, GivesTheSameBytesAgain) {
  ASSERT_NO_FATAL_FAILURE(Run("a", "--bytes 300K"));
  ASSERT_NO_FATAL_FAILURE(Run("b", "--bytes 300K"));
  EXPECT_TRUE(Read(Path("a")) == Read(Path("b")));
}

}  // namespace
}  // namespace espalier

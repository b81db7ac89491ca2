#include <string>

#include "espalier/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

class SafetensorsIndexTest : public FolderTest {
 protected:
  SafetensorsIndex ReadText(const std::string& text) {
    return ReadSafetensorsIndex(Write("index.json", text));
  }
  void ExpectBad(const std::string& text, std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(text);
    ExpectError(ErrorCode::kBadFile, parts, [&] { ReadText(text); });
    ExpectError(ErrorCode::kBadFile, {"while reading the index", "index.json"},
                [&] { ReadText(text); });
  }
};

TEST_F(SafetensorsIndexTest, ReadsTheMapAndEachShardOnce) {
  const SafetensorsIndex index = ReadText(
      R"({"metadata": {"total_size": 123, "other": [1.5, null]},
          "weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "1.safetensors"}})");
  EXPECT_EQ(index.shards, (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  EXPECT_EQ(index.weight_map.size(), 3u);
  EXPECT_EQ(index.weight_map.at("b"), "2.safetensors");
  EXPECT_EQ(index.weight_map.at("c"), "1.safetensors");
}

TEST_F(SafetensorsIndexTest, NeedsNoMetadata) {
  EXPECT_EQ(ReadText(R"({"weight_map":{"a":"1..2"}})").shards, std::vector<std::string>{"1..2"});
  EXPECT_TRUE(ReadText(R"({"weight_map":{}})").shards.empty());
}

TEST_F(SafetensorsIndexTest, RefusesShardsOutsideItsFolder) {
  for (const char* shard : {"", ".", "..", "/etc/passwd", "../x", "a/b", "a/", "x\\u0000y"}) {
    ExpectBad(R"({"weight_map":{"t":")" + std::string(shard) + "\"}}",
              {"'t'", "not a plain file name"});
  }
  ExpectBad(R"({"weight_map":{"t":"../secret"}})", {"'../secret'"});
}

TEST_F(SafetensorsIndexTest, RefusesOtherContent) {
  ExpectBad("{}", {"no \"weight_map\""});
  ExpectBad("[]", {"index is an array"});
  ExpectBad("3", {"index is 3"});
  ExpectBad("", {"malformed JSON"});
  ExpectBad("{\"weight_map\":", {"malformed JSON at byte 15"});
  ExpectBad(R"({"weight_map":[]})", {"weight_map is an array"});
  ExpectBad(R"({"weight_map":"x"})", {"weight_map is 'x'"});
  ExpectBad(R"({"weight_map":{"t":3}})", {"weight_map has 3 for tensor 't'"});
  ExpectBad(R"({"weight_map":{"t":null}})", {"weight_map has null"});
  ExpectBad(R"({"weight_map":{"t":["x"]}})", {"weight_map has an array"});
  ExpectBad(R"({"weight_map":{"t":"x","t":"y"}})", {"'t' appears twice in 'weight_map'"});
}

TEST_F(SafetensorsIndexTest, RefusesDeepNesting) {
  ExpectBad("{\"metadata\":" + std::string(100'000, '['), {"deeper than 32"});
}

TEST_F(SafetensorsIndexTest, SaysThatAFileIsMissing) {
  ExpectError(ErrorCode::kBadFile, {"none.json", "No such file"},
              [&] { ReadSafetensorsIndex(Path("none.json")); });
}

}  // namespace
}  // namespace espalier

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

fs::path ModelsFolder() {
  const char* shared = std::getenv("ESPALIER_SHARED");
  return (shared != nullptr ? fs::path(shared) : fs::path(ESPALIER_SOURCE_DIR) / "../shared") /
         "models";
}

class Models : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    if (!fs::exists(ModelsFolder())) GTEST_SKIP() << "no models in " << ModelsFolder();
  }

  static std::string FileText(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(Models, RoundTripsEachWithoutAChange) {
  int models = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(ModelsFolder())) {
    if (entry.path().extension() != ".onnx") continue;
    if (entry.path().filename() == "invalid_no_opset.onnx") continue;
    SCOPED_TRACE(entry.path());
    ++models;
    const OnnxModel model = ReadOnnx(entry.path());
    WriteOnnx(model, Path("out.onnx"), Overwrite::kYes);
    onnx::ModelProto before;
    ASSERT_TRUE(before.ParseFromString(FileText(entry.path())));
    const onnx::ModelProto after = ReadProto("out.onnx");
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(before, after));
    EXPECT_TRUE(before.SerializeAsString() == ReadText("out.onnx"));
  }
  EXPECT_GE(models, 11);
}

TEST_F(Models, RefusesTheOneWithoutOpset) {
  ExpectError(ErrorCode::kBadFile, "no opset_import",
              [] { ReadOnnx(ModelsFolder() / "invalid_no_opset.onnx"); });
}

// Counts from a walk with the onnx Python package.
TEST_F(Models, ReadsNestedBranchesOfSilero) {
  const Graph graph = ReadOnnx(ModelsFolder() / "silero_vad_16k_op15.onnx").graph;
  std::size_t nodes = 0;
  for (const Scope& scope : graph.scopes) nodes += scope.nodes.size();
  EXPECT_EQ(graph.scopes.size(), 25u);
  EXPECT_EQ(nodes, 190u);
  EXPECT_EQ(graph.constants.size(), 175u);
  int deepest = 0;
  for (std::size_t i = 0; i < graph.scopes.size(); ++i) {
    int depth = 0;
    for (int s = static_cast<int>(i); graph.scopes[s].parent >= 0; s = graph.scopes[s].parent) {
      ASSERT_LT(graph.scopes[s].parent, s) << "parents come first";
      ++depth;
    }
    deepest = std::max(deepest, depth);
  }
  EXPECT_GE(deepest, 2);
}

}  // namespace
}  // namespace espalier

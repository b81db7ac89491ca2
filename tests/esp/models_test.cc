#include <cstdlib>
#include <filesystem>

#include "espalier/onnx/onnx_file.h"
#include "tests/esp/esp_case.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

fs::path ModelsFolder() {
  const char* shared = std::getenv("ESPALIER_SHARED");
  return (shared != nullptr ? fs::path(shared) : fs::path(ESPALIER_SOURCE_DIR) / "../shared") /
         "models";
}

using EspModels = FolderTest;

TEST_F(EspModels, EachComesBackToTheBit) {
  if (!fs::exists(ModelsFolder())) GTEST_SKIP() << "no models in " << ModelsFolder();
  int models = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(ModelsFolder())) {
    if (entry.path().extension() != ".onnx") continue;
    if (entry.path().filename() == "invalid_no_opset.onnx") continue;
    SCOPED_TRACE(entry.path());
    ++models;
    const Graph graph = ReadOnnx(entry.path()).graph;
    EspOptions options;
    options.overwrite = Overwrite::kYes;
    const EspReport report = WriteEsp(graph, Path("model.esp"), options);
    EXPECT_EQ(GraphDifference(graph, ReadEsp(Path("model.esp")).graph), "");
    EXPECT_LT(report.file_bytes, fs::file_size(entry.path()) * 1.02);
  }
  EXPECT_GE(models, 11);
}

TEST_F(EspModels, Float16HalvesDenseModels) {
  if (!fs::exists(ModelsFolder())) GTEST_SKIP() << "no models in " << ModelsFolder();
  const fs::path model = ModelsFolder() / "squeezenet_v1.1.onnx";
  const Graph graph = ReadOnnx(model).graph;
  EspOptions options;
  options.values = EspValues::kFloat16;
  const EspReport report = WriteEsp(graph, Path("half.esp"), options);
  EXPECT_LT(report.file_bytes, fs::file_size(model) * 0.51);
  EXPECT_EQ(ReadEsp(Path("half.esp")).graph.constants.size(), graph.constants.size());
}

}  // namespace
}  // namespace espalier

// Every model of ../shared/models: the same function as in the runtime, the right parameters, and
// the same bytes if nothing was trained.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/runtime/session.h"
#include "tests/train/trainable_testing.h"
#include "train/trainable.h"

namespace espalier::train {
namespace {

namespace fs = std::filesystem;

struct ModelCase {
  std::string name;
  Dims dims;  // of the first input
  std::size_t parameters, decayed, buffers;
};

void PrintTo(const ModelCase& model, std::ostream* out) { *out << model.name; }

class TrainableModels : public ::testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    path_ = SharedFile("models/" + GetParam().name + ".onnx");
    if (path_.empty()) GTEST_SKIP() << "no models/" << GetParam().name << "; set ESPALIER_SHARED";
  }
  fs::path path_;
};

TEST_P(TrainableModels, ComputesWhatTheRuntimeComputes) {
  Graph graph = ReadOnnx(path_).graph;
  graph.scopes[0].inputs[0].dims = GetParam().dims;
  Session session(graph, {.threads = 1, .tune = false});
  const auto inputs = RandomInputs(session, /*seed=*/3);
  const auto want = session.Run(inputs);
  Trainable network(graph);
  const at::NoGradGuard no_grad;
  const auto got = network.Forward(ToTorch(inputs), /*training=*/false);
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    ASSERT_EQ(got.at(name).sizes().vec(), tensor.dims()) << name;
    EXPECT_LE(Difference(got.at(name), ToTorch(tensor)), 1e-4) << name;
  }
}

TEST_P(TrainableModels, FindsItsParameters) {
  Trainable network(ReadOnnx(path_).graph);
  std::size_t decayed = 0;
  for (const TrainTensor& parameter : network.parameters()) decayed += parameter.decay ? 1 : 0;
  EXPECT_EQ(network.parameters().size(), GetParam().parameters);
  EXPECT_EQ(decayed, GetParam().decayed);
  EXPECT_EQ(network.buffers().size(), GetParam().buffers);
}

TEST_P(TrainableModels, LeavesTheFileAsItIsWithoutAStep) {
  OnnxModel model = ReadOnnx(path_);
  Trainable network(model.graph);
  network.WriteTo(&model.graph);
  for (const Constant& constant : model.graph.constants) {
    EXPECT_FALSE(constant.modified) << constant.name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TrainableModels,
    ::testing::Values(ModelCase{"cifar_resnet20", {3, 3, 32, 32}, 40, 20, 0},
                      ModelCase{"vit_mnist", {2, 1, 28, 28}, 74, 26, 0},
                      ModelCase{"squeezenet_v1.1", {1, 3, 227, 227}, 52, 26, 0},
                      ModelCase{"mobilefacenet", {1, 3, 112, 112}, 102, 51, 0},
                      ModelCase{"ppocr_cls_v2", {2, 3, 48, 192}, 143, 54, 70},
                      ModelCase{"ultraface_rfb_320", {1, 3, 240, 320}, 139, 52, 70},
                      ModelCase{"picodet_s_320_coco", {1, 3, 320, 320}, 266, 133, 0},
                      ModelCase{"fastestdet", {1, 3, 352, 352}, 140, 70, 0},
                      ModelCase{"yunet_n_320", {1, 3, 320, 320}, 118, 59, 0},
                      ModelCase{"gtcrn_simple", {1, 257, 1, 2}, 153, 62, 22},
                      ModelCase{"silero_vad_16k_op15", {1, 576}, 15, 8, 0}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

}  // namespace
}  // namespace espalier::train

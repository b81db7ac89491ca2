#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "espalier/base/random.h"
#include "espalier/pattern/registry.h"
#include "espalier/train/initialize.h"
#include "espalier/train/train.h"
#include "tests/graph/graph_builder.h"
#include "tests/train/expect_error.h"
#include "train/tensor_convert.h"

namespace espalier::train {
namespace {

namespace fs = std::filesystem;
using espalier::testing::GraphBuilder;

constexpr std::size_t kClasses = 4;
constexpr std::size_t kSide = 6;

// Noise with one bright corner; the label says which.
class Corners final : public Dataset {
 public:
  Corners(std::size_t count, std::uint64_t seed, std::int64_t shift = 0)
      : count_(count), seed_(seed), shift_(shift) {}

  std::size_t size() const noexcept override { return count_; }
  const std::vector<std::string>& class_names() const noexcept override { return names_; }
  std::string Description() const override { return "corners"; }
  Sample Read(std::size_t index) const override {
    Sample sample;
    sample.name = "corner";
    const auto corner = static_cast<std::size_t>(RandomAt(seed_, index) % kClasses);
    sample.label = shift_ < 0 ? -1 : static_cast<std::int64_t>(corner) + shift_;
    std::vector<float> values(kSide * kSide);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool bright = (i / kSide >= kSide / 2) == (corner / 2 == 1) &&
                          (i % kSide >= kSide / 2) == (corner % 2 == 1);
      const double noise = static_cast<double>(RandomAt(seed_ + index, i) >> 40) * 0x1p-24;
      values[i] = static_cast<float>(2 * noise - 1 + (bright ? 1.2 : 0));
    }
    sample.tensor.dtype = DType::kFloat32;
    sample.tensor.shape = {1, static_cast<std::int64_t>(kSide), static_cast<std::int64_t>(kSide)};
    sample.tensor.bytes.resize(values.size() * sizeof(float));
    std::memcpy(sample.tensor.bytes.data(), values.data(), sample.tensor.bytes.size());
    return sample;
  }

 private:
  std::size_t count_;
  std::uint64_t seed_;
  std::int64_t shift_;
  std::vector<std::string> names_;
};

Tensor Zeros(const Dims& dims) {
  return Tensor(DType::kFloat32, dims,
                std::vector<std::byte>(TensorByteCount(DType::kFloat32, dims)));
}

// Two convolutions, as an exporter leaves them with their normalizations folded, and a layer; with
// dropout, so that random numbers count.
Graph SmallNet(std::uint64_t seed = 3) {
  GraphBuilder net;
  net.Input("x", Dims{-1, 1, kSide, kSide})
      .Constant("w1", Zeros({8, 1, 3, 3}))
      .Constant("b1", Zeros({8}))
      .Constant("w2", Zeros({16, 8, 3, 3}))
      .Constant("b2", Zeros({16}))
      .Constant("w3", Zeros({4, 256}))
      .Constant("b3", Zeros({4}))
      .Constant("share", FromTorch(at::scalar_tensor(0.1), DType::kFloat32))
      .Constant("on", FromTorch(at::scalar_tensor(true, at::kBool), DType::kBool))
      .Add("Conv", {"x", "w1", "b1"}, {"c1"}, {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}})
      .Add("Relu", {"c1"}, {"r1"})
      .Add("Conv", {"r1", "w2", "b2"}, {"c2"})
      .Add("Relu", {"c2"}, {"r2"})
      .Add("Dropout", {"r2", "share", "on"}, {"d"})
      .Add("Flatten", {"d"}, {"f"})
      .Add("Gemm", {"f", "w3", "b3"}, {"y"}, {{"transB", std::int64_t{1}}})
      .Output("y");
  Graph graph = net.graph();
  DrawWeights(&graph, seed);
  return graph;
}

std::vector<std::byte> BytesOf(const Graph& graph) {
  std::vector<std::byte> bytes;
  for (const Constant& constant : graph.constants) {
    bytes.insert(bytes.end(), constant.tensor.bytes().begin(), constant.tensor.bytes().end());
  }
  return bytes;
}

double ZerosOf(const Graph& graph, const std::string& name) {
  for (const Constant& constant : graph.constants) {
    if (constant.name != name) continue;
    const at::Tensor values = ToTorch(constant.tensor);
    return values.eq(0).sum().item<double>() / static_cast<double>(values.numel());
  }
  return -1;
}

class Training : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("espalier_trainer_" + std::string(info->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    options_.epochs = 3;
    options_.batch_size = 16;
    options_.learning_rate = 0.02;
    data_.data = &corners_;
    data_.held_out = &held_out_;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void PruneTo(const std::string& pattern, std::optional<double> sparsity) {
    MaskOptions masks;
    masks.pattern = PatternRegistry::BuiltIn().Make(pattern);
    masks.criterion = CriterionRegistry::BuiltIn().Make("magnitude", 0);
    masks.prune.sparsity = sparsity;
    options_.masks = masks;
  }

  Corners corners_{160, 1};
  Corners held_out_{64, 1000};
  TrainData data_;
  TrainOptions options_;
  fs::path folder_;
};

TEST_F(Training, LearnsWithTheZerosHeld) {
  Graph graph = SmallNet();
  PruneTo("2:4", std::nullopt);
  options_.epochs = 6;
  const TrainReport report = Train(&graph, nullptr, data_, options_);
  EXPECT_GT(report.figures.held_out_accuracy.value_or(0), 0.9);
  EXPECT_EQ(report.normalizations, 2);
  EXPECT_EQ(report.figures.step, 60);
  EXPECT_EQ(ZerosOf(graph, "w2"), 0.5);
  EXPECT_EQ(ZerosOf(graph, "w3"), 0.5);
  EXPECT_EQ(ZerosOf(graph, "w1"), 0) << "one input channel takes no 2:4";
}

TEST_F(Training, HoldsTheZerosThatAreThere) {
  Graph graph = SmallNet();
  PruneTo("unstructured", 0.6);
  options_.max_steps = 1;
  Train(&graph, nullptr, data_, options_);
  const double zeros = ZerosOf(graph, "w2");
  EXPECT_NEAR(zeros, 0.6, 0.001);
  options_.max_steps = 12;
  options_.masks = MaskOptions();
  const std::vector<std::byte> before = BytesOf(graph);
  Train(&graph, nullptr, data_, options_);
  EXPECT_NE(BytesOf(graph), before);
  EXPECT_EQ(ZerosOf(graph, "w2"), zeros);
}

TEST_F(Training, GivesTheSameBytesAgain) {
  Graph first = SmallNet();
  Graph second = SmallNet();
  Train(&first, nullptr, data_, options_);
  Train(&second, nullptr, data_, options_);
  EXPECT_EQ(BytesOf(first), BytesOf(second));
  options_.seed = 1;
  Graph other = SmallNet();
  Train(&other, nullptr, data_, options_);
  EXPECT_NE(BytesOf(first), BytesOf(other)) << "the seed counts";
}

// Stopped after some steps and resumed, all that is written has the bytes of an unbroken run.
TEST_F(Training, ResumesExactly) {
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdamW}) {
    options_ = TrainOptions();
    options_.epochs = 3;
    options_.batch_size = 16;
    options_.learning_rate = 0.01;
    options_.optimizer.kind = kind;
    options_.optimizer.ema = 0.9;
    options_.optimizer.clip_norm = 1;
    PruneTo("unstructured", 0.8);
    options_.masks->schedule = ScheduleKind::kGmp;
    options_.masks->updates = 5;
    options_.masks->keep_dense = kind == OptimizerKind::kAdamW;
    Graph unbroken = SmallNet();
    const TrainReport whole = Train(&unbroken, nullptr, data_, options_);
    for (const std::int64_t stop_at : {1, 7, 10, 23, 29}) {
      options_.checkpoint.path = folder_ / "state";
      options_.checkpoint.resume = true;
      std::atomic<bool> stop = false;
      options_.stop = &stop;
      options_.on_step = [&](const TrainFigures& figures) { stop = figures.step == stop_at; };
      Graph graph = SmallNet();
      const std::vector<std::byte> before = BytesOf(graph);
      EXPECT_TRUE(Train(&graph, nullptr, data_, options_).stopped);
      EXPECT_EQ(BytesOf(graph), before) << "a stopped training changes nothing";
      stop = false;
      const TrainReport rest = Train(&graph, nullptr, data_, options_);
      EXPECT_EQ(BytesOf(graph), BytesOf(unbroken)) << "stopped at " << stop_at;
      EXPECT_EQ(rest.figures.loss, whole.figures.loss);
      EXPECT_EQ(rest.figures.accuracy, whole.figures.accuracy);
      fs::remove(options_.checkpoint.path);
    }
    EXPECT_NEAR(ZerosOf(unbroken, "w3"), 0.8, 0.001);
  }
}

TEST_F(Training, RefusesTheCheckpointOfAnother) {
  options_.checkpoint.path = folder_ / "state";
  options_.checkpoint.resume = true;
  options_.checkpoint.minutes = 0;
  Graph graph = SmallNet();
  Train(&graph, nullptr, data_, options_);
  options_.batch_size = 8;
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "'batch size' is '16' there and '8' here");
}

TEST_F(Training, RefusesTheCheckpointOfAnotherNetwork) {
  options_.checkpoint.path = folder_ / "state";
  options_.checkpoint.resume = true;
  Graph graph = SmallNet();
  Train(&graph, nullptr, data_, options_);
  Graph other = SmallNet(4);
  ExpectError([&] { Train(&other, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "'model' is");
  PruneTo("2:4", std::nullopt);
  Graph same = SmallNet();
  ExpectError([&] { Train(&same, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "'masked layers' is 'nothing' there");
  options_.masks.reset();
  Train(&same, nullptr, data_, options_);
  EXPECT_EQ(BytesOf(same), BytesOf(graph)) << "a finished one is only written again";
}

// PyTorch's `weight * mask` leaves -0 where a negative weight was.
TEST_F(Training, HoldsNegativeZeros) {
  Graph graph = SmallNet();
  for (Constant& constant : graph.constants) {
    if (constant.name != "w2") continue;
    float* const values = reinterpret_cast<float*>(constant.tensor.MutableBytes().data());
    for (std::int64_t i = 0; i < constant.tensor.elements(); i += 2) values[i] = -0.0f;
  }
  options_.masks = MaskOptions();
  options_.max_steps = 3;
  Train(&graph, nullptr, data_, options_);
  EXPECT_EQ(ZerosOf(graph, "w2"), 0.5);
}

TEST_F(Training, KeepsTheLastGoodCheckpoint) {
  options_.checkpoint.path = folder_ / "state";
  options_.checkpoint.minutes = 0;
  options_.learning_rate_kind = LearningRateKind::kMultiStep;
  options_.learning_rate_epochs = {1};  // after 10 steps
  options_.learning_rate = 1e-3;
  options_.learning_rate_gamma = 1e41;  // then all is finite but the new weights
  options_.optimizer.weight_decay = 10;
  Graph graph = SmallNet();
  const std::vector<std::byte> before = BytesOf(graph);
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "the last checkpoint, if there is one, is ");
  EXPECT_EQ(BytesOf(graph), before);
  options_.checkpoint.resume = true;
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "is not finite after step");
}

TEST_F(Training, RefusesABrokenCheckpoint) {
  options_.checkpoint.path = folder_ / "state";
  options_.checkpoint.resume = true;
  options_.checkpoint.minutes = 0;
  Graph graph = SmallNet();
  Train(&graph, nullptr, data_, options_);
  fs::resize_file(options_.checkpoint.path, fs::file_size(options_.checkpoint.path) - 1);
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kBadFile, "state");
  std::ofstream(options_.checkpoint.path) << "nothing of the kind";
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kBadFile, "state");
}

TEST_F(Training, StopsAtALossThatIsNotFinite) {
  Graph graph = SmallNet();
  const std::vector<std::byte> before = BytesOf(graph);
  options_.learning_rate = 1e30;
  options_.insert_batch_norm = false;
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "at step ");
  EXPECT_EQ(BytesOf(graph), before);
}

TEST_F(Training, NamesALabelWithoutAClass) {
  const Corners shifted(32, 1, 2);
  data_.data = &shifted;
  Graph graph = SmallNet();
  ExpectError([&] { Train(&graph, nullptr, data_, options_); }, ErrorCode::kInvalidArgument,
              "the output has 4 classes");
}

TEST_F(Training, LearnsFromATeacherWithoutLabels) {
  Graph teacher = SmallNet();
  options_.epochs = 6;
  Train(&teacher, nullptr, data_, options_);
  const Corners unlabeled(160, 1, -1);
  data_.data = &unlabeled;
  Graph student = teacher;
  PruneTo("2:4", std::nullopt);
  options_.loss.inner = {"r1"};
  const TrainReport report = Train(&student, &teacher, data_, options_);
  EXPECT_GT(report.figures.held_out_accuracy.value_or(0), 0.9);
  EXPECT_EQ(ZerosOf(student, "w3"), 0.5);
  EXPECT_FALSE(report.figures.accuracy.has_value());
}

TEST_F(Training, RefusesOptionsThatMakeNoSense) {
  Graph graph = SmallNet();
  const auto refuses = [&](const TrainOptions& options, const std::string& text) {
    ExpectError([&] { Train(&graph, nullptr, data_, options); }, ErrorCode::kInvalidArgument, text);
  };
  TrainOptions options = options_;
  options.epochs = 0;
  refuses(options, "the number of epochs is 0");
  options = options_;
  options.optimizer.momentum = 1;
  refuses(options, "the momentum is 1");
  options = options_;
  options.loss.inner = {"r1"};
  refuses(options, "there is no teacher");
  options = options_;
  options.output = "z";
  refuses(options, "there is no output 'z'");
  PruneTo("unstructured", std::nullopt);
  refuses(options_, "needs a sparsity or a threshold");
  PruneTo("2:4", 0.9);
  refuses(options_, "has its ratio built in");
  PruneTo("unstructured", 0.5);
  options_.masks->stable_epochs = 9;
  refuses(options_, "the masks are ready after");
}

}  // namespace
}  // namespace espalier::train

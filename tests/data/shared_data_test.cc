// The data in ../shared/datasets (or ESPALIER_SHARED): counts, labels, sizes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "espalier/data/dataset.h"
#include "espalier/data/preprocess.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

fs::path Datasets() {
  const char* shared = std::getenv("ESPALIER_SHARED");
  return (shared != nullptr ? fs::path(shared) : fs::path(ESPALIER_SOURCE_DIR) / "../shared") /
         "datasets";
}

#define SKIP_WITHOUT(path) \
  if (!fs::exists(path)) GTEST_SKIP() << "no " << (path) << "; set ESPALIER_SHARED"

std::map<std::int64_t, int> CountLabels(const Dataset& data, int width, int channels) {
  std::map<std::int64_t, int> counts;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const Sample sample = data.Read(i);
    EXPECT_EQ(sample.image.width, width) << sample.name;
    EXPECT_EQ(sample.image.height, width) << sample.name;
    EXPECT_EQ(sample.image.channels, channels) << sample.name;
    ++counts[sample.label];
  }
  return counts;
}

TEST(SharedData, Imagenet500) {
  SKIP_WITHOUT(Datasets() / "imagenet500_224.tar");
  DatasetOptions options;
  options.labels = Datasets() / "imagenet500_labels.csv";
  const auto data = OpenDataset(Datasets() / "imagenet500_224.tar", options);
  EXPECT_EQ(data->size(), 500u);
  const auto counts = CountLabels(*data, 224, 3);
  EXPECT_EQ(counts.size(), 500u);
  EXPECT_EQ(counts.begin()->first, 0);
  EXPECT_EQ(counts.rbegin()->first, 998);
  // The files' names begin with their labels.
  for (const std::size_t i : {0, 77, 499}) {
    const Sample sample = data->Read(i);
    EXPECT_EQ(std::stoll(sample.name.substr(sample.name.find('/') + 1, 4)), sample.label);
  }
}

TEST(SharedData, Cifar10) {
  const fs::path path = Datasets() / "cifar10_jpeg.tar.xz";
  SKIP_WITHOUT(path);
  const auto data = OpenDataset(path);
  EXPECT_EQ(data->size(), 5000u);
  EXPECT_EQ(data->class_names(),
            (std::vector<std::string>{"airplane", "automobile", "bird", "cat", "deer", "dog",
                                      "frog", "horse", "ship", "truck"}));
  const auto counts = CountLabels(*data, 32, 3);
  ASSERT_EQ(counts.size(), 10u);
  for (const auto& [label, count] : counts) EXPECT_EQ(count, 500) << label;
  EXPECT_EQ(data->Read(0).name, "cifar10/test/airplane/0000.jpg");
  DatasetOptions options;
  options.split = "cifar10/train";
  EXPECT_EQ(OpenDataset(path, options)->size(), 25000u);
}

TEST(SharedData, Mnist) {
  SKIP_WITHOUT(Datasets() / "mnist");
  const auto data = OpenDataset(Datasets() / "mnist");
  EXPECT_EQ(data->size(), 10000u);
  // The counts of the test images of each digit, as published.
  const std::map<std::int64_t, int> want = {{0, 980}, {1, 1135}, {2, 1032}, {3, 1010}, {4, 982},
                                            {5, 892}, {6, 958},  {7, 1028}, {8, 974},  {9, 1009}};
  EXPECT_EQ(CountLabels(*data, 28, 1), want);
  // Mean and standard deviation of the training images are those of the preset.
  DatasetOptions options;
  options.split = "train";
  const auto train = OpenDataset(Datasets() / "mnist", options);
  ASSERT_EQ(train->size(), 60000u);
  double sum = 0, squares = 0;
  std::vector<float> out(28 * 28);
  for (std::size_t i = 0; i < train->size(); ++i) {
    PreprocessSample(FindPreprocess("mnist"), train->Read(i), {1, 28, 28}, out);
    for (const float value : out) sum += value, squares += value * value;
  }
  const double count = 60000.0 * 28 * 28;
  EXPECT_NEAR(sum / count, 0, 1e-3);
  EXPECT_NEAR(squares / count, 1, 1e-3);
}

}  // namespace
}  // namespace espalier

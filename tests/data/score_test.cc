#include "espalier/data/score.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/io/io_testing.h"

namespace espalier {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Score, CountsTheFirstAndTheFirstFive) {
  ClassificationScore score(ClassifierOutput::kLogits);
  const std::vector<float> outputs = {0, 6, 5, 4, 3, 2, 1};
  for (std::int64_t label = 0; label < 7; ++label) score.Add(outputs, label, "a");
  EXPECT_EQ(score.samples(), 7);
  EXPECT_EQ(score.top1(), 1);
  EXPECT_EQ(score.top5(), 5);
}

TEST(Score, RanksEqualOutputsByIndex) {
  ClassificationScore score(ClassifierOutput::kLogits);
  const std::vector<float> outputs(7, 1.0f);
  score.Add(outputs, 0, "a");
  EXPECT_EQ(score.top1(), 1);
  score.Add(outputs, 1, "a");
  EXPECT_EQ(score.top1(), 1);
  score.Add(outputs, 4, "a");
  EXPECT_EQ(score.top5(), 3);
  score.Add(outputs, 5, "a");
  EXPECT_EQ(score.top5(), 3);
}

TEST(Score, SumsTheLossOfLogits) {
  ClassificationScore score(ClassifierOutput::kLogits);
  EXPECT_EQ(score.loss(), 0);
  score.Add(std::vector<float>{1, 2, 3}, 0, "a");
  EXPECT_NEAR(score.loss(), std::log(std::exp(1.) + std::exp(2.) + std::exp(3.)) - 1, 1e-12);
  // exp(1000) overflows even double; -infinity rules a class out.
  ClassificationScore big(ClassifierOutput::kLogits);
  big.Add(std::vector<float>{1000, 999, -kInfinity}, 1, "a");
  EXPECT_NEAR(big.loss(), std::log(1 + std::exp(1.)), 1e-12);
}

TEST(Score, SumsTheLossOfProbabilities) {
  ClassificationScore score(ClassifierOutput::kProbabilities);
  score.Add(std::vector<float>{0.25f, 0.75f}, 0, "a");
  EXPECT_NEAR(score.loss(), -std::log(0.25), 1e-12);
  score.Add(std::vector<float>{0, 1}, 0, "a");
  EXPECT_NEAR(score.loss(), (-std::log(0.25) - std::log(1.17549435e-38)) / 2, 1e-6);
}

TEST(Score, MergesWhatThreadsCounted) {
  ClassificationScore one(ClassifierOutput::kLogits), two(ClassifierOutput::kLogits);
  one.Add(std::vector<float>{1, 2}, 1, "a");
  two.Add(std::vector<float>{1, 2}, 0, "a");
  one.Merge(two);
  EXPECT_EQ(one.samples(), 2);
  EXPECT_EQ(one.top1(), 1);
  EXPECT_EQ(one.top5(), 2);
  EXPECT_NEAR(one.loss(), std::log(1 + std::exp(1.)) - 0.5, 1e-12);
}

TEST(Score, RefusesWhatIsNoNumberOrNoProbability) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    ClassificationScore score(ClassifierOutput::kLogits);
    ExpectError(ErrorCode::kBadFile, {"class 1", "'x.png'"}, [&] {
      score.Add(std::vector<float>{1, bad}, 0, "x.png");
    });
    EXPECT_EQ(score.samples(), 0);
  }
  for (const float bad : {-0.1f, 1.1f, -kInfinity}) {
    ClassificationScore score(ClassifierOutput::kProbabilities);
    ExpectError(ErrorCode::kBadFile, {"class 0", "'x.png'", "no probability"}, [&] {
      score.Add(std::vector<float>{bad, 1}, 0, "x.png");
    });
  }
  ClassificationScore score(ClassifierOutput::kLogits);
  ExpectError(ErrorCode::kBadFile, {"all", "'x.png'"}, [&] {
    score.Add(std::vector<float>{-kInfinity, -kInfinity}, 0, "x.png");
  });
}

TEST(Score, RefusesLabelsWithoutAClass) {
  ClassificationScore score(ClassifierOutput::kLogits);
  for (const std::int64_t label : {-1, 2}) {
    ExpectError(ErrorCode::kShapeMismatch, {"'x.png'", "label " + std::to_string(label), "0 to 1"},
                [&] {
                  score.Add(std::vector<float>{1, 2}, label, "x.png");
                });
  }
  ExpectError(ErrorCode::kShapeMismatch, {"0 to -1"}, [&] { score.Add({}, 0, "x.png"); });
}

}  // namespace
}  // namespace espalier

#include "espalier/prune/criterion.h"

#include <gtest/gtest.h>

#include <set>

#include "espalier/base/error.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

std::vector<float> Scores(const Criterion& criterion, const std::string& weight, std::int64_t first,
                          const std::vector<float>& values) {
  Layer layer;
  layer.weight = weight;
  std::vector<float> scores(values.size());
  criterion.Score({layer, first, false, values}, scores);
  return scores;
}

TEST(Magnitude, IsTheAbsoluteValue) {
  const auto criterion = CriterionRegistry::BuiltIn().Make("magnitude");
  EXPECT_EQ(Scores(*criterion, "w", 0, {-2, 0, 3}), (std::vector<float>{2, 0, 3}));
  EXPECT_EQ(criterion->Norm(), UnitNorm::kSum);
  EXPECT_EQ(CriterionRegistry::BuiltIn().Make("magnitude:l2")->Norm(), UnitNorm::kRootSumSquares);
  EXPECT_EQ(CriterionRegistry::BuiltIn().Make("magnitude:l1")->Name(), "magnitude");
}

TEST(Random, DependsOnSeedNameAndPlaceOnly) {
  const auto& registry = CriterionRegistry::BuiltIn();
  const std::vector<float> values(1000, 1.0f);
  const auto all = Scores(*registry.Make("random", 5), "w", 0, values);
  EXPECT_EQ(Scores(*registry.Make("random", 5), "w", 0, values), all);
  EXPECT_NE(Scores(*registry.Make("random", 6), "w", 0, values), all);
  EXPECT_NE(Scores(*registry.Make("random", 5), "v", 0, values), all);
  // A run that starts in the middle sees the same numbers.
  const auto tail = Scores(*registry.Make("random", 5), "w", 400, std::vector<float>(600, 2.0f));
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), all.begin() + 400));
  for (const float score : all) {
    EXPECT_GT(score, 0.0f);
    EXPECT_LE(score, 1.0f);
  }
  EXPECT_GT(std::set<float>(all.begin(), all.end()).size(), 990u);
}

TEST(CriterionRegistry, RefusesUnknownNamesAndDuplicates) {
  CriterionRegistry registry = CriterionRegistry::BuiltIn();
  try {
    registry.Make("magnitud");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("'magnitud'"), std::string::npos);
  }
  EXPECT_THROW(registry.Add({"random", "", nullptr}), Error);
}

}  // namespace
}  // namespace espalier

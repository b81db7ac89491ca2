#include "espalier/base/error.h"

#include <gtest/gtest.h>

#include <string>

namespace espalier {
namespace {

TEST(Error, SaysTheCauseAndThePlaceThatThrew) {
  const int line = __LINE__ + 1;
  const Error error(ErrorCode::kShapeMismatch, "mask has 63 columns, weight has 64");
  EXPECT_EQ(error.code(), ErrorCode::kShapeMismatch);
  EXPECT_EQ(
      std::string(error.what()),
      "mask has 63 columns, weight has 64 [tests/base/error_test.cc:" + std::to_string(line) + "]");
}

TEST(Error, KnowsPlacesFromTheRoot) {
  EXPECT_STREQ(Error(ErrorCode::kBadFile, "cause", "../../src/io/a.cc", 7).what(),
               "cause [src/io/a.cc:7]");
}

TEST(Error, AddsEachCallersLineBelowTheOneBefore) {
  Error error(ErrorCode::kBadFile, "cause", "a.cc", 7);
  error.AddContext("reading 'x'");
  error.AddContext("pruning 'y'");
  EXPECT_STREQ(error.what(), "cause [a.cc:7]\n  while reading 'x'\n  while pruning 'y'");
}

TEST(Error, KeepsBracesOfACauseAsTheyAre) {
  EXPECT_STREQ(Error(ErrorCode::kBadFile, "{} {0}", "a.cc", 1).what(), "{} {0} [a.cc:1]");
}

TEST(Check, ThrowsInternalWithTheConditionsText) {
  const int two = 2;
  EXPECT_NO_THROW(ESPALIER_CHECK(two == 2));
  try {
    ESPALIER_CHECK(two == 3);
    FAIL() << "a false condition passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("two == 3"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("error_test.cc"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace espalier

#include "espalier/base/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "espalier/base/error.h"

namespace espalier {
namespace {

class Isa : public testing::Test {
 protected:
  void TearDown() override {
    unsetenv("ESPALIER_FORCE_ISA");
    ForceIsa("");
  }
};

TEST_F(Isa, BestAvailableIsActiveByDefault) {
  ForceIsa("");
  ASSERT_FALSE(AvailableIsas().empty());
  EXPECT_EQ(ActiveIsa(), AvailableIsas().front());
}

TEST_F(Isa, EachAvailableOneCanBeForcedAndLifted) {
  for (const std::string& name : AvailableIsas()) {
    ForceIsa(name);
    EXPECT_EQ(ActiveIsa(), name);
  }
  ForceIsa("");
  EXPECT_EQ(ActiveIsa(), AvailableIsas().front());
}

TEST_F(Isa, ForcingOneKeepsTheOthersAvailable) {
  const auto all = AvailableIsas();
  for (const std::string& name : all) ForceIsa(name);
  ForceIsa("");
  EXPECT_EQ(AvailableIsas(), all);
}

TEST_F(Isa, UnknownNameIsRefusedWithTheListAndChangesNothingForGood) {
  try {
    ForceIsa("AVX9");
    FAIL() << "AVX9 was taken";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(text.find("'AVX9'"), std::string::npos) << text;
    EXPECT_NE(text.find(AvailableIsas().front()), std::string::npos) << text;
  }
  EXPECT_EQ(ActiveIsa(), AvailableIsas().front());
}

TEST_F(Isa, EnvironmentVariableForces) {
  const std::string slowest = AvailableIsas().back();
  setenv("ESPALIER_FORCE_ISA", slowest.c_str(), 1);
  ForceIsaFromEnvironment();
  EXPECT_EQ(ActiveIsa(), slowest);
}

TEST_F(Isa, EmptyEnvironmentVariableForcesNothing) {
  setenv("ESPALIER_FORCE_ISA", "", 1);
  ForceIsaFromEnvironment();
  EXPECT_EQ(ActiveIsa(), AvailableIsas().front());
}

TEST_F(Isa, WrongEnvironmentVariableIsRefused) {
  setenv("ESPALIER_FORCE_ISA", "nonsense", 1);
  EXPECT_THROW(ForceIsaFromEnvironment(), Error);
}

}  // namespace
}  // namespace espalier

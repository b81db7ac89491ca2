#include "train/torch_runtime.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace espalier::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(TorchRuntime, BoundsThreads) {
  SetTorchThreads(1);
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST(TorchRuntime, SaysWhichBlasRuns) { EXPECT_THAT(BlasText(), HasSubstr("OpenBLAS")); }

TEST(TorchRuntime, TurnsTorchErrorsIntoOursWithoutABacktrace) {
  const auto product = [] { return at::ones({2, 3}).matmul(at::ones({2, 3})); };
  try {
    WithTorchErrors(ErrorCode::kShapeMismatch, "MatMul 'head'", product);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kShapeMismatch);
    EXPECT_THAT(error.what(), StartsWith("MatMul 'head': "));
    EXPECT_THAT(error.what(), Not(HasSubstr("frame #0")));
  }
}

TEST(TorchRuntime, PassesResultsOn) {
  EXPECT_EQ(WithTorchErrors(ErrorCode::kInternal, "nothing", [] { return 7; }), 7);
}

}  // namespace
}  // namespace espalier::train

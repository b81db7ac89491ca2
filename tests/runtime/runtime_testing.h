#pragma once

#include <string>
#include <vector>

#include "espalier/runtime/compare.h"
#include "espalier/runtime/session.h"
#include "gtest/gtest.h"
#include "tests/runtime/plain_run.h"

namespace espalier::testing {

/// Same types, shapes, and values to `tolerance` of the largest one.
inline void ExpectClose(const Tensors& got, const Tensors& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  std::vector<std::string> names;
  for (const auto& [name, tensor] : want) names.push_back(name);
  for (const OutputDifference& difference : CompareOutputs(want, got, names, names)) {
    EXPECT_LE(difference.Relative(), tolerance)
        << difference.name << " at " << difference.at << ": off by " << difference.max_abs_diff;
  }
}

/// A session gives what the plain run gives, for both ways of choosing kernels, in the first run
/// and in later ones.
inline void ExpectSameFunction(const Graph& graph, const Tensors& inputs, double tolerance = 1e-5) {
  const Tensors want = RunPlainly(graph, inputs);
  for (const bool tune : {false, true}) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(fmt::format("tune {}, {} threads", tune, threads));
      Session session(graph, {.threads = threads, .tune = tune});
      ExpectClose(session.Run(inputs), want, tolerance);
      ExpectClose(session.Run(inputs), want, tolerance);
    }
  }
}

}  // namespace espalier::testing

// Random networks compute the same through a session, with its passes, plan and kernels, as
// plainly.
#include "tests/runtime/random_graph.h"

#include "tests/runtime/runtime_testing.h"

namespace espalier::testing {
namespace {

// float32 sums in another order, through up to 16 layers: measured 6e-6 at most.
constexpr double kTolerance = 1e-4;

class RandomGraphs : public ::testing::TestWithParam<int> {};

TEST_P(RandomGraphs, RunAsTheyDoPlainly) {
  for (int i = 0; i < 30; ++i) {
    const auto seed = static_cast<std::uint64_t>(30 * GetParam() + i);
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Choices choices(seed);
    const RandomGraph random = MakeRandomGraph(choices);
    SessionOptions options;
    options.tune = false;
    options.threads = i % 3 == 0 ? 3 : 1;
    options.dense_only = i % 4 == 0;
    Session session(random.graph, options);
    for (const Tensors& inputs : random.inputs) {
      const Tensors want = RunPlainly(random.graph, inputs, false);
      const Tensors first = session.Run(inputs);
      ExpectClose(first, want, kTolerance);
      ExpectClose(session.Run(inputs), first, 0);
    }
    if (HasFailure()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraphs, ::testing::Range(0, 10));

}  // namespace
}  // namespace espalier::testing

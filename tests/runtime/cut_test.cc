#include "espalier/runtime/cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "espalier/base/error.h"
#include "espalier/runtime/session.h"
#include "tests/graph/graph_builder.h"

namespace espalier {
namespace {

using espalier::testing::FloatVector;
using espalier::testing::GraphBuilder;
using ::testing::ElementsAre;

std::vector<std::string> Names(const std::vector<ValueInfo>& infos) {
  std::vector<std::string> names;
  for (const ValueInfo& info : infos) names.push_back(info.name);
  return names;
}

// x -> Relu -> strange:Mix (with a constant) -> Exp -> y, and m itself is an output.
GraphBuilder WithMissing() {
  GraphBuilder net;
  net.Input("x", Dims{1, 4})
      .Constant("c", FloatVector({1, 2, 3, 4}))
      .Add("Relu", {"x"}, {"r"})
      .Add("strange:Mix", {"r", "c", "x"}, {"m"})
      .Add("Exp", {"m"}, {"y"})
      .Output("y")
      .Output("m");
  return net;
}

TEST(CutAtMissing, LeavesAWholeNetworkAlone) {
  GraphBuilder net;
  net.Input("x", Dims{1, 4}).Add("Relu", {"x"}, {"y"}).Output("y");
  const CutGraph cut = CutAtMissing(net.graph());
  EXPECT_TRUE(cut.missing.empty());
  EXPECT_EQ(cut.graph.scopes[0].nodes.size(), 1u);
}

TEST(CutAtMissing, FeedsWhatIsComputedAndComparesWhatIsRead) {
  GraphBuilder net = WithMissing();
  net.Declare("m", {1, 4});
  const CutGraph cut = CutAtMissing(net.graph());
  EXPECT_THAT(cut.missing, ElementsAre("Mix of 'm'"));
  EXPECT_THAT(cut.read_constants, ElementsAre("c"));
  const Scope& scope = cut.graph.scopes[0];
  EXPECT_THAT(Names(scope.inputs), ElementsAre("x", "m"));
  EXPECT_THAT(Names(scope.outputs), ElementsAre("y", "r")) << "m is fed now";
  Session session(cut.graph, {});
  const std::map<std::string, Tensor> inputs = {
      {"x", Tensor(DType::kFloat32, {1, 4}, std::vector<std::byte>(16))},
      {"m", Tensor(DType::kFloat32, {1, 4}, std::vector<std::byte>(16))}};
  EXPECT_THAT(session.Run(inputs).at("y").AsDoubles(), ElementsAre(1, 1, 1, 1));
}

TEST(CutAtMissing, SaysWhereAShapeIsNotKnown) {
  try {
    CutAtMissing(WithMissing().graph());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("Mix of 'm' is not supported"));
  }
}

}  // namespace
}  // namespace espalier

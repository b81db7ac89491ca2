#include "espalier/permute/tensor_order.h"

#include <cstring>

#include "espalier/base/error.h"
#include "gtest/gtest.h"
#include "tests/graph/graph_builder.h"

namespace espalier {
namespace {

using testing::GraphBuilder;
using testing::TensorOf;

Tensor Numbers(const Dims& dims) {
  std::vector<std::int16_t> values(static_cast<std::size_t>(ElementCount(dims)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int16_t>(i);
  return TensorOf(DType::kInt16, dims, values);
}

std::vector<std::int64_t> Order(const Tensor& tensor, std::vector<int> axes,
                                std::vector<std::uint32_t> from) {
  return Reordered(tensor, axes, from).AsInts();
}

TEST(Reordered, MovesAnyAxes) {
  const Tensor tensor = Numbers({2, 3, 2});
  EXPECT_EQ(Order(tensor, {0}, {1, 0}), (Dims{6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(Order(tensor, {1}, {2, 0, 1}), (Dims{4, 5, 0, 1, 2, 3, 10, 11, 6, 7, 8, 9}));
  EXPECT_EQ(Order(tensor, {2}, {1, 0}), (Dims{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10}));
  // The first and the last axis as one, [0, 0], [0, 1], [1, 0], [1, 1]: elements 1 and 6 change.
  EXPECT_EQ(Order(tensor, {0, 2}, {0, 2, 1, 3}), (Dims{0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11}));
}

TEST(Reordered, RefusesWhatIsNoOrder) {
  const Tensor tensor = Numbers({2, 3});
  for (const std::vector<std::uint32_t>& from :
       std::vector<std::vector<std::uint32_t>>{{0, 1}, {0, 0, 1}, {0, 1, 3}, {}}) {
    EXPECT_THROW(Order(tensor, {1}, from), Error);
  }
  EXPECT_THROW(Order(tensor, {2}, {0}), Error);
  EXPECT_THROW(Order(tensor, {-1}, {0, 1, 2}), Error);
  EXPECT_THROW(Order(tensor, {1, 0}, {0, 1, 2, 3, 4, 5}), Error);
  const Tensor packed(DType::kInt4, {2, 2}, std::vector<std::byte>(2));
  EXPECT_THROW(Order(packed, {0}, {1, 0}), Error);
}

Graph TwoConstants() {
  return GraphBuilder().Constant("a", Numbers({3})).Constant("b", Numbers({2, 3})).graph();
}

TEST(ApplyOrders, ChangesAllOrNothing) {
  Graph graph = TwoConstants();
  const std::vector<TensorOrder> bad = {{"a", {0}, {2, 1, 0}}, {"b", {1}, {0, 0, 1}}};
  EXPECT_THROW(ApplyOrders(graph, bad), Error);
  EXPECT_EQ(graph.constants[0].tensor.AsInts(), (Dims{0, 1, 2}));
  const std::vector<TensorOrder> good = {{"a", {0}, {2, 1, 0}}, {"b", {1}, {1, 0, 2}}};
  ApplyOrders(graph, good);
  EXPECT_EQ(graph.constants[0].tensor.AsInts(), (Dims{2, 1, 0}));
  EXPECT_TRUE(graph.constants[0].modified);
}

TEST(UndoPermutations, TakesBackStepByStep) {
  Graph graph = TwoConstants();
  const std::vector<TensorOrder> steps[] = {
      {{"a", {0}, {1, 2, 0}}, {"b", {1}, {1, 2, 0}}, {"b", {0}, {1, 0}}}, {{"a", {0}, {0, 2, 1}}}};
  for (const auto& step : steps) {
    ApplyOrders(graph, step);
    NoteOrders(graph, step);
  }
  EXPECT_EQ(UndoPermutations(graph), 4u);
  EXPECT_EQ(graph.constants[0].tensor.AsInts(), (Dims{0, 1, 2}));
  EXPECT_EQ(graph.constants[1].tensor.AsInts(), (Dims{0, 1, 2, 3, 4, 5}));
  EXPECT_THROW(UndoPermutations(graph), Error);  // no note any more
}

TEST(UndoPermutations, RefusesNotesThatDoNotFit) {
  const char* const notes[] = {
      "",
      "[]",
      "{}",
      R"({"version":2,"steps":[]})",
      R"({"version":1,"steps":7})",
      R"({"version":1,"steps":[{}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,2]],"tensors":[{"name":"a","axes":[0]}]}]})",
      R"({"version":1,"steps":[{"orders":[],"tensors":[{"name":"a","axes":[0],"order":0}]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,9]],"tensors":[]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,-1]],"tensors":[]}]})",
      R"({"version":1,"steps":[{"orders":[["x"]],"tensors":[]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,1.5]],"tensors":[]}]})",
      R"({"version":1,"steps":[{"orders":[[4294967296,1,2]],"tensors":[]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,2]],"tensors":[{"name":"a","axes":[1e300],"order":0}]}]})",
      R"({"version":1,"steps":[{"orders":[[1,0]],"tensors":[{"name":"a","axes":[0],"order":0}]}]})",
      R"({"version":1,"steps":[{"orders":[[0,0,1]],"tensors":[{"name":"a","axes":[0],"order":0}]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,2]],"tensors":[{"name":"c","axes":[0],"order":0}]}]})",
      R"({"version":1,"steps":[{"orders":[[0,1,2]],"tensors":[{"name":"a","axes":[5],"order":0}]}]})",
  };
  for (const char* note : notes) {
    Graph graph = TwoConstants();
    graph.metadata[std::string(kPermutationNote)] = note;
    try {
      UndoPermutations(graph);
      FAIL() << note;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFile) << note;
    }
    EXPECT_EQ(graph.constants[0].tensor.AsInts(), (Dims{0, 1, 2}));
    EXPECT_EQ(graph.metadata.size(), 1u);
  }
}

}  // namespace
}  // namespace espalier

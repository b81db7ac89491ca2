#include "tests/train/gradient_case_builder.h"

namespace espalier::train {
namespace {

using L = Dims;

GradientCase Branch(bool taken) {
  testing::GraphBuilder builder;
  const int then_branch = builder.AddScope(Scope::Kind::kSubgraph, 0);
  const int else_branch = builder.AddScope(Scope::Kind::kSubgraph, 0);
  const std::uint8_t condition = taken ? 1 : 0;
  builder.Input("x", Dims{2, 3})
      .Constant("c", testing::TensorOf(DType::kBool, {}, std::vector<std::uint8_t>{condition}))
      .Add("Mul", {"x", "x"}, {"t"}, {}, then_branch)
      .Output("t", then_branch)
      .Add("Exp", {"x"}, {"e"}, {}, else_branch)
      .Output("e", else_branch)
      .Add("If", {"c"}, {"y"})
      .Subgraph("then_branch", then_branch)
      .Subgraph("else_branch", else_branch)
      .Output("y");
  return {"If", taken ? "then" : "else", builder.graph(), {}};
}

// Three rounds of state = tanh(state * w), each one scanned.
GradientCase Rounds() {
  testing::GraphBuilder builder;
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Input("x", Dims{2, 3})
      .Input("w", Dims{2, 3})
      .Constant("trips", testing::IntScalar(3))
      .Input("i", Dims{}, body)
      .Input("go", Dims{}, body)
      .Input("state", Dims{2, 3}, body)
      .Add("Identity", {"go"}, {"go_on"}, {}, body)
      .Add("Mul", {"state", "w"}, {"product"}, {}, body)
      .Add("Tanh", {"product"}, {"next"}, {}, body)
      .Add("Exp", {"next"}, {"scan"}, {}, body)
      .Output("go_on", body)
      .Output("next", body)
      .Output("scan", body)
      .Add("Loop", {"trips", "", "x"}, {"last", "all"})
      .Subgraph("body", body)
      .Output("last")
      .Output("all");
  builder.graph().scopes[1].inputs[0].dtype = DType::kInt64;
  builder.graph().scopes[1].inputs[1].dtype = DType::kBool;
  builder.graph().scopes[1].outputs[0].dtype = DType::kBool;
  return {"Loop", "three rounds", builder.graph(), {}};
}

// As exporters below opset 17 write layer normalization; `seen`: its inner values have readers.
GradientCase SpelledOutNorm(bool square, bool seen) {
  testing::GraphBuilder builder;
  builder.Input("x", Dims{2, 3, 4})
      .Constant("two", testing::FloatVector({2}))
      .Constant("epsilon", testing::FloatVector({1e-3f}))
      .Constant("scale", testing::FloatVector({.5f, 1, 2, 3}))
      .Constant("shift", testing::FloatVector({.1f, .2f, .3f, .4f}))
      .Add("ReduceMean", {"x"}, {"m"}, {{"axes", L{-1}}})
      .Add("Sub", {"x", "m"}, {"d"})
      .Add(square ? "Mul" : "Pow", {"d", square ? "d" : "two"}, {"q"})
      .Add("ReduceMean", {"q"}, {"v"}, {{"axes", L{-1}}})
      .Add("Add", {"epsilon", "v"}, {"e"})
      .Add("Sqrt", {"e"}, {"r"})
      .Add("Div", {"d", "r"}, {"n"})
      .Add("Mul", {"n", "scale"}, {"s"})
      .Add("Add", {"shift", "s"}, {"y"})
      .Output("y");
  if (seen) builder.Output("v");
  builder.graph().opsets[""] = 13;
  return {"LayerNormalization", seen ? "spelled out, seen" : "spelled out", builder.graph(), {}};
}

std::vector<GradientCase> ConvCases() {
  return {
      Case("Conv", "plain", {X({2, 3, 5, 5}), X({4, 3, 3, 3}), X({4})}),
      Case("Conv", "strided, padded unevenly", {X({1, 2, 7, 6}), X({3, 2, 3, 2})},
           {{"strides", L{2, 1}}, {"pads", L{0, 1, 2, 1}}}),
      Case("Conv", "dilated, grouped, 1-D", {X({2, 4, 9}), X({6, 2, 3}), X({6})},
           {{"dilations", L{2}}, {"group", std::int64_t{2}}, {"pads", L{2, 2}}}),
      Case("Conv", "depthwise, SAME_LOWER", {X({1, 3, 5, 6}), X({3, 1, 2, 4})},
           {{"auto_pad", std::string("SAME_LOWER")},
            {"group", std::int64_t{3}},
            {"strides", L{2, 2}}}),
      Case("Conv", "3-D, SAME_UPPER", {X({1, 2, 4, 3, 4}), X({2, 2, 2, 3, 2})},
           {{"auto_pad", std::string("SAME_UPPER")}}),
      Case("ConvTranspose", "plain", {X({2, 3, 3, 4}), X({3, 2, 3, 3}), X({2})}),
      Case("ConvTranspose", "strided, padded unevenly, output padding",
           {X({1, 4, 3, 3}), X({4, 2, 3, 3})},
           {{"strides", L{2, 3}},
            {"pads", L{1, 0, 0, 2}},
            {"output_padding", L{1, 2}},
            {"group", std::int64_t{2}}}),
      Case("ConvTranspose", "output shape", {X({1, 2, 4}), X({2, 3, 3})},
           {{"strides", L{2}}, {"output_shape", L{8}}}),
      Case("ConvTranspose", "dilated, SAME_UPPER", {X({1, 2, 4, 4}), X({2, 2, 3, 3})},
           {{"strides", L{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}}),
  };
}

std::vector<GradientCase> PoolCases() {
  return {
      Case("MaxPool", "padded", {X({1, 2, 6, 6})},
           {{"kernel_shape", L{3, 3}}, {"strides", L{2, 2}}, {"pads", L{1, 1, 1, 1}}}),
      Case("MaxPool", "rounded up, uneven pads", {X({1, 2, 6, 7})},
           {{"kernel_shape", L{3, 2}},
            {"strides", L{2, 2}},
            {"pads", L{0, 1, 1, 0}},
            {"ceil_mode", std::int64_t{1}}}),
      Case("MaxPool", "1-D, dilated", {X({2, 2, 9})},
           {{"kernel_shape", L{3}}, {"dilations", L{2}}}),
      Case("MaxPool", "3-D", {X({1, 1, 4, 4, 4})},
           {{"kernel_shape", L{2, 2, 2}}, {"strides", L{2, 1, 2}}}),
      Case("AveragePool", "pads left out", {X({1, 2, 6, 6})},
           {{"kernel_shape", L{3, 3}}, {"strides", L{2, 2}}, {"pads", L{1, 1, 1, 1}}}),
      Case("AveragePool", "pads counted", {X({1, 2, 6, 6})},
           {{"kernel_shape", L{3, 3}},
            {"pads", L{1, 1, 1, 1}},
            {"count_include_pad", std::int64_t{1}}}),
      Case("AveragePool", "uneven pads, counted", {X({1, 2, 6, 5})},
           {{"kernel_shape", L{3, 3}},
            {"strides", L{2, 2}},
            {"pads", L{0, 1, 2, 0}},
            {"count_include_pad", std::int64_t{1}}}),
      Case("AveragePool", "rounded up", {X({1, 2, 6, 6})},
           {{"kernel_shape", L{3, 3}}, {"strides", L{2, 2}}, {"ceil_mode", std::int64_t{1}}}),
      Case("AveragePool", "1-D, SAME_UPPER", {X({1, 2, 6})},
           {{"kernel_shape", L{4}}, {"auto_pad", std::string("SAME_UPPER")}}),
      Case("GlobalAveragePool", "", {X({2, 3, 4, 5})}),
      Case("GlobalMaxPool", "", {X({2, 3, 4})}),
  };
}

std::vector<GradientCase> NormCases() {
  const std::vector<CaseArg> batch_norm = {X({4, 3, 2}), X({3}, 0.5, 2), X({3}),
                                           F({.1f, -.2f, .3f}), F({.5f, 1.5f, 2.f})};
  return {
      Case("BatchNormalization", "running statistics", batch_norm, {{"epsilon", 1e-3f}}),
      Case("BatchNormalization", "batch statistics", batch_norm, {{"epsilon", 1e-3f}},
           {.training = true}),
      Case("InstanceNormalization", "", {X({2, 3, 4}), X({3}), X({3})}),
      Case("LayerNormalization", "last axis", {X({2, 3, 4}), X({4}), X({4})}),
      Case("LayerNormalization", "two axes, no bias", {X({2, 3, 4}), X({3, 4})},
           {{"axis", std::int64_t{1}}, {"epsilon", 1e-2f}}),
      SpelledOutNorm(false, false),
      SpelledOutNorm(true, false),
      SpelledOutNorm(false, true),
      Case("GroupNormalization", "scale a group", {X({2, 4, 3}), X({2}), X({2})},
           {{"num_groups", std::int64_t{2}}}, {.in_runtime = false}),
      Case("GroupNormalization", "scale a channel", {X({2, 4, 3}), X({4}), X({4})},
           {{"num_groups", std::int64_t{2}}}, {.opset = 21, .in_runtime = false}),
      Case("LpNormalization", "p = 1", {X({2, 3, 4}, .2)},
           {{"p", std::int64_t{1}}, {"axis", std::int64_t{1}}}),
      Case("LRN", "even window", {X({2, 5, 3})},
           {{"size", std::int64_t{4}}, {"alpha", .5f}, {"beta", .6f}, {"bias", 1.5f}}),
  };
}

std::vector<GradientCase> MatrixCases() {
  return {
      Case("MatMul", "batched, broadcast", {X({2, 1, 3, 4}), X({3, 4, 2})}),
      Case("MatMul", "with a vector", {X({2, 3, 4}), X({4})}),
      Case("Gemm", "both transposed, scaled", {X({3, 2}), X({4, 3}), X({4})},
           {{"transA", std::int64_t{1}},
            {"transB", std::int64_t{1}},
            {"alpha", .5f},
            {"beta", 2.f}}),
      Case("Gemm", "no C", {X({2, 3}), X({3, 4})}, {{"alpha", 3.f}}),
      Case("Gemm", "C of one column", {X({2, 3}), X({3, 4}), X({2, 1})}),
      Case("Einsum", "attention", {X({2, 3, 4}), X({2, 5, 4})},
           {{"equation", std::string("bqd,bkd->bqk")}}),
  };
}

std::vector<GradientCase> RecurrentCases() {
  const std::string both = "bidirectional";
  return {
      Case("RNN", "forward", {X({3, 2, 4}), X({1, 5, 4}), X({1, 5, 5}), X({1, 10})}, {},
           {.outputs = 2}),
      Case("RNN", "backwards, relu", {X({3, 2, 4}), X({1, 5, 4}), X({1, 5, 5})},
           {{"direction", std::string("reverse")},
            {"activations", std::vector<std::string>{"Relu"}},
            {"hidden_size", std::int64_t{5}}},
           {.outputs = 2}),
      Case("GRU", "both ways, reset before",
           {X({3, 2, 4}), X({2, 9, 4}), X({2, 9, 3}), X({2, 18}), None(), X({2, 2, 3})},
           {{"direction", both}, {"hidden_size", std::int64_t{3}}}, {.outputs = 2}),
      Case("GRU", "reset after", {X({3, 2, 4}), X({1, 9, 4}), X({1, 9, 3}), X({1, 18})},
           {{"linear_before_reset", std::int64_t{1}}, {"hidden_size", std::int64_t{3}}},
           {.outputs = 2}),
      Case("LSTM", "both ways, states",
           {X({3, 2, 4}), X({2, 12, 4}), X({2, 12, 3}), X({2, 24}), None(), X({2, 2, 3}),
            X({2, 2, 3})},
           {{"direction", both}, {"hidden_size", std::int64_t{3}}}, {.outputs = 3}),
      Case("LSTM", "peepholes, clipped",
           {X({3, 2, 4}, -3, 3), X({1, 12, 4}), X({1, 12, 3}), X({1, 24}), None(), None(), None(),
            X({1, 9})},
           {{"clip", 1.5f}, {"hidden_size", std::int64_t{3}}}, {.outputs = 3}),
      Branch(true),
      Branch(false),
      Rounds(),
  };
}

}  // namespace

std::vector<GradientCase> LayerCases() {
  std::vector<GradientCase> all;
  for (const auto& part :
       {ConvCases(), PoolCases(), NormCases(), MatrixCases(), RecurrentCases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace espalier::train

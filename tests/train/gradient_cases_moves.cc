#include "tests/train/gradient_case_builder.h"

namespace espalier::train {
namespace {

using L = Dims;
using Text = std::string;

std::vector<GradientCase> LayoutCases() {
  const CaseArg x = X({2, 3, 4});
  return {
      Case("Reshape", "copied and inferred", {x, I({0, -1, 2})}),
      Case("Flatten", "negative axis", {x}, {{"axis", std::int64_t{-1}}}),
      Case("Squeeze", "axes", {X({1, 2, 1, 3}), I({-2, 0})}),
      Case("Squeeze", "all", {X({1, 2, 1, 3})}),
      Case("Squeeze", "attribute", {X({1, 2, 1})}, {{"axes", L{2}}}, {.opset = 11}),
      Case("Unsqueeze", "unsorted axes", {x, I({-1, 1})}),
      Case("Transpose", "", {x}, {{"perm", L{1, 2, 0}}}),
      Case("Transpose", "reversed", {x}),
      Case("Concat", "", {x, X({2, 1, 4})}, {{"axis", std::int64_t{-2}}}),
      Case("Split", "sizes", {x, I({1, 3})}, {{"axis", std::int64_t{2}}}, {.outputs = 2}),
      Case("Split", "uneven parts", {X({2, 5})},
           {{"axis", std::int64_t{1}}, {"num_outputs", std::int64_t{2}}}, {.outputs = 2}),
      Case("Split", "attribute", {x}, {{"axis", std::int64_t{2}}, {"split", L{3, 1}}},
           {.opset = 11, .outputs = 2}),
      Case("Slice", "steps", {X({7, 6}), I({1, -1}), I({100, -100}), I({0, 1}), I({2, -2})}),
      Case("Slice", "smallest end", {X({5}), I({3}), I({INT64_MIN}), I({0}), I({-1})}),
      Case("Slice", "attributes", {x}, {{"starts", L{1, 0}}, {"ends", L{2, -1}}}, {.opset = 9}),
      Case("Expand", "", {X({3, 1}), I({2, 1, 4})}),
      Case("Tile", "", {X({2, 3}), I({2, 3})}),
      Case("DepthToSpace", "DCR", {X({1, 8, 2, 3})}, {{"blocksize", std::int64_t{2}}}),
      Case("DepthToSpace", "CRD", {X({1, 8, 2, 3})},
           {{"blocksize", std::int64_t{2}}, {"mode", Text("CRD")}}),
      Case("SpaceToDepth", "", {X({1, 2, 4, 6})}, {{"blocksize", std::int64_t{2}}}),
      Case("Trilu", "upper", {X({3, 4}), S(1)}),
      Case("Trilu", "lower", {X({2, 3, 4}), S(-1)}, {{"upper", std::int64_t{0}}}),
  };
}

std::vector<GradientCase> PadCases() {
  const CaseArg x = X({2, 3, 4});
  return {
      Case("Pad", "value, cut", {x, I({0, 1, -1, 0, 2, 1}), Scalar(.5f)}),
      Case("Pad", "some axes", {x, I({1, 2}), None(), I({-1})}),
      Case("Pad", "reflect", {x, I({1, 2}), None(), I({1})}, {{"mode", Text("reflect")}}),
      Case("Pad", "edge", {x, I({0, 1, 2, 0, 0, 3})}, {{"mode", Text("edge")}}),
      Case("Pad", "wrap", {x, I({0, 1, 2, 0, 0, 3})}, {{"mode", Text("wrap")}}, {.opset = 19}),
      Case("Pad", "attributes", {X({2, 3})}, {{"pads", L{0, 1, 1, 0}}, {"value", 2.f}},
           {.opset = 9}),
  };
}

std::vector<GradientCase> IndexCases() {
  const CaseArg x = X({3, 4, 2});
  return {
      Case("Gather", "negative index", {x, Ints({2, 2}, {0, -1, 2, 0})},
           {{"axis", std::int64_t{1}}}),
      Case("Gather", "scalar", {x, S(-1)}, {{"axis", std::int64_t{-1}}}),
      Case("GatherElements", "", {X({3, 2}), Ints({2, 2}, {0, -1, 2, 0})}),
      Case("GatherND", "rows", {x, Ints({2, 2}, {0, 1, 2, -1})}),
      Case("GatherND", "batch", {x, Ints({3, 1}, {0, 2, -1})}, {{"batch_dims", std::int64_t{1}}}),
      Case("ScatterND", "", {x, Ints({2, 1}, {2, 0}), X({2, 4, 2})}),
      Case("ScatterND", "elements", {x, Ints({2, 3}, {2, 0, 1, 0, -1, 0}), X({2})}),
      Case("ScatterND", "add", {x, Ints({2, 1}, {1, 1}), X({2, 4, 2})},
           {{"reduction", Text("add")}}, {.in_runtime = false}),
      Case("ScatterElements", "", {X({3, 3}), Ints({1, 2}, {1, -1}), X({1, 2})},
           {{"axis", std::int64_t{1}}}),
      Case("ScatterElements", "add", {X({3, 3}), Ints({1, 2}, {1, 1}), X({1, 2})},
           {{"axis", std::int64_t{1}}, {"reduction", Text("add")}}, {.in_runtime = false}),
      Case("Scatter", "", {X({3, 3}), Ints({1, 2}, {1, 2}), X({1, 2})}, {}, {.opset = 9}),
      Case("TopK", "smallest", {X({3, 5}), I({2})}, {{"largest", std::int64_t{0}}}, {.outputs = 1}),
  };
}

std::vector<GradientCase> ResizeCases() {
  const CaseArg x = X({1, 2, 3, 4});
  const auto mode = [](const char* how, const char* places) {
    return testing::Attributes{{"mode", Text(how)},
                               {"coordinate_transformation_mode", Text(places)}};
  };
  testing::Attributes rounded = mode("nearest", "half_pixel");
  rounded["nearest_mode"] = Text("ceil");
  return {
      Case("Resize", "nearest", {x, None(), F({1, 1, 2, 2})}, mode("nearest", "asymmetric")),
      Case("Resize", "nearest, up", {x, None(), F({1, 1, 1.5f, .5f})}, rounded),
      Case("Resize", "linear", {x, None(), F({1, 1, 2, 1.5f})}, mode("linear", "half_pixel")),
      Case("Resize", "linear, corners", {x, None(), None(), I({1, 2, 5, 3})},
           mode("linear", "align_corners")),
      Case("Resize", "linear, as PyTorch", {x, None(), None(), I({1, 2, 1, 7})},
           mode("linear", "pytorch_half_pixel")),
      Case("Resize", "cubic", {x, None(), F({1, 1, 2, 1.5f})}, mode("cubic", "half_pixel")),
      Case("Resize", "opset 10", {x, F({1, 1, 2, 2})}, {{"mode", Text("linear")}}, {.opset = 10}),
      Case("Upsample", "", {x, F({1, 1, 2, 3})}, {{"mode", Text("nearest")}}, {.opset = 9}),
      Case("Upsample", "attribute", {x},
           {{"mode", Text("linear")}, {"scales", std::vector<float>{1, 1, 2, 2}}}, {.opset = 7}),
  };
}

}  // namespace

std::vector<GradientCase> StepCases() {
  const CaseArg x = X({2, 3, 4});
  const testing::Attributes like_last = {{"axis", std::int64_t{-1}},
                                         {"keepdims", std::int64_t{0}},
                                         {"select_last_index", std::int64_t{1}}};
  return {
      Case("Sign", "", {x}),
      Case("Floor", "", {x}),
      Case("Ceil", "", {x}),
      Case("Round", "", {X({4, 4}, -3, 3)}),
      Case("Not", "", {Bools({2}, {0, 1})}),
      Case("Equal", "", {Ints({3}, {1, 2, 3}), S(2)}),
      Case("Greater", "", {x, Scalar(0)}),
      Case("GreaterOrEqual", "", {x, Scalar(0)}),
      Case("Less", "", {x, Scalar(0)}),
      Case("LessOrEqual", "", {Ints({3}, {1, 2, 3}), S(2)}),
      Case("And", "", {Bools({4}, {0, 1, 0, 1}), Bools({4}, {0, 0, 1, 1})}),
      Case("Or", "", {Bools({4}, {0, 1, 0, 1}), Bools({4}, {0, 0, 1, 1})}),
      Case("Xor", "", {Bools({4}, {0, 1, 0, 1}), Bools({4}, {0, 0, 1, 1})}),
      Case("ArgMax", "", {x}, {{"axis", std::int64_t{1}}}),
      Case("ArgMin", "", {x}, like_last),
      Case("Shape", "part", {x}, {{"start", std::int64_t{-2}}, {"end", std::int64_t{5}}}),
      Case("Size", "", {x}),
      Case("ConstantOfShape", "ints", {I({2, 3})},
           {{"value", testing::TensorOf(DType::kInt32, {1}, std::vector<std::int32_t>{7})}}),
      Case("ConstantOfShape", "zeros", {I({2})}),
      Case("Range", "ints", {S(7), S(-3), S(-2)}),
      Case("Range", "floats", {Scalar(1), Scalar(2), Scalar(.3f)}),
      Case("OneHot", "", {Ints({3}, {1, -1, 5}), S(4), F({2, 7})}, {{"axis", std::int64_t{0}}}),
      Case("Div", "ints round to zero", {Ints({3}, {-7, 7, 8}), S(2)}),
      Case("Mod", "ints follow the divisor", {Ints({3}, {-7, 7, 8}), S(3)}),
      Case("Cast", "to int", {X({5}, -3, 3)}, {{"to", std::int64_t{6}}}),
  };
}

std::vector<GradientCase> MoveCases() {
  std::vector<GradientCase> all;
  for (const auto& part : {LayoutCases(), PadCases(), IndexCases(), ResizeCases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace espalier::train

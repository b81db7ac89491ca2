#include <gtest/gtest.h>

#include "tests/graph/graph_builder.h"

namespace espalier::testing {
namespace {

using Text = std::string;
using IntList = std::vector<std::int64_t>;

constexpr auto kNone = std::nullopt;

const Arg kImage = Of({1, 3, 9, 8});

Attributes PoolAttributes(IntList kernel, Attributes others = {}) {
  others["kernel_shape"] = std::move(kernel);
  return others;
}

TEST(ConvRule, CountsKernelPositionsWithStridesPadsAndDilations) {
  const Arg weight = Of({4, 3, 3, 3});
  EXPECT_EQ(Result("Conv", {kImage, weight}), Dims({1, 4, 7, 6}));
  EXPECT_EQ(Result("Conv", {kImage, weight}, {{"pads", IntList{1, 0, 1, 2}}}), Dims({1, 4, 9, 8}));
  EXPECT_EQ(Result("Conv", {kImage, weight}, {{"strides", IntList{2, 3}}}), Dims({1, 4, 4, 2}));
  EXPECT_EQ(Result("Conv", {kImage, weight}, {{"dilations", IntList{2, 1}}}), Dims({1, 4, 5, 6}));
  EXPECT_EQ(Result("Conv", {Of({2, 6, 20}), Of({8, 3, 5})}, {{"group", std::int64_t{2}}}),
            Dims({2, 8, 16}));
  EXPECT_EQ(Result("Conv", {Of({1, 1, 4, 5, 6}), Of({2, 1, 1, 2, 3})}), Dims({1, 2, 4, 4, 4}));
}

TEST(ConvRule, SamePaddingDividesByTheStride) {
  for (const char* pad : {"SAME_UPPER", "SAME_LOWER"}) {
    EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 5, 5})},
                     {{"auto_pad", Text(pad)}, {"strides", IntList{2, 3}}}),
              Dims({1, 4, 5, 3}));
  }
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 5, 5})}, {{"auto_pad", Text("VALID")}}),
            Dims({1, 4, 5, 4}));
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 5, 5})},
                   {{"auto_pad", Text("SAME_UPPER")}, {"dilations", IntList{1, 2}}}),
            Dims({1, 4, 9, -1}));
}

TEST(ConvRule, MalformedAttributesLeaveOnlyTheSpatialAxesUnknown) {
  const Dims unknown = {1, 4, -1, -1};
  const std::vector<Arg> args = {kImage, Of({4, 3, 3, 3})};
  EXPECT_EQ(Result("Conv", args, {{"strides", IntList{0, 1}}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"strides", IntList{-1, 1}}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"strides", IntList{1}}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"strides", 1.0f}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"dilations", IntList{INT64_MAX, INT64_MAX}}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"pads", IntList{INT64_MIN, 0, 0, 0}}}), unknown);
  EXPECT_EQ(Result("Conv", args, {{"auto_pad", Text("DIAGONAL")}}), unknown);
}

TEST(ConvRule, RefusesChannelsThatDoNotFit) {
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 5, 3, 3})}), kNone);
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 3})}), kNone);
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 3, 3})}, {{"group", std::int64_t{0}}}), kNone);
  EXPECT_EQ(Result("Conv", {kImage, Of({4, 3, 20, 3})}), Dims({1, 4, -1, 6}));
}

TEST(ConvRule, QuantizedAndFusedFormsReadTheirOwnInputs) {
  const Arg weight = Of({4, 3, 3, 3});
  const Arg scalar = Of({});
  EXPECT_EQ(Result("QLinearConv", {kImage, scalar, scalar, weight}), Dims({1, 4, 7, 6}));
  EXPECT_EQ(Result("ConvInteger", {kImage, weight}), Dims({1, 4, 7, 6}));
  EXPECT_EQ(Result("com.microsoft:FusedConv", {kImage, weight}), Dims({1, 4, 7, 6}));
  EXPECT_EQ(Result("elsewhere:Conv", {kImage, weight}), kNone);
}

TEST(ConvTransposeRule, InvertsConv) {
  const std::vector<Arg> args = {Of({1, 3, 4, 5}), Of({3, 2, 3, 3})};
  EXPECT_EQ(Result("ConvTranspose", args), Dims({1, 2, 6, 7}));
  EXPECT_EQ(Result("ConvTranspose", args,
                   {{"strides", IntList{2, 2}},
                    {"pads", IntList{1, 1, 1, 1}},
                    {"output_padding", IntList{1, 0}}}),
            Dims({1, 2, 8, 9}));
  EXPECT_EQ(
      Result("ConvTranspose", args, {{"auto_pad", Text("SAME_UPPER")}, {"strides", IntList{2, 3}}}),
      Dims({1, 2, 8, 15}));
  EXPECT_EQ(Result("ConvTranspose", args, {{"output_shape", IntList{10, 11}}}),
            Dims({1, 2, 10, 11}));
  EXPECT_EQ(Result("ConvTranspose", {Of({1, 4, 4}), Of({4, 3, 3})}, {{"group", std::int64_t{2}}}),
            Dims({1, 6, 6}));
  EXPECT_EQ(Result("ConvTranspose", args, {{"pads", IntList{9, 9, 9, 9}}}), Dims({1, 2, -1, -1}));
}

TEST(PoolRule, CeilModeKeepsAPartialWindowThatStartsInside) {
  const auto pool = [](std::int64_t size, Attributes attributes) {
    return Result("MaxPool", {Of({1, 2, size})}, PoolAttributes({2}, std::move(attributes)));
  };
  const Attributes ceil = {{"strides", IntList{2}}, {"ceil_mode", std::int64_t{1}}};
  EXPECT_EQ(pool(7, {{"strides", IntList{2}}}), Dims({1, 2, 3}));
  EXPECT_EQ(pool(7, ceil), Dims({1, 2, 4}));
  // With right padding the last window would start outside of the input: it is dropped.
  Attributes padded = ceil;
  padded["strides"] = IntList{3};
  padded["pads"] = IntList{0, 1};
  EXPECT_EQ(pool(6, padded), Dims({1, 2, 2}));
  EXPECT_EQ(OneNode("MaxPool", {Of({1, 2, 7})}, PoolAttributes({3}), 2).DimsOf("y1"),
            Dims({1, 2, 5}));
}

TEST(PoolRule, NeedsAKernelOfTheRightRank) {
  EXPECT_EQ(Result("AveragePool", {kImage}), Dims({1, 3, -1, -1}));
  EXPECT_EQ(Result("AveragePool", {kImage}, PoolAttributes({2})), Dims({1, 3, -1, -1}));
  EXPECT_EQ(Result("AveragePool", {kImage}, PoolAttributes({2, 0})), Dims({1, 3, 8, -1}));
  EXPECT_EQ(Result("GlobalAveragePool", {kImage}), Dims({1, 3, 1, 1}));
}

TEST(MatMulRule, BroadcastsLeadingAxesAndDropsVectors) {
  const auto product = [](Dims a, Dims b) { return Result("MatMul", {Of(a), Of(b)}); };
  EXPECT_EQ(product({2, 3}, {3, 4}), Dims({2, 4}));
  EXPECT_EQ(product({3}, {3, 4}), Dims({4}));
  EXPECT_EQ(product({2, 3}, {3}), Dims({2}));
  EXPECT_EQ(product({3}, {3}), Dims({}));
  EXPECT_EQ(product({5, 1, 2, 3}, {7, 3, 4}), Dims({5, 7, 2, 4}));
  EXPECT_EQ(product({7, 2, 3}, {3}), Dims({7, 2}));
  EXPECT_EQ(product({-1, 3}, {3, 4}), Dims({-1, 4}));
  EXPECT_EQ(product({2, 3}, {5, 4}), kNone);
  EXPECT_EQ(product({}, {3}), kNone);
}

TEST(MatMulRule, CoversGemmAndTheQuantizedForms) {
  const Attributes both = {{"transA", std::int64_t{1}}, {"transB", std::int64_t{1}}};
  EXPECT_EQ(Result("Gemm", {Of({3, 2}), Of({4, 3})}, both), Dims({2, 4}));
  EXPECT_EQ(Result("Gemm", {Of({1, 3, 2}), Of({4, 3})}, both), kNone);
  EXPECT_EQ(Result("com.microsoft:FusedMatMul", {Of({5, 3, 2}), Of({5, 4, 3})}, both),
            Dims({5, 2, 4}));
  EXPECT_EQ(Result("QLinearMatMul", {Of({2, 3}), Of({}), Of({}), Of({3, 4})}), Dims({2, 4}));
  EXPECT_EQ(Result("MatMulInteger", {Of({2, 3}), Of({3, 4})}), Dims({2, 4}));
}

TEST(RecurrentRule, FollowsDirectionAndLayout) {
  const std::vector<Arg> args = {Of({5, 2, 7}), Of({2, 32, 7}), Of({2, 32, 8})};
  Attributes attributes = {{"direction", Text("bidirectional")}};
  GraphBuilder lstm = OneNode("LSTM", args, attributes, 3);
  EXPECT_EQ(lstm.DimsOf("y0"), Dims({5, 2, 2, 8}));
  EXPECT_EQ(lstm.DimsOf("y1"), Dims({2, 2, 8}));
  EXPECT_EQ(lstm.DimsOf("y2"), Dims({2, 2, 8}));
  attributes["layout"] = std::int64_t{1};
  GraphBuilder batch_first = OneNode("GRU", args, attributes, 2);
  EXPECT_EQ(batch_first.DimsOf("y0"), Dims({5, 2, 2, 8}));
  EXPECT_EQ(batch_first.DimsOf("y1"), Dims({5, 2, 8}));
  EXPECT_EQ(Result("RNN", {Anything(), Anything(), Of({1, 8, 8})}), Dims({-1, 1, -1, 8}));
}

TEST(ElementwiseRule, BroadcastsAsNumpyDoes) {
  const auto sum = [](Dims a, Dims b) { return Result("Add", {Of(a), Of(b)}); };
  EXPECT_EQ(sum({2, 1, 4}, {3, 1}), Dims({2, 3, 4}));
  EXPECT_EQ(sum({}, {3, 1}), Dims({3, 1}));
  EXPECT_EQ(sum({0}, {1}), Dims({0}));
  EXPECT_EQ(sum({-1, 4}, {1, 4}), Dims({-1, 4}));
  EXPECT_EQ(sum({-1, 4}, {3, 1}), Dims({3, 4}));
  EXPECT_EQ(sum({2}, {3}), kNone);
  EXPECT_EQ(Result("Where", {Of({4}), Of({3, 1}), Of({2, 1, 1})}), Dims({2, 3, 4}));
  EXPECT_EQ(Result("Add", {Of({2, 3}), Of({2})}, {{"broadcast", std::int64_t{1}}}), Dims({2, 3}));
}

TEST(ElementwiseRule, KeepsTheShapeOfTheFirstInput) {
  for (const char* op : {"Relu", "Clip", "HardSwish", "Softmax", "Erf", "PRelu", "QuantizeLinear",
                         "DequantizeLinear", "InstanceNormalization", "LRN", "CumSum"}) {
    EXPECT_EQ(Result(op, {kImage, Of({3}), Of({3})}), kImage.dims) << op;
  }
  const std::vector<Arg> args = {kImage, Of({3}), Of({3}), Of({3}), Of({3})};
  EXPECT_EQ(OneNode("BatchNormalization", args, {}, 3).DimsOf("y1"), Dims({3}));
  EXPECT_EQ(OneNode("LayerNormalization", {Of({2, 5, 6}), Of({6})}, {}, 2).DimsOf("y1"),
            Dims({2, 5, 1}));
  EXPECT_EQ(OneNode("Dropout", {kImage}, {}, 2).DimsOf("y1"), kImage.dims);
}

TEST(LayoutRule, ConcatAddsOneAxis) {
  const Attributes axis = {{"axis", std::int64_t{-2}}};
  EXPECT_EQ(Result("Concat", {Of({1, 2, 4}), Of({1, 3, 4})}, axis), Dims({1, 5, 4}));
  EXPECT_EQ(Result("Concat", {Of({1, 2, -1}), Anything(), Of({-1, 3, 4})}, axis), Dims({1, -1, 4}));
  EXPECT_EQ(Result("Concat", {Of({1, 2, 4}), Of({1, 3, 5})}, axis), kNone);
  EXPECT_EQ(Result("Concat", {Of({1, 2})}, {{"axis", std::int64_t{5}}}), kNone);
}

TEST(LayoutRule, SplitsEquallyOrByGivenSizes) {
  const Attributes axis = {{"axis", std::int64_t{1}}};
  EXPECT_EQ(OneNode("Split", {Of({1, 6})}, axis, 3).DimsOf("y2"), Dims({1, 2}));
  EXPECT_EQ(OneNode("Split", {Of({1, 7})}, axis, 3).DimsOf("y2"), Dims({1, -1}));
  EXPECT_EQ(OneNode("Split", {Of({1, 6}), Ints({1, 5})}, axis, 2).DimsOf("y1"), Dims({1, 5}));
  Attributes sizes = axis;
  sizes["split"] = IntList{4, 2};
  EXPECT_EQ(OneNode("Split", {Of({1, 6})}, sizes, 2).DimsOf("y0"), Dims({1, 4}));
  Attributes uneven = axis;
  uneven["num_outputs"] = std::int64_t{3};
  EXPECT_EQ(OneNode("Split", {Of({1, 7})}, uneven, 3).DimsOf("y2"), Dims({1, 1}));
}

TEST(LayoutRule, SliceTakesAttributesOrInputs) {
  EXPECT_EQ(Result("Slice", {Of({10, 8})},
                   {{"starts", IntList{1}}, {"ends", IntList{-1}}, {"axes", IntList{1}}}),
            Dims({10, 6}));
  const auto slice = [](std::int64_t start, std::int64_t end, std::int64_t step) {
    return Result("Slice", {Of({10}), Ints({start}), Ints({end}), Ints({0}), Ints({step})});
  };
  EXPECT_EQ(slice(0, INT64_MAX, 3), Dims({4}));
  EXPECT_EQ(slice(-1, INT64_MIN, -1), Dims({10}));
  EXPECT_EQ(slice(-1, INT64_MIN + 1, -4), Dims({3}));
  EXPECT_EQ(slice(20, 2, -3), Dims({3}));
  EXPECT_EQ(slice(5, 5, 1), Dims({0}));
  EXPECT_EQ(slice(0, 10, INT64_MAX), Dims({1}));
  EXPECT_EQ(slice(9, INT64_MIN, INT64_MIN), Dims({1}));
  EXPECT_EQ(slice(-1, INT64_MAX, -1), Dims({10}));  // as ONNX Runtime
  EXPECT_EQ(slice(0, 10, 0), Dims({-1}));
  EXPECT_EQ(Result("Slice", {Of({10, 4}), Anything(), Anything(), Ints({0})}), Dims({-1, 4}));
  EXPECT_EQ(Result("Slice", {Of({10, 4}), Ints({0}), Ints({1}), Ints({2})}), Dims({-1, -1}));
}

TEST(LayoutRule, PadAddsAndCrops) {
  EXPECT_EQ(Result("Pad", {Of({4, 5})}, {{"pads", IntList{1, 0, 2, -2}}}), Dims({7, 3}));
  EXPECT_EQ(Result("Pad", {Of({4, 5}), Ints({1, 2}), Absent(), Ints({-1})}), Dims({4, 8}));
  EXPECT_EQ(Result("Pad", {Of({4, 5}), Ints({INT64_MAX, -9, 0, 0})}), Dims({-1, -1}));
  EXPECT_EQ(Result("Pad", {Of({4, 5}), Ints({1})}), Dims({-1, -1}));
}

TEST(LayoutRule, ReshapeResolvesZeroAndMinusOne) {
  const auto reshape = [](Dims from, Dims target, std::int64_t allow_zero = 0) {
    return Result("Reshape", {Of(from), Ints(target)}, {{"allowzero", allow_zero}});
  };
  EXPECT_EQ(reshape({2, 3, 4}, {0, -1}), Dims({2, 12}));
  EXPECT_EQ(reshape({0, 3}, {3, 0}, 1), Dims({3, 0}));
  EXPECT_EQ(reshape({2, -1}, {0, 5}), Dims({2, 5}));
  EXPECT_EQ(reshape({2, 3}, {-1, -1}), Dims({-1, -1}));
  EXPECT_EQ(reshape({2, 3}, {-1, 4}), kNone);
  EXPECT_EQ(reshape({2, 3}, {5}), kNone);
  EXPECT_EQ(reshape({2, 3}, {2, 3, 0}), kNone);
  EXPECT_EQ(reshape({2, 3}, {INT64_MIN, 3}), kNone);
  EXPECT_EQ(Result("Reshape", {Of({2, 3}), Of({4})}), Dims({-1, -1, -1, -1}));
  EXPECT_EQ(Result("Reshape", {Of({6})}, {{"shape", IntList{2, -1}}}), Dims({2, 3}));
}

TEST(LayoutRule, FlattensTransposesAndSqueezes) {
  EXPECT_EQ(Result("Flatten", {kImage}), Dims({1, 216}));
  EXPECT_EQ(Result("Flatten", {kImage}, {{"axis", std::int64_t{0}}}), Dims({1, 216}));
  EXPECT_EQ(Result("Flatten", {kImage}, {{"axis", std::int64_t{-1}}}), Dims({27, 8}));
  EXPECT_EQ(Result("Flatten", {kImage}, {{"axis", std::int64_t{5}}}), kNone);
  EXPECT_EQ(Result("Transpose", {kImage}), Dims({8, 9, 3, 1}));
  EXPECT_EQ(Result("Transpose", {kImage}, {{"perm", IntList{0, 2, 3, 1}}}), Dims({1, 9, 8, 3}));
  EXPECT_EQ(Result("Transpose", {kImage}, {{"perm", IntList{0, 0, 3, 1}}}), kNone);
  EXPECT_EQ(Result("Squeeze", {Of({1, 3, 1})}), Dims({3}));
  EXPECT_EQ(Result("Squeeze", {Of({1, 3, 1}), Ints({})}), Dims({3}));
  EXPECT_EQ(Result("Squeeze", {Of({1, 3, 1}), Ints({-1})}), Dims({1, 3}));
  EXPECT_EQ(Result("Squeeze", {Of({1, 3, 1})}, {{"axes", IntList{1}}}), kNone);
  EXPECT_EQ(Result("Squeeze", {Of({1, 3, 1}), Anything()}), kNone);
  EXPECT_EQ(Result("Unsqueeze", {Of({3, 4}), Ints({0, -1})}), Dims({1, 3, 4, 1}));
  EXPECT_EQ(Result("Unsqueeze", {Of({3, 4})}, {{"axes", IntList{1, 1}}}), kNone);
}

TEST(LayoutRule, ExpandsTilesAndMovesDepth) {
  EXPECT_EQ(Result("Expand", {Of({3, 1}), Ints({2, 1, 4})}), Dims({2, 3, 4}));
  EXPECT_EQ(Result("Tile", {Of({3, 2}), Ints({2, 0})}), Dims({6, 0}));
  EXPECT_EQ(Result("Tile", {Of({3, 2}), Ints({INT64_MAX, 3})}), Dims({-1, 6}));
  const Attributes block = {{"blocksize", std::int64_t{2}}};
  EXPECT_EQ(Result("DepthToSpace", {Of({1, 8, 2, 3})}, block), Dims({1, 2, 4, 6}));
  EXPECT_EQ(Result("SpaceToDepth", {Of({1, 2, 4, 6})}, block), Dims({1, 8, 2, 3}));
  EXPECT_EQ(Result("SpaceToDepth", {Of({1, 2, 4, 6})}, {{"blocksize", std::int64_t{0}}}), kNone);
}

TEST(IndexRule, GathersAndScatters) {
  const Attributes axis = {{"axis", std::int64_t{-1}}};
  EXPECT_EQ(Result("Gather", {Of({5, 6, 7}), Of({2, 3})}, axis), Dims({5, 6, 2, 3}));
  EXPECT_EQ(Result("Gather", {Of({5}), Of({})}), Dims({}));
  EXPECT_EQ(Result("Gather", {Of({}), Of({})}), kNone);
  EXPECT_EQ(Result("GatherElements", {Of({5, 6}), Of({2, 3})}), Dims({2, 3}));
  EXPECT_EQ(Result("GatherND", {Of({5, 6, 7}), Of({4, 2})}), Dims({4, 7}));
  EXPECT_EQ(Result("GatherND", {Of({5, 6, 7}), Of({5, 1})}, {{"batch_dims", std::int64_t{1}}}),
            Dims({5, 7}));
  EXPECT_EQ(Result("GatherND", {Of({5}), Of({4, 2})}), kNone);
  EXPECT_EQ(Result("ScatterND", {Of({5, 6}), Of({1, 2}), Of({1})}), Dims({5, 6}));
}

TEST(IndexRule, GivesWhatDataDependentOperatorsAllow) {
  EXPECT_EQ(Result("NonZero", {Of({4, 5})}), Dims({2, -1}));
  EXPECT_EQ(Result("TopK", {Of({4, 5}), Ints({3})}), Dims({4, 3}));
  EXPECT_EQ(OneNode("TopK", {Of({4, 5}), Anything()}, {}, 2).DimsOf("y1"), Dims({4, -1}));
  EXPECT_EQ(Result("OneHot", {Of({4, 5}), Int(9), Anything()}), Dims({4, 5, 9}));
  EXPECT_EQ(Result("Compress", {Of({4, 5}), Anything()}), Dims({-1}));
  EXPECT_EQ(Result("Range", {Int(2), Int(11), Int(4)}), Dims({3}));
  EXPECT_EQ(Result("Range", {Int(INT64_MIN), Int(INT64_MAX), Int(1)}), Dims({-1}));
  EXPECT_EQ(Result("Range", {Int(0), Int(5), Int(0)}), Dims({-1}));
}

TEST(IndexRule, ResizeTakesSizesOrScales) {
  EXPECT_EQ(Result("Resize", {kImage, Absent(), Floats({1, 1, 2, 1.5f})}), Dims({1, 3, 18, 12}));
  EXPECT_EQ(Result("Resize", {kImage, Absent(), Absent(), Ints({1, 3, 20, 30})}),
            Dims({1, 3, 20, 30}));
  EXPECT_EQ(Result("Resize", {kImage, Absent(), Floats({}), Ints({1, 3, 20, 30})}),
            Dims({1, 3, 20, 30}));
  EXPECT_EQ(
      Result("Resize", {kImage, Absent(), Absent(), Ints({20, 30})}, {{"axes", IntList{2, 3}}}),
      Dims({1, 3, 20, 30}));
  EXPECT_EQ(Result("Upsample", {kImage, Floats({1, 1, 2, 2})}), Dims({1, 3, 18, 16}));
  EXPECT_EQ(Result("Upsample", {kImage}, {{"scales", std::vector<float>{1, 1, 3, 2}}}),
            Dims({1, 3, 27, 16}));
  EXPECT_EQ(Result("Resize", {kImage, Absent(), Floats({1, 1, -2, 1e30f})}), Dims({1, 3, -1, -1}));
}

TEST(ReduceRule, DropsOrKeepsAxes) {
  EXPECT_EQ(Result("ReduceMean", {kImage}, {{"axes", IntList{2, -1}}}), Dims({1, 3, 1, 1}));
  EXPECT_EQ(Result("ReduceSum", {kImage, Ints({1})}, {{"keepdims", std::int64_t{0}}}),
            Dims({1, 9, 8}));
  EXPECT_EQ(Result("ReduceMax", {kImage}, {{"keepdims", std::int64_t{0}}}), Dims({}));
  EXPECT_EQ(Result("ReduceSum", {kImage}, {{"noop_with_empty_axes", std::int64_t{1}}}),
            kImage.dims);
  EXPECT_EQ(Result("ReduceSum", {kImage, Anything()}), Dims({-1, -1, -1, -1}));
  EXPECT_EQ(Result("ReduceSum", {kImage, Anything()}, {{"keepdims", std::int64_t{0}}}), kNone);
  EXPECT_EQ(Result("ArgMax", {kImage}, {{"axis", std::int64_t{1}}}), Dims({1, 1, 9, 8}));
}

}  // namespace
}  // namespace espalier::testing

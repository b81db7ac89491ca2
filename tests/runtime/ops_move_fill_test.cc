#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "tests/runtime/moved.h"

namespace espalier::runtime {
namespace {

TEST(Pad, EveryModeAgainstItsDefinition) {
  const auto source = [](const std::string& mode, std::int64_t i, std::int64_t size) {
    if (mode == "edge") return std::clamp<std::int64_t>(i, 0, size - 1);
    while (i < 0 || i >= size) {
      if (mode == "wrap") {
        i += i < 0 ? size : -size;
      } else if (size == 1) {
        i = 0;
      } else {
        i = i < 0 ? -i : 2 * (size - 1) - i;
      }
    }
    return i;
  };
  const Dims dims = {2, 1, 4};
  const Position pads = {1, 2, 5, 3, 0, -1};  // reflects more than once
  const Dims want = {6, 3, 8};
  for (const std::string mode : {"edge", "wrap", "reflect"}) {
    OpRunner pad("Pad");
    pad.Set("mode", mode);
    ExpectMoved<std::uint32_t>(pad.Run1({Counting<std::uint32_t>(dims), MakeInts(pads)}), want,
                               dims, [&](const Position& position) {
                                 Position from(3);
                                 for (std::size_t i = 0; i < 3; ++i) {
                                   from[i] = source(mode, position[i] - pads[i], dims[i]);
                                 }
                                 return from;
                               });
  }
}

TEST(Pad, ConstantsAxesAndCrops) {
  const Tensor x = MakeTensor<std::int32_t>({2, 2}, {1, 2, 3, 4});
  OpRunner pad("Pad");
  const Tensor nine = MakeTensor<std::int32_t>({}, {9});
  EXPECT_EQ(ElementsOf<std::int32_t>(pad.Run1({x, MakeInts({0, 1, 1, 0}), nine})),
            (std::vector<std::int32_t>{9, 1, 2, 9, 3, 4, 9, 9, 9}));
  EXPECT_EQ(ElementsOf<std::int32_t>(pad.Run1({x, MakeInts({-1, 0, 0, 1})})),
            (std::vector<std::int32_t>{3, 4, 0}));
  EXPECT_EQ(
      ElementsOf<std::int32_t>(OpRunner("Pad").Run1({x, MakeInts({1, 0}), nine, MakeInts({-1})})),
      (std::vector<std::int32_t>{9, 1, 2, 9, 3, 4}));
  // All of the input is cropped away, and padding is put in its place.
  EXPECT_EQ(ElementsOf<std::int32_t>(
                OpRunner("Pad").Run1({x, MakeInts({-2, 0, 1, 0}), nine, MakeInts({0, 1})})),
            (std::vector<std::int32_t>{9, 9}));
  OpRunner first("Pad", 2);
  first.Set("pads", Position{0, 1, 0, 0}).Set("value", 2.5f);
  EXPECT_EQ(ElementsOf<float>(first.Run1({MakeTensor<float>({1, 1}, {7})})),
            (std::vector<float>{2.5f, 7}));
  EXPECT_TRUE(OpRunner("Pad").Fails({x, MakeInts({-3, 0, 0, 0})}));
  EXPECT_TRUE(OpRunner("Pad").Fails({x, MakeInts({1, 1})}));
  EXPECT_TRUE(OpRunner("Pad").Fails({x, MakeInts({INT64_MAX, 0, INT64_MAX, 0})}));
  EXPECT_TRUE(OpRunner("Pad").Fails({x, MakeInts({1, 0, 0, 0}), RandomTensor({}, 1)}));
  EXPECT_TRUE(OpRunner("Pad")
                  .Set("mode", std::string("edge"))
                  .Fails({RandomTensor({0}, 1), MakeInts({1, 0})}));
  EXPECT_TRUE(OpRunner("Pad").Set("mode", std::string("mirror")).IsRefused(2));
}

TEST(Shape, PartsAndSize) {
  const Tensor x = RandomTensor({2, 3, 4}, 1);
  const auto shape = [&](std::int64_t start, std::int64_t end) {
    return ElementsOf<std::int64_t>(
        OpRunner("Shape", 15).Set("start", start).Set("end", end).Run1({x}));
  };
  EXPECT_EQ(ElementsOf<std::int64_t>(OpRunner("Shape").Run1({x})), (Position{2, 3, 4}));
  EXPECT_EQ(shape(1, 2), (Position{3}));
  EXPECT_EQ(shape(-2, 100), (Position{3, 4}));
  EXPECT_EQ(shape(-100, -1), (Position{2, 3}));
  EXPECT_EQ(shape(2, 1), Position());
  EXPECT_EQ(shape(INT64_MIN, INT64_MIN), Position());
  EXPECT_EQ(ElementsOf<std::int64_t>(OpRunner("Size").Run1({x})), (Position{24}));
}

TEST(ConstantOfShape, FillsAnyType) {
  EXPECT_EQ(ElementsOf<float>(OpRunner("ConstantOfShape").Run1({MakeInts({2, 2})})),
            (std::vector<float>{0, 0, 0, 0}));
  OpRunner ints("ConstantOfShape");
  ints.Set("value", MakeTensor<std::int64_t>({1}, {-3}));
  EXPECT_EQ(ElementsOf<std::int64_t>(ints.Run1({MakeInts({})})), (Position{-3}));
  EXPECT_TRUE(ints.Fails({MakeInts({2, -1})}));
  EXPECT_TRUE(ints.Fails({MakeInts({INT64_MAX, 2})}));
  EXPECT_TRUE(OpRunner("ConstantOfShape").Set("value", MakeInts({1, 2})).Fails({MakeInts({1})}));
}

TEST(EyeLike, DiagonalsAnywhere) {
  for (const std::int64_t k : {std::int64_t{0}, std::int64_t{2}, std::int64_t{-1}, std::int64_t{9},
                               INT64_MIN, INT64_MAX}) {
    OpRunner eye("EyeLike");
    eye.Set("k", k).Set("dtype", std::int64_t{6});
    const auto out = ElementsOf<std::int32_t>(eye.Run1({RandomTensor({3, 4}, 1)}));
    for (std::int64_t i = 0; i < 12; ++i) {
      const bool is_one = k > -9 && k < 9 && i % 4 == i / 4 + k;
      EXPECT_EQ(out[static_cast<std::size_t>(i)], is_one ? 1 : 0) << k << " " << i;
    }
  }
  EXPECT_TRUE(OpRunner("EyeLike").Fails({RandomTensor({3}, 1)}));
  EXPECT_TRUE(OpRunner("EyeLike").Set("dtype", std::int64_t{8}).IsRefused(1));
}

TEST(Range, BothDirectionsAndLimits) {
  const auto ints = [](std::int64_t start, std::int64_t limit, std::int64_t delta) {
    return ElementsOf<std::int64_t>(OpRunner("Range").Run1(
        {MakeTensor<std::int64_t>({}, {start}), MakeTensor<std::int64_t>({}, {limit}),
         MakeTensor<std::int64_t>({}, {delta})}));
  };
  EXPECT_EQ(ints(1, 8, 3), (Position{1, 4, 7}));
  EXPECT_EQ(ints(5, -2, -3), (Position{5, 2, -1}));
  EXPECT_EQ(ints(5, 5, 1), Position());
  EXPECT_EQ(ints(5, 9, -1), Position());
  EXPECT_EQ(ints(INT64_MIN, INT64_MAX, INT64_MAX), (Position{INT64_MIN, -1, INT64_MAX - 1}));
  const auto floats = [](float start, float limit, float delta) {
    return std::vector<Tensor>{MakeTensor<float>({}, {start}), MakeTensor<float>({}, {limit}),
                               MakeTensor<float>({}, {delta})};
  };
  EXPECT_EQ(ElementsOf<float>(OpRunner("Range").Run1(floats(0, 1, 0.25f))),
            (std::vector<float>{0, 0.25f, 0.5f, 0.75f}));
  EXPECT_TRUE(OpRunner("Range").Fails(floats(0, 1, 0)));
  EXPECT_TRUE(OpRunner("Range").Fails(floats(0, 1e30f, 1e-30f)));
  EXPECT_TRUE(OpRunner("Range").Fails(floats(0, 1, std::numeric_limits<float>::quiet_NaN())));
}

TEST(Trilu, KeepsOneTriangle) {
  const Dims dims = {2, 3, 4};
  const Tensor x = Counting<std::uint16_t>(dims);
  const auto in = ElementsOf<std::uint16_t>(x);
  for (const bool upper : {true, false}) {
    for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-2},
                                 std::int64_t{5}, std::int64_t{-5}, INT64_MAX, INT64_MIN}) {
      OpRunner trilu("Trilu");
      trilu.Set("upper", std::int64_t{upper});
      const auto out =
          ElementsOf<std::uint16_t>(trilu.Run1({x, MakeTensor<std::int64_t>({}, {k})}));
      for (std::size_t i = 0; i < in.size(); ++i) {
        const auto row = static_cast<std::int64_t>(i / 4 % 3);
        const auto column = static_cast<std::int64_t>(i % 4);
        const bool keep = upper ? column - row >= k : column - row <= k;
        ASSERT_EQ(out[i], keep ? in[i] : 0) << upper << " " << k << " " << i;
      }
    }
  }
  EXPECT_TRUE(OpRunner("Trilu").Fails({RandomTensor({3}, 1)}));
}

}  // namespace
}  // namespace espalier::runtime

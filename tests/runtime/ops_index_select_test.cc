#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/runtime/ops_index_testing.h"

namespace espalier::runtime {
namespace {

TEST(ArgMax, MatchesDefinition) {
  for (const char* op : {"ArgMax", "ArgMin"}) {
    for (const std::int64_t axis : {0, 1, -1}) {
      for (const std::int64_t last : {0, 1}) {
        const Dims dims = {3, 30, 300};
        const std::size_t place = FromEnd(axis, 3);
        const Tensor data = FewNumbers(dims);
        OpRunner arg(op, 13);
        arg.Threads(2).Set("axis", axis).Set("select_last_index", last);
        const Tensor out = arg.Run1({data});
        const auto x = ElementsOf<float>(data);
        const auto y = ElementsOf<std::int64_t>(out);
        const float sign = std::string(op) == "ArgMax" ? 1 : -1;
        for (std::size_t i = 0; i < y.size(); ++i) {
          auto at = Coordinates(out.dims(), i);
          std::int64_t best = 0;
          float best_value = -100;
          for (std::int64_t k = 0; k < dims[place]; ++k) {
            at[place] = static_cast<std::size_t>(k);
            const float value = sign * x[Place(dims, at)];
            if (value > best_value || (last != 0 && value == best_value)) {
              best = k;
              best_value = value;
            }
          }
          ASSERT_EQ(y[i], best) << op << " along " << axis << " at " << i;
        }
      }
    }
  }
}

TEST(ArgMax, ShapesAndErrors) {
  const Tensor x = RandomTensor({2, 3}, 1);
  EXPECT_EQ(OpRunner("ArgMax").Run1({x}).dims(), (Dims{1, 3}));
  OpRunner flat("ArgMax");
  EXPECT_EQ(flat.Set("keepdims", std::int64_t{0}).Run1({x}).dims(), (Dims{3}));
  OpRunner outside("ArgMax");
  EXPECT_TRUE(outside.Set("axis", std::int64_t{2}).Fails({x}));
  EXPECT_TRUE(OpRunner("ArgMin").Fails({MakeTensor<float>({0, 2}, {})}));
  EXPECT_EQ(OpRunner("ArgMin").Run1({MakeTensor<float>({0, 0}, {})}).dims(), (Dims{1, 0}));
}

TEST(TopK, MatchesStableSort) {
  for (const std::int64_t largest : {0, 1}) {
    for (const std::int64_t axis : {0, 1, 2}) {
      for (const std::int64_t k : {0, 1, 3, 10, 39}) {
        const Dims dims = {40, 41, 39};
        const auto place = static_cast<std::size_t>(axis);
        const Tensor data = FewNumbers(dims);
        OpRunner top("TopK", 11);
        top.Outputs(2).Set("axis", axis).Set("largest", largest);
        const auto out = top.Run({data, MakeInts({k})});
        const auto x = ElementsOf<float>(data);
        const auto values = ElementsOf<float>(out[0]);
        const auto indices = ElementsOf<std::int64_t>(out[1]);
        for (std::size_t i = 0; i < values.size(); ++i) {
          auto at = Coordinates(out[0].dims(), i);
          const std::size_t rank = at[place];
          std::vector<std::size_t> order(static_cast<std::size_t>(dims[place]));
          std::vector<float> row(order.size());
          for (at[place] = 0; at[place] < row.size(); ++at[place]) {
            row[at[place]] = x[Place(dims, at)];
          }
          if (rank != 0 && rank + 1 != static_cast<std::size_t>(k)) continue;  // enough to see
          std::iota(order.begin(), order.end(), std::size_t{0});
          std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return largest != 0 ? row[a] > row[b] : row[a] < row[b];
          });
          ASSERT_EQ(indices[i], static_cast<std::int64_t>(order[rank])) << i;
          ASSERT_EQ(values[i], row[order[rank]]) << i;
        }
      }
    }
  }
}

template <typename T>
std::vector<T> Sorted(std::vector<T> elements, DType dtype = TestDType<T>::value) {
  const auto count = static_cast<std::int64_t>(elements.size());
  OpRunner top("TopK", 11);
  top.Outputs(2).Set("largest", std::int64_t{0});
  return ElementsOf<T>(top.Run({MakeTensor<T>({count}, elements, dtype), MakeInts({count})})[0]);
}

TEST(TopK, OrdersEveryType) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto floats =
      Sorted<float>({infinity, std::nanf(""), 0.0f, -infinity, -1e-40f, 3, -3, -0.0f});
  EXPECT_EQ(std::vector<float>(floats.begin(), floats.end() - 1),
            (std::vector<float>{-infinity, -3, -1e-40f, 0, 0, 3, infinity}));
  EXPECT_FALSE(std::signbit(floats[3]));  // both zeros are equal, so they keep their order
  EXPECT_TRUE(std::isnan(floats.back()));
  EXPECT_EQ(Sorted<double>({1e300, -1e300, 1e-300}), (std::vector<double>{-1e300, 1e-300, 1e300}));
  EXPECT_EQ(Sorted<std::int8_t>({1, -128, 127}), (std::vector<std::int8_t>{-128, 1, 127}));
  EXPECT_EQ(Sorted<std::uint8_t>({200, 1}), (std::vector<std::uint8_t>{1, 200}));
  EXPECT_EQ(Sorted<std::int64_t>({INT64_MAX, INT64_MIN, 0}), (Ints{INT64_MIN, 0, INT64_MAX}));
  EXPECT_EQ(Sorted<std::uint64_t>({UINT64_MAX, 0}), (std::vector<std::uint64_t>{0, UINT64_MAX}));
  EXPECT_EQ(Sorted<std::uint16_t>({0x3C00, 0xBC00, 0x0000}, DType::kFloat16),
            (std::vector<std::uint16_t>{0xBC00, 0x0000, 0x3C00}));  // 1, -1, 0
}

TEST(TopK, EarlyVersionAndErrors) {
  const Tensor x = MakeTensor<float>({3}, {1, 3, 2});
  OpRunner first("TopK", 1);
  first.Outputs(2).Set("k", std::int64_t{2});
  EXPECT_EQ(ElementsOf<float>(first.Run({x})[0]), (std::vector<float>{3, 2}));
  EXPECT_TRUE(OpRunner("TopK", 11).Outputs(2).Fails({x, MakeInts({4})}));
  EXPECT_TRUE(OpRunner("TopK", 11).Outputs(2).Fails({x, MakeInts({-1})}));
  EXPECT_TRUE(OpRunner("TopK", 11).Outputs(2).Fails({x, MakeInts({1, 1})}));
  EXPECT_TRUE(OpRunner("TopK", 1).Outputs(2).Fails({x}));
}

TEST(OneHot, MatchesDefinition) {
  const Tensor values = MakeTensor<float>({2}, {-1, 5});
  for (const std::int64_t axis : {0, 1, 2, -1}) {
    const Tensor indices = RandomIndices({3, 4}, 11, 9);  // some out of range
    OpRunner hot("OneHot", 11);
    const Tensor out = hot.Set("axis", axis).Run1({indices, MakeTensor<float>({}, {6}), values});
    const std::size_t place = FromEnd(axis, 3);
    const auto index = ElementsOf<std::int64_t>(indices);
    const auto y = ElementsOf<float>(out);
    ASSERT_EQ(y.size(), 72U);
    for (std::size_t i = 0; i < y.size(); ++i) {
      auto at = Coordinates(out.dims(), i);
      const auto class_of = static_cast<std::int64_t>(at[place]);
      at.erase(at.begin() + static_cast<std::ptrdiff_t>(place));
      const std::int64_t wanted = index[Place({3, 4}, at)];
      ASSERT_EQ(y[i], wanted == class_of || wanted + 6 == class_of ? 5 : -1) << i;
    }
  }
}

TEST(OneHot, OddInputs) {
  const Tensor values = MakeInts({0, 1});
  const Tensor odd = MakeTensor<float>({3}, {std::nanf(""), 1e30f, 1});
  EXPECT_EQ(ElementsOf<std::int64_t>(OpRunner("OneHot").Run1({odd, MakeInts({2}), values})),
            (Ints{0, 0, 0, 0, 0, 1}));
  EXPECT_TRUE(OpRunner("OneHot").Fails({odd, MakeInts({0}), values}));
  EXPECT_TRUE(OpRunner("OneHot").Fails({odd, MakeInts({2}), MakeInts({0})}));
  EXPECT_TRUE(OpRunner("OneHot").Fails({odd, MakeInts({std::int64_t{1} << 47}), values},
                                       ErrorCode::kUnsupported));
}

TEST(NonZero, FindsCoordinates) {
  const Tensor x = MakeTensor<float>({2, 3}, {0, 1, -0.0f, std::nanf(""), 0, 2});
  const Tensor out = OpRunner("NonZero").Run1({x});
  EXPECT_EQ(out.dims(), (Dims{2, 3}));
  EXPECT_EQ(ElementsOf<std::int64_t>(out), (Ints{0, 1, 1, 1, 0, 2}));
  EXPECT_EQ(OpRunner("NonZero").Run1({MakeTensor<float>({}, {1})}).dims(), (Dims{0, 1}));
  EXPECT_EQ(OpRunner("NonZero").Run1({MakeBools({2}, {0, 0})}).dims(), (Dims{1, 0}));
}

TEST(Compress, KeepsWhatIsSet) {
  const Tensor x = MakeTensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  OpRunner columns("Compress");
  const Tensor out = columns.Set("axis", std::int64_t{-1}).Run1({x, MakeBools({3}, {1, 0, 1})});
  EXPECT_EQ(out.dims(), (Dims{2, 2}));
  EXPECT_EQ(ElementsOf<float>(out), (std::vector<float>{1, 3, 4, 6}));
  EXPECT_EQ(ElementsOf<float>(OpRunner("Compress").Run1({x, MakeBools({4}, {0, 1, 0, 1})})),
            (std::vector<float>{2, 4}));
  OpRunner rows("Compress");
  EXPECT_TRUE(rows.Set("axis", std::int64_t{0}).Fails({x, MakeBools({3}, {0, 0, 1})}));
  EXPECT_TRUE(OpRunner("Compress").Fails({x, MakeBools({1, 1}, {1})}));
  EXPECT_TRUE(OpRunner("Compress").Fails({x, MakeInts({1})}));
}

TEST(Unique, ListsAreConsistent) {
  for (const std::int64_t sorted : {0, 1}) {
    const Tensor x = FewNumbers({10, 20});
    OpRunner unique("Unique", 11);
    const auto out = unique.Outputs(4).Set("sorted", sorted).Run({x});
    const auto elements = ElementsOf<float>(x);
    const auto values = ElementsOf<float>(out[0]);
    const auto first = ElementsOf<std::int64_t>(out[1]);
    const auto inverse = ElementsOf<std::int64_t>(out[2]);
    const auto counts = ElementsOf<std::int64_t>(out[3]);
    ASSERT_EQ(values.size(), 7U);
    EXPECT_EQ(std::is_sorted(values.begin(), values.end()), sorted != 0);
    EXPECT_EQ(std::is_sorted(first.begin(), first.end()), sorted == 0);
    for (std::size_t i = 0; i < elements.size(); ++i) {
      EXPECT_EQ(values[static_cast<std::size_t>(inverse[i])], elements[i]);
    }
    for (std::size_t g = 0; g < values.size(); ++g) {
      EXPECT_EQ(std::count(elements.begin(), elements.end(), values[g]), counts[g]);
      EXPECT_EQ(std::find(elements.begin(), elements.end(), values[g]) - elements.begin(),
                first[g]);
    }
  }
}

TEST(Unique, SlicesOfAnAxis) {
  const Tensor x = MakeTensor<std::int64_t>({2, 4}, {3, 1, 3, 1, 0, 2, 0, 1});
  OpRunner unique("Unique", 11);
  const auto out = unique.Outputs(4).Set("axis", std::int64_t{1}).Run({x});
  EXPECT_EQ(out[0].dims(), (Dims{2, 3}));
  EXPECT_EQ(ElementsOf<std::int64_t>(out[0]), (Ints{1, 1, 3, 1, 2, 0}));
  EXPECT_EQ(ElementsOf<std::int64_t>(out[1]), (Ints{3, 1, 0}));
  EXPECT_EQ(ElementsOf<std::int64_t>(out[2]), (Ints{2, 1, 2, 0}));
  EXPECT_EQ(ElementsOf<std::int64_t>(out[3]), (Ints{1, 1, 2}));
  EXPECT_EQ(OpRunner("Unique").Run1({MakeTensor<float>({0, 3}, {})}).dims(), (Dims{0}));
  OpRunner empty("Unique");
  EXPECT_TRUE(empty.Set("axis", std::int64_t{0})
                  .Fails({MakeTensor<float>({3, 0}, {})}, ErrorCode::kUnsupported));
}

TEST(CumSum, MatchesDefinition) {
  for (const std::int64_t axis : {0, 1, -1}) {
    for (const std::int64_t exclusive : {0, 1}) {
      for (const std::int64_t reverse : {0, 1}) {
        const Dims dims = {3, 4, 70};
        const Tensor data = RandomTensor(dims, 12);
        OpRunner sum("CumSum", 14);
        sum.Set("exclusive", exclusive).Set("reverse", reverse);
        const auto y = ElementsOf<float>(sum.Run1({data, Index({}, {axis})}));
        const auto x = ElementsOf<float>(data);
        const std::size_t place = FromEnd(axis, 3);
        for (std::size_t i = 0; i < y.size(); ++i) {
          auto at = Coordinates(dims, i);
          const std::size_t own = at[place];
          double want = 0;
          for (at[place] = 0; at[place] < static_cast<std::size_t>(dims[place]); ++at[place]) {
            const bool before = reverse != 0 ? at[place] > own : at[place] < own;
            if (before || (at[place] == own && exclusive == 0)) want += x[Place(dims, at)];
          }
          ASSERT_FLOAT_EQ(y[i], static_cast<float>(want)) << i;
        }
      }
    }
  }
  EXPECT_EQ(
      ElementsOf<std::int64_t>(OpRunner("CumSum").Run1({MakeInts({INT64_MAX, 1}), MakeInts({0})})),
      (Ints{INT64_MAX, INT64_MIN}));
  EXPECT_TRUE(OpRunner("CumSum").Fails({MakeInts({1}), MakeInts({1})}));
  EXPECT_TRUE(OpRunner("CumSum").Fails({MakeInts({1}), MakeInts({0, 0})}));
}

TEST(NonMaxSuppression, ChosenBoxesAreBestAndApart) {
  constexpr std::int64_t kBoxes = 60;
  auto corners = ElementsOf<float>(RandomTensor({2, kBoxes, 4}, 13, 0, 1));
  const Tensor boxes = MakeTensor<float>({2, kBoxes, 4}, corners);
  const Tensor scores = FewNumbers({2, 3, kBoxes});
  const auto iou = [&](std::int64_t batch, std::int64_t a, std::int64_t b) {
    const auto edge = [&](std::int64_t box, std::size_t low, bool upper) {
      const float* x = corners.data() + (batch * kBoxes + box) * 4;
      return static_cast<double>(upper ? std::max(x[low], x[low + 2])
                                       : std::min(x[low], x[low + 2]));
    };
    double shared = 1, area_a = 1, area_b = 1;
    for (const std::size_t d : {0, 1}) {
      shared *= std::max(0.0, std::min(edge(a, d, true), edge(b, d, true)) -
                                  std::max(edge(a, d, false), edge(b, d, false)));
      area_a *= edge(a, d, true) - edge(a, d, false);
      area_b *= edge(b, d, true) - edge(b, d, false);
    }
    return shared / (area_a + area_b - shared);
  };
  OpRunner suppress("NonMaxSuppression", 11);
  const Tensor out = suppress.Run1({boxes, scores, MakeInts({1000}), MakeTensor<float>({1}, {0.3f}),
                                    MakeTensor<float>({1}, {1})});
  const auto rows = ElementsOf<std::int64_t>(out);
  // By the definition: in the order of scores, each box that no chosen one hides.
  Ints want;
  const auto score = ElementsOf<float>(scores);
  for (std::int64_t batch = 0; batch < 2; ++batch) {
    for (std::int64_t c = 0; c < 3; ++c) {
      const float* row = score.data() + (batch * 3 + c) * kBoxes;
      Ints order(kBoxes);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [row](std::int64_t a, std::int64_t b) { return row[a] > row[b]; });
      Ints chosen;
      for (const std::int64_t box : order) {
        const bool hidden = std::any_of(chosen.begin(), chosen.end(), [&](std::int64_t other) {
          return iou(batch, other, box) > 0.3;
        });
        if (row[box] <= 1 || hidden) continue;
        chosen.push_back(box);
        want.insert(want.end(), {batch, c, box});
      }
    }
  }
  EXPECT_GT(want.size(), 60U);
  EXPECT_EQ(rows, want);
}

TEST(NonMaxSuppression, DefaultsAndErrors) {
  const Tensor boxes = MakeTensor<float>({1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 1});
  const Tensor scores = MakeTensor<float>({1, 1, 2}, {0.5f, std::nanf("")});
  EXPECT_EQ(OpRunner("NonMaxSuppression").Run1({boxes, scores}).dims(), (Dims{0, 3}));
  EXPECT_EQ(
      ElementsOf<std::int64_t>(OpRunner("NonMaxSuppression").Run1({boxes, scores, MakeInts({5})})),
      (Ints{0, 0, 0}));
  const Tensor apart = MakeTensor<float>({1, 3, 4}, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
  const Tensor rising = MakeTensor<float>({1, 1, 3}, {0.1f, 0.2f, 0.3f});
  EXPECT_EQ(
      ElementsOf<std::int64_t>(OpRunner("NonMaxSuppression").Run1({apart, rising, MakeInts({2})})),
      (Ints{0, 0, 2, 0, 0, 1}));
  EXPECT_TRUE(OpRunner("NonMaxSuppression").Fails({boxes, RandomTensor({1, 1, 3}, 1)}));
  EXPECT_TRUE(OpRunner("NonMaxSuppression").Fails({scores, scores}));
  EXPECT_TRUE(OpRunner("NonMaxSuppression").Fails({boxes, boxes}));
}

}  // namespace
}  // namespace espalier::runtime

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/runtime/ops_index_testing.h"

namespace espalier::runtime {
namespace {

TEST(Gather, MatchesDefinition) {
  const struct {
    Dims data, indices;
    std::int64_t axis;
  } cases[] = {{{5}, {}, 0},         {{5, 3}, {4}, 0},    {{2, 5, 3}, {2, 2}, 1},
               {{2, 5, 3}, {7}, -1}, {{2, 5, 3}, {0}, 1}, {{2, 300, 300}, {250}, 1},
               {{1, 5, 16}, {1}, 1}, {{2, 5, 2}, {3}, 1}};
  for (const auto& c : cases) {
    SCOPED_TRACE(DimsText(c.data) + " at " + DimsText(c.indices));
    const auto rank = static_cast<std::int64_t>(c.data.size());
    const std::size_t axis = FromEnd(c.axis, rank);
    const Tensor data = RandomTensor(c.data, 1);
    const Tensor indices = RandomIndices(c.indices, 2, c.data[axis]);
    OpRunner gather("Gather", 13);
    const Tensor out = gather.Threads(3).Set("axis", c.axis).Run1({data, indices});
    const auto x = ElementsOf<float>(data);
    const auto y = ElementsOf<float>(out);
    const auto index = ElementsOf<std::int64_t>(indices);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto at = Coordinates(out.dims(), i);
      const auto middle = at.begin() + static_cast<std::ptrdiff_t>(axis);
      const auto behind = middle + static_cast<std::ptrdiff_t>(c.indices.size());
      std::vector<std::size_t> from(at.begin(), middle);
      from.push_back(FromEnd(index[Place(c.indices, {middle, behind})], c.data[axis]));
      from.insert(from.end(), behind, at.end());
      ASSERT_EQ(y[i], x[Place(c.data, from)]) << i;
    }
  }
}

TEST(Gather, MovesEveryType) {
  const Tensor first = MakeTensor<std::int32_t>({1}, {2});
  const Tensor halves = MakeTensor<std::uint16_t>({3}, {1, 2, 3}, DType::kFloat16);
  EXPECT_EQ(ElementsOf<std::uint16_t>(OpRunner("Gather").Run1({halves, first})).at(0), 3);
  const Tensor bools = MakeBools({3}, {0, 0, 1});
  EXPECT_EQ(ElementsOf<std::uint8_t>(OpRunner("Gather").Run1({bools, first})).at(0), 1);
  const Tensor complex = MakeTensor<double>({3}, {1, 2, 3, 4, 5, 6}, DType::kComplex128);
  EXPECT_EQ(ElementsOf<double>(OpRunner("Gather").Run1({complex, first})),
            (std::vector<double>{5, 6}));
}

TEST(Gather, WrongIndicesAreErrors) {
  const Tensor x = RandomTensor({2, 3}, 1);
  for (const char* op : {"Gather", "GatherElements", "GatherND"}) {
    EXPECT_TRUE(OpRunner(op).Fails({x, Index({1, 1}, {2})})) << op;
    EXPECT_TRUE(OpRunner(op).Fails({x, Index({1, 1}, {-3})})) << op;
    EXPECT_TRUE(OpRunner(op).Fails({x, Index({1, 1}, {std::int64_t{1} << 62})})) << op;
    EXPECT_TRUE(OpRunner(op).Fails({x, x})) << op;
  }
  EXPECT_TRUE(OpRunner("Gather").Fails({MakeTensor<float>({}, {1}), MakeInts({0})}));
  EXPECT_TRUE(OpRunner("GatherElements").Fails({x, MakeInts({0})}));
  EXPECT_TRUE(OpRunner("GatherElements").Fails({x, RandomIndices({1, 4}, 1, 1)}));
  EXPECT_TRUE(OpRunner("GatherND").Fails({x, Index({1, 3}, {0, 0, 0})}));
  EXPECT_TRUE(OpRunner("GatherND").Fails({x, Index({}, {0})}));
  EXPECT_TRUE(OpRunner("GatherND").Fails({x, Index({2, 0}, {})}));
  OpRunner batches("GatherND");
  EXPECT_TRUE(batches.Set("batch_dims", std::int64_t{2}).Fails({x, Index({2, 1}, {0, 0})}));
  EXPECT_TRUE(OpRunner("GatherND").Set("batch_dims", std::int64_t{-1}).IsRefused(2));
}

TEST(GatherElements, MatchesDefinition) {
  for (const std::int64_t axis : {0, 1, 2, -1}) {
    const Dims dims = {3, 4, 5};
    const std::size_t place = FromEnd(axis, 3);
    Dims wanted = {2, 3, 4};
    wanted[place] = 9;
    const Tensor data = RandomTensor(dims, 3);
    const Tensor indices = RandomIndices(wanted, 4, dims[place]);
    OpRunner gather("GatherElements", 13);
    const Tensor out = gather.Set("axis", axis).Run1({data, indices});
    ASSERT_EQ(out.dims(), wanted);
    const auto index = ElementsOf<std::int64_t>(indices);
    for (std::size_t i = 0; i < index.size(); ++i) {
      auto at = Coordinates(wanted, i);
      at[place] = FromEnd(index[i], dims[place]);
      ASSERT_EQ(ElementsOf<float>(out)[i], ElementsOf<float>(data)[Place(dims, at)]) << i;
    }
  }
}

TEST(GatherND, MatchesDefinition) {
  const Dims dims = {3, 4, 5};
  const Tensor data = RandomTensor(dims, 5);
  const auto x = ElementsOf<float>(data);
  for (const std::size_t batch : {0, 1}) {
    for (const std::size_t length : {1, 2}) {
      const Dims wanted = {3, 7, static_cast<std::int64_t>(length)};
      const Tensor indices = RandomIndices(wanted, 6, 3);
      OpRunner gather("GatherND", 13);
      gather.Set("batch_dims", static_cast<std::int64_t>(batch));
      const auto y = ElementsOf<float>(gather.Run1({data, indices}));
      const auto index = ElementsOf<std::int64_t>(indices);
      const std::size_t block = y.size() / 21;
      for (std::size_t i = 0; i < y.size(); ++i) {
        std::vector<std::size_t> at;
        if (batch == 1) at.push_back(i / block / 7);
        for (std::size_t k = 0; k < length; ++k) {
          at.push_back(FromEnd(index[i / block * length + k], dims[at.size()]));
        }
        const Dims named(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(at.size()));
        ASSERT_EQ(y[i], x[Place(named, at) * block + i % block]) << i;
      }
    }
  }
}

// Scattering by `reduction` in the order of the updates.
float Combined(const std::string& reduction, float a, float b) {
  if (reduction == "add") return a + b;
  if (reduction == "mul") return a * b;
  if (reduction == "min") return std::min(a, b);
  if (reduction == "max") return std::max(a, b);
  return b;
}

TEST(ScatterElements, MatchesDefinition) {
  for (const char* reduction : {"none", "add", "mul", "min", "max"}) {
    for (const std::int64_t axis : {0, 1, -1}) {
      const Dims dims = {3, 4, 5};
      const std::size_t place = FromEnd(axis, 3);
      const Dims some = {2, 4, 3};
      const Tensor data = RandomTensor(dims, 7);
      const Tensor indices = RandomIndices(some, 8, dims[place]);
      const Tensor updates = RandomTensor(some, 9);
      OpRunner scatter("ScatterElements", 18);
      scatter.Set("axis", axis).Set("reduction", std::string(reduction));
      const auto got = ElementsOf<float>(scatter.Run1({data, indices, updates}));
      auto want = ElementsOf<float>(data);
      const auto index = ElementsOf<std::int64_t>(indices);
      const auto update = ElementsOf<float>(updates);
      for (std::size_t i = 0; i < index.size(); ++i) {
        auto at = Coordinates(some, i);
        at[place] = FromEnd(index[i], dims[place]);
        float& target = want[Place(dims, at)];
        target = Combined(reduction, target, update[i]);
      }
      EXPECT_EQ(got, want) << reduction << " along " << axis;
    }
  }
}

TEST(ScatterND, MatchesDefinition) {
  for (const char* reduction : {"none", "add", "mul", "min", "max"}) {
    const Dims dims = {3, 4, 5};
    const Tensor data = RandomTensor(dims, 7);
    const Tensor indices = RandomIndices({2, 3, 2}, 8, 3);
    const Tensor updates = RandomTensor({2, 3, 5}, 9);
    OpRunner scatter("ScatterND", 18);
    scatter.Set("reduction", std::string(reduction));
    const auto got = ElementsOf<float>(scatter.Run1({data, indices, updates}));
    auto want = ElementsOf<float>(data);
    const auto index = ElementsOf<std::int64_t>(indices);
    const auto update = ElementsOf<float>(updates);
    for (std::size_t i = 0; i < update.size(); ++i) {
      const std::size_t row = FromEnd(index[i / 5 * 2], 3) * 4 + FromEnd(index[i / 5 * 2 + 1], 4);
      float& target = want[row * 5 + i % 5];
      target = Combined(reduction, target, update[i]);
    }
    EXPECT_EQ(got, want) << reduction;
  }
}

TEST(Scatter, OtherTypes) {
  const auto run = [](const char* reduction, const Tensor& data, const Tensor& updates) {
    OpRunner scatter("ScatterElements", 18);
    return scatter.Set("reduction", std::string(reduction)).Run1({data, MakeInts({0, 0}), updates});
  };
  const Tensor data = MakeTensor<std::int8_t>({2}, {100, 1});
  const Tensor updates = MakeTensor<std::int8_t>({2}, {100, -1});
  EXPECT_EQ(ElementsOf<std::int8_t>(run("add", data, updates)), (std::vector<std::int8_t>{-57, 1}));
  EXPECT_EQ(ElementsOf<std::int8_t>(run("mul", data, updates)), (std::vector<std::int8_t>{-16, 1}));
  EXPECT_EQ(ElementsOf<std::int8_t>(run("min", data, updates)), (std::vector<std::int8_t>{-1, 1}));
  const Tensor words = MakeTensor<std::uint16_t>({1}, {65535});
  OpRunner square("ScatterElements", 18);
  square.Set("reduction", std::string("mul"));
  EXPECT_EQ(ElementsOf<std::uint16_t>(square.Run1({words, MakeInts({0}), words})).at(0), 1);
  const Tensor halves = MakeTensor<std::uint16_t>({2}, {0x3C00, 0}, DType::kFloat16);
  EXPECT_EQ(ElementsOf<std::uint16_t>(run("add", halves, halves)),
            (std::vector<std::uint16_t>{0x4000, 0}));
  EXPECT_EQ(ElementsOf<std::uint8_t>(run("add", MakeBools({1}, {0}), MakeBools({2}, {0, 1}))),
            std::vector<std::uint8_t>{1});
}

TEST(Scatter, WrongInputsAreErrors) {
  const Tensor x = RandomTensor({2, 3}, 1);
  for (const char* op : {"Scatter", "ScatterElements", "ScatterND"}) {
    EXPECT_TRUE(OpRunner(op).Fails({x, Index({1, 1}, {2}), x})) << op;
    EXPECT_TRUE(OpRunner(op).Fails({x, Index({1, 1}, {0}), RandomTensor({1, 2}, 1)})) << op;
    EXPECT_TRUE(OpRunner(op).Set("reduction", std::string("mean")).IsRefused(3)) << op;
  }
  EXPECT_TRUE(OpRunner("ScatterND").Fails({x, Index({1, 1}, {-3}), RandomTensor({1, 3}, 1)}));
  EXPECT_TRUE(OpRunner("ScatterElements").Fails({x, Index({1, 1}, {0}), Index({1, 1}, {0})}));
}

}  // namespace
}  // namespace espalier::runtime

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "espalier/base/random.h"
#include "tests/runtime/moved.h"

namespace espalier::runtime {
namespace {

std::int64_t Pick(std::uint64_t seed, std::uint64_t index, std::int64_t below) {
  return static_cast<std::int64_t>(RandomAt(seed, index) % static_cast<std::uint64_t>(below));
}

template <typename T>
void ExpectTransposes(std::uint64_t seed) {
  const auto rank = static_cast<std::size_t>(Pick(seed, 0, 6));
  Dims dims(rank);
  Position order(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    dims[i] = 1 + Pick(seed, 10 + i, rank < 4 ? 40 : 5);
    order[i] = static_cast<std::int64_t>(i);
  }
  for (std::size_t i = rank; i > 1; --i) {
    std::swap(order[i - 1],
              order[static_cast<std::size_t>(Pick(seed, 20 + i, static_cast<std::int64_t>(i)))]);
  }
  Dims want(rank);
  for (std::size_t i = 0; i < rank; ++i) want[i] = dims[static_cast<std::size_t>(order[i])];
  OpRunner transpose("Transpose");
  transpose.Set("perm", order).Threads(static_cast<int>(1 + seed % 3));
  ExpectMoved<T>(transpose.Run1({Counting<T>(dims)}), want, dims, [&](const Position& position) {
    Position source(rank);
    for (std::size_t i = 0; i < rank; ++i) {
      source[static_cast<std::size_t>(order[i])] = position[i];
    }
    return source;
  });
}

TEST(Transpose, AnyOrderAndElementSize) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    ExpectTransposes<std::uint8_t>(seed);
    ExpectTransposes<std::uint16_t>(seed + 1000);
    ExpectTransposes<std::uint32_t>(seed + 2000);
    ExpectTransposes<std::uint64_t>(seed + 3000);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Transpose, LargeOnThreads) {
  const Dims dims = {3, 130, 257};
  for (const Position& order : {Position{2, 1, 0}, Position{0, 2, 1}, Position{1, 0, 2}}) {
    OpRunner transpose("Transpose");
    transpose.Set("perm", order).Threads(3);
    const Dims want = {dims[std::size_t(order[0])], dims[std::size_t(order[1])],
                       dims[std::size_t(order[2])]};
    ExpectMoved<std::uint32_t>(transpose.Run1({Counting<std::uint32_t>(dims)}), want, dims,
                               [&](const Position& position) {
                                 Position source(3);
                                 for (std::size_t i = 0; i < 3; ++i) {
                                   source[std::size_t(order[i])] = position[i];
                                 }
                                 return source;
                               });
  }
}

TEST(Transpose, DefaultsViewsAndErrors) {
  OpRunner reverse("Transpose");
  EXPECT_EQ(reverse.Run1({Counting<std::uint32_t>({2, 3, 4})}).dims(), (Dims{4, 3, 2}));
  EXPECT_EQ(reverse.Run1({Counting<std::uint32_t>({5, 2})}).dims(), (Dims{2, 5}));
  OpRunner view("Transpose");
  view.Set("perm", Position{0, 3, 1, 2}).Run1({Counting<std::uint32_t>({2, 5, 6, 1})});
  EXPECT_EQ(view.context().ViewOf(0), 0);
  EXPECT_TRUE(OpRunner("Transpose").Set("perm", Position{0, 0}).Fails({RandomTensor({2, 2}, 1)}));
  EXPECT_TRUE(OpRunner("Transpose").Set("perm", Position{0, 1}).Fails({RandomTensor({2}, 1)}));
  EXPECT_TRUE(OpRunner("Transpose").Set("perm", Position{1, -1}).Fails({RandomTensor({2, 2}, 1)}));
}

TEST(Slice, AgreesWithPython) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto rank = static_cast<std::size_t>(1 + Pick(seed, 0, 4));
    Dims dims(rank);
    for (std::size_t i = 0; i < rank; ++i) dims[i] = Pick(seed, 10 + i, 7);
    Position starts, ends, axes, steps, first(rank, 0), step(rank, 1);
    Dims want = dims;
    for (std::size_t i = 0; i < rank; ++i) {
      if (Pick(seed, 20 + i, 3) == 0) continue;
      std::int64_t start = Pick(seed, 30 + i, 21) - 10;
      std::int64_t end = Pick(seed, 40 + i, 21) - 10;
      if (Pick(seed, 50 + i, 6) == 0) end = INT64_MAX;
      if (Pick(seed, 60 + i, 6) == 0) start = INT64_MIN;
      std::int64_t by = Pick(seed, 70 + i, 7) - 3;
      if (by == 0) by = Pick(seed, 80 + i, 2) == 0 ? INT64_MAX : INT64_MIN;
      starts.push_back(start);
      ends.push_back(end);
      steps.push_back(by);
      axes.push_back(static_cast<std::int64_t>(i) -
                     (Pick(seed, 90 + i, 2) == 0 ? static_cast<std::int64_t>(rank) : 0));
      // Python: the positions that range() over the clamped ends gives.
      if (start < 0) start += dims[i];
      if (end < 0) end += dims[i];
      const std::int64_t low = by > 0 ? 0 : -1;
      start = std::clamp<std::int64_t>(start, low, dims[i] + low);
      end = std::clamp<std::int64_t>(end, low, dims[i] + low);
      std::vector<std::int64_t> range;
      const std::int64_t stride = std::clamp<std::int64_t>(by, -100, 100);
      for (std::int64_t k = start; by > 0 ? k < end : k > end; k += stride) range.push_back(k);
      want[i] = static_cast<std::int64_t>(range.size());
      first[i] = start;
      step[i] = stride;
    }
    OpRunner slice("Slice");
    const Tensor out = slice.Run1({Counting<std::uint16_t>(dims), MakeInts(starts), MakeInts(ends),
                                   MakeInts(axes), MakeInts(steps)});
    ExpectMoved<std::uint16_t>(out, want, dims, [&](const Position& position) {
      Position source(rank);
      for (std::size_t i = 0; i < rank; ++i) source[i] = first[i] + position[i] * step[i];
      return source;
    });
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Slice, RunsAreViews) {
  const auto view_of = [](const Dims& dims, Position starts, Position ends, Position axes) {
    OpRunner slice("Slice", 9);
    slice.Set("starts", starts).Set("ends", ends).Set("axes", axes);
    slice.Run1({Counting<std::uint32_t>(dims)});
    return slice.context().ViewOf(0);
  };
  EXPECT_EQ(view_of({4, 5, 6}, {1}, {3}, {0}), 0);
  EXPECT_EQ(view_of({4, 5, 6}, {1, 2}, {2, 4}, {0, 1}), 0);
  EXPECT_EQ(view_of({1, 5, 6}, {2}, {4}, {1}), 0);
  EXPECT_EQ(view_of({4, 5, 6}, {1}, {3}, {1}), -1);
  EXPECT_EQ(view_of({4, 5, 6}, {1, 2}, {3, 4}, {0, 1}), -1);
}

TEST(Slice, Errors) {
  const Tensor x = RandomTensor({3, 3}, 1);
  EXPECT_TRUE(OpRunner("Slice").Fails({x, MakeInts({0}), MakeInts({1}), MakeInts({2})}));
  EXPECT_TRUE(OpRunner("Slice").Fails({x, MakeInts({0}), MakeInts({1, 2})}));
  EXPECT_TRUE(
      OpRunner("Slice").Fails({x, MakeInts({0}), MakeInts({1}), MakeInts({0}), MakeInts({0})}));
  EXPECT_TRUE(OpRunner("Slice").Fails({x, MakeInts({0, 0}), MakeInts({1, 1}), MakeInts({0, -2})}));
  EXPECT_TRUE(OpRunner("Slice").Fails({x, RandomTensor({1}, 1), MakeInts({1})}));
  EXPECT_TRUE(OpRunner("Slice").Fails({x, MakeInts({0, 0, 0}), MakeInts({1, 1, 1})}));
}

TEST(Concat, JoinsAlongAnyAxisAndSplitUndoesIt) {
  for (const Dims& dims : {Dims{7}, Dims{2, 3}, Dims{2, 3, 4}, Dims{1, 3, 2, 5}, Dims{2, 0, 3}}) {
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      std::vector<Tensor> parts;
      Position sizes;
      for (const std::int64_t size : {2, 1, 0, 4}) {
        Dims part = dims;
        part[axis] = size;
        sizes.push_back(size);
        parts.push_back(RandomTensor(part, static_cast<std::uint64_t>(size)));
      }
      OpRunner concat("Concat");
      concat.Set("axis", static_cast<std::int64_t>(axis)).Threads(2);
      const Tensor joined = concat.Run1(parts);
      Dims want = dims;
      want[axis] = 7;
      ASSERT_EQ(joined.dims(), want);
      OpRunner split("Split");
      split.Set("axis", static_cast<std::int64_t>(axis) - static_cast<std::int64_t>(dims.size()));
      const auto again = split.Outputs(4).Run({joined, MakeInts(sizes)});
      for (std::size_t i = 0; i < parts.size(); ++i) {
        ASSERT_EQ(again[i].dims(), parts[i].dims());
        ASSERT_EQ(ElementsOf<float>(again[i]), ElementsOf<float>(parts[i]));
      }
      EXPECT_EQ(split.context().ViewOf(0) == 0,
                std::all_of(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(axis),
                            [](std::int64_t dim) { return dim == 1; }));
    }
  }
}

TEST(Concat, ErrorsAndFirstForm) {
  const Tensor x = RandomTensor({2, 3}, 1);
  EXPECT_EQ(OpRunner("Concat", 1).Run1({x, x}).dims(), (Dims{2, 6}));
  EXPECT_TRUE(OpRunner("Concat").Set("axis", std::int64_t{0}).Fails({x, RandomTensor({2, 2}, 1)}));
  EXPECT_TRUE(OpRunner("Concat").Set("axis", std::int64_t{2}).Fails({x, x}));
  EXPECT_TRUE(OpRunner("Concat").Set("axis", std::int64_t{0}).Fails({x, MakeInts({1})}));
  EXPECT_TRUE(OpRunner("Concat").Set("axis", std::int64_t{0}).Fails({}));
}

TEST(Split, SizesOfEveryOpset) {
  const Tensor x = Counting<std::uint32_t>({7, 2});
  const auto rows = [](const std::vector<Tensor>& parts) {
    Position sizes;
    for (const Tensor& part : parts) sizes.push_back(part.dims()[0]);
    return sizes;
  };
  EXPECT_EQ(rows(OpRunner("Split", 18).Set("num_outputs", std::int64_t{3}).Outputs(3).Run({x})),
            (Position{3, 3, 1}));
  EXPECT_EQ(rows(OpRunner("Split", 18).Set("num_outputs", std::int64_t{5}).Outputs(5).Run({x})),
            (Position{2, 2, 2, 1, 0}));
  EXPECT_EQ(rows(OpRunner("Split", 2).Set("split", Position{4, 3}).Outputs(2).Run({x})),
            (Position{4, 3}));
  EXPECT_EQ(rows(OpRunner("Split", 11).Outputs(7).Run({x})), Position(7, 1));
  EXPECT_TRUE(OpRunner("Split", 13).Outputs(2).Fails({x}));
  EXPECT_TRUE(OpRunner("Split", 13).Outputs(2).Fails({x, MakeInts({8, -1})}));
  EXPECT_TRUE(OpRunner("Split", 13).Outputs(2).Fails({x, MakeInts({4, 2})}));
  EXPECT_TRUE(OpRunner("Split", 13).Outputs(2).Fails({x, MakeInts({4, 2, 1})}));
}

TEST(Reshape, EveryRule) {
  const Tensor x = Counting<std::uint32_t>({2, 3, 4});
  OpRunner reshape("Reshape", 14);
  EXPECT_EQ(reshape.Run1({x, MakeInts({0, -1})}).dims(), (Dims{2, 12}));
  EXPECT_EQ(reshape.context().ViewOf(0), 0);
  EXPECT_EQ(reshape.Run1({x, MakeInts({4, 3, 2, 1})}).dims(), (Dims{4, 3, 2, 1}));
  EXPECT_EQ(OpRunner("Reshape", 1).Set("shape", Position{-1}).Run1({x}).dims(), (Dims{24}));
  for (const Position& shape :
       {Position{5, -1}, Position{-1, -1}, Position{24, 2}, Position{-2, 12}, Position{2, 3, 4, 0},
        Position{INT64_MAX, INT64_MAX}, Position{INT64_MAX, -1}}) {
    EXPECT_TRUE(OpRunner("Reshape", 14).Fails({x, MakeInts(shape)})) << DimsText(shape);
  }
  const Tensor none = Counting<std::uint32_t>({0, 3});
  OpRunner keep("Reshape", 14);
  keep.Set("allowzero", std::int64_t{1});
  EXPECT_EQ(keep.Run1({none, MakeInts({3, 0})}).dims(), (Dims{3, 0}));
  EXPECT_EQ(OpRunner("Reshape").Run1({none, MakeInts({-1, 3})}).dims(), (Dims{0, 3}));
  EXPECT_EQ(OpRunner("Reshape").Run1({RandomTensor({1}, 1), MakeInts({})}).dims(), Dims());
}

TEST(Squeeze, AxesOfEveryOpset) {
  const Tensor x = RandomTensor({1, 3, 1, 2}, 1);
  EXPECT_EQ(OpRunner("Squeeze", 13).Run1({x}).dims(), (Dims{3, 2}));
  EXPECT_EQ(OpRunner("Squeeze", 13).Run1({x, MakeInts({-2})}).dims(), (Dims{1, 3, 2}));
  EXPECT_EQ(OpRunner("Squeeze", 1).Set("axes", Position{0}).Run1({x}).dims(), (Dims{3, 1, 2}));
  EXPECT_TRUE(OpRunner("Squeeze", 13).Fails({x, MakeInts({1})}));
  EXPECT_TRUE(OpRunner("Squeeze", 13).Fails({x, MakeInts({4})}));
  EXPECT_EQ(OpRunner("Unsqueeze", 13).Run1({x, MakeInts({0, -1})}).dims(),
            (Dims{1, 1, 3, 1, 2, 1}));
  EXPECT_EQ(OpRunner("Unsqueeze", 11).Set("axes", Position{2}).Run1({x}).dims(),
            (Dims{1, 3, 1, 1, 2}));
  EXPECT_TRUE(OpRunner("Unsqueeze", 13).Fails({x, MakeInts({0, 0})}));
  EXPECT_TRUE(OpRunner("Unsqueeze", 13).Fails({x, MakeInts({6})}));
  EXPECT_EQ(OpRunner("Flatten").Run1({x}).dims(), (Dims{1, 6}));
  EXPECT_EQ(OpRunner("Flatten").Set("axis", std::int64_t{-1}).Run1({x}).dims(), (Dims{3, 2}));
  EXPECT_EQ(OpRunner("Flatten").Set("axis", std::int64_t{4}).Run1({x}).dims(), (Dims{6, 1}));
  EXPECT_TRUE(OpRunner("Flatten").Set("axis", std::int64_t{5}).Fails({x}));
}

TEST(Expand, RepeatsAxes) {
  const Dims dims = {3, 1, 2};
  const Dims want = {2, 3, 4, 2};
  const Tensor out =
      OpRunner("Expand").Run1({Counting<std::uint32_t>(dims), MakeInts({2, 1, 4, 1})});
  ExpectMoved<std::uint32_t>(out, want, dims, [](const Position& position) {
    return Position{position[1], 0, position[3]};
  });
  EXPECT_TRUE(OpRunner("Expand").Fails({RandomTensor({3}, 1), MakeInts({2})}));
  EXPECT_TRUE(OpRunner("Expand").Fails({RandomTensor({1}, 1), MakeInts({-2})}));
  EXPECT_EQ(OpRunner("Expand").Run1({RandomTensor({1}, 1), MakeInts({0, 3})}).dims(), (Dims{0, 3}));
}

TEST(Tile, RepeatsBlocks) {
  const Dims dims = {2, 3, 1, 2};
  const Position repeats = {2, 1, 3, 2};
  const Dims want = {4, 3, 3, 4};
  const Tensor out = OpRunner("Tile").Run1({Counting<std::uint16_t>(dims), MakeInts(repeats)});
  ExpectMoved<std::uint16_t>(out, want, dims, [&](const Position& position) {
    Position source(4);
    for (std::size_t i = 0; i < 4; ++i) source[i] = position[i] % dims[i];
    return source;
  });
  EXPECT_EQ(
      OpRunner("Tile", 1).Run1({RandomTensor({2, 3}, 1), MakeInts({3}), MakeInts({1})}).dims(),
      (Dims{2, 9}));
  EXPECT_TRUE(OpRunner("Tile").Fails({RandomTensor({2}, 1), MakeInts({-1})}));
  EXPECT_TRUE(OpRunner("Tile").Fails({RandomTensor({2}, 1), MakeInts({INT64_MAX})}));
  EXPECT_TRUE(OpRunner("Tile").Fails({RandomTensor({2}, 1), MakeInts({1, 1})}));
}

TEST(DepthToSpace, FollowsTheDefinitionAndIsUndone) {
  const Dims dims = {2, 12, 3, 5};
  const Dims want = {2, 3, 6, 10};
  for (const std::string mode : {"DCR", "CRD"}) {
    OpRunner op("DepthToSpace");
    op.Set("blocksize", std::int64_t{2}).Set("mode", mode);
    const Tensor out = op.Run1({Counting<std::uint32_t>(dims)});
    ExpectMoved<std::uint32_t>(out, want, dims, [&](const Position& p) {
      const std::int64_t block = p[2] % 2 * 2 + p[3] % 2;
      return Position{p[0], mode == "DCR" ? block * 3 + p[1] : p[1] * 4 + block, p[2] / 2,
                      p[3] / 2};
    });
    OpRunner back("SpaceToDepth", 28);  // the first version with a mode
    back.Set("blocksize", std::int64_t{2}).Set("mode", mode);
    EXPECT_EQ(ElementsOf<std::uint32_t>(back.Run1({out})),
              ElementsOf<std::uint32_t>(Counting<std::uint32_t>(dims)));
  }
  OpRunner by_default("SpaceToDepth");
  by_default.Set("blocksize", std::int64_t{2});
  const Tensor depth = by_default.Run1({Counting<std::uint32_t>(want)});
  EXPECT_EQ(ElementsOf<std::uint32_t>(depth),
            ElementsOf<std::uint32_t>(
                by_default.Set("mode", std::string("DCR")).Run1({Counting<std::uint32_t>(want)})));
  EXPECT_TRUE(OpRunner("DepthToSpace").Fails({RandomTensor(dims, 1)}));
  EXPECT_TRUE(
      OpRunner("DepthToSpace").Set("blocksize", std::int64_t{5}).Fails({RandomTensor(dims, 1)}));
  for (const char* op : {"DepthToSpace", "SpaceToDepth"}) {
    EXPECT_TRUE(OpRunner(op).Set("mode", std::string("RCD")).IsRefused(1));
  }
}

TEST(ReverseSequence, ReversesTheFirstPart) {
  const Tensor x = Counting<std::uint32_t>({3, 2, 2});
  OpRunner reverse("ReverseSequence");
  EXPECT_EQ(ElementsOf<std::uint32_t>(reverse.Run1({x, MakeInts({3, 1})})),
            (std::vector<std::uint32_t>{8, 9, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11}));
  EXPECT_TRUE(reverse.Fails({x, MakeInts({4, 1})}));
  EXPECT_TRUE(reverse.Fails({x, MakeInts({1, 1, 1})}));
  EXPECT_TRUE(
      OpRunner("ReverseSequence").Set("time_axis", std::int64_t{1}).Fails({x, MakeInts({1, 1})}));
}

TEST(Move, TypesBelowAByteAreRefused) {
  const Tensor packed(DType::kInt4, {2, 2}, std::vector<std::byte>(2));
  EXPECT_TRUE(OpRunner("Transpose").Fails({packed}, ErrorCode::kUnsupported));
  EXPECT_TRUE(OpRunner("Tile").Fails({packed, MakeInts({2, 2})}, ErrorCode::kUnsupported));
}

}  // namespace
}  // namespace espalier::runtime

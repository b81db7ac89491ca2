#include "espalier/data/loader.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

constexpr int kSide = 4;
const Dims kShape = {3, kSide, kSide};

// Images of noise; those in `corrupt` cannot be read.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(std::size_t size, std::set<std::size_t> corrupt = {})
      : size_(size), corrupt_(std::move(corrupt)), reads_(size) {}

  std::size_t size() const noexcept override { return size_; }
  const std::vector<std::string>& class_names() const noexcept override { return names_; }
  std::string Description() const override { return "noise"; }

  Sample Read(std::size_t index) const override {
    ++reads_[index];
    if (corrupt_.contains(index)) {
      throw Error(ErrorCode::kBadFile, "broken image " + std::to_string(index));
    }
    return {"image " + std::to_string(index),
            static_cast<std::int64_t>(index % 10),
            Noise(kSide, kSide, 3, index),
            {}};
  }

  int reads(std::size_t index) const { return reads_[index]; }

 private:
  std::size_t size_;
  std::set<std::size_t> corrupt_;
  std::vector<std::string> names_;
  mutable std::vector<std::atomic<int>> reads_;
};

const Preprocess& Unit() { return FindPreprocess("unit"); }

std::vector<Batch> Epoch(BatchLoader& loader, std::uint64_t epoch, std::size_t first = 0) {
  loader.Start(epoch, first);
  std::vector<Batch> batches;
  for (Batch batch; loader.Next(batch);) batches.push_back(batch);
  return batches;
}

std::vector<Batch> Epoch(const Dataset& data, const LoaderOptions& options, std::uint64_t epoch = 0,
                         std::size_t first = 0) {
  BatchLoader loader(data, Unit(), kShape, options);
  return Epoch(loader, epoch, first);
}

std::vector<std::size_t> Indices(const std::vector<Batch>& batches) {
  std::vector<std::size_t> all;
  for (const Batch& batch : batches) {
    all.insert(all.end(), batch.indices.begin(), batch.indices.end());
  }
  return all;
}

void ExpectSame(const std::vector<Batch>& got, const std::vector<Batch>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t b = 0; b < want.size(); ++b) {
    SCOPED_TRACE(b);
    EXPECT_EQ(got[b].shape, want[b].shape);
    EXPECT_EQ(got[b].indices, want[b].indices);
    EXPECT_EQ(got[b].labels, want[b].labels);
    EXPECT_EQ(got[b].inputs, want[b].inputs);
  }
}

LoaderOptions Batches(std::size_t size) {
  LoaderOptions options;
  options.batch_size = size;
  options.seed = 7;
  return options;
}

TEST(BatchLoader, GivesEachSampleOnceAsItIsPreprocessed) {
  const FakeDataset data(101);
  const auto batches = Epoch(data, Batches(20));
  ASSERT_EQ(batches.size(), 6u);
  EXPECT_EQ(batches[0].shape, (Dims{20, 3, kSide, kSide}));
  EXPECT_EQ(batches[5].shape, (Dims{1, 3, kSide, kSide}));
  std::vector<std::size_t> all = Indices(batches);
  const std::vector<std::size_t> shuffled = all;
  std::ranges::sort(all);
  std::vector<std::size_t> want(101);
  std::iota(want.begin(), want.end(), 0);
  EXPECT_EQ(all, want);
  EXPECT_NE(shuffled, want);
  for (const Batch& batch : batches) {
    for (std::size_t i = 0; i < batch.indices.size(); ++i) {
      EXPECT_EQ(batch.labels[i], static_cast<std::int64_t>(batch.indices[i] % 10));
      std::vector<float> sample(48);
      PreprocessSample(Unit(), data.Read(batch.indices[i]), kShape, sample);
      EXPECT_TRUE(std::equal(sample.begin(), sample.end(), batch.inputs.begin() + 48 * i));
    }
  }
}

// Property: threads, prefetch and the cache change nothing; augmentation and corrupt samples are
// in.
TEST(BatchLoader, IsTheSameForAnyNumberOfThreads) {
  const FakeDataset data(530, {3, 200, 201, 529});
  LoaderOptions options = Batches(33);
  options.augmentation = ParseAugmentation("crop:2,flip");
  options.threads = 0;
  const auto want = Epoch(data, options, 3);
  for (const int threads : {1, 2, 5}) {
    for (const std::size_t prefetch : {0, 1, 4, 100}) {
      for (const std::uint64_t cache : {0, 20'000, 1'000'000}) {
        SCOPED_TRACE(testing::Message()
                     << threads << " threads, " << prefetch << " ahead, cache " << cache);
        options.threads = threads;
        options.prefetch = prefetch;
        options.cache_bytes = cache;
        ExpectSame(Epoch(data, options, 3), want);
      }
    }
  }
}

TEST(BatchLoader, ShufflesByEpochAndSeed) {
  const FakeDataset data(64);
  LoaderOptions options = Batches(64);
  BatchLoader loader(data, Unit(), kShape, options);
  const auto first = Indices(Epoch(loader, 0));
  const auto second = Indices(Epoch(loader, 1));
  EXPECT_NE(first, second);
  EXPECT_EQ(Indices(Epoch(loader, 0)), first);
  options.seed = 8;
  EXPECT_NE(Indices(Epoch(data, options)), first);
  options.shuffle = false;
  std::vector<std::size_t> in_order(64);
  std::iota(in_order.begin(), in_order.end(), 0);
  EXPECT_EQ(Indices(Epoch(data, options, 5)), in_order);
}

// 24 orders of 4 samples, 24,000 epochs: each count is binomial with a standard deviation of 31.
TEST(BatchLoader, MakesEveryOrderEquallyLikely) {
  const FakeDataset data(4);
  LoaderOptions options = Batches(4);
  options.threads = 0;
  BatchLoader loader(data, Unit(), kShape, options);
  std::map<std::vector<std::size_t>, int> counts;
  for (std::uint64_t epoch = 0; epoch < 24'000; ++epoch) ++counts[Indices(Epoch(loader, epoch))];
  EXPECT_EQ(counts.size(), 24u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 6 * 31);
}

TEST(BatchLoader, ResumesInTheMiddleOfAnEpoch) {
  const FakeDataset data(150, {20});
  LoaderOptions options = Batches(16);
  options.augmentation = ParseAugmentation("crop:1,flip");
  const auto whole = Epoch(data, options, 2);
  for (const std::size_t first : {1, 5, 9, 10}) {
    SCOPED_TRACE(first);
    ExpectSame(Epoch(data, options, 2, first),
               {whole.begin() + static_cast<std::ptrdiff_t>(first), whole.end()});
  }
  BatchLoader loader(data, Unit(), kShape, options);
  ExpectError(ErrorCode::kInvalidArgument, {"batch 11 of an epoch of 10"},
              [&] { loader.Start(0, 11); });
}

TEST(BatchLoader, DropsWhatItReadAheadWhenStartedAgain) {
  const FakeDataset data(200);
  LoaderOptions options = Batches(8);
  options.threads = 2;
  options.prefetch = 8;
  BatchLoader loader(data, Unit(), kShape, options);
  Batch batch;
  EXPECT_FALSE(loader.Next(batch));
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    loader.Start(epoch);
    ASSERT_TRUE(loader.Next(batch));
  }
  ExpectSame(Epoch(loader, 3), Epoch(data, Batches(8), 3));
}

// Property: batch b of all processes together is batch b of one process with as many times the
// size.
TEST(BatchLoader, SharesTheOrderAmongProcesses) {
  for (const std::size_t size : {96, 97, 103}) {
    for (const std::size_t world : {2, 3}) {
      SCOPED_TRACE(testing::Message() << size << " samples, " << world << " processes");
      const FakeDataset data(size);
      const auto whole = Epoch(data, Batches(8 * world), 1);
      std::vector<std::vector<Batch>> ranks;
      LoaderOptions options = Batches(8);
      options.world_size = world;
      for (options.rank = 0; options.rank < world; ++options.rank) {
        ranks.push_back(Epoch(data, options, 1));
        ASSERT_EQ(ranks.back().size(), whole.size());
        EXPECT_EQ(Indices(ranks.back()).size(), (size + world - 1) / world);
      }
      const auto order = Indices(whole);
      for (std::size_t r = 0; r < world; ++r) {
        const auto share = Indices(ranks[r]);
        for (std::size_t i = 0; i < share.size(); ++i) {
          EXPECT_EQ(share[i], order[(i * world + r) % size]);
        }
      }
    }
  }
}

TEST(BatchLoader, DropsTheLastPartialBatch) {
  const FakeDataset data(103);
  LoaderOptions options = Batches(8);
  options.world_size = 2;
  options.drop_last = true;
  for (options.rank = 0; options.rank < 2; ++options.rank) {
    BatchLoader loader(data, Unit(), kShape, options);
    EXPECT_EQ(loader.batches(), 6u);
    EXPECT_EQ(loader.samples(), 48u);
    for (const Batch& batch : Epoch(loader, 0)) EXPECT_EQ(batch.shape[0], 8);
  }
  options.rank = 0;
  options.batch_size = 52;
  ExpectError(ErrorCode::kInvalidArgument, {"103 samples", "2 processes", "batch of 52"},
              [&] { BatchLoader(data, Unit(), kShape, options); });
}

TEST(BatchLoader, NamesAndReplacesCorruptSamples) {
  const FakeDataset data(300, {10, 77, 78});
  for (const int threads : {0, 4}) {
    LoaderOptions options = Batches(32);
    options.threads = threads;
    std::vector<std::string> told;
    options.on_corrupt = [&](std::size_t index, std::string_view reason) {
      told.push_back(std::to_string(index) + " " + std::string(reason));
    };
    BatchLoader loader(data, Unit(), kShape, options);
    auto all = Indices(Epoch(loader, 0));
    EXPECT_EQ(all.size(), 300u);
    for (const std::size_t corrupt : {10, 77, 78}) EXPECT_EQ(std::ranges::count(all, corrupt), 0);
    std::ranges::sort(all);
    const auto repeated = std::ranges::unique(all);
    EXPECT_EQ(repeated.size(), 3u) << "a substitute for each";
    ASSERT_EQ(told.size(), 3u);
    std::ranges::sort(told);
    EXPECT_EQ(told[0].substr(0, 21), "10 broken image 10 [t");
    Epoch(loader, 1);
    EXPECT_EQ(told.size(), 3u) << "each is named once";
  }
}

TEST(BatchLoader, StopsAtOverOnePercentOfCorruptSamples) {
  std::set<std::string> texts;
  for (const int threads : {0, 1, 4}) {
    const FakeDataset data(399, {10, 77, 78, 79});  // 3 are allowed
    LoaderOptions options = Batches(32);
    options.threads = threads;
    BatchLoader loader(data, Unit(), kShape, options);
    loader.Start(0);
    Batch batch;
    ExpectError(ErrorCode::kBadFile, {"4 of 399 samples", "more than 1 %", "the first: broken"},
                [&] {
                  try {
                    while (loader.Next(batch)) continue;
                  } catch (const Error& error) {
                    texts.insert(error.what());
                    throw;
                  }
                });
    EXPECT_FALSE(loader.Next(batch));
  }
  EXPECT_EQ(texts.size(), 1u) << "the same first one for any number of threads";
  const FakeDataset small(99, {98});
  ExpectError(ErrorCode::kBadFile, {"1 of 99 samples"}, [&] { Epoch(small, Batches(10)); });
  std::set<std::size_t> every;
  for (std::size_t i = 0; i < 1000; ++i) every.insert(i);
  const FakeDataset broken(1000, every);
  ExpectError(ErrorCode::kBadFile, {"11 of 1000 samples"}, [&] { Epoch(broken, Batches(128)); });
}

TEST(BatchLoader, ReadsCachedSamplesOnce) {
  const FakeDataset data(50);
  LoaderOptions options = Batches(16);
  options.cache_bytes = 1 << 20;
  BatchLoader loader(data, Unit(), kShape, options);
  for (std::uint64_t epoch = 0; epoch < 4; ++epoch) Epoch(loader, epoch);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(data.reads(i), 1);

  // Room for some: a sample takes its 48 pixels and under 400 bytes around them.
  const FakeDataset other(50);
  options.cache_bytes = 4000;
  BatchLoader partly(other, Unit(), kShape, options);
  for (std::uint64_t epoch = 0; epoch < 4; ++epoch) Epoch(partly, epoch);
  int once = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_TRUE(other.reads(i) == 1 || other.reads(i) == 4) << other.reads(i);
    once += other.reads(i) == 1 ? 1 : 0;
  }
  EXPECT_GE(once, 10);
  EXPECT_LE(once, 40);
}

TEST(BatchLoader, HandsOnOtherErrorsInTheirBatch) {
  const FakeDataset data(100);
  for (const int threads : {0, 3}) {
    LoaderOptions options = Batches(16);
    options.threads = threads;
    BatchLoader loader(data, FindPreprocess("cifar10"), {3, 8, 8}, options);
    loader.Start(0);
    Batch batch;
    ExpectError(ErrorCode::kShapeMismatch, {"4x4", "8x8"}, [&] { loader.Next(batch); });
    EXPECT_FALSE(loader.Next(batch));
  }
}

TEST(BatchLoader, ScalesResizedCropsToTheModelsSize) {
  const FakeDataset data(20);
  LoaderOptions options = Batches(20);
  options.augmentation = ParseAugmentation("resized-crop");
  BatchLoader loader(data, FindPreprocess("imagenet"), {3, 7, 9}, options);
  const auto batches = Epoch(loader, 0);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].shape, (Dims{20, 3, 7, 9}));
  EXPECT_NE(batches[0].inputs, Epoch(loader, 1)[0].inputs);
}

TEST(BatchLoader, RefusesOptionsThatMakeNoSense) {
  const FakeDataset data(20);
  LoaderOptions options = Batches(0);
  const auto refused = [&](std::initializer_list<std::string_view> parts, const Dims& shape) {
    ExpectError(ErrorCode::kInvalidArgument, parts,
                [&] { BatchLoader(data, Unit(), shape, options); });
  };
  refused({"batch size of 0"}, kShape);
  options = Batches(4);
  options.rank = 2;
  options.world_size = 2;
  refused({"process 2 of 2"}, kShape);
  options = Batches(4);
  options.augmentation.flip = true;
  refused({"augmentation flip needs images", "shape 16x16"}, {16, 16});
}

}  // namespace
}  // namespace espalier

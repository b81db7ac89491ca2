#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "espalier/base/weight_view.h"
#include "espalier/data/augment.h"
#include "espalier/data/dataset.h"
#include "espalier/data/preprocess.h"

namespace espalier {

/// Several preprocessed samples, ready for a model.
struct Batch {
  Dims shape;                        ///< [samples, a sample's dimensions...].
  std::vector<float> inputs;         ///< Row-major.
  std::vector<std::int64_t> labels;  ///< One a sample; -1 if the data have none.
  std::vector<std::size_t> indices;  ///< Of the samples in the data set.
};

/// What a sample's reader said. Called from the thread that calls BatchLoader::Next(), once for
/// each corrupt sample.
using CorruptSampleFunction = std::function<void(std::size_t index, std::string_view reason)>;

struct LoaderOptions {
  std::size_t batch_size = 32;  ///< Samples of a batch, on each process.
  bool shuffle = true;          ///< False: the data's own order in every epoch.
  bool drop_last = false;       ///< Leaves out a batch that would be smaller than the others.
  std::uint64_t seed = 0;       ///< Of the order and the augmentation; the same on all processes.
  Augmentation augmentation;    ///< Images only.
  /// Threads that read ahead; 0: Next() reads on its caller's. The batches do not depend on it.
  int threads = 1;
  std::size_t prefetch = 2;          ///< Batches in memory beside the caller's, at least 1.
  std::size_t rank = 0;              ///< This process, below world_size.
  std::size_t world_size = 1;        ///< Processes that share the data.
  std::uint64_t cache_bytes = 0;     ///< Memory for decoded samples, which are then read once.
  CorruptSampleFunction on_corrupt;  ///< May be empty.
};

/// Batches of a data set, epoch after epoch, read ahead by threads.
///
/// Every number in a batch depends on the data, the options and (epoch, batch) alone, not on
/// threads, prefetch, cache or on where Start() began: a training resumes exactly. Process r gets
/// sample r, r + world_size, ... of the shuffled order, so that together the processes' batches b
/// are batch b of one process with world_size times the batch size. All processes get the same
/// number of samples: with drop_last, the order's end is left out; without, its beginning comes
/// again, at most world_size - 1 samples.
///
/// A sample that cannot be read (kBadFile or kUnsupported from Dataset::Read) is replaced by
/// another that seed, epoch and its place choose; so no batch gets smaller or moves. Each process
/// counts the corrupt samples that it met.
class BatchLoader {
 public:
  /// @param data          Kept by reference.
  /// @param preprocess    With augmentation.resized_crop, its resize step is left out.
  /// @param sample_shape  From SampleShape().
  /// @throws Error  kInvalidArgument if the batch size is 0, the rank is not below world_size, the
  ///                augmentation cannot apply to `sample_shape`, or no process gets a full batch
  ///                under drop_last.
  BatchLoader(const Dataset& data, const Preprocess& preprocess, const Dims& sample_shape,
              const LoaderOptions& options = {});
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  std::size_t batches() const noexcept;  ///< Of an epoch; the same on all processes.
  std::size_t samples() const noexcept;  ///< Of an epoch on this process.

  /// Begins an epoch at one of its batches; what was read ahead before is dropped. `first_batch` =
  /// batches() is an epoch without batches.
  /// @throws Error  kInvalidArgument if `first_batch` is over batches().
  void Start(std::uint64_t epoch, std::size_t first_batch = 0);

  /// The epoch's next batch; the vectors of `batch` are reused.
  /// @return  False at the end of the epoch and before the first Start(); `batch` is then as it
  /// was.
  /// @throws Error  kBadFile, with the count and the first, if over 1 % of the data are corrupt;
  ///                what PreprocessSample() throws; kInvalidArgument for a tensor under an
  ///                augmentation. The epoch then ends: Start() begins another.
  bool Next(Batch& batch);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier

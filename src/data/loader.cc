#include "espalier/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "data/batch_queue.h"
#include "data/epoch_order.h"
#include "data/sample_cache.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::LoadUnit;

// A corrupt sample, met at a place of the batch.
struct Corrupt {
  std::size_t position = 0;
  std::size_t index = 0;
  std::string reason;
};

// A batch in work.
struct Slot {
  Batch batch;
  std::mutex mutex;  // guards what follows, while units are filled
  std::vector<Corrupt> corrupt;
  std::exception_ptr error;  // of the lowest position that failed
  std::size_t error_at = 0;
};

// Samples that fill a batch but cannot be read are corrupt; a full TMPDIR or a wrong option is no
// fault of the sample.
bool IsSampleFault(ErrorCode code) {
  return code == ErrorCode::kBadFile || code == ErrorCode::kUnsupported;
}

}  // namespace

class BatchLoader::Impl {
 public:
  Impl(const Dataset& data, const Preprocess& preprocess, const Dims& sample_shape,
       const LoaderOptions& options);

  std::size_t batches() const noexcept {
    return (samples_ + options_.batch_size - 1) / options_.batch_size;
  }
  std::size_t samples() const noexcept { return samples_; }
  void Start(std::uint64_t epoch, std::size_t first_batch);
  bool Next(Batch& batch);

 private:
  void CheckOptions() const;
  std::size_t SizeOf(std::size_t batch) const noexcept {
    return std::min(options_.batch_size, samples_ - batch * options_.batch_size);
  }
  std::size_t MostCorrupt() const noexcept { return data_.size() / 100; }
  void Reserve(Batch& batch) const;
  void Prepare(Slot& slot, std::size_t batch) const;
  void Fill(Slot& slot, const LoadUnit& unit) noexcept;
  bool FillSample(Slot& slot, std::size_t batch, std::size_t position,
                  std::vector<Corrupt>& corrupt);
  std::shared_ptr<const Sample> ReadOrReplace(std::size_t batch, std::size_t position,
                                              std::size_t& index, std::vector<Corrupt>& corrupt);
  void Convert(const Sample& sample, std::size_t index, std::span<float> out) const;
  void Report(Slot& slot);

  const Dataset& data_;
  Preprocess preprocess_;
  const Dims shape_;
  const std::size_t elements_;  // of a sample
  const LoaderOptions options_;
  AugmentTarget target_;
  std::size_t samples_ = 0;  // of an epoch on this process
  internal::SampleCache cache_;
  std::set<std::size_t> corrupt_;  // all that were reported
  std::string first_corrupt_;      // what its reader said
  bool running_ = false;
  std::uint64_t epoch_ = 0;
  std::size_t next_ = 0;  // batch
  std::vector<std::uint32_t> order_;
  std::vector<Slot> slots_;
  std::optional<internal::BatchQueue> queue_;  // last: its threads use all of the above
};

BatchLoader::Impl::Impl(const Dataset& data, const Preprocess& preprocess, const Dims& sample_shape,
                        const LoaderOptions& options)
    : data_(data),
      preprocess_(preprocess),
      shape_(sample_shape),
      elements_(static_cast<std::size_t>(ElementCount(sample_shape))),
      options_(options),
      cache_(data, options.cache_bytes),
      slots_(options.threads > 0 ? std::max<std::size_t>(options.prefetch, 1) : 1) {
  CheckOptions();
  const std::size_t share = data.size() / options.world_size;
  const std::size_t rest = data.size() % options.world_size;
  if (options.drop_last) {
    samples_ = share - share % options.batch_size;
  } else {
    samples_ = share + (rest > 0 ? 1 : 0);
  }
  if (samples_ == 0) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} samples do not give each of {} processes a batch of {}",
                            data.size(), options.world_size, options.batch_size));
  }
  ElementCount({static_cast<std::int64_t>(SizeOf(0)), static_cast<std::int64_t>(elements_)});
  if (options.augmentation.IsEmpty()) return;
  const bool planes = preprocess.layout == InputLayout::kNchw;
  target_ = {static_cast<int>(shape_[planes ? 2 : 1]), static_cast<int>(shape_[planes ? 1 : 0]),
             preprocess.filter};
  if (options.augmentation.resized_crop) preprocess_.resize = {};
}

void BatchLoader::Impl::CheckOptions() const {
  const auto refuse = [](const std::string& text) {
    throw Error(ErrorCode::kInvalidArgument, text);
  };
  if (options_.batch_size < 1) refuse("a batch size of 0; give at least 1");
  if (options_.rank >= options_.world_size) {
    refuse(fmt::format("process {} of {}; the first is 0", options_.rank, options_.world_size));
  }
  if (!options_.augmentation.IsEmpty() && shape_.size() != 3) {
    refuse(fmt::format("augmentation {} needs images; the samples have the shape {}",
                       AugmentationText(options_.augmentation), DimsText(shape_)));
  }
}

void BatchLoader::Impl::Start(std::uint64_t epoch, std::size_t first_batch) {
  if (first_batch > batches()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("start at batch {} of an epoch of {}", first_batch, batches()));
  }
  running_ = false;
  queue_.reset();
  for (Slot& slot : slots_) Reserve(slot.batch);
  epoch_ = epoch;
  next_ = first_batch;
  order_ = internal::EpochOrder(data_.size(), options_.seed, epoch, options_.shuffle);
  if (options_.threads > 0 && first_batch < batches()) {
    queue_.emplace(
        internal::BatchQueue::Plan{first_batch, batches(), slots_.size(), options_.threads},
        [this](std::size_t batch) { return SizeOf(batch); },
        [this](std::size_t slot, std::size_t batch) { Prepare(slots_[slot], batch); },
        [this](std::size_t slot, const LoadUnit& unit) { Fill(slots_[slot], unit); });
  }
  running_ = true;
}

bool BatchLoader::Impl::Next(Batch& batch) {
  if (!running_ || next_ == batches()) return false;
  Slot& slot = slots_[next_ % slots_.size()];
  if (queue_) {
    queue_->Wait(next_);
  } else {
    Prepare(slot, next_);
    Fill(slot, {next_, 0, SizeOf(next_)});
  }
  try {
    Report(slot);
    if (slot.error) std::rethrow_exception(slot.error);
  } catch (...) {
    running_ = false;
    queue_.reset();
    throw;
  }
  std::swap(batch, slot.batch);
  Reserve(slot.batch);
  ++next_;
  if (queue_) queue_->Release();
  return true;
}

// So that no other thread runs out of memory, where nobody could catch it.
void BatchLoader::Impl::Reserve(Batch& batch) const {
  const std::size_t most = SizeOf(0);
  batch.shape.reserve(shape_.size() + 1);
  batch.inputs.reserve(most * elements_);
  batch.labels.reserve(most);
  batch.indices.reserve(most);
}

void BatchLoader::Impl::Prepare(Slot& slot, std::size_t batch) const {
  const std::size_t size = SizeOf(batch);
  slot.batch.shape.assign(1, static_cast<std::int64_t>(size));
  slot.batch.shape.insert(slot.batch.shape.end(), shape_.begin(), shape_.end());
  slot.batch.inputs.resize(size * elements_);
  slot.batch.labels.resize(size);
  slot.batch.indices.resize(size);
  slot.corrupt.clear();
  slot.error = nullptr;
}

void BatchLoader::Impl::Fill(Slot& slot, const LoadUnit& unit) noexcept {
  std::vector<Corrupt> corrupt;
  std::exception_ptr error;
  std::size_t at = unit.first;
  try {
    while (at < unit.last && FillSample(slot, unit.batch, at, corrupt)) ++at;
  } catch (...) {
    error = std::current_exception();
  }
  if (corrupt.empty() && !error) return;
  const std::lock_guard lock(slot.mutex);
  std::ranges::move(corrupt, std::back_inserter(slot.corrupt));
  if (error && (!slot.error || at < slot.error_at)) {
    slot.error = error;
    slot.error_at = at;
  }
}

// False if there were so many corrupt samples that Report() will stop the epoch.
bool BatchLoader::Impl::FillSample(Slot& slot, std::size_t batch, std::size_t position,
                                   std::vector<Corrupt>& corrupt) {
  std::size_t index = 0;
  const auto sample = ReadOrReplace(batch, position, index, corrupt);
  if (sample == nullptr) return false;
  Convert(*sample, index, std::span(slot.batch.inputs).subspan(position * elements_, elements_));
  slot.batch.labels[position] = sample->label;
  slot.batch.indices[position] = index;
  return true;
}

std::shared_ptr<const Sample> BatchLoader::Impl::ReadOrReplace(std::size_t batch,
                                                               std::size_t position,
                                                               std::size_t& index,
                                                               std::vector<Corrupt>& corrupt) {
  const std::size_t place =
      (batch * options_.batch_size + position) * options_.world_size + options_.rank;
  index = order_[place % order_.size()];
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      return cache_.Read(index);
    } catch (const Error& error) {
      if (!IsSampleFault(error.code())) throw;
      const bool known = std::ranges::find(corrupt, index, &Corrupt::index) != corrupt.end();
      if (!known) corrupt.push_back({position, index, error.what()});
      if (corrupt.size() > MostCorrupt()) return nullptr;
    }
    index = internal::Substitute(data_.size(), options_.seed, epoch_, place, attempt);
  }
}

void BatchLoader::Impl::Convert(const Sample& sample, std::size_t index,
                                std::span<float> out) const {
  if (options_.augmentation.IsEmpty()) {
    PreprocessSample(preprocess_, sample, shape_, out);
    return;
  }
  if (!sample.HasImage()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("augmentation {} needs images; {} is a tensor",
                            AugmentationText(options_.augmentation), internal::Quote(sample.name)));
  }
  Sample changed;
  changed.name = sample.name;
  changed.image =
      AugmentImage(options_.augmentation, sample.image, {options_.seed, epoch_, index}, target_);
  PreprocessSample(preprocess_, changed, shape_, out);
}

// Counts the batch's corrupt samples in their order, whatever thread met them first.
void BatchLoader::Impl::Report(Slot& slot) {
  std::ranges::stable_sort(slot.corrupt, {}, &Corrupt::position);
  for (const Corrupt& corrupt : slot.corrupt) {
    if (!corrupt_.insert(corrupt.index).second) continue;
    if (corrupt_.size() == 1) first_corrupt_ = corrupt.reason;
    if (options_.on_corrupt) options_.on_corrupt(corrupt.index, corrupt.reason);
    if (corrupt_.size() <= MostCorrupt()) continue;
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} of {} samples cannot be read, more than 1 %; the first: {}",
                            corrupt_.size(), data_.size(), first_corrupt_));
  }
}

BatchLoader::BatchLoader(const Dataset& data, const Preprocess& preprocess,
                         const Dims& sample_shape, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(data, preprocess, sample_shape, options)) {}

BatchLoader::~BatchLoader() = default;

std::size_t BatchLoader::batches() const noexcept { return impl_->batches(); }

std::size_t BatchLoader::samples() const noexcept { return impl_->samples(); }

void BatchLoader::Start(std::uint64_t epoch, std::size_t first_batch) {
  impl_->Start(epoch, first_batch);
}

bool BatchLoader::Next(Batch& batch) { return impl_->Next(batch); }

}  // namespace espalier

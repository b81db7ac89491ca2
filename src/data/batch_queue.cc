#include "data/batch_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

// Samples of a unit: enough that the lock costs nothing beside a small JPEG's 50 us, few enough
// that all threads work on the first batch.
constexpr std::size_t kUnitSamples = 8;

}  // namespace

BatchQueue::BatchQueue(const Plan& plan, SizeOf size_of, Prepare prepare, Fill fill)
    : plan_(plan),
      size_of_(std::move(size_of)),
      prepare_(std::move(prepare)),
      fill_(std::move(fill)),
      taken_(plan.first_batch),
      next_{plan.first_batch, 0, 0},
      left_(plan.slots, 0) {
  threads_.reserve(static_cast<std::size_t>(plan.threads));
  try {
    for (int i = 0; i < plan.threads; ++i) threads_.emplace_back([this] { Work(); });
  } catch (const std::system_error& error) {
    // Fewer threads give the same batches.
    if (!threads_.empty()) return;
    throw Error(ErrorCode::kUnsupported, fmt::format("cannot start a thread: {}", error.what()));
  }
}

BatchQueue::~BatchQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
}

void BatchQueue::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] {
      return stop_ || next_.batch >= plan_.batches || next_.batch < taken_ + plan_.slots;
    });
    if (stop_ || next_.batch >= plan_.batches) return;
    const LoadUnit unit = Claim();
    const std::size_t slot = unit.batch % plan_.slots;
    lock.unlock();
    fill_(slot, unit);
    lock.lock();
    left_[slot] -= unit.last - unit.first;
    if (left_[slot] == 0) ready_.notify_one();
  }
}

LoadUnit BatchQueue::Claim() {
  const std::size_t size = size_of_(next_.batch);
  const std::size_t slot = next_.batch % plan_.slots;
  if (next_.first == 0) {
    prepare_(slot, next_.batch);
    left_[slot] = size;
  }
  const LoadUnit unit = {next_.batch, next_.first, std::min(next_.first + kUnitSamples, size)};
  next_.first = unit.last;
  if (unit.last == size) next_ = {next_.batch + 1, 0, 0};
  return unit;
}

void BatchQueue::Wait(std::size_t batch) {
  const std::size_t slot = batch % plan_.slots;
  std::unique_lock lock(mutex_);
  // The slot's count belongs to an older batch until the first unit of this one is claimed.
  ready_.wait(lock, [&] { return next_.batch > batch && left_[slot] == 0; });
}

void BatchQueue::Release() {
  {
    const std::lock_guard lock(mutex_);
    ++taken_;
  }
  work_.notify_all();
}

}  // namespace espalier::internal
